//! The binary as its operator runs it: start, kill, restart, and the commands.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its seed"
)]

mod attacks;
mod crashes;
mod faults;
#[cfg(all(feature = "postgres", feature = "s3"))]
mod postgres_and_s3;
mod support;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Site, chatpic, run};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn open(site: &Site, share: &Value) -> reqwest::Response {
    open_with(site, share, json!({})).await
}

async fn open_with(site: &Site, share: &Value, mut body: Value) -> reqwest::Response {
    body["key"] = share["link_key"].clone();
    let url = format!("{}/api/v1/shares/{}/sessions", site.url, share["share_id"].as_str().unwrap());
    reqwest::Client::new().post(url).json(&body).send().await.unwrap()
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

/// The bytes of a key or token as they would stand in a database.
fn raw(secret: &str) -> Vec<u8> {
    data_encoding::BASE64URL_NOPAD.decode(secret.as_bytes()).unwrap()
}

/// Every file under a folder, and the log beside it.
fn files(data: &Path) -> Vec<PathBuf> {
    let mut folders = vec![data.to_owned()];
    let mut files = vec![data.with_extension("log")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

#[tokio::test]
async fn a_kill_leaves_no_plaintext_in_any_file_or_log() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let site = Site::start(&data);
    let share = site.share_with(2, &[("password", "correct horse battery")]).await;
    let session: Value =
        open_with(&site, &share, json!({ "password": "correct horse battery" })).await.json().await.unwrap();
    let copy = image(&site, &share, &session).await.bytes().await.unwrap().to_vec();
    let original = support::photograph(0);
    site.kill();

    let mut secrets: Vec<(&str, Vec<u8>)> = vec![
        ("the password", b"correct horse battery".to_vec()),
        ("a file's name", b"a secret name".to_vec()),
    ];
    for name in ["link_key", "dashboard_key"] {
        let text = share[name].as_str().unwrap();
        secrets.extend([(name, text.into()), (name, raw(text))]);
    }
    let token = session["token"].as_str().unwrap();
    secrets.extend([("the session's token", token.into()), ("the session's token", raw(token))]);
    // Any stretch of a file would show; its beginning is common to all JPEG files and proves nothing.
    for image in [&original, &copy] {
        let pieces = image[1024..].chunks_exact(24).step_by(50);
        secrets.extend(pieces.map(|piece| ("an image", piece.to_vec())));
    }
    let files = files(&data);
    assert!(files.iter().any(|path| path.starts_with(data.join("blobs"))), "there is something to look into");
    for path in &files {
        let bytes = std::fs::read(path).unwrap();
        for (name, secret) in &secrets {
            let found = memchr::memmem::find(&bytes, secret).is_some();
            assert!(!found, "{name} stands in {}", path.display());
        }
    }

    let site = Site::start(&data);
    assert_eq!(image(&site, &share, &session).await.bytes().await.unwrap(), copy, "and the session goes on");
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

    let (code, answer) = run(&data, &["burn", id]);
    assert_eq!(code, Some(0), "{answer}");
    assert_eq!(image(&site, &share, &session).await.status(), 401, "the running site sees the burn");

    let (code, answer) = run(&data, &["trace", leak.to_str().unwrap(), "--json"]);
    assert_eq!(code, Some(0), "{answer}");
    let report: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(report["matches"][0]["session"], session["session"]);
    assert_eq!(report["matches"][0]["evidence"], "blind");
    let (_, answer) = run(&data, &["trace", leak.to_str().unwrap()]);
    assert!(answer.contains("by the session's mark in the leak"), "{answer}");

    let clean = folder.path().join("clean.jpg");
    let picture = chatpic_core::testing::samples::photograph(800, 600, 99);
    std::fs::write(&clean, chatpic_core::testing::samples::jpeg(&picture, 90)).unwrap();
    let (code, answer) = run(&data, &["trace", clean.to_str().unwrap(), "--share", id]);
    assert_eq!(code, Some(1), "{answer}");
    assert!(answer.contains("no match"));

    assert_eq!(run(&data, &["sweep"]).0, Some(0));
    assert_eq!(run(&data, &["burn", "not an id"]).0, Some(2));
}

#[tokio::test]
async fn another_secret_is_refused_at_the_start() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    Site::start(&data).kill();
    std::fs::write(data.join("secret"), "A".repeat(43)).unwrap();
    for command in ["sweep", "check", "serve"] {
        let why = refused(&data, &[command, "--listen", "127.0.0.1:0"]);
        assert!(why.contains("secret does not fit"), "{command}: {why}");
    }
}

#[tokio::test]
async fn the_secret_file_is_its_owners_alone_and_logs_hold_no_secret() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    // Whatever is to be told, nothing secret is.
    let site = Site::start_with(&data, &[("CHATPIC_LOG", "trace")]);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data.join("secret")), 0o600);
    assert_eq!(mode(&data), 0o700, "and so is the folder that was made");

    let share = site.share(1).await;
    let session: Value = open(&site, &share).await.json().await.unwrap();
    image(&site, &share, &session).await;
    let log = site.log();
    let line = "method=GET route=\"/api/v1/shares/{id}/images/{index}\" status=200";
    assert!(log.contains(line), "{log}");
    for secret in [&share["link_key"], &share["dashboard_key"], &session["token"], &share["share_id"]] {
        assert!(!log.contains(secret.as_str().unwrap()), "{log}");
    }
    assert!(!log.contains("a secret name"), "{log}");
}

