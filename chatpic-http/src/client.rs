//! Who asks: address, country, device, keys and the site's own address, read from a request.

use std::convert::Infallible;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::extract::connect_info::{ConnectInfo, MockConnectInfo};
use axum::extract::{FromRequestParts, OriginalUri, Request};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, header};
use chatpic_core::{Country, Device, ShareId};

use crate::problem::Problem;
use crate::{API, App, Options};

/// The client as far as it is known.
pub(crate) struct Client {
    /// Whom caps, turns and wrong passwords are counted for: an address, of IPv6 its /64. A client whose address is unknown
    /// goes by what a trusted proxy calls it; without that, each request counts as a client of its own.
    pub(crate) address: String,
    pub(crate) country: Option<Country>,
    pub(crate) device: Device,
}

impl FromRequestParts<App> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let options = &*app.options;
        let Ok(Peer(peer)) = Peer::from_request_parts(parts, app).await;
        let trusted = peer.is_some_and(|peer| is_trusted(peer, options));
        let (address, named) = match peer {
            None => (None, app.strangers.without_peer()),
            Some(peer) if !trusted => (Some(peer), network(peer)),
            Some(peer) => match forwarded(&parts.headers, options) {
                Forwarded::Address(address) => (Some(address), network(address)),
                Forwarded::Word(word) => {
                    app.strangers.unreadable(app);
                    (None, format!("called {word} by a proxy"))
                }
                Forwarded::Nothing => {
                    app.strangers.unreadable(app);
                    (Some(peer), network(peer))
                }
            },
        };
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let country = options.country_header.as_deref().filter(|_| trusted).and_then(header);
        // The proxy's word first, then the table or the operator's database, then unknown.
        let country = country.and_then(|code| code.parse().ok());
        let country = country.or_else(|| options.countries.find(address?));
        let device = header("user-agent").map(Device::from_user_agent).unwrap_or_default();
        Ok(Self { address: named, country, device })
    }
}

/// The other end of the connection; `None` where the host serves the router without it.
pub(crate) struct Peer(pub(crate) Option<IpAddr>);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        let peer = peer.or_else(|| parts.extensions.get::<MockConnectInfo<SocketAddr>>().map(|info| info.0));
        Ok(Self(peer.map(|peer| peer.ip())))
    }
}

/// Clients whose address can't be told. Each way of it is logged once.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    without_peer: AtomicU64,
    unreadable: AtomicBool,
}

impl Strangers {
    /// Names the client of a request that came without its peer's address. Each request gets a name of its own: if clients
    /// shared one, each could use up the others' caps.
    fn without_peer(&self) -> String {
        let number = self.without_peer.fetch_add(1, Ordering::Relaxed);
        if number == 0 {
            tracing::warn!(
                "requests come without their peer's address, so no cap for an address holds: serve the router with \
                 into_make_service_with_connect_info::<SocketAddr>()"
            );
        }
        format!("unknown {number}")
    }

    /// Notes a request of which a trusted proxy told no address. What it told instead is not logged: it may hold one.
    fn unreadable(&self, app: &App) {
        app.metrics.unreadable_clients.inc();
        if !self.unreadable.swap(true, Ordering::Relaxed) {
            let header = &app.options.client_header;
            tracing::warn!(%header, "a trusted proxy's header holds no address where the client's should be");
        }
    }
}

fn is_trusted(address: IpAddr, options: &Options) -> bool {
    options.trusted_proxies.iter().any(|network| network.contains(&address.to_canonical()))
}

/// What trusted proxies tell of a client.
#[derive(PartialEq, Debug)]
enum Forwarded {
    Address(IpAddr),
    /// What the last of them wrote in place of an address. It knows clients by it, so they are told apart by it here.
    Word(String),
    Nothing,
}

/// The first address, from the right, that is no trusted proxy's; all lines of the header count as one list.
fn forwarded(headers: &HeaderMap, options: &Options) -> Forwarded {
    let lines = headers.get_all(&options.client_header).iter();
    let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    let list = lines.join(",");
    let mut found = Forwarded::Nothing;
    for entry in list.rsplit(',').map(str::trim) {
        // What stands before it, a stranger may have written.
        if entry.is_empty() {
            return Forwarded::Nothing;
        }
        let Some(address) = entry_address(entry) else {
            return Forwarded::Word(without_port(entry).to_owned());
        };
        found = Forwarded::Address(address);
        if !is_trusted(address, options) {
            break;
        }
    }
    found
}

