//! What is decoded is what libjpeg-turbo shows, sample by sample, and what libjpeg-turbo's encoder can't write is what
//! T.81's formulas give.

use std::f64::consts::PI;

use libjpeg_turbo_rs::{Decoder, Encoder, PixelFormat, Subsampling};

use super::*;

fn decode(file: &[u8]) -> Result<Samples, Rejection> {
    Jpeg::open(file)?.decode()
}

/// The bytes of all pixels.
#[track_caller]
fn bytes(file: &[u8]) -> Vec<u8> {
    match decode(file).unwrap() {
        Samples::Grey(image) => image.into_raw(),
        Samples::Rgb(image) => image.into_raw(),
        Samples::Ink { values, .. } => values,
    }
}

fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    [&[0xFF, marker], &(body.len() as u16 + 2).to_be_bytes()[..], body].concat()
}

/// Numbers that look random.
fn random(seed: &mut u32) -> i32 {
    *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    (*seed >> 16) as i32
}

/// A picture as coefficients, of any sampling, and how to write it in scans.
#[derive(Clone)]
struct Coefficients {
    width: usize,
    height: usize,
    /// By component: its sampling factors and name.
    components: Vec<(usize, usize, u8)>,
    /// By component: its blocks with those that fill up units, in the order of sending.
    blocks: Vec<Vec<[i32; 64]>>,
    restart_interval: usize,
    /// Segments behind the start of the file.
    extra: Vec<u8>,
    /// Whether it writes its Huffman tables.
    has_tables: bool,
}

impl Coefficients {
    fn new(width: usize, height: usize, sampling: &[(usize, usize)]) -> Self {
        let components = sampling.iter().zip(1..).map(|(&(h, v), id)| (h, v, id)).collect();
        let mut picture = Self {
            width,
            height,
            components,
            blocks: Vec::new(),
            restart_interval: 0,
            extra: Vec::new(),
            has_tables: true,
        };
        let mut seed = 1;
        for &(h, v) in sampling {
            let (across, down) = picture.units();
            let mut block = || {
                let mut block = [0; 64];
                block[0] = random(&mut seed) % 60;
                for _ in 0..4 {
                    block[random(&mut seed) as usize % 20] += random(&mut seed) % 17 - 8;
                }
                block
            };
            picture.blocks.push((0..across * h * down * v).map(|_| block()).collect());
        }
        picture
    }

    fn max(&self) -> (usize, usize) {
        self.components.iter().fold((1, 1), |(h, v), component| (h.max(component.0), v.max(component.1)))
    }

    fn units(&self) -> (usize, usize) {
        let (h, v) = self.max();
        (self.width.div_ceil(8 * h), self.height.div_ceil(8 * v))
    }

    /// Samples of a component, without those that fill up.
    fn size(&self, component: usize) -> (usize, usize) {
        let ((h, v), (across, down, _)) = (self.max(), self.components[component]);
        ((self.width * across).div_ceil(h), (self.height * down).div_ceil(v))
    }

    /// A baseline file with these scans.
    fn file(&self, scans: &[&[usize]]) -> Vec<u8> {
        let mut frame = vec![8];
        frame.extend((self.height as u16).to_be_bytes());
        frame.extend((self.width as u16).to_be_bytes());
        frame.push(self.components.len() as u8);
        frame.extend(self.components.iter().flat_map(|&(h, v, id)| [id, (h << 4 | v) as u8, 0]));
        let steps: Vec<u8> = (0..64).map(|k| 5 + k).collect();
        let mut file = [
            vec![0xFF, 0xD8],
            self.extra.clone(),
            segment(0xDB, &[&[0], &steps[..]].concat()),
            segment(0xC0, &frame),
            segment(0xDD, &(self.restart_interval as u16).to_be_bytes()),
        ]
        .concat();
        if self.has_tables {
            for (kind, [Definition { counts, values }, _]) in [0x00, 0x10].into_iter().zip(STANDARD) {
                file.extend(segment(0xC4, &[&[kind], &counts[..], values].concat()));
            }
        }
        for scan in scans {
            let selectors = scan.iter().flat_map(|component| [self.components[*component].2, 0]);
            let header: Vec<u8> =
                std::iter::once(scan.len() as u8).chain(selectors).chain([0, 63, 0]).collect();
            file.extend(segment(0xDA, &header));
            file.extend(self.scan(scan));
        }
        [&file[..], &[0xFF, 0xD9]].concat()
    }

