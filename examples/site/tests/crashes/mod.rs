//! The server is killed again and again in the middle of its work, and nothing that it promised is lost.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatpic_core::testing::{ManualClock, SeededEntropy, samples};
use chatpic_core::{ChatPic, Clock, Entropy, InstallationSecret, SystemClock};
use chatpic_storage::{blob_store, share_store};
use futures::stream::{self, StreamExt, TryStreamExt};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Site, chatpic};

/// Numbers that a seed decides.
struct Dice(SeededEntropy);

impl Dice {
    fn below(&self, bound: u64) -> u64 {
        let entropy: &dyn Entropy = &self.0;
        u64::from_le_bytes(entropy.bytes()) % bound
    }
}

/// A share whose upload was acknowledged, and all that was promised of it.
struct Known {
    share: Value,
    limit: u64,
    /// Sessions that a viewer was told of.
    told: BTreeSet<String>,
    /// Nonces whose answer was lost.
    lost: Vec<String>,
    expires_at: String,
    burn_asked: bool,
    burned: bool,
}

/// What one client does next; the numbers choose among the shares that are known.
enum Deed {
    Create { limit: u64 },
    Open { nonce: String, share: usize },
    Extend { share: usize },
    Burn { share: usize },
    Sweep,
}

/// A site that is killed, and the stores that outlive it.
pub(crate) struct Place {
    /// Holds the secret, and what else the stores are not asked to keep.
    pub(crate) data: PathBuf,
    pub(crate) database: String,
    pub(crate) blobs: String,
}

impl Place {
    fn start(&self) -> Site {
        let caps = [("CHATPIC_OPENS_PER_HOUR", "0"), ("CHATPIC_UPLOADS_PER_HOUR", "0")];
        Site::start_with(&self.data, &[&caps[..], &self.stores()].concat())
    }

    fn stores(&self) -> [(&str, &str); 2] {
        [("CHATPIC_DATABASE", &self.database), ("CHATPIC_BLOBS", &self.blobs)]
    }

    fn sweep(&self) -> bool {
        let mut sweep = chatpic();
        sweep.args(["sweep", "--data"]).arg(&self.data).envs(self.stores());
        sweep.output().unwrap().status.success()
    }

    /// Sweeps a year later, and says what is left: folders of objects, shares, and rows that no share holds.
    async fn left_a_year_later(&self) -> (usize, usize, i64) {
        let secret = std::fs::read_to_string(self.data.join("secret")).unwrap();
        let secret: InstallationSecret = secret.parse().unwrap();
        let (shares, blobs) = (share_store(&self.database).await.unwrap(), blob_store(&self.blobs).unwrap());
        let clock = Arc::new(ManualClock::new(SystemClock.now() + Duration::from_secs(365 * 24 * 60 * 60)));
        let stores = ChatPic::builder(secret).stores(shares.clone(), blobs.clone());
        let chatpic = stores.clock(clock).sweep_every(None).build().await.unwrap();
        for _ in 0..2 {
            assert_eq!(chatpic.sweep().await.unwrap().failed, 0);
        }
        let folders: Vec<_> = blobs.folders().try_collect().await.unwrap();
        let rows = "SELECT (SELECT COUNT(*) FROM sessions) + (SELECT COUNT(*) FROM attempts)
            + (SELECT COUNT(*) FROM copies)";
        let rows: i64 = if self.database.starts_with("sqlite:") {
            let mut db = <sqlx::SqliteConnection as sqlx::Connection>::connect(&self.database).await.unwrap();
            sqlx::query_scalar(rows).fetch_one(&mut db).await.unwrap()
        } else {
            let mut db = <sqlx::PgConnection as sqlx::Connection>::connect(&self.database).await.unwrap();
            sqlx::query_scalar(rows).fetch_one(&mut db).await.unwrap()
        };
        (folders.len(), shares.ledger(None, 1000).await.unwrap().len(), rows)
    }
}

struct Model {
    client: Client,
    picture: Vec<u8>,
    shares: Mutex<Vec<Arc<Mutex<Known>>>>,
}

impl Model {
    fn pick(&self, share: usize) -> Option<Arc<Mutex<Known>>> {
        let shares = self.shares.lock().unwrap();
        // The later ones, mostly: they still have views.
        shares.iter().rev().nth(share.min(shares.len().saturating_sub(1))).cloned()
    }

