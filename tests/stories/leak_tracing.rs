//! A leaked copy names the session it was served to, after the images are gone.

use chatpic_core::testing::samples;
use image::RgbImage;
use image::imageops::{FilterType, crop_imm, resize};
use serde_json::{Value, json};

use crate::site::{Shared, Site};

struct Leak {
    site: Site,
    shared: Shared,
    session: Value,
    picture: RgbImage,
}

/// A share that was seen by five sessions and burned; the third session's copy leaked.
async fn leak() -> Leak {
    let site = Site::new().await;
    let photograph = samples::png(&samples::photograph(1400, 1000, 3));
    let shared = Shared::from(site.upload(&[], &[&photograph]).await.expect(201).json());
    assert_eq!(shared.answer["images"][0]["traceable"], true);
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(site.open_session(&shared, json!({})).await.expect(201).json());
    }
    let copy = site.image(&shared, &sessions[2]).await.expect(200);
    assert_eq!(copy.headers["content-type"], "image/jpeg");
    let picture = image::load_from_memory(&copy.body).unwrap().into_rgb8();
    site.burn(&shared).await.expect(200);
    let session = sessions[2]["session"].clone();
    Leak { site, shared, session, picture }
}

impl Leak {
    async fn assert_named(&self, picture: &[u8]) {
        let report = self.site.trace(&self.shared, picture).await.expect(200).json();
        assert_eq!(report["verdict"], "match", "{report}");
        assert_eq!(report["matches"].as_array().unwrap().len(), 1, "{report}");
        assert_eq!(report["matches"][0]["session"], self.session);
        assert!(report["matches"][0]["false_alarm"].as_f64().unwrap() <= 1e-6);
        assert_eq!(report["matches"][0]["evidence"], "blind");
    }
}

#[tokio::test]
async fn the_served_image_names_its_session() {
    let leak = leak().await;
    leak.assert_named(&samples::png(&leak.picture)).await;
}

#[tokio::test]
async fn so_does_a_recompressed_copy() {
    let leak = leak().await;
    leak.assert_named(&samples::jpeg(&leak.picture, 70)).await;
}

#[tokio::test]
async fn so_does_a_copy_at_three_fifths_of_the_size() {
    let leak = leak().await;
    let small = resize(&leak.picture, 840, 600, FilterType::CatmullRom);
    leak.assert_named(&samples::jpeg(&small, 85)).await;
}

#[tokio::test]
async fn so_does_half_of_it() {
    let leak = leak().await;
    let half = crop_imm(&leak.picture, 203, 147, 990, 707).to_image();
    leak.assert_named(&samples::png(&half)).await;
}

#[tokio::test]
async fn another_picture_names_nobody() {
    let leak = leak().await;
    let other = samples::jpeg(&samples::photograph(1400, 1000, 4), 90);
    let report = leak.site.trace(&leak.shared, &other).await.expect(200).json();
    assert_eq!(report["verdict"], "no_match", "{report}");
    let unmarked = samples::jpeg(&samples::photograph(1400, 1000, 3), 90);
    let report = leak.site.trace(&leak.shared, &unmarked).await.expect(200).json();
    assert_eq!(report["verdict"], "no_match", "{report}");
}

#[tokio::test]
async fn every_width_is_marked() {
    let site = Site::new().await;
    let photograph = samples::png(&samples::photograph(1400, 1000, 3));
    let shared = Shared::from(site.upload(&[], &[&photograph]).await.expect(201).json());
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    site.open_session(&shared, json!({})).await.expect(201);
    for (asked, served) in [("1", 640), ("640", 640), ("641", 1280), ("1281", 1400), ("9000", 1400)] {
        let path = format!("/api/v1/shares/{}/images/0?width={asked}", shared.id);
        let copy = site.get(&path, session["token"].as_str()).await.expect(200).body;
        let picture = image::load_from_memory(&copy).unwrap();
        assert_eq!(picture.width(), served);
        let report = site.trace(&shared, &copy).await.expect(200).json();
        assert_eq!(report["matches"][0]["session"], session["session"], "{served} px: {report}");
    }
}

#[tokio::test]
async fn a_copy_is_the_same_each_time_and_differs_between_sessions() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let first = site.open_session(&shared, json!({})).await.expect(201).json();
    let second = site.open_session(&shared, json!({})).await.expect(201).json();
    let copy = site.image(&shared, &first).await.expect(200).body;
    assert_eq!(site.image(&shared, &first).await.expect(200).body, copy);
    assert_ne!(site.image(&shared, &second).await.expect(200).body, copy);
}