    /// All of it in one scan.
    fn interleaved(&self) -> Vec<u8> {
        self.file(&[&(0..self.components.len()).collect::<Vec<_>>()])
    }

    fn scan(&self, scan: &[usize]) -> Vec<u8> {
        let (units_across, units_down) = self.units();
        let (across, down) = match scan {
            [only] => (self.size(*only).0.div_ceil(8), self.size(*only).1.div_ceil(8)),
            _ => (units_across, units_down),
        };
        let mut bits = Written::default();
        let mut predicted = [0; 4];
        for unit in 0..across * down {
            if self.restart_interval > 0 && unit > 0 && unit % self.restart_interval == 0 {
                bits.restart(unit / self.restart_interval - 1);
                predicted = [0; 4];
            }
            for &component in scan {
                let (h, v, _) = self.components[component];
                let stride = units_across * h;
                let (h, v) = if scan.len() == 1 { (1, 1) } else { (h, v) };
                for place in 0..h * v {
                    let (x, y) = (unit % across * h + place % h, unit / across * v + place / h);
                    bits.block(&self.blocks[component][y * stride + x], &mut predicted[component]);
                }
            }
        }
        bits.finish()
    }

    /// The samples of a component by T.81's own formula (A.3.3), in floating point, with [`Self::size`].
    fn plane(&self, component: usize) -> Vec<f64> {
        let (width, height) = self.size(component);
        let stride = self.units().0 * self.components[component].0;
        let cosine = |x: usize, u: usize| {
            let scale = if u == 0 { (0.5f64).sqrt() } else { 1.0 };
            scale / 2.0 * ((2 * x + 1) as f64 * u as f64 * PI / 16.0).cos()
        };
        let mut samples = vec![0.0; width * height];
        for (place, sample) in samples.iter_mut().enumerate() {
            let (x, y) = (place % width, place / width);
            let block = &self.blocks[component][y / 8 * stride + x / 8];
            let terms = ZIGZAG.iter().zip(block).zip(5..).filter(|((_, value), _)| **value != 0);
            let sum: f64 = terms
                .map(|((at, value), step)| {
                    let (u, v) = (usize::from(at % 8), usize::from(at / 8));
                    f64::from(value * step) * cosine(x % 8, u) * cosine(y % 8, v)
                })
                .sum();
            *sample = (sum + 128.0).round().clamp(0.0, 255.0);
        }
        samples
    }

