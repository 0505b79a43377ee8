//! `chatpic.Watermarker`: the forensic mark alone, on numpy arrays and image files.

use std::collections::HashSet;
use std::io::Cursor;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use chatpic_core::mark::{self, ImageKey, MarkKey, MarkRecord, Size, Suspect, TRACE_WORK};
use chatpic_core::{Error, Limits, Pixels, Rejection, SessionId};
use image::{DynamicImage, ImageFormat, RgbImage, RgbaImage};
use numpy::{IntoPyArray, PyArrayMethods, PyReadonlyArray3, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

use crate::errors::{Failure, OutOfRange};
use crate::runtime::{spawn, wait, working};

/// The greatest probability with which a trace may accuse an innocent session.
const FALSE_ALARM: f64 = 1e-6;

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Said(error.to_string())
}

/// An image that the interpreter no longer has a hand in: a file's bytes are shared, they never change; an array's
/// pixels are copied once, for other threads may write to it.
enum Source {
    File(Bytes),
    Array(Pixels),
}

impl FromPyObject<'_, '_> for Source {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = given.extract() {
            return Ok(Source::File(bytes));
        }
        if let Ok(view) = given.cast::<PyMemoryView>() {
            return Ok(Source::File(view.call_method0("tobytes")?.extract()?));
        }
        let Ok(pixels) = given.extract::<PyReadonlyArray3<'_, u8>>() else {
            return Err(no_image(given));
        };
        let shape = pixels.shape();
        let side = |length: usize| u32::try_from(length).ok().filter(|length| *length > 0);
        let (Some(height), Some(width)) = (side(shape[0]), side(shape[1])) else {
            return Err(failed("an image has at least one pixel").into());
        };
        let bytes = match pixels.as_slice() {
            // Columns first is contiguous too.
            Ok(bytes) if pixels.is_c_contiguous() => bytes.to_vec(),
            _ => pixels.as_array().iter().copied().collect(),
        };
        let picture = match shape[2] {
            3 => RgbImage::from_raw(width, height, bytes).map(Pixels::Opaque),
            4 => RgbaImage::from_raw(width, height, bytes).map(Pixels::Alpha),
            _ => None,
        };
        let wrong = || failed("an image has the shape (height, width, 3) or (height, width, 4)");
        Ok(Source::Array(picture.ok_or_else(wrong)?))
    }
}

/// Says what was given where an image was wanted.
fn no_image(given: Borrowed<'_, '_, PyAny>) -> PyErr {
    let found = match given.cast::<PyUntypedArray>() {
        Ok(array) => format!("an array of {} of shape {:?}", array.dtype(), array.shape()),
        Err(_) => given.get_type().to_string(),
    };
    PyTypeError::new_err(format!(
        "an image is the bytes of a file, or a numpy array of uint8 of shape (height, width, 3) or \
         (height, width, 4), not {found}"
    ))
}

impl Source {
    /// Its pixels; one that is refused is the image of this number among a call's, from 0.
    fn pixels(self, index: usize) -> Result<Pixels, Failure> {
        match self {
            Source::File(bytes) => decode(&bytes, index),
            Source::Array(pixels) => {
                let (size, limit) = (pixels.size(), Limits::default().image_pixels);
                if size.pixels() > limit {
                    let Size { width, height } = size;
                    let rejection = Rejection::TooManyPixels { width, height, limit };
                    return Err(Error::Rejected { index, rejection }.into());
                }
                Ok(pixels)
            }
        }
    }
}

/// An image file's pixels, by the same intake and within the same limits as an upload's.
fn decode(bytes: &[u8], index: usize) -> Result<Pixels, Failure> {
    chatpic_core::decode(bytes, &Limits::default())
        .map_err(|rejection| Error::Rejected { index, rejection }.into())
}

/// The record of an image that is marked pixel by pixel, in its own size.
fn record(pixels: &Pixels, key: &ImageKey) -> Result<MarkRecord, Failure> {
    match pixels {
        Pixels::Opaque(picture) => mark::record_of_pixels(picture, key),
        Pixels::Alpha(picture) => mark::record_rgba(picture, &[pixels.size()], key),
    }
    .map_err(failed)
}

/// A marked image of the kind that was given.
enum Marked {
    File(Vec<u8>),
    Pixels([usize; 3], Vec<u8>),
}

impl<'py> IntoPyObject<'py> for Marked {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Marked::File(bytes) => Ok(PyBytes::new(py, &bytes).into_any()),
            // The array takes the pixels as they lie.
            Marked::Pixels(shape, pixels) => Ok(pixels.into_pyarray(py).reshape(shape)?.into_any()),
        }
    }
}

