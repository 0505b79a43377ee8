//! From a leak to the original it was made of, by the picture itself.
//!
//! Where there is an original, the picture places the leak far more surely than the pilot. Corner matching would find
//! nothing on flat drawings, so areas are compared: first by cross-correlation of small, evened copies over a grid of
//! scales and turns, all shifts of one at once by a Fourier transform (Kuglin and Hines 1975); then by least squares
//! over eight unknowns from coarse to fine (Lucas and Kanade 1981), weighted against what was drawn over the picture.
//! A piece cut out pixel for pixel needs no more than the shift.
//! Nothing here knows the key.

use std::ops::Range;
use std::sync::Arc;

use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};

use super::effort::Effort;
use super::plane::Plane;
use super::predict::{Fit, Model};
use super::refine::{Matrix, UNKNOWNS, Vector, basis, displacement, solve};
use super::spectrum::{even_size, whiten, windowed};
use super::spread::spread;
use super::warp::{Homography, Warped, warp};

/// A leak laid on an original.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registered {
    /// Leak pixels to the original's.
    pub(crate) map: Homography,
    /// How much of the leak's detail the original explains, 1 at most; a tenth or two by chance.
    pub(crate) agreement: f64,
}

/// Long side, in pixels of the small copies, of what the leak shows of the original.
const SHOWN: f64 = 112.;
/// Pixels that the sides of the small copies may be out by at their edges.
const SLACK: f64 = 1.2;
/// Long side, in pixels, of the original's largest small copy, and up to which all angles are tried.
const LARGEST_COPY: f64 = 640.;
const SMALL_COPY: f64 = 260.;
/// Least length, in leak pixels, of the shown original's long side, and in the original's of what the leak shows.
const SHORTEST: f64 = 96.;
/// Steps of comparing a pixel of two small copies at all shifts, turns by right angles and mirrorings, and of fitting
/// one pixel of a leak to the original's.
const CORRELATE: f64 = 100.;
const FIT: f64 = 100.;
/// Agreement at which the search ends.
const SURE: f64 = 0.6;

/// Where the leak lies on the original, the best place first, at most two: the `hints` and the whole picture are tried
/// first, then everything else that can be paid for. `stop` ends the search early.
pub(crate) fn register(
    leak: &Plane,
    original: &Plane,
    hints: &[Homography],
    threads: usize,
    effort: &Effort,
    stop: &(dyn Fn() -> bool + Sync),
) -> Vec<Registered> {
    let pyramids = Pyramids { leak: Pyramid::new(leak), original: Pyramid::new(original) };
    let canvas = (original.width as f64, original.height as f64);
    let mut first = hints.to_vec();
    first.extend(Homography::wholes((leak.width, leak.height), canvas));
    let mut found = pyramids.settle(&first, threads, effort, stop);
    let sure = |found: &[Registered]| found.first().is_some_and(|best| best.agreement > SURE);
    let any: Vec<f64> = (0..24).map(|i| (f64::from(i) + 0.5) / 24. * std::f64::consts::FRAC_PI_2).collect();
    const SLIGHT: [f64; 4] = [-0.09, -0.045, 0.045, 0.09];
    let rounds: [(&[f64], Range<f64>); 4] = [
        (&[0.], 0. ..SMALL_COPY),
        (&SLIGHT, 0. ..SMALL_COPY),
        (&[0.], SMALL_COPY..f64::MAX),
        (&any, 0. ..SMALL_COPY),
    ];
    for (angles, copies) in rounds {
        if sure(&found) || stop() {
            break;
        }
        let rough = pyramids.search(angles, &copies, threads, effort, stop);
        found.extend(pyramids.settle(&rough, threads, effort, stop));
        found.sort_by(|a, b| b.agreement.total_cmp(&a.agreement));
    }
    found.truncate(2);
    found
}

