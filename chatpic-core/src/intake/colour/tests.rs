//! Colours come out as the standards' own formulas say, or as Chromium shows them where it goes its own way.

use image::codecs::{jpeg::JpegEncoder, png::PngEncoder};
use image::{GrayImage, ImageBuffer, ImageEncoder, Luma, LumaA, Rgb};
use libjpeg_turbo_rs::{Encoder, PixelFormat, Subsampling};

use super::*;
use crate::intake::decode;
use crate::intake::png::chunk;
use crate::limits::Limits;

/// From a number to light, both up to 1.
type Curve = fn(f64) -> f64;

/// A picture of 16 shades from black to white, in one row.
const SHADES: [u8; 16] = [0, 17, 34, 51, 68, 85, 102, 119, 136, 153, 170, 187, 204, 221, 238, 255];

fn grey() -> DynamicImage {
    GrayImage::from_fn(16, 1, |x, _| Luma([SHADES[x as usize]])).into()
}

fn colours() -> DynamicImage {
    let colours =
        [[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 100, 50], [50, 100, 200], [180, 180, 60], [30, 60, 20]];
    RgbImage::from_fn(7, 1, |x, _| Rgb(colours[x as usize])).into()
}

/// The same shades in every kind of samples that PNG has.
fn kinds() -> [(&'static str, DynamicImage); 8] {
    let grey = grey();
    [
        ("grey", grey.clone()),
        ("grey, alpha", grey.to_luma_alpha8().into()),
        ("grey, 16 bits", grey.to_luma16().into()),
        ("grey, alpha, 16 bits", grey.to_luma_alpha16().into()),
        ("RGB", grey.to_rgb8().into()),
        ("RGBA", grey.to_rgba8().into()),
        ("RGB, 16 bits", grey.to_rgb16().into()),
        ("RGBA, 16 bits", grey.to_rgba16().into()),
    ]
}

fn gamma(exponent: f64) -> Vec<u8> {
    chunk(b"gAMA", &((exponent * 100_000.0).round() as u32).to_be_bytes())
}

fn chromaticities(of: [f64; 8]) -> Vec<u8> {
    let values = of.map(|value| ((value * 100_000.0).round() as u32).to_be_bytes());
    chunk(b"cHRM", values.as_flattened())
}

fn code_points(primaries: u8, transfer: u8) -> Vec<u8> {
    chunk(b"cICP", &[primaries, transfer, 0, 1])
}

fn profiled(profile: &[u8]) -> Vec<u8> {
    // Deflated by one block that is stored (RFC 1951, 3.2.4), with its checksum (RFC 1950).
    let (mut a, mut b) = (1u32, 0);
    for byte in profile {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    let length = profile.len() as u16;
    let head = [&b"p\0\0\x78\x01\x01"[..], &length.to_le_bytes(), &(!length).to_le_bytes()].concat();
    chunk(b"iCCP", &[&head, profile, &(b << 16 | a).to_be_bytes()].concat())
}

const SRGB_CHUNK: &[u8] = b"\0\0\0\x01sRGB\0\xAE\xCE\x1C\xE9";

/// A PNG file with these chunks behind its header.
fn png(image: &DynamicImage, chunks: &[&[u8]]) -> Vec<u8> {
    let mut file = Vec::new();
    image.write_with_encoder(PngEncoder::new(&mut file)).unwrap();
    file.splice(33..33, chunks.concat());
    file
}

fn shown(file: &[u8]) -> Vec<[u8; 3]> {
    let image = decode(file, &Limits::default()).unwrap().into_rgb();
    image.pixels().map(|pixel| pixel.0).collect()
}

/// The first channel of what is shown, which is grey.
fn shades(file: &[u8], what: &str) -> Vec<u8> {
    let shown = shown(file);
    let is_grey = |pixel: &[u8; 3]| pixel[0].abs_diff(pixel[1]) <= 1 && pixel[1].abs_diff(pixel[2]) <= 1;
    assert!(shown.iter().all(is_grey), "{what}: not grey: {shown:?}");
    shown.iter().map(|pixel| pixel[0]).collect()
}

fn assert_near<T: AsRef<[u8]> + std::fmt::Debug>(found: &[T], wanted: &[T], by: u8, what: &str) {
    let near = |(a, b): (&T, &T)| a.as_ref().iter().zip(b.as_ref()).all(|(a, b)| a.abs_diff(*b) <= by);
    assert_eq!(found.len(), wanted.len(), "{what}");
    assert!(found.iter().zip(wanted).all(near), "{what}:\n{found:?} instead of\n{wanted:?}");
}

fn assert_shades(file: &[u8], wanted: &[u8], by: u8, what: &str) {
    let single = |shades: &[u8]| shades.iter().map(|shade| [*shade]).collect::<Vec<_>>();
    assert_near(&single(&shades(file, what)), &single(wanted), by, what);
}

/// sRGB's number of a light (IEC 61966-2-1).
fn encoded(light: f64) -> u8 {
    let light = light.clamp(0.0, 1.0);
    let number = if light <= 0.003_130_8 { 12.92 * light } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
    (255.0 * number).round() as u8
}

/// The light of sRGB's number.
fn linear(number: f64) -> f64 {
    if number <= 0.04045 { number / 12.92 } else { ((number + 0.055) / 1.055).powf(2.4) }
}

/// The shades as a curve from number to light has them.
fn by(curve: impl Fn(f64) -> f64) -> Vec<u8> {
    SHADES.iter().map(|shade| encoded(curve(f64::from(*shade) / 255.0))).collect()
}

/// A colour of Display P3's primaries in sRGB, by a curve from number to light.
fn from_p3(colour: [u8; 3], curve: impl Fn(f64) -> f64) -> [u8; 3] {
    let light = colour.map(|number| curve(f64::from(number) / 255.0));
    let rows = [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]];
    rows.map(|row: [f64; 3]| encoded(row.iter().zip(&light).map(|(a, b)| a * b).sum()))
}

const P3: [f64; 8] = [0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060];

/// An ICC profile of version 2 made by hand (ICC.1:2001-04), with these tags.
fn profile(space: &[u8; 4], connection: &[u8; 4], tags: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut table = (tags.len() as u32).to_be_bytes().to_vec();
    let mut data = Vec::new();
    for (name, body) in tags {
        let at = 132 + 12 * tags.len() + data.len();
        table.extend([&name[..], &(at as u32).to_be_bytes(), &(body.len() as u32).to_be_bytes()].concat());
        data.extend(body);
        data.resize(data.len().next_multiple_of(4), 0);
    }
    let mut head = [0; 128];
    head[..4].copy_from_slice(&(128 + table.len() as u32 + data.len() as u32).to_be_bytes());
    head[8..12].copy_from_slice(&[2, 0x10, 0, 0]);
    head[12..16].copy_from_slice(b"mntr");
    head[16..20].copy_from_slice(space);
    head[20..24].copy_from_slice(connection);
    head[36..40].copy_from_slice(b"acsp");
    head[68..80].copy_from_slice(&xyz([0.9642, 1.0, 0.8249])[8..]);
    [&head[..], &table, &data].concat()
}

fn xyz(values: [f64; 3]) -> Vec<u8> {
    let numbers = values.map(|value| ((value * 65_536.0).round() as i32).to_be_bytes());
    [b"XYZ \0\0\0\0", numbers.as_flattened()].concat()
}

/// A tone curve by its values.
fn curve(values: impl ExactSizeIterator<Item = u16>) -> Vec<u8> {
    let head = [&b"curv\0\0\0\0"[..], &(values.len() as u32).to_be_bytes()].concat();
    head.into_iter().chain(values.flat_map(u16::to_be_bytes)).collect()
}

/// A tone curve by its exponent.
fn power(exponent: f64) -> Vec<u8> {
    curve([(exponent * 256.0).round() as u16].into_iter())
}

fn grey_profile(curve: Vec<u8>) -> Vec<u8> {
    profile(b"GRAY", b"XYZ ", &[(b"kTRC", curve)])
}

/// sRGB's primaries, as profiles have them, with a curve of this exponent.
fn rgb_profile_of(exponent: f64) -> Vec<u8> {
    let curve = || power(exponent);
    let tags = [
        (b"rXYZ", xyz([0.4361, 0.2225, 0.0139])),
        (b"gXYZ", xyz([0.3851, 0.7169, 0.0971])),
        (b"bXYZ", xyz([0.1431, 0.0606, 0.7141])),
        (b"rTRC", curve()),
        (b"gTRC", curve()),
        (b"bTRC", curve()),
    ];
    profile(b"RGB ", b"XYZ ", &tags)
}

/// The light of a number where ink spreads by a fifth in the middle tones.
fn dot_gain(number: f64) -> f64 {
    let ink = 1.0 - number;
    1.0 - (ink + 0.8 * ink * (1.0 - ink)).min(1.0)
}

fn jpeg(samples: &[u8], format: PixelFormat, profile: &[u8]) -> Vec<u8> {
    let encoder = Encoder::new(samples, 8, 8, format).quality(100).subsampling(Subsampling::S444);
    encoder.icc_profile(profile).encode().unwrap()
}

#[test]
fn a_gamma_is_applied_to_every_kind_of_samples() {
    for exponent in [1.0, 1.0 / 1.8, 1.0 / 2.6] {
        for (kind, image) in kinds() {
            let wanted = by(|number| number.powf(1.0 / exponent));
            assert_shades(&png(&image, &[&gamma(exponent)]), &wanted, 1, &format!("{exponent}, {kind}"));
        }
    }
    let palette = include_bytes!("../samples/palette.png");
    let mut linear_palette = palette.to_vec();
    linear_palette.splice(33..33, gamma(1.0));
    let wanted: Vec<_> =
        shown(palette).iter().map(|pixel| pixel.map(|v| encoded(f64::from(v) / 255.0))).collect();
    assert_near(&shown(&linear_palette), &wanted, 1, "palette");
}

#[test]
fn a_gamma_that_is_srgbs_or_none_leaves_samples_alone() {
    for exponent in [0.0, 1.0 / 2.2, 0.45, 0.44] {
        for (kind, image) in kinds() {
            assert_eq!(shades(&png(&image, &[&gamma(exponent)]), kind), SHADES, "{exponent}, {kind}");
        }
    }
    // Beside primaries, it is taken at its word.
    let file = png(&grey(), &[&gamma(1.0 / 2.2), &chromaticities(BT_709)]);
    assert_shades(&file, &by(|number| number.powf(2.2)), 1, "primaries of sRGB and an exponent of 2.2");
}

#[test]
fn primaries_are_applied_where_there_is_a_gamma() {
    let wanted =
        |curve: Curve| shown(&png(&colours(), &[])).iter().map(|c| from_p3(*c, curve)).collect::<Vec<_>>();
    let p3 = chromaticities(P3);
    let found = shown(&png(&colours(), &[&p3, &gamma(1.0 / 2.2)]));
    assert_near(&found, &wanted(|number| number.powf(2.2)), 3, "P3's primaries");
    let unchanged = shown(&png(&colours(), &[]));
    assert_eq!(shown(&png(&colours(), &[&p3])), unchanged, "primaries without a gamma");
    let point = chromaticities([0.3127, 0.3290, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]);
    assert_eq!(shown(&png(&colours(), &[&point, &gamma(1.0)])), unchanged, "primaries that make no triangle");
}

#[test]
fn code_points_are_applied() {
    for (transfer, curve) in [
        (1, (|number| number.powf(2.4)) as Curve),
        (4, |number| number.powf(2.2)),
        (5, |number| number.powf(2.8)),
        (8, |number| number),
        (13, linear),
        (14, |number| number.powf(2.4)),
    ] {
        for (kind, image) in kinds() {
            assert_shades(
                &png(&image, &[&code_points(1, transfer)]),
                &by(curve),
                1,
                &format!("{transfer}, {kind}"),
            );
        }
    }
    let wanted: Vec<_> = shown(&png(&colours(), &[])).iter().map(|colour| from_p3(*colour, linear)).collect();
    assert_near(&shown(&png(&colours(), &[&code_points(12, 13)])), &wanted, 3, "Display P3");
    let wanted =
        [[255, 0, 0], [0, 255, 0], [0, 0, 255], [241, 76, 29], [0, 103, 208], [185, 181, 0], [0, 63, 10]];
    assert_near(
        &shown(&png(&colours(), &[&code_points(9, 13)])),
        &wanted,
        3,
        "BT.2020, as Chromium shows it",
    );
    for (said, what) in [
        (code_points(2, 13), "primaries"),
        (code_points(1, 2), "transfer"),
        (chunk(b"cICP", &[1, 8, 0, 0]), "range"),
    ] {
        assert_eq!(shades(&png(&grey(), &[&said]), what), SHADES, "unknown {what}");
    }
}

#[test]
fn light_beyond_white_is_brought_down_as_chromium_does() {
    let pq = [0, 1, 6, 18, 34, 54, 80, 112, 153, 200, 229, 250, 255, 255, 255, 255];
    let hlg = [0, 3, 16, 31, 46, 61, 76, 91, 107, 126, 150, 179, 207, 225, 241, 255];
    for (transfer, wanted) in [(16, pq), (18, hlg)] {
        for (kind, image) in kinds() {
            assert_shades(
                &png(&image, &[&code_points(9, transfer)]),
                &wanted,
                1,
                &format!("{transfer}, {kind}"),
            );
        }
    }
    // What the picture says of its brightest light decides where white comes to lie.
    let light = |nits: u32| chunk(b"cLLI", &[(nits * 10_000).to_be_bytes(), [0; 4]].concat());
    let white = |peak: &[u8]| shades(&png(&grey(), &[&code_points(9, 16), peak]), "PQ")[9];
    assert!(white(&light(400)) > white(&light(1000)));
    assert_eq!(white(&light(1000)), white(&[]));
}

#[test]
fn what_says_most_decides() {
    let file = |chunks: &[&[u8]]| shades(&png(&grey(), chunks), "grey");
    let applied = |curve: Curve| by(curve);
    let (code, linear_code) = (code_points(1, 13), code_points(1, 8));
    let profile = profiled(&grey_profile(power(1.8)));
    let steep = gamma(1.0);
    assert_eq!(file(&[&steep, SRGB_CHUNK, &profile, &code]), SHADES, "cICP before all");
    assert_shades(&png(&grey(), &[&linear_code, &profile]), &applied(|v| v), 1, "cICP before iCCP");
    let by_profile = applied(|number| number.powf(1.8));
    assert_shades(&png(&grey(), &[&steep, SRGB_CHUNK, &profile]), &by_profile, 1, "iCCP before sRGB");
    assert_eq!(file(&[&steep, SRGB_CHUNK]), SHADES, "sRGB before gAMA");
    let (unknown, broken) = (code_points(3, 13), profiled(&[7; 300]));
    assert_shades(&png(&grey(), &[&unknown, &profile]), &by_profile, 1, "unknown code points");
    assert_shades(&png(&grey(), &[&broken, &steep]), &applied(|v| v), 1, "a broken profile");
    assert_shades(&png(&grey(), &[&steep, &gamma(1.0 / 1.8)]), &applied(|v| v), 1, "the first of two");
    let mut damaged = steep.clone();
    damaged[11] ^= 1;
    assert_eq!(file(&[&damaged]), SHADES, "a wrong checksum");
    let mut late = png(&grey(), &[]);
    let end = late.len() - 12;
    late.splice(end..end, steep);
    assert_eq!(shades(&late, "late"), SHADES, "behind the pixels");
}

#[test]
fn a_grey_profile_is_applied() {
    let tables: [(&str, Vec<u8>, Curve); 3] = [
        (
            "dot gain",
            curve((0..256).map(|v| (dot_gain(f64::from(v) / 255.0) * 65_535.0).round() as u16)),
            dot_gain,
        ),
        ("1.8", power(1.8), |number| number.powf(1.8)),
        ("linear", power(1.0), |number| number),
    ];
    for (name, curve, light) in tables {
        let profile = grey_profile(curve);
        for (kind, image) in kinds().into_iter().take(4) {
            assert_shades(&png(&image, &[&profiled(&profile)]), &by(light), 1, &format!("{name}, {kind}"));
        }
        for shade in SHADES {
            let found = shown(&jpeg(&[shade; 64], PixelFormat::Grayscale, &profile))[0];
            assert_near(&[found], &[[encoded(light(f64::from(shade) / 255.0)); 3]], 1, name);
        }
        for (kind, image) in kinds().into_iter().skip(4) {
            assert_eq!(
                shades(&png(&image, &[&profiled(&profile)]), kind),
                SHADES,
                "a grey profile on {kind}"
            );
        }
    }
}

#[test]
fn a_profile_for_rgb_is_applied_to_grey_in_rgb() {
    for (kind, image) in kinds() {
        let file = png(&image, &[&profiled(&rgb_profile_of(1.0))]);
        assert_shades(&file, &by(|number| number), 1, kind);
    }
    let found = shown(&jpeg(&[85; 64], PixelFormat::Grayscale, &rgb_profile_of(1.0)))[0];
    assert_near(&[found], &[[encoded(85.0 / 255.0); 3]], 1, "JPEG");
}

#[test]
fn dark_linear_light_of_sixteen_bits_has_no_bands() {
    let dark = ImageBuffer::from_fn(1024, 1, |x, _| Luma([x as u16]));
    let found = shades(&png(&DynamicImage::ImageLuma16(dark), &[&gamma(1.0)]), "dark");
    for (value, shade) in found.iter().enumerate() {
        assert!(shade.abs_diff(encoded(value as f64 / 65_535.0)) <= 1, "{value}: {shade}");
    }
}

#[test]
fn an_alpha_channel_is_no_colour() {
    let faint = ImageBuffer::from_fn(16, 1, |x, _| LumaA([255, SHADES[x as usize]]));
    let file = png(&DynamicImage::ImageLumaA8(faint), &[&gamma(1.0)]);
    let alpha: Vec<u8> =
        decode(&file, &Limits::default()).unwrap().into_rgba().pixels().map(|pixel| pixel.0[3]).collect();
    assert_eq!(alpha, SHADES);
}

/// A profile in which cyan takes the lightness away and the other inks do nothing.
fn ink_profile(name: &'static [u8; 4]) -> Vec<u8> {
    // Matrix, input curves, a lattice of two points a side, output curves (ICC.1:2001-04, 6.5.7); Lab in 16 bits.
    let matrix = [1, 0, 0, 0, 1, 0, 0, 0, 1].map(|one: i32| (one << 16).to_be_bytes());
    let straight = [0, 0, 0xFF, 0xFF];
    let lattice = (0..16).flat_map(|point| [if point < 8 { 0xFF00u16 } else { 0 }, 0x8000, 0x8000]);
    let table = [
        &b"mft2\0\0\0\0\x04\x03\x02\0"[..],
        matrix.as_flattened(),
        &[0, 2, 0, 2],
        &straight.repeat(4),
        &lattice.flat_map(u16::to_be_bytes).collect::<Vec<_>>(),
        &straight.repeat(3),
    ];
    profile(b"CMYK", b"Lab ", &[(name, table.concat())])
}

#[test]
fn a_profile_for_ink_is_applied() {
    // Lightness of CIELAB (ISO 11664-4).
    let light = |lightness: f64| {
        let root = (lightness + 16.0) / 116.0;
        if root > 6.0 / 29.0 { root.powi(3) } else { 3.0 * (6.0f64 / 29.0).powi(2) * (root - 4.0 / 29.0) }
    };
    for ink in [255, 200, 128, 60, 0] {
        // 255 is no ink, as Adobe writes it.
        let file = |profile: &[u8]| jpeg(&[ink, 255, 90, 255].repeat(64), PixelFormat::Cmyk, profile);
        let wanted = [encoded(light(f64::from(ink) / 2.55)); 3];
        for name in [b"A2B0", b"A2B1"] {
            assert_near(&shown(&file(&ink_profile(name)))[..1], &[wanted], 3, &format!("cyan {ink}"));
        }
        let filter = [[ink, 255, 90]];
        let others = [
            (rgb_profile_of(1.0), "RGB"),
            (ink_profile(b"A2B2"), "for another intent"),
            (vec![7; 300], "broken"),
        ];
        for (other, what) in others {
            assert_near(&shown(&file(&other))[..1], &filter, 3, what);
        }
    }
}

#[test]
fn a_broken_profile_is_ignored_and_what_makes_no_colours_in_it_is_not_looked_at() {
    let whole = rgb_profile_of(1.0);
    let with = |at: usize, value: u32| {
        let mut profile = whole.clone();
        profile[at..at + 4].copy_from_slice(&value.to_be_bytes());
        png(&grey().to_rgb8().into(), &[&profiled(&profile)])
    };
    let by_formula = |exponent: f64| {
        // A parametric curve of the first kind (ICC.1:2022, 10.18): its exponent in units of 1 / 65 536.
        let exponent = ((exponent * 65_536.0) as i32).to_be_bytes();
        let curve = [&b"para\0\0\0\0\0\0\0\0"[..], &exponent].concat();
        png(&grey(), &[&profiled(&grey_profile(curve))])
    };
    let broken = [
        ("longer than it is", with(0, whole.len() as u32 + 1)),
        ("ends within a tag", with(0, whole.len() as u32 - 4)),
        ("a tag beyond its end", with(136, 0xFFFF_FFF0)),
        ("more tags than there are", with(128, u32::MAX)),
        ("of version 5", with(8, 0x0500_0000)),
        ("whose light is not D50", with(68, 0x0001_0000)),
        ("whose curve falls", by_formula(-2.2)),
    ];
    assert_ne!(shades(&by_formula(1.0), "a curve that rises"), SHADES);
    for (what, file) in broken {
        assert_eq!(shades(&file, what), SHADES, "{what}");
    }
    let trailing = [&whole[..], &[0; 4]].concat();
    let mut tags: Vec<(&[u8; 4], Vec<u8>)> = vec![(b"desc", b"no text".to_vec()), (b"wtpt", vec![1])];
    tags.extend([(b"kTRC", power(1.0))]);
    let text = profile(b"GRAY", b"XYZ ", &tags);
    for (what, profile) in [("bytes behind it", trailing), ("broken text", text)] {
        assert_shades(&png(&grey(), &[&profiled(&profile)]), &by(|number| number), 1, what);
    }
}

#[test]
fn a_table_that_a_profile_names_often_is_read_once() {
    let table = ink_profile(b"A2B0").split_off(144);
    let first = profile(b"CMYK", b"Lab ", &[(b"A2B0", table)]);
    // 20 000 tags in place of one, and the table behind them.
    let tag = [b"A2B0", &(132u32 + 12 * 20_000).to_be_bytes()[..], &first[140..144]].concat();
    let mut many = [&first[..128], &20_000u32.to_be_bytes(), &tag.repeat(20_000), &first[144..]].concat();
    let length = (many.len() as u32).to_be_bytes();
    many[..4].copy_from_slice(&length);
    let cleaned = cleaned(&many).unwrap();
    assert_eq!(
        cleaned[132..].chunks_exact(12).take(20_000).filter(|tag| tag.starts_with(b"A2B0")).count(),
        1
    );
    let ink = |profile: Vec<u8>| {
        Colour::Profile(profile).conversion().ink_to_srgb(Size { width: 1, height: 1 }, &[60, 255, 90, 255])
    };
    assert_eq!(ink(many), ink(first));
}

#[test]
fn code_points_within_a_profile_decide() {
    let mut tags = vec![(b"cicp", [b"cicp\0\0\0\0", &[9, 16, 0, 1][..]].concat())];
    for (name, column) in [
        (b"rXYZ", [0.4361, 0.2225, 0.0139]),
        (b"gXYZ", [0.3851, 0.7169, 0.0971]),
        (b"bXYZ", [0.1431, 0.0606, 0.7141]),
    ] {
        tags.push((name, xyz(column)));
    }
    tags.extend([b"rTRC", b"gTRC", b"bTRC"].map(|name| (name, power(2.2))));
    let said = shown(&png(&colours(), &[&profiled(&profile(b"RGB ", b"XYZ ", &tags))]));
    assert_eq!(said, shown(&png(&colours(), &[&code_points(9, 16)])));
    let file = |profile: &[u8]| {
        let mut file = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut file, 100);
        encoder.set_icc_profile(profile.to_vec()).unwrap();
        encoder.write_image(&[85; 192], 8, 8, image::ExtendedColorType::Rgb8).unwrap();
        shades(&file, "JPEG")[0]
    };
    assert!(file(&profile(b"RGB ", b"XYZ ", &tags)).abs_diff(54) <= 2, "a JPEG in PQ, as Chromium shows it");
}
