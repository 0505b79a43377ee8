//! What a file's numbers mean as colours.

use image::DynamicImage;
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

/// What a file says of its numbers.
pub(super) enum Colour {
    /// Nothing, which is sRGB.
    Srgb,
    /// An ICC profile.
    Profile(Vec<u8>),
}

impl Colour {
    /// Converts to sRGB of eight bits a channel.
    pub(super) fn to_srgb(&self, image: DynamicImage) -> DynamicImage {
        if image.color().has_alpha() {
            let mut image = image.into_rgba8();
            self.convert(&mut image, Layout::Rgba);
            DynamicImage::ImageRgba8(image)
        } else {
            let mut image = image.into_rgb8();
            self.convert(&mut image, Layout::Rgb);
            DynamicImage::ImageRgb8(image)
        }
    }

    fn convert(&self, samples: &mut [u8], layout: Layout) {
        const CHUNK: usize = 4096;
        let Self::Profile(profile) = self else { return };
        let Ok(profile) = ColorProfile::new_from_slice(profile) else { return };
        if profile.color_space != DataColorSpace::Rgb {
            return;
        }
        let srgb = ColorProfile::new_srgb();
        let Ok(transform) = profile.create_transform_8bit(layout, &srgb, layout, TransformOptions::default())
        else {
            return;
        };
        let mut source = [0; CHUNK * 4];
        for chunk in samples.chunks_mut(CHUNK * layout.channels()) {
            let source = &mut source[..chunk.len()];
            source.copy_from_slice(chunk);
            if transform.transform(source, chunk).is_err() {
                chunk.copy_from_slice(source);
            }
        }
    }
}