#[tokio::test]
async fn an_operator_reads_reports_checks_and_traces_by_date() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let site = Site::start(&data);
    let share = site.share(1).await;
    let session: Value = open(&site, &share).await.json().await.unwrap();
    let leak = folder.path().join("leak.jpg");
    std::fs::write(&leak, image(&site, &share, &session).await.bytes().await.unwrap()).unwrap();
    let (id, key) = (share["share_id"].as_str().unwrap(), share["link_key"].as_str().unwrap());
    let url = format!("{}/api/v1/shares/{id}/reports", site.url);
    let report = json!({ "reason": "not theirs\u{1b}[2J", "key": key });
    let answer = reqwest::Client::new().post(url).json(&report).send().await.unwrap();
    assert_eq!(answer.status(), 202);

    let (code, listed) = run(&data, &["reports"]);
    assert_eq!(code, Some(0), "{listed}");
    assert!(listed.contains("not theirs [2J") && !listed.contains('\u{1b}'), "{listed}");
    assert!(listed.contains(&format!("/s/{id}#{key}")), "{listed}");
    let (_, listed) = run(&data, &["reports", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&listed).unwrap()["share"], id);

    let (code, checked) = run(&data, &["check"]);
    assert_eq!((code, checked.as_str()), (Some(0), "settings: ok\nstores: ok\nroom: ok\nclock: ok\n"));
    let missing = folder.path().join("missing.mmdb");
    assert_eq!(run(&data, &["check", "--country-db", missing.to_str().unwrap()]).0, Some(1));

    let leak = leak.to_str().unwrap();
    let (code, answer) = run(&data, &["trace", leak, "--from", "2020-01-01", "--json"]);
    assert_eq!(code, Some(0), "{answer}");
    let (code, answer) = run(&data, &["trace", leak, "--until", "2020-01-01", "--json"]);
    assert_eq!(code, Some(1), "{answer}");
    assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["candidates"], 0);
    assert_eq!(run(&data, &["trace", leak, "--from", "yesterday"]).0, Some(2));
    assert_eq!(run(&data, &["trace", leak, "--share", "AAAAAAAAAAAAAAAA"]).0, Some(1));

    let (code, script) = run(&data, &["completions", "bash"]);
    assert!(code == Some(0) && script.contains("_chatpic"), "{script}");
    assert_eq!(run(&data, &["no-such-command"]).0, Some(2));
    assert_eq!(run(&data, &["--help"]).0, Some(0));
}

#[tokio::test]
async fn a_configuration_file_rules_the_site() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let password = folder.path().join("password");
    std::fs::write(&password, "let me in\n").unwrap();
    let config = folder.path().join("chatpic.toml");
    let text = format!("upload-password-file = {password:?}\nno-metrics = true\nimages = 1\n");
    std::fs::write(&config, text).unwrap();
    let site = Site::start_with(&data, &[("CHATPIC_CONFIG", config.to_str().unwrap())]);
    let client = reqwest::Client::new();
    let status = async |path: &str| client.get(format!("{}{path}", site.url)).send().await.unwrap().status();
    assert_eq!(status("/metrics").await, 404);
    assert_eq!(status("/readyz").await, 200);
    let upload = async |password: &'static str, images: usize| {
        let mut form = reqwest::multipart::Form::new().text("upload_password", password);
        let picture = chatpic_core::testing::samples::photograph(64, 48, 1);
        for _ in 0..images {
            let bytes = chatpic_core::testing::samples::jpeg(&picture, 80);
            form = form.part("images", reqwest::multipart::Part::bytes(bytes).file_name("a.jpg"));
        }
        client.post(format!("{}/api/v1/shares", site.url)).multipart(form).send().await.unwrap().status()
    };
    assert_eq!(upload("let me out", 1).await, 401);
    assert_eq!(upload("let me in", 2).await, 422);
    assert_eq!(upload("let me in", 1).await, 201);
}

