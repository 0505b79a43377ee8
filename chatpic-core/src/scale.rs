//! Scaling of pixels with Lanczos's filter.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8x3, U8x4};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use image::{RgbImage, RgbaImage};

use crate::mark::Size;
use crate::transparency;

/// The image in another size.
pub(crate) fn rgb(image: &RgbImage, to: Size) -> RgbImage {
    let mut scaled = RgbImage::new(to.width, to.height);
    lanczos::<U8x3>(image.as_raw(), image.dimensions(), &mut scaled, to);
    scaled
}

/// The image in another size, premultiplied while it is scaled, so that nothing bleeds out of what is transparent, and
/// settled.
pub(crate) fn rgba(image: &RgbaImage, to: Size) -> RgbaImage {
    let mut scaled = RgbaImage::new(to.width, to.height);
    lanczos::<U8x4>(image.as_raw(), image.dimensions(), &mut scaled, to);
    transparency::settle(&mut scaled);
    scaled
}

/// Scales for one kind of pixel: the library's untyped call would compile every kind it knows into this crate.
fn lanczos<P: PixelTrait>(source: &[u8], from: (u32, u32), target: &mut [u8], to: Size) {
    let lanczos = ResizeAlg::Convolution(FilterType::Lanczos3);
    let options = ResizeOptions::new().resize_alg(lanczos).use_alpha(true);
    let source = TypedImageRef::<P>::from_buffer(from.0, from.1, source);
    let target = TypedImage::<P>::from_buffer(to.width, to.height, target);
    // Buffers are as long as their sizes say and nothing is cropped, so neither step has a reason to fail.
    if let (Ok(source), Ok(mut target)) = (source, target) {
        let scaled = Resizer::new().resize_typed(&source, &mut target, &options);
        debug_assert!(scaled.is_ok(), "{scaled:?}");
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, Rgba};

    use super::*;

    #[test]
    fn a_flat_colour_stays_in_any_size() {
        let image = RgbImage::from_pixel(64, 48, Rgb([10, 200, 90]));
        for (width, height) in [(64, 48), (1, 1), (31, 7), (200, 90)] {
            let scaled = rgb(&image, Size { width, height });
            assert_eq!(scaled, RgbImage::from_pixel(width, height, Rgb([10, 200, 90])));
        }
    }

    #[test]
    fn transparent_pixels_do_not_bleed_into_opaque_ones() {
        let image =
            RgbaImage::from_fn(
                64,
                64,
                |x, _| {
                    if x < 32 { Rgba([200, 10, 10, 255]) } else { Rgba([0, 255, 0, 0]) }
                },
            );
        let scaled = rgba(&image, Size { width: 16, height: 16 });
        assert!(scaled.pixels().filter(|p| p[3] > 60).all(|p| p[1] <= 14), "green shines through");
    }
}