/// The address in an entry, which may have a port and a zone, and stand in brackets or quotes.
fn entry_address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim_matches('"');
    let read = |text: &str| {
        let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        text.split('%').next()?.parse().ok()
    };
    read(entry).or_else(|| read(without_port(entry)))
}

/// An entry without the port at its end, which differs from one connection of a client to the next.
fn without_port(entry: &str) -> &str {
    match entry.rsplit_once(':') {
        Some((address, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            address
        }
        _ => entry,
    }
}

fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// Where the site stands, for a request: every address in an answer is made here.
pub(crate) struct Origin {
    /// Scheme and host, such as `http://127.0.0.1:8080`.
    host: String,
    /// The path below which everything is asked for, such as `/pics`; empty at the root.
    pub(crate) prefix: String,
    /// How the site presents itself there.
    pub(crate) options: Arc<Options>,
}

impl FromRequestParts<App> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let options = app.options.clone();
        let (host, prefix) = match &options.base_url {
            Some(url) => (url.origin().to_owned(), url.path().to_owned()),
            None => {
                let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
                (
                    format!("http://{}", host.unwrap_or("localhost")),
                    nested_under(&parts.extensions).to_owned(),
                )
            }
        };
        Ok(Self { host, prefix, options })
    }
}

/// The path that this router is nested under, empty at the root.
#[derive(Clone, Debug)]
struct NestedUnder(String);

/// Notes what a request's path has before the part that this router was given.
pub(crate) async fn note_nesting(mut request: Request) -> Request {
    let inner = request.uri().path();
    let outer = request.extensions().get::<OriginalUri>().map_or(inner, |uri| uri.0.path());
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let prefix = outer.trim_end_matches('/').strip_suffix(inner).unwrap_or_default().to_owned();
    request.extensions_mut().insert(NestedUnder(prefix));
    request
}

/// The path that the router is nested under, whatever the site's base URL says.
pub(crate) fn nested_under(extensions: &Extensions) -> &str {
    extensions.get::<NestedUnder>().map_or("", |under| &under.0)
}

impl Origin {
    /// The path of the front page: a router nested by axum answers there without a slash at the end.
    pub(crate) fn home(&self) -> String {
        if self.prefix.is_empty() { "/".to_owned() } else { self.prefix.clone() }
    }

    /// The path of the JSON API.
    pub(crate) fn api(&self) -> String {
        format!("{}{API}", self.prefix)
    }

    /// The path of a share's pages of this kind: `s` for viewers, `d` for the uploader.
    pub(crate) fn share(&self, kind: char, id: impl Display) -> String {
        format!("{}/{kind}/{id}", self.prefix)
    }

    /// The share link or dashboard link; the key stands in the fragment, which browsers never send.
    pub(crate) fn link(&self, kind: char, id: &ShareId, key: &str) -> String {
        format!("{}{}#{key}", self.host, self.share(kind, id))
    }
}

/// What stands in an `Authorization: Bearer` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The key or token of an `Authorization: Bearer` header.
pub(crate) struct Bearer(pub(crate) String);

impl FromRequestParts<App> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let token = bearer(&parts.headers).ok_or_else(Problem::unauthorized)?;
        Ok(Self(token.to_owned()))
    }
}

impl Bearer {
    /// The secret; one that does not parse is a wrong one.
    pub(crate) fn parse<T: FromStr>(&self) -> Result<T, Problem> {
        self.0.parse().map_err(|_| Problem::unauthorized())
    }
}