#[tokio::test]
async fn all_that_is_made_is_its_owners_alone_whatever_the_folders_mode() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    for open in [data.clone(), data.join("blobs")] {
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new("sh");
    command.args(["-c", "umask 022; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_chatpic")]);
    let site = Site::start_by(command, &data, &[]);
    let share = site.share(1).await;
    open(&site, &share).await;
    let mut found = Vec::new();
    let mut folders = vec![data];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, metadata) = (entry.path(), entry.metadata().unwrap());
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            found.push((path, metadata.permissions().mode() & 0o777));
        }
    }
    let blobs = folder.path().join("data/blobs");
    for (path, mode) in &found {
        assert!(mode & 0o077 == 0 || *path == blobs, "{} has the mode {mode:o}", path.display());
    }
    for made in ["secret", "chatpic.sqlite", "chatpic.sqlite-wal"] {
        assert!(found.iter().any(|(path, _)| path.ends_with(made)), "{made} is among {found:?}");
    }
    assert!(found.iter().any(|(path, _)| path.starts_with(&blobs) && path.is_file()), "{found:?}");
}

#[tokio::test]
async fn a_want_of_file_descriptors_is_told_and_passes() {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_chatpic")]);
    let site = Site::start_by(command, &folder.path().join("data"), &[]);
    let address = site.url.strip_prefix("http://").unwrap();
    let mut served = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    let told = || site.log().lines().filter(|line| line.contains("no connection can be accepted")).count();
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    while told() == 0 {
        looks.tick().await;
    }
    // Who is in is served.
    let mut answer = [0; 12];
    served.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    served.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    drop(idle);
    let healthy = reqwest::get(format!("{}/healthz", site.url)).await.unwrap();
    assert_eq!(healthy.status(), 200);
    assert_eq!(told(), 1, "{}", site.log());
}

/// What lies in a folder, by path, with the bytes of each file but of the memory that a database's processes share.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path.clone());
                found.insert(path, Vec::new());
            } else if !path.ends_with("chatpic.sqlite-shm") {
                let bytes = std::fs::read(&path).unwrap();
                found.insert(path, bytes);
            }
        }
    }
    found
}

/// How a command ended that must fail, and why.
fn refused(data: &Path, arguments: &[&str]) -> String {
    let output = chatpic().args(arguments).arg("--data").arg(data).output().unwrap();
    let why = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {why}");
    why
}

#[tokio::test]
async fn a_secret_that_is_missing_beside_its_database_is_not_replaced() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let site = Site::start(&data);
    site.share(1).await;
    drop(site);
    let (secret, elsewhere) = (data.join("secret"), folder.path().join("secret"));
    std::fs::rename(&secret, &elsewhere).unwrap();
    let before = contents(&data);
    for command in ["serve", "check", "sweep", "reports"] {
        let why = refused(&data, &[command, "--listen", "127.0.0.1:0"]);
        assert!(why.contains("its installation's secret is missing: put it back as"), "{command}: {why}");
    }
    assert_eq!(contents(&data), before, "nothing was written");
    std::fs::rename(&elsewhere, &secret).unwrap();
    assert_eq!(run(&data, &["check"]).0, Some(0));
    Site::start(&data).share(1).await;
}

#[tokio::test]
async fn only_serve_makes_an_installation_and_a_check_makes_nothing() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("mistyped");
    let leak = folder.path().join("leak.jpg");
    std::fs::write(&leak, support::photograph(1)).unwrap();
    let trace = ["trace", leak.to_str().unwrap()];
    for command in [&["sweep"][..], &["reports"], &["burn", "AAAAAAAAAAAAAAAA"], &trace] {
        let why = refused(&data, command);
        assert!(why.contains("there is no installation here"), "{command:?}: {why}");
    }
    let (code, told) = run(&data, &["check"]);
    assert_eq!(code, Some(0));
    assert!(told.contains("none yet"), "{told}");
    assert!(!data.exists(), "nothing was made");

    let site = Site::start(&data);
    site.share(1).await;
    drop(site);
    let before = contents(&data);
    assert_eq!(run(&data, &["check"]).0, Some(0));
    assert_eq!(contents(&data), before, "nothing was changed");
}

