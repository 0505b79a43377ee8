//! Files from elsewhere: public test suites, a camera's card.

use std::path::{Path, PathBuf};

use crate::compare::{Case, Expected, check};

/// Every file under a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a folder in CHATPIC_TEST_PICTURES"]
async fn every_file_of_a_folder_is_as_chromium_shows_it_or_refused() {
    let folder = std::env::var("CHATPIC_TEST_PICTURES").expect("CHATPIC_TEST_PICTURES names a folder");
    let mut found = Vec::new();
    files(Path::new(&folder), &mut found);
    found.sort();
    let case = |path: &PathBuf| {
        let file = std::fs::read(path).unwrap();
        let format = match file.get(..4)? {
            [0xFF, 0xD8, ..] => "JPEG",
            b"\x89PNG" => "PNG",
            b"GIF8" => "GIF",
            b"RIFF" => "WebP",
            _ => return None,
        };
        Some(Case::new(
            format,
            path.strip_prefix(&folder).unwrap().to_string_lossy(),
            file,
            Expected::ShownOrRefused,
        ))
    };
    let cases: Vec<_> = found.iter().filter_map(case).collect();
    println!("{} of {} files are JPEG, PNG, GIF or WebP", cases.len(), found.len());
    assert!(!cases.is_empty(), "no pictures in {folder}");
    check(cases).await;
}
