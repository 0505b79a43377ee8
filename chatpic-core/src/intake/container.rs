//! What the container of a GIF or WebP file says of its frames before a pixel is decoded.

/// The frames of a file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Container {
    /// How many frames the file that was walked has.
    pub(super) count: usize,
    /// Width and height of the canvas that frames are drawn on.
    pub(super) canvas: (u32, u32),
    /// Width and height of the largest frame, by area: in GIF it may be larger than the canvas.
    pub(super) largest: (u32, u32),
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
    pub(super) fn add(&mut self, width: u32, height: u32) {
        self.count += 1;
        if area((width, height)) > area(self.largest) {
            self.largest = (width, height);
        }
    }

    /// The larger of canvas and frames: for each frame the whole canvas is drawn anew.
    pub(super) fn drawn(&self) -> (u32, u32) {
        if area(self.largest) > area(self.canvas) { self.largest } else { self.canvas }
    }
}

/// Pixels of a rectangle.
pub(super) fn area((width, height): (u32, u32)) -> u64 {
    u64::from(width) * u64::from(height)
}