    /// The pixels as T.81 and T.871 mean them, in floating point; samples that cover two pixels across or down are
    /// interpolated, others repeated.
    fn pixels(&self) -> Vec<[f64; 3]> {
        let (h, v) = self.max();
        let planes: Vec<_> = (0..3)
            .map(|component| {
                let (across, down, _) = self.components[component];
                let (width, height) = self.size(component);
                let plane = self.plane(component);
                let (across, down) = (h / across, v / down);
                // Where a pixel's centre lies among the samples, and the two that it lies between.
                let between = |place: usize, covered: usize, length: usize, smooth: bool| {
                    if covered != 2 || !smooth {
                        return [(place / covered, 1.0), (0, 0.0)];
                    }
                    let near = place / 2;
                    let far = if place.is_multiple_of(2) {
                        near.saturating_sub(1)
                    } else {
                        (near + 1).min(length - 1)
                    };
                    [(near, 0.75), (far, 0.25)]
                };
                let smooth_across = width > 2 && down <= 2;
                let smooth_down = across == 1 || (across == 2 && width > 2);
                move |x: usize, y: usize| {
                    let rows = between(y, down, height, smooth_down);
                    let columns = between(x, across, width, smooth_across);
                    rows.iter()
                        .flat_map(|(y, a)| columns.iter().map(move |(x, b)| (*y, *x, a * b)))
                        .map(|(y, x, weight)| weight * plane[y * width + x])
                        .sum::<f64>()
                }
            })
            .collect();
        let pixel = |place: usize| {
            let (x, y) = (place % self.width, place / self.width);
            let [luma, blue, red] = [&planes[0], &planes[1], &planes[2]].map(|plane| plane(x, y));
            let (blue, red) = (blue - 128.0, red - 128.0);
            [luma + 1.402 * red, luma - 0.344_136 * blue - 0.714_136 * red, luma + 1.772 * blue]
                .map(|value| value.clamp(0.0, 255.0))
        };
        (0..self.width * self.height).map(pixel).collect()
    }
}

/// Entropy-coded data by the first two codes of annex K.
#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    held: u64,
    count: u32,
}

impl Written {
    fn push(&mut self, bits: u32, count: u32) {
        self.held = self.held << count | u64::from(bits);
        self.count += count;
        while self.count >= 8 {
            let byte = (self.held >> (self.count - 8)) as u8;
            self.bytes.push(byte);
            if byte == 0xFF {
                self.bytes.push(0);
            }
            self.count -= 8;
        }
    }

    fn symbol(&mut self, Definition { counts, values }: Definition<'_>, symbol: u8) {
        let mut code = 0;
        let mut place = 0;
        for (length, count) in (1..).zip(counts) {
            for _ in 0..*count {
                if values[place] == symbol {
                    return self.push(code, length);
                }
                code += 1;
                place += 1;
            }
            code <<= 1;
        }
        panic!("no code of {symbol}");
    }

    /// A code whose symbol has the number's size in its lower half, and the number.
    fn number(&mut self, definition: Definition<'_>, run: u8, value: i32) {
        let size = 32 - value.unsigned_abs().leading_zeros();
        self.symbol(definition, run << 4 | size as u8);
        let bits = if value < 0 { value + (1 << size) - 1 } else { value };
        self.push(bits as u32, size);
    }

    fn block(&mut self, block: &[i32; 64], predicted: &mut i32) {
        let [[dc, _], [ac, _]] = STANDARD;
        self.number(dc, 0, block[0] - *predicted);
        *predicted = block[0];
        let mut run = 0;
        for value in &block[1..] {
            if *value == 0 {
                run += 1;
                continue;
            }
            while run > 15 {
                self.symbol(ac, 0xF0);
                run -= 16;
            }
            self.number(ac, run, *value);
            run = 0;
        }
        if run > 0 {
            self.symbol(ac, 0);
        }
    }

    fn restart(&mut self, number: usize) {
        self.push((1 << ((8 - self.count % 8) % 8)) - 1, (8 - self.count % 8) % 8);
        self.bytes.extend([0xFF, 0xD0 + (number % 8) as u8]);
    }

    fn finish(mut self) -> Vec<u8> {
        self.push((1 << ((8 - self.count % 8) % 8)) - 1, (8 - self.count % 8) % 8);
        self.bytes
    }
}

fn picture(width: usize, height: usize) -> Vec<u8> {
    let mut seed = 7;
    let mut bytes = Vec::new();
    for place in 0..width * height {
        let (x, y) = (place % width, place / width);
        let noise = random(&mut seed) as usize % 23;
        bytes.extend([(9 * x + noise) as u8, (5 * y + 3 * x) as u8, (x * y / 3 + noise) as u8]);
    }
    bytes
}

