//! One address attacks in every way at once, within what it is allowed, while others view, upload, trace and listen:
//! `cargo bench -p chatpic-site --bench siege`.
//!
//! It goes on for `CHATPIC_BENCH_SECONDS` (60 when it is not set), and ends with status 1 when an honest request was not
//! served or the slowest hundredth of images took longer than [`BAR`]. `CHATPIC_BENCH_ATTACKS` chooses some of the
//! attacks by their names, with commas between them; empty, it measures a site in peace. Streams need some 2 100 open
//! files for the site and for this process.
#![expect(clippy::print_stdout, clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "it measures by the clock and paces its visitors")]

#[path = "../tests/attacks/pictures.rs"]
mod pictures;
#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use support::visitor::{BELIEVES_VISITORS, Visitor};
use support::{Site, bounded};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The longest that the slowest hundredth of images may take, on two cores.
const BAR: Duration = Duration::from_secs(2);
/// How long honest requests that are under way at the end are waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const ATTACKER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 66);
const ATTACKS: [&str; 5] = ["thin-leaks", "slow-leaks", "uploads", "animations", "streams"];
const IMAGES: [&str; 3] = ["photograph", "transparent image", "animation"];

/// How requests of one kind went.
#[derive(Default)]
struct Tally {
    begun: usize,
    served: Vec<Duration>,
    /// Other answers, and what came instead of one.
    refused: BTreeMap<String, usize>,
}

impl Tally {
    fn percentile(&self, percent: usize) -> Duration {
        let mut served = self.served.clone();
        served.sort_unstable();
        let last = served.len().saturating_sub(1);
        served.get((served.len() * percent / 100).min(last)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: Duration| time.as_secs_f64();
        let (half, most) = (seconds(self.percentile(50)), seconds(self.percentile(99)));
        write!(
            f,
            "{:5} begun {:5} served  p50 {half:7.2} s  p99 {most:7.2} s",
            self.begun,
            self.served.len()
        )?;
        for (what, count) in &self.refused {
            write!(f, "  {count} x {what}")?;
        }
        match self.begun - self.served.len() - self.refused.values().sum::<usize>() {
            0 => Ok(()),
            open => write!(f, "  {open} without an answer"),
        }
    }
}

/// What the server's processes took.
#[derive(Default)]
struct Load {
    peaks: BTreeMap<u32, u64>,
    cpu: Duration,
    died: Option<Duration>,
}

/// A siege under way.
struct Siege {
    site: Site,
    start: Instant,
    length: Duration,
    over: AtomicBool,
    strangers: AtomicU32,
    tallies: Mutex<BTreeMap<String, Tally>>,
    load: Mutex<Load>,
}

impl Siege {
    fn goes_on(&self) -> bool {
        self.start.elapsed() < self.length && !self.over.load(Ordering::Relaxed)
    }

    /// Somebody who was never here before.
    fn stranger(&self) -> Visitor {
        let number = self.strangers.fetch_add(1, Ordering::Relaxed);
        Visitor::at(&self.site, Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + number))
    }

    fn attacker(&self) -> Visitor {
        Visitor::at(&self.site, ATTACKER)
    }

    fn note(&self, what: &str, change: impl FnOnce(&mut Tally)) {
        change(self.tallies.lock().unwrap().entry(what.to_owned()).or_default());
    }

    /// Makes a request, reads its answer to the end, and notes how it went.
    async fn ask(
        &self,
        what: &str,
        request: impl Future<Output = reqwest::Result<Response>>,
    ) -> Option<Vec<u8>> {
        self.note(what, |tally| tally.begun += 1);
        let start = Instant::now();
        let whole = async {
            let answer = request.await?;
            let status = answer.status();
            reqwest::Result::Ok((status, answer.bytes().await?))
        };
        let outcome = whole.await;
        self.note(what, |tally| match &outcome {
            Ok((status, _)) if status.is_success() => tally.served.push(start.elapsed()),
            Ok((status, _)) => *tally.refused.entry(status.as_u16().to_string()).or_default() += 1,
            Err(_) => *tally.refused.entry("no answer".to_owned()).or_default() += 1,
        });
        let (status, body) = outcome.ok()?;
        status.is_success().then(|| body.into())
    }

    async fn ask_json(
        &self,
        what: &str,
        request: impl Future<Output = reqwest::Result<Response>>,
    ) -> Option<Value> {
        Some(serde_json::from_slice(&self.ask(what, request).await?).unwrap())
    }