    /// Does it, and notes what was promised. An error says that the answer was lost.
    async fn act(&self, site: &str, place: &Arc<Place>, deed: Deed) -> reqwest::Result<()> {
        match deed {
            Deed::Create { limit } => {
                let picture = Part::bytes(self.picture.clone());
                let form = Form::new().part("images", picture).text("max_views", limit.to_string());
                let url = format!("{site}/api/v1/shares");
                let answer = self.client.post(url).multipart(form).send().await?;
                assert_eq!(answer.status(), 201);
                let share: Value = answer.json().await?;
                let expires_at = share["expires_at"].as_str().unwrap().to_owned();
                let known = Known {
                    share,
                    limit,
                    told: BTreeSet::new(),
                    lost: Vec::new(),
                    expires_at,
                    burn_asked: false,
                    burned: false,
                };
                self.shares.lock().unwrap().push(Arc::new(Mutex::new(known)));
            }
            Deed::Open { nonce, share } => {
                let Some(known) = self.pick(share) else { return Ok(()) };
                if let Err(lost) = self.open(site, &known, &nonce).await {
                    known.lock().unwrap().lost.push(nonce);
                    return Err(lost);
                }
            }
            Deed::Extend { share } => {
                let Some(known) = self.pick(share) else { return Ok(()) };
                let (url, key) = dashboard(site, &known, "/extend");
                let request = self.client.post(url).bearer_auth(key).json(&json!({ "extend_by": 3600 }));
                let answer = request.send().await?;
                if answer.status() == StatusCode::OK {
                    let answer: Value = answer.json().await?;
                    let mut known = known.lock().unwrap();
                    let to = answer["expires_at"].as_str().unwrap().to_owned();
                    known.expires_at = known.expires_at.clone().max(to);
                } else {
                    assert!([409, 422].contains(&answer.status().as_u16()), "{}", answer.status());
                }
            }
            Deed::Burn { share } => {
                let Some(known) = self.pick(share) else { return Ok(()) };
                known.lock().unwrap().burn_asked = true;
                let (url, key) = dashboard(site, &known, "");
                let answer = self.client.delete(url).bearer_auth(key).send().await?;
                assert_eq!(answer.status(), 200);
                known.lock().unwrap().burned = true;
            }
            Deed::Sweep => {
                let place = place.clone();
                assert!(tokio::task::spawn_blocking(move || place.sweep()).await.unwrap());
            }
        }
        Ok(())
    }

    async fn open(&self, site: &str, known: &Mutex<Known>, nonce: &str) -> reqwest::Result<()> {
        let (url, request) = {
            let share = &known.lock().unwrap().share;
            let id = share["share_id"].as_str().unwrap();
            let request = json!({ "key": share["link_key"], "nonce": nonce });
            (format!("{site}/api/v1/shares/{id}/sessions"), request)
        };
        let answer = self.client.post(url).json(&request).send().await?;
        match answer.status() {
            StatusCode::CREATED | StatusCode::OK => {
                let session: Value = answer.json().await?;
                known.lock().unwrap().told.insert(session["session"].as_str().unwrap().to_owned());
            }
            status => assert_eq!(status, StatusCode::NOT_FOUND),
        }
        Ok(())
    }

    /// Asks again for every answer that was lost, and compares what the server says with what it promised, of the
    /// latest so many shares.
    async fn check(&self, site: &str, seed: u64, latest: usize) {
        let shares = self.shares.lock().unwrap().clone();
        for known in shares.iter().rev().take(latest) {
            let lost = std::mem::take(&mut known.lock().unwrap().lost);
            for nonce in lost {
                self.open(site, known, &nonce).await.unwrap();
            }
            let (url, key) = dashboard(site, known, "/dashboard");
            let page = self.client.get(url).bearer_auth(key).send().await.unwrap();
            assert_eq!(page.status(), 200, "seed {seed}: an acknowledged share is known");
            let page: Value = page.json().await.unwrap();
            let known = known.lock().unwrap();
            let (views, told) = (page["views"].as_u64().unwrap(), known.told.len() as u64);
            assert!(views <= known.limit, "seed {seed}: {page}");
            let expired = page["expires_at"].as_str().unwrap() < known.expires_at.as_str();
            assert!(!expired, "seed {seed}: {page} should expire at {}", known.expires_at);
            match page["status"].as_str().unwrap() {
                "active" => assert!(views < known.limit && !known.burned, "seed {seed}: {page}"),
                "exhausted" => assert!(views == known.limit, "seed {seed}: {page}"),
                "burned" => assert!(known.burn_asked, "seed {seed}: {page}"),
                other => unreachable!("seed {seed}: {other}"),
            }
            // Nobody is told of a lost view once the share was burned.
            assert!(told <= views && (known.burn_asked || told == views), "seed {seed}: {told} of {page}");
        }
    }
}

