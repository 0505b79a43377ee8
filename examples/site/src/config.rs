//! What the command line, `CHATPIC_*` variables and a configuration file can set, in this order.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chatpic_core::{Limits, SessionId, ShareId, Timestamp};
use chatpic_http::{Accent, BaseUrl, FooterLink, Href, Options};
use clap::error::ErrorKind;
use clap::{Args, Command as Clap, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use ipnet::IpNet;

use crate::memory;
use crate::place::Place;

/// Private, temporary image sharing in which every view can be traced.
#[derive(Parser)]
#[command(name = "chatpic", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the site (the default)
    Serve,
    /// Name the viewing session that a leaked picture was served to
    Trace(Trace),
    /// End and delete what is due, and what uploads left that were given up
    Sweep(Sweep),
    /// End a share now and delete its images
    Burn {
        /// The share's id, as it stands in its link
        id: ShareId,
    },
    /// List what people reported, newest first
    Reports {
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Check the settings, the stores and the clock
    Check,
    /// Print a script that completes commands in a shell
    Completions {
        /// For which shell
        shell: Shell,
    },
}

#[derive(Args)]
pub(crate) struct Settings {
    /// TOML file of settings, named like the flags; flags and variables go before it
    #[arg(long, env = "CHATPIC_CONFIG", value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Address and port to listen on; port 0 picks a free one
    #[arg(
        long,
        env = "CHATPIC_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDR:PORT",
        global = true
    )]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) place: Place,
    /// The site's public address, for links [default: the request's Host]
    #[arg(long, env = "CHATPIC_BASE_URL", value_name = "URL", global = true)]
    pub(crate) base_url: Option<BaseUrl>,
    /// What the site calls itself
    #[arg(long, env = "CHATPIC_NAME", default_value = "ChatPic", global = true)]
    pub(crate) name: String,
    /// Picture beside the name: SVG, PNG, WebP or JPEG [default: ChatPic's own]
    #[arg(long, env = "CHATPIC_LOGO", value_name = "FILE", global = true)]
    pub(crate) logo: Option<PathBuf>,
    /// Colour of buttons and links; pages take it as light or dark as it must be to be read
    #[arg(
        long,
        env = "CHATPIC_ACCENT",
        default_value_t = Accent::default(),
        value_name = "#RRGGBB",
        global = true
    )]
    pub(crate) accent: Accent,
    /// How the operator is reached, for a link on every page, such as mailto:me@example.org
    #[arg(long, env = "CHATPIC_CONTACT", value_name = "URL", global = true)]
    pub(crate) contact: Option<Href>,
    /// The operator's terms, for a link on every page
    #[arg(long, env = "CHATPIC_TERMS", value_name = "URL", global = true)]
    pub(crate) terms: Option<Href>,
    /// A further link at the foot of every page; can be given several times
    #[arg(long, env = "CHATPIC_FOOTER_LINK", value_name = "LABEL=URL", value_delimiter = ',', global = true)]
    pub(crate) footer_link: Vec<FooterLink>,
    /// What pages say, in another language: a translation of chatpic-http/text/en.json
    #[arg(long, env = "CHATPIC_TEXT", value_name = "FILE", global = true)]
    pub(crate) text: Option<PathBuf>,
    /// A proxy whose headers are believed, an address or a network; can be given several times
    #[arg(
        long,
        env = "CHATPIC_TRUSTED_PROXY",
        value_name = "CIDR",
        value_parser = network,
        value_delimiter = ',',
        global = true
    )]
    pub(crate) trusted_proxy: Vec<IpNet>,
    /// The header in which a trusted proxy gives the client's address
    #[arg(
        long,
        env = "CHATPIC_CLIENT_HEADER",
        default_value = "X-Forwarded-For",
        value_name = "NAME",
        global = true
    )]
    pub(crate) client_header: String,
    /// The header in which a trusted proxy gives the client's country
    #[arg(long, env = "CHATPIC_COUNTRY_HEADER", value_name = "NAME", global = true)]
    pub(crate) country_header: Option<String>,
    /// Database of countries by address, in MaxMind's format [default: an embedded table]
    #[arg(long, env = "CHATPIC_COUNTRY_DB", value_name = "FILE", global = true)]
    pub(crate) country_db: Option<PathBuf>,
    /// File of a password that uploaders must know [default: everybody may upload]
    #[arg(long, env = "CHATPIC_UPLOAD_PASSWORD_FILE", value_name = "FILE", global = true)]
    pub(crate) upload_password_file: Option<PathBuf>,
    /// Don't show /metrics
    #[arg(long, env = "CHATPIC_NO_METRICS", global = true)]
    pub(crate) no_metrics: bool,
    /// Uploads of one address within an hour; 0 is no cap
    #[arg(long, env = "CHATPIC_UPLOADS_PER_HOUR", default_value_t = 60, value_name = "N", global = true)]
    pub(crate) uploads_per_hour: u32,
    /// Openings of one address within an hour; 0 is no cap
    #[arg(long, env = "CHATPIC_OPENS_PER_HOUR", default_value_t = 600, value_name = "N", global = true)]
    pub(crate) opens_per_hour: u32,
    /// Traces of one address within an hour; 0 is no cap
    #[arg(long, env = "CHATPIC_TRACES_PER_HOUR", default_value_t = 60, value_name = "N", global = true)]
    pub(crate) traces_per_hour: u32,
    /// Reports of one address within an hour; 0 is no cap
    #[arg(long, env = "CHATPIC_REPORTS_PER_HOUR", default_value_t = 60, value_name = "N", global = true)]
    pub(crate) reports_per_hour: u32,
    /// Bytes of uploads and of pictures to trace in memory at the same time; a quarter of them for one address
    #[arg(
        long,
        env = "CHATPIC_FORM_BYTES",
        default_value_t = Options::default().form_bytes,
        value_name = "BYTES",
        global = true
    )]
    pub(crate) form_bytes: usize,
    /// Bytes of images on their way to viewers at the same time; a quarter of them for one session or address, a half
    /// for one share
    #[arg(
        long,
        env = "CHATPIC_ANSWER_BYTES",
        default_value_t = Options::default().answer_bytes,
        value_name = "BYTES",
        global = true
    )]
    pub(crate) answer_bytes: usize,
    /// Event streams at the same time; a quarter of them for one address, a half for one share
    #[arg(long, env = "CHATPIC_LISTENERS", default_value_t = 1000, value_name = "N", global = true)]
    pub(crate) listeners: usize,
    #[command(flatten)]
    pub(crate) limits: LimitSettings,
}

