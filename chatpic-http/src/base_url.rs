//! The site's public address.

use std::fmt;
use std::str::FromStr;

use axum::http::Uri;

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
        let text = text.trim();
        let uri: Uri = text.parse().map_err(|_| BaseUrlError)?;
        let (Some(scheme @ ("https" | "http")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(BaseUrlError);
        };
        if authority.host().is_empty()
            || authority.as_str().contains('@')
            || uri.query().is_some()
            // No URL has braces (RFC 3986), and routes give them a meaning.
            || text.contains(['#', '{', '}'])
        {
            return Err(BaseUrlError);
        }
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { origin: format!("{scheme}://{authority}"), path })
    }
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
            "https://pics example",
            "",
        ] {
            assert!(text.parse::<BaseUrl>().is_err(), "{text}");
        }
    }
}
