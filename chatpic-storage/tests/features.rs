//! What a build brings with it.

use std::process::Command;

/// The names of the packages that the library is built from with these features.
fn packages(features: &[&str]) -> Vec<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--package", "chatpic-storage", "--no-default-features", "--features", &features.join(",")])
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let lines = String::from_utf8(tree.stdout).expect("text");
    lines.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
}

#[test]
fn sqlite_and_files_bring_no_other_driver_no_tls_and_no_http() {
    let packages = packages(&["sqlite"]);
    let has = |name: &str| packages.iter().any(|package| package == name);
    assert!(has("sqlx-sqlite"));
    for foreign in ["sqlx-postgres", "sqlx-mysql", "rustls", "webpki-roots", "reqwest", "hyper"] {
        assert!(!has(foreign), "{foreign}");
    }
}

#[test]
fn all_stores_share_one_crypto_library() {
    let packages = packages(&["sqlite", "postgres", "mysql", "s3"]);
    let has = |name: &str| packages.iter().any(|package| package == name);
    assert!(has("ring") && has("sqlx-postgres") && has("sqlx-mysql") && has("reqwest"));
    for second in ["aws-lc-rs", "aws-lc-sys", "native-tls", "openssl", "sqlx-macros"] {
        assert!(!has(second), "{second}");
    }
}