/// The contract's limits, with as many workers and traces as cores and memory are enough for.
pub fn default_limits() -> Limits {
    let limits = Limits::default();
    let workers = default_workers(limits.decode_bytes);
    Limits { workers, traces: default_traces(workers, limits.decode_bytes), ..limits }
}

fn default_workers(decode_bytes: u64) -> usize {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    workers(cores, memory::limit(Path::new("/")), decode_bytes)
}

fn default_traces(workers: usize, decode_bytes: u64) -> usize {
    traces(memory::limit(Path::new("/")), workers as u64 * decode_bytes)
}

/// How many traces may run at the same time beside workers that take this much: two, so that one leak does not keep all
/// others waiting, if there is memory for both.
fn traces(memory: Option<u64>, workers: u64) -> usize {
    // Forms and answers, and the program itself.
    const REST: u64 = 1024 * 1024 * 1024;
    let enough_for_two = memory.is_none_or(|memory| memory >= workers + 2 * TRACE_BYTES + REST);
    if enough_for_two { 2 } else { 1 }
}

/// Bytes that a trace may take.
const TRACE_BYTES: u64 = 700 * 1024 * 1024;

impl Settings {
    /// That everything at once would take more memory than there is, in words.
    pub(crate) fn memory_shortage(&self) -> Option<String> {
        let limits = self.limits.limits();
        let workers = (limits.workers as u64).saturating_mul(limits.decode_bytes);
        let traces = limits.traces as u64 * TRACE_BYTES;
        let most = [traces, self.form_bytes as u64, self.answer_bytes as u64]
            .into_iter()
            .fold(workers, u64::saturating_add);
        memory_shortage(most, memory::limit(Path::new("/"))?)
    }
}

