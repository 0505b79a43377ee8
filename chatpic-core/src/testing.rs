//! For tests: a clock moved by hand, seeded randomness, sample pictures and the stores' conformance suite, and
//! stores that go wrong.

pub mod conformance;
pub mod faults;
pub mod samples;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use ring::digest;

use crate::clock::{Clock, Timestamp};
use crate::entropy::Entropy;
use crate::intake::{Picture, Rejection};
use crate::limits::Limits;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.0))
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        let now = Timestamp(self.0.load(Ordering::SeqCst)) + by;
        self.0.store(now.0, Ordering::SeqCst);
    }

    /// Moves the clock back, as somebody does who sets it right.
    pub fn step_back(&self, by: Duration) {
        let now = Timestamp(self.0.load(Ordering::SeqCst)) - by;
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Random-looking bytes that a seed decides: SHA-256 of the seed and a counter.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    counter: AtomicU64,
}

impl SeededEntropy {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, counter: AtomicU64::new(0) }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let count = self.counter.fetch_add(1, Ordering::SeqCst);
            let input = [self.seed.to_be_bytes(), count.to_be_bytes()].concat();
            chunk.copy_from_slice(&digest::digest(&digest::SHA256, &input).as_ref()[..chunk.len()]);
        }
    }
}

/// Gives away the frames of an animation as intake makes them, one after the other, before they are marked; none of a still.
///
/// # Errors
/// A [`Rejection`] that says what was found.
pub fn frames(
    bytes: &[u8],
    limits: &Limits,
    mut take: impl FnMut(image::RgbaImage),
) -> Result<(), Rejection> {
    if let Picture::Animation(animation) = Picture::open(bytes, limits)? {
        for frame in animation.frames()? {
            take(frame?.pixels);
        }
    }
    Ok(())
}