/// What libjpeg-turbo makes of a file.
fn reference(file: &[u8], format: PixelFormat) -> Vec<u8> {
    let mut decoder = Decoder::new(file).unwrap();
    decoder.set_output_format(format);
    decoder.decode_image().unwrap().data
}

const SIZES: [(usize, usize); 7] = [(1, 1), (2, 3), (5, 31), (16, 16), (17, 9), (33, 70), (203, 157)];

#[test]
fn pixels_are_those_of_libjpeg_turbo() {
    use Subsampling::{S410, S411, S420, S422, S440, S441, S444};
    for (width, height) in SIZES {
        let pixels = picture(width, height);
        for subsampling in [S444, S422, S420, S440, S411, S441, S410] {
            for progressive in [false, true] {
                for (restarts, quality) in [(0, 90), (1, 60), (3, 100), (0, 5)] {
                    let file = Encoder::new(&pixels, width, height, PixelFormat::Rgb)
                        .quality(quality)
                        .subsampling(subsampling)
                        .progressive(progressive)
                        .restart_blocks(restarts)
                        .encode()
                        .unwrap();
                    let same = bytes(&file) == reference(&file, PixelFormat::Rgb);
                    assert!(
                        same,
                        "{width} x {height}, {subsampling:?}, {progressive}, {restarts}, {quality}"
                    );
                }
            }
        }
    }
}

#[test]
fn so_are_those_of_grey_and_ink() {
    for (width, height) in SIZES {
        for progressive in [false, true] {
            let grey = &picture(width, height)[..width * height];
            let encoder = Encoder::new(grey, width, height, PixelFormat::Grayscale);
            let file = encoder.progressive(progressive).encode().unwrap();
            assert!(matches!(decode(&file), Ok(Samples::Grey(_))));
            assert_eq!(bytes(&file), reference(&file, PixelFormat::Grayscale), "{width} x {height}");
            let ink = &[picture(width, height), picture(width, height)].concat()[..4 * width * height];
            // Where ink is subsampled, that crate interpolates otherwise than libjpeg-turbo itself.
            let encoder = Encoder::new(ink, width, height, PixelFormat::Cmyk);
            let file = encoder.subsampling(Subsampling::S444).encode().unwrap();
            assert!(matches!(decode(&file), Ok(Samples::Ink { .. })));
            assert_eq!(bytes(&file), reference(&file, PixelFormat::Cmyk), "{width} x {height}");
        }
    }
}

/// Every sampling of three components in which each goes into the others' size, with at most ten blocks in a unit.
fn samplings() -> Vec<[(usize, usize); 3]> {
    let factors: Vec<_> = (1..=4).flat_map(|h| (1..=4).map(move |v| (h, v))).collect();
    let mut samplings = Vec::new();
    for &luma in &factors {
        for &blue in &factors {
            for &red in &factors {
                let all = [luma, blue, red];
                let (h, v) = all.iter().fold((1, 1), |(h, v), factor| (h.max(factor.0), v.max(factor.1)));
                let blocks: usize = all.iter().map(|(h, v)| h * v).sum();
                if blocks <= 10 && all.iter().all(|factor| h % factor.0 == 0 && v % factor.1 == 0) {
                    samplings.push(all);
                }
            }
        }
    }
    samplings
}

#[test]
fn every_sampling_is_what_the_standards_formulas_give() {
    for (width, height) in [(43, 37), (5, 3)] {
        for sampling in samplings() {
            let picture = Coefficients::new(width, height, &sampling);
            let found = bytes(&picture.interleaved());
            let wanted = picture.pixels();
            assert_eq!(found.len(), 3 * wanted.len());
            let worst = found
                .iter()
                .zip(wanted.as_flattened())
                .map(|(found, wanted)| (f64::from(*found) - wanted).abs())
                .fold(0.0, f64::max);
            // Rounding of three samples, and of both.
            assert!(worst < 4.0, "{sampling:?}, {width} x {height}: {worst}");
        }
    }
}

