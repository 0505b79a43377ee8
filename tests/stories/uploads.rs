//! Good uploads are taken, bad ones get the right answer and leave nothing behind.

use axum::body::Body;
use axum::http::{Method, Request};
use chatpic_core::testing::samples;
use chatpic_http::{Options, UploadPassword};
use image::codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder};
use image::{ExtendedColorType, ImageEncoder};
use serde_json::json;

use crate::site::{Shared, Site, limits, photograph};

#[tokio::test]
async fn ten_images_and_not_eleven() {
    let site = Site::new().await;
    let small = samples::jpeg(&samples::photograph(64, 48, 1), 80);
    let ten: Vec<&[u8]> = vec![&small; 10];
    let answer = site.upload(&[], &ten).await.expect(201).json();
    assert_eq!(answer["images"].as_array().unwrap().len(), 10);
    let shared = Shared::from(answer);
    site.burn(&shared).await.expect(200);

    let eleven: Vec<&[u8]> = vec![&small; 11];
    site.upload(&[], &eleven).await.expect(422);
    assert_eq!(site.objects().len(), 0, "nothing of a refused upload stays");
}

#[tokio::test]
async fn what_is_no_image_is_refused_by_its_content() {
    let site = Site::new().await;
    let whole = photograph();
    let truncated = &whole[..whole.len() / 2];
    let html = b"<!doctype html><script>alert(1)</script>".as_slice();
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><rect/></svg>".as_slice();
    for (name, bytes) in [("empty", &b""[..]), ("truncated", truncated), ("HTML", html), ("SVG", svg)] {
        let answer = site.upload(&[], &[bytes]).await;
        assert_eq!(answer.status.as_u16(), 415, "{name}: {}", answer.text());
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{name}");
    }
    for (brand, format) in [("heic", "HEIC"), ("avif", "AVIF")] {
        let file = format!("\0\0\0\x18ftyp{brand}\0\0\0\0mif1");
        let answer = site.upload(&[], &[file.as_bytes()]).await.expect(415).text();
        assert!(answer.contains(format) && answer.contains("JPEG"), "it says what to do: {answer}");
    }
    site.upload(&[], &[&whole, truncated]).await.expect(415);
    site.upload(&[], &[]).await.expect(422);
    assert_eq!(site.objects().len(), 0);
}

#[tokio::test]
async fn no_metadata_reaches_a_viewer() {
    const SECRET: &[u8] = b"51.4779 N, 0.0015 W, by Jane";
    let picture = samples::photograph(300, 200, 4);
    let exif = [b"II*\0\x08\0\0\0\0\0\0\0\0\0", SECRET].concat();
    let (mut jpeg, mut png, mut webp) = (Vec::new(), Vec::new(), Vec::new());
    let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, 90);
    encoder.set_exif_metadata(exif.clone()).unwrap();
    encoder.write_image(&picture, 300, 200, ExtendedColorType::Rgb8).unwrap();
    let mut encoder = PngEncoder::new(&mut png);
    encoder.set_exif_metadata(exif.clone()).unwrap();
    encoder.write_image(&picture, 300, 200, ExtendedColorType::Rgb8).unwrap();
    let mut encoder = WebPEncoder::new_lossless(&mut webp);
    encoder.set_exif_metadata(exif).unwrap();
    encoder.write_image(&picture, 300, 200, ExtendedColorType::Rgb8).unwrap();
    // A comment block before the trailer.
    let mut gif = samples::gif(&samples::pan(&picture, 240, 200, 3), 100);
    gif.pop();
    gif.extend([&[0x21, 0xFE, SECRET.len() as u8], SECRET, &[0, 0x3B]].concat());

    let site = Site::new().await;
    let holds = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET);
    for (name, file) in [("JPEG", jpeg), ("PNG", png), ("WebP", webp), ("GIF", gif)] {
        assert!(holds(&file), "{name}");
        let shared = Shared::from(site.upload(&[], &[&file]).await.expect(201).json());
        let session = site.open_session(&shared, json!({})).await.expect(201).json();
        let copy = site.image(&shared, &session).await.expect(200).body;
        assert!(!holds(&copy), "{name}");
        assert!(!copy.windows(4).any(|window| window == b"Exif" || window == b"EXIF"), "{name}");
    }
}

#[tokio::test]
async fn one_byte_too_many_is_too_many() {
    let site = Site::new().await;
    let mut padded = photograph();
    padded.resize(10 * 1024 * 1024 + 1, 0);
    site.upload(&[], &[&padded]).await.expect(413);
    assert_eq!(site.objects().len(), 0);
}

