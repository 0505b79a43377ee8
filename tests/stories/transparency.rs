//! What can't be seen of a picture with transparency is served to nobody, and what can be is traced.

use std::io::Cursor;

use chatpic_core::testing::samples;
use image::codecs::webp::WebPDecoder;
use image::imageops::crop_imm;
use image::{AnimationDecoder, Rgb, RgbImage, Rgba, RgbaImage};
use serde_json::{Value, json};

use crate::site::{Shared, Site};

/// A photograph out of which a piece with another one was erased, up to an alpha.
fn erased(hidden: u64, alpha: u8) -> RgbaImage {
    let (seen, hidden) = (samples::photograph(720, 480, 1), samples::photograph(720, 480, hidden));
    RgbaImage::from_fn(720, 480, |x, y| {
        let within = (200..500).contains(&x) && (120..360).contains(&y);
        // So dark that premultiplied by so low an alpha it is black.
        let [r, g, b] =
            if within { hidden.get_pixel(x, y).0.map(|v| v / 20) } else { seen.get_pixel(x, y).0 };
        Rgba([r, g, b, if within { alpha } else { 255 }])
    })
}

/// All that a viewer can get of a picture, from a site that always makes the same keys.
async fn served(file: &[u8]) -> Vec<Vec<u8>> {
    let site = Site::new().await;
    let shared = Shared::from(site.upload(&[], &[file]).await.expect(201).json());
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    let mut copies = Vec::new();
    for query in ["", "?width=640", "?width=320", "?still=true"] {
        let path = format!("/api/v1/shares/{}/images/0{query}", shared.id);
        copies.push(site.get(&path, session["token"].as_str()).await.expect(200).body);
    }
    copies
}

#[tokio::test]
async fn what_was_erased_is_served_to_nobody() {
    for alpha in [0, 1, 10] {
        let files = [2, 3].map(|hidden| samples::png_rgba(&erased(hidden, alpha)));
        let [one, other] = [served(&files[0]).await, served(&files[1]).await];
        assert!(one == other, "alpha {alpha}: copies tell what lay there");
        for copy in one {
            let picture = image::load_from_memory(&copy).unwrap().into_rgba8();
            let hidden = picture.pixels().filter(|pixel| pixel.0[3] == 0);
            assert!(hidden.clone().all(|pixel| pixel.0 == [0; 4]));
            assert_eq!(hidden.count() > 30_000, alpha == 0);
        }
    }
}

#[tokio::test]
async fn what_was_erased_from_a_frame_is_served_to_nobody() {
    let file = |hidden| samples::lossless_webp(&[erased(hidden, 0), erased(1, 255), erased(hidden, 1)], 80);
    let [one, other] = [served(&file(2)).await, served(&file(3)).await];
    assert!(one == other, "copies tell what lay there");
}

/// A share seen by three sessions, and the second one's copy.
struct Leak {
    site: Site,
    shared: Shared,
    session: Value,
    media_type: String,
    copy: Vec<u8>,
}

async fn leak(file: &[u8]) -> Leak {
    let site = Site::new().await;
    let shared = Shared::from(site.upload(&[], &[file]).await.expect(201).json());
    assert_eq!(shared.answer["images"][0]["traceable"], true);
    let media_type = shared.answer["images"][0]["media_type"].as_str().unwrap().to_owned();
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(site.open_session(&shared, json!({})).await.expect(201).json());
    }
    let copy = site.image(&shared, &sessions[1]).await.expect(200).body;
    site.burn(&shared).await.expect(200);
    Leak { site, shared, session: sessions[1]["session"].clone(), media_type, copy }
}

impl Leak {
    /// The copy drawn on a grey ground.
    fn drawn_on(&self, ground: u8) -> RgbImage {
        let copy = image::load_from_memory(&self.copy).unwrap().into_rgba8();
        RgbImage::from_fn(copy.width(), copy.height(), |x, y| {
            let [r, g, b, alpha] = copy.get_pixel(x, y).0.map(u32::from);
            let mixed = |v: u32| ((v * alpha + u32::from(ground) * (255 - alpha)) / 255) as u8;
            Rgb([mixed(r), mixed(g), mixed(b)])
        })
    }

    async fn assert_named(&self, picture: &[u8], original: Option<&[u8]>, what: &str) {
        let path = format!("/api/v1/shares/{}/trace", self.shared.id);
        let bearer = format!("Bearer {}", self.shared.dashboard_key);
        let mut files = vec![("image", picture)];
        files.extend(original.map(|original| ("original", original)));
        let report = self.site.post_form(&path, &[("Authorization", &bearer)], &[], &files).await;
        let report = report.expect(200).json();
        assert_eq!(report["verdict"], "match", "{what}: {report}");
        assert_eq!(report["matches"].as_array().unwrap().len(), 1, "{what}: {report}");
        assert_eq!(report["matches"][0]["session"], self.session, "{what}");
    }