fn memory_shortage(most: u64, memory: u64) -> Option<String> {
    let mib = |bytes| bytes / (1024 * 1024);
    (most > memory).then(|| {
        format!(
            "images, traces, forms and answers may take {} MiB at once, but there are only {} MiB: lower --workers, --traces, \
             --decode-bytes, --form-bytes or --answer-bytes",
            mib(most),
            mib(memory)
        )
    })
}

/// How many of them may each decode an image at the same time; the other half of the memory is for all else.
fn workers(cores: usize, memory: Option<u64>, decode_bytes: u64) -> usize {
    let enough = memory.and_then(|memory| (memory / 2).checked_div(decode_bytes));
    let enough = enough.and_then(|enough| usize::try_from(enough).ok());
    enough.map_or(cores, |enough| cores.min(enough)).max(1)
}

/// Makes one flag and variable of each limit, all of them optional: what is not set keeps its default.
macro_rules! limit_settings {
    ($($name:ident: $kind:ty, $flag:literal, $variable:literal, $value:literal, $parse:expr, $help:literal;)+) => {
        #[derive(Args)]
        pub(crate) struct LimitSettings {
            $(
                #[doc = $help]
                #[arg(long = $flag, env = $variable, value_name = $value, value_parser = $parse, global = true,
                    help_heading = "Limits")]
                $name: Option<$kind>,
            )+
            /// Sealed bytes of all shares above which uploads are refused [default: none]
            #[arg(long, env = "CHATPIC_MAX_STORED", value_name = "BYTES", global = true, help_heading = "Limits")]
            max_stored: Option<u64>,
        }

        impl LimitSettings {
            /// The defaults, with what was set.
            pub(crate) fn limits(&self) -> Limits {
                let mut limits = Limits { max_stored: self.max_stored, ..Limits::default() };
                $( if let Some(value) = self.$name { limits.$name = value; } )+
                if self.workers.is_none() {
                    limits.workers = default_workers(limits.decode_bytes);
                }
                if self.traces.is_none() {
                    limits.traces = default_traces(limits.workers, limits.decode_bytes);
                }
                limits
            }
        }
    };
}

