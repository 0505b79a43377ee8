//! What marking costs, as ratios to named references measured in the same run: `cargo bench -p chatpic-core`.
//!
//! Each figure is the least of a few runs, in processor time of all threads; only the ratios travel.
#![expect(clippy::print_stdout, clippy::unwrap_used)]

use std::hint::black_box;
use std::ops::ControlFlow;

use chatpic_core::mark::{self, MarkKey, Suspect};
use chatpic_core::testing::samples;
use chatpic_core::{AccessPolicy, ChatPic, InstallationSecret, Opening, SessionId, VisibleMark};
use fast_image_resize::images::Image as ResizeImage;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::codecs::webp::WebPDecoder;
use image::{AnimationDecoder, DynamicImage, RgbImage};
use libjpeg_turbo_rs::{Decoder, Encoder, PixelFormat, Subsampling};
use ring::aead;
use rustix::time::{ClockId, clock_gettime};

const WIDTHS: [u32; 2] = [1280, 640];
const SESSION: SessionId = SessionId(0xE64F_44F6);

/// A clock's reading in milliseconds.
fn read(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// The least of `runs` times, in milliseconds.
fn time<T>(runs: usize, mut work: impl FnMut() -> T) -> f64 {
    let once = |_| {
        let start = read(ClockId::ProcessCPUTime);
        black_box(work());
        read(ClockId::ProcessCPUTime) - start
    };
    (0..runs).map(once).fold(f64::MAX, f64::min)
}

fn decode(file: &[u8]) -> RgbImage {
    let mut decoder = Decoder::new(file).unwrap();
    decoder.set_output_format(PixelFormat::Rgb);
    let image = decoder.decode_image().unwrap();
    RgbImage::from_raw(image.width as u32, image.height as u32, image.data).unwrap()
}

fn encode(image: &RgbImage) -> Vec<u8> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let encoder = Encoder::new(image.as_raw(), width, height, PixelFormat::Rgb);
    encoder.quality(88).subsampling(Subsampling::S420).encode().unwrap()
}

fn scale(image: &RgbImage, width: u32) -> RgbImage {
    let height = (image.height() * width).div_ceil(image.width());
    let source =
        ResizeImage::from_vec_u8(image.width(), image.height(), image.as_raw().clone(), PixelType::U8x3);
    let mut target = ResizeImage::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    Resizer::new().resize(&source.unwrap(), &mut target, &options).unwrap();
    RgbImage::from_raw(width, height, target.into_vec()).unwrap()
}

fn ratio(what: &str, took: f64, reference: &str, least: f64) {
    println!("{what:44} {took:9.2} ms = {:7.2} x {reference} ({least:.2} ms)", took / least);
}

fn costs(width: u32, height: u32) {
    println!("\n{width} x {height}");
    let key = MarkKey::new([1; 32]).image(b"bench");
    let upload = encode(&samples::photograph(width, height, 3));
    // What the same widths cost without any mark.
    let plain = time(5, || {
        let full = decode(&upload);
        let smaller = WIDTHS.iter().filter(|w| **w < width).map(|w| encode(&scale(&full, *w)).len());
        encode(&full).len() + smaller.sum::<usize>()
    });
    let full = decode(&upload);
    let record = mark::record(&full, &WIDTHS, &key).unwrap();
    let prepare = || mark::prepare_as(&full, &WIDTHS, &key, Some(record.clone())).unwrap();
    ratio("prepare, all widths", time(3, prepare), "decode + scale + encode", plain);
    ratio("self-test", time(2, || mark::record(&full, &WIDTHS, &key)), "decode + scale + encode", plain);

    let prepared = prepare();
    let rendition = &prepared.renditions[0];
    let copy = rendition.copy(&key, SESSION, &[]).unwrap();
    let copied = time(200, || black_box(&copy).to_vec());
    // Each time another session's: a processor remembers which segments it jumped to for the last one.
    let mut sessions = (0..).map(SessionId);
    let splice = || rendition.copy(&key, sessions.next().unwrap(), &[]);
    ratio("splice", time(200, splice), "copying its bytes", copied);
    println!(
        "{:44} {:9.2} x a copy's bytes",
        "stored, full width",
        rendition.as_bytes().len() as f64 / copy.len() as f64
    );

    let embedded = time(2, || {
        let image = decode(&upload);
        encode(&mark::embed_with(&image, &key, SESSION, &record, 0).unwrap())
    });
    let labels = VisibleMark::default().labels(&SESSION.label(), rendition.size(), false);
    let sealing = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, &[7; 32]).unwrap());
    let nonce = || aead::Nonce::assume_unique_for_key([0; 12]);
    let mut sealed = rendition.as_bytes().to_vec();
    sealing.seal_in_place_append_tag(nonce(), aead::Aad::empty(), &mut sealed).unwrap();
    let view = time(20, || {
        let mut bytes = sealed.clone();
        let plain = sealing.open_in_place(nonce(), aead::Aad::empty(), &mut bytes).unwrap().len();
        bytes.truncate(plain);
        mark::PreparedRendition::from_bytes(bytes).unwrap().copy(&key, SESSION, &labels).unwrap()
    });
    ratio("decode + embed + encode", embedded, "a served view", view);
}

