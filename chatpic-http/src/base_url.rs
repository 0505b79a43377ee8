//! The site's public address.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// The public address of a site: `https://` or `http://`, a host, perhaps a port and a path.
///
/// ```
/// use chatpic_http::BaseUrl;
///
/// let url: BaseUrl = "https://example.org/pics/".parse()?;
/// assert_eq!(url.to_string(), "https://example.org/pics");
/// assert!("pics.example".parse::<BaseUrl>().is_err(), "links would lead nowhere");
/// # Ok::<_, chatpic_http::BaseUrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BaseUrl {
    /// Scheme and host.
    origin: String,
    /// Empty, or a path that begins with a slash and does not end with one.
    path: String,
}

/// Why a text is not the address of a site.
#[derive(Debug, thiserror::Error)]
#[error("a site's address looks like https://pics.example or https://example.org/pics")]
pub struct BaseUrlError;

impl FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<Self, BaseUrlError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(BaseUrlError)?;
        let scheme = scheme.to_ascii_lowercase();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = path.strip_suffix('/').unwrap_or(path);
        let is_sound = matches!(&*scheme, "https" | "http")
            && is_authority(authority)
            && (path.is_empty() || path.split('/').skip(1).all(is_segment));
        if !is_sound {
            return Err(BaseUrlError);
        }
        Ok(Self { origin: format!("{scheme}://{authority}"), path: path.to_owned() })
    }
}

/// A host's name or address, perhaps with a port.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c)),
    };
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// A path's part of characters that browsers, cookies and routes all take for themselves (unreserved ones of RFC 3986).
fn is_segment(text: &str) -> bool {
    let is_unreserved = |c: u8| c.is_ascii_alphanumeric() || b"-._~".contains(&c);
    !matches!(text, "" | "." | "..") && text.bytes().all(is_unreserved)
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

impl BaseUrl {
    /// Scheme and host, such as `https://example.org`.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The path without a slash at its end, such as `/pics`; empty at the root.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn is_https(&self) -> bool {
        self.origin.starts_with("https:")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_a_host_and_perhaps_a_path() {
        for (text, origin, path) in [
            ("https://pics.example", "https://pics.example", ""),
            (" https://pics.example/ ", "https://pics.example", ""),
            ("https://pics.example:8443/a/b/", "https://pics.example:8443", "/a/b"),
            ("HTTP://[2001:db8::1]:8080/pics", "http://[2001:db8::1]:8080", "/pics"),
        ] {
            let url: BaseUrl = text.parse().unwrap();
            assert_eq!((url.origin(), url.path()), (origin, path), "{text}");
        }
        for text in [
            "pics.example",
            "//pics.example",
            "/pics",
            "ftp://pics.example",
            "https://",
            "https:///pics",
            "https://me:secret@pics.example",
            "https://pics.example/?a=b",
            "https://pics.example/#a",
            "https://pics.example/{a}",
            "https://pics.example//a",
            "https://pics.example/../a",
            "https://pics.example/a;b",
            "https://pics.example/a%2fb",
            "https://pics.example:99999",
            "https://pics.example:abc",
            "https://pics.example:",
            "https://*",
            "https://[2001:db8::1",
            "https://pics example",
            "",
        ] {
            assert!(text.parse::<BaseUrl>().is_err(), "{text}");
        }
    }
}
