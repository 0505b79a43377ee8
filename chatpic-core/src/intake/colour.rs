//! What a file says its numbers mean as colours, and the way from there to sRGB.
//!
//! The rules are those of Chromium. `moxcms` reads and applies profiles; code points and gammas become profiles too. Only
//! light that is brighter than a screen's white (PQ and HLG) is handled here.

#[cfg(test)]
mod tests;

use image::{DynamicImage, RgbImage, RgbaImage};
use moxcms::{
    ColorProfile, DataColorSpace, Layout, Matrix3d, MatrixCoefficients, ParsingOptions, ToneReprCurve,
    TransformOptions, XyY, Xyzd,
};

use crate::mark::Size;

/// Pixels that are converted at a time.
const CHUNK: usize = 4096;

/// Light of a picture's white, in cd/m² (ITU-R BT.2408, 2.1).
const WHITE: f32 = 203.0;
/// The brightest light of a picture that says nothing of it, in cd/m²: HLG's nominal display (ITU-R BT.2100).
pub(super) const DEFAULT_PEAK: f32 = 1000.0;

/// What a file says its numbers mean as colours.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Colour {
    /// sRGB, as in a file that says nothing.
    Srgb,
    /// An ICC profile, as it stands in the file.
    Profile(Vec<u8>),
    /// Primaries and transfer function by their code points (ITU-T H.273, tables 2 and 3), of RGB in full range.
    Cicp {
        primaries: u8,
        transfer: u8,
        /// The brightest light of the picture, in cd/m²; only PQ and HLG need it.
        peak: f32,
    },
    /// PNG's gAMA, 100 000 times the exponent that samples were encoded with, and cHRM.
    Gamma { gamma: u32, chromaticities: Option<Chromaticities> },
}

/// x and y of white, red, green and blue, as in PNG's cHRM.
pub(super) type Chromaticities = [f64; 8];

impl Colour {
    /// The way to sRGB. A broken profile and unknown code points say nothing.
    pub(super) fn conversion(&self) -> Conversion {
        let said = match self {
            Colour::Srgb => None,
            Colour::Cicp { primaries, transfer, peak } => by_code_points(*primaries, *transfer, *peak),
            Colour::Gamma { gamma, chromaticities } => by_gamma(*gamma, *chromaticities),
            Colour::Profile(profile) => by_profile(profile),
        };
        said.unwrap_or(Conversion::None)
    }
}

fn opaque(size: (u32, u32), pixels: impl Iterator<Item = [u8; 3]>) -> DynamicImage {
    let mut image = RgbImage::new(size.0, size.1);
    image.pixels_mut().zip(pixels).for_each(|(to, pixel)| to.0 = pixel);
    image.into()
}

fn transparent(size: (u32, u32), pixels: impl Iterator<Item = ([u8; 3], u8)>) -> DynamicImage {
    let mut image = RgbaImage::new(size.0, size.1);
    image.pixels_mut().zip(pixels).for_each(|(to, ([r, g, b], alpha))| to.0 = [r, g, b, alpha]);
    image.into()
}

/// Sixteen bits as eight.
fn rounded(value: u16) -> u8 {
    ((u32::from(value) + 128) / 257) as u8
}

/// The way from a file's numbers to sRGB.
pub(super) enum Conversion {
    /// They are sRGB already.
    None,
    /// By a profile for grey, RGB or CMYK.
    Profile(Box<ColorProfile>),
    Light(Box<Light>),
}