/// Where a leak lies on a larger picture if it was cut out of it pixel for pixel: at the whole shift where the detail of
/// the two, evened out, agrees best.
///
/// Smooth pieces, which have nothing to hold least squares in place, are still told apart by their grain.
pub(crate) fn cut_out(leak: &Plane, picture: &Plane) -> Homography {
    let field = Field::new(even_size(picture.width), even_size(picture.height));
    let mut product = field.transform(&windowed(whiten(leak)), None);
    let picture_field = field.transform(&whiten(picture), None);
    product.iter_mut().zip(picture_field).for_each(|(p, r)| *p = p.conj() * r);
    let back = field.inverse(product);
    let inside = |i: &usize| {
        let (x, y) = (i % field.columns, i / field.columns);
        x + leak.width <= picture.width && y + leak.height <= picture.height
    };
    let best = (0..back.len()).filter(inside).max_by(|a, b| back[*a].re.total_cmp(&back[*b].re)).unwrap_or(0);
    let shift = [(best % field.columns) as f64, (best / field.columns) as f64];
    Homography::affine([1., 0., 0., 1.], [0., 0.], shift)
}

/// A plane and its halves, quarters and so on.
pub(crate) struct Pyramid(Vec<Plane>);

impl Pyramid {
    pub(crate) fn new(plane: &Plane) -> Self {
        let mut levels = vec![plane.clone()];
        while let Some(last) = levels.last().filter(|p| p.width.min(p.height) >= 64) {
            levels.push(last.resized(last.width / 2, last.height / 2));
        }
        Self(levels)
    }

    fn whole(&self) -> &Plane {
        &self.0[0]
    }

    /// The plane made smaller, from the level next above.
    fn resized(&self, width: usize, height: usize) -> Plane {
        let enough = |p: &&Plane| p.width >= width && p.height >= height;
        self.0.iter().rev().find(enough).unwrap_or(self.whole()).resized(width, height)
    }
}

/// Leak and original, ready for searching.
struct Pyramids {
    leak: Pyramid,
    original: Pyramid,
}

/// The eight right-angled turns and mirrorings of a plane, each with the linear map from its pixels to the plane's.
fn turns(plane: &Plane) -> [(Plane, [f64; 4]); 8] {
    let pick = |plane: &Plane, from: fn(usize, usize, usize, usize) -> (usize, usize), swap: bool| {
        let (w, h) = if swap { (plane.height, plane.width) } else { (plane.width, plane.height) };
        let mut out = Plane::new(w, h);
        for y in 0..h {
            for x in 0..w {
                let (u, v) = from(x, y, plane.width, plane.height);
                out.data[y * w + x] = plane.data[v * plane.width + u];
            }
        }
        out
    };
    [
        (plane.clone(), [1., 0., 0., 1.]),
        (pick(plane, |x, y, w, _| (w - 1 - x, y), false), [-1., 0., 0., 1.]),
        (pick(plane, |x, y, w, h| (w - 1 - x, h - 1 - y), false), [-1., 0., 0., -1.]),
        (pick(plane, |x, y, _, h| (x, h - 1 - y), false), [1., 0., 0., -1.]),
        (pick(plane, |x, y, _, _| (y, x), true), [0., 1., 1., 0.]),
        (pick(plane, |x, y, w, _| (w - 1 - y, x), true), [0., -1., 1., 0.]),
        (pick(plane, |x, y, w, h| (w - 1 - y, h - 1 - x), true), [0., -1., -1., 0.]),
        (pick(plane, |x, y, _, h| (y, h - 1 - x), true), [0., 1., -1., 0.]),
    ]
}

