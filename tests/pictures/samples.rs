//! The picture that all files here show, and the small tools that write them.

use std::process::Command;

use image::{Rgb, RgbImage, Rgba, RgbaImage};

/// Sides in pixels of most files: odd, so that blocks and rows are cut, and so long that the visible ID changes little.
pub(crate) const WIDTH: u32 = 603;
pub(crate) const HEIGHT: u32 = 449;

/// Gradients with a red and a yellow box and a blue ellipse: it has no symmetry, so that whatever is turned, shifted,
/// dropped or in other colours is far from it.
pub(crate) fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (u, v) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
        let within =
            |left: f64, top: f64, right: f64, bottom: f64| u >= left && u < right && v >= top && v < bottom;
        if within(0.08, 0.1, 0.35, 0.4) {
            Rgb([200, 30, 40])
        } else if within(0.6, 0.55, 0.9, 0.7) {
            Rgb([230, 210, 50])
        } else if ((u - 0.7) / 0.2).hypot((v - 0.25) / 0.18) < 1.0 {
            Rgb([40, 60, 190])
        } else {
            let [r, g, b] = [70.0 + 150.0 * u, 60.0 + 120.0 * v, 200.0 - 90.0 * u - 60.0 * v];
            Rgb([r as u8, g as u8, b as u8])
        }
    })
}

/// The same with another box for each index, so that frames can be told apart.
pub(crate) fn frame(width: u32, height: u32, index: u32) -> RgbImage {
    let mut image = picture(width, height);
    let (across, down) = ((width / 4).max(1), (height / 3).max(1));
    let colours = [[255, 255, 255], [10, 10, 10], [20, 200, 60], [240, 120, 20], [150, 30, 180]];
    let colour = Rgb(colours[index as usize % colours.len()]);
    for (dx, dy) in (0..across).flat_map(|dx| (0..down).map(move |dy| (dx, dy))) {
        let (x, y) = (index * 13 % (width - across + 1), height / 3 + index * 7 % (height / 3 + 1));
        image.put_pixel(x + dx, (y + dy).min(height - 1), colour);
    }
    image
}

/// The picture with transparency: none within a circle, less and less to its right.
pub(crate) fn see_through(width: u32, height: u32, index: u32) -> RgbaImage {
    let image = frame(width, height, index);
    RgbaImage::from_fn(width, height, |x, y| {
        let [r, g, b] = image.get_pixel(x, y).0;
        let (u, v) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
        let alpha = if (u - 0.35).hypot(v - 0.6) < 0.2 { 0 } else { 255 - (180.0 * u) as u8 };
        Rgba([r, g, b, alpha])
    })
}

/// A JPEG file that `cjpeg` writes of the picture.
pub(crate) fn cjpeg(image: &RgbImage, arguments: &[&str], scans: Option<&str>) -> Vec<u8> {
    let head = format!("P6 {} {} 255\n", image.width(), image.height());
    written("cjpeg", &[&["-quality", "90"], arguments].concat(), scans, &[head.as_bytes(), image].concat())
}

/// A JPEG file whose coefficients `jpegtran` codes in another way.
pub(crate) fn jpegtran(file: &[u8], arguments: &[&str], scans: Option<&str>) -> Vec<u8> {
    written("jpegtran", &[&["-copy", "all"], arguments].concat(), scans, file)
}

fn written(program: &str, arguments: &[&str], scans: Option<&str>, input: &[u8]) -> Vec<u8> {
    let folder = tempfile::TempDir::new().unwrap();
    let (script, source) = (folder.path().join("scans"), folder.path().join("source"));
    std::fs::write(&source, input).unwrap();
    let mut command = Command::new(program);
    command.args(arguments);
    if let Some(scans) = scans {
        std::fs::write(&script, scans).unwrap();
        command.arg("-scans").arg(&script);
    }
    let output = command.arg(&source).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program}: {error}: `scripts/test --install` gets it"));
    assert!(output.status.success() && !output.stdout.is_empty(), "{program} {arguments:?} {scans:?}");
    output.stdout
}

/// An Exif block that says only how the picture is to be turned: a TIFF file of one tag (Exif 2.32, 4.6.4).
pub(crate) fn exif(orientation: u8) -> Vec<u8> {
    let mut tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    tiff[18] = orientation;
    tiff
}

/// Numbers that look random and that a seed decides (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `bound` - 1; 0 when there is nothing to choose from.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound.max(1) as u64) as usize
    }

    pub(crate) fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}
