//! What each command does.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use chatpic_core::{
    Builder, ChatPic, Clock, Incomplete, Limits, OpenedReport, ShareId, SystemClock, Timestamp, TraceReport,
    TraceScope, WorkerProgram, with_causes,
};
use chatpic_http::{Countries, Logo, Options, Text, TraceAnswer, UploadPassword};
use clap::CommandFactory;
use clap_complete::Shell;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval_at};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use crate::config::{Arguments, Settings, Trace};
use crate::error::{CommandError, io_error};

/// How long a request's head may take, and a connection may wait for the next one: longer than proxies keep theirs.
const HEAD_WITHIN: Duration = Duration::from_secs(75);
/// A client that takes nothing of its answer for so long has gone.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);
/// How long nothing is accepted once the system has no room for a connection; those that end meanwhile make some.
const PAUSE: Duration = Duration::from_secs(1);
/// How often at most the operator is told of that.
const TELL_SHORTAGE_EVERY: Duration = Duration::from_secs(60);
/// How long running requests may take after the signal to stop; event streams would go on for ever.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// Reports that are listed.
const REPORTS: usize = 1000;
/// How often an operator's trace says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// What the process says at its end.
pub(crate) type Status = u8;
/// All went well.
pub(crate) const DONE: Status = 0;
/// Nothing was found, or something failed.
pub(crate) const FAILED: Status = 1;

/// Opens an installation for a command that does one thing and is done. Making one, and the sweep, are left to `serve`.
pub(crate) async fn open(settings: &Settings) -> Result<ChatPic, CommandError> {
    let database = chatpic_storage::inspect(&settings.place.database_url()).await?;
    if settings.place.find_secret(&database).await?.is_none() {
        let file = settings.place.secret_file();
        let missing = format!("there is no installation here: {} is missing", file.display());
        return Err(CommandError::Setting(missing));
    }
    Ok(builder(settings).await?.sweep_every(None).build().await?)
}

async fn builder(settings: &Settings) -> Result<Builder, CommandError> {
    // Before anything is made.
    let limits = settings.limits.limits();
    check_limits(&limits)?;
    Ok(settings.place.builder(None).await?.limits(limits))
}

/// Checks the limits.
pub(crate) fn check_limits(limits: &Limits) -> Result<(), CommandError> {
    limits.check().map_err(|error| wrong_setting(&error))
}

/// Names settings that are wrong like their flags.
fn wrong_setting(error: &dyn std::fmt::Display) -> CommandError {
    CommandError::Setting(format!("--{}", error.to_string().replace('_', "-")))
}

/// What is read from a setting's file, if one is set.
fn load<T>(
    file: &Option<PathBuf>,
    what: &str,
    read: impl FnOnce(&Path) -> Result<T, Box<dyn Error>>,
) -> Result<Option<T>, CommandError> {
    let Some(file) = file else { return Ok(None) };
    let problem = |error: Box<dyn Error>| {
        CommandError::Setting(format!("can't use the {what} {}: {}", file.display(), with_causes(&*error)))
    };
    read(file).map(Some).map_err(problem)
}

pub(crate) fn options(settings: &Settings) -> Result<Options, CommandError> {
    let countries = load(&settings.country_db, "country database", |file| Ok(Countries::open(file)?))?;
    let upload_password = load(&settings.upload_password_file, "upload password", |file| {
        let text = std::fs::read_to_string(file)?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err("it is empty".into()),
            text => Ok(UploadPassword::new(text)),
        }
    })?;
    let logo = load(&settings.logo, "logo", |file| Ok(Logo::new(std::fs::read(file)?)?))?;
    let text = load(&settings.text, "text", |file| Ok(Text::parse(&std::fs::read_to_string(file)?)?))?;
    let options = Options {
        name: settings.name.clone(),
        logo,
        accent: settings.accent,
        links: settings.footer_link.clone(),
        text: text.unwrap_or_default(),
        contact: settings.contact.clone(),
        terms: settings.terms.clone(),
        base_url: settings.base_url.clone(),
        nested_health: false,
        trusted_proxies: settings.trusted_proxy.clone(),
        client_header: settings.client_header.clone(),
        country_header: settings.country_header.clone(),
        countries: countries.unwrap_or_default(),
        uploads_per_hour: settings.uploads_per_hour,
        opens_per_hour: settings.opens_per_hour,
        traces_per_hour: settings.traces_per_hour,
        reports_per_hour: settings.reports_per_hour,
        upload_password,
        listeners: settings.listeners,
        form_bytes: settings.form_bytes,
        answer_bytes: settings.answer_bytes,
        metrics: !settings.no_metrics,
    };
    options.check(&settings.limits.limits()).map_err(|error| wrong_setting(&error))?;
    Ok(options)
}