#[test]
fn components_may_come_in_any_scans_and_order() {
    const SCANS: [&[&[usize]]; 8] = [
        &[&[0], &[1], &[2]],
        &[&[2], &[1], &[0]],
        &[&[1], &[0], &[2]],
        &[&[0, 1], &[2]],
        &[&[2], &[0, 1]],
        &[&[0], &[1, 2]],
        &[&[1, 2], &[0]],
        &[&[0, 2], &[1]],
    ];
    for sampling in samplings() {
        let mut picture = Coefficients::new(61, 35, &sampling);
        let whole = bytes(&picture.interleaved());
        for scans in SCANS {
            for restart_interval in [0, 3] {
                picture.restart_interval = restart_interval;
                let same = bytes(&picture.file(scans)) == whole;
                assert!(same, "{sampling:?}, {scans:?}, {restart_interval}");
            }
        }
    }
}

#[test]
fn an_inverse_dct_of_any_coefficients_is_the_standards_to_one_level() {
    let mut seed = 3;
    for _ in 0..2000 {
        let mut picture = Coefficients::new(8, 8, &[(1, 1)]);
        let many = random(&mut seed) % 64;
        picture.blocks[0][0] = [0; 64];
        for _ in 0..=many {
            picture.blocks[0][0][random(&mut seed) as usize % 64] = random(&mut seed) % 41 - 20;
        }
        let found = bytes(&picture.interleaved());
        let worst = found.iter().zip(picture.plane(0)).map(|(a, b)| (f64::from(*a) - b).abs());
        assert!(worst.fold(0.0, f64::max) <= 1.0, "{:?}", picture.blocks[0][0]);
    }
}

#[test]
fn a_block_of_one_coefficient_is_drawn_as_the_inverse_dct_draws_it() {
    for first in i16::MIN..=i16::MAX {
        for step in [1, 16, 255, 4095] {
            let mut block = [0; 64];
            block[0] = first;
            let samples = dct::inverse(&block, &[step; 64]);
            let flat = dct::flat(first, step);
            assert!(samples.as_flattened().iter().all(|sample| *sample == flat), "{first} x {step}");
        }
    }
}

#[test]
fn a_component_that_does_not_go_into_the_others_size_is_refused_with_a_word() {
    let picture = Coefficients::new(40, 40, &[(3, 1), (2, 1), (1, 1)]);
    assert!(matches!(decode(&picture.interleaved()), Err(Rejection::Unsupported { .. })));
    let too_many = Coefficients::new(40, 40, &[(4, 2), (2, 1), (1, 1)]);
    assert_eq!(decode(&too_many.interleaved()).err(), Some(Rejection::Corrupt), "eleven blocks in a unit");
    assert!(decode(&too_many.file(&[&[0], &[1], &[2]])).is_ok());
}

#[test]
fn a_component_that_comes_later_in_a_scan_than_in_the_frame_is_refused() {
    let picture = Coefficients::new(40, 30, &[(1, 1); 3]);
    assert_eq!(decode(&picture.file(&[&[1, 0], &[2]])).err(), Some(Rejection::Corrupt));
    assert!(bytes(&picture.file(&[&[2, 1], &[0]])) == bytes(&picture.interleaved()), "neither comes later");
}

#[test]
fn components_of_one_name_are_meant_in_order() {
    let mut picture = Coefficients::new(40, 30, &[(2, 2), (1, 1), (1, 1)]);
    let named = bytes(&picture.interleaved());
    picture.components.iter_mut().for_each(|component| component.2 = 1);
    assert_eq!(bytes(&picture.interleaved()), named);
    let apart = picture.file(&[&[0], &[1], &[2]]);
    assert_eq!(decode(&apart).err(), Some(Rejection::Corrupt), "nothing tells which is which");
}

#[test]
fn the_huffman_tables_of_annex_k_are_meant_where_there_are_none() {
    let mut picture = Coefficients::new(40, 30, &[(2, 1), (1, 1), (1, 1)]);
    let whole = bytes(&picture.interleaved());
    picture.has_tables = false;
    assert_eq!(bytes(&picture.interleaved()), whole);
}

