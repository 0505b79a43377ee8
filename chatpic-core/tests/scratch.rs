#![allow(clippy::all, clippy::unwrap_used, clippy::print_stdout, unused, missing_docs)]
use chatpic_core::mark::*;
use chatpic_core::testing::samples;
use chatpic_core::*;
use image::*;
use std::ops::ControlFlow;
use std::time::Instant;

fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
}
fn psnr(a: &RgbaImage, b: &RgbaImage) -> f64 {
    let s: f64 = a
        .pixels()
        .zip(b.pixels())
        .map(|(a, b)| {
            let l = |p: &Rgba<u8>| 0.299 * p[0] as f64 + 0.587 * p[1] as f64 + 0.114 * p[2] as f64;
            (l(a) - l(b)).powi(2)
        })
        .sum();
    10.0 * (65025.0 / (s / (a.width() * a.height()) as f64)).log10()
}
#[test]
fn quality() {
    let key = MarkKey::new([9; 32]).image(b"x");
    let sessions: Vec<SessionId> = (1..1000).map(SessionId).collect();
    let guilty = SessionId(77);
    for (name, w, h, x) in [
        ("ui/firefox.png", 640, 400, 100),
        ("ui/webmin.png", 640, 400, 0),
        ("ui/render_dark.png", 640, 400, 40),
        ("ui/kde.png", 420, 260, 100),
        ("kodak/kodim05.png", 480, 360, 0),
        ("kodak/kodim23.png", 400, 260, 0),
    ] {
        let pic = image::open(format!("/work/shared/images/{name}")).unwrap().into_rgb8();
        let frame = imageops::crop_imm(&pic, x, 0, w.min(pic.width() - x), h.min(pic.height())).to_image();
        let record = match record_of_pixels(&frame, &key) {
            Ok(r) => r,
            Err(e) => {
                println!("{name} {e}");
                continue;
            }
        };
        let rgba = DynamicImage::ImageRgb8(frame.clone()).into_rgba8();
        let visible = VisibleMark::default();
        let labels = visible.labels(&guilty.label(), record.sizes[0], false);
        let marked = copy_rgba(rgba.clone(), Some(&record), 0, &key, guilty, &labels).unwrap();
        let score = |img: &RgbImage| {
            let out: Vec<String> = [(80u8, 1.0f32), (80, 0.75)]
                .iter()
                .map(|(q, s)| {
                    let f = imageops::resize(
                        img,
                        (img.width() as f32 * s) as u32,
                        (img.height() as f32 * s) as u32,
                        imageops::FilterType::CatmullRom,
                    );
                    let leak = image::load_from_memory(&samples::jpeg(&f, *q)).unwrap().into_rgb8();
                    let sus = Suspect { key: &key, record: &record, original: None, sessions: &sessions };
                    let t = trace(&leak, &[sus], 1e-6, &|_| ControlFlow::Continue(())).unwrap();
                    t.matches.first().map_or("-".into(), |m| {
                        format!("{:.1}{}", m.score, if m.session == guilty { "" } else { "!!" })
                    })
                })
                .collect();
            out.join(" ")
        };
        println!(
            "{name} {}x{} strength {} margin {:?}; lossless: {}; unmarked psnr of mark {:.1}",
            frame.width(),
            frame.height(),
            record.strength,
            record.margin,
            score(&DynamicImage::ImageRgba8(marked.clone()).into_rgb8()),
            psnr(&rgba, &marked)
        );
        for (q, filter, sns, method) in [
            (84.0, 60, 50, 2),
            (84.0, 0, 50, 2),
            (84.0, 0, 0, 2),
            (84.0, 20, 0, 2),
            (90.0, 60, 50, 2),
            (90.0, 0, 0, 2),
            (90.0, 0, 50, 2),
            (94.0, 0, 0, 2),
            (84.0, 0, 0, 4),
            (84.0, 0, 0, 0),
        ] {
            let mut c = webp::WebPConfig::new().unwrap();
            c.quality = q;
            c.method = method;
            c.filter_strength = filter;
            c.sns_strength = sns;
            let t = cpu();
            let mut file = webp::Encoder::from_rgba(&marked, marked.width(), marked.height())
                .encode_advanced(&c)
                .unwrap()
                .to_vec();
            for _ in 0..4 {
                file = webp::Encoder::from_rgba(&marked, marked.width(), marked.height())
                    .encode_advanced(&c)
                    .unwrap()
                    .to_vec();
            }
            let t = (cpu() - t) / 5.0;
            let back = image::load_from_memory(&file).unwrap().into_rgba8();
            println!(
                "   q{q} filter {filter} sns {sns} m{method}: {} B, {:.0} ms, psnr {:.1}, {}",
                file.len(),
                t * 1000.0,
                psnr(&marked, &back),
                score(&DynamicImage::ImageRgba8(back.clone()).into_rgb8())
            );
        }
    }
}
#[tokio::test]
async fn cost() {
    for (w, h, n) in [(480u32, 270u32, 24u32), (854, 480, 24), (754, 424, 100)] {
        let pic =
            image::open("/work/shared/images/large/Bridge_by_Sander_Klootwijk.jpg").unwrap().into_rgb8();
        let pic = imageops::resize(&pic, 1600, 900, imageops::FilterType::Triangle);
        let frames: Vec<_> = samples::pan(&pic, w, h, n)
            .into_iter()
            .map(|f| DynamicImage::ImageRgb8(f).into_rgba8())
            .collect();
        let file = samples::webp(&frames, 80);
        let n_bytes = file.len();
        let chatpic = ChatPic::builder(InstallationSecret::from_bytes([7; 32])).build().await.unwrap();
        let t = cpu();
        let mut up = chatpic.upload(None).unwrap();
        up.add(file).await.unwrap();
        let share = up.commit(AccessPolicy::default()).await.unwrap();
        let up_t = cpu() - t;
        let link = chatpic.link_access(&share.share_id, &share.link_key);
        let view = chatpic.open(&share.share_id, &link, Opening::default()).await.unwrap();
        let t = cpu();
        let copy = chatpic.image(&share.share_id, &view.token, 0, None).await.unwrap();
        let made = cpu() - t;
        let wall = Instant::now();
        let t = cpu();
        chatpic.image(&share.share_id, &view.token, 0, None).await.unwrap();
        println!(
            "{}x{} x{n} (asked {w}x{h}): in {n_bytes} B; upload {up_t:.2} CPU-s; copy {made:.2} CPU-s, {} B; again {:.3} CPU-s; {:.3} CPU-s/MP",
            share.images[0].width,
            share.images[0].height,
            copy.bytes.len(),
            cpu() - t,
            made / (share.images[0].width * share.images[0].height * n) as f64 * 1e6
        );
        // embed alone
        let key = MarkKey::new([9; 32]).image(b"x");
        let record =
            record_of_pixels(&DynamicImage::ImageRgba8(frames[0].clone()).into_rgb8(), &key).unwrap();
        let t = cpu();
        for f in &frames[..8] {
            copy_rgba(f.clone(), Some(&record), 0, &key, SessionId(5), &[]).unwrap();
        }
        println!("   embed {:.3} CPU-s/MP", (cpu() - t) / (8 * w * h) as f64 * 1e6);
        let t = cpu();
        let frames2: Vec<_> = codecs::webp::WebPDecoder::new(std::io::Cursor::new(&copy.bytes[..]))
            .unwrap()
            .into_frames()
            .map(|f| f.unwrap())
            .collect();
        println!(
            "   decode {:.3} CPU-s/MP",
            (cpu() - t) / (n * share.images[0].width * share.images[0].height) as f64 * 1e6
        );
    }
}
