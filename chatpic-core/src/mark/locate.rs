//! From a leak to its place on a canvas: the stages of the pilot search, each candidate checked block by block.
//!
//! Only the pilot is used: nothing here knows any session's code.

use super::plane::Plane;
use super::refine::{Blocks, Freedom, Refined, Waves, refine};
use super::spectrum::{Spectrum, whiten};
use super::spread::spread;
use super::sync::{Search, Stage};
use super::warp::Homography;
use std::sync::OnceLock;

/// A leak made ready for searching: its luma, and a whitened copy of at most about a megapixel with its spectrum.
pub(crate) struct Leak {
    pub(crate) luma: Plane,
    whitened: Plane,
    spectrum: OnceLock<Spectrum>,
    /// Leak pixels to searched pixels.
    down: Homography,
    /// Leak pixels per searched pixel.
    zoom: f64,
}

/// Pixels of the searched plane at most.
const SEARCHED_AREA: f64 = 1.1e6;

impl Leak {
    /// Takes the luma of a leak.
    pub(crate) fn new(luma: Plane) -> Self {
        let area = (luma.width * luma.height) as f64;
        let zoom = (area / SEARCHED_AREA).sqrt().max(1.);
        let small;
        let searched = if zoom > 1. {
            let side = |n: usize| ((n as f64 / zoom).round() as usize).max(1);
            small = luma.resized(side(luma.width), side(luma.height));
            &small
        } else {
            &luma
        };
        let (fx, fy) = (
            searched.width as f64 / luma.width.max(1) as f64,
            searched.height as f64 / luma.height.max(1) as f64,
        );
        let whitened = whiten(searched);
        let down = Homography::resize(fx, fy);
        Self { luma, whitened, spectrum: OnceLock::new(), down, zoom }
    }

    fn extent(&self) -> (usize, usize) {
        (self.whitened.width, self.whitened.height)
    }

    fn spectrum(&self) -> &Spectrum {
        self.spectrum.get_or_init(|| Spectrum::new(&self.whitened))
    }
}

/// A pilot score at which a stage has found what it can.
const FOUND: f64 = 12.;
/// Candidates checked per stage.
const CHECKED: usize = 30;

/// The search for one leak on one canvas, carried on stage by stage.
pub(crate) struct Locator<'a> {
    leak: &'a Leak,
    waves: &'a Waves,
    canvas: (f64, f64),
    threads: usize,
    /// Best first; maps take searched pixels to canvas pixels.
    found: Vec<Refined>,
}

impl<'a> Locator<'a> {
    /// `canvas`: width and height in pixels of the frequencies in `waves`.
    pub(crate) fn new(leak: &'a Leak, waves: &'a Waves, canvas: (f64, f64), threads: usize) -> Self {
        Self { leak, waves, canvas, threads, found: Vec::new() }
    }

    /// Tries the whole leak as the whole canvas, in all eight ways: cheap, and what most leaks are.
    pub(crate) fn try_whole(&mut self) {
        let ways = Homography::wholes(self.leak.extent(), self.canvas);
        let fresh = spread(&ways, self.threads, |map| self.check(map, Freedom::Affine, 3));
        self.keep(fresh, 1);
    }

    /// One stage of the search; stops early, leaving what it has, once `stop` says so.
    pub(crate) fn search(&mut self, stage: Stage, stop: &(dyn Fn() -> bool + Sync)) {
        let leak = self.leak;
        let search = Search::new(leak.spectrum(), self.waves, leak.extent(), self.canvas, self.threads);
        let candidates = search.stage(stage, leak.zoom, CHECKED, stop);
        let (freedom, starts) = match stage {
            Stage::Tilted => (Freedom::Perspective, 8),
            _ => (Freedom::Affine, 5),
        };
        let mut fresh: Vec<Refined> = Vec::new();
        for some in candidates.chunks(self.threads.max(2)) {
            if stop() || fresh.iter().any(|r| r.score > FOUND) {
                break;
            }
            fresh.extend(spread(some, self.threads, |c| self.check(&search.map(c), freedom, starts)));
        }
        self.keep(fresh, 2);
    }

    /// At most `most` different places, best first; maps take leak pixels to canvas pixels.
    pub(crate) fn places(&self, most: usize) -> Vec<Refined> {
        let found = self.found.iter().take(most);
        found.map(|r| Refined { map: r.map.after(&self.leak.down), ..*r }).collect()
    }

    /// Settles the best few of `fresh` and files those that are new.
    fn keep(&mut self, mut fresh: Vec<Refined>, most: usize) {
        fresh.sort_by(|a, b| b.score.total_cmp(&a.score));
        fresh.truncate(most);
        for place in spread(&fresh, self.threads, |place| self.settle(place)) {
            match self.found.iter().position(|other| self.alike(other, &place)) {
                Some(at) if self.found[at].score < place.score => self.found[at] = place,
                Some(_) => {}
                None => self.found.push(place),
            }
        }
        self.found.sort_by(|a, b| b.score.total_cmp(&a.score));
    }

    /// Whether two maps differ by less than a few canvas pixels in the middle half of the leak.
    fn alike(&self, a: &Refined, b: &Refined) -> bool {
        let (w, h) = (self.leak.extent().0 as f64, self.leak.extent().1 as f64);
        [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)].iter().all(|(x, y)| {
            let (p, q) = (a.map.apply(x * w, y * h), b.map.apply(x * w, y * h));
            (p.0 - q.0).hypot(p.1 - q.1) < 4.
        })
    }

    fn check(&self, map: &Homography, freedom: Freedom, starts: usize) -> Refined {
        let blocks = Blocks::read(&self.leak.whitened, map, self.canvas, self.waves);
        refine(&blocks, map, self.waves, freedom, starts)
    }

    /// Refines until the map stands still: affine, then with perspective where that explains clearly more.
    fn settle(&self, place: &Refined) -> Refined {
        let mut best = *place;
        for freedom in [Freedom::Affine, Freedom::Perspective] {
            let mut here = best;
            for round in 0..4 {
                let next = self.check(&here.map, freedom, if round == 0 { 6 } else { 1 });
                if next.score > here.score || round == 0 {
                    here = next;
                }
                if next.moved < 0.05 {
                    break;
                }
            }
            // Two more unknowns gain a little on noise alone.
            let least = if freedom == Freedom::Perspective { 0.5 } else { 0. };
            if here.score > best.score + least {
                best = here;
            }
        }
        best
    }
}
