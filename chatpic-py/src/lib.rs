//! Python bindings: `chatpic.Watermarker` on numpy arrays.

use std::ops::ControlFlow;

use chatpic_core::SessionId;
use chatpic_core::mark::{self, ImageKey, MarkKey, Size, Suspect};
use image::{RgbImage, RgbaImage};
use numpy::{IntoPyArray, PyArray3, PyArrayMethods, PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

create_exception!(chatpic, ChatPicError, PyException, "What ChatPic could not do, in words.");

/// The greatest probability with which a trace may accuse an innocent session.
const FALSE_ALARM: f64 = 1e-6;

fn failed(error: impl std::fmt::Display) -> PyErr {
    ChatPicError::new_err(error.to_string())
}

/// An image of shape (height, width, 3 or 4), copied out of an array.
enum Picture {
    Rgb(RgbImage),
    Rgba(RgbaImage),
}

impl Picture {
    fn read(pixels: &PyReadonlyArray3<'_, u8>) -> PyResult<Self> {
        let shape = pixels.shape();
        let side = |length: usize| u32::try_from(length).ok().filter(|length| *length > 0);
        let (Some(height), Some(width)) = (side(shape[0]), side(shape[1])) else {
            return Err(failed("an image has at least one pixel"));
        };
        let bytes: Vec<u8> = pixels.as_array().iter().copied().collect();
        let picture = match shape[2] {
            3 => RgbImage::from_raw(width, height, bytes).map(Picture::Rgb),
            4 => RgbaImage::from_raw(width, height, bytes).map(Picture::Rgba),
            _ => None,
        };
        picture.ok_or_else(|| failed("an image has the shape (height, width, 3) or (height, width, 4)"))
    }

    fn into_rgb(self) -> RgbImage {
        match self {
            Picture::Rgb(picture) => picture,
            Picture::Rgba(picture) => image::DynamicImage::ImageRgba8(picture).into_rgb8(),
        }
    }
}

/// A session that a leaked picture was served to.
#[pyclass(frozen, get_all, module = "chatpic")]
struct Match {
    /// The session ID, 8 hex digits.
    session: String,
    /// How far the evidence stands out, in standard deviations.
    score: f32,
    /// The probability that any innocent candidate would score so high.
    false_alarm: f64,
}

#[pymethods]
impl Match {
    fn __repr__(&self) -> String {
        let Self { session, score, false_alarm } = self;
        format!("Match(session='{session}', score={score:.1}, false_alarm={false_alarm:.1e})")
    }
}

/// Marks copies of one image; carriers and codes are keyed by the secret and the image's name.
#[pyclass(frozen, module = "chatpic")]
struct Watermarker(ImageKey);

#[pymethods]
impl Watermarker {
    #[new]
    #[pyo3(signature = (secret, *, image))]
    fn new(secret: [u8; 32], image: &str) -> Self {
        Self(MarkKey::new(secret).image(image.as_bytes()))
    }

    fn embed<'py>(
        &self,
        py: Python<'py>,
        pixels: PyReadonlyArray3<'py, u8>,
        session: &str,
    ) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let session: SessionId = session.parse().map_err(failed)?;
        let shape = [pixels.shape()[0], pixels.shape()[1], pixels.shape()[2]];
        let picture = Picture::read(&pixels)?;
        let marked = py.detach(|| match picture {
            Picture::Rgb(picture) => mark::embed_rgb(&picture, &self.0, session).map(RgbImage::into_raw),
            Picture::Rgba(picture) => mark::embed_rgba(&picture, &self.0, session).map(RgbaImage::into_raw),
        });
        marked.map_err(failed)?.into_pyarray(py).reshape(shape)
    }

    #[pyo3(signature = (leaked, sessions, *, size))]
    fn trace(
        &self,
        py: Python<'_>,
        leaked: PyReadonlyArray3<'_, u8>,
        sessions: Vec<String>,
        size: (u32, u32),
    ) -> PyResult<Vec<Match>> {
        let sessions: Result<Vec<SessionId>, _> = sessions.iter().map(|session| session.parse()).collect();
        let sessions = sessions.map_err(failed)?;
        let leaked = Picture::read(&leaked)?.into_rgb();
        let Some(record) = mark::record_of(&[Size { width: size.0, height: size.1 }]) else {
            return Ok(Vec::new());
        };
        let found = py.detach(|| {
            let suspect = Suspect { key: &self.0, record: &record, original: None, sessions: &sessions };
            mark::trace(&leaked, &[suspect], FALSE_ALARM, &|_| ControlFlow::Continue(()))
        });
        let matches = found.map_err(failed)?.matches.into_iter();
        Ok(matches
            .map(|found| Match {
                session: found.session.to_string(),
                score: found.score,
                false_alarm: found.false_alarm,
            })
            .collect())
    }
}

#[pymodule]
fn _chatpic(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("ChatPicError", module.py().get_type::<ChatPicError>())?;
    module.add_class::<Match>()?;
    module.add_class::<Watermarker>()
}
