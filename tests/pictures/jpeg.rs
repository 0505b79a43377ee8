//! JPEG files: samplings, scans and codings by `cjpeg`, and what other programs and cameras write by editing these.

use libjpeg_turbo_rs::{Encoder, PixelFormat, Subsampling};

use crate::compare::{Case, check, number};
use crate::icc;
use crate::mutate;
use crate::samples::{HEIGHT, WIDTH, cjpeg, exif, jpegtran, picture};

// Markers (ITU-T T.81, table B.1).
const SOF0: u8 = 0xC0;
const SOF2: u8 = 0xC2;
const DHT: u8 = 0xC4;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const DQT: u8 = 0xDB;
const APP0: u8 = 0xE0;
const APP1: u8 = 0xE1;
const APP2: u8 = 0xE2;
const APP14: u8 = 0xEE;

/// A marker with its parameters; behind a scan's come its coded data.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) marker: u8,
    pub(crate) body: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

impl Segment {
    pub(crate) fn new(marker: u8, body: &[u8]) -> Self {
        Self { marker, body: body.to_vec(), data: Vec::new() }
    }
}

/// A file's segments between its first two bytes and its last two.
#[derive(Clone)]
pub(crate) struct Jpeg(pub(crate) Vec<Segment>);

impl Jpeg {
    /// Takes a file apart that an encoder wrote.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let (mut segments, mut at) = (Vec::new(), 2);
        while at + 4 <= bytes.len() && bytes[at + 1] != EOI {
            let length = usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
            let mut segment = Segment::new(bytes[at + 1], &bytes[at + 4..at + 2 + length]);
            at += 2 + length;
            if segment.marker == SOS {
                let data = &bytes[at..];
                let is_marker =
                    |pair: &[u8]| pair[0] == 0xFF && pair[1] != 0 && !(0xD0..=0xD7).contains(&pair[1]);
                let length = data.windows(2).position(is_marker).unwrap_or(data.len());
                segment.data = data[..length].to_vec();
                at += length;
            }
            segments.push(segment);
        }
        Self(segments)
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut bytes = vec![0xFF, 0xD8];
        for Segment { marker, body, data } in &self.0 {
            bytes.extend([0xFF, *marker]);
            bytes.extend((body.len() as u16 + 2).to_be_bytes());
            bytes.extend(body);
            bytes.extend(data);
        }
        bytes.extend([0xFF, EOI]);
        bytes
    }

    fn without(mut self, marker: u8) -> Self {
        self.0.retain(|segment| segment.marker != marker);
        self
    }

    fn with(mut self, at: usize, marker: u8, body: &[u8]) -> Self {
        self.0.insert(at, Segment::new(marker, body));
        self
    }

    fn edit(mut self, marker: u8, edit: impl Fn(&mut Vec<u8>)) -> Self {
        self.0
            .iter_mut()
            .filter(|segment| segment.marker == marker)
            .for_each(|segment| edit(&mut segment.body));
        self
    }

    /// Its components with other ids, in the frame and in every scan.
    fn numbered(self, ids: [u8; 3]) -> Self {
        let old = {
            let frame = self.0.iter().find(|segment| (SOF0..=0xC2).contains(&segment.marker)).unwrap();
            [frame.body[6], frame.body[9], frame.body[12]]
        };
        let frame = |body: &mut Vec<u8>| (0..3).for_each(|i| body[6 + 3 * i] = ids[i]);
        let scan = |body: &mut Vec<u8>| {
            for i in 0..usize::from(body[0]) {
                let component = old.iter().position(|id| *id == body[1 + 2 * i]).unwrap();
                body[1 + 2 * i] = ids[component];
            }
        };
        self.edit(SOF0, frame).edit(SOS, scan)
    }

    fn with_profile(self, profile: &[u8]) -> Self {
        self.with(1, APP2, &[b"ICC_PROFILE\0\x01\x01", profile].concat())
    }

    fn with_exif(self, at: usize, orientation: u8) -> Self {
        self.with(at, APP1, &[b"Exif\0\0".to_vec(), exif(orientation)].concat())
    }
}