#[tokio::test]
async fn a_lying_header_is_refused_before_memory_is_spent() {
    let site = Site::new().await;
    let small = samples::photograph(16, 16, 1);
    let mut jpeg = samples::jpeg(&small, 80);
    let frame = jpeg.windows(2).position(|marker| marker == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xC3, 0x50, 0xC3, 0x50]);
    let answer = site.upload(&[], &[&jpeg]).await.expect(413);
    assert!(answer.text().contains("image 1: the image has 50000 x 50000 pixels"), "{}", answer.text());
    // A PNG header is protected by a checksum, so a lying one is a damaged file unless that lies too.
    let mut png = samples::png(&small);
    png[16..24].copy_from_slice(&[0, 0, 0xC3, 0x50, 0, 0, 0xC3, 0x50]);
    site.upload(&[], &[&png]).await.expect(415);
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    site.upload(&[], &[&png]).await.expect(413);
    assert_eq!(site.objects().len(), 0);
}

/// CRC-32 as PNG uses it (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[tokio::test]
async fn options_out_of_range_are_named() {
    let site = Site::new().await;
    let long = "x".repeat(129);
    for (name, value) in [
        ("expires_in", "59"),
        ("expires_in", "P31D"),
        ("expires_in", "-3600"),
        ("expires_in", "soon"),
        ("max_views", "0"),
        ("max_views", "10001"),
        ("max_views", "-1"),
        ("max_views", "99999999999999999999"),
        ("password", &long),
        ("password", &"y".repeat(5000)),
        ("expires_in", &"9".repeat(5000)),
        ("keep_ledger", "P91D"),
    ] {
        let answer = site.upload(&[(name, value)], &[&photograph()]).await;
        let status = answer.status.as_u16();
        assert_eq!(status, if value == "soon" { 400 } else { 422 }, "{name}={value}: {}", answer.text());
    }
    assert_eq!(site.objects().len(), 0);
}

#[tokio::test]
async fn a_retried_upload_makes_one_share() {
    let site = Site::new().await;
    let photograph = photograph();
    let files: [(&str, &[u8]); 1] = [("images", &photograph)];
    let key = [("Idempotency-Key", "8b0f4c1e-32cf-4a62-9c55-0d4ccf4c93a1")];
    let first = site.post_form("/api/v1/shares", &key, &[], &files).await.expect(201).json();
    let objects = site.objects().len();
    let again = site.post_form("/api/v1/shares", &key, &[], &files).await.json();
    for field in ["share_id", "link_key", "dashboard_key", "expires_at"] {
        assert_eq!(first[field], again[field], "{field}");
    }
    assert_eq!(site.objects().len(), objects, "the second try leaves nothing of its own");
    let other = site.post_form("/api/v1/shares", &key, &[("max_views", "3")], &files).await;
    other.expect(409);
    site.open_session(&Shared::from(first), json!({})).await.expect(201);
}

#[tokio::test]
async fn whoever_guesses_an_idempotency_key_has_no_key_of_its_next_share() {
    let site = Site::new().await;
    let photograph = photograph();
    let files: [(&str, &[u8]); 1] = [("images", &photograph)];
    let key = [("Idempotency-Key", "0123456789abcdef")];
    let fields = [("keep_ledger", "0"), ("max_views", "2")];
    let first = site.post_form("/api/v1/shares", &key, &fields, &files).await.expect(201).json();
    let guessed = Shared::from(first.clone());
    site.burn(&guessed).await.expect(200);
    site.chatpic.sweep().await.unwrap();
    let next = site.post_form("/api/v1/shares", &key, &[], &files).await.expect(201).json();
    assert_eq!(next["share_id"], first["share_id"], "so that a retry is found");
    for field in ["link_key", "dashboard_key"] {
        assert_ne!(next[field], first[field], "{field}");
    }
    site.open_session(&guessed, json!({})).await.expect(401);
    site.burn(&guessed).await.expect(401);
    site.open_session(&Shared::from(next), json!({})).await.expect(201);
}

#[tokio::test]
async fn every_answer_carries_the_protective_headers() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    let image = site.image(&shared, &session).await.expect(200);
    assert_eq!(image.headers["cache-control"], "private, no-store");
    let page = site.get(&format!("/s/{}", shared.id), None).await.expect(200);
    let policy = page.headers["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe-inline"), "{policy}");
    for answer in [&image, &page, &site.get("/nowhere", None).await] {
        assert_eq!(answer.headers["referrer-policy"], "no-referrer");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["cross-origin-resource-policy"], "same-origin");
        assert_eq!(answer.headers["x-robots-tag"], "noindex");
    }
}