    /// Opens a share and looks at all of its images, each of its own kind.
    async fn view(&self, album: &Value, kinds: &[&str]) {
        let visitor = self.stranger();
        let Some(session) = self.ask_json("open", visitor.open(album)).await else { return };
        for (index, kind) in kinds.iter().enumerate() {
            self.ask(kind, visitor.image(album, &session, index, "")).await;
        }
    }

    async fn upload_small(&self, files: &[Vec<u8>]) {
        self.ask("upload", self.stranger().upload(files)).await;
    }

    /// Traces a copy of one's own share.
    async fn trace(&self, leak: &Leaked) {
        let visitor = self.stranger();
        let Some(trace) = self.ask_json("trace", visitor.trace(&leak.share, &leak.copy)).await else {
            return;
        };
        assert_eq!(trace["matches"][0]["session"], leak.session["session"], "the trace is wrong: {trace}");
    }

    /// Opens an event stream and waits for its first event.
    async fn listen(&self, album: &Value) {
        let visitor = self.stranger();
        let Some(session) = self.ask_json("open", visitor.open(album)).await else { return };
        let stream = async {
            let answer = visitor.listen(album, &session["token"]).await?;
            if answer.status() != StatusCode::OK {
                return Ok(answer);
            }
            let head = axum::http::Response::builder().status(200);
            let first = answer.bytes_stream().next().await.transpose()?.unwrap_or_default();
            Ok(head.body(first).unwrap().into())
        };
        self.ask("stream", stream).await;
    }

    /// Notes what the server takes until it dies or the siege is over.
    async fn watch(&self) {
        let mut looks = tokio::time::interval(Duration::from_millis(250));
        let mut before = None;
        loop {
            looks.tick().await;
            let processes = self.site.processes();
            let mut load = self.load.lock().unwrap();
            if processes.is_empty() {
                load.died = Some(self.start.elapsed());
                self.over.store(true, Ordering::Relaxed);
                return;
            }
            let cpu: Duration = processes.iter().map(|process| process.cpu).sum();
            load.cpu = cpu.saturating_sub(*before.get_or_insert(cpu));
            for process in processes {
                let peak = load.peaks.entry(process.pid).or_default();
                *peak = process.peak_memory.max(*peak);
            }
        }
    }
}

/// Does it again and again, with a pause in between, while the siege goes on.
async fn again<V: Future>(siege: Arc<Siege>, pause: Duration, visit: impl Fn(Arc<Siege>) -> V) {
    while siege.goes_on() {
        visit(siege.clone()).await;
        sleep(pause).await;
    }
}

/// A share whose copy leaked.
struct Leaked {
    share: Value,
    session: Value,
    copy: Vec<u8>,
}

impl Leaked {
    async fn new(visitor: &Visitor) -> Self {
        let share = visitor.share(&[support::photograph(4)]).await;
        let (session, mut copies) = visitor.view(&share).await;
        Self { share, session, copy: copies.swap_remove(0) }
    }
}

/// What honest people do.
fn defend(siege: &Arc<Siege>, album: Value, film: Value, leaks: Vec<Leaked>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let (album, film) = (Arc::new(album), Arc::new(film));
    for _ in 0..4 {
        let album = album.clone();
        tasks.spawn(again(siege.clone(), Duration::from_millis(500), move |siege| {
            let album = album.clone();
            async move { siege.view(&album, &[IMAGES[0], IMAGES[0], IMAGES[1]]).await }
        }));
    }
    tasks.spawn(again(siege.clone(), Duration::from_secs(3), move |siege| {
        let film = film.clone();
        async move { siege.view(&film, &[IMAGES[2]]).await }
    }));
    let files: Arc<Vec<_>> = Arc::new((0..3).map(support::photograph).collect());
    for _ in 0..2 {
        let files = files.clone();
        tasks.spawn(again(siege.clone(), Duration::from_secs(2), move |siege| {
            let files = files.clone();
            async move { siege.upload_small(&files).await }
        }));
    }
    let (leaks, turn) = (Arc::new(leaks), AtomicUsize::new(0));
    tasks.spawn(again(siege.clone(), Duration::from_secs(3), move |siege| {
        let leaks = leaks.clone();
        let turn = turn.fetch_add(1, Ordering::Relaxed) % leaks.len();
        async move { siege.trace(&leaks[turn]).await }
    }));
    tasks.spawn(again(siege.clone(), Duration::from_secs(1), move |siege| {
        let album = album.clone();
        async move { siege.listen(&album).await }
    }));
    tasks
}

