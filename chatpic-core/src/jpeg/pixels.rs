//! From the samples of components to pixels: chroma is interpolated, and colours are converted (ITU-T T.871).

use image::{GrayImage, RgbImage};

use super::Samples;
use super::frame::{Component, Frame};
use crate::intake::Rejection;
use crate::wide::wide;

/// What the components of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    Grey,
    Rgb,
    /// Luma and two differences of chroma.
    Ycc,
    /// Ink of four colours.
    Cmyk,
    /// The same, the first three as luma and chroma of their complement.
    Ycck,
}

impl Colours {
    /// From the components' names, whether there is a JFIF segment, and the transform that an Adobe segment names. JFIF
    /// decides over Adobe, and both over the names.
    pub(super) fn new(ids: &[u8], jfif: bool, adobe: Option<u8>) -> Result<Self, Rejection> {
        match (ids, adobe) {
            ([_], _) => Ok(Self::Grey),
            ([_, _, _], _) if jfif => Ok(Self::Ycc),
            ([_, _, _], Some(0)) | (b"RGB", None) => Ok(Self::Rgb),
            ([_, _, _], _) => Ok(Self::Ycc),
            ([_, _, _, _], None | Some(0)) => Ok(Self::Cmyk),
            ([_, _, _, _], _) => Ok(Self::Ycck),
            _ => Err(Rejection::Corrupt),
        }
    }

    /// Bytes of a pixel.
    pub(super) fn channels(self) -> u64 {
        match self {
            Self::Grey => 1,
            Self::Rgb | Self::Ycc => 3,
            Self::Cmyk | Self::Ycck => 4,
        }
    }
}

/// The pixels of a frame, whose components have these planes.
pub(super) fn samples(frame: &Frame, colours: Colours, planes: &[Vec<u8>]) -> Result<Samples, Rejection> {
    let (width, height) = (frame.size.width, frame.size.height);
    let line = width as usize * colours.channels() as usize;
    let mut pixels = vec![0; line * height as usize];
    let components = frame.components.iter().zip(planes);
    let mut channels: Vec<_> =
        components.map(|(component, plane)| Upsampler::new(frame, component, plane)).collect();
    wide!(fill(&mut pixels, line, colours, &mut channels))?;
    match colours {
        Colours::Grey => GrayImage::from_raw(width, height, pixels).map(Samples::Grey),
        Colours::Rgb | Colours::Ycc => RgbImage::from_raw(width, height, pixels).map(Samples::Rgb),
        Colours::Cmyk | Colours::Ycck => Some(Samples::Ink { size: frame.size, values: pixels }),
    }
    .ok_or(Rejection::Corrupt)
}

/// Makes the pixels, row by row.
#[inline(always)]
fn fill(
    pixels: &mut [u8],
    line: usize,
    colours: Colours,
    channels: &mut [Upsampler<'_>],
) -> Result<(), Rejection> {
    for (y, line) in pixels.chunks_exact_mut(line).enumerate() {
        match (colours, &mut *channels) {
            (Colours::Grey, [grey]) => line.copy_from_slice(&grey.row(y)[..line.len()]),
            (Colours::Rgb, channels @ [_, _, _]) => interleave::<3>(line, channels, y),
            (Colours::Cmyk, channels @ [_, _, _, _]) => interleave::<4>(line, channels, y),
            (Colours::Ycc, [luma, blue, red]) => {
                let rows = luma.row(y).iter().zip(blue.row(y)).zip(red.row(y));
                for (pixel, ((y, cb), cr)) in line.as_chunks_mut::<3>().0.iter_mut().zip(rows) {
                    *pixel = rgb(*y, *cb, *cr);
                }
            }
            (Colours::Ycck, [luma, blue, red, black]) => {
                let rows = luma.row(y).iter().zip(blue.row(y)).zip(red.row(y)).zip(black.row(y));
                for (pixel, (((y, cb), cr), k)) in line.as_chunks_mut::<4>().0.iter_mut().zip(rows) {
                    let [r, g, b] = rgb(*y, *cb, *cr);
                    *pixel = [255 - r, 255 - g, 255 - b, *k];
                }
            }
            _ => return Err(Rejection::Corrupt),
        }
    }
    Ok(())
}

#[inline(always)]
fn interleave<const CHANNELS: usize>(line: &mut [u8], channels: &mut [Upsampler<'_>], y: usize) {
    for (place, channel) in channels.iter_mut().enumerate() {
        for (pixel, sample) in line.as_chunks_mut::<CHANNELS>().0.iter_mut().zip(channel.row(y)) {
            pixel[place] = *sample;
        }
    }
}

/// Red, green and blue (T.871, section 7), in the integers that libjpeg uses.
#[inline(always)]
fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const fn fixed(value: f64) -> i32 {
        (value * 65536.0 + 0.5) as i32
    }
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let sample = |value: i32| value.clamp(0, 255) as u8;
    let red = y + ((fixed(1.402) * cr + HALF) >> 16);
    let green = y + ((HALF - fixed(0.344_14) * cb - fixed(0.714_14) * cr) >> 16);
    let blue = y + ((fixed(1.772) * cb + HALF) >> 16);
    [sample(red), sample(green), sample(blue)]
}

/// Gives the rows of a component at the size of the picture.
struct Upsampler<'a> {
    component: &'a Component,
    plane: &'a [u8],
    /// How many pixels a sample covers.
    across: usize,
    down: usize,
    /// The row that was made last, with samples behind the picture's edge.
    row: Vec<u8>,
    sums: Vec<u16>,
}

