//! The binary as its operator runs it: start, kill, restart, and the commands.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value, json};
use support::{Site, chatpic};
use tempfile::TempDir;

async fn open(site: &Site, share: &Value) -> reqwest::Response {
    let url = format!("{}/api/v1/shares/{}/sessions", site.url, share["share_id"].as_str().unwrap());
    reqwest::Client::new().post(url).json(&json!({ "key": share["link_key"] })).send().await.unwrap()
}

async fn image(site: &Site, share: &Value, session: &Value) -> reqwest::Response {
    let url = format!("{}/api/v1/shares/{}/images/0", site.url, share["share_id"].as_str().unwrap());
    let token = session["token"].as_str().unwrap();
    reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap()
}

#[tokio::test]
async fn an_acknowledged_share_survives_a_kill() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let site = Site::start(&data);
    let share = site.share(1).await;
    let session: Value = open(&site, &share).await.json().await.unwrap();
    site.kill();

    let site = Site::start(&data);
    assert_eq!(image(&site, &share, &session).await.status(), 200, "the session goes on");
    let second = open(&site, &share).await;
    assert_eq!(second.status(), 201);
    assert_eq!(second.json::<Value>().await.unwrap()["views_before"], 1);
    assert!(site.stop(), "SIGTERM ends it cleanly");
}

#[tokio::test]
async fn trace_burn_and_sweep_work_from_the_command_line() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let site = Site::start(&data);
    let share = site.share(1).await;
    let session: Value = open(&site, &share).await.json().await.unwrap();
    let leak = folder.path().join("leak.jpg");
    std::fs::write(&leak, image(&site, &share, &session).await.bytes().await.unwrap()).unwrap();
    let id = share["share_id"].as_str().unwrap();

    let run = |arguments: &[&str]| {
        let output = chatpic().args(arguments).arg("--data").arg(&data).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, answer) = run(&["burn", id]);
    assert_eq!(code, Some(0), "{answer}");
    assert_eq!(image(&site, &share, &session).await.status(), 401, "the running site sees the burn");

    let (code, answer) = run(&["trace", leak.to_str().unwrap(), "--json"]);
    assert_eq!(code, Some(0), "{answer}");
    let report: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(report["matches"][0]["session"], session["session"]);

    let clean = folder.path().join("clean.jpg");
    let picture = chatpic_core::testing::samples::photograph(800, 600, 99);
    std::fs::write(&clean, chatpic_core::testing::samples::jpeg(&picture, 90)).unwrap();
    let (code, answer) = run(&["trace", clean.to_str().unwrap(), "--share", id]);
    assert_eq!(code, Some(1), "{answer}");
    assert!(answer.contains("no match"));

    assert_eq!(run(&["sweep"]).0, Some(0));
    assert_eq!(run(&["burn", "not an id"]).0, Some(2));
}

#[tokio::test]
async fn another_secret_is_refused_at_the_start() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    Site::start(&data).kill();
    std::fs::remove_file(data.join("secret")).unwrap();
    let output = chatpic().arg("sweep").arg("--data").arg(&data).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("secret does not fit"));
}

#[tokio::test]
async fn the_secret_file_is_its_owners_alone_and_logs_hold_no_secret() {
    use std::os::unix::fs::PermissionsExt;

    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let site = Site::start(&data);
    let mode = std::fs::metadata(data.join("secret")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let share = site.share(1).await;
    let session: Value = open(&site, &share).await.json().await.unwrap();
    image(&site, &share, &session).await;
    let log = site.log();
    for secret in [&share["link_key"], &share["dashboard_key"], &session["token"], &share["share_id"]] {
        assert!(!log.contains(secret.as_str().unwrap()), "{log}");
    }
    assert!(!log.contains("a secret name"), "{log}");
}