impl Conversion {
    /// Converts a picture to sRGB of eight bits a channel, with an alpha channel if it had one. A profile for
    /// another kind of samples is ignored, but one for RGB is applied to grey.
    ///
    /// It takes 3 or 4 bytes a pixel besides the picture, or nothing if that has eight bits a channel and is not grey.
    pub(super) fn to_srgb(&self, image: DynamicImage) -> DynamicImage {
        match image {
            DynamicImage::ImageLuma8(grey) => {
                let shades = self.shades(u8::MAX.into());
                opaque(grey.dimensions(), grey.pixels().map(|grey| shades[usize::from(grey.0[0])]))
            }
            DynamicImage::ImageLuma16(grey) => {
                let shades = self.shades(u16::MAX.into());
                opaque(grey.dimensions(), grey.pixels().map(|grey| shades[usize::from(grey.0[0])]))
            }
            DynamicImage::ImageLumaA8(grey) => {
                let shades = self.shades(u8::MAX.into());
                let shaded = grey.pixels().map(|grey| (shades[usize::from(grey.0[0])], grey.0[1]));
                transparent(grey.dimensions(), shaded)
            }
            DynamicImage::ImageLumaA16(grey) => {
                let shades = self.shades(u16::MAX.into());
                let shaded = grey.pixels().map(|grey| (shades[usize::from(grey.0[0])], rounded(grey.0[1])));
                transparent(grey.dimensions(), shaded)
            }
            DynamicImage::ImageRgb16(deep) => {
                let mut image = RgbImage::new(deep.width(), deep.height());
                self.sixteen_bits(&deep, &mut image, Layout::Rgb);
                image.into()
            }
            DynamicImage::ImageRgba16(deep) => {
                let mut image = RgbaImage::new(deep.width(), deep.height());
                self.sixteen_bits(&deep, &mut image, Layout::Rgba);
                image.into()
            }
            DynamicImage::ImageRgba8(mut image) => {
                self.eight_bits(&mut image, Layout::Rgba);
                image.into()
            }
            other => {
                let mut image = other.into_rgb8();
                self.eight_bits(&mut image, Layout::Rgb);
                image.into()
            }
        }
    }

    /// Converts ink, four bytes a pixel of cyan, magenta, yellow and black where 255 is none, to sRGB.
    ///
    /// Each ink is a filter, and so is black over all of them. A CMYK profile then gets what they let through as cyan, magenta
    /// and yellow without black, as in Chromium: greys of black ink alone come out as those of the three others.
    ///
    /// It takes 3 bytes a pixel besides the ink.
    pub(super) fn ink_to_srgb(&self, size: Size, ink: &[u8]) -> RgbImage {
        let mut image = RgbImage::new(size.width, size.height);
        for (pixel, ink) in image.pixels_mut().zip(ink.chunks_exact(4)) {
            for (light, filter) in pixel.0.iter_mut().zip(ink) {
                *light = ((u32::from(*filter) * u32::from(ink[3]) + 127) / 255) as u8;
            }
        }
        let Conversion::Profile(profile) = self else { return image };
        if profile.color_space != DataColorSpace::Cmyk {
            return image;
        }
        let srgb = ColorProfile::new_srgb();
        let Ok(transform) = profile.create_transform_8bit(Layout::Rgba, &srgb, Layout::Rgb, options()) else {
            return image;
        };
        let mut cover = [0; CHUNK * 4];
        for pixels in image.chunks_mut(CHUNK * 3) {
            let cover = &mut cover[..pixels.len() / 3 * 4];
            for (cover, pixel) in cover.chunks_exact_mut(4).zip(pixels.chunks_exact(3)) {
                cover.copy_from_slice(&[255 - pixel[0], 255 - pixel[1], 255 - pixel[2], 0]);
            }
            // It fails only on lengths that don't fit.
            drop(transform.transform(cover, pixels));
        }
        image
    }

    /// What becomes of each shade of grey from 0 to `white`, 255 or 65 535. A profile for RGB takes them for grey in RGB.
    fn shades(&self, white: u32) -> Vec<[u8; 3]> {
        let greys: Vec<u16> = (0..=white).map(|grey| (grey * 65_535 / white) as u16).collect();
        let mut deep: Vec<u16> = greys.iter().flat_map(|grey| [*grey; 3]).collect();
        let mut conversion = self;
        if let Conversion::Profile(profile) = self
            && profile.color_space == DataColorSpace::Gray
        {
            let srgb = ColorProfile::new_srgb();
            let transform = profile.create_transform_16bit(Layout::Gray, &srgb, Layout::Rgb, options());
            if let Ok(transform) = transform {
                // It fails only on a length that doesn't fit.
                drop(transform.transform(&greys, &mut deep));
            }
            conversion = &Conversion::None;
        }
        let mut shades = vec![0; deep.len()];
        conversion.sixteen_bits(&deep, &mut shades, Layout::Rgb);
        shades.as_chunks().0.to_vec()
    }