impl<'a> Upsampler<'a> {
    fn new(frame: &Frame, component: &'a Component, plane: &'a [u8]) -> Self {
        let (across, down) = (frame.max_across / component.across, frame.max_down / component.down);
        let length = |needed: bool, length: usize| if needed { length } else { 0 };
        let row = vec![0; length((across, down) != (1, 1), across * component.width)];
        let sums = vec![0; length((across, down) == (2, 2), component.width)];
        Self { component, plane, across, down, row, sums }
    }

    /// Row `y` of the picture.
    ///
    /// Samples that cover two pixels across, down, or both, are interpolated: three parts of the nearer one and one of the
    /// farther, rounded up and down by turns. Others are repeated, as are those of a component that is only two wide.
    #[inline(always)]
    fn row(&mut self, y: usize) -> &[u8] {
        let Component { width, height, blocks_across, .. } = *self.component;
        let source = |y: usize| &self.plane[8 * blocks_across * y..][..width];
        let near = source(y / self.down);
        // Beyond the edge, the last row is meant.
        let far = if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { (y / 2 + 1).min(height - 1) };
        match (self.across, self.down) {
            (1, 1) => return near,
            (2, 1) if width > 2 => interpolate_across(near, &mut self.row),
            (1, 2) => {
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                for ((out, near), far) in self.row.iter_mut().zip(near).zip(source(far)) {
                    *out = ((3 * u16::from(*near) + u16::from(*far) + bias) >> 2) as u8;
                }
            }
            (2, 2) if width > 2 => {
                for ((sum, near), far) in self.sums.iter_mut().zip(near).zip(source(far)) {
                    *sum = 3 * u16::from(*near) + u16::from(*far);
                }
                interpolate_sums(&self.sums, &mut self.row);
            }
            (1, _) => return near,
            (across, _) => {
                for (out, sample) in self.row.chunks_exact_mut(across).zip(near) {
                    out.fill(*sample);
                }
            }
        }
        &self.row
    }
}

/// Doubles a row of at least two samples.
#[inline(always)]
fn interpolate_across(samples: &[u8], out: &mut [u8]) {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return };
    let mixed = |near: u8, far: u8, bias: u16| ((3 * u16::from(near) + u16::from(far) + bias) >> 2) as u8;
    let [edge, inner @ .., other_edge] = out else { return };
    (*edge, *other_edge) = (*first, *last);
    for (out, pair) in inner.as_chunks_mut::<2>().0.iter_mut().zip(samples.windows(2)) {
        *out = [mixed(pair[0], pair[1], 2), mixed(pair[1], pair[0], 1)];
    }
}

/// Doubles a row of at least two sums, each of four samples.
#[inline(always)]
fn interpolate_sums(sums: &[u16], out: &mut [u8]) {
    let (Some(first), Some(last)) = (sums.first(), sums.last()) else { return };
    let mixed = |near: u16, far: u16, bias: u16| ((3 * near + far + bias) >> 4) as u8;
    let [edge, inner @ .., other_edge] = out else { return };
    (*edge, *other_edge) = (mixed(*first, *first, 8), mixed(*last, *last, 7));
    for (out, pair) in inner.as_chunks_mut::<2>().0.iter_mut().zip(sums.windows(2)) {
        *out = [mixed(pair[0], pair[1], 7), mixed(pair[1], pair[0], 8)];
    }
}
