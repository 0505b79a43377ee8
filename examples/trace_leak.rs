//! Who leaked it? Three people look at a photograph; one of them posts a screenshot of a part of it.
//!
//! `cargo run --example trace_leak [PHOTOGRAPH]`
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::io::Cursor;

use chatpic_core::testing::samples;
use chatpic_core::{AccessPolicy, ChatPic, InstallationSecret, Opening, SessionId};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let photograph = match std::env::args_os().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => samples::jpeg(&samples::photograph(1600, 1200, 1), 90),
    };
    let (leaker, named) = leak_and_trace(photograph).await?;
    println!("leaked by {}, the trace names {}", leaker.label(), list(&named));
    Ok(())
}

fn list(sessions: &[SessionId]) -> String {
    let labels: Vec<String> = sessions.iter().map(|session| session.label()).collect();
    if labels.is_empty() { "nobody".to_owned() } else { labels.join(", ") }
}

/// Who leaked, and whom the trace names.
async fn leak_and_trace(
    photograph: Vec<u8>,
) -> Result<(SessionId, Vec<SessionId>), Box<dyn std::error::Error>> {
    let chatpic = ChatPic::builder(InstallationSecret::from_bytes([7; 32])).build().await?;
    let mut upload = chatpic.upload(None)?;
    upload.add(photograph).await?;
    let share = upload.commit(AccessPolicy::default()).await?;

    let link = chatpic.link_access(&share.share_id, &share.link_key);
    let mut views = Vec::new();
    for _ in 0..3 {
        views.push(chatpic.open(&share.share_id, &link, Opening::default()).await?);
    }

    // The second one shows the copy smaller, takes a picture of most of it, and posts that.
    let copy = chatpic.image(&share.share_id, &views[1].token, 0, None).await?;
    let leak = screenshot(&copy.bytes)?;

    let dashboard = chatpic.dashboard_access(&share.share_id, &share.dashboard_key);
    let report = chatpic.trace(&share.share_id, &dashboard, leak, None).await?;
    Ok((views[1].session, report.matches.iter().map(|found| found.session).collect()))
}

/// A part of an image, at 80 percent of its size, as a JPEG of quality 70.
fn screenshot(copy: &[u8]) -> image::ImageResult<Vec<u8>> {
    let shown = image::load_from_memory(copy)?;
    let (width, height) = (shown.width(), shown.height());
    let part = shown.crop_imm(width / 10, height / 10, width * 8 / 10, height * 8 / 10);
    let smaller = part.resize_exact(part.width() * 8 / 10, part.height() * 8 / 10, FilterType::CatmullRom);
    let mut file = Cursor::new(Vec::new());
    smaller.write_with_encoder(JpegEncoder::new_with_quality(&mut file, 70))?;
    Ok(file.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_trace_names_the_one_who_leaked() {
        let photograph = samples::jpeg(&samples::photograph(1600, 1200, 1), 90);
        let (leaker, named) = leak_and_trace(photograph).await.unwrap();
        assert_eq!(named, [leaker]);
    }
}