fn dashboard(site: &str, known: &Mutex<Known>, rest: &str) -> (String, String) {
    let share = &known.lock().unwrap().share;
    let text = |name: &str| share[name].as_str().unwrap().to_owned();
    (format!("{site}/api/v1/shares/{}{rest}", text("share_id")), text("dashboard_key"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_promised_is_lost_however_often_it_is_killed() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let url = |scheme: &str, path: &Path| format!("{scheme}://{}", path.display());
    let database = url("sqlite", &data.join("chatpic.sqlite"));
    kill(50, Place { database, blobs: url("file", &data.join("blobs")), data }).await;
}

/// Kills it `CHATPIC_TEST_CRASHES` times, or so often when it is not set; `CHATPIC_TEST_SEED` repeats a run's choices,
/// though not the moments at which the operating system lets them meet.
pub(crate) async fn kill(short: u64, place: Place) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let crashes = number("CHATPIC_TEST_CRASHES").unwrap_or(short);
    let seed = number("CHATPIC_TEST_SEED").unwrap_or_else(|| RandomState::new().hash_one("seed"));
    println!("CHATPIC_TEST_SEED={seed} CHATPIC_TEST_CRASHES={crashes}");
    let dice = Dice(SeededEntropy::new(seed));

    let place = Arc::new(place);
    let mut site = place.start();
    let picture = samples::jpeg(&samples::photograph(320, 240, seed), 90);
    let model = Model { client: Client::new(), picture, shares: Mutex::default() };

    for round in 0..crashes {
        let deeds = (0..24).map(|n| {
            let share = dice.below(4) as usize;
            match dice.below(20) {
                0..4 => Deed::Create { limit: 1 + dice.below(6) },
                4..15 => Deed::Open { nonce: format!("{:024}", round * 100 + n), share },
                15..17 => Deed::Extend { share },
                17..19 => Deed::Burn { share },
                _ => Deed::Sweep,
            }
        });
        let deeds: Vec<_> = deeds.collect();
        let (fatal, patience) = (dice.below(20), dice.below(3000));
        let url = site.url.clone();
        // One share that is made in peace, for the other deeds to be about.
        model.act(&url, &place, Deed::Create { limit: 1 + dice.below(6) }).await.unwrap();
        let mut acts = stream::iter(deeds).map(|deed| model.act(&url, &place, deed)).buffer_unordered(6);
        for _ in 0..fatal {
            acts.next().await.unwrap().unwrap();
        }
        // Some way into the deeds that are under way.
        for _ in 0..patience {
            match futures::poll!(acts.next()) {
                std::task::Poll::Ready(Some(act)) => act.unwrap(),
                std::task::Poll::Ready(None) => break,
                std::task::Poll::Pending => tokio::task::yield_now().await,
            }
        }
        site.kill_in_place();
        // What was under way is lost, and all that comes after it.
        acts.for_each(|_| std::future::ready(())).await;
        site = place.start();
        // No deed of this round was about an earlier share.
        model.check(&site.url, seed, 40).await;
    }

    model.check(&site.url, seed, usize::MAX).await;
    // What has views left can be opened, and what was burned can't.
    let shares = model.shares.lock().unwrap().clone();
    assert!(shares.len() as u64 >= crashes / 2, "seed {seed}: only {} shares were made", shares.len());
    for known in &shares {
        let (before, open, unsure) = {
            let known = known.lock().unwrap();
            let open = !known.burned && (known.told.len() as u64) < known.limit;
            (known.told.len(), open, known.burn_asked && !known.burned)
        };
        model.open(&site.url, known, &format!("{:024}", 999_999)).await.unwrap();
        let told = known.lock().unwrap().told.len();
        assert!(unsure || told == before + usize::from(open), "seed {seed}");
    }
    site.kill();

    assert_eq!(place.left_a_year_later().await, (0, 0, 0), "seed {seed}: objects, shares, rows");
}
