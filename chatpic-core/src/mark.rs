//! The two marks of a copy: the session ID drawn on it, and the forensic mark that nobody sees.
//!
//! Every copy of an image carries a faint pattern that only the holder of the share's [`MarkKey`] can read. A
//! *pilot* of plane waves, the same in every copy, tells a tracer how a leak was cropped and scaled. A *data
//! carrier*, cut into segments, spells the session's secret codeword by the sign of each segment. A segment is
//! one restart interval of a JPEG file, so two encoded variants of an image are enough: a copy is spliced from
//! them without touching a pixel.
//!
//! | file | what it does |
//! | --- | --- |
//! | `key`, `code` | keys and the secret codewords |
//! | `layout`, `carrier`, `shape` | segments, the two patterns, how strong they may be where |
//! | `embed`, `correlate`, `selftest` | marking pixels, as strongly as it takes |
//! | `jpeg`, `huffman`, `prepared` | preparing and splicing files |
//! | `spectrum`, `sync`, `refine`, `locate`, `warp` | finding how a leak lies on an image, by the pilot alone |
//! | `register`, `predict`, `reference` | the same with the original at hand: by the picture, which is then subtracted |
//! | `chips`, `score`, `trace` | reading the segments' signs; proving and naming sessions |
//! | `effort` | what a search may cost |
//! | `label`, `visible` | the drawn session ID |
//! | `plane`, `spread`, `wide` | planes of samples; many threads and wide registers to work on them |

mod carrier;
mod chips;
mod code;
mod correlate;
mod effort;
mod embed;
mod huffman;
mod jpeg;
mod key;
mod label;
mod layout;
mod locate;
mod plane;
mod predict;
mod prepared;
pub(crate) mod record;
mod reference;
mod refine;
mod register;
mod score;
mod selftest;
mod shape;
mod spectrum;
mod spread;
mod sync;
mod trace;
pub(crate) mod visible;
mod warp;

pub use embed::{
    copy_rgba, embed_rgb, embed_rgba, embed_with, record, record_of, record_of_pixels, record_rgba,
};
pub use key::{ImageKey, MarkKey};
pub use label::{Label, LabelPixel};
pub use prepared::{Prepared, PreparedRendition, prepare, prepare_as};
pub use record::{Chroma, MarkError, MarkRecord, Size};
pub use trace::{Evidence, Match, Suspect, TRACE_WORK, Trace, trace};
pub(crate) use trace::{leak_size, stated};