    /// Converts samples of sixteen bits, then rounds them to eight.
    fn sixteen_bits(&self, samples: &[u16], to: &mut [u8], layout: Layout) {
        let transform = match self {
            Conversion::Profile(profile) if profile.color_space == DataColorSpace::Rgb => {
                profile.create_transform_16bit(layout, &ColorProfile::new_srgb(), layout, options()).ok()
            }
            _ => None,
        };
        let mut converted = [0; CHUNK * 4];
        let length = CHUNK * layout.channels();
        for (samples, to) in samples.chunks(length).zip(to.chunks_mut(length)) {
            let converted = &mut converted[..samples.len()];
            let is_done = transform.as_ref().is_some_and(|by| by.transform(samples, converted).is_ok());
            if !is_done {
                converted.copy_from_slice(samples);
            }
            if let Conversion::Light(light) = self {
                light.bring_down(converted, layout);
            }
            to.iter_mut().zip(&*converted).for_each(|(to, value)| *to = rounded(*value));
        }
    }

    /// Converts samples of eight bits where they lie.
    fn eight_bits(&self, samples: &mut [u8], layout: Layout) {
        let length = CHUNK * layout.channels();
        match self {
            Conversion::Profile(profile) if profile.color_space == DataColorSpace::Rgb => {
                let srgb = ColorProfile::new_srgb();
                let Ok(transform) = profile.create_transform_8bit(layout, &srgb, layout, options()) else {
                    return;
                };
                let mut source = [0; CHUNK * 4];
                for samples in samples.chunks_mut(length) {
                    let source = &mut source[..samples.len()];
                    source.copy_from_slice(samples);
                    if transform.transform(source, samples).is_err() {
                        samples.copy_from_slice(source);
                    }
                }
            }
            Conversion::Light(light) => {
                let mut deep = [0; CHUNK * 4];
                for samples in samples.chunks_mut(length) {
                    let deep = &mut deep[..samples.len()];
                    deep.iter_mut().zip(&*samples).for_each(|(deep, value)| *deep = u16::from(*value) * 257);
                    light.bring_down(deep, layout);
                    samples.iter_mut().zip(&*deep).for_each(|(value, deep)| *value = rounded(*deep));
                }
            }
            Conversion::None | Conversion::Profile(_) => {}
        }
    }
}

/// Profiles are read for the perceptual intent, as browsers do; [`cleaned`] gives a profile's table that name.
fn options() -> TransformOptions {
    TransformOptions { allow_use_cicp_transfer: false, ..TransformOptions::default() }
}

/// What an ICC profile says. A broken one says nothing.
fn by_profile(bytes: &[u8]) -> Option<Conversion> {
    let limits = ParsingOptions { max_profile_size: bytes.len() + 1, ..ParsingOptions::default() };
    let profile = ColorProfile::new_from_slice_with_options(&cleaned(bytes)?, limits).ok()?;
    // Where it has code points as well, they decide.
    let code_points = profile
        .cicp
        .filter(|said| said.full_range && said.matrix_coefficients == MatrixCoefficients::Identity);
    let by_code_points = code_points.and_then(|said| {
        by_code_points(said.color_primaries as u8, said.transfer_characteristics as u8, DEFAULT_PEAK)
    });
    let curves = [&profile.red_trc, &profile.green_trc, &profile.blue_trc, &profile.gray_trc];
    let is_known =
        matches!(profile.color_space, DataColorSpace::Gray | DataColorSpace::Rgb | DataColorSpace::Cmyk)
            && curves.into_iter().flatten().all(rises);
    by_code_points.or_else(|| is_known.then(|| Conversion::Profile(Box::new(profile))))
}

/// Whether a curve is one of light: browsers ignore a profile with a formula that falls or is not defined everywhere (its
/// parameters are g, a, b, c and d of ICC.1:2022, 10.18).
fn rises(curve: &ToneReprCurve) -> bool {
    let ToneReprCurve::Parametric(parameters) = curve else { return true };
    let parameter = |index: usize| parameters.get(index).copied().unwrap_or(0.0);
    let [g, a, b, c, d] = [0, 1, 2, 3, 4].map(parameter);
    parameters.iter().all(|value| value.is_finite())
        && [g, a, c, d].iter().all(|value| *value >= 0.0)
        && a * d + b >= 0.0
}