fn embed(source: Source, key: &ImageKey, session: SessionId) -> Result<Marked, Failure> {
    let (pixels, format) = match source {
        Source::Array(_) => {
            let pixels = source.pixels(0)?;
            let Size { width, height } = pixels.size();
            let (channels, marked) = match marked(pixels, key, session)? {
                Pixels::Opaque(picture) => (3, picture.into_raw()),
                Pixels::Alpha(picture) => (4, picture.into_raw()),
            };
            return Ok(Marked::Pixels([height as usize, width as usize, channels], marked));
        }
        Source::File(bytes) => (decode(&bytes, 0)?, image::guess_format(&bytes).ok()),
    };
    match (pixels, format) {
        (Pixels::Opaque(image), Some(ImageFormat::Jpeg)) => {
            let record = mark::record_of_pixels(&image, key).map_err(failed)?;
            let prepared = mark::prepare_as(&image, &[], key, Some(record)).map_err(failed)?;
            let [rendition] = &prepared.renditions[..] else { return Err(failed("no rendition")) };
            rendition.copy(key, session, &[]).map(Marked::File).map_err(failed)
        }
        (pixels, _) => {
            let marked = match marked(pixels, key, session)? {
                Pixels::Opaque(picture) => DynamicImage::from(picture),
                Pixels::Alpha(picture) => DynamicImage::from(picture),
            };
            let mut file = Cursor::new(Vec::new());
            marked.write_to(&mut file, ImageFormat::Png).map_err(failed)?;
            Ok(Marked::File(file.into_inner()))
        }
    }
}

/// An image marked pixel by pixel.
fn marked(pixels: Pixels, key: &ImageKey, session: SessionId) -> Result<Pixels, Failure> {
    match pixels {
        Pixels::Opaque(picture) => mark::embed_rgb(&picture, key, session).map(Pixels::Opaque),
        Pixels::Alpha(picture) => mark::embed_rgba(&picture, key, session).map(Pixels::Alpha),
    }
    .map_err(failed)
}

/// A session that a leaked picture was served to.
#[pyclass(frozen, get_all, module = "chatpic")]
pub(crate) struct Match {
    /// The session ID, 8 hex digits.
    session: String,
    /// How far the evidence stands out, in standard deviations, to tenths.
    score: f64,
    /// An upper bound on the probability that any innocent candidate would score so high: three digits, rounded up, never below
    /// 1e-100.
    false_alarm: f64,
}

#[pymethods]
impl Match {
    fn __repr__(&self) -> String {
        let Self { session, score, false_alarm } = self;
        format!("Match(session='{session}', score={score}, false_alarm={false_alarm:e})")
    }
}

/// The sessions that a picture may have been served to, each once.
struct Candidates(Vec<SessionId>);

impl FromPyObject<'_, '_> for Candidates {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let texts: Vec<String> = given.extract()?;
        let mut seen = HashSet::new();
        let sessions: Vec<SessionId> = texts.iter().map(|text| session(text)).collect::<Result<_, _>>()?;
        Ok(Self(sessions.into_iter().filter(|session| seen.insert(*session)).collect()))
    }
}

fn session(text: &str) -> Result<SessionId, Failure> {
    text.parse().map_err(|_| failed(format!("{text:?} is no session ID: that is 8 hex digits")))
}

/// What is kept of an image to trace a leak of it; no pixels.
#[pyclass(frozen, get_all, module = "chatpic")]
pub(crate) struct Plan {
    /// Its (width, height) in pixels.
    size: (u32, u32),
    /// How clearly a poor leak could be read, in units of what a trace needs: below 1 it would be lost.
    margin: Option<f32>,
    /// What a trace needs, a few hundred bytes.
    record: Py<PyBytes>,
}

/// A record as Python keeps it.
struct Record(MarkRecord);

impl FromPyObject<'_, '_> for Record {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let bytes: &[u8] = given.extract()?;
        MarkRecord::from_bytes(bytes, &Limits::default())
            .map(Self)
            .map_err(|_| OutOfRange::new_err("this is no `record` of a `Plan`"))
    }
}

/// Marks copies of one image; carriers and codes are keyed by the secret, 32 bytes, and the image's name.
///
/// Image files come in as uploads do, upright and in sRGB; one that is damaged, animated or past the default limits raises
/// `Rejected`.
///
/// >>> import chatpic, numpy
/// >>> marker = chatpic.Watermarker(bytes(32), image="holiday")
/// >>> picture = numpy.random.default_rng(1).integers(0, 255, (480, 640, 3), numpy.uint8)
/// >>> marked = marker.embed(picture, "E64F44F6")
/// >>> record = marker.prepare(picture).record
/// >>> [match.session for match in marker.trace(marked, ["E64F44F6", "00C0FFEE"], record=record)]
/// ['E64F44F6']
#[pyclass(frozen, module = "chatpic")]
pub(crate) struct Watermarker(ImageKey);