limit_settings! {
    images: usize, "images", "CHATPIC_IMAGES", "N", count::<usize>, "Images in one share";
    image_bytes: usize, "image-bytes", "CHATPIC_IMAGE_BYTES", "BYTES", count::<usize>, "Bytes of one image";
    image_pixels: u64, "image-pixels", "CHATPIC_IMAGE_PIXELS", "N", count::<u64>, "Pixels of one still";
    decode_bytes: u64, "decode-bytes", "CHATPIC_DECODE_BYTES", "BYTES", count::<u64>, "Memory that decoding one image may take";
    long_side: u32, "long-side", "CHATPIC_LONG_SIDE", "PIXELS", count::<u32>, "Long side of what viewers get";
    short_side: u32, "short-side", "CHATPIC_SHORT_SIDE", "PIXELS", count::<u32>, "Short side under which the long side may grow";
    longest_side: u32, "longest-side", "CHATPIC_LONGEST_SIDE", "PIXELS", count::<u32>, "Long side of a long and narrow image";
    rendition_pixels: u64, "rendition-pixels", "CHATPIC_RENDITION_PIXELS", "N", count::<u64>, "Pixels of what viewers get";
    animation_frames: usize, "animation-frames", "CHATPIC_ANIMATION_FRAMES", "N", count::<usize>, "Frames of an animation";
    animation_pixels: u64, "animation-pixels", "CHATPIC_ANIMATION_PIXELS", "N", count::<u64>, "Pixels of all frames of an animation, as viewers get them";
    animation_side: u32, "animation-side", "CHATPIC_ANIMATION_SIDE", "PIXELS", count::<u32>, "Long side of an animation, as viewers get it";
    default_expiry: Duration, "default-expiry", "CHATPIC_DEFAULT_EXPIRY", "TIME", time, "Life of a share when left blank, such as 7d or P7D";
    min_expiry: Duration, "min-expiry", "CHATPIC_MIN_EXPIRY", "TIME", time, "Shortest life of a share";
    max_expiry: Duration, "max-expiry", "CHATPIC_MAX_EXPIRY", "TIME", time, "How far ahead a share's end may lie";
    max_views: u32, "max-views", "CHATPIC_MAX_VIEWS", "N", count::<u32>, "Greatest view limit";
    unlimited_views: u32, "unlimited-views", "CHATPIC_UNLIMITED_VIEWS", "N", count::<u32>, "Views of a share without a limit";
    password_chars: usize, "password-chars", "CHATPIC_PASSWORD_CHARS", "N", count::<usize>, "Characters of a password";
    session_idle: Duration, "session-idle", "CHATPIC_SESSION_IDLE", "TIME", time, "A session ends after this long without an image loaded or a page in view";
    session_absolute: Duration, "session-absolute", "CHATPIC_SESSION_ABSOLUTE", "TIME", time, "A session ends after so long";
    nonce_replay: Duration, "nonce-replay", "CHATPIC_NONCE_REPLAY", "TIME", time, "A nonce finds its session again for so long";
    default_ledger: Duration, "default-ledger", "CHATPIC_DEFAULT_LEDGER", "TIME", time, "How long leaks can be traced when left blank";
    max_ledger: Duration, "max-ledger", "CHATPIC_MAX_LEDGER", "TIME", time, "How long leaks can be traced at most";
    wrong_passwords_per_address: u32, "wrong-passwords-per-address", "CHATPIC_WRONG_PASSWORDS_PER_ADDRESS", "N", count::<u32>, "Wrong passwords of one address for a share";
    wrong_passwords_per_share: u32, "wrong-passwords-per-share", "CHATPIC_WRONG_PASSWORDS_PER_SHARE", "N", count::<u32>, "Wrong passwords for a share";
    wrong_password_window: Duration, "wrong-password-window", "CHATPIC_WRONG_PASSWORD_WINDOW", "TIME", time, "Time over which wrong passwords are counted";
    traces_per_day: u32, "traces-per-day", "CHATPIC_TRACES_PER_DAY", "N", count::<u32>, "Traces of a share within a day";
    trace_work: u64, "trace-work", "CHATPIC_TRACE_WORK", "STEPS", count::<u64>, "Work of a trace, of an operator's for each image; a step is about a nanosecond of one core";
    reports_per_share: u32, "reports-per-share", "CHATPIC_REPORTS_PER_SHARE", "N", count::<u32>, "Reports of a share that are kept";
    report_chars: usize, "report-chars", "CHATPIC_REPORT_CHARS", "N", count::<usize>, "Characters of a report";
    free_percent: u8, "free-percent", "CHATPIC_FREE_PERCENT", "N", count::<u8>, "Free space of the disk under which uploads are refused";
    upload_timeout: Duration, "upload-timeout", "CHATPIC_UPLOAD_TIMEOUT", "TIME", time, "When an upload is given up";
    workers: usize, "workers", "CHATPIC_WORKERS", "N", count::<usize>, "Images worked on at the same time [default: the number of cores, or what half of the memory is enough for]";
    traces: usize, "traces", "CHATPIC_TRACES", "N", count::<usize>, "Traces at the same time [default: 2, or 1 where the memory is enough for no more]";
    queue: usize, "queue", "CHATPIC_QUEUE", "N", count::<usize>, "Jobs that may wait for a worker";
}

fn count<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// A network such as `10.0.0.0/8`, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address.or_else(|_| text.parse()).map_err(|_| "this is neither an address nor a network".to_owned())
}

