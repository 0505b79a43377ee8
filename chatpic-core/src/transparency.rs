//! Pictures with transparency: what of them is seen, and no more.
//!
//! At alpha `a`, of 255, a colour shows as `colour * a / 255`, its *premultiplied* value, which in whole numbers lies
//! between 0 and `a`. Nothing finer is kept, and under full transparency nothing at all. What shines through of a ground
//! is added to it, whatever the colour, so a mark in premultiplied values shows as strongly on every ground.

use image::{GenericImageView, Rgb, RgbImage, RgbaImage};

/// The ground on which most viewers see pictures.
pub(crate) const WHITE: u8 = 255;
/// The ground for pictures that white would hide.
const BLACK: u8 = 0;
/// White hides a picture if what is seen of it has a brighter mean luma than this, of 255.
const LIGHT: u64 = 192;
/// Side of the blocks in which colours and alpha channel are compared, in pixels.
const BLOCK: u32 = 8;

/// A value of 0 to 255 times another, taken as a fraction of 255.
fn part(value: u8, of: u8) -> u8 {
    ((u16::from(value) * u16::from(of) + 127) / 255) as u8
}

/// The colour that has this premultiplied value at this alpha; black at alpha 0.
fn colour(premultiplied: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u16::from(premultiplied.min(alpha)), u16::from(alpha));
    ((value * 255 + alpha / 2) / alpha.max(1)) as u8
}

/// Removes what isn't seen: colours become black under full transparency, and elsewhere what their premultiplied values
/// say.
pub(crate) fn settle(image: &mut RgbaImage) {
    for [colours @ .., alpha] in pixels(image) {
        if *alpha < 255 {
            colours.iter_mut().for_each(|v| *v = colour(part(*v, *alpha), *alpha));
        }
    }
}

/// Takes an image's colours for premultiplied ones, and divides them by alpha.
pub(crate) fn divide(image: &mut RgbaImage) {
    for [colours @ .., alpha] in pixels(image) {
        colours.iter_mut().for_each(|v| *v = colour(*v, *alpha));
    }
}

fn pixels(image: &mut RgbaImage) -> impl Iterator<Item = &mut [u8; 4]> {
    image.as_chunks_mut::<4>().0.iter_mut()
}

/// What shines through at an alpha: the least that shows on a ground.
pub(crate) fn shining_through(ground: u8, alpha: u8) -> u8 {
    part(ground, 255 - alpha)
}

/// The image drawn on a ground.
pub(crate) fn drawn_on(ground: u8, image: &RgbaImage) -> RgbImage {
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [r, g, b, alpha] = image.get_pixel(x, y).0;
        let through = shining_through(ground, alpha);
        Rgb([r, g, b].map(|v| through + part(v, alpha)))
    })
}

/// The image on the ground on which it is looked at.
pub(crate) fn flat(image: &RgbaImage) -> RgbImage {
    drawn_on(ground(image), image)
}

/// Gives an image the colours with which it shows on a ground as another picture of its size does, as far as its alpha
/// channel allows.
pub(crate) fn lift(image: &mut RgbaImage, shown: &RgbImage, ground: u8) {
    for ([colours @ .., alpha], shown) in pixels(image).zip(shown.pixels()) {
        let through = shining_through(ground, *alpha);
        for (v, shown) in colours.iter_mut().zip(shown.0) {
            *v = colour(shown.saturating_sub(through), *alpha);
        }
    }
}

/// Draws a grey over a pixel, as opaque as `weight` says, of 255.
pub(crate) fn draw(pixel: &mut [u8; 4], luma: u8, weight: u8) {
    let [colours @ .., alpha] = pixel;
    let above = weight + part(*alpha, 255 - weight);
    for v in colours {
        let premultiplied = part(luma, weight) + part(part(*v, *alpha), 255 - weight);
        *v = colour(premultiplied, above);
    }
    *alpha = above;
}

/// The ground on which an image is looked at: white, or black where white would hide it.
pub(crate) fn ground(image: &RgbaImage) -> u8 {
    let (mut seen, mut light) = (0, 0);
    for [r, g, b, alpha] in image.pixels().map(|pixel| pixel.0.map(u64::from)) {
        seen += alpha;
        light += alpha * (77 * r + 150 * g + 29 * b) / 256;
    }
    if light > LIGHT * seen { BLACK } else { WHITE }
}

/// Whether the alpha channel alone shows the picture, as with a text or a drawing in one ink, rather than the outline of
/// what the colours show. The mark lies in the colours, so such an alpha channel would be a copy without it.
///
/// Blocks in which the alpha channel varies at least half as much as the colours are counted against those in which the
/// colours vary more: an outline has at most a third as many.
pub(crate) fn is_in_alpha(image: &RgbaImage) -> bool {
    let (mut in_alpha, mut in_colours) = (0u32, 0u32);
    for top in (0..image.height()).step_by(BLOCK as usize) {
        for left in (0..image.width()).step_by(BLOCK as usize) {
            let (width, height) = (image.width() - left, image.height() - top);
            let block = image.view(left, top, width.min(BLOCK), height.min(BLOCK));
            let (mut low, mut high) = ([255; 4], [0; 4]);
            for (_, _, pixel) in block.pixels() {
                // At a low alpha colours hardly show, and are coarse.
                let first = if pixel.0[3] < 32 { 3 } else { 0 };
                for channel in first..4 {
                    low[channel] = pixel.0[channel].min(low[channel]);
                    high[channel] = pixel.0[channel].max(high[channel]);
                }
            }
            let [red, green, blue, alpha] = std::array::from_fn(|c| u8::saturating_sub(high[c], low[c]));
            let colours = red.max(green).max(blue);
            if alpha > 1 && alpha >= colours / 2 {
                in_alpha += 1;
            } else if colours > 1 {
                in_colours += 1;
            }
        }
    }
    3 * in_alpha > in_colours
}

