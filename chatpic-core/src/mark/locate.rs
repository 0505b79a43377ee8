//! From a leak to its place on a canvas: the stages of the pilot search, each candidate checked block by block.
//!
//! Only the pilot is used: nothing here knows any session's code.

use super::effort::Effort;
use super::plane::Plane;
use super::refine::{self, Blocks, Freedom, Refined, Waves, refine};
use super::register::Window;
use super::spectrum::{Spectrum, whiten};
use super::spread::spread;
use super::sync::{Search, Stage};
use super::warp::Homography;
use std::sync::OnceLock;

/// A leak made ready for searching.
pub(crate) struct Leak {
    pub(crate) luma: Plane,
    whole: View,
    /// The most telling part of a long and narrow leak, for the stages whose work grows with powers of the length.
    part: Option<View>,
}

/// A leak, or a part of it, as the pilot search sees it: whitened, of at most about a megapixel, with its spectrum.
struct View {
    whitened: Plane,
    spectrum: OnceLock<Spectrum>,
    /// Leak pixels to the view's.
    down: Homography,
    /// Leak pixels per pixel of the view.
    zoom: f64,
}

/// Pixels of a view at most.
const SEARCHED_AREA: f64 = 1.1e6;
/// Long side, in pixels at most, of the view in which a tilted or turned leak is looked for: that of a leak twice as long
/// as wide. It can be tilted in some 10 000 ways that differ; one of 65 000 pixels in 400 million.
const TURNED_SIDE: usize = 1500;

impl Leak {
    /// Takes the luma of a leak.
    pub(crate) fn new(luma: Plane) -> Self {
        let whole = View::of(&luma, SEARCHED_AREA);
        let part = (whole.long_side() > TURNED_SIDE).then(|| View::of_part(&luma, &whole));
        Self { luma, whole, part }
    }

    fn view(&self, stage: Stage) -> &View {
        let part = match stage {
            Stage::Upright | Stage::Stretched => None,
            Stage::Tilted | Stage::Turned => self.part.as_ref(),
        };
        part.unwrap_or(&self.whole)
    }
}

impl View {
    fn of(luma: &Plane, most: f64) -> Self {
        let area = (luma.width * luma.height) as f64;
        let zoom = (area / most).sqrt().max(1.);
        let small;
        let searched = if zoom > 1. {
            let side = |n: usize| ((n as f64 / zoom).round() as usize).max(1);
            small = luma.resized(side(luma.width), side(luma.height));
            &small
        } else {
            luma
        };
        let (fx, fy) = (
            searched.width as f64 / luma.width.max(1) as f64,
            searched.height as f64 / luma.height.max(1) as f64,
        );
        let down = Homography::resize(fx, fy);
        Self { whitened: whiten(searched), spectrum: OnceLock::new(), down, zoom }
    }

    /// The view of the part of a leak that says most of the pilot: where what is left of the leak, its structure whitened
    /// away, is strongest. Blank ground carries no mark.
    fn of_part(luma: &Plane, whole: &Self) -> Self {
        const STARTS: usize = 64;
        let upright = luma.height >= luma.width;
        let (long, short) = (luma.width.max(luma.height), luma.width.min(luma.height));
        let zoom = (short as f64 * TURNED_SIDE as f64 / SEARCHED_AREA).max(1.);
        let length = ((TURNED_SIDE as f64 * zoom) as usize).min(long);
        let powers = whole.powers_along(upright);
        let per_leak = powers.len() as f64 / long as f64;
        let power = |start: usize| {
            let range = (start as f64 * per_leak) as usize..((start + length) as f64 * per_leak) as usize;
            powers.get(range).map_or(0., |powers| powers.iter().sum::<f64>())
        };
        let starts = (0..=STARTS).map(|i| i * (long - length) / STARTS);
        let start = starts.max_by(|a, b| power(*a).total_cmp(&power(*b))).unwrap_or(0);
        let window = if upright {
            Window { x: 0..luma.width, y: start..start + length }
        } else {
            Window { x: start..start + length, y: 0..luma.height }
        };
        let view = Self::of(&window.cut(luma), SEARCHED_AREA);
        Self { down: view.down.after(&window.shift()), ..view }
    }

    /// The power of each row, or of each column if the view is not `upright`.
    fn powers_along(&self, upright: bool) -> Vec<f64> {
        let plane = &self.whitened;
        let mut powers = vec![0.; if upright { plane.height } else { plane.width }];
        for (y, row) in plane.data.chunks_exact(plane.width.max(1)).enumerate() {
            for (x, v) in row.iter().enumerate() {
                powers[if upright { y } else { x }] += f64::from(v * v);
            }
        }
        powers
    }

    fn extent(&self) -> (usize, usize) {
        (self.whitened.width, self.whitened.height)
    }

    fn long_side(&self) -> usize {
        self.whitened.width.max(self.whitened.height)
    }

    fn spectrum(&self) -> &Spectrum {
        self.spectrum.get_or_init(|| Spectrum::new(&self.whitened))
    }
}