#[test]
fn jfif_decides_over_adobe_and_both_over_names() {
    let jfif = segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    let adobe = |transform: u8| segment(0xEE, &[&b"Adobe\0\x64\0\0\0\0"[..], &[transform]].concat());
    let cut_short = segment(0xEE, b"Adobe");
    let nothing = Vec::new();
    let mut picture = Coefficients::new(16, 16, &[(1, 1); 3]);
    let mut is_rgb = |ids: &[u8; 3], extra: &[&Vec<u8>]| {
        for (component, id) in picture.components.iter_mut().zip(ids) {
            component.2 = *id;
        }
        picture.extra = extra.iter().copied().flatten().copied().collect();
        let found = bytes(&picture.interleaved());
        let raw: Vec<_> = (0..3).map(|component| picture.plane(component)).collect();
        (0..256).all(|i| (0..3).all(|c| (f64::from(found[3 * i + c]) - raw[c][i]).abs() <= 1.0))
    };
    for (ids, extra, rgb) in [
        (b"\x01\x02\x03", [&nothing, &nothing], false),
        (b"\0\x01\x02", [&nothing, &nothing], false),
        (b"RGB", [&nothing, &nothing], true),
        (b"RGB", [&jfif, &nothing], false),
        (b"RGB", [&adobe(1), &nothing], false),
        (b"\x01\x02\x03", [&adobe(0), &nothing], true),
        (b"\x01\x02\x03", [&adobe(7), &nothing], false),
        (b"\x01\x02\x03", [&jfif, &adobe(0)], false),
        (b"\x01\x02\x03", [&adobe(0), &jfif], false),
        (b"RGB", [&cut_short, &nothing], true),
        (b"\x01\x02\x03", [&cut_short, &nothing], false),
    ] {
        assert_eq!(is_rgb(ids, &extra), rgb, "{ids:?}, {extra:?}");
    }
    let mut picture = Coefficients::new(16, 16, &[(1, 1); 4]);
    let plain = bytes(&picture.interleaved());
    for (extra, is_plain) in [(&adobe(0), true), (&jfif, true), (&cut_short, true), (&adobe(2), false)] {
        picture.extra = extra.clone();
        assert_eq!(bytes(&picture.interleaved()) == plain, is_plain, "{extra:?}");
    }
}

#[test]
fn the_first_exif_segment_counts() {
    let mut picture = Coefficients::new(8, 8, &[(1, 1)]);
    picture.extra = [segment(0xE1, b"Exif\0\0first"), segment(0xE1, b"Exif\0\0second")].concat();
    assert_eq!(Jpeg::open(&picture.interleaved()).unwrap().exif(), Some(&b"first"[..]));
    picture.extra = [segment(0xE1, b"Exif\0\0"), segment(0xE1, b"Exif\0\0second")].concat();
    assert_eq!(
        Jpeg::open(&picture.interleaved()).unwrap().exif(),
        Some(&b"second"[..]),
        "an empty one is none"
    );
}