/// The routes that change something, as a foreign page can make a browser ask for them.
fn changes(shared: &Shared) -> Vec<(Method, String)> {
    let id = &shared.id;
    let posts = ["/".to_owned(), "/api/v1/shares".to_owned()];
    let pages = ["s/ID", "s/ID/open", "s/ID/report", "d/ID", "d/ID/extend", "d/ID/ledger", "d/ID/burn"];
    let more = ["d/ID/preview", "d/ID/trace"];
    let calls = ["sessions", "preview", "extend", "trace", "reports"];
    let posts = posts
        .into_iter()
        .chain(pages.iter().chain(&more).map(|page| format!("/{}", page.replace("ID", id))))
        .chain(calls.map(|call| format!("/api/v1/shares/{id}/{call}")));
    let share = format!("/api/v1/shares/{id}");
    let others = [(Method::PATCH, share.clone()), (Method::DELETE, share)];
    posts.map(|path| (Method::POST, path)).chain(others).collect()
}

#[tokio::test]
async fn a_foreign_page_can_make_no_browser_change_anything() {
    let site = Site::with(Options { uploads_per_hour: 3, ..Options::default() }, limits()).await;
    let shared = site.share(&[]).await;
    let objects = site.objects().len();
    let photograph = photograph();
    let files: [(&str, &[u8]); 1] = [("images", &photograph)];
    for foreign in ["cross-site", "same-site"] {
        for (method, path) in changes(&shared) {
            let request =
                Request::builder().method(method.clone()).uri(&path).header("sec-fetch-site", foreign);
            let answer = site.send(request.body(Body::from("key=x")).unwrap()).await;
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text());
            assert!(answer.text().contains("Not from this site"), "{path}: {}", answer.text());
        }
        site.post_form("/", &[("sec-fetch-site", foreign)], &[], &files).await.expect(403);
        let followed = Request::get(format!("/s/{}", shared.id)).header("sec-fetch-site", foreign);
        assert_eq!(site.send(followed.body(Body::empty()).unwrap()).await.status, 200, "a link is followed");
    }
    assert_eq!(site.objects().len(), objects);
    let dashboard = site.dashboard(&shared).await;
    assert_eq!((&dashboard["status"], &dashboard["views"]), (&json!("active"), &json!(0)));
    // What was refused was not counted as the visitor's own.
    for own in ["same-origin", "none"] {
        site.post_form("/", &[("sec-fetch-site", own)], &[], &files).await.expect(201);
    }
}

