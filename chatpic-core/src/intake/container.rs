//! What the container of a GIF or WebP file says of its frames before a pixel is decoded.

use crate::mark::Size;

/// The frames of a file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Container {
    /// How many frames the file that was walked has.
    pub(super) count: usize,
    /// The canvas that frames are drawn on.
    pub(super) canvas: Size,
    /// The largest frame, by area: in GIF it may be larger than the canvas.
    pub(super) largest: Size,
    /// How often they are played; 0 is without end.
    pub(super) loops: u16,
    /// What pixels are made of and nothing else, of as many frames as [`Limits::animation_frames`] at most: a GIF file, or
    /// a WebP file's chunks of frames.
    ///
    /// [`Limits::animation_frames`]: crate::Limits::animation_frames
    pub(super) file: Vec<u8>,
}

impl Container {
    /// Counts a frame.
    pub(super) fn add(&mut self, frame: Size) {
        self.count += 1;
        self.largest = larger(self.largest, frame);
    }

    /// The larger of canvas and frames: for each frame the whole canvas is drawn anew.
    pub(super) fn drawn(&self) -> Size {
        larger(self.canvas, self.largest)
    }
}

/// The one with more pixels, or the first.
fn larger(one: Size, other: Size) -> Size {
    if other.pixels() > one.pixels() { other } else { one }
}