/// What the attacker needs first.
struct Arsenal {
    animations: Value,
    targets: Vec<Value>,
    thin: Vec<Vec<u8>>,
    slow: Vec<Vec<u8>>,
    heavy: Vec<Vec<u8>>,
}

impl Arsenal {
    async fn gather(siege: &Siege) -> Self {
        let attacker = siege.attacker();
        let animations: Vec<_> = (0..6).map(|seed| pictures::animation(480, 360, 30, seed)).collect();
        let mut targets = Vec::new();
        for seed in 0..4 {
            targets.push(attacker.share(&[support::photograph(seed)]).await);
        }
        Self {
            animations: attacker.share(&animations).await,
            targets,
            thin: vec![
                pictures::png(pictures::bars(16, 64_000)),
                pictures::png(pictures::noise(24, 20_000)),
                pictures::png(pictures::noise(1_000_000, 24)),
            ],
            slow: vec![
                pictures::png(pictures::noise(24, 16_000)),
                pictures::png(pictures::scroll_capture(1080, 16_000, 5)),
                pictures::png(image::imageops::rotate90(&pictures::scroll_capture(1080, 16_000, 6))),
                pictures::png(pictures::noise(1600, 1200)),
            ],
            // As heavy as files may be, and what a server may refuse.
            heavy: [
                vec![pictures::many_scans(3900, 3900); 4],
                vec![pictures::png(pictures::bars(8000, 8000)); 4],
                vec![pictures::many_scans(7600, 7600)],
            ]
            .concat(),
        }
    }
}

/// Begins the attacks of these names.
fn attack(siege: &Arc<Siege>, arsenal: Arsenal, names: &[&str]) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let attacker = siege.attacker();
    let Arsenal { animations, targets, thin, slow, heavy } = arsenal;
    let animations = Arc::new(animations);
    // Half of the shares for each kind of leak: one trace of a share runs at a time.
    for (name, leaks, targets) in [(ATTACKS[0], thin, &targets[..2]), (ATTACKS[1], slow, &targets[2..])] {
        let leaks = Arc::new(leaks);
        for (turn, target) in targets.iter().cloned().enumerate().filter(|_| names.contains(&name)) {
            let (siege, attacker, leaks) = (siege.clone(), attacker.clone(), leaks.clone());
            tasks.spawn(async move {
                for leak in
                    leaks.iter().cycle().skip(turn).take_while(|_| !siege.over.load(Ordering::Relaxed))
                {
                    siege.ask(name, attacker.trace(&target, leak)).await;
                    sleep(Duration::from_millis(200)).await;
                }
            });
        }
    }
    if names.contains(&ATTACKS[2]) {
        let heavy = Arc::new(heavy);
        // The rest of the sixty that an address has an hour.
        for _ in 0..55 {
            let (siege, attacker, heavy) = (siege.clone(), attacker.clone(), heavy.clone());
            tasks.spawn(async move {
                siege.ask(ATTACKS[2], attacker.upload(&heavy)).await;
            });
        }
    }
    if names.contains(&ATTACKS[3]) {
        for _ in 0..14 {
            let (siege, attacker, animations) = (siege.clone(), attacker.clone(), animations.clone());
            tasks.spawn(async move {
                while !siege.over.load(Ordering::Relaxed) {
                    let opened = attacker.open(&animations).await;
                    if let Ok(opened) = opened
                        && opened.status() == StatusCode::CREATED
                    {
                        let session: Value = opened.json().await.unwrap_or_default();
                        for index in 0..6 {
                            siege.ask(ATTACKS[3], attacker.image(&animations, &session, index, "")).await;
                        }
                    } else {
                        sleep(Duration::from_secs(1)).await;
                    }
                }
            });
        }
    }
    if names.contains(&ATTACKS[4]) {
        for _ in 0..126 {
            let (siege, attacker, target) = (siege.clone(), attacker.clone(), targets[0].clone());
            tasks.spawn(async move {
                let Ok(opened) = attacker.open(&target).await else { return };
                let session: Value = opened.json().await.unwrap_or_default();
                let mut streams = Vec::new();
                for _ in 0..8 {
                    let Ok(stream) = attacker.listen(&target, &session["token"]).await else { continue };
                    let status = stream.status();
                    siege.note(ATTACKS[4], |tally| {
                        tally.begun += 1;
                        match status.is_success() {
                            true => tally.served.push(Duration::ZERO),
                            false => *tally.refused.entry(status.as_u16().to_string()).or_default() += 1,
                        }
                    });
                    streams.push(stream);
                }
                // Held open until the end.
                std::future::pending::<()>().await;
            });
        }
    }
    tasks
}

