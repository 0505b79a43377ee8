//! Files that once were taken and shown wrong, or harmed: each is refused now, or as Chromium shows it.

use std::path::Path;

use chatpic_core::Limits;

use crate::compare::{Case, Expected, check};
use crate::fuzz::watched;

#[tokio::test(flavor = "multi_thread")]
async fn what_once_failed_does_not_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pictures/findings");
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = std::fs::read(&path).unwrap();
        let (_, fault) = watched(&file, &Limits::default());
        assert_eq!(fault, None, "{}", path.display());
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        cases.push(Case::new("findings", name, file, Expected::ShownOrRefused));
    }
    assert!(!cases.is_empty());
    check(cases).await;
}