/// A pilot score at which a stage has found what it can.
const FOUND: f64 = 12.;
/// Candidates checked per stage.
const CHECKED: usize = 30;

/// Candidates checked at a time; the same on every machine, so that the search ends at the same one.
const TOGETHER: usize = 4;

/// The search for one leak on one canvas, carried on stage by stage.
pub(crate) struct Locator<'a> {
    leak: &'a Leak,
    waves: Waves,
    canvas: (f64, f64),
    threads: usize,
    effort: &'a Effort,
    /// Best first; maps take pixels of the whole view to canvas pixels.
    found: Vec<Refined>,
}

impl<'a> Locator<'a> {
    /// `canvas`: width and height in pixels of the frequencies in `waves`.
    pub(crate) fn new(
        leak: &'a Leak,
        waves: Waves,
        canvas: (f64, f64),
        threads: usize,
        effort: &'a Effort,
    ) -> Self {
        Self { leak, waves, canvas, threads, effort, found: Vec::new() }
    }

    /// The waves that are looked for.
    pub(crate) fn waves(&self) -> &Waves {
        &self.waves
    }

    /// Tries the whole leak as the whole canvas, in all eight ways: cheap, and what most leaks are.
    pub(crate) fn try_whole(&mut self) {
        const STARTS: usize = 3;
        let view = &self.leak.whole;
        let ways = Homography::wholes(view.extent(), self.canvas);
        let paid = self.effort.pay_for(ways.len(), self.price_of_check(view, STARTS));
        let fresh = spread(&ways[..paid], self.threads, |map| self.check(view, map, Freedom::Affine, STARTS));
        self.keep(fresh, 1);
    }

    /// One stage of the search; stops early, leaving what it has, once `stop` says so.
    pub(crate) fn search(&mut self, stage: Stage, stop: &(dyn Fn() -> bool + Sync)) {
        let (leak, effort) = (self.leak, self.effort);
        let view = leak.view(stage);
        let search =
            Search::new(view.spectrum(), &self.waves, view.extent(), self.canvas, self.threads, effort);
        let candidates = search.stage(stage, view.zoom, CHECKED, stop);
        let (freedom, starts) = match stage {
            Stage::Tilted => (Freedom::Perspective, 8),
            _ => (Freedom::Affine, 5),
        };
        let mut fresh: Vec<Refined> = Vec::new();
        for some in candidates.chunks(TOGETHER) {
            let found = fresh.iter().any(|r| r.score > FOUND);
            if stop() || found || !effort.pay(some.len() as f64 * self.price_of_check(view, starts)) {
                break;
            }
            fresh.extend(spread(some, self.threads, |c| self.check(view, &search.map(c), freedom, starts)));
        }
        // From the view that was searched to the whole one.
        if let Some(up) = leak.whole.down.inverse() {
            let across = view.down.after(&up);
            fresh.iter_mut().for_each(|place| place.map = place.map.after(&across));
        }
        self.keep(fresh, 2);
    }

    /// At most `most` different places, best first; maps take leak pixels to canvas pixels.
    pub(crate) fn places(&self, most: usize) -> Vec<Refined> {
        let found = self.found.iter().take(most);
        found.map(|r| Refined { map: r.map.after(&self.leak.whole.down), ..*r }).collect()
    }

    /// Settles the best few of `fresh` and files those that are new.
    fn keep(&mut self, mut fresh: Vec<Refined>, most: usize) {
        fresh.sort_by(|a, b| b.score.total_cmp(&a.score));
        fresh.truncate(most);
        fresh.truncate(self.effort.pay_for(fresh.len(), self.price_of_settling()));
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
        let (w, h) = self.leak.whole.extent();
        [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)].iter().all(|(x, y)| {
            let (x, y) = (x * w as f64, y * h as f64);
            let (p, q) = (a.map.apply(x, y), b.map.apply(x, y));
            (p.0 - q.0).hypot(p.1 - q.1) < 4.
        })
    }

    fn check(&self, view: &View, map: &Homography, freedom: Freedom, starts: usize) -> Refined {
        let blocks = Blocks::read(&view.whitened, map, self.canvas, &self.waves);
        refine(&blocks, map, &self.waves, freedom, starts)
    }

    fn price_of_check(&self, view: &View, starts: usize) -> f64 {
        refine::price(&view.whitened, &self.waves, starts)
    }

    fn price_of_settling(&self) -> f64 {
        SETTLING.iter().map(|starts| 2. * self.price_of_check(&self.leak.whole, *starts)).sum()
    }

    /// Refines until the map stands still: affine, then with perspective where that explains clearly more.
    fn settle(&self, place: &Refined) -> Refined {
        let mut best = *place;
        for freedom in [Freedom::Affine, Freedom::Perspective] {
            let mut here = best;
            for (round, starts) in SETTLING.into_iter().enumerate() {
                let next = self.check(&self.leak.whole, &here.map, freedom, starts);
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

/// Starting points of each round in which a place is settled.
const SETTLING: [usize; 4] = [6, 1, 1, 1];