#[tokio::main]
async fn main() -> ExitCode {
    let length = std::env::var("CHATPIC_BENCH_SECONDS").map_or(60, |seconds| seconds.parse().unwrap());
    let length = Duration::from_secs(length);
    let names = std::env::var("CHATPIC_BENCH_ATTACKS").unwrap_or_else(|_| ATTACKS.join(","));
    let names: Vec<&str> = names.split(',').filter(|name| !name.is_empty()).collect();
    assert!(names.iter().all(|name| ATTACKS.contains(name)), "the attacks are {}", ATTACKS.join(","));

    let folder = TempDir::new().unwrap();
    let site = Site::start_by(bounded(), &folder.path().join("data"), &[BELIEVES_VISITORS]);
    let mut siege = Siege {
        site,
        start: Instant::now(),
        length,
        over: AtomicBool::new(false),
        strangers: AtomicU32::new(1),
        tallies: Mutex::default(),
        load: Mutex::default(),
    };
    let still = [support::photograph(1), support::photograph(2), pictures::cut_out(900, 600)];
    let album = siege.stranger().share(&still).await;
    let film = siege.stranger().share(&[pictures::animation(320, 240, 24, 9)]).await;
    let mut leaks = Vec::new();
    // A share is traced thirty times a day at most, and every three seconds here.
    for _ in 0..=length.as_secs() / 60 {
        leaks.push(Leaked::new(&siege.stranger()).await);
    }
    let arsenal = Arsenal::gather(&siege).await;

    siege.start = Instant::now();
    let siege = Arc::new(siege);
    let watching = tokio::spawn({
        let siege = siege.clone();
        async move { siege.watch().await }
    });
    let attackers = attack(&siege, arsenal, &names);
    let honest = defend(&siege, album, film, leaks);
    sleep(length).await;
    // The attack goes on until the last honest request is answered.
    drop(tokio::time::timeout(PATIENCE, honest.join_all()).await);
    let lasted = siege.start.elapsed();
    drop(attackers);
    watching.abort();
    report(&siege, &names, lasted)
}

/// Prints how it went; answers whether the bar was met.
fn report(siege: &Siege, names: &[&str], lasted: Duration) -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let attacks = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    println!("{:.0} s on {cores} cores; attacks: {attacks}", lasted.as_secs_f64());
    let (mut faults, tallies) = (Vec::new(), siege.tallies.lock().unwrap());
    for (who, attacks) in [("honest", false), ("attacker", true)] {
        for (what, tally) in tallies.iter().filter(|(what, _)| ATTACKS.contains(&what.as_str()) == attacks) {
            println!("{who:8} {what:18} {tally}");
            if !attacks && tally.served.len() < tally.begun {
                faults.push(format!(
                    "{} of {} x {what} not served",
                    tally.begun - tally.served.len(),
                    tally.begun
                ));
            }
            if IMAGES.contains(&what.as_str()) && tally.percentile(99) > BAR {
                faults.push(format!("p99 of {what} over {BAR:?}"));
            }
        }
    }
    let load = siege.load.lock().unwrap();
    println!(
        "server: {:.2} cores, {} MB at most over {} processes",
        load.cpu.as_secs_f64() / lasted.as_secs_f64(),
        load.peaks.values().sum::<u64>() >> 20,
        load.peaks.len()
    );
    if let Some(after) = load.died {
        let log = siege.site.log();
        let last =
            log.lines().rfind(|line| line.contains("allocation")).or(log.lines().last()).unwrap_or_default();
        faults.push(format!("the server died after {after:.1?}: {last}"));
    }
    if faults.is_empty() {
        println!("bar met");
        return ExitCode::SUCCESS;
    }
    println!("bar missed: {}", faults.join("; "));
    ExitCode::FAILURE
}
