//! Places on this node of which no one holder can take all: event streams, bytes of forms, bytes of answers.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chatpic_core::{Error, ShareId};

/// Who takes a place. A place is taken in the name of several holders at once, and each must have room in its part.
#[derive(Clone, Copy, Hash)]
pub(crate) enum Holder<'a> {
    /// An address; behind one there may be a household or a whole company, so its part is a quarter.
    Address(&'a str),
    /// A share, whose viewers come from many addresses: its part is a half.
    Share(&'a ShareId),
    /// A viewing session, by its token, or a share's dashboard: a part of its own, set by [`Places::new`].
    Session(&'a str),
    /// See [`Holder::Session`].
    Dashboard(&'a ShareId),
}

/// A number of places, of which each holder has a part at most. Holders are known by a hash under a key of this process.
#[derive(Debug)]
pub(crate) struct Places {
    all: usize,
    each: usize,
    keys: RandomState,
    taken: Mutex<Taken>,
}

#[derive(Debug)]
struct Taken {
    free: usize,
    by_holder: HashMap<u64, usize>,
}

impl Places {
    /// This many places, at most `each` of them for one session or dashboard.
    pub(crate) fn new(all: usize, each: usize) -> Arc<Self> {
        let taken = Mutex::new(Taken { free: all, by_holder: HashMap::new() });
        Arc::new(Self { all, each, keys: RandomState::new(), taken })
    }

    /// Takes `count` places in the name of all these holders, or, where that is more than a whole part, the part.
    pub(crate) fn take(self: &Arc<Self>, count: usize, holders: &[Holder<'_>]) -> Result<Place, Error> {
        let part = |holder: &Holder<'_>| self.part(holder);
        let count = holders.iter().map(part).fold(count, usize::min);
        let keys: Vec<u64> = holders.iter().map(|holder| self.keys.hash_one(holder)).collect();
        let mut taken = self.lock();
        let held = |key: &u64| taken.by_holder.get(key).copied().unwrap_or_default();
        let mut rooms = holders.iter().zip(&keys).map(|(holder, key)| part(holder) - held(key));
        if count > taken.free || rooms.any(|room| count > room) {
            return Err(Error::Busy);
        }
        taken.free -= count;
        for key in &keys {
            *taken.by_holder.entry(*key).or_default() += count;
        }
        Ok(Place { places: self.clone(), holders: keys, count })
    }

    /// How many places one holder has at most; every one can have one.
    fn part(&self, holder: &Holder<'_>) -> usize {
        let part = match holder {
            Holder::Address(_) => self.all / 4,
            Holder::Share(_) => self.all / 2,
            Holder::Session(_) | Holder::Dashboard(_) => self.each,
        };
        part.max(1)
    }

    /// How many are free.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.lock().free
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Places that are held; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    holders: Vec<u64>,
    count: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.free += self.count;
        for holder in &self.holders {
            if let Some(held) = taken.by_holder.get_mut(holder) {
                *held -= self.count;
                if *held == 0 {
                    taken.by_holder.remove(holder);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_quarter_a_share_a_half_and_all_together_no_more_than_there_are() {
        let places = Places::new(12, 2);
        let [one, other] = [1, 2].map(|byte| ShareId::from_bytes([byte; 12]));
        let take = |address, session, share| {
            places.take(1, &[Holder::Address(address), Holder::Session(session), Holder::Share(share)])
        };
        let mut held: Vec<Place> = ["x", "x", "y"].map(|session| take("a", session, &one).unwrap()).into();
        assert!(take("a", "z", &other).is_err(), "an address has a quarter, whatever the session or share");
        assert!(take("b", "x", &one).is_err(), "a session has two, whatever the address");
        held.extend(["p", "q", "r"].map(|session| take("b", session, &one).unwrap()));
        assert!(take("c", "s", &one).is_err(), "a share has a half, whatever the address or session");
        held.extend(["t", "u", "v"].map(|session| take("c", session, &other).unwrap()));
        held.extend(["t", "u", "v"].map(|session| take("d", session, &other).unwrap()));
        let third = ShareId::from_bytes([3; 12]);
        assert!(take("e", "w", &third).is_err(), "all are taken");
        held.clear();
        assert_eq!((places.free(), places.lock().by_holder.len()), (12, 0), "who holds nothing is forgotten");
        assert!(take("a", "z", &other).is_ok());
    }

    #[test]
    fn what_is_larger_than_a_part_takes_the_part() {
        let places = Places::new(12, 12);
        let whole = places.take(1000, &[Holder::Address("a")]).unwrap();
        assert_eq!(places.free(), 9);
        assert!(places.take(1, &[Holder::Address("a")]).is_err());
        drop(whole);
        assert!(places.take(1, &[Holder::Address("a")]).is_ok());
    }

    #[test]
    fn a_refused_holder_costs_the_others_nothing() {
        let places = Places::new(12, 1);
        let _held = places.take(1, &[Holder::Session("x")]).unwrap();
        for _ in 0..100 {
            assert!(places.take(1, &[Holder::Address("a"), Holder::Session("x")]).is_err());
        }
        assert!(places.take(3, &[Holder::Address("a")]).is_ok());
    }
}
