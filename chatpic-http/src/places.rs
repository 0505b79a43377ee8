//! Places on this node of which no one holder can take all: event streams, bytes of forms, bytes of answers.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chatpic_core::Error;

/// A number of places, of which each holder has a part at most. Holders are known by a hash under a key of this process.
#[derive(Debug)]
pub(crate) struct Places {
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
    /// So many places, at most `each` of them for one holder.
    pub(crate) fn new(all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self {
            each: each.min(all),
            keys: RandomState::new(),
            taken: Mutex::new(Taken { free: all, by_holder: HashMap::new() }),
        })
    }

    /// Takes so many places, or one holder's part where it is more than that.
    pub(crate) fn take(self: &Arc<Self>, holder: impl Hash, count: usize) -> Result<Place, Error> {
        let count = count.min(self.each);
        let holder = self.keys.hash_one(holder);
        let mut taken = self.lock();
        let held = taken.by_holder.get(&holder).copied().unwrap_or_default();
        if count > taken.free || count > self.each - held {
            return Err(Error::Busy);
        }
        taken.free -= count;
        taken.by_holder.insert(holder, held + count);
        Ok(Place { places: self.clone(), holder, count })
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
    holder: u64,
    count: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.free += self.count;
        if let Some(held) = taken.by_holder.get_mut(&self.holder) {
            *held -= self.count;
            if *held == 0 {
                taken.by_holder.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_more_than_a_part_and_all_together_no_more_than_there_are() {
        let places = Places::new(10, 4);
        let first = places.take("a", 3).unwrap();
        assert!(places.take("a", 2).is_err(), "one holder's part");
        let _second = places.take("b", 1000).unwrap();
        let _third = places.take("c", 3).unwrap();
        assert!(places.take("d", 1).is_err(), "all are taken");
        drop(first);
        assert!(places.take("d", 3).is_ok());
        assert!(places.take("a", 3).is_ok());
        assert_eq!(places.lock().by_holder.len(), 2, "who holds nothing is forgotten");
    }
}
