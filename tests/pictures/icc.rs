//! Colour profiles, written by hand (ICC.1:2001-04).

/// A number as a profile holds it: 16 bits before the point and 16 behind it.
fn fixed(number: f64) -> [u8; 4] {
    ((number * 65536.0).round() as i32).to_be_bytes()
}

fn xyz(of: [f64; 3]) -> Vec<u8> {
    [b"XYZ \0\0\0\0".to_vec(), of.map(fixed).concat()].concat()
}

/// A tone curve by its values at equal distances, from 0 to 1.
fn curve(values: &[f64]) -> Vec<u8> {
    let values = values.iter().flat_map(|v| ((v * 65535.0).round() as u16).to_be_bytes());
    let count = (values.clone().count() / 2) as u32;
    [b"curv\0\0\0\0".to_vec(), count.to_be_bytes().to_vec(), values.collect()].concat()
}

fn power(gamma: f64) -> Vec<u8> {
    let gamma = ((gamma * 256.0).round() as u16).to_be_bytes();
    [&b"curv\0\0\0\0\0\0\0\x01"[..], &gamma].concat()
}

fn profile(
    class: &[u8; 4],
    space: &[u8; 4],
    connection: &[u8; 4],
    tags: Vec<(&[u8; 4], Vec<u8>)>,
) -> Vec<u8> {
    const WHITE: [f64; 3] = [0.9642, 1.0, 0.8249];
    let description = b"desc\0\0\0\0\0\0\0\x05test\0".iter().copied().chain([0; 78]).collect();
    let mut tags = tags;
    tags.push((b"desc", description));
    tags.push((b"cprt", b"text\0\0\0\0none\0".to_vec()));
    tags.push((b"wtpt", xyz(WHITE)));
    let mut table = (tags.len() as u32).to_be_bytes().to_vec();
    let mut data = Vec::new();
    let start = 128 + 4 + 12 * tags.len();
    for (name, body) in tags {
        table.extend(name);
        table.extend(((start + data.len()) as u32).to_be_bytes());
        table.extend((body.len() as u32).to_be_bytes());
        data.extend(body);
        data.resize(data.len().next_multiple_of(4), 0);
    }
    let mut header = vec![0; 128];
    header[..4].copy_from_slice(&((start + data.len()) as u32).to_be_bytes());
    header[8..12].copy_from_slice(&[2, 0x40, 0, 0]);
    header[12..16].copy_from_slice(class);
    header[16..20].copy_from_slice(space);
    header[20..24].copy_from_slice(connection);
    header[24..36].copy_from_slice(&[0x07, 0xEA, 0, 11, 0, 27, 0, 0, 0, 0, 0, 0]);
    header[36..40].copy_from_slice(b"acsp");
    header[68..80].copy_from_slice(&WHITE.map(fixed).concat());
    [header, table, data].concat()
}

/// Grey by a power.
pub(crate) fn grey(gamma: f64) -> Vec<u8> {
    profile(b"mntr", b"GRAY", b"XYZ ", vec![(b"kTRC", power(gamma))])
}

/// Grey as it is printed, with dots that grow by a fifth in the middle: what scanned pages and newspapers' pictures have.
pub(crate) fn dot_gain() -> Vec<u8> {
    let light = |step: u32| {
        let ink = 1.0 - f64::from(step) / 255.0;
        1.0 - (ink + 0.8 * ink * (1.0 - ink)).min(1.0)
    };
    profile(b"prtr", b"GRAY", b"XYZ ", vec![(b"kTRC", curve(&(0..256).map(light).collect::<Vec<_>>()))])
}

/// Display P3's colours, adapted to D50, with this power.
pub(crate) fn display_p3(gamma: f64) -> Vec<u8> {
    let tags: Vec<(&[u8; 4], _)> = vec![
        (b"rXYZ", xyz([0.5151, 0.2412, -0.0011])),
        (b"gXYZ", xyz([0.2920, 0.6922, 0.0419])),
        (b"bXYZ", xyz([0.1571, 0.0666, 0.7841])),
        (b"rTRC", power(gamma)),
        (b"gTRC", power(gamma)),
        (b"bTRC", power(gamma)),
    ];
    profile(b"mntr", b"RGB ", b"XYZ ", tags)
}

/// Inks of no real press: a table of five steps for each, to CIELAB.
pub(crate) fn inks() -> Vec<u8> {
    const STEPS: u8 = 5;
    let step = |of: u32, place: u32| f64::from(of / u32::from(STEPS).pow(place) % u32::from(STEPS)) / 4.0;
    let straight: Vec<u8> = (0..=255).collect();
    let identity = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0].map(fixed).concat();
    let colours = (0..u32::from(STEPS).pow(4)).flat_map(|of| {
        // The last ink changes fastest.
        let [k, y, m, c] = [0, 1, 2, 3].map(|place| step(of, place));
        let light = (1.0 - 0.3 * c - 0.45 * m - 0.1 * y) * (1.0 - 0.9 * k);
        let (a, b) = (70.0 * (m - 0.6 * c) * (1.0 - k), 80.0 * (y - 0.6 * c - 0.3 * m) * (1.0 - k));
        [255.0 * light, 128.0 + a, 128.0 + b].map(|v| v.round().clamp(0.0, 255.0) as u8)
    });
    let table = [
        b"mft1\0\0\0\0".to_vec(),
        vec![4, 3, STEPS, 0],
        identity,
        straight.repeat(4),
        colours.collect(),
        straight.repeat(3),
    ];
    profile(b"prtr", b"CMYK", b"Lab ", vec![(b"A2B0", table.concat())])
}