fn traces(width: u32, height: u32, candidates: u32) {
    let key = MarkKey::new([1; 32]).image(b"bench");
    let image = samples::photograph(width, height, 3);
    let record = mark::record_of_pixels(&image, &key).unwrap();
    let marked = mark::embed_rgb(&image, &key, SessionId(candidates / 2)).unwrap();
    let sessions: Vec<SessionId> = (0..candidates).map(SessionId).collect();
    for (what, leak) in [("it locks", &marked), ("nothing is there", &image)] {
        let suspects = [Suspect { key: &key, record: &record, original: None, sessions: &sessions }];
        let start = read(ClockId::Monotonic);
        let work =
            time(1, || mark::trace(leak, &suspects, 1e-6, u64::MAX, &|_| ControlFlow::Continue(())).unwrap());
        println!(
            "blind trace, {width} x {height}, {candidates} candidates, {what}: {:.2} s of all processors, {:.2} s of the clock",
            work / 1e3,
            (read(ClockId::Monotonic) - start) / 1e3
        );
    }
}

/// An animation's copy for a new session, the same again, and the same frames without any mark.
fn animations(width: u32, height: u32, frames: u32) {
    println!("\n{frames} frames of {width} x {height}");
    let picture = samples::photograph(width + 4 * frames, height, 3);
    let walk: Vec<_> = samples::pan(&picture, width, height, frames)
        .into_iter()
        .map(|frame| DynamicImage::ImageRgb8(frame).into_rgba8())
        .collect();
    let file = samples::webp(&walk, 80);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let chatpic =
        runtime.block_on(ChatPic::builder(InstallationSecret::from_bytes([7; 32])).build()).unwrap();
    let started = read(ClockId::ProcessCPUTime);
    let share = runtime.block_on(async {
        let mut upload = chatpic.upload(None).unwrap();
        upload.add(file.clone()).await.unwrap();
        upload.commit(AccessPolicy::default()).await.unwrap()
    });
    let uploaded = read(ClockId::ProcessCPUTime) - started;
    let link = chatpic.link_access(&share.share_id, &share.link_key);
    let open = || runtime.block_on(chatpic.open(&share.share_id, &link, Opening::default())).unwrap().token;
    let copy =
        |token: &_| runtime.block_on(chatpic.image(&share.share_id, token, 0, None)).unwrap().bytes.len();
    let plain = time(2, || {
        let decoder = WebPDecoder::new(std::io::Cursor::new(&file[..])).unwrap();
        let encoded = decoder.into_frames().map(|frame| {
            let frame = frame.unwrap().into_buffer();
            let mut config = webp::WebPConfig::new().unwrap();
            (config.quality, config.method) = (90.0, 2);
            let encoder = webp::Encoder::from_rgba(&frame, width, height);
            let encoded = encoder.encode_advanced(&config).unwrap();
            encoded.len()
        });
        encoded.sum::<usize>()
    });
    ratio("upload", uploaded, "decode + encode", plain);
    ratio("a session's copy", time(2, || copy(&open())), "decode + encode", plain);
    let token = open();
    println!("{:44} {:9} bytes, of {} uploaded", "its size", copy(&token), file.len());
    ratio("the same again", time(20, || copy(&token)), "decode + encode", plain);
}

fn main() {
    animations(854, 480, 24);
    for (width, height) in [(768, 512), (2048, 1152), (2800, 2800)] {
        costs(width, height);
    }
    println!();
    for (width, height) in [(768, 512), (1920, 1080), (4000, 3000)] {
        traces(width, height, 1000);
    }
    traces(1920, 1080, 1_000_000);
}