impl Pyramids {
    /// The places of greatest correlation over all scales whose copies have one of these sizes, turns by `angles` and
    /// right angles, mirrorings and shifts. What costs least is tried first.
    fn search(
        &self,
        angles: &[f64],
        copies: &Range<f64>,
        threads: usize,
        effort: &Effort,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Vec<Homography> {
        const KEPT: usize = 12;
        let (leak, original) = (self.leak.whole(), self.original.whole());
        let long = |plane: &Plane| plane.width.max(plane.height) as f64;
        let (leak_long, canvas) = (long(leak), long(original));
        // Pixels of the original per leak pixel.
        let (mut scale, last) = ((SHORTEST / leak_long).max(0.1), canvas / SHORTEST);
        let mut tries: Vec<(f64, Arc<Copies>, f64)> = Vec::new();
        while scale <= last {
            let at_scale =
                self.copies(scale).filter(|_| copies.contains(&copy_size(leak_long, canvas, scale)));
            if let Some(at_scale) = at_scale.map(Arc::new) {
                tries.extend(angles.iter().map(|angle| (at_scale.price(*angle), at_scale.clone(), *angle)));
            }
            scale *= 1. + 2. * SLACK / (SHOWN / 2.);
        }
        tries.sort_by(|a, b| a.0.total_cmp(&b.0));
        tries.truncate(tries.iter().take_while(|(price, ..)| effort.pay(*price)).count());
        let mut peaks: Vec<(f32, Homography)> =
            spread(
                &tries,
                threads,
                |(_, copies, angle)| {
                    if stop() { Vec::new() } else { self.correlate(copies, *angle) }
                },
            )
            .into_iter()
            .flatten()
            .collect();
        peaks.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut kept: Vec<Homography> = Vec::new();
        for (_, map) in peaks {
            if !kept.iter().any(|other| alike(leak, other, &map, 0.04 * canvas)) {
                kept.push(map);
                if kept.len() == KEPT {
                    break;
                }
            }
        }
        kept
    }

    /// The small copies that are compared at one scale; `None` where the leak's shows too little or is too large.
    fn copies(&self, scale: f64) -> Option<Copies> {
        let (leak, original) = (self.leak.whole(), self.original.whole());
        let canvas = original.width.max(original.height) as f64;
        let down =
            (copy_size(leak.width.max(leak.height) as f64, canvas, scale).min(LARGEST_COPY) / canvas).min(1.);
        let by = scale * down;
        let size = |plane: &Plane, by: f64| {
            let side = |n: usize| ((n as f64 * by).round() as usize).max(8);
            (side(plane.width), side(plane.height))
        };
        let copies = Copies { original: size(original, down), leak: size(leak, by), by };
        let (width, height) = copies.leak;
        (width.max(height) <= 2048 && width.min(height) >= 16).then_some(copies)
    }

    /// The best shift, and its peak over the root mean square of the correlation, for all right-angled turns and
    /// mirrorings of the leak at one scale and angle.
    fn correlate(&self, copies: &Copies, angle: f64) -> Vec<(f32, Homography)> {
        let (leak, original) = (self.leak.whole(), self.original.whole());
        let Copies { original: small, leak: (width, height), by } = *copies;
        let small = self.original.resized(small.0, small.1);
        let (fx, fy) =
            (small.width as f64 / original.width as f64, small.height as f64 / original.height as f64);
        let up = Homography::resize(1. / fx, 1. / fy);
        let reference = structure(&small, None);

        let shrunk =
            if by < 1. { self.leak.resized(width, height) } else { enlarged(leak, by, width, height) };
        let (sx, sy) = (width as f64 / leak.width as f64, height as f64 / leak.height as f64);
        let to_small = Homography::resize(sx, sy);
        let (template, turn) = if angle == 0. {
            (structure(&shrunk, None), Homography::resize(1., 1.))
        } else {
            let (sin, cos) = angle.sin_cos();
            let (tw, th) = turned_size((width, height), angle);
            let middle = |width: usize, height: usize| [(width as f64 - 1.) / 2., (height as f64 - 1.) / 2.];
            let turn = Homography::affine([cos, -sin, sin, cos], middle(width, height), middle(tw, th));
            let Some(turned) = warp(&shrunk, &turn, tw, th) else {
                return Vec::new();
            };
            (structure(&turned.plane, Some(&turned.cover)), turn)
        };
        let placed = turn.after(&to_small);

        let turned = turns(&template);
        let mut peaks = Vec::new();
        for group in turned.chunks(4) {
            let (tw, th) = (group[0].0.width, group[0].0.height);
            let (columns, rows) = (room(small.width, tw), room(small.height, th));
            let field = Field::new(columns, rows);
            let spectrum = field.transform(&reference, None);
            for pair in group.chunks(2) {
                let mut product = field.transform(&pair[0].0, Some(&pair[1].0));
                // One transform for two real templates a + ib: correlation is linear, and the reference is real.
                for (p, r) in product.iter_mut().zip(&spectrum) {
                    *p = p.conj() * r;
                }
                let back = field.inverse(product);
                for (part, (_, linear)) in pair.iter().enumerate() {
                    let value = |c: &Complex32| if part == 0 { c.re } else { -c.im };
                    let (at, peak) = back
                        .iter()
                        .map(value)
                        .enumerate()
                        .fold((0, f32::MIN), |best, (i, v)| if v > best.1 { (i, v) } else { best });
                    let power: f64 = back.iter().map(|c| f64::from(value(c)).powi(2)).sum();
                    let rms = (power / back.len() as f64).sqrt() as f32 + 1e-9;
                    // The template's centre lies nearer the canvas's, or the canvas's nearer the template's.
                    let unwrap = |at: usize, room: usize, template: usize, canvas: usize| {
                        let middle = (canvas as f64 - template as f64) / 2.;
                        let at = at as f64;
                        let turns = ((middle - at) / room as f64).round();
                        at + turns * room as f64
                    };
                    let dx = unwrap(at % columns, columns, tw, small.width);
                    let dy = unwrap(at / columns, rows, th, small.height);
                    // From the unturned template to the turned: the transpose of the map back, about the centres.
                    let [a, b, c, d] = *linear;
                    let centre = [(template.width as f64 - 1.) / 2., (template.height as f64 - 1.) / 2.];
                    let shift = [(tw as f64 - 1.) / 2. + dx, (th as f64 - 1.) / 2. + dy];
                    let lay = Homography::affine([a, c, b, d], centre, shift);
                    peaks.push((peak / rms, up.after(&lay.after(&placed))));
                }
            }
        }
        peaks
    }

    /// Improves rough maps from coarse to fine; the worse half is dropped on the way. Best first, at most two.
    fn settle(
        &self,
        rough: &[Homography],
        threads: usize,
        effort: &Effort,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Vec<Registered> {
        let mut found: Vec<Registered> =
            rough.iter().map(|map| Registered { map: *map, agreement: 0. }).collect();
        for (long, rounds, kept) in [(112., 10, 4), (224., 6, 2), (448., 5, 2), (900., 4, 2)] {
            let each = FIT * (1 + rounds) as f64 * long * long;
            if stop() || !effort.pay(each * found.len() as f64) {
                break;
            }
            found = spread(&found, threads, |place| {
                improve(&self.leak, self.original.whole(), &place.map, long, rounds)
            })
            .into_iter()
            .flatten()
            .collect();
            found.sort_by(|a, b| b.agreement.total_cmp(&a.agreement));
            found.truncate(kept);
            if found.get(1).is_some_and(|second| second.agreement < 0.5 * found[0].agreement) {
                found.truncate(1);
            }
        }
        found
    }
}

/// Small copies of an original and of a leak, at about the same scale.
struct Copies {
    /// Width and height of the original's.
    original: (usize, usize),
    /// Width and height of the leak's.
    leak: (usize, usize),
    /// Pixels of the leak's copy per leak pixel.
    by: f64,
}

impl Copies {
    /// Steps of [`Pyramids::correlate`], which are those of ten Fourier transforms.
    fn price(&self, angle: f64) -> f64 {
        let (width, height) = turned_size(self.leak, angle);
        let area = |width, height| (room(self.original.0, width) * room(self.original.1, height)) as f64;
        CORRELATE * (area(width, height) + area(height, width))
    }
}

/// Side of the field in which two sides are compared at all shifts.
fn room(a: usize, b: usize) -> usize {
    even_size(a.max(b) + a.max(b) / 4)
}

/// Width and height of what holds a picture of this size, turned.
fn turned_size((width, height): (usize, usize), angle: f64) -> (usize, usize) {
    let (w, h) = (width as f64, height as f64);
    let (sin, cos) = angle.sin_cos();
    let side = |side: f64| side.ceil() as usize;
    (side(w * cos.abs() + h * sin.abs()), side(w * sin.abs() + h * cos.abs()))
}

/// Long side of the original's copy in which what the leak shows at a scale has a fixed size.
fn copy_size(leak: f64, canvas: f64, scale: f64) -> f64 {
    SHOWN * canvas / (leak * scale).min(canvas)
}

/// Whether two maps differ by less than `reach` in the middle half of the leak.
fn alike(leak: &Plane, a: &Homography, b: &Homography, reach: f64) -> bool {
    let (w, h) = (leak.width as f64, leak.height as f64);
    [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)].iter().all(|(x, y)| {
        let (p, q) = (a.apply(x * w, y * h), b.apply(x * w, y * h));
        (p.0 - q.0).hypot(p.1 - q.1) < reach
    })
}

fn enlarged(leak: &Plane, by: f64, width: usize, height: usize) -> Plane {
    let map = Homography::resize(by, by);
    warp(leak, &map, width, height).map_or_else(|| leak.resized(width, height), |warped| warped.plane)
}

/// Detail of one octave, evened by its local strength, so that faint regions say as much as strong edges; zero where
/// `cover` is.
fn structure(plane: &Plane, cover: Option<&Plane>) -> Plane {
    let mut detail = plane.gaussian(0.7).zip_map(&plane.gaussian(1.8), |fine, coarse| fine - coarse);
    if let Some(cover) = cover {
        detail.data.iter_mut().zip(&cover.data).for_each(|(v, c)| *v *= c);
    }
    let power = detail.clone().map(|v| v * v).gaussian(6.0);
    detail.zip_map(&power, |v, p| (v / (p.max(0.) + 1.0).sqrt()).clamp(-3., 3.))
}

/// Transforms of one size.
struct Field {
    columns: usize,
    rows: usize,
    forth: [Arc<dyn Fft<f32>>; 2],
    back: [Arc<dyn Fft<f32>>; 2],
}

impl Field {
    fn new(columns: usize, rows: usize) -> Self {
        let mut planner = FftPlanner::<f32>::new();
        let forth = [columns, rows].map(|n| planner.plan_fft_forward(n));
        let back = [columns, rows].map(|n| planner.plan_fft_inverse(n));
        Self { columns, rows, forth, back }
    }