/// Runs the site until SIGTERM or SIGINT, then lets running requests finish.
pub(crate) async fn serve(
    settings: &Settings,
    worker: Option<WorkerProgram>,
) -> Result<Status, CommandError> {
    let options = options(settings)?;
    let builder = builder(settings).await?;
    settings.memory_shortage().into_iter().for_each(|shortage| tracing::warn!("{shortage}"));
    if worker.is_none() {
        tracing::warn!(
            "files are decoded and leaks searched in this process: one that goes wrong can end it"
        );
    }
    let builder = worker.into_iter().fold(builder, Builder::worker);
    let chatpic = builder.build().await?;
    let listening = io_error(format!("can't listen on {}", settings.listen));
    let listener = TcpListener::bind(settings.listen).await.map_err(listening)?;
    let address = listener.local_addr().map_err(io_error("can't listen"))?;
    let stop = stop_signal()?;
    say(&format!("listening on http://{address}"))?;

    take_connections(listener, chatpic_http::router(chatpic.clone(), options), stop).await;
    match tokio::time::timeout(STOP_WITHIN, chatpic.flush()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = error.for_log(), "the last counts were not written"),
        Err(_) => tracing::warn!("the last counts were not written in time"),
    }
    Ok(DONE)
}

/// Answers whoever comes, until the signal to stop.
async fn take_connections(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let mut door = Door { listener, shortage_told: None };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    let running = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = door.next() => accepted,
            () = &mut stop => break,
        };
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(TAKEN_WITHIN));
        let router = router.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            router.clone().oneshot(request.map(Body::new))
        });
        let connection = running.watch(http.serve_connection(TokioIo::new(Box::pin(stream)), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke off");
            }
        });
    }
    drop(door);
    drop(tokio::time::timeout(STOP_WITHIN, running.shutdown()).await);
}

/// Where connections come in.
struct Door {
    listener: TcpListener,
    /// When the operator was last told that the system had no room for one.
    shortage_told: Option<Instant>,
}

impl Door {
    /// The next connection. While the system has no room, for want of file descriptors above all, whoever comes waits,
    /// and those who are here are served.
    async fn next(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                // Who came has gone again.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if is_due(&mut self.shortage_told, Instant::now()) {
                        tracing::warn!(%error, "no connection can be accepted; those that are open go on");
                    }
                    interval_at(Instant::now() + PAUSE, PAUSE).tick().await;
                }
            }
        }
    }
}

/// Whether the operator is to be told again, which then counts as done.
fn is_due(told: &mut Option<Instant>, now: Instant) -> bool {
    let is_due = told.is_none_or(|told| now.duration_since(told) >= TELL_SHORTAGE_EVERY);
    if is_due {
        *told = Some(now);
    }
    is_due
}

/// Waits for the signal to stop, SIGTERM or SIGINT. It is heard from this call on.
fn stop_signal() -> Result<impl Future<Output = ()>, CommandError> {
    let heard = |kind| signal(kind).map_err(io_error("can't listen to signals"));
    let (mut terminate, mut interrupt) = (heard(SignalKind::terminate())?, heard(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    })
}