#[test]
fn a_profile_is_put_together_from_its_pieces_or_left_aside() {
    let mut picture = Coefficients::new(8, 8, &[(1, 1)]);
    let mut profile = |pieces: &[(u8, u8, &str)]| {
        let piece = |(number, count, text): &(u8, u8, &str)| {
            segment(0xE2, &[&b"ICC_PROFILE\0"[..], &[*number, *count], text.as_bytes()].concat())
        };
        picture.extra = pieces.iter().flat_map(piece).collect();
        let file = picture.interleaved();
        let profile = Jpeg::open(&file).unwrap().profile();
        profile.map(|profile| String::from_utf8(profile).unwrap())
    };
    assert_eq!(profile(&[]), None);
    assert_eq!(profile(&[(1, 1, "a")]).as_deref(), Some("a"));
    assert_eq!(profile(&[(3, 3, "c"), (1, 3, "a"), (2, 3, "b")]).as_deref(), Some("abc"));
    assert_eq!(profile(&[(1, 1, "a"), (1, 1, "b")]).as_deref(), Some("a"));
    assert_eq!(profile(&[(1, 2, "a"), (1, 2, "c"), (2, 2, "b")]).as_deref(), Some("ab"));
    assert_eq!(profile(&[(1, 2, "a")]), None);
    assert_eq!(profile(&[(1, 2, "a"), (2, 3, "b")]), None);
    assert_eq!(profile(&[(0, 1, "a")]), None);
    assert_eq!(profile(&[(1, 0, "a")]), None);
}

#[test]
fn what_is_not_decoded_is_named() {
    let file = Coefficients::new(8, 8, &[(1, 1)]).interleaved();
    let frame = file.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    let named = |at: usize, value: &[u8]| {
        let mut file = file.clone();
        file[frame + at..frame + at + value.len()].copy_from_slice(value);
        match decode(&file) {
            Err(Rejection::Unsupported { found }) => found,
            other => panic!("{other:?}"),
        }
    };
    assert!(named(1, &[0xC9]).contains("arithmetic"));
    assert!(named(1, &[0xCA]).contains("arithmetic"));
    assert!(named(1, &[0xC3]).contains("lossless"));
    assert!(named(1, &[0xC5]).contains("hierarchical"));
    assert!(named(1, &[0xF7]).contains("JPEG-LS"));
    assert!(named(4, &[12]).contains("12 bits"));
    assert!(named(5, &[0, 0]).contains("height"));
    let two = Coefficients::new(8, 8, &[(1, 1); 2]).interleaved();
    assert!(matches!(decode(&two), Err(Rejection::Unsupported { .. })));
}

#[test]
fn a_component_without_a_scan_and_a_restart_out_of_turn_are_missing_pixels() {
    let mut picture = Coefficients::new(40, 30, &[(2, 2), (1, 1), (1, 1)]);
    for scans in [&[&[0usize, 1][..]][..], &[&[0], &[2]]] {
        assert_eq!(decode(&picture.file(scans)).err(), Some(Rejection::Incomplete), "{scans:?}");
    }
    let twice = picture.file(&[&[0], &[1], &[2], &[0]]);
    assert_eq!(decode(&twice).err(), Some(Rejection::Corrupt));
    picture.restart_interval = 1;
    let file = picture.interleaved();
    assert!(decode(&file).is_ok());
    let restart = file.windows(2).position(|pair| pair == [0xFF, 0xD1]).unwrap();
    let mut other = file.clone();
    other[restart + 1] = 0xD2;
    assert_eq!(decode(&other).err(), Some(Rejection::Incomplete));
    other.drain(restart..restart + 2);
    assert_eq!(decode(&other).err(), Some(Rejection::Incomplete));
}

#[test]
fn a_file_that_goes_on_as_no_jpeg_does_is_damaged() {
    let mut picture = Coefficients::new(16, 16, &[(1, 1); 3]);
    let whole = picture.interleaved();
    let mut with = |extra: &[u8]| {
        picture.extra = extra.to_vec();
        let before = decode(&picture.interleaved()).err();
        let end = whole.len() - 2;
        assert_eq!(decode(&[&whole[..end], extra, &whole[end..]].concat()).err(), before, "behind its scan");
        before
    };
    assert_eq!(with(&segment(0xFE, b"a comment")), None);
    assert_eq!(with(&[0xFF, 0xD3, 7]), None, "what stands alone");
    for (name, extra) in [
        ("a reserved marker", segment(0x36, &[0; 4])),
        ("a marker for arithmetic coders", vec![0xFF, 0x01]),
        ("another beginning", vec![0xFF, 0xD8]),
        ("a length that is none", vec![0xFF, 0xE1, 0, 1]),
        ("a restart interval of three bytes", segment(0xDD, &[0; 3])),
        ("a Huffman table of no class", segment(0xC4, &[&[0x20, 1][..], &[0; 16]].concat())),
    ] {
        assert_eq!(with(&extra), Some(Rejection::Corrupt), "{name}");
    }
    let cut = [&whole[..whole.len() - 2], &segment(0xFE, b"a comment")[..6]].concat();
    assert_eq!(decode(&cut).err(), Some(Rejection::Incomplete));
}