/// A share id from a path; one that does not parse is an unknown one.
pub(crate) fn share_id(text: &str) -> Result<ShareId, Problem> {
    text.parse().map_err(|_| Problem::not_found())
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).find_map(|pair| {
        let (found, value) = pair.trim().split_once('=')?;
        (found == name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use chatpic_core::Limits;

    use super::*;
    use crate::tests::site;

    fn options() -> Options {
        Options { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()], ..Options::default() }
    }

    fn told(lines: &[&str]) -> Forwarded {
        let lines = lines
            .iter()
            .map(|line| (header::HeaderName::from_static("x-forwarded-for"), line.parse().unwrap()));
        forwarded(&HeaderMap::from_iter(lines), &options())
    }

    fn address(text: &str) -> Forwarded {
        Forwarded::Address(text.parse().unwrap())
    }

    #[test]
    fn the_rightmost_stranger_counts() {
        assert_eq!(told(&["198.51.100.1"]), address("198.51.100.1"));
        assert_eq!(told(&["6.6.6.6, 198.51.100.1, 10.0.0.2"]), address("198.51.100.1"));
        assert_eq!(told(&["6.6.6.6", "198.51.100.1", "10.0.0.2"]), address("198.51.100.1"));
        assert_eq!(told(&["10.0.0.3, 10.0.0.2"]), address("10.0.0.3"), "all are trusted");
        assert_eq!(
            told(&["\u{fffd}, 198.51.100.1"]),
            address("198.51.100.1"),
            "what a stranger wrote is not read"
        );
    }

    #[test]
    fn an_entry_may_have_a_port_brackets_and_quotes() {
        for entry in [
            "203.0.113.9",
            "203.0.113.9:5555",
            "\"203.0.113.9\"",
            "\"203.0.113.9:5555\"",
            "[203.0.113.9]",
            "[203.0.113.9]:5555",
        ] {
            assert_eq!(told(&[entry]), address("203.0.113.9"), "{entry}");
        }
        for entry in [
            "2001:db8::1",
            "[2001:db8::1]",
            "[2001:db8::1]:443",
            "\"[2001:db8::1]\"",
            "\"[2001:db8::1]:443\"",
            "2001:db8::1%eth0",
            "[2001:db8::1%eth0]:443",
            "2001:db8:0:0:0:0:0:1:443",
        ] {
            assert_eq!(told(&[entry]), address("2001:db8::1"), "{entry}");
        }
        assert_eq!(told(&["::ffff:203.0.113.9:5555"]), address("::ffff:203.0.113.9"));
        assert_eq!(told(&["203.0.113.9:1, 10.0.0.2:2"]), address("203.0.113.9"), "a trusted proxy's, too");
    }

    #[test]
    fn what_is_no_address_is_the_proxys_word() {
        for entry in ["unknown", "_hidden", "203.0.113", "unix:/run/a"] {
            assert_eq!(told(&[&format!("6.6.6.6, {entry}")]), Forwarded::Word(entry.to_owned()));
        }
        assert_eq!(told(&["6.6.6.6, _a, 10.0.0.2"]), Forwarded::Word("_a".to_owned()));
        assert_eq!(told(&["_a:4711"]), Forwarded::Word("_a".to_owned()), "each connection has another port");
        assert_eq!(told(&["6.6.6.6,"]), Forwarded::Nothing, "the proxy wrote nothing");
        assert_eq!(told(&[]), Forwarded::Nothing);
        assert_eq!(told(&["", " , "]), Forwarded::Nothing);
    }

    /// Whom a request with this header is counted for, from this peer.
    async fn named(app: &App, peer: Option<&str>, header: &str) -> String {
        let mut request = Request::get("/").header("x-forwarded-for", header).body(()).unwrap();
        if let Some(peer) = peer {
            let peer: IpAddr = peer.parse().unwrap();
            request.extensions_mut().insert(ConnectInfo(SocketAddr::from((peer, 4711))));
        }
        let Ok(client) = Client::from_request_parts(&mut request.into_parts().0, app).await;
        client.address
    }

    #[tokio::test]
    async fn only_clients_of_one_address_are_counted_as_one() {
        let app = site(options(), Limits::default()).await;
        let proxy = Some("10.0.0.1");
        assert_eq!(
            named(&app, Some("203.0.113.9"), "198.51.100.1").await,
            "203.0.113.9",
            "no proxy's header"
        );
        assert_eq!(named(&app, proxy, "203.0.113.9:1").await, named(&app, proxy, "203.0.113.9:2").await);
        assert_eq!(
            named(&app, Some("::ffff:10.0.0.1"), "[2001:db8:1:2:3::4]:443").await,
            "2001:db8:1:2::/64"
        );
        assert_eq!(app.metrics.unreadable_clients.get(), 0);
        assert_eq!(named(&app, proxy, "_one").await, named(&app, proxy, "_one").await);
        assert_ne!(named(&app, proxy, "_one").await, named(&app, proxy, "_other").await);
        assert_ne!(
            named(&app, proxy, "2001:db8:1:2::/64").await,
            named(&app, proxy, "2001:db8:1:2::1").await
        );
        assert_eq!(named(&app, proxy, "").await, "10.0.0.1");
        assert_eq!(app.metrics.unreadable_clients.get(), 6);
        assert_ne!(named(&app, None, "198.51.100.1").await, named(&app, None, "198.51.100.1").await);
    }
}