/// Ends and deletes what is due, once, and compares the stores if that is asked for.
pub(crate) async fn sweep(settings: &Settings, reconcile: bool) -> Result<Status, CommandError> {
    let chatpic = open(settings).await?;
    let mut incomplete = 0;
    let report = |share: Incomplete| {
        incomplete += 1;
        let Incomplete { share_id, found, stored } = share;
        // What can't be written here can't be written below, where it is an error.
        drop(say(&format!("share {share_id} has lost objects: {found} of {stored} are there")));
    };
    let swept = if reconcile { chatpic.reconcile(report).await? } else { chatpic.sweep().await? };
    say(&format!(
        "{} ended, {} purged, {} forgotten, {} orphaned objects deleted, {} failed",
        swept.ended, swept.purged, swept.forgotten, swept.orphans, swept.failed
    ))?;
    swept.failures.iter().for_each(|failure| note(failure));
    if incomplete > 0 {
        say(&format!("{incomplete} shares have lost objects; `chatpic burn ID` ends one for good"))?;
    }
    Ok(if swept.failed == 0 && incomplete == 0 { DONE } else { FAILED })
}

/// Ends a share now.
pub(crate) async fn burn(settings: &Settings, id: &ShareId) -> Result<Status, CommandError> {
    let receipt = open(settings).await?.burn_as_operator(id).await?;
    let pending = match receipt.objects_pending {
        0 => String::new(),
        pending => format!(", {pending} still to be deleted (unreadable: their key is gone)"),
    };
    say(&format!("{} objects deleted{pending}", receipt.objects_deleted))?;
    Ok(DONE)
}

/// Names the session that a leaked picture was served to.
pub(crate) async fn trace(settings: &Settings, trace: Trace) -> Result<Status, CommandError> {
    let most = settings.limits.limits().image_bytes;
    let leak = read(&trace.leak, most)?;
    let original = trace.original.as_deref().map(|original| read(original, most)).transpose()?;
    let chatpic = open(settings).await?;
    let scope =
        TraceScope { share: trace.share, session: trace.session, from: trace.from, until: trace.until };
    let work = chatpic.trace_work(&scope).await?;
    note(&format!("searching {} images, comparing {} sessions", work.images, work.sessions));
    let pace = Mutex::new(Pace::new(work.images, SystemClock.now()));
    let progress = move |done: f32| {
        // A poisoned pace only means that another thread's note was cut short.
        let line = pace.lock().unwrap_or_else(PoisonError::into_inner).line(done, SystemClock.now());
        if let Some(line) = line {
            note(&line);
        }
    };
    let report = chatpic.trace_as_operator(leak, original, &scope, progress).await?;
    let json = || serde_json::json!(TraceAnswer::from(&report)).to_string();
    say(&if trace.json { json() } else { words(&report) })?;
    Ok(if report.matches.is_empty() { FAILED } else { DONE })
}

/// How fast a trace goes: it is measured, from the first image on that is done.
struct Pace {
    images: usize,
    started: Timestamp,
    told: Timestamp,
}

impl Pace {
    fn new(images: usize, now: Timestamp) -> Self {
        Self { images, started: now, told: now }
    }

    /// What to tell the operator, every few seconds.
    fn line(&mut self, done: f32, now: Timestamp) -> Option<String> {
        if self.told.until(now) < TELL_EVERY {
            return None;
        }
        self.told = now;
        let images = (done * self.images as f32 + 1e-3) as usize;
        let percent = (done * 100.0) as u32;
        if images == 0 {
            return Some(format!("{percent} % done"));
        }
        let left = self.started.until(now).as_secs_f64() * f64::from((1.0 - done) / done);
        let left = match left.round() as u64 {
            seconds @ ..100 => format!("{seconds} seconds"),
            seconds => format!("{} minutes", seconds.div_ceil(60)),
        };
        Some(format!("{percent} % done, {images} of {} images; about {left} left", self.images))
    }
}

/// Lists what people reported.
pub(crate) async fn reports(settings: &Settings, json: bool) -> Result<Status, CommandError> {
    let chatpic = open(settings).await?;
    let base = settings.base_url.as_ref().map(ToString::to_string).unwrap_or_default();
    let link = |report: &OpenedReport| {
        report.link_key.as_ref().map(|key| format!("{base}/s/{}#{}", report.share_id, key.reveal()))
    };
    for report in chatpic.reports(REPORTS).await? {
        let (share, at, link) = (report.share_id.to_string(), instant(Some(report.at)), link(&report));
        say(&if json {
            serde_json::json!({ "share": share, "at": at, "reason": report.reason, "link": link }).to_string()
        } else {
            // A reporter's words must not drive the operator's terminal.
            let reason: String =
                report.reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            format!(
                "{} share {share}: {reason}{}",
                at.unwrap_or_default(),
                link.map(|link| format!("\n    {link}")).unwrap_or_default()
            )
        })?;
    }
    Ok(DONE)
}

