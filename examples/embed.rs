//! The whole life of a share in memory: upload, view, leak, burn, trace.
//!
//! `cargo run --example embed [PHOTOGRAPH]`
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use chatpic_core::testing::samples;
use chatpic_core::{AccessPolicy, ChatPic, Error, InstallationSecret, Opening};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let photograph = match std::env::args_os().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => samples::jpeg(&samples::photograph(1200, 800, 1), 90),
    };
    println!("{}", share_and_trace(photograph).await?);
    Ok(())
}

async fn share_and_trace(photograph: Vec<u8>) -> Result<String, Error> {
    let chatpic = ChatPic::builder(InstallationSecret::from_bytes([7; 32])).build().await?;

    let mut upload = chatpic.upload(None)?;
    upload.add(photograph).await?;
    let share = upload.commit(AccessPolicy { max_views: Some(3), ..Default::default() }).await?;

    let link = chatpic.link_access(&share.share_id, &share.link_key);
    let view = chatpic.open(&share.share_id, &link, Opening::default()).await?;
    let leaked = chatpic.image(&share.share_id, &view.token, 0, None).await?;

    let dashboard = chatpic.dashboard_access(&share.share_id, &share.dashboard_key);
    chatpic.burn(&share.share_id, &dashboard).await?;

    let report = chatpic.trace(&share.share_id, &dashboard, leaked.bytes.to_vec(), None).await?;
    Ok(match report.matches.first() {
        Some(found) => format!("leaked by {}, score {}", found.session.label(), found.score),
        None => "no match, which proves nothing".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_leak_is_traced_after_the_burn() {
        let photograph = samples::jpeg(&samples::photograph(1200, 800, 1), 90);
        let answer = share_and_trace(photograph).await.unwrap();
        assert!(answer.starts_with("leaked by ID:"), "{answer}");
    }
}
