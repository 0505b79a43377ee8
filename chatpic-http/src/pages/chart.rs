//! Drawings for pages, as plain SVG: views over time, views on the world map, and QR codes.

use chatpic_core::{Country, Timestamp};
use fast_qr::QRBuilder;

/// Natural Earth's countries, projected once; the file's first line says how.
const WORLD: &str = include_str!("../../assets/world.txt");

/// Width and height of the plot's drawing, in user units.
const PLOT: (f64, f64) = (720.0, 160.0);

/// One step of time that has views.
pub(super) struct Bar {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) views: u32,
}

/// Views over time as bars of equal steps, as high as the busiest allows.
pub(super) fn bars(timeline: &[(Timestamp, u32)], from: Timestamp, until: Timestamp) -> Vec<Bar> {
    const STEPS: usize = 60;
    // A share that was just made is shown on a scale of an hour, or its first view would fill the drawing.
    let span = until.0.saturating_sub(from.0).max(3_600_000) as f64;
    let mut steps = [0_u32; STEPS];
    for &(at, views) in timeline {
        let along = (at.0.saturating_sub(from.0) as f64 / span).clamp(0.0, 1.0);
        let step = ((along * STEPS as f64) as usize).min(STEPS - 1);
        steps[step] = steps[step].saturating_add(views);
    }
    // A single view is no peak.
    let most = steps.iter().copied().max().unwrap_or(0).max(4);
    let step = PLOT.0 / STEPS as f64;
    let bar = |(index, &views): (usize, &u32)| {
        let height = f64::from(views) / f64::from(most) * PLOT.1;
        Bar { x: index as f64 * step + 1.0, y: PLOT.1 - height, width: step - 2.0, height, views }
    };
    steps.iter().enumerate().filter(|(_, views)| **views > 0).map(bar).collect()
}

/// A country's English name and its outline on the map, as far as the map has it.
fn outline(country: Country) -> Option<(&'static str, &'static str)> {
    WORLD.lines().skip(1).find_map(|line| {
        let (code, rest) = line.split_once('\t')?;
        (code == country.as_str()).then(|| rest.split_once('\t')).flatten()
    })
}

/// A country's English name, or its code when it is too small for the map.
pub(super) fn country_name(country: Country) -> String {
    outline(country).map_or_else(|| country.to_string(), |(name, _)| name.to_owned())
}

/// A country that was reached, on the map.
pub(super) struct Reached {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    /// From 1, few views, to 4, most of them.
    pub(super) shade: u32,
}

/// The countries that the map has, shaded by their share of the most.
pub(super) fn reached(countries: &[(Option<Country>, u32)]) -> Vec<Reached> {
    let most = countries.iter().filter(|(country, _)| country.is_some()).map(|(_, views)| *views).max();
    let most = most.unwrap_or(1).max(1);
    let known = countries.iter().filter_map(|(country, views)| country.map(|country| (country, *views)));
    known
        .filter_map(|(country, views)| {
            let (name, path) = outline(country)?;
            Some(Reached { name, path, shade: (views.saturating_mul(4)).div_ceil(most).clamp(1, 4) })
        })
        .collect()
}

/// The whole world as an image, in a grey that stands on light and dark ground.
pub(crate) fn world() -> String {
    let paths: String = WORLD.lines().skip(1).filter_map(|line| line.rsplit('\t').next()).collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1000 440\">\
         <path fill=\"#80868f\" fill-opacity=\".32\" d=\"{paths}\"/></svg>"
    )
}

/// A QR code as the path of its dark modules, in a box of `side` modules with the quiet zone of 4 around.
pub(super) struct Qr {
    pub(super) side: usize,
    pub(super) path: String,
}

/// A text as a QR code (ISO/IEC 18004); `None` when it is too long for one.
pub(super) fn qr(text: &str) -> Option<Qr> {
    const QUIET: usize = 4;
    let code = QRBuilder::new(text).build().ok()?;
    let mut path = String::new();
    for y in 0..code.size {
        for x in (0..code.size).filter(|x| code[y][*x].value()) {
            path.push_str(&format!("M{} {}h1v1h-1z", x + QUIET, y + QUIET));
        }
    }
    Some(Qr { side: code.size + 2 * QUIET, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qr_code_can_be_read_back() {
        let link = "https://pics.example/s/qZDrgBy_yHuP9T7D#3WXhxNZef_abcdefghijkl";
        let code = qr(link).unwrap();
        const SCALE: usize = 4;
        let dark: Vec<(usize, usize)> = code
            .path
            .split('M')
            .skip(1)
            .map(|module| {
                let (x, y) = module.trim_end_matches("h1v1h-1z").split_once(' ').unwrap();
                (x.parse().unwrap(), y.parse().unwrap())
            })
            .collect();
        let side = code.side * SCALE;
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(side, side, |x, y| {
            if dark.contains(&(x / SCALE, y / SCALE)) { 0 } else { 255 }
        });
        let grids = image.detect_grids();
        assert_eq!(grids[0].decode().unwrap().1, link);
    }

    #[test]
    fn the_busiest_country_is_the_darkest() {
        let country = |code: &str| Some(code.parse().unwrap());
        let countries = [(country("DE"), 8), (None, 100), (country("FR"), 1), (country("SG"), 1)];
        let shades: Vec<_> = reached(&countries).iter().map(|r| (r.name, r.shade)).collect();
        assert_eq!(shades, [("Germany", 4), ("France", 1)], "Singapore is too small for the map");
        assert_eq!(country_name("SG".parse().unwrap()), "SG");
    }

    #[test]
    fn bars_stand_where_their_time_is() {
        let hour = 3_600_000;
        let views = [(Timestamp(0), 1), (Timestamp(1000), 1), (Timestamp(hour), 8)];
        let bars = bars(&views, Timestamp(0), Timestamp(hour));
        assert_eq!(bars.len(), 2, "views of one step stand on each other");
        assert_eq!((bars[0].x, bars[0].height, bars[0].views), (1.0, 40.0, 2));
        assert_eq!((bars[1].x + bars[1].width, bars[1].height), (719.0, 160.0));
    }
}