/// Prints a script that completes commands.
pub(crate) fn completions(shell: Shell) -> Result<Status, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "chatpic", &mut script);
    write(&script)?;
    Ok(DONE)
}

/// An image file, or standard input for `-`; of a file that is too large, one byte more than may be taken.
fn read(path: &Path, most: usize) -> Result<Vec<u8>, CommandError> {
    let read = || {
        let file: Box<dyn Read> =
            if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(std::fs::File::open(path)?) };
        let mut bytes = Vec::new();
        file.take(most as u64 + 1).read_to_end(&mut bytes).map(|_| bytes)
    };
    read().map_err(io_error(format!("can't read {}", path.display())))
}

fn instant(at: Option<Timestamp>) -> Option<String> {
    at.and_then(|at| jiff::Timestamp::from_second(at.seconds()).ok()).map(|at| at.to_string())
}

fn words(report: &TraceReport) -> String {
    if report.matches.is_empty() {
        let cut_short = if report.complete {
            ""
        } else {
            "; the search was cut short, as its work was used up (--trace-work)"
        };
        return format!(
            "no match among {} sessions; that proves nobody's innocence: the mark may be lost{cut_short}",
            report.candidates
        );
    }
    let lines = report.matches.iter().map(|found| {
        let when = instant(found.opened_at).unwrap_or_else(|| "in the uploader's preview".to_owned());
        let place = found.country.map(|country| format!(" from {country}")).unwrap_or_default();
        format!(
            "{} of share {}, image {}, opened {when}{place}; score {:.1}, false alarm {}, by {}",
            found.session.label(),
            found.share_id,
            found.image + 1,
            found.score,
            odds(found.false_alarm),
            found.evidence
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A bound on a probability, for people: below 1e-12 it is given in words.
fn odds(false_alarm: f64) -> String {
    if false_alarm < 1e-12 { "below 1 in a trillion".to_owned() } else { format!("at most {false_alarm:e}") }
}

/// Writes one line to standard error, where what a command is doing does not mix with its answer.
pub(crate) fn note(line: &str) {
    // Nobody is there to be told that it failed.
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}

/// Writes one line to standard output.
pub(crate) fn say(line: &str) -> Result<(), CommandError> {
    write(format!("{line}\n").as_bytes())
}

fn write(bytes: &[u8]) -> Result<(), CommandError> {
    let mut output = std::io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        // Its reader, such as `head`, has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(io_error("can't write")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_told_at_once_and_once_a_minute() {
        let start = Instant::now();
        let mut told = None;
        let seconds = (0..=180).filter(|second| is_due(&mut told, start + Duration::from_secs(*second)));
        assert_eq!(seconds.collect::<Vec<_>>(), [0, 60, 120, 180]);
    }

    #[test]
    fn odds_are_words_where_a_number_says_nothing() {
        assert_eq!(odds(1e-100), "below 1 in a trillion");
        assert_eq!(odds(1e-12), "at most 1e-12");
        assert_eq!(odds(2.35e-7), "at most 2.35e-7");
    }

    #[test]
    fn the_time_left_is_measured_and_told_every_other_second() {
        let start = Timestamp(1_000_000);
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::new(20, start);
        assert_eq!(pace.line(0.01, after(1)), None);
        assert_eq!(pace.line(0.02, after(2)).as_deref(), Some("2 % done"), "no image is done yet");
        assert_eq!(pace.line(0.05, after(3)), None);
        let line = pace.line(0.05, after(4));
        assert_eq!(line.as_deref(), Some("5 % done, 1 of 20 images; about 76 seconds left"));
        let line = pace.line(0.1, after(60));
        assert_eq!(line.as_deref(), Some("10 % done, 2 of 20 images; about 9 minutes left"));
    }
}
