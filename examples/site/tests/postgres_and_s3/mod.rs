//! Three nodes on one PostgreSQL and one S3, which `scripts/servers` starts.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, query};
use tempfile::TempDir;
use tokio::sync::{Notify, watch};

use crate::crashes::{Place, kill};
use crate::support::{Site, chatpic};

/// A database and a bucket's folder of their own, and the secret that all nodes share.
struct Cluster {
    folder: TempDir,
    name: String,
    server: String,
}

fn server(variable: &str) -> String {
    std::env::var(variable).expect("scripts/servers sets it")
}

impl Cluster {
    async fn new(test: &str) -> Self {
        Self::on(server("CHATPIC_TEST_POSTGRES"), test).await
    }

    async fn on(server: String, test: &str) -> Self {
        let name = format!("nodes_{test}_{}", std::process::id());
        let cluster = Self { folder: TempDir::new().unwrap(), name, server };
        cluster.tell(&format!("CREATE DATABASE {}", cluster.name)).await;
        cluster
    }

    /// Runs a statement on the server, from another database.
    async fn tell(&self, statement: &str) {
        let mut db = PgConnection::connect(&self.server).await.unwrap();
        query(AssertSqlSafe(statement.to_owned())).execute(&mut db).await.unwrap();
    }

    async fn start(&self, node: usize) -> Site {
        self.start_with(node, &[]).await
    }

    fn database(&self) -> String {
        format!("{}/{}", self.server.rsplit_once('/').unwrap().0, self.name)
    }

    fn blobs(&self) -> String {
        format!("{}/{}", server("CHATPIC_TEST_S3"), self.name)
    }

