//! The same attacks on the crates `invisible-watermark` (its resilient mode) and `blind_watermark`.

use std::error::Error;
use std::path::PathBuf;

use image::{DynamicImage, RgbImage};

use crate::attacks::ATTACKS;
use crate::{Case, psnr, ssim};

const TEXT: &str = "E64F44F6";
/// Seeds the random choice of blocks.
const SEED: u64 = 7;

/// A watermark of eight characters: how it is put into a picture and whether it can be read out.
struct Peer {
    name: &'static str,
    embed: fn(&RgbImage) -> Option<RgbImage>,
    reads: fn(&RgbImage) -> bool,
}

const PEERS: [Peer; 2] = [
    Peer {
        name: "invisible-watermark",
        embed: |image| {
            invisible_watermark::embed_resilient(DynamicImage::ImageRgb8(image.clone()), TEXT)
                .ok()
                .map(DynamicImage::into_rgb8)
        },
        reads: |leak| {
            invisible_watermark::extract_resilient(&DynamicImage::ImageRgb8(leak.clone()))
                .is_ok_and(|text| text == TEXT)
        },
    },
    Peer {
        name: "blind_watermark",
        embed: |image| {
            let (before, after) = (file("before"), file("after"));
            image.save(&before).ok()?;
            blind_watermark::prelude::embed_watermark_bytes(&before, &after, TEXT.as_bytes(), Some(SEED))
                .ok()?;
            Some(image::open(&after).ok()?.into_rgb8())
        },
        reads: |leak| {
            let path = file("leak");
            let bits = 8 * TEXT.len();
            leak.save(&path).is_ok()
                && blind_watermark::prelude::extract_watermark_bytes(&path, bits, Some(SEED))
                    .is_ok_and(|bytes| bytes == TEXT.as_bytes())
        },
    },
];

/// That crate works on files.
fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("robustness-{}-{name}.png", std::process::id()))
}

/// Fidelity and survival of the peers, beside this mark's blind trace.
pub fn table(cases: &[Case], every: usize) -> Result<(), Box<dyn Error>> {
    println!(
        "\n## Beside other watermarks\n\nLeaks read right, blind; pictures as PNG, without JPEG or a visible mark.\n"
    );
    let mut copies = Vec::new();
    for peer in &PEERS {
        let marked: Vec<Option<RgbImage>> = cases.iter().map(|case| (peer.embed)(&case.image)).collect();
        let with = |f: fn(&RgbImage, &RgbImage) -> f64| {
            let pairs = cases.iter().zip(&marked);
            let mut all: Vec<f64> = pairs.filter_map(|(case, m)| Some(f(&case.image, m.as_ref()?))).collect();
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied().unwrap_or_default()
        };
        println!("- {}: median PSNR {:.1} dB, SSIM {:.4}", peer.name, with(psnr), with(ssim));
        copies.push(marked);
    }
    println!("\n| attack | {} |\n|---|---|---|", PEERS.map(|peer| peer.name).join(" | "));
    for (name, attack) in ATTACKS.iter().step_by(every) {
        let cells: Vec<String> = PEERS
            .iter()
            .zip(&copies)
            .map(|(peer, copies)| {
                let read = copies.iter().flatten().filter(|copy| (peer.reads)(&attack(copy))).count();
                format!("{read} of {}", copies.iter().flatten().count())
            })
            .collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
    for name in ["before", "after", "leak"] {
        // What was never written needs no deleting.
        drop(std::fs::remove_file(file(name)));
    }
    Ok(())
}
