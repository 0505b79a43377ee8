//! Work over a list, shared among a few threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::record::Size;

/// How many threads this machine offers, at least one.
pub(crate) fn available() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How many renditions of this size to work on at a time: one on each thread, if they fit into memory.
pub(crate) fn available_for(size: Size) -> usize {
    const MEMORY: u64 = 256 * 1024 * 1024;
    // Some 20 planes of four-byte samples each.
    let fit = MEMORY / (80 * size.pixels()).max(1);
    available().min(usize::try_from(fit).unwrap_or(usize::MAX)).max(1)
}

/// Applies `work` to every item on up to `threads` threads; results come in the items' order.
pub(crate) fn spread<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if threads < 2 || items.len() < 2 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(items.len()));
    let run = || {
        while let Some((i, item)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, items.get(i)?)))
        {
            let result = work(item);
            // Poison only means that another item's work panicked; the scope passes that on.
            done.lock().unwrap_or_else(|poison| poison.into_inner()).push((i, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(items.len()) {
            scope.spawn(run);
        }
        run();
    });
    let mut done = done.into_inner().unwrap_or_else(|poison| poison.into_inner());
    done.sort_unstable_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_items_order_on_any_number_of_threads() {
        let items: Vec<u64> = (0..100).collect();
        for threads in [1, 2, 7] {
            let squares = spread(&items, threads, |i| i * i);
            assert!(squares.iter().zip(&items).all(|(s, i)| *s == i * i));
        }
    }
}