    /// The transform of `real + i imaginary` set in a field of zeros.
    fn transform(&self, real: &Plane, imaginary: Option<&Plane>) -> Vec<Complex32> {
        let mut field = vec![Complex32::ZERO; self.columns * self.rows];
        for y in 0..real.height.min(self.rows) {
            let line = &mut field[y * self.columns..(y + 1) * self.columns];
            line.iter_mut().zip(real.row(y)).for_each(|(f, v)| f.re = *v);
            if let Some(imaginary) = imaginary {
                line.iter_mut().zip(imaginary.row(y)).for_each(|(f, v)| f.im = *v);
            }
        }
        self.run(field, &self.forth)
    }

    /// The way back, without the division by the number of samples.
    fn inverse(&self, field: Vec<Complex32>) -> Vec<Complex32> {
        self.run(field, &self.back)
    }

    fn run(&self, mut field: Vec<Complex32>, [across, down]: &[Arc<dyn Fft<f32>>; 2]) -> Vec<Complex32> {
        across.process(&mut field);
        let mut flipped = vec![Complex32::ZERO; field.len()];
        transpose(&field, &mut flipped, self.columns);
        down.process(&mut flipped);
        transpose(&flipped, &mut field, self.rows);
        field
    }
}

fn transpose(from: &[Complex32], to: &mut [Complex32], columns: usize) {
    const TILE: usize = 16;
    let rows = from.len() / columns;
    for y in (0..rows).step_by(TILE) {
        for x in (0..columns).step_by(TILE) {
            for j in y..(y + TILE).min(rows) {
                for i in x..(x + TILE).min(columns) {
                    to[i * rows + j] = from[j * columns + i];
                }
            }
        }
    }
}

/// The part of the original that a leak shows.
#[derive(Clone)]
pub(crate) struct Window {
    pub(crate) x: Range<usize>,
    pub(crate) y: Range<usize>,
}

impl Window {
    /// The smallest rectangle around what `map` shows of a canvas; `None` if that is next to nothing.
    pub(crate) fn of(leak: &Plane, map: &Homography, width: usize, height: usize) -> Option<Self> {
        let (w, h) = (leak.width as f64 - 0.5, leak.height as f64 - 0.5);
        let corners = [(-0.5, -0.5), (w, -0.5), (w, h), (-0.5, h)].map(|(x, y)| map.apply(x, y));
        let range = |values: [f64; 4], side: usize| {
            let low = values.iter().fold(f64::MAX, |a, b| a.min(*b)).floor().clamp(0., side as f64);
            let high = values.iter().fold(f64::MIN, |a, b| a.max(*b)).ceil().clamp(0., side as f64);
            low as usize..high as usize
        };
        let x = range(corners.map(|c| c.0), width);
        let y = range(corners.map(|c| c.1), height);
        (x.len() >= 24 && y.len() >= 24).then_some(Self { x, y })
    }

