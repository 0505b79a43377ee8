//! Who asks: address, country, device, keys and the site's own address, read from a request.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::extract::connect_info::{ConnectInfo, MockConnectInfo};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use chatpic_core::{Country, Device, ShareId};

use crate::problem::Problem;
use crate::{App, Options};

/// The client as far as it is known.
pub(crate) struct Client {
    /// The address that wrong passwords are counted for; an IPv6 address stands for its /64.
    pub(crate) address: String,
    pub(crate) country: Option<Country>,
    pub(crate) device: Device,
}

impl FromRequestParts<App> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let peer =
            peer.or_else(|| parts.extensions.get::<MockConnectInfo<SocketAddr>>().map(|info| info.0.ip()));
        let options = &*app.options;
        let trusted = peer.is_some_and(|peer| is_trusted(peer, options));
        let address = peer.map(|peer| if trusted { forwarded(peer, &parts.headers, options) } else { peer });
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let country = options.country_header.as_deref().filter(|_| trusted).and_then(header);
        // The proxy's word first, then the table or the operator's database, then unknown.
        let country = country.and_then(|code| code.parse().ok());
        let country = country.or_else(|| options.countries.find(address?));
        Ok(Self {
            address: address.map(network).unwrap_or_default(),
            country,
            device: header("user-agent").map(Device::from_user_agent).unwrap_or_default(),
        })
    }
}

fn is_trusted(address: IpAddr, options: &Options) -> bool {
    options.trusted_proxies.iter().any(|network| network.contains(&address.to_canonical()))
}

/// The first address, from the right, that is no trusted proxy's; all lines of the header count as one list.
fn forwarded(peer: IpAddr, headers: &HeaderMap, options: &Options) -> IpAddr {
    let lines: Vec<&str> =
        headers.get_all(&options.client_header).iter().filter_map(|line| line.to_str().ok()).collect();
    let list = lines.join(",");
    let mut nearest = peer;
    for address in list.rsplit(',') {
        let Ok(address) = address.trim().parse::<IpAddr>() else { return nearest };
        nearest = address;
        if !is_trusted(address, options) {
            break;
        }
    }
    nearest
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

/// The site's own address as the request names it, such as `http://127.0.0.1:8080`, with the path that the router
/// is nested under.
pub(crate) struct Origin {
    /// The address with the prefix.
    pub(crate) url: String,
    /// The path that the router is nested under, such as `/pics`; empty at the root.
    pub(crate) prefix: String,
    /// How the site presents itself there.
    pub(crate) options: Arc<Options>,
}

impl FromRequestParts<App> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        let inner = parts.uri.path();
        let outer = parts.extensions.get::<axum::extract::OriginalUri>().map(|uri| uri.0.path().to_owned());
        let outer = outer.unwrap_or_else(|| inner.to_owned());
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let prefix = ["/api/v1", ""]
            .iter()
            .find_map(|own| outer.trim_end_matches('/').strip_suffix(&format!("{own}{inner}")));
        let prefix = prefix.unwrap_or_default().to_owned();
        Ok(Self { url: format!("http://{host}{prefix}"), prefix, options: app.options.clone() })
    }
}

/// The key or token of an `Authorization: Bearer` header.
pub(crate) struct Bearer(pub(crate) String);

impl FromRequestParts<App> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.split_once(' '));
        match token {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                Ok(Self(token.trim().to_owned()))
            }
            _ => Err(Problem::unauthorized()),
        }
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
    use super::*;

    fn options() -> Options {
        Options { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()], ..Options::default() }
    }

    fn seen(peer: &str, header: &str) -> String {
        let peer = peer.parse().unwrap();
        let headers = HeaderMap::from_iter([(
            header::HeaderName::from_static("x-forwarded-for"),
            header.parse().unwrap(),
        )]);
        let options = options();
        network(if is_trusted(peer, &options) { forwarded(peer, &headers, &options) } else { peer })
    }

    #[test]
    fn only_a_trusted_proxys_header_counts_and_only_its_rightmost_stranger() {
        assert_eq!(seen("203.0.113.9", "198.51.100.1"), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", "198.51.100.1"), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2"), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", "198.51.100.1, nonsense"), "10.0.0.1");
        assert_eq!(seen("::ffff:10.0.0.1", "2001:db8:1:2:3::4"), "2001:db8:1:2::/64");
    }
}