#[tokio::test]
async fn images_without_their_database_are_not_swept_away_nor_a_database_served_without_its_images() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let site = Site::start(&data);
    let share = site.share(1).await;
    drop(site);
    let database = data.join("chatpic.sqlite");
    let elsewhere = folder.path().join("chatpic.sqlite");
    let swap = |from: &Path, to: &Path| {
        for part in ["", "-wal", "-shm"] {
            let part = |path: &Path| PathBuf::from(format!("{}{part}", path.display()));
            drop(std::fs::rename(part(from), part(to)));
        }
    };
    swap(&database, &elsewhere);
    for command in ["serve", "check", "sweep"] {
        let why = refused(&data, &[command, "--listen", "127.0.0.1:0", "--upload-timeout", "1s"]);
        assert!(why.contains("but their database is missing"), "{command}: {why}");
    }
    swap(&elsewhere, &database);

    let images = (data.join("blobs"), folder.path().join("blobs"));
    std::fs::rename(&images.0, &images.1).unwrap();
    for command in ["serve", "check", "sweep"] {
        let why = refused(&data, &[command, "--listen", "127.0.0.1:0"]);
        assert!(why.contains("blobs, is missing"), "{command}: {why}");
    }
    assert!(!images.0.exists(), "nothing was made");
    std::fs::rename(&images.1, &images.0).unwrap();
    assert_eq!(open(&Site::start(&data), &share).await.status(), 201);
}

#[test]
fn settings_out_of_range_are_refused_before_anything_is_made() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    for (flag, value, told) in [
        (
            "--default-expiry",
            "90d",
            "--default-expiry must be from min-expiry (60 s) to max-expiry (30 days), not 90 days",
        ),
        ("--default-expiry", "0d", "--default-expiry must be from min-expiry"),
        ("--max-expiry", "30s", "--min-expiry must be from 1 s to max-expiry (30 s), not 60 s"),
        ("--images", "0", "--images must be from 1 to 32, not 0"),
        ("--images", "33", "--images must be from 1 to 32, not 33"),
        ("--max-views", "0", "--max-views must be from 1 to unlimited-views (100000), not 0"),
        ("--session-idle", "0s", "--session-idle must be from 1 s to session-absolute (3600 s)"),
        ("--listeners", "0", "--listeners must be at least 4"),
        ("--form-bytes", "1", "--form-bytes must be at least 83886080, eight times image-bytes"),
        ("--client-header", "no header", "--client-header must be the name of a header"),
        ("--client-header", "Forwarded", "--client-header must be the name of a header that holds addresses"),
        (
            "--base-url",
            "https://x.org/s",
            "--base-url must be without a path that begins like a page of the site",
        ),
        ("--upload-timeout", "0s", "--upload-timeout must be from 1 s"),
        ("--long-side", "10", "--long-side must be from 320 to longest-side (8192), not 10"),
    ] {
        for command in ["check", "serve"] {
            let why = refused(&data, &[command, "--listen", "127.0.0.1:0", flag, value]);
            assert!(why.contains(told), "{command} {flag} {value}: {why}");
        }
    }
    for (flag, value) in [
        ("--base-url", "pics.example"),
        ("--contact", "op@x.org"),
        ("--terms", "pics.example/terms"),
        ("--trusted-proxy", "localhost"),
    ] {
        assert_eq!(run(&data, &["check", flag, value]).0, Some(2), "{flag} {value}");
    }
    assert!(!data.exists());
    assert_eq!(
        run(&data, &["check", "--trusted-proxy", "127.0.0.1", "--trusted-proxy", "fd00::/8"]).0,
        Some(0)
    );
}

#[test]
fn a_reader_that_has_read_enough_is_no_error() {
    let mut child = chatpic()
        .args(["completions", "bash"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(ended.stderr.is_empty());
}

#[test]
fn a_command_that_fails_tells_each_cause_once() {
    let folder = TempDir::new().unwrap();
    let leak = folder.path().join("nowhere.jpg");
    let failed = chatpic().arg("trace").arg(&leak).arg("--data").arg(folder.path()).output().unwrap();
    let told = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(told.matches("No such file or directory").count(), 1, "{told}");
}

#[tokio::test]
async fn a_leak_without_an_end_is_refused_and_not_read_to_it() {
    let folder = TempDir::new().unwrap();
    Site::start(folder.path()).kill();
    let run = support::bounded().args(["trace", "/dev/zero", "--data"]).arg(folder.path()).output().unwrap();
    let told = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(1), "{told}");
    assert!(told.contains("larger than 10 MB"), "{told}");
}
