//! What surrounds the real binary breaks: the disk, the folder, the object store. Whoever asks is told to come again,
//! nothing that was promised is lost, and all goes on when it works again.

mod s3;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Site, chatpic, run};
use crate::{image, open};

/// It says that it can't now, and when to come again.
fn expect_unavailable(answer: &Response) {
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
}

async fn get(site: &Site, path: &str) -> Response {
    Client::new().get(format!("{}{path}", site.url)).send().await.unwrap()
}

async fn cover(site: &Site, share: &Value) -> StatusCode {
    get(site, &format!("/api/v1/shares/{}", share["share_id"].as_str().unwrap())).await.status()
}

async fn dashboard(site: &Site, share: &Value) -> Value {
    let path = format!("{}/api/v1/shares/{}/dashboard", site.url, share["share_id"].as_str().unwrap());
    let key = share["dashboard_key"].as_str().unwrap();
    Client::new().get(path).bearer_auth(key).send().await.unwrap().json().await.unwrap()
}

async fn burn(site: &Site, share: &Value) -> Value {
    let path = format!("{}/api/v1/shares/{}", site.url, share["share_id"].as_str().unwrap());
    let key = share["dashboard_key"].as_str().unwrap();
    let burned = Client::new().delete(path).bearer_auth(key).send().await.unwrap();
    assert_eq!(burned.status(), 200);
    burned.json().await.unwrap()
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// How a disk is made small: a file system of 24 MB in memory that only the site sees, where that may be mounted, and
/// else a limit on the length of its files, which fails its writes alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Disk {
    Mounted,
    Limited,
}

impl Disk {
    fn new() -> Self {
        let mount = "mount -t tmpfs none /mnt";
        let mounted = succeeds(Command::new("unshare").args(["--mount", "sh", "-c", mount]));
        let disk = if mounted { Self::Mounted } else { Self::Limited };
        println!("the disk is {disk:?}");
        disk
    }