    /// A node with these variables as well.
    async fn start_with(&self, node: usize, more: &[(&'static str, &str)]) -> Site {
        let secret = self.folder.path().join("secret");
        let data = self.folder.path().join(node.to_string());
        let mut variables = vec![
            ("CHATPIC_DATABASE", self.database()),
            ("CHATPIC_BLOBS", self.blobs()),
            ("CHATPIC_SECRET_FILE", secret.to_str().unwrap().to_owned()),
            ("CHATPIC_OPENS_PER_HOUR", "0".to_owned()),
        ];
        variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let starting = tokio::task::spawn_blocking(move || {
            let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
            Site::start_with(&data, &variables)
        });
        starting.await.unwrap()
    }
}

/// Crashes or starts the PostgreSQL server that no other test uses.
async fn postgres(what: &'static str) {
    let control = server("CHATPIC_TEST_POSTGRES_CONTROL");
    let done = tokio::task::spawn_blocking(move || Command::new(control).arg(what).status().unwrap());
    assert!(done.await.unwrap().success(), "{what}");
}

fn url(site: &str, share: &Value, rest: &str) -> String {
    format!("{site}/api/v1/shares/{}{rest}", share["share_id"].as_str().unwrap())
}

/// A viewer's nonce: 18 bytes, whose base64url is digits.
fn nonce(viewer: usize) -> String {
    format!("{viewer:024}")
}

async fn open(client: &Client, site: &str, share: &Value, nonce: &str) -> reqwest::Result<Response> {
    let request = json!({ "key": share["link_key"], "nonce": nonce });
    client.post(url(site, share, "/sessions")).json(&request).send().await
}

async fn dashboard(client: &Client, site: &str, share: &Value) -> Value {
    let key = share["dashboard_key"].as_str().unwrap();
    let answer = client.get(url(site, share, "/dashboard")).bearer_auth(key).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

/// Opens at once by `CHATPIC_TEST_OPENS` (2000 by default) viewers, each of whom tries until it is told yes or no,
/// with the same nonce, at whatever node still stands.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "PostgreSQL and S3 servers"]
async fn limits_hold_while_a_node_dies_and_the_database_restarts() {
    let opens = std::env::var("CHATPIC_TEST_OPENS").map_or(2000, |opens| opens.parse().unwrap());
    let cluster = Cluster::on(server("CHATPIC_TEST_POSTGRES_ALONE"), "limits").await;
    let sites = futures::future::join_all((0..3).map(|node| cluster.start(node))).await;
    let limits = [70, 200, 330];
    let mut shares = Vec::new();
    for (site, limit) in sites.iter().zip(limits) {
        shares.push(site.share_with(1, &[("max_views", &limit.to_string())]).await);
    }
    let urls: Vec<_> = sites.iter().map(|site| site.url.clone()).collect();
    let client = Client::new();

    let answered = AtomicUsize::new(0);
    let unavailable = Notify::new();
    let (down, up) = watch::channel(false);
    let granted: Vec<Mutex<BTreeMap<String, usize>>> = limits.map(|_| Mutex::default()).into();
    let outage_at = Notify::new();

    let viewers = futures::stream::iter(0..opens).for_each_concurrent(None, |viewer| {
        let (share, nonce) = (viewer % shares.len(), nonce(viewer));
        let (client, urls, shares, granted) = (&client, &urls, &shares, &granted);
        let (answered, outage_at, unavailable) = (&answered, &outage_at, &unavailable);
        let mut up = up.clone();
        async move {
            // The share's own node first, then the others.
            for node in (viewer / shares.len()..).map(|node| node % urls.len()) {
                // A node that died does not answer; another one will.
                let Ok(answer) = open(client, &urls[node], &shares[share], &nonce).await else {
                    continue;
                };
                match answer.status() {
                    StatusCode::CREATED | StatusCode::OK => {
                        let session: Value = answer.json().await.unwrap();
                        let session = session["session"].as_str().unwrap().to_owned();
                        granted[share].lock().unwrap().insert(session, viewer);
                    }
                    StatusCode::NOT_FOUND => {}
                    StatusCode::SERVICE_UNAVAILABLE => {
                        assert!(answer.headers().contains_key("retry-after"));
                        unavailable.notify_one();
                        // Until the database is back.
                        up.wait_for(|down| !down).await.unwrap();
                        continue;
                    }
                    other => unreachable!("{other}"),
                }
                break;
            }
            if answered.fetch_add(1, Ordering::Relaxed) == opens / 10 {
                outage_at.notify_one();
            }
        }
    });
    let mut sites = sites;
    let accidents = async {
        outage_at.notified().await;
        let node = sites.pop().unwrap();
        tokio::task::spawn_blocking(|| node.kill()).await.unwrap();
        down.send(true).unwrap();
        postgres("crash").await;
        unavailable.notified().await;
        let ready = client.get(format!("{}/readyz", urls[0])).send().await.unwrap();
        assert_eq!(ready.status(), 503);
        let why = ready.text().await.unwrap();
        assert!(why.contains("postgres"), "it names the store: {why}");
        postgres("start").await;
        down.send(false).unwrap();
    };
    futures::join!(viewers, accidents);

    let here = &sites[0].url;
    for ((share, limit), granted) in shares.iter().zip(limits).zip(&granted) {
        let told = granted.lock().unwrap().len();
        let page = dashboard(&client, here, share).await;
        assert_eq!(page["views"], limit, "every view was granted, and none beyond");
        assert_eq!(told, limit as usize, "whoever was granted one was told in the end");
        assert_eq!(page["status"], "exhausted");
    }
    // The node comes back and finds what was acknowledged on it.
    let back = cluster.start(2).await;
    assert_eq!(dashboard(&client, &back.url, &shares[2]).await["views"], limits[2]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "PostgreSQL and S3 servers"]
async fn a_burn_on_one_node_is_seen_by_all() {
    let cluster = Cluster::new("burn").await;
    let sites = futures::future::join_all((0..3).map(|node| cluster.start(node))).await;
    let client = Client::new();
    let share = sites[0].share(1).await;
    let mut tokens = Vec::new();
    for (viewer, site) in sites.iter().enumerate() {
        let opened = open(&client, &site.url, &share, &nonce(viewer)).await.unwrap();
        let session: Value = opened.json().await.unwrap();
        tokens.push(session["token"].as_str().unwrap().to_owned());
    }
    let image = async |site: &Site, token: &str| {
        let image = client.get(url(&site.url, &share, "/images/0")).bearer_auth(token).send();
        image.await.unwrap().status()
    };
    for (site, token) in sites.iter().zip(tokens.iter().rev()) {
        assert_eq!(image(site, token).await, 200, "a session is good on every node");
    }
    let key = share["dashboard_key"].as_str().unwrap();
    let burned = client.delete(url(&sites[1].url, &share, "")).bearer_auth(key).send().await.unwrap();
    let receipt: Value = burned.json().await.unwrap();
    assert_eq!(receipt["objects_pending"], 0, "{receipt}");
    assert_ne!(receipt["purged_at"], Value::Null, "{receipt}");
    for (site, token) in sites.iter().zip(&tokens) {
        assert_eq!(image(site, token).await, 401);
        assert_eq!(open(&client, &site.url, &share, &nonce(99)).await.unwrap().status(), 404);
        assert_eq!(dashboard(&client, &site.url, &share).await["status"], "burned");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "PostgreSQL and S3 servers"]
async fn wrong_passwords_are_throttled_over_all_nodes_together() {
    let cluster = Arc::new(Cluster::new("throttle").await);
    let sites = futures::future::join_all((0..3).map(|node| cluster.start(node))).await;
    let client = Client::new();
    let share = sites[0].share_with(1, &[("password", "open sesame")]).await;
    let attempt = async |site: &Site, password: &str| {
        let request = json!({ "key": share["link_key"], "password": password });
        let answer = client.post(url(&site.url, &share, "/sessions")).json(&request).send().await.unwrap();
        answer.status()
    };
    for site in sites.iter().cycle().take(10) {
        assert_eq!(attempt(site, "wrong").await, 401);
    }
    for site in &sites {
        assert_eq!(attempt(site, "open sesame").await, 429);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "PostgreSQL and S3 servers"]
async fn a_burn_while_s3_is_out_of_reach_says_what_is_pending() {
    let cluster = Cluster::new("pending").await;
    let sighted = cluster.start(0).await;
    // Nothing listens there.
    let blind = cluster.start_with(1, &[("AWS_ENDPOINT", "http://127.0.0.1:9")]).await;
    let client = Client::new();
    let share = sighted.share(1).await;
    let session: Value = open(&client, &sighted.url, &share, &nonce(1)).await.unwrap().json().await.unwrap();
    let key = share["dashboard_key"].as_str().unwrap();
    let burn = async |site: &Site| -> Value {
        let burned = client.delete(url(&site.url, &share, "")).bearer_auth(key).send().await.unwrap();
        assert_eq!(burned.status(), 200);
        burned.json().await.unwrap()
    };
    let pending = burn(&blind).await;
    assert_eq!((&pending["objects_deleted"], &pending["purged_at"]), (&json!(0), &Value::Null), "{pending}");
    let objects = pending["objects_pending"].as_u64().unwrap();
    assert!(objects > 0, "{pending}");
    let token = session["token"].as_str().unwrap();
    let image = client.get(url(&sighted.url, &share, "/images/0")).bearer_auth(token).send().await.unwrap();
    assert_eq!(image.status(), 401, "its key is gone, wherever the objects are");
    let done = burn(&sighted).await;
    assert_eq!((&done["objects_deleted"], &done["objects_pending"]), (&json!(objects), &json!(0)), "{done}");
    assert_eq!(done["burned_at"], pending["burned_at"]);
    assert_ne!(done["purged_at"], Value::Null, "{done}");

    let ready = client.get(format!("{}/readyz", blind.url)).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    assert!(ready.text().await.unwrap().contains("object store"), "it names the store");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "PostgreSQL and S3 servers"]
async fn nothing_promised_is_lost_however_often_a_node_is_killed() {
    let cluster = Cluster::new("crashes").await;
    let data = cluster.folder.path().join("data");
    kill(50, Place { data, database: cluster.database(), blobs: cluster.blobs() }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "PostgreSQL and S3 servers"]
async fn a_check_tells_in_words_what_is_wrong() {
    let cluster = Cluster::new("check").await;
    cluster.start(0).await.kill();
    let check = |database: &str, blobs: &str| {
        let mut check = chatpic();
        check.arg("check").arg("--data").arg(cluster.folder.path().join("0"));
        check.env("CHATPIC_SECRET_FILE", cluster.folder.path().join("secret"));
        let checked = check.env("CHATPIC_DATABASE", database).env("CHATPIC_BLOBS", blobs).output().unwrap();
        (checked.status.code(), String::from_utf8(checked.stderr).unwrap())
    };
    let (database, blobs) = (cluster.database(), cluster.blobs());
    assert_eq!(check(&database, &blobs).0, Some(0));
    for (database, blobs, words) in [
        (format!("{database}_that_is_not_there"), &blobs, "has no such database"),
        (database.replace(":chatpic@", ":sesame@"), &blobs, "refuses the user or the password"),
        (database.clone(), &"s3://a-bucket-that-is-not-there".to_owned(), "there is no such bucket"),
    ] {
        let (code, why) = check(&database, blobs);
        assert_eq!(code, Some(1), "{why}");
        assert!(why.contains(words) && !why.contains("sesame"), "{why}");
    }

    // A server whose clock is an hour behind.
    let mut db = PgConnection::connect(&database).await.unwrap();
    for statement in [
        "CREATE SCHEMA skewed".to_owned(),
        "CREATE FUNCTION skewed.clock_timestamp() RETURNS timestamptz LANGUAGE sql
         AS $$ SELECT pg_catalog.now() - interval '1 hour' $$"
            .to_owned(),
        format!("ALTER DATABASE {} SET search_path = public, skewed, pg_catalog", cluster.name),
    ] {
        query(AssertSqlSafe(statement)).execute(&mut db).await.unwrap();
    }
    let (code, why) = check(&database, &blobs);
    assert_eq!(code, Some(1), "{why}");
    assert!(why.contains("seconds ahead of the database server's"), "{why}");
}