/// What an Adobe segment says of the colours: 0 as they are, 1 as luma and two differences, 2 four with luma.
fn adobe(transform: u8) -> Vec<u8> {
    [&b"Adobe\0\x64\0\0\0\0"[..], &[transform]].concat()
}

const SAMPLINGS: [&str; 22] = [
    "1x1",
    "2x1",
    "1x2",
    "2x2",
    "4x1",
    "1x4",
    "4x2",
    "2x4",
    "1x3",
    "3x1",
    "3x2",
    "2x3", // chroma coarser in both
    "1x1,2x1,1x1",
    "1x1,2x2,2x2",
    "1x2,2x1,2x1",
    "1x1,1x2,1x2",
    "2x1,1x2,1x2", // chroma finer in places
    "2x2,1x2,1x2",
    "2x2,2x1,2x1",
    "2x2,2x1,1x2",
    "2x2,2x2,1x1",
    "4x1,2x1,1x1", // chroma unlike each other, or in part
];

/// Names, arguments and scan scripts of `cjpeg`.
const LAYOUTS: [(&str, &[&str], Option<&str>); 11] = [
    ("baseline, one scan", &[], None),
    ("baseline, own tables", &["-optimize"], None),
    ("baseline, a scan a component", &[], Some("0;\n1;\n2;\n")),
    ("baseline, two and one", &[], Some("0 1;\n2;\n")),
    ("baseline, one and two", &[], Some("0;\n1 2;\n")),
    ("baseline, from the last to the first", &[], Some("2;\n1;\n0;\n")),
    ("progressive", &["-progressive"], None),
    (
        "progressive, by frequency only",
        &[],
        Some("0 1 2: 0-0, 0, 0;\n0: 1-63, 0, 0;\n1: 1-63, 0, 0;\n2: 1-63, 0, 0;\n"),
    ),
    (
        "progressive, by bits",
        &[],
        Some(
            "0 1 2: 0-0, 0, 2;\n0: 1-63, 0, 2;\n1: 1-63, 0, 1;\n2: 1-63, 0, 1;\n0 1 2: 0-0, 2, 1;\n0: 1-63, 2, 1;\n\
         0 1 2: 0-0, 1, 0;\n2: 1-63, 1, 0;\n1: 1-63, 1, 0;\n0: 1-63, 1, 0;\n",
        ),
    ),
    (
        "progressive, means by component",
        &[],
        Some(
            "2: 0-0, 0, 0;\n0: 0-0, 0, 0;\n1: 0-0, 0, 0;\n0: 1-5, 0, 0;\n2: 1-63, 0, 0;\n1: 1-63, 0, 0;\n0: 6-63, 0, 0;\n",
        ),
    ),
    (
        "progressive, without high frequencies",
        &[],
        Some("0 1 2: 0-0, 0, 0;\n0: 1-20, 0, 0;\n1: 1-9, 0, 0;\n2: 1-9, 0, 0;\n"),
    ),
];

/// Sizes in pixels and restarts, in rows of blocks: each file of the grid has one of these.
const VARIANTS: [((u32, u32), u32); 6] =
    [((603, 449), 0), ((600, 448), 1), ((597, 401), 0), ((603, 449), 1), ((600, 448), 0), ((597, 401), 1)];

fn grid(variants: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    for (row, sampling) in SAMPLINGS.iter().enumerate() {
        for (column, (layout, arguments, scans)) in LAYOUTS.iter().enumerate() {
            for turn in 0..variants.min(VARIANTS.len()) {
                let ((width, height), restart) = VARIANTS[(row + column + turn) % VARIANTS.len()];
                let restart = restart.to_string();
                let arguments = [&["-sample", sampling], *arguments, &["-restart", &restart]].concat();
                let file = cjpeg(&picture(width, height), &arguments, *scans);
                cases.push(Case::shown(
                    layout,
                    format!("{sampling}, {width} x {height}, restart {restart}"),
                    file,
                ));
            }
        }
    }
    cases
}

/// `CHATPIC_TEST_JPEGS` sets how many sizes and restarts, of six, there are of each sampling and layout.
#[tokio::test(flavor = "multi_thread")]
async fn every_sampling_in_every_layout_of_scans() {
    check(grid(number("CHATPIC_TEST_JPEGS", 1) as usize)).await;
}