    /// The window cut from a plane of the canvas's size.
    pub(crate) fn cut(&self, plane: &Plane) -> Plane {
        let mut out = Plane::new(self.x.len(), self.y.len());
        for (line, y) in out.data.chunks_exact_mut(self.x.len()).zip(self.y.clone()) {
            line.copy_from_slice(&plane.row(y)[self.x.clone()]);
        }
        out
    }

    /// Canvas pixels to the window's.
    pub(crate) fn shift(&self) -> Homography {
        Homography([1., 0., -(self.x.start as f64), 0., 1., -(self.y.start as f64), 0., 0., 1.])
    }
}

/// The part of an original that a leak shows, at a size that suits, and the leak at about the same scale.
pub(crate) struct Level {
    pub(crate) part: Plane,
    /// The original's pixels to the part's.
    pub(crate) to_part: Homography,
    source: Plane,
    /// Pixels of `source` to leak pixels.
    to_leak: Homography,
}

impl Level {
    /// `long`: about the long side of the part, in pixels; smaller where leak or original have no more to show.
    pub(crate) fn new(pyramid: &Pyramid, original: &Plane, map: &Homography, long: f64) -> Option<Self> {
        let leak = pyramid.whole();
        let window = Window::of(leak, map, original.width, original.height)?;
        let part = window.cut(original);
        let [a, b, c, d] = map.jacobian(leak.width as f64 / 2., leak.height as f64 / 2.);
        let leak_scale = (a * d - b * c).abs().sqrt(); // the original's pixels per leak pixel
        if !leak_scale.is_finite() || leak_scale < 1e-3 {
            return None;
        }
        let down = (long / part.width.max(part.height) as f64).min(1.).min(1.5 / leak_scale);
        let side = |n: usize, by: f64| ((n as f64 * by).round() as usize).max(8);
        let part =
            if down < 1. { part.resized(side(part.width, down), side(part.height, down)) } else { part };
        let resize = Homography::resize(
            part.width as f64 / window.x.len() as f64,
            part.height as f64 / window.y.len() as f64,
        );
        let to_part = resize.after(&window.shift());
        // The leak at about the same scale, so that it need not be smoothed anew each time.
        let finer = leak_scale * down * 1.25;
        let source = if finer < 0.8 {
            pyramid.resized(side(leak.width, finer), side(leak.height, finer))
        } else {
            leak.clone()
        };
        let to_leak = Homography::resize(
            leak.width as f64 / source.width as f64,
            leak.height as f64 / source.height as f64,
        );
        Some(Self { part, to_part, source, to_leak })
    }

