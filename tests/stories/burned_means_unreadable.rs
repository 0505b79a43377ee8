//! No plaintext of an image, name, key, token or password in any file, before or after the end.

use serde_json::json;

use crate::site::{Site, photograph};

/// Texts and bytes that must stand in no file.
async fn assert_nowhere(site: &Site, secrets: &[Vec<u8>]) {
    for file in site.files() {
        let bytes = std::fs::read(&file).unwrap();
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_slice());
            assert!(!found, "{} holds a secret of {} bytes", file.display(), secret.len());
        }
    }
}

#[tokio::test]
async fn no_file_ever_holds_a_secret() {
    let site = Site::new().await;
    let shared = site.share(&[("password", "correct horse battery")]).await;
    let session =
        site.open_session(&shared, json!({ "password": "correct horse battery" })).await.expect(201).json();
    let copy = site.image(&shared, &session).await.expect(200).body;
    let upload = photograph();
    let secrets = [
        shared.link_key.clone().into_bytes(),
        shared.dashboard_key.clone().into_bytes(),
        session["token"].as_str().unwrap().as_bytes().to_vec(),
        b"correct horse battery".to_vec(),
        b"my holiday".to_vec(),
        upload[upload.len() / 2..][..48].to_vec(),
        copy[copy.len() / 2..][..48].to_vec(),
        // The first bytes of any JPEG's scan header, and of any PNG: an unsealed file would show them.
        b"JFIF".to_vec(),
        b"\x89PNG".to_vec(),
    ];
    assert_nowhere(&site, &secrets).await;
    site.burn(&shared).await.expect(200);
    assert_nowhere(&site, &secrets).await;
}