/// A length of time: whole seconds, ISO 8601, or such as `7d` and `1h 30m`.
fn time(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let span: jiff::Span = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    let length = span.to_duration(days).map_err(|error| error.to_string())?;
    Duration::try_from(length).map_err(|_| "a length of time is not negative".to_owned())
}

/// The beginning of a day, or an instant, in UTC.
fn instant(text: &str) -> Result<Timestamp, String> {
    let at = match text.parse::<jiff::civil::Date>() {
        Ok(date) if text.len() <= 10 => date.to_zoned(jiff::tz::TimeZone::UTC).map(|day| day.timestamp()),
        _ => text.parse::<jiff::Timestamp>(),
    };
    at.map(|at| Timestamp(at.as_millisecond())).map_err(|error| error.to_string())
}

impl Arguments {
    /// Reads the command line, the variables and the configuration file.
    ///
    /// # Errors
    /// What is wrong, in clap's words; its exit status is 2, or 0 for `--help`.
    pub(crate) fn read(line: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let line: Vec<OsString> = line.into_iter().collect();
        let mut command = Self::command();
        let first = Self::from_arg_matches(&command.try_get_matches_from_mut(&line)?)?;
        let Some(file) = first.settings.config else { return Ok(first) };
        let mut command = with_file(Self::command(), &file)
            .map_err(|problem| Self::command().error(ErrorKind::ValueValidation, problem))?;
        Self::from_arg_matches(&command.try_get_matches_from_mut(&line)?)
    }
}