#[pymethods]
impl Watermarker {
    #[new]
    #[pyo3(signature = (secret, *, image))]
    fn new(secret: [u8; 32], image: &str) -> Self {
        Self(MarkKey::new(secret).image(image.as_bytes()))
    }

    /// What to keep of an image to trace a leak of it: its record, besides the secret and the image's name.
    fn prepare(&self, py: Python<'_>, image: Source) -> PyResult<Plan> {
        let key = self.0.clone();
        let record = wait(py, working(move |_| record(&image.pixels(0)?, &key)))?;
        Plan::new(py, &record)
    }

    /// `prepare`, to be awaited.
    async fn prepare_async(&self, image: Source) -> PyResult<Plan> {
        let key = self.0.clone();
        let record = spawn(working(move |_| record(&image.pixels(0)?, &key))).await?;
        Python::attach(|py| Plan::new(py, &record))
    }

    /// The session's copy of an image: of an array of shape (height, width, 3) or (height, width, 4) another one of
    /// the same shape; of a JPEG file a JPEG file, of any other a PNG file. An alpha channel stays as it is and bears no
    /// mark; colours are marked as far as it lets them show, and black where it hides them.
    #[pyo3(signature = (image, session))]
    fn embed(&self, py: Python<'_>, image: Source, session: &str) -> PyResult<Marked> {
        let (key, session) = (self.0.clone(), self::session(session)?);
        wait(py, working(move |_| embed(image, &key, session)))
    }

    /// `embed`, to be awaited.
    #[pyo3(signature = (image, session))]
    async fn embed_async(&self, image: Source, session: String) -> PyResult<Marked> {
        let (key, session) = (self.0.clone(), self::session(&session)?);
        spawn(working(move |_| embed(image, &key, session))).await
    }

    /// The sessions that a leaked picture was served to, best first, by the marked image's `record` (see `prepare`).
    /// The image before it was marked, if it is still at hand, makes the search surer.
    #[pyo3(signature = (leaked, candidates, *, record, original = None))]
    fn trace(
        &self,
        py: Python<'_>,
        leaked: Source,
        candidates: Candidates,
        record: Record,
        original: Option<Source>,
    ) -> PyResult<Vec<Match>> {
        let key = self.0.clone();
        wait(py, working(move |stop| trace(&key, leaked, &candidates.0, &record.0, original, stop)))
    }

    /// `trace`, to be awaited; cancelling it stops the search.
    #[pyo3(signature = (leaked, candidates, *, record, original = None))]
    async fn trace_async(
        &self,
        leaked: Source,
        candidates: Candidates,
        record: Record,
        original: Option<Source>,
    ) -> PyResult<Vec<Match>> {
        let key = self.0.clone();
        spawn(working(move |stop| trace(&key, leaked, &candidates.0, &record.0, original, stop))).await
    }
}

impl Plan {
    fn new(py: Python<'_>, record: &MarkRecord) -> PyResult<Self> {
        let size = record.sizes.first().map(|size| (size.width, size.height)).unwrap_or_default();
        let bytes = PyBytes::new(py, &record.to_bytes()).unbind();
        Ok(Self { size, margin: record.margin, record: bytes })
    }
}

fn trace(
    key: &ImageKey,
    leaked: Source,
    sessions: &[SessionId],
    record: &MarkRecord,
    original: Option<Source>,
    stop: &AtomicBool,
) -> Result<Vec<Match>, Failure> {
    let leaked = leaked.pixels(0)?.into_rgb();
    let original = original.map(|original| original.pixels(1)).transpose()?.map(Pixels::into_rgb);
    if let Some(original) = &original
        && record.sizes.first() != Some(&Size { width: original.width(), height: original.height() })
    {
        return Err(failed("the original is not the image of the record: it has another size"));
    }
    let suspect = Suspect { key, record, original: original.as_ref(), sessions };
    let go_on =
        |_| if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let trace = mark::trace(&leaked, &[suspect], FALSE_ALARM, TRACE_WORK, &go_on).map_err(failed)?;
    let found = |found: mark::Match| Match {
        session: found.session.to_string(),
        score: found.score,
        false_alarm: found.false_alarm,
    };
    Ok(trace.matches.into_iter().map(found).collect())
}