#[tokio::test]
async fn a_field_that_comes_twice_is_refused_by_its_name_in_every_form() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let objects = site.objects().len();
    let photograph = photograph();
    let files: [(&str, &[u8]); 1] = [("images", &photograph)];
    // The last would win, and leave the share without a password or limit.
    for (name, value) in [
        ("password", "secret"),
        ("max_views", "1"),
        ("expires_in", "60"),
        ("keep_ledger", "P1D"),
        ("upload_password", "x"),
    ] {
        for path in ["/api/v1/shares", "/"] {
            for second in [value, ""] {
                let answer =
                    site.post_form(path, &[], &[(name, value), (name, second)], &files).await.expect(400);
                assert!(answer.text().contains(name), "{path}: {}", answer.text());
            }
        }
    }
    assert_eq!(site.objects().len(), objects, "nothing of a refused upload stays");
    site.post_form("/", &[], &[], &[files[0], files[0]]).await.expect(201);

    let bearer = format!("Bearer {}", shared.dashboard_key);
    for twice in ["image", "original"] {
        let files: [(&str, &[u8]); 2] = [(twice, &photograph), (twice, b"")];
        let path = format!("/api/v1/shares/{}/trace", shared.id);
        let answer = site.post_form(&path, &[("Authorization", &bearer)], &[], &files).await.expect(400);
        assert!(answer.text().contains(twice), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_field_that_comes_twice_is_refused_on_every_page() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let mut cookies = Vec::new();
    let entries = [("s", &shared.link_key), ("d", &shared.dashboard_key)];
    for (kind, key) in entries {
        let path = format!("/{kind}/{}", shared.id);
        let request = post_fields(&path, "", format!("key={key}"));
        let entered = site.send(request).await.expect(303);
        let cookie = entered.headers["set-cookie"].to_str().unwrap();
        cookies.push(cookie.split(';').next().unwrap().to_owned());
    }
    let cookies = cookies.join("; ");
    for (path, name) in [
        ("s/ID", "key"),
        ("s/ID/open", "nonce"),
        ("s/ID/open", "password"),
        ("s/ID/open", "token"),
        ("s/ID/report", "reason"),
        ("s/ID/report", "link"),
        ("d/ID", "key"),
        ("d/ID/extend", "extend_by"),
        ("d/ID/ledger", "keep_ledger"),
        ("d/ID/burn", "token"),
    ] {
        let path = format!("/{}", path.replace("ID", &shared.id));
        let others = "nonce=AAAAAAAAAAAAAAAAAAAAAA&reason=x&link=x&extend_by=60&keep_ledger=3".split('&');
        let others: Vec<_> = others.filter(|pair| !pair.starts_with(name)).collect();
        let body = format!("{name}=1&{name}=&{}", others.join("&"));
        let answer = site.send(post_fields(&path, &cookies, body)).await;
        assert_eq!(answer.status, 400, "{path} {name}: {}", answer.text());
        assert!(answer.text().contains(&format!("duplicate field `{name}`")), "{path}: {}", answer.text());
    }
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    let image = format!("/api/v1/shares/{}/images/0", shared.id);
    let answer =
        site.get(&format!("{image}?width=640&width=1280"), session["token"].as_str()).await.expect(400);
    assert!(answer.text().contains("width"), "{}", answer.text());
    let dashboard = format!("/d/{}?after=x&after=y", shared.id);
    let request = Request::get(dashboard).header("cookie", &cookies).body(Body::empty()).unwrap();
    site.send(request).await.expect(400);
}

/// A form of a page of the site's own, as some clients write its type.
fn post_fields(path: &str, cookies: &str, body: String) -> Request<Body> {
    Request::post(path)
        .header("content-type", "application/x-www-form-urlencoded ; charset=utf-8")
        .header("sec-fetch-site", "same-origin")
        .header("cookie", cookies)
        .body(Body::from(body))
        .unwrap()
}

#[tokio::test]
async fn an_upload_password_may_come_before_or_after_the_images_or_in_a_header() {
    let options = Options { upload_password: Some(UploadPassword::new("swordfish")), ..Options::default() };
    let site = Site::with(options, limits()).await;
    let photograph = photograph();
    let images: [(&str, &[u8]); 2] = [("images", &photograph), ("images", &photograph)];
    let after = |password: &'static [u8]| [images[0], images[1], ("upload_password", password)];
    let api = "/api/v1/shares";

    site.post_form(api, &[], &[], &images).await.expect(401);
    site.post_form(api, &[], &[("upload_password", "catfish")], &images).await.expect(401);
    site.post_form(api, &[], &[], &after(b"catfish")).await.expect(401);
    site.post_form(api, &[], &[], &after(b"")).await.expect(401);
    site.post_form(api, &[("Authorization", "Bearer catfish")], &[], &images).await.expect(401);
    assert_eq!(site.objects().len(), 0, "nothing of a refused upload stays");

    site.post_form(api, &[], &[("upload_password", "swordfish")], &images).await.expect(201);
    site.post_form(api, &[("Authorization", "Bearer swordfish")], &[], &images).await.expect(201);
    let objects = site.objects().len();
    let made = site.post_form(api, &[], &[], &after(b"swordfish")).await.expect(201).json();
    assert_eq!(made["images"].as_array().unwrap().len(), 2);
    assert_eq!(site.objects().len(), objects / 2 * 3, "what was kept until the password came is gone");
    site.open_session(&Shared::from(made), json!({})).await.expect(201);

    // What is no picture is found to be none once the password has come, and not before.
    let unread: [(&str, &[u8]); 1] = [("images", b"no picture")];
    site.post_form(api, &[], &[], &unread).await.expect(401);
    site.post_form(api, &[], &[], &[unread[0], ("upload_password", b"swordfish")]).await.expect(415);
}

#[tokio::test]
async fn a_misspelt_option_makes_no_share() {
    let site = Site::new().await;
    let answer = site.upload(&[("pasword", "s3cret")], &[&photograph()]).await.expect(400);
    assert!(answer.text().contains("no field \\\"pasword\\\""), "{}", answer.text());
    let shared = site.share(&[]).await;
    let body = json!({ "key": shared.link_key, "pasword": "s3cret" });
    let path = format!("/api/v1/shares/{}/sessions", shared.id);
    site.call(axum::http::Method::POST, &path, None, body).await.expect(400);
}