/// Makes what the file sets the defaults of the flags.
fn with_file(mut command: Clap, file: &Path) -> Result<Clap, String> {
    let problem = |what: &dyn std::fmt::Display| format!("{}: {what}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| problem(&error))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| problem(&error))?;
    for (name, value) in table {
        let id = name.replace('-', "_");
        let known =
            command.get_arguments().any(|argument| argument.get_id() == id.as_str() && id != "config");
        if !known {
            return Err(problem(&format!("there is no setting {name}")));
        }
        let one = |value: &toml::Value| match value {
            toml::Value::String(text) => Ok(text.clone()),
            toml::Value::Integer(number) => Ok(number.to_string()),
            toml::Value::Boolean(flag) => Ok(flag.to_string()),
            _ => Err(problem(&format!("{name} is neither a text nor a whole number"))),
        };
        let values = match &value {
            toml::Value::Array(values) => values.iter().map(one).collect::<Result<Vec<_>, _>>()?,
            single => vec![one(single)?],
        };
        command = command.mut_arg(id, |argument| argument.default_values(values));
    }
    Ok(command)
}

#[derive(Args)]
pub(crate) struct Sweep {
    /// Compare the stores with each other, too, and list the shares that have lost objects; asks the blob store once
    /// for every active share
    #[arg(long)]
    pub(crate) reconcile: bool,
}

#[derive(Args)]
pub(crate) struct Trace {
    /// The leaked picture; `-` reads standard input
    pub(crate) leak: PathBuf,
    /// Look at this share only
    #[arg(long, value_name = "ID")]
    pub(crate) share: Option<ShareId>,
    /// Look at sessions of this ID only, as drawn on the picture
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<SessionId>,
    /// Look at sessions opened on this day or later: a date, or an instant in RFC 3339
    #[arg(long, value_name = "WHEN", value_parser = instant)]
    pub(crate) from: Option<Timestamp>,
    /// Look at sessions opened before this day only
    #[arg(long, value_name = "WHEN", value_parser = instant)]
    pub(crate) until: Option<Timestamp>,
    /// The picture that was uploaded, which makes the search surer
    #[arg(long, value_name = "FILE")]
    pub(crate) original: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::read(std::iter::once("chatpic").chain(line.iter().copied()).map(OsString::from))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_limit_is_the_contracts_unless_it_is_set() {
        let settings = read(&[]).ok().unwrap().settings;
        let limits = settings.limits.limits();
        assert_eq!(limits, Limits { workers: limits.workers, ..Limits::default() });
        let set =
            ["--max-views", "7", "--session-idle", "1h 30m", "--max-stored=1000", "--max-expiry", "P14D"];
        let limits = read(&set).ok().unwrap().settings.limits.limits();
        assert_eq!(limits.max_views, 7);
        assert_eq!(limits.session_idle, Duration::from_secs(5400));
        assert_eq!(limits.max_stored, Some(1000));
        assert_eq!(limits.max_expiry, Duration::from_secs(14 * 86_400));
        for wrong in [["--max-views", "many"], ["--session-idle", "soon"], ["--session-idle", "-5s"]] {
            assert_eq!(read(&wrong).err().map(|error| error.exit_code()), Some(2), "{wrong:?}");
        }
    }

    #[test]
    fn there_are_no_more_workers_than_memory_is_enough_for() {
        let decode_bytes = Limits::default().decode_bytes;
        assert_eq!(workers(8, None, decode_bytes), 8, "nothing is known");
        assert_eq!(workers(8, Some(64 << 30), decode_bytes), 8);
        assert_eq!(workers(8, Some(4 << 30), decode_bytes), 4, "as in deploy/");
        assert_eq!(workers(8, Some(4 << 30), 2 * decode_bytes), 2);
        assert_eq!(workers(8, Some(256 << 20), decode_bytes), 1);
        assert_eq!(traces(Some(8 << 30), 4 * decode_bytes), 2);
        assert_eq!(traces(Some(4 << 30), 4 * decode_bytes), 1);
        assert_eq!(memory_shortage(1 << 30, 1 << 30), None);
        let told = memory_shortage(2 << 30, 1 << 30).unwrap();
        assert!(told.contains("2048 MiB at once, but there are only 1024 MiB"), "{told}");
        let greedy = read(&["--decode-bytes", "1000000000000000"]).ok().unwrap().settings.limits;
        assert_eq!(greedy.limits().workers, 1);
        let set =
            read(&["--workers", "3", "--decode-bytes", "1000000000000000"]).ok().unwrap().settings.limits;
        assert_eq!(set.limits().workers, 3, "who sets it knows better");
    }

    #[test]
    fn a_file_sets_what_the_command_line_leaves() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("chatpic.toml");
        let text = "max-views = 9\nsession_idle = \"PT2M\"\ntrusted-proxy = [\"10.0.0.0/8\", \"::1/128\"]\n\
                    no-metrics = true\nbase-url = \"https://pics.example\"\naccent = \"#aa3377\"\n\
                    footer-link = [\"Imprint=https://pics.example/imprint\", \"Status=/status\"]\n";
        std::fs::write(&file, text).unwrap();
        let path = file.to_str().unwrap();
        let arguments = read(&["serve", "--config", path, "--max-views", "3"]).ok().unwrap();
        let settings = arguments.settings;
        assert_eq!(settings.limits.limits().max_views, 3, "the command line goes first");
        assert_eq!(settings.limits.limits().session_idle, Duration::from_secs(120));
        assert_eq!(settings.trusted_proxy.len(), 2);
        assert!(settings.no_metrics);
        assert_eq!(settings.accent.to_string(), "#aa3377");
        assert_eq!(settings.footer_link[1].label, "Status");
        assert_eq!(settings.base_url.map(|url| url.to_string()).as_deref(), Some("https://pics.example"));
        for wrong in [
            "unknown = 1",
            "accent = \"red\"",
            "max-views = 1.5",
            "max-views = \"x\"",
            "not toml",
            "config = \"x\"",
        ] {
            std::fs::write(&file, wrong).unwrap();
            let code = read(&["--config", path]).err().map(|error| error.exit_code());
            assert_eq!(code, Some(2), "{wrong}");
        }
        assert_eq!(read(&["--config", "no such file"]).err().map(|error| error.exit_code()), Some(2));
    }

    #[test]
    fn dates_are_days_in_utc() {
        assert_eq!(instant("1970-01-02"), Ok(Timestamp(86_400_000)));
        assert_eq!(instant("1970-01-01T01:00:00+01:00"), Ok(Timestamp(0)));
        assert!(instant("yesterday").is_err());
    }
}
