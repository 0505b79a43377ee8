//! How much memory `chatpic serve` takes at most while 32 photographs of 12 megapixels are uploaded at once, by the
//! number of workers: `cargo bench -p chatpic-site --bench memory`.
#![expect(clippy::print_stdout, clippy::unwrap_used)]

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/support/mod.rs"]
mod support;

use chatpic_core::testing::samples;
use futures::future::join_all;
use reqwest::multipart::{Form, Part};
use support::Site;
use tempfile::TempDir;

const UPLOADS: usize = 32;

/// The most memory that the site's processes have held, in megabytes.
fn peak(site: &Site) -> u64 {
    site.processes().iter().map(|process| process.peak_memory).sum::<u64>() >> 20
}

async fn upload(site: &Site, photograph: &[u8]) {
    let form = Form::new().part("images", Part::bytes(photograph.to_vec()));
    let url = format!("{}/api/v1/shares", site.url);
    let answer = reqwest::Client::new().post(url).multipart(form).send().await.unwrap();
    assert_eq!(answer.status(), 201);
}

#[tokio::main]
async fn main() {
    let photograph = samples::jpeg(&samples::photograph(4000, 3000, 1), 90);
    println!("{UPLOADS} uploads at once, 4000 x 3000 pixels, {} kB each", photograph.len() / 1024);
    let mut least = None;
    for workers in ["1", "2", "4"] {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        let site =
            Site::start_with(&data, &[("CHATPIC_WORKERS", workers), ("CHATPIC_UPLOADS_PER_HOUR", "0")]);
        let idle = peak(&site);
        upload(&site, &photograph).await;
        let one = peak(&site);
        join_all((0..UPLOADS).map(|_| upload(&site, &photograph))).await;
        let all = peak(&site);
        let least = *least.get_or_insert(all);
        println!(
            "{workers} workers: {idle} MB idle, {one} MB after one upload, {all} MB after all = {:.2} x one worker's",
            all as f64 / least as f64
        );
    }
}