    /// As PNG and as JPEG of quality 75, drawn on these grounds; and a piece, with the original at hand.
    async fn assert_traced(&self, grounds: &[u8], original: &[u8], what: &str) {
        for ground in grounds {
            let picture = self.drawn_on(*ground);
            self.assert_named(&samples::png(&picture), None, &format!("{what} on {ground}, PNG")).await;
            let jpeg = samples::jpeg(&picture, 75);
            self.assert_named(&jpeg, None, &format!("{what} on {ground}, JPEG 75")).await;
            let piece = crop_imm(&picture, picture.width() / 4, picture.height() / 4, 192, 192).to_image();
            let piece = samples::png(&piece);
            self.assert_named(&piece, Some(original), &format!("{what} on {ground}, a piece")).await;
        }
    }
}

#[tokio::test]
async fn a_sticker_keeps_its_outline_and_is_traced_on_any_ground() {
    let original = samples::png_rgba(&samples::sticker(800, 600, 5));
    let leak = leak(&original).await;
    assert_eq!(leak.media_type, "image/png");
    leak.assert_traced(&[255, 0, 128], &original, "a sticker").await;
}

#[tokio::test]
async fn a_sticker_too_small_to_bear_the_mark_alone_is_drawn_on_white_and_traced() {
    let mut picture = RgbaImage::new(800, 600);
    image::imageops::replace(&mut picture, &samples::sticker(150, 150, 5), 300, 200);
    let original = samples::png_rgba(&picture);
    let leak = leak(&original).await;
    assert_eq!(leak.media_type, "image/jpeg");
    leak.assert_named(&samples::jpeg(&leak.drawn_on(255), 75), None, "a small sticker").await;
}

#[tokio::test]
async fn what_lies_in_the_alpha_channel_alone_is_drawn_on_a_ground_and_traced() {
    for (what, picture) in
        [("a page", samples::page(800, 600)), ("a photograph", samples::photograph(800, 600, 5))]
    {
        for (ink, colour) in [("black", [0; 3]), ("white", [255; 3])] {
            let original = samples::png_rgba(&samples::ink(&picture, colour));
            let leak = leak(&original).await;
            assert_eq!(leak.media_type, "image/jpeg", "no alpha channel is left to read");
            leak.assert_traced(&[255], &original, &format!("{what} in {ink}")).await;
        }
    }
}

#[tokio::test]
async fn an_animation_in_one_ink_is_drawn_on_white_and_every_frame_traced() {
    let frames = samples::pan(&samples::page(1000, 400), 640, 400, 4);
    let frames: Vec<RgbaImage> = frames.iter().map(|frame| samples::ink(frame, [0; 3])).collect();
    let leak = leak(&samples::lossless_webp(&frames, 80)).await;
    let copy = WebPDecoder::new(Cursor::new(&leak.copy)).unwrap();
    for (number, frame) in copy.into_frames().enumerate() {
        let frame = frame.unwrap().into_buffer();
        assert!(frame.pixels().all(|pixel| pixel.0[3] == 255));
        let frame = image::DynamicImage::from(frame).into_rgb8();
        leak.assert_named(&samples::png(&frame), None, &format!("frame {number}")).await;
    }
}

#[tokio::test]
async fn an_animation_in_light_ink_keeps_its_transparency_and_is_not_called_traceable() {
    let frames = samples::pan(&samples::photograph(700, 400, 5), 640, 400, 3);
    let frames: Vec<RgbaImage> = frames.iter().map(|frame| samples::ink(frame, [255; 3])).collect();
    let site = Site::new().await;
    let file = samples::lossless_webp(&frames, 80);
    let shared = Shared::from(site.upload(&[], &[&file]).await.expect(201).json());
    assert_eq!(shared.answer["images"][0]["traceable"], false);
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    let copy = site.image(&shared, &session).await.expect(200).body;
    let copy = WebPDecoder::new(Cursor::new(&copy)).unwrap();
    for (frame, original) in copy.into_frames().zip(&frames) {
        let off = |(a, b): (&Rgba<u8>, &Rgba<u8>)| u32::from(a.0[3] != b.0[3]);
        let off: u32 = frame.unwrap().buffer().pixels().zip(original.pixels()).map(off).sum();
        assert!(off < 640 * 400 / 5, "labels apart, alpha stays: {off}");
    }
}