/// A copy of a profile with no tags but those that make colours, one of each, so that nothing else in it can spoil them or
/// take time. Of tables there is one: for the perceptual intent, or else the colorimetric one. `None` if the
/// file holds less of it than its header says, or a tag reaches beyond its end (ICC.1:2022, 7.2 and 7.3).
fn cleaned(bytes: &[u8]) -> Option<Vec<u8>> {
    let number = |bytes: &[u8], at: usize| {
        let four = bytes.get(at..)?.first_chunk()?;
        usize::try_from(u32::from_be_bytes(*four)).ok()
    };
    let length = number(bytes, 0)?;
    let mut profile = bytes.get(..length)?.to_vec();
    // Browsers ignore a profile whose illuminant is not D50, in units of 1 / 65 536.
    let is_d50 = [0.9642, 1.0, 0.8249].iter().enumerate().all(|(index, wanted)| {
        number(&profile, 68 + 4 * index).is_some_and(|found| (found as f64 / 65_536.0 - wanted).abs() < 0.01)
    });
    if !is_d50 {
        return None;
    }
    let count = number(&profile, 128)?;
    let tags = profile.get(132..)?.get(..count.checked_mul(12)?)?.to_vec();
    let is_perceptual = tags.chunks_exact(12).any(|tag| tag.starts_with(b"A2B0"));
    let table = if is_perceptual { b"A2B0" } else { b"A2B1" };
    let mut wanted = vec![b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC", b"kTRC", b"cicp", table];
    for (tag, kept) in tags.chunks_exact(12).zip(profile[132..].chunks_exact_mut(12)) {
        if number(tag, 4)?.checked_add(number(tag, 8)?)? > length {
            return None;
        }
        match wanted.iter().position(|name| tag.starts_with(*name)) {
            Some(found) if wanted.swap_remove(found) == table => kept[..4].copy_from_slice(b"A2B0"),
            Some(_) => {}
            None => kept[..4].fill(0),
        }
    }
    Some(profile)
}

/// What PNG's gAMA and cHRM say.
fn by_gamma(gamma: u32, chromaticities: Option<Chromaticities>) -> Option<Conversion> {
    // Alone, an exponent within 5 % of 1/2.2 is sRGB's, as libpng and browsers have it.
    let is_usual = (f64::from(gamma) / 100_000.0 * 2.2 - 1.0).abs() < 0.05;
    if gamma == 0 || (is_usual && chromaticities.is_none()) {
        return None;
    }
    let profile = rgb_profile(chromaticities.unwrap_or(BT_709), vec![100_000.0 / gamma as f32])?;
    Some(Conversion::Profile(Box::new(profile)))
}

const D65: [f64; 2] = [0.3127, 0.3290];
const BT_709: Chromaticities = with_white(D65, [0.640, 0.330, 0.300, 0.600, 0.150, 0.060]);
const BT_2020: Chromaticities = with_white(D65, [0.708, 0.292, 0.170, 0.797, 0.131, 0.046]);

const fn with_white([x, y]: [f64; 2], [rx, ry, gx, gy, bx, by]: [f64; 6]) -> Chromaticities {
    [x, y, rx, ry, gx, gy, bx, by]
}

/// What code points say. Those that Chromium doesn't know say nothing.
fn by_code_points(primaries: u8, transfer: u8, peak: f32) -> Option<Conversion> {
    const ILLUMINANT_C: [f64; 2] = [0.310, 0.316];
    const P3: [f64; 6] = [0.680, 0.320, 0.265, 0.690, 0.150, 0.060];
    // ITU-T H.273, table 2.
    let chromaticities = match primaries {
        1 => BT_709,
        4 => with_white(ILLUMINANT_C, [0.67, 0.33, 0.21, 0.71, 0.14, 0.08]),
        5 => with_white(D65, [0.64, 0.33, 0.29, 0.60, 0.15, 0.06]),
        6 | 7 => with_white(D65, [0.630, 0.340, 0.310, 0.595, 0.155, 0.070]),
        8 => with_white(ILLUMINANT_C, [0.681, 0.319, 0.243, 0.692, 0.145, 0.049]),
        9 => BT_2020,
        10 => with_white([1.0 / 3.0; 2], [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]),
        11 => with_white([0.314, 0.351], P3),
        12 => with_white(D65, P3),
        22 => with_white(D65, [0.630, 0.340, 0.295, 0.605, 0.155, 0.077]),
        _ => return None,
    };
    // ITU-T H.273, table 3, from the number to light: an exponent, the slope and offset under it, and the slope of the line
    // below a threshold. Video is shown by the exponent of ITU-R BT.1886, as Chromium does.
    let curve = match transfer {
        1 | 6 | 11 | 14 | 15 => vec![2.4],
        4 => vec![2.2],
        5 => vec![2.8],
        7 => vec![1.0 / 0.45, 1.0 / 1.1115, 0.1115 / 1.1115, 1.0 / 4.0, 0.0913],
        8 => vec![1.0],
        13 | 16 | 18 => vec![2.4, 1.0 / 1.055, 0.055 / 1.055, 1.0 / 12.92, 0.04045],
        // White is at 48 of 52.37 cd/m².
        17 => vec![2.6, (52.37f32 / 48.0).powf(1.0 / 2.6), 0.0],
        _ => return None,
    };
    let profile = rgb_profile(chromaticities, curve)?;
    Some(match transfer {
        16 => Conversion::Light(Box::new(Light::new(&profile, false, peak)?)),
        18 => Conversion::Light(Box::new(Light::new(&profile, true, peak)?)),
        _ => Conversion::Profile(Box::new(profile)),
    })
}

/// A profile of three primaries, adapted to the white of profiles by Bradford's method, and a curve as in ICC.1:2022, 10.18.
/// `None` if the primaries make no triangle.
fn rgb_profile([x, y, rx, ry, gx, gy, bx, by]: Chromaticities, curve: Vec<f32>) -> Option<ColorProfile> {
    let is_colour = [x, y, rx, ry, gx, gy, bx, by].iter().all(|value| (0.0..=1.0).contains(value)) && y > 0.0;
    let point = |x: f64, y: f64| Xyzd { x, y, z: 1.0 - x - y };
    let mut profile = ColorProfile::new_srgb();
    profile.update_rgb_colorimetry_triplet(
        XyY { x, y, yb: 1.0 },
        point(rx, ry),
        point(gx, gy),
        point(bx, by),
    );
    let curve = ToneReprCurve::Parametric(curve);
    (profile.red_trc, profile.green_trc, profile.blue_trc) =
        (Some(curve.clone()), Some(curve.clone()), Some(curve));
    let area = profile.rgb_to_xyz_matrix().determinant()?;
    (is_colour && area.is_finite() && area.abs() > 1e-6).then_some(profile)
}

/// Light brighter than a screen's white (ITU-R BT.2100), and the way down to a screen that shows white as [`WHITE`].
///
/// As Chromium does, the brightest primary of BT.2020 decides by how much a colour is dimmed, so that hues stay. Over 1024
/// greys and 1024 colours, in PQ and HLG with three sets of primaries each, this was 0.25 levels off Chromium 156 in the mean
/// and 4.7 at worst, near the edge of what sRGB holds.
pub(super) struct Light {
    /// The light of each number of sixteen bits: a screen's for PQ, where white is 1, and the scene's for HLG, up to 1.
    linear: Vec<f32>,
    is_hlg: bool,
    to_bt_2020: [[f32; 3]; 3],
    to_srgb: [[f32; 3]; 3],
    tone: Tone,
    /// sRGB's number, in sixteen bits, of each 65 535th of light.
    encoded: Vec<u16>,
}

impl Light {
    fn new(primaries: &ColorProfile, is_hlg: bool, peak: f32) -> Option<Self> {
        let numbers = || (0..=u16::MAX).map(|value| f32::from(value) / 65_535.0);
        let encode = |light: f32| {
            let number =
                if light <= 0.003_130_8 { 12.92 * light } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
            (number * 65_535.0).round() as u16
        };
        let bt_2020 = rgb_profile(BT_2020, vec![1.0])?;
        Some(Self {
            linear: numbers().map(if is_hlg { hlg } else { pq }).collect(),
            is_hlg,
            to_bt_2020: single(primaries.transform_matrix(&bt_2020)),
            to_srgb: single(bt_2020.transform_matrix(&ColorProfile::new_srgb())),
            tone: Tone::new(peak / WHITE),
            encoded: numbers().map(encode).collect(),
        })
    }

    /// From numbers in PQ or HLG to numbers in sRGB.
    fn bring_down(&self, samples: &mut [u16], layout: Layout) {
        for pixel in samples.chunks_exact_mut(layout.channels()) {
            let [r, g, b, ..] = pixel else { return };
            let scene = [*r, *g, *b].map(|value| self.linear[usize::from(value)]);
            let mut light = product(&self.to_bt_2020, scene);
            if self.is_hlg {
                // The display of 1000 cd/m² that HLG is graded on (ITU-R BT.2100, table 5).
                let luma = 0.2627 * light[0] + 0.6780 * light[1] + 0.0593 * light[2];
                let gain = luma.max(0.0).powf(0.2) * (DEFAULT_PEAK / WHITE);
                light = light.map(|light| light * gain);
            }
            let brightest = light[0].max(light[1]).max(light[2]);
            let gain = self.tone.gain(brightest);
            let shown = product(&self.to_srgb, light.map(|light| light * gain));
            // A conversion from floats stays within range, and there is no NaN, as nothing is divided by zero.
            [*r, *g, *b] = shown.map(|light| self.encoded[usize::from((light * 65_535.0 + 0.5) as u16)]);
        }
    }
}

/// Light of a number in PQ, where [`WHITE`] is 1 (ITU-R BT.2100, table 4).
fn pq(number: f32) -> f32 {
    const M1: f32 = 2610.0 / 16_384.0;
    const M2: f32 = 2523.0 / 32.0;
    const C1: f32 = 3424.0 / 4096.0;
    const C2: f32 = 2413.0 / 128.0;
    const C3: f32 = 2392.0 / 128.0;
    let power = number.powf(1.0 / M2);
    ((power - C1).max(0.0) / (C2 - C3 * power)).powf(1.0 / M1) * 10_000.0 / WHITE
}

/// Light of the scene of a number in HLG, up to 1 (ITU-R BT.2100, table 5).
fn hlg(number: f32) -> f32 {
    const A: f32 = 0.178_832_77;
    const B: f32 = 0.284_668_92;
    const C: f32 = 0.559_910_7;
    if number <= 0.5 { number * number / 3.0 } else { (((number - C) / A).exp() + B) / 12.0 }
}

/// The curve that brings light down to a screen's white: the operator for reference white of SMPTE ST 2094-50. Up to white,
/// light is dimmed to a half or less; from there a parabola leads to the peak, which becomes the screen's white.
struct Tone {
    peak: f32,
    /// What white becomes.
    white: f32,
    /// The parabola in its parameter from 0 to 1: `square * t² + linear * t` beyond the point where it begins.
    square: [f32; 2],
    linear: [f32; 2],
}

impl Tone {
    /// For light up to `peak` times white.
    fn new(peak: f32) -> Self {
        let peak = peak.max(1.0);
        let white = 1.0 - 0.5 * (peak.log2() / (DEFAULT_PEAK / WHITE).log2()).min(1.0);
        let middle = [0.35 + 0.65 / white, 0.35 * white + 0.65];
        Self {
            peak,
            white,
            square: [1.0 - 2.0 * middle[0] + peak, white - 2.0 * middle[1] + 1.0],
            linear: [2.0 * (middle[0] - 1.0), 2.0 * (middle[1] - white)],
        }
    }

    /// By how much a colour is dimmed whose brightest primary is `light`.
    fn gain(&self, light: f32) -> f32 {
        if light <= 1.0 {
            return self.white;
        }
        if light >= self.peak {
            return 1.0 / light;
        }
        let beyond = light - 1.0;
        let root = (self.linear[0] * self.linear[0] + 4.0 * self.square[0] * beyond).max(0.0).sqrt();
        let t = 2.0 * beyond / (self.linear[0] + root);
        (self.white + (self.square[1] * t + self.linear[1]) * t) / light
    }
}

fn single(matrix: Matrix3d) -> [[f32; 3]; 3] {
    matrix.v.map(|row| row.map(|value| value as f32))
}

fn product(matrix: &[[f32; 3]; 3], [x, y, z]: [f32; 3]) -> [f32; 3] {
    matrix.map(|[a, b, c]| a * x + b * y + c * z)
}