    /// A map from the leak to the original as one from `source` to the part.
    pub(crate) fn inward(&self, map: &Homography) -> Homography {
        self.to_part.after(&map.after(&self.to_leak))
    }

    /// The way back.
    fn to_map(&self, here: &Homography) -> Option<Homography> {
        Some(self.to_part.inverse()?.after(&here.after(&self.to_leak.inverse()?)))
    }

    /// The leak redrawn on the part.
    pub(crate) fn warped(&self, here: &Homography) -> Option<Warped> {
        warp(&self.source, here, self.part.width, self.part.height)
    }
}

/// Least squares of the leak's difference from the original, seen at a size of about `long` pixels.
fn improve(
    leak: &Pyramid,
    original: &Plane,
    map: &Homography,
    long: f64,
    rounds: usize,
) -> Option<Registered> {
    let level = Level::new(leak, original, map, long)?;
    let mut here = level.inward(map);
    let model = Model::new(&level.part, 6);
    let mut best: Option<(f64, Homography)> = None;
    for _ in 0..=rounds {
        let Some(warped) = level.warped(&here) else { break };
        let Some(fit) = model.fit(&warped) else { break };
        let agreement = fit.agreement();
        if best.is_some_and(|(most, _)| agreement < 0.9 * most) {
            break;
        }
        if best.is_none_or(|(most, _)| agreement > most) {
            best = Some((agreement, here));
        }
        let Some((step, moved)) = step(&warped, &fit) else { break };
        here = step.after(&here);
        if moved < 0.01 {
            break;
        }
    }
    let (agreement, here) = best?;
    Some(Registered { map: level.to_map(&here)?, agreement })
}

/// One Gauss-Newton step: the displacement that best explains the residual by the slope of the picture, and its size
/// in pixels. Pixels whose residual is large count less (Cauchy's weight).
fn step(warped: &Warped, fit: &Fit) -> Option<(Homography, f64)> {
    let (width, height) = (fit.residual.width, fit.residual.height);
    let middle = (width as f64 / 2., height as f64 / 2.);
    let spread = middle.0.max(middle.1);
    let spot = |v: &f32| f64::from(v.abs());
    let count = warped.cover.data.iter().filter(|c| **c > 0.).count();
    if count < 200 {
        return None;
    }
    let scale = 1.5 * fit.residual.data.iter().map(spot).sum::<f64>() / count as f64 + 0.3;
    let mut system: Matrix = [[0.; UNKNOWNS]; UNKNOWNS];
    let mut right: Vector = [0.; UNKNOWNS];
    for y in 1..height - 1 {
        for x in 1..width - 1 {
            let at = y * width + x;
            if warped.cover.data[at] == 0. {
                continue;
            }
            let slope = |offset: usize| {
                let leak = warped.plane.data[at + offset] - warped.plane.data[at - offset];
                let residual = fit.residual.data[at + offset] - fit.residual.data[at - offset];
                // Half the leak's slope and half the original's: the leak less the residual.
                f64::from(leak - 0.5 * residual) / 2.
            };
            let (gx, gy) = (slope(1), slope(width));
            let residual = f64::from(fit.residual.data[at]);
            let weight = 1. / (1. + (residual / scale).powi(2));
            let (bx, by) = basis((x as f64 - middle.0) / spread, (y as f64 - middle.1) / spread);
            let mut slopes = [0.; UNKNOWNS];
            for (s, (bx, by)) in slopes.iter_mut().zip(bx.iter().zip(by)) {
                *s = bx * gx + by * gy;
            }
            for i in 0..UNKNOWNS {
                right[i] += weight * slopes[i] * residual;
                for j in 0..=i {
                    system[i][j] += weight * slopes[i] * slopes[j];
                }
            }
        }
    }
    let trace = (0..UNKNOWNS).map(|i| system[i][i]).sum::<f64>() / UNKNOWNS as f64;
    for (i, row) in system.iter_mut().enumerate() {
        row[i] += 1e-4 * trace + 1e-9;
    }
    let q = solve(&system, &right, UNKNOWNS)?;
    let moved = q.iter().fold(0f64, |a, b| a.max(b.abs()));
    let limit = 0.04 * spread + 1.;
    let q = q.map(|v| v * (limit / moved.max(limit)));
    Some((displacement(&q, middle, spread), moved))
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::super::embed::tests::picture;
    use super::super::plane::tests::uniform;
    use super::*;

    fn luma(width: u32, height: u32) -> Plane {
        let image: RgbImage = picture(width, height);
        Plane::from_luma(&image)
    }

    fn lies(name: &str, original: &Plane, truth: &Homography, width: usize, height: usize) {
        let back = truth.inverse().unwrap();
        // The leak is the original seen through the map back.
        let leak = warp(original, &back, width, height).unwrap().plane.map(|v| 0.8 * v + 20.);
        let found = register(&leak, original, &[], 2, &Effort::new(u64::MAX), &|| false);
        assert!(!found.is_empty(), "{name}");
        let best = found[0];
        for (x, y) in [(0.2, 0.2), (0.8, 0.2), (0.2, 0.8), (0.8, 0.8)] {
            let (x, y) = (x * width as f64, y * height as f64);
            let ((a, b), (c, d)) = (truth.apply(x, y), best.map.apply(x, y));
            assert!((a - c).hypot(b - d) < 0.3, "{name}: {:?} for {:?} ({})", (c, d), (a, b), best.agreement);
        }
    }

    #[test]
    fn crops_turns_mirror_images_and_perspective_are_laid_on_the_original() {
        let original = luma(600, 440);
        let (s5, c5) = 0.087f64.sin_cos();
        let cases: [(&str, Homography, usize, usize); 5] = [
            ("crop", Homography([1., 0., 211., 0., 1., 97., 0., 0., 1.]), 150, 140),
            ("small crop, enlarged", Homography([0.6, 0., 111., 0., 0.6, 57., 0., 0., 1.]), 320, 300),
            ("mirrored", Homography([-1.2, 0., 590., 0., 1.2, 10., 0., 0., 1.]), 400, 330),
            ("five degrees", Homography([c5, -s5, 40., s5, c5, -20., 0., 0., 1.]), 560, 420),
            ("photographed", Homography([1.1, 0.03, -30., -0.02, 1.08, -25., 3e-5, -4e-5, 1.]), 580, 440),
        ];
        for (name, truth, width, height) in cases {
            lies(name, &original, &truth, width, height);
        }
    }

    #[test]
    fn a_piece_cut_out_of_a_smooth_picture_is_put_back_by_its_grain() {
        let mut grain = uniform(1);
        let mut picture = Plane::new(500, 380);
        picture.data.iter_mut().enumerate().for_each(|(i, v)| *v = 100. + (i % 500) as f32 / 9. + grain());
        let mut leak = Window { x: 211..331, y: 97..197 }.cut(&picture);
        leak.data.iter_mut().for_each(|v| *v = 1.2 * *v - 20. + grain());
        let map = cut_out(&leak, &picture);
        assert_eq!(map.apply(0., 0.), (211., 97.));
    }

    #[test]
    fn both_transforms_undo_each_other() {
        let plane = luma(30, 18);
        let field = Field::new(48, 36);
        let back = field.inverse(field.transform(&plane, None));
        for (x, y) in [(0, 0), (29, 17), (7, 3)] {
            assert!((back[y * 48 + x].re / (48. * 36.) - plane.row(y)[x]).abs() < 1e-2);
        }
    }
}