    fn start(self, data: &Path, variables: &[(&str, &str)]) -> Site {
        let program = chatpic();
        let mut wrapper = match self {
            Self::Mounted => {
                fs::create_dir_all(data).unwrap();
                let mut unshare = Command::new("unshare");
                let mount = r#"mount -t tmpfs -o size=24m none "$0" && exec "$@""#;
                unshare.args(["--mount", "sh", "-c", mount]).arg(data);
                unshare
            }
            Self::Limited => {
                let mut shell = Command::new("sh");
                // Without the signal the write fails.
                shell.args(["-c", r#"trap '' XFSZ; exec "$@""#, "sh"]);
                shell
            }
        };
        wrapper.arg(program.get_program());
        Site::start_by(wrapper, data, variables)
    }

    /// One of the site's files, as the site sees it.
    fn file(site: &Site, data: &Path, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", site.pid()));
        root.join(data.strip_prefix("/").unwrap()).join(name)
    }

    /// A file on the site's own disk.
    fn filler(site: &Site, data: &Path) -> PathBuf {
        Self::file(site, data, "filler")
    }

    /// Leaves so many bytes free.
    fn fill(self, site: &Site, data: &Path, free: u64) {
        match self {
            Self::Mounted => {
                let filler = Self::filler(site, data);
                drop(fs::remove_file(&filler));
                // It takes what there is.
                drop(fs::write(&filler, vec![0; 24 << 20]));
                let length = fs::metadata(&filler).unwrap().len();
                let file = fs::File::options().write(true).open(filler).unwrap();
                file.set_len(length.saturating_sub(free)).unwrap();
            }
            Self::Limited => limit(site, "1024:"),
        }
    }

    fn empty(self, site: &Site, data: &Path) {
        match self {
            Self::Mounted => fs::remove_file(Self::filler(site, data)).unwrap(),
            Self::Limited => limit(site, "unlimited:"),
        }
    }
}

fn limit(site: &Site, length: &str) {
    let pid = site.pid().to_string();
    assert!(succeeds(Command::new("prlimit").args(["--pid", &pid]).arg(format!("--fsize={length}"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_what_it_can_not_keep_and_loses_nothing() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let disk = Disk::new();
    let site = disk.start(&data, &[("CHATPIC_OPENS_PER_HOUR", "0")]);
    let share = site.share_with(1, &[("max_views", "50")]).await;
    let other = site.share(1).await;
    let session: Value = open(&site, &share).await.json().await.unwrap();
    let mut granted = 1;

    if disk == Disk::Mounted {
        // Less than 5 % are free: nothing is uploaded, and all else goes on.
        disk.fill(&site, &data, 1 << 20);
        expect_unavailable(&site.upload(1, &[]).await);
        assert_eq!(open(&site, &share).await.status(), 201);
        granted += 1;
        assert_eq!(image(&site, &share, &session).await.status(), 200);
    }

    disk.fill(&site, &data, 0);
    expect_unavailable(&site.upload(1, &[]).await);
    assert_eq!(cover(&site, &share).await, 200);
    let mut refused = 0;
    for _ in 0..20 {
        let answer = open(&site, &share).await;
        // As long as the log has room within its length.
        if answer.status() == 201 {
            granted += 1;
        } else {
            expect_unavailable(&answer);
            refused += 1;
        }
    }
    assert!(refused > 0, "the disk was not full");

    disk.empty(&site, &data);
    assert_eq!(dashboard(&site, &share).await["views"], granted, "no view was spent in vain");
    assert_eq!(open(&site, &share).await.status(), 201);
    assert_eq!(image(&site, &share, &session).await.status(), 200);
    site.share(1).await;
    let receipt = burn(&site, &other).await;
    assert_eq!(receipt["objects_pending"], 0, "{receipt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_shares_are_burned_and_images_shown_from_the_reserve() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let disk = Disk::new();
    let site = disk.start(&data, &[("CHATPIC_FREE_PERCENT", "0")]);
    let (shown, burned) = (site.share(1).await, site.share(2).await);
    let session: Value = open(&site, &shown).await.json().await.unwrap();
    let reserve = Disk::file(&site, &data, "chatpic.sqlite-reserve");
    assert!(fs::metadata(&reserve).unwrap().len() <= 4 << 20);

    disk.fill(&site, &data, 0);
    // A session that was paid for needs no write.
    assert_eq!(image(&site, &shown, &session).await.status(), 200);
    if disk == Disk::Limited {
        // Its files can't grow, whatever room there is: no reserve helps.
        disk.empty(&site, &data);
        return;
    }
    expect_unavailable(&open(&site, &shown).await);
    let receipt = burn(&site, &burned).await;
    assert_eq!((&receipt["keys_destroyed"], &receipt["objects_pending"]), (&json!(true), &json!(0)));
    assert!(receipt["purged_at"].is_string(), "{receipt}");
    assert!(!reserve.exists(), "it was given up");
    assert_eq!(cover(&site, &burned).await, 404);
    assert_eq!(image(&site, &shown, &session).await.status(), 200);

    disk.empty(&site, &data);
    assert_eq!(open(&site, &shown).await.status(), 201);
    assert!(burn(&site, &shown).await["purged_at"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_another_writer_holds_the_database_images_are_shown_and_a_burn_refuses_at_once() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let site = Site::start(&data);
    let (shown, burned) = (site.share(1).await, site.share(1).await);
    let session: Value = open(&site, &shown).await.json().await.unwrap();
    let url = format!("sqlite://{}", data.join("chatpic.sqlite").display());
    let mut writer = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut writer).await.unwrap();

    assert_eq!(image(&site, &shown, &session).await.status(), 200);
    let burning = async {
        let path = format!("{}/api/v1/shares/{}", site.url, burned["share_id"].as_str().unwrap());
        let key = burned["dashboard_key"].as_str().unwrap();
        Client::new().delete(path).bearer_auth(key).send().await.unwrap()
    };
    let refused = async { while cover(&site, &burned).await == 200 {} };
    let mut burning = std::pin::pin!(burning);
    // It is refused before its uploader has an answer.
    tokio::select! {
        answer = &mut burning => panic!("{}", answer.status()),
        () = refused => {}
    }
    expect_unavailable(&burning.await);
    let folders = fs::read_dir(data.join("blobs")).unwrap().map(|entry| entry.unwrap().path());
    let kept = folders.filter(|folder| fs::read_dir(folder).unwrap().next().is_some()).count();
    assert_eq!(kept, 1, "its objects are gone");
    assert_eq!(image(&site, &shown, &session).await.status(), 200);

    sqlx::query("ROLLBACK").execute(&mut writer).await.unwrap();
    let receipt = burn(&site, &burned).await;
    assert_eq!((&receipt["keys_destroyed"], &receipt["objects_pending"]), (&json!(true), &json!(0)));
}

/// A command that obeys the permissions of files even when it is run by root.
fn obedient() -> Command {
    let setpriv = ["--bounding-set=-dac_override,-dac_read_search"];
    if !succeeds(Command::new("setpriv").args(setpriv).arg("true")) {
        // Whoever may not give up powers has none.
        return chatpic();
    }
    let mut command = Command::new("setpriv");
    command.args(setpriv).arg(chatpic().get_program());
    command
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_folder_refuses_uploads_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let site = Site::start_by(obedient(), &data, &[]);
    let share = site.share(1).await;
    let session: Value = open(&site, &share).await.json().await.unwrap();
    let blobs = data.join("blobs");
    allow(&blobs, 0o555);
    expect_unavailable(&site.upload(1, &[]).await);
    assert_eq!(open(&site, &share).await.status(), 201);
    assert_eq!(image(&site, &share, &session).await.status(), 200);
    let checked = obedient().arg("check").arg("--data").arg(&data).output().unwrap();
    let why = String::from_utf8(checked.stderr).unwrap();
    assert_eq!(checked.status.code(), Some(1));
    assert!(why.contains("object store") && why.contains("denied"), "{why}");
    allow(&blobs, 0o755);
    site.share(1).await;
    assert!(site.log().contains("a store failed"), "{}", site.log());
}

#[test]
fn a_folder_that_can_not_be_written_is_told_at_the_start() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    allow(&data, 0o555);
    let started = obedient().args(["serve", "--listen", "127.0.0.1:0"]).arg("--data").arg(&data).output();
    let started = started.unwrap();
    let why = String::from_utf8(started.stderr).unwrap();
    assert_eq!(started.status.code(), Some(1), "{why}");
    assert!(why.contains("secret") && why.contains("denied"), "{why}");
    allow(&data, 0o755);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_s3_that_answers_errors_is_told_and_recovers() {
    let s3 = s3::FakeS3::start().await;
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let variables = s3.variables();
    let site = Site::start_with(&data, &s3::borrowed(&variables));
    let share = site.share(1).await;
    let session: Value = open(&site, &share).await.json().await.unwrap();
    for status in [500, 503] {
        let burned = site.share(1).await;
        s3.answer(status);
        expect_unavailable(&site.upload(1, &[]).await);
        expect_unavailable(&image(&site, &share, &session).await);
        assert_eq!(cover(&site, &share).await, 200);
        let ready = get(&site, "/readyz").await;
        expect_unavailable(&ready);
        let why = ready.text().await.unwrap();
        assert!(why.contains("object store"), "it names the store: {why}");
        assert_eq!(get(&site, "/healthz").await.status(), 200);
        let receipt = burn(&site, &burned).await;
        assert_eq!(receipt["keys_destroyed"], true, "{receipt}");
        assert_eq!(
            (&receipt["objects_deleted"], &receipt["purged_at"]),
            (&json!(0), &Value::Null),
            "{receipt}"
        );

        s3.recover();
        assert_eq!(get(&site, "/readyz").await.status(), 200);
        assert_eq!(image(&site, &share, &session).await.status(), 200);
        site.share(1).await;
        assert_ne!(burn(&site, &burned).await["purged_at"], Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_s3_that_takes_a_write_and_never_answers_leaves_nothing_behind() {
    let s3 = s3::FakeS3::start().await;
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let variables = s3.variables();
    let variables = s3::borrowed(&variables);
    let site = Site::start_with(&data, &variables);
    let share = site.share(1).await;
    let objects = s3.objects();

    s3.hang();
    expect_unavailable(&site.upload(1, &[]).await);
    s3.recover();
    assert_eq!(s3.objects(), objects + 1, "the write came through after all");
    let again = site.share(1).await;
    let session: Value = open(&site, &again).await.json().await.unwrap();
    assert_eq!(image(&site, &again, &session).await.status(), 200);

    let sweep = |timeout: &str| {
        let mut command = chatpic();
        command.args(["sweep", "--upload-timeout", timeout, "--data"]).arg(&data);
        let swept = command.envs(variables.iter().copied()).output().unwrap();
        assert!(swept.status.success());
        String::from_utf8(swept.stdout).unwrap()
    };
    assert!(sweep("1h").contains(" 0 orphaned"), "it may belong to an upload under way");
    assert!(sweep("1s").contains(" 1 orphaned"), "nobody knows of it");
    assert_eq!(s3.objects(), 2 * objects);
    assert_eq!(cover(&site, &share).await, 200);
    assert_eq!(image(&site, &again, &session).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn reconciling_deletes_orphans_and_names_shares_that_lost_objects() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let site = Site::start(&data);
    let (whole, damaged) = (site.share(1).await, site.share(1).await);
    site.kill();
    let id = |share: &Value| share["share_id"].as_str().unwrap().to_owned();
    let folders = || fs::read_dir(data.join("blobs")).unwrap().map(|entry| entry.unwrap().path());
    // The later one's folder has the later name.
    let latest = folders().max().unwrap();
    fs::remove_file(fs::read_dir(&latest).unwrap().next().unwrap().unwrap().path()).unwrap();
    let orphan = data.join("blobs").join(format!("{:012x}-{:032x}", 1, 1));
    fs::create_dir(&orphan).unwrap();
    fs::write(orphan.join("0-0"), b"sealed").unwrap();
    // What a crash in the middle of a write leaves.
    let torn = data.join("blobs").join(format!("{:012x}-{:032x}", 2, 2));
    fs::create_dir(&torn).unwrap();
    fs::write(torn.join("0-0#1"), b"sea").unwrap();
    fs::write(data.join("blobs/not-ours"), b"").unwrap();

    let (code, told) = run(&data, &["sweep", "--reconcile"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains(&id(&damaged)) && !told.contains(&id(&whole)), "{told}");
    assert!(told.contains(" 1 orphaned objects deleted"), "{told}");
    assert!(!orphan.exists() && !torn.exists() && data.join("blobs/not-ours").exists());
    assert_eq!(folders().filter(|path| path.is_dir()).count(), 2, "what belongs to a share stays");

    assert_eq!(run(&data, &["burn", &id(&damaged)]).0, Some(0));
    let (code, told) = run(&data, &["sweep", "--reconcile"]);
    assert_eq!(code, Some(0), "{told}");
}

/// What `chatpic check` says with these arguments and variables, which is that something is wrong.
fn told(data: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let mut check = chatpic();
    check.arg("check").args(arguments).arg("--data").arg(data).envs(variables.iter().copied());
    let checked = check.output().unwrap();
    let why = String::from_utf8(checked.stderr).unwrap();
    assert_eq!(checked.status.code(), Some(1), "{why}");
    why
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_tells_in_words_what_is_wrong_with_secret_and_database() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    Site::start(&data).kill();
    let nobody = "postgres://chatpic:sesame@127.0.0.1:9/chatpic";
    let why = told(&data, &[], &[("CHATPIC_DATABASE", nobody)]);
    assert!(why.contains("nothing answers at 127.0.0.1:9"), "{why}");
    assert!(!why.contains("sesame"), "{why}");

    let secret = data.join("secret");
    allow(&secret, 0o644);
    let why = told(&data, &[], &[]);
    assert!(
        why.contains("open to others") && why.contains("(mode 644)") && why.contains("chmod 600"),
        "{why}"
    );
    allow(&secret, 0o600);

    let url = format!("sqlite://{}", data.join("chatpic.sqlite").display());
    let mut tables = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.unwrap();
    for (change, words) in [
        ("UPDATE _chatpic_migrations SET version = version + 98", "is newer than this ChatPic"),
        ("UPDATE _chatpic_migrations SET version = version - 199", "older than this ChatPic's"),
    ] {
        sqlx::query(change).execute(&mut tables).await.unwrap();
        let why = told(&data, &[], &[]);
        assert!(why.contains(words), "{why}");
    }
    sqlx::query("UPDATE _chatpic_migrations SET version = version + 101").execute(&mut tables).await.unwrap();
    let checked = chatpic().arg("check").arg("--data").arg(&data).status().unwrap();
    assert!(checked.success(), "all is well again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_tells_in_words_what_is_wrong_with_a_bucket() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let s3 = s3::FakeS3::start().await;
    let variables = s3.variables();
    let check = |arguments: &[&str], more: &[(&str, &str)]| {
        told(&data, arguments, &[&s3::borrowed(&variables), more].concat())
    };
    let why = check(&["--blobs", "s3://bucked/some/where"], &[]);
    assert!(why.contains("there is no such bucket"), "{why}");
    let why = check(&[], &[("AWS_ENDPOINT", "http://127.0.0.1:9")]);
    assert!(why.contains("object store could not"), "{why}");
    s3.answer(403);
    let why = check(&[], &[]);
    assert!(why.contains("it refuses the keys"), "{why}");
}
