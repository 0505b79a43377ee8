//! `chatpic.Watermarker`: the forensic mark alone, on numpy arrays and image files.

use std::io::Cursor;
use std::ops::ControlFlow;

use bytes::Bytes;
use chatpic_core::mark::{self, ImageKey, MarkKey, Size, Suspect};
use chatpic_core::{Error, Limits, Pixels, SessionId};
use image::{DynamicImage, ImageFormat, RgbImage, RgbaImage};
use numpy::{IntoPyArray, PyArrayMethods, PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::Failure;
use crate::runtime::spawn;

/// The greatest probability with which a trace may accuse an innocent session.
const FALSE_ALARM: f64 = 1e-6;

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Said(error.to_string())
}

/// An image as Python gives it: an array or the bytes of a file.
#[derive(FromPyObject)]
enum Given<'py> {
    #[pyo3(transparent, annotation = "bytes")]
    File(Bytes),
    #[pyo3(transparent, annotation = "numpy.ndarray")]
    Pixels(PyReadonlyArray3<'py, u8>),
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
        let pixels = match given.extract()? {
            Given::File(bytes) => return Ok(Source::File(bytes)),
            Given::Pixels(pixels) => pixels,
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

impl Source {
    /// Its pixels; a file that is refused is the image of this number among a call's, from 0.
    fn pixels(self, index: usize) -> Result<Pixels, Failure> {
        match self {
            Source::File(bytes) => decode(&bytes, index),
            Source::Array(pixels) => Ok(pixels),
        }
    }
}

/// An image file's pixels, by the same intake and within the same limits as an upload's.
fn decode(bytes: &[u8], index: usize) -> Result<Pixels, Failure> {
    chatpic_core::decode(bytes, &Limits::default())
        .map_err(|rejection| Error::Rejected { index, rejection }.into())
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
    let shape = |width: u32, height: u32, channels| [height as usize, width as usize, channels];
    match source {
        Source::Array(Pixels::Opaque(picture)) => {
            let marked = mark::embed_rgb(&picture, key, session).map_err(failed)?;
            Ok(Marked::Pixels(shape(marked.width(), marked.height(), 3), marked.into_raw()))
        }
        Source::Array(Pixels::Alpha(picture)) => {
            let marked = mark::embed_rgba(&picture, key, session).map_err(failed)?;
            Ok(Marked::Pixels(shape(marked.width(), marked.height(), 4), marked.into_raw()))
        }
        Source::File(bytes) => match (decode(&bytes, 0)?, image::guess_format(&bytes)) {
            (Pixels::Opaque(image), Ok(ImageFormat::Jpeg)) => {
                let record = mark::record_of_pixels(&image, key).map_err(failed)?;
                let prepared = mark::prepare_as(&image, &[], key, Some(record)).map_err(failed)?;
                let [rendition] = &prepared.renditions[..] else { return Err(failed("no rendition")) };
                rendition.copy(key, session, &[]).map(Marked::File).map_err(failed)
            }
            (pixels, _) => {
                let marked = match pixels {
                    Pixels::Opaque(image) => mark::embed_rgb(&image, key, session).map(DynamicImage::from),
                    Pixels::Alpha(image) => mark::embed_rgba(&image, key, session).map(DynamicImage::from),
                };
                let mut file = Cursor::new(Vec::new());
                marked.map_err(failed)?.write_to(&mut file, ImageFormat::Png).map_err(failed)?;
                Ok(Marked::File(file.into_inner()))
            }
        },
    }
}

/// A session that a leaked picture was served to.
#[pyclass(frozen, get_all, module = "chatpic")]
pub(crate) struct Match {
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

/// The sessions that a picture may have been served to.
struct Candidates(Vec<SessionId>);

impl FromPyObject<'_, '_> for Candidates {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let texts: Vec<String> = given.extract()?;
        Ok(texts.iter().map(|text| session(text)).collect::<Result<_, _>>().map(Self)?)
    }
}

fn session(text: &str) -> Result<SessionId, Failure> {
    text.parse().map_err(|_| failed(format!("{text:?} is no session ID: that is 8 hex digits")))
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
/// >>> [match.session for match in marker.trace(marked, ["E64F44F6", "00C0FFEE"], size=(640, 480))]
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

    /// The session's copy of an image: of an array of shape (height, width, 3) or (height, width, 4) another one of
    /// the same shape; of a JPEG file a JPEG file, of any other a PNG file.
    #[pyo3(signature = (image, session))]
    fn embed(&self, py: Python<'_>, image: Source, session: &str) -> PyResult<Marked> {
        let session = self::session(session)?;
        Ok(py.detach(|| embed(image, &self.0, session))?)
    }

    /// `embed`, to be awaited.
    #[pyo3(signature = (image, session))]
    async fn embed_async(&self, image: Source, session: String) -> PyResult<Marked> {
        let (key, session) = (self.0.clone(), self::session(&session)?);
        spawn(blocking(move || embed(image, &key, session))).await
    }

    /// The sessions that a leaked picture was served to, best first; `size` is the marked image's (width, height).
    /// The image before it was marked, if it is still at hand, makes the search surer.
    #[pyo3(signature = (leaked, candidates, *, size, original = None))]
    fn trace(
        &self,
        py: Python<'_>,
        leaked: Source,
        candidates: Candidates,
        size: (u32, u32),
        original: Option<Source>,
    ) -> PyResult<Vec<Match>> {
        Ok(py.detach(|| trace(&self.0, leaked, &candidates.0, size, original))?)
    }

    /// `trace`, to be awaited.
    #[pyo3(signature = (leaked, candidates, *, size, original = None))]
    async fn trace_async(
        &self,
        leaked: Source,
        candidates: Candidates,
        size: (u32, u32),
        original: Option<Source>,
    ) -> PyResult<Vec<Match>> {
        let key = self.0.clone();
        spawn(blocking(move || trace(&key, leaked, &candidates.0, size, original))).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}

fn trace(
    key: &ImageKey,
    leaked: Source,
    sessions: &[SessionId],
    size: (u32, u32),
    original: Option<Source>,
) -> Result<Vec<Match>, Failure> {
    let leaked = leaked.pixels(0)?.into_rgb();
    let original = original.map(|original| original.pixels(1)).transpose()?.map(Pixels::into_rgb);
    // With the original the strength is known too, which is needed to know what all copies share.
    let record = match &original {
        Some(original) if original.dimensions() == size => {
            mark::record_of_pixels(original, key).map_err(failed)?
        }
        Some(_) => return Err(failed("the original has another size")),
        None => match mark::record_of(&[Size { width: size.0, height: size.1 }]) {
            Some(record) => record,
            None => return Ok(Vec::new()),
        },
    };
    let suspect = Suspect { key, record: &record, original: original.as_ref(), sessions };
    let trace =
        mark::trace(&leaked, &[suspect], FALSE_ALARM, &|_| ControlFlow::Continue(())).map_err(failed)?;
    let found = |found: mark::Match| Match {
        session: found.session.to_string(),
        score: found.score,
        false_alarm: found.false_alarm,
    };
    Ok(trace.matches.into_iter().map(found).collect())
}