/// Luma and two differences, a scan a component or one for all.
fn plain() -> Jpeg {
    Jpeg::parse(&cjpeg(&picture(WIDTH, HEIGHT), &[], None))
}

fn full() -> Jpeg {
    Jpeg::parse(&cjpeg(&picture(WIDTH, HEIGHT), &["-sample", "1x1"], None))
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_markers_and_ends_as_programs_write_them() {
    let kind = "tables, markers, ends";
    let plain = plain();
    let bytes = plain.write();
    let end = bytes.len() - 2;
    let first_scan = plain.0.iter().position(|segment| segment.marker == SOS).unwrap();
    let with_data = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut jpeg = plain.clone();
        change(&mut jpeg.0[first_scan].data);
        jpeg.write()
    };
    // Every table of 8 bits as one of 16.
    let deep = plain.clone().edit(DQT, |body| {
        let mut deep = Vec::new();
        for table in body.chunks_exact(65) {
            deep.push(0x10 | table[0]);
            deep.extend(table[1..].iter().flat_map(|step| [0, *step]));
        }
        *body = deep;
    });
    let split = {
        let mut jpeg = plain.clone();
        let at = jpeg.0.iter().position(|segment| segment.marker == DQT).unwrap();
        let tables = jpeg.0.remove(at).body;
        for table in tables.chunks_exact(65).rev() {
            jpeg = jpeg.with(at, DQT, table);
        }
        jpeg
    };
    let mut cases = vec![
        Case::shown(kind, "no Huffman tables, as webcams write", plain.clone().without(DHT).write()),
        Case::shown(kind, "no end marker", bytes[..end].to_vec()),
        Case::shown(kind, "bytes after the end", [&bytes[..], b"trailing \xFF\xDA\xFF\xD8"].concat()),
        Case::shown(kind, "stray bytes before the end", [&bytes[..end], &[0, 7, 0], &bytes[end..]].concat()),
        Case::shown(kind, "fill bytes before markers", {
            let mut filled = bytes.clone();
            filled.splice(2..2, [0xFF, 0xFF, 0xFF]);
            filled
        }),
        Case::shown(kind, "a comment before all", plain.clone().with(0, 0xFE, b"made by hand").write()),
        Case::shown(kind, "unknown application segments", plain.clone().with(1, 0xEB, &[7; 300]).write()),
        Case::shown(kind, "quantisation tables of 16 bits", deep.write()),
        Case::shown(kind, "a segment for each quantisation table", split.write()),
        Case::shown(kind, "no JFIF segment", plain.clone().without(APP0).write()),
        Case::shown(
            kind,
            "an empty segment of Huffman tables",
            plain.clone().with(first_scan, DHT, &[]).write(),
        ),
        Case::shown(
            kind,
            "odd spectral parameters of a baseline scan",
            plain
                .clone()
                .edit(SOS, |body| {
                    let end = body.len();
                    body[end - 3..].copy_from_slice(&[0, 0, 0]);
                })
                .write(),
        ),
        Case::refused(
            kind,
            "half of the scan",
            with_data(&|data| data.truncate(data.len() / 2)),
            "end early",
        ),
        Case::refused(
            kind,
            "a tenth of the scan",
            with_data(&|data| data.truncate(data.len() / 10)),
            "end early",
        ),
        Case::refused(kind, "a scan without data", with_data(&|data| data.clear()), "end early"),
        Case::refused(kind, "no scan", plain.clone().without(SOS).write(), "end early"),
        Case::refused(kind, "broken off in the header", bytes[..100].to_vec(), "end early"),
    ];
    for (layout, arguments, scans) in [LAYOUTS[2], LAYOUTS[3], LAYOUTS[9]] {
        let file = cjpeg(&picture(WIDTH, HEIGHT), arguments, scans);
        let mut jpeg = Jpeg::parse(&file);
        let of_first = |segment: &Segment| segment.marker == SOS && segment.body[1..3].contains(&1);
        jpeg.0.retain(|segment| !of_first(segment));
        cases.push(Case::refused(kind, format!("{layout}: luma is never sent"), jpeg.write(), "end early"));
        let last = Jpeg::parse(&file).0.iter().rposition(|segment| segment.marker == SOS).unwrap();
        let mut jpeg = Jpeg::parse(&file);
        let half = jpeg.0[last].data.len() / 2;
        jpeg.0[last].data.truncate(half);
        cases.push(Case::refused(
            kind,
            format!("{layout}: half of the last scan"),
            jpeg.write(),
            "end early",
        ));
    }
    check(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jfif_decides_over_adobe_and_ids() {
    let kind = "JFIF, Adobe, component ids";
    let (plain, full) = (plain(), full());
    let rgb = Jpeg::parse(&cjpeg(&picture(WIDTH, HEIGHT), &["-rgb"], None));
    let bare = full.clone().without(APP0);
    let shown = |name: &str, jpeg: Jpeg| Case::shown(kind, name, jpeg.write());
    check(vec![
        shown("JFIF and Adobe 0", plain.clone().with(1, APP14, &adobe(0))),
        shown("Adobe 0 and JFIF", plain.clone().with(0, APP14, &adobe(0))),
        shown("JFIF and Adobe 1", plain.clone().with(1, APP14, &adobe(1))),
        shown("JFIF and Adobe 2", plain.clone().with(1, APP14, &adobe(2))),
        shown("JFIF and Adobe 3", plain.clone().with(1, APP14, &adobe(3))),
        shown("JFIF and an Adobe segment of five bytes", plain.clone().with(1, APP14, b"Adobe")),
        shown("Adobe 1 alone", bare.clone().with(0, APP14, &adobe(1))),
        shown("Adobe 3 alone", bare.clone().with(0, APP14, &adobe(3))),
        shown("Adobe 2 alone", bare.clone().with(0, APP14, &adobe(2))),
        shown("an Adobe segment of five bytes alone", bare.clone().with(0, APP14, b"Adobe")),
        shown("an Adobe segment without its last byte", bare.clone().with(0, APP14, &adobe(0)[..11])),
        shown("JFIF and ids R G B", full.clone().numbered(*b"RGB")),
        shown("three equal ids", full.clone().numbered([1, 1, 1])),
        shown("ids 0 1 2", full.clone().numbered([0, 1, 2])),
        shown("ids 0 1 2 without JFIF", bare.clone().numbered([0, 1, 2])),
        shown("ids 7 8 9 without JFIF", bare.clone().numbered([7, 8, 9])),
        shown("red, green, blue with Adobe 0", rgb.clone()),
        shown("red, green, blue with ids R G B alone", rgb.clone().without(APP14).numbered(*b"RGB")),
        shown("red, green, blue, Adobe 0, ids 1 2 3", rgb.clone().numbered([1, 2, 3])),
        shown(
            "JFIF with a thumbnail",
            plain.clone().edit(APP0, |body| {
                body[12..14].copy_from_slice(&[2, 2]);
                body.extend([200; 12]);
            }),
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_exif_segment_turns_the_picture() {
    let mut cases = Vec::new();
    for orientation in 0..=9 {
        let file = plain().with_exif(0, orientation).write();
        cases.push(Case::shown("orientation", format!("Exif {orientation}, then JFIF"), file));
        let file = plain().with_exif(1, orientation).write();
        cases.push(Case::shown("orientation", format!("JFIF, then Exif {orientation}"), file));
    }
    for (first, second) in [(6, 1), (1, 6), (6, 3), (3, 8), (8, 1), (0, 6), (9, 6)] {
        let file = plain().with_exif(1, second).with_exif(1, first).write();
        cases.push(Case::shown("two Exif segments", format!("{first}, then {second}"), file));
    }
    let empty = [b"Exif\0\0".to_vec(), b"II*\0\x08\0\0\0\0\0\0\0\0\0".to_vec()].concat();
    let without_tag = plain().with_exif(1, 6).with(1, APP1, &empty).write();
    cases.push(Case::shown("two Exif segments", "one without orientation, then 6", without_tag));
    let xmp = plain().with_exif(1, 6).with(1, APP1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>").write();
    cases.push(Case::shown("two Exif segments", "XMP, then Exif 6", xmp));
    check(cases).await;
}

/// The picture in inks, as Adobe writes them: 255 is none.
fn inks(transform: u8) -> Jpeg {
    let image = picture(WIDTH, HEIGHT);
    let values: Vec<u8> = image
        .pixels()
        .flat_map(|pixel| {
            let rgb = pixel.0.map(f64::from);
            let black = rgb.iter().copied().fold(1.0, f64::max);
            let [c, m, y] = rgb.map(|v| 255.0 * v / black);
            if transform == 0 {
                return [c, m, y, black].map(|v| v.round() as u8);
            }
            // Luma and differences are those of what is left of the inks' complement (ITU-T T.871).
            let [r, g, b] = [255.0 - c, 255.0 - m, 255.0 - y];
            let luma = 0.299 * r + 0.587 * g + 0.114 * b;
            [luma, 128.0 + (b - luma) / 1.772, 128.0 + (r - luma) / 1.402, black]
                .map(|v| v.round().clamp(0.0, 255.0) as u8)
        })
        .collect();
    let encoder = Encoder::new(&values, WIDTH as usize, HEIGHT as usize, PixelFormat::Cmyk).quality(95);
    let jpeg = Jpeg::parse(&encoder.subsampling(Subsampling::S444).encode().unwrap());
    jpeg.edit(APP14, |body| body[11] = transform)
}

#[tokio::test(flavor = "multi_thread")]
async fn grey_inks_and_profiles_come_in_colour() {
    let mut cases = Vec::new();
    for (name, transform) in [("CMYK", 0), ("YCCK", 2)] {
        for (coding, arguments, scans) in [
            ("baseline", &[][..], None),
            ("a scan an ink", &[], Some("0;\n1;\n2;\n3;\n")),
            ("progressive", &["-progressive"], None),
        ] {
            let jpeg = Jpeg::parse(&jpegtran(&inks(transform).write(), arguments, scans));
            cases.push(Case::shown("inks", format!("{name}, {coding}"), jpeg.write()));
            cases.push(Case::shown(
                "inks",
                format!("{name}, {coding}, profile"),
                jpeg.with_profile(&icc::inks()).write(),
            ));
        }
        let jpeg = inks(transform).with_profile(&icc::display_p3(2.2));
        cases.push(Case::shown("inks", format!("{name}, a profile of RGB"), jpeg.write()));
    }
    cases.push(Case::shown("inks", "CMYK without an Adobe segment", inks(0).without(APP14).write()));
    let grey = |arguments: &[&str]| {
        Jpeg::parse(&cjpeg(&picture(WIDTH, HEIGHT), &[&["-grayscale"], arguments].concat(), None))
    };
    let profiles = [
        ("none", None),
        ("dot gain of 20 %", Some(icc::dot_gain())),
        ("gamma 1.0", Some(icc::grey(1.0))),
        ("gamma 1.8", Some(icc::grey(1.8))),
        ("gamma 2.2", Some(icc::grey(2.2))),
        ("of RGB", Some(icc::display_p3(2.2))),
        ("broken", Some(icc::grey(1.0)[..100].to_vec())),
    ];
    for (name, profile) in profiles {
        for (coding, arguments) in [("baseline", &["-sample", "2x2"][..]), ("progressive", &["-progressive"])]
        {
            let jpeg = grey(arguments);
            let jpeg = profile.iter().fold(jpeg, |jpeg, profile| jpeg.with_profile(profile));
            cases.push(Case::shown("grey", format!("{coding}, profile {name}"), jpeg.write()));
        }
    }
    cases.push(Case::shown("grey", "Adobe 0", grey(&[]).with(1, APP14, &adobe(0)).write()));
    let profile = icc::display_p3(1.8);
    cases.push(Case::shown("profiles", "Display P3", plain().with_profile(&icc::display_p3(2.2)).write()));
    cases.push(Case::shown("profiles", "RGB, gamma 1.8", plain().with_profile(&profile).write()));
    cases.push(Case::shown("profiles", "of grey on RGB", plain().with_profile(&icc::grey(1.0)).write()));
    cases.push(Case::shown("profiles", "of inks on RGB", plain().with_profile(&icc::inks()).write()));
    let (one, two) = profile.split_at(200);
    let first = [b"ICC_PROFILE\0\x01\x02", one].concat();
    let second = [b"ICC_PROFILE\0\x02\x02", two].concat();
    cases.push(Case::shown(
        "profiles",
        "in two parts",
        plain().with(1, APP2, &second).with(1, APP2, &first).write(),
    ));
    cases.push(Case::shown(
        "profiles",
        "in two parts, the second first",
        plain().with(1, APP2, &first).with(1, APP2, &second).write(),
    ));
    check(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_browsers_do_not_decode_either_is_refused_by_its_name() {
    let kind = "refused by name";
    let arithmetic =
        |arguments: &[&str]| cjpeg(&picture(WIDTH, HEIGHT), &[&["-arithmetic"], arguments].concat(), None);
    let plain = plain().write();
    let frame = plain.windows(2).position(|pair| pair == [0xFF, SOF0]).unwrap();
    let with = |marker: u8, bits: u8| {
        let mut file = plain.clone();
        file[frame + 1] = marker;
        file[frame + 4] = bits;
        file
    };
    check(vec![
        Case::refused(kind, "arithmetic coding", arithmetic(&[]), "arithmetic"),
        Case::refused(kind, "arithmetic coding, progressive", arithmetic(&["-progressive"]), "arithmetic"),
        Case::refused(kind, "12 bits a sample", with(0xC1, 12), "12 bits"),
        Case::refused(kind, "12 bits a sample, progressive", with(0xC2, 12), "12 bits"),
        Case::refused(kind, "lossless", with(0xC3, 8), "lossless"),
        Case::refused(kind, "lossless, 16 bits", with(0xC3, 16), "lossless"),
        Case::refused(kind, "hierarchical", with(0xC5, 8), "hierarchical"),
        Case::refused(kind, "JPEG-LS", with(0xF7, 8), "JPEG-LS"),
    ])
    .await;
}

/// Small files for the fuzzer to change: samplings, codings and markers.
pub(crate) fn seeds(image: &image::RgbImage) -> Vec<Vec<u8>> {
    let layouts = LAYOUTS.iter().cycle();
    let of_samplings = SAMPLINGS.iter().zip(layouts);
    let mut seeds: Vec<_> = of_samplings
        .map(|(sampling, (_, arguments, scans))| {
            cjpeg(image, &[&["-sample", sampling], *arguments].concat(), *scans)
        })
        .collect();
    let plain = Jpeg::parse(&cjpeg(image, &["-restart", "1"], None));
    seeds.push(plain.write());
    seeds.push(plain.clone().with_exif(1, 6).write());
    seeds.push(plain.with(1, APP14, &adobe(1)).write());
    seeds.push(cjpeg(image, &["-grayscale"], None));
    seeds.push(cjpeg(image, &["-grayscale", "-progressive"], None));
    seeds.push(cjpeg(image, &["-rgb"], None));
    seeds.push(cjpeg(image, &["-progressive", "-restart", "1"], None));
    seeds
}

/// Whether libjpeg smooths between the blocks of a file, which blurs it: a progressive one whose scans leave one of the
/// ten lowest coefficients of a component out, or its last bits.
pub(crate) fn is_smoothed(file: &[u8]) -> bool {
    let pieces = mutate::jpeg(file);
    let bodies = |marker: u8| {
        let pieces = pieces.iter().take_while(|piece| !piece.starts_with(&[0xFF, EOI]));
        pieces.filter(move |piece| piece.starts_with(&[0xFF, marker])).filter_map(|piece| piece.get(4..))
    };
    // Whether a scan sends a component's coefficient to its last bit.
    let completes = |scan: &[u8], id: u8, coefficient: u8| {
        let Some((&count, rest)) = scan.split_first() else { return false };
        let Some((selectors, [first, last, bits])) = rest.split_at_checked(2 * usize::from(count)) else {
            return false;
        };
        let is_of = selectors.chunks_exact(2).any(|selector| selector[0] == id);
        is_of && (*first..=*last).contains(&coefficient) && bits & 15 == 0
    };
    let Some(entries) = bodies(SOF2).find_map(|frame| frame.get(6..)) else { return false };
    entries.chunks_exact(3).any(|entry| {
        (1..10).any(|coefficient| !bodies(SOS).any(|scan| completes(scan, entry[0], coefficient)))
    })
}
