//! Python bindings: `chatpic.Watermarker` on numpy arrays and image files.

use std::io::Cursor;
use std::ops::ControlFlow;

use chatpic_core::SessionId;
use chatpic_core::mark::{self, ImageKey, MarkKey, Size, Suspect};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage, RgbaImage};
use numpy::{IntoPyArray, PyArrayMethods, PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

create_exception!(chatpic, ChatPicError, PyException, "What ChatPic could not do, in words.");

/// The greatest probability with which a trace may accuse an innocent session.
const FALSE_ALARM: f64 = 1e-6;

fn failed(error: impl std::fmt::Display) -> PyErr {
    ChatPicError::new_err(error.to_string())
}

/// An image as Python gives it: an array or the bytes of a file.
#[derive(FromPyObject)]
enum Given<'py> {
    #[pyo3(transparent, annotation = "bytes")]
    File(Vec<u8>),
    #[pyo3(transparent, annotation = "numpy.ndarray")]
    Pixels(PyReadonlyArray3<'py, u8>),
}

/// An image copied out of what Python gave, so that the interpreter can go on.
enum Source {
    File(Vec<u8>),
    Rgb(RgbImage),
    Rgba(RgbaImage),
}

impl Source {
    fn copy(given: Given<'_>) -> PyResult<Self> {
        let pixels = match given {
            Given::File(bytes) => return Ok(Source::File(bytes)),
            Given::Pixels(pixels) => pixels,
        };
        let shape = pixels.shape();
        let side = |length: usize| u32::try_from(length).ok().filter(|length| *length > 0);
        let (Some(height), Some(width)) = (side(shape[0]), side(shape[1])) else {
            return Err(failed("an image has at least one pixel"));
        };
        let bytes: Vec<u8> = pixels.as_array().iter().copied().collect();
        let picture = match shape[2] {
            3 => RgbImage::from_raw(width, height, bytes).map(Source::Rgb),
            4 => RgbaImage::from_raw(width, height, bytes).map(Source::Rgba),
            _ => None,
        };
        picture.ok_or_else(|| failed("an image has the shape (height, width, 3) or (height, width, 4)"))
    }

    fn into_rgb(self) -> Result<RgbImage, String> {
        match self {
            Source::File(bytes) => Ok(decode(&bytes)?.0.into_rgb8()),
            Source::Rgb(picture) => Ok(picture),
            Source::Rgba(picture) => Ok(DynamicImage::ImageRgba8(picture).into_rgb8()),
        }
    }
}

/// An image file's pixels, upright, and its format.
fn decode(bytes: &[u8]) -> Result<(DynamicImage, Option<ImageFormat>), String> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    let format = reader.format();
    let mut decoder = reader.into_decoder().map_err(|e| e.to_string())?;
    let orientation = decoder.orientation().map_err(|e| e.to_string())?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?;
    image.apply_orientation(orientation);
    Ok((image, format))
}

/// A marked image of the kind that was given.
enum Marked {
    File(Vec<u8>),
    Pixels([usize; 3], Vec<u8>),
}

fn embed(source: Source, key: &ImageKey, session: SessionId) -> Result<Marked, String> {
    let said = |error: mark::MarkError| error.to_string();
    let shape = |width: u32, height: u32, channels| [height as usize, width as usize, channels];
    match source {
        Source::Rgb(picture) => {
            let marked = mark::embed_rgb(&picture, key, session).map_err(said)?;
            Ok(Marked::Pixels(shape(marked.width(), marked.height(), 3), marked.into_raw()))
        }
        Source::Rgba(picture) => {
            let marked = mark::embed_rgba(&picture, key, session).map_err(said)?;
            Ok(Marked::Pixels(shape(marked.width(), marked.height(), 4), marked.into_raw()))
        }
        Source::File(bytes) => match decode(&bytes)? {
            (image, Some(ImageFormat::Jpeg)) => {
                let image = image.into_rgb8();
                let record = mark::record_of_pixels(&image, key).map_err(said)?;
                let prepared = mark::prepare_as(&image, &[], key, Some(record)).map_err(said)?;
                let [rendition] = &prepared.renditions[..] else { return Err("no rendition".into()) };
                rendition.copy(key, session, &[]).map(Marked::File).map_err(said)
            }
            (image, _) => {
                let marked = if image.color().has_alpha() {
                    mark::embed_rgba(&image.into_rgba8(), key, session).map(DynamicImage::from)
                } else {
                    mark::embed_rgb(&image.into_rgb8(), key, session).map(DynamicImage::from)
                };
                let mut file = Cursor::new(Vec::new());
                marked.map_err(said)?.write_to(&mut file, ImageFormat::Png).map_err(|e| e.to_string())?;
                Ok(Marked::File(file.into_inner()))
            }
        },
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

    fn embed<'py>(&self, py: Python<'py>, image: Given<'py>, session: &str) -> PyResult<Bound<'py, PyAny>> {
        let session: SessionId = session.parse().map_err(failed)?;
        let source = Source::copy(image)?;
        match py.detach(|| embed(source, &self.0, session)).map_err(failed)? {
            Marked::File(bytes) => Ok(PyBytes::new(py, &bytes).into_any()),
            Marked::Pixels(shape, pixels) => Ok(pixels.into_pyarray(py).reshape(shape)?.into_any()),
        }
    }

    #[pyo3(signature = (leaked, candidates, *, size, original = None))]
    fn trace(
        &self,
        py: Python<'_>,
        leaked: Given<'_>,
        candidates: Vec<String>,
        size: (u32, u32),
        original: Option<Given<'_>>,
    ) -> PyResult<Vec<Match>> {
        let sessions: Result<Vec<SessionId>, _> = candidates.iter().map(|session| session.parse()).collect();
        let sessions = sessions.map_err(failed)?;
        let leaked = Source::copy(leaked)?;
        let original = original.map(Source::copy).transpose()?;
        let found = py.detach(|| {
            let leaked = leaked.into_rgb()?;
            let original = original.map(Source::into_rgb).transpose()?;
            // With the original the strength is known too, which is needed to know what all copies share.
            let record = match &original {
                Some(original) if original.dimensions() == size => {
                    mark::record_of_pixels(original, &self.0).map_err(|error| error.to_string())?
                }
                Some(_) => return Err("the original has another size".to_owned()),
                None => match mark::record_of(&[Size { width: size.0, height: size.1 }]) {
                    Some(record) => record,
                    None => return Ok(Vec::new()),
                },
            };
            let suspect =
                Suspect { key: &self.0, record: &record, original: original.as_ref(), sessions: &sessions };
            mark::trace(&leaked, &[suspect], FALSE_ALARM, &|_| ControlFlow::Continue(()))
                .map(|trace| trace.matches)
                .map_err(|error| error.to_string())
        });
        let matches = found.map_err(failed)?.into_iter();
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