#[cfg(test)]
mod tests {
    use image::Rgba;

    use super::*;
    use crate::testing::samples;

    /// Every colour at every alpha.
    fn every_pixel() -> RgbaImage {
        RgbaImage::from_fn(256, 256, |x, y| Rgba([x as u8, 255 - x as u8, 77, y as u8]))
    }

    #[test]
    fn what_is_kept_of_a_colour_is_what_eight_bits_premultiplied_keep() {
        let before = every_pixel();
        let mut after = before.clone();
        settle(&mut after);
        assert!(after.rows().next().unwrap().all(|pixel| pixel.0 == [0; 4]), "black under full transparency");
        for (before, after) in before.pixels().zip(after.pixels()) {
            let alpha = before.0[3];
            assert_eq!(alpha, after.0[3]);
            for (before, after) in before.0.into_iter().zip(after.0).take(3) {
                assert_eq!(part(before, alpha), part(after, alpha), "what shows stays");
            }
        }
        for (alpha, row) in after.rows().enumerate() {
            let mut reds: Vec<u8> = row.map(|pixel| pixel.0[0]).collect();
            reds.dedup();
            assert_eq!(reds.len(), alpha + 1, "as many values as premultiplied ones at alpha {alpha}");
        }
    }

    #[test]
    fn what_is_lifted_off_a_ground_shows_on_it_as_before_and_is_settled() {
        for ground in [WHITE, BLACK] {
            let mut image = every_pixel();
            let shown = drawn_on(ground, &image);
            lift(&mut image, &shown, ground);
            assert_eq!(drawn_on(ground, &image), shown);
            let mut settled = every_pixel();
            settle(&mut settled);
            assert_eq!(image, settled);
            // Whatever it is to show, it shows no more than its alpha lets it.
            lift(&mut image, &RgbImage::new(256, 256), ground);
            assert!(image.pixels().all(|pixel| pixel.0[..3] == [0; 3]));
        }
    }

    #[test]
    fn a_label_is_drawn_over_whatever_is_there() {
        let drawn = |mut pixel: [u8; 4]| {
            draw(&mut pixel, 255, 100);
            pixel
        };
        assert_eq!(drawn([10, 20, 30, 255]), [106, 112, 118, 255]);
        assert_eq!(drawn([0, 0, 0, 0]), [255, 255, 255, 100], "white on nothing is white");
    }

    #[test]
    fn an_outline_is_told_from_a_picture_in_the_alpha_channel() {
        let photograph = samples::photograph(600, 400, 3);
        let page = samples::page(600, 400);
        let signature = RgbImage::from_fn(600, 400, |x, y| {
            let line = 200.0 + 60.0 * (f64::from(x) / 25.0).sin();
            image::Rgb([if (f64::from(y) - line).abs() < 2.0 { 0 } else { 255 }; 3])
        });
        for picture in [&photograph, &page, &signature] {
            for colour in [[0, 0, 0], [20, 40, 160], [255, 255, 255]] {
                assert!(is_in_alpha(&samples::ink(picture, colour)));
            }
        }
        let rainbow = samples::ink(&page, [0; 3]);
        let rainbow = RgbaImage::from_fn(600, 400, |x, y| {
            let [r, g, b] = photograph.get_pixel(x, y).0;
            Rgba([r, g, b, rainbow.get_pixel(x, y).0[3]])
        });
        assert!(is_in_alpha(&rainbow), "a text in many colours");
        // White made transparent, as editors do it: alpha is as dark as the picture.
        let lifted = samples::ink(&photograph, [0; 3]);
        let lifted = RgbaImage::from_fn(600, 400, |x, y| {
            let ([r, g, b], alpha) = (photograph.get_pixel(x, y).0, lifted.get_pixel(x, y).0[3]);
            let colour = |v: u8| colour(v.saturating_sub(255 - alpha), alpha);
            Rgba([colour(r), colour(g), colour(b), alpha])
        });
        assert!(is_in_alpha(&lifted), "a photograph whose white was made transparent");

        assert!(!is_in_alpha(&samples::sticker(600, 400, 3)));
        let with_alpha = |alpha: fn(u32, u32) -> u8| {
            RgbaImage::from_fn(600, 400, |x, y| {
                let [r, g, b] = photograph.get_pixel(x, y).0;
                Rgba([r, g, b, alpha(x, y)])
            })
        };
        assert!(!is_in_alpha(&with_alpha(|x, y| if x < 200 && y < 300 { 0 } else { 255 })), "a piece erased");
        assert!(!is_in_alpha(&with_alpha(|x, _| (x / 3) as u8)), "fading away");
        assert!(!is_in_alpha(&with_alpha(|_, _| 20)), "hardly there");
        assert!(!is_in_alpha(&with_alpha(|_, _| 0)), "nothing at all");
    }

    #[test]
    fn only_what_white_would_hide_is_drawn_on_black() {
        let page = samples::page(100, 100);
        let grounds = [[0, 0, 0], [200, 30, 30], [128; 3], [255, 255, 0], [255; 3]];
        let grounds = grounds.map(|colour| ground(&samples::ink(&page, colour)));
        assert_eq!(grounds, [WHITE, WHITE, WHITE, BLACK, BLACK]);
        assert_eq!(ground(&RgbaImage::new(9, 9)), WHITE, "nothing");
    }
}