#[test]
fn a_huffman_table_has_no_code_of_ones_alone_and_no_mean_of_more_than_15_bits() {
    let mut flat = Coefficients::new(16, 16, &[(1, 1)]);
    flat.blocks[0].fill([0; 64]);
    flat.has_tables = false;
    // Codes of two bits; the first, which annex K's table gives to it too, stands for no difference.
    let mut with = |values: &[u8]| {
        let mut counts = [0; 16];
        counts[1] = values.len() as u8;
        flat.extra = segment(0xC4, &[&[0], &counts[..], values].concat());
        decode(&flat.interleaved()).err()
    };
    assert_eq!(with(&[0, 1, 15]), None);
    assert_eq!(with(&[0, 1, 16]), Some(Rejection::Corrupt));
    assert_eq!(with(&[0, 1, 2, 3]), Some(Rejection::Corrupt));
}

#[test]
fn a_progressive_file_without_huffman_tables_is_damaged() {
    let encoder = Encoder::new(&picture(48, 40), 48, 40, PixelFormat::Rgb).progressive(true).encode();
    let file = encoder.unwrap();
    let mut without = vec![0xFF, 0xD8];
    let mut segments = Segments::new(&file);
    let mut from = 2;
    while let Some((marker, body)) = segments.next() {
        let start = segments.at - body.len() - 4;
        without.extend(&file[from..start]);
        from = if marker == marker::DHT { segments.at } else { start };
    }
    without.extend(&file[from..]);
    assert!(decode(&file).is_ok());
    assert_eq!(decode(&without).err(), Some(Rejection::Corrupt));
}

#[test]
fn what_a_progressive_file_never_announces_is_not_missing() {
    let encoder = Encoder::new(&picture(48, 40), 48, 40, PixelFormat::Rgb).progressive(true).encode();
    let file = encoder.unwrap();
    let whole = bytes(&file);
    let scans: Vec<_> = (0..file.len() - 1).filter(|at| file[*at..].starts_with(&[0xFF, 0xDA])).collect();
    assert!(scans.len() > 4);
    for scan in &scans[1..] {
        let cut = &file[..*scan];
        assert_eq!(decode(cut).err(), Some(Rejection::Incomplete), "cut between scans");
        let ended = bytes(&[cut, &[0xFF, 0xD9]].concat());
        assert!(ended.len() == whole.len() && ended != whole);
    }
    assert_eq!(bytes(&file[..file.len() - 2]), whole, "only the end marker is missing");
    let first = [&file[..scans[0]], &[0xFF, 0xD9]].concat();
    assert_eq!(decode(&first).err(), Some(Rejection::Incomplete));
}

#[test]
fn a_later_quantization_table_is_not_for_a_component_whose_scans_have_begun() {
    let picture = Coefficients::new(16, 16, &[(1, 1); 3]);
    let file = picture.file(&[&[0], &[1], &[2]]);
    let scans: Vec<_> = (0..file.len() - 1).filter(|at| file[*at..].starts_with(&[0xFF, 0xDA])).collect();
    let table = segment(0xDB, &[&[0][..], &[90; 64]].concat());
    let before = |at: usize| bytes(&[&file[..at], &table, &file[at..]].concat());
    assert_ne!(before(scans[2]), bytes(&file), "it is for the third component");
    assert_eq!(before(file.len() - 2), bytes(&file));
}
