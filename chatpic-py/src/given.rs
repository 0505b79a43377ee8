//! What Python gives: ids and keys as text, times as `timedelta`, images as bytes, paths or arrays.

use std::io::Read;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use chatpic_core::{Country, DashboardKey, LinkKey, SessionToken, ShareId};
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;

use crate::errors::{Failure, NotFound, OutOfRange, SessionOver, Unauthorized};

/// Something that stands as text in a link or an answer.
pub(crate) trait Named: FromStr {
    /// What is said of a text that names nothing: the same as of one that names something unknown.
    fn wrong() -> PyErr;
}

impl Named for ShareId {
    fn wrong() -> PyErr {
        NotFound::new_err(chatpic_core::Error::NotFound.to_string())
    }
}

impl Named for LinkKey {
    fn wrong() -> PyErr {
        Unauthorized::new_err(chatpic_core::Unauthorized::Key.to_string())
    }
}

impl Named for DashboardKey {
    fn wrong() -> PyErr {
        LinkKey::wrong()
    }
}

impl Named for SessionToken {
    fn wrong() -> PyErr {
        SessionOver::new_err(chatpic_core::Unauthorized::Session.to_string())
    }
}

impl Named for chatpic_core::Cursor {
    fn wrong() -> PyErr {
        OutOfRange::new_err("this is no `next` of a dashboard")
    }
}

/// The value that a text names.
pub(crate) struct Text<T>(pub(crate) T);

impl<T: Named> FromPyObject<'_, '_> for Text<T> {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        given.extract::<&str>()?.parse().map(Self).map_err(|_| T::wrong())
    }
}

/// A country by its two letters, if it is known: proxies send XX, ZZ or T1 where it is not.
pub(crate) struct Where(pub(crate) Option<Country>);

impl FromPyObject<'_, '_> for Where {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let code: &str = given.extract()?;
        match code.parse() {
            Ok(country) => Ok(Self(Some(country))),
            Err(_) if code.trim().len() == 2 => Ok(Self(None)),
            Err(_) => Err(OutOfRange::new_err("a country is given by two letters, an unknown one by None")),
        }
    }
}

/// A length of time from a `timedelta`.
pub(crate) struct Span(pub(crate) Duration);

impl FromPyObject<'_, '_> for Span {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        given.extract::<Duration>().map(Self).map_err(|error| {
            if error.is_instance_of::<PyValueError>(given.py()) {
                OutOfRange::new_err("a length of time is not negative")
            } else {
                error
            }
        })
    }
}

/// Which image, from 0; no Python number that is out of range names one.
pub(crate) struct Index(pub(crate) usize);

impl FromPyObject<'_, '_> for Index {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        given.extract::<usize>().map(Self).map_err(|error| {
            if error.is_instance_of::<PyOverflowError>(given.py()) {
                NotFound::new_err(chatpic_core::Invalid::Image.to_string())
            } else {
                error
            }
        })
    }
}

/// A view limit; a number too large or negative is as much out of range as 0.
pub(crate) struct MaxViews(pub(crate) u32);

impl FromPyObject<'_, '_> for MaxViews {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        match given.extract::<u32>() {
            Err(error) if error.is_instance_of::<PyOverflowError>(given.py()) => Ok(Self(0)),
            limit => limit.map(Self),
        }
    }
}

/// The installation's secret: its 32 bytes, or the file that holds it.
#[derive(FromPyObject)]
pub(crate) enum Secret {
    #[pyo3(transparent, annotation = "bytes")]
    Bytes([u8; 32]),
    #[pyo3(transparent, annotation = "os.PathLike")]
    File(PathBuf),
}

/// An image file: its bytes, or where it lies.
#[derive(FromPyObject)]
pub(crate) enum ImageFile {
    #[pyo3(transparent, annotation = "bytes")]
    Bytes(Bytes),
    #[pyo3(transparent, annotation = "os.PathLike")]
    Path(PathBuf),
}

impl ImageFile {
    /// The file's bytes; of a larger one than may be taken, only so many that it is refused.
    pub(crate) async fn read(self, cap: usize) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.into()),
            Self::Path(path) => {
                let named = path.clone();
                let read = move || {
                    let mut bytes = Vec::new();
                    let file = std::fs::File::open(path)?;
                    file.take(cap as u64 + 1).read_to_end(&mut bytes).map(|_| bytes)
                };
                match tokio::task::spawn_blocking(read).await {
                    Ok(read) => read.map_err(|error| Failure::File(named, error)),
                    Err(_) => Err(Failure::Said("the work was broken off".to_owned())),
                }
            }
        }
    }
}
