//! What a search may cost, and what is left of it.
//!
//! The price of a piece of work depends on the leak and the image alone and is paid before the work begins, so a leak is
//! searched up to the same place on every machine, however many threads work on it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Steps that one search may take. A step is about what one core of a machine of 2026 does in a nanosecond.
#[derive(Debug)]
pub(crate) struct Effort {
    left: AtomicU64,
    short: AtomicBool,
}

impl Effort {
    pub(crate) fn new(steps: u64) -> Self {
        Self { left: AtomicU64::new(steps), short: AtomicBool::new(false) }
    }

    /// Pays `price` steps for a piece of work. If less is left, nothing is paid and the search is cut short.
    pub(crate) fn pay(&self, price: f64) -> bool {
        self.pay_for(1, price) == 1
    }

    /// Pays for as many of `count` pieces of work as can be paid for, `each` steps, and answers their number. If they are
    /// not all, the search is cut short.
    pub(crate) fn pay_for(&self, count: usize, each: f64) -> usize {
        let left = self.left.load(Ordering::Relaxed);
        let each = each.max(1.).ceil() as u64;
        let paid = (count as u64).min(left / each);
        self.left.store(left - paid * each, Ordering::Relaxed);
        let paid = paid as usize;
        if paid < count {
            self.short.store(true, Ordering::Relaxed);
        }
        paid
    }

    /// A part of what is left, to be spent on one kind of work; what that leaves is given back to this.
    pub(crate) fn part(&self, share: f64) -> Self {
        let part = (self.left() as f64 * share) as u64;
        self.left.store(self.left() - part, Ordering::Relaxed);
        Self::new(part)
    }

    /// Takes back what a part has left, and whether its work was cut short.
    pub(crate) fn take_back(&self, part: &Self) {
        self.left.store(self.left() + part.left(), Ordering::Relaxed);
        self.short.fetch_or(part.is_short(), Ordering::Relaxed);
    }

    /// What is left.
    pub(crate) fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// Whether something could not be paid for.
    pub(crate) fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_paid_for_until_nothing_is_left_and_then_the_search_is_short() {
        let effort = Effort::new(100);
        assert!(effort.pay(30.));
        assert_eq!(effort.pay_for(3, 20.), 3);
        assert!(!effort.is_short());
        assert_eq!(effort.pay_for(5, 4.), 2);
        assert!(effort.is_short());
        assert!(!effort.pay(4.) && effort.pay(2.));
        assert_eq!(effort.left(), 0);
    }
}
