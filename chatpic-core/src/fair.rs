//! Waiting in turn: clients one after the other, and of each client one share after the other.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash, RandomState};

use crate::id::ShareId;

/// Who asks for work: a hash of the address under a key of this process, or the host itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Client {
    /// The program that embeds the library, which is trusted to share fairly with itself.
    Host,
    /// An address.
    Address(u64),
}

impl Client {
    pub(crate) fn of(address: &str, keys: &RandomState) -> Self {
        Self::Address(keys.hash_one(address))
    }
}

/// Who asks for work and for which share.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Holder {
    pub(crate) client: Client,
    pub(crate) share: ShareId,
}

/// What waits, in the order in which it is served.
///
/// The clients stand in a circle. Whoever is next has one item served and goes to the end; so do the shares of one client,
/// so that in a share with many viewers, or with many behind one address, no other waits longer than a round takes.
#[derive(Debug)]
pub(crate) struct Turns<T> {
    clients: VecDeque<OfClient<T>>,
    len: usize,
}

#[derive(Debug)]
struct OfClient<T> {
    client: Client,
    shares: VecDeque<(ShareId, VecDeque<T>)>,
}

impl<T> OfClient<T> {
    fn len(&self) -> usize {
        self.shares.iter().map(|(_, items)| items.len()).sum()
    }
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { clients: VecDeque::new(), len: 0 }
    }
}

impl<T> Turns<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many items of one client wait.
    pub(crate) fn len_of(&self, client: Client) -> usize {
        self.clients.iter().find(|of| of.client == client).map_or(0, OfClient::len)
    }

    /// Lets an item wait behind its holder's others.
    pub(crate) fn push(&mut self, holder: Holder, item: T) {
        let Holder { client, share } = holder;
        self.len += 1;
        let at = self.clients.iter().position(|of| of.client == client).unwrap_or_else(|| {
            self.clients.push_back(OfClient { client, shares: VecDeque::new() });
            self.clients.len() - 1
        });
        let shares = &mut self.clients[at].shares;
        match shares.iter_mut().find(|(of, _)| *of == share) {
            Some((_, items)) => items.push_back(item),
            None => shares.push_back((share, VecDeque::from([item]))),
        }
    }

    /// Takes the next item whose client may be served now.
    pub(crate) fn pop(&mut self, may_be_served: impl Fn(Client) -> bool) -> Option<(Client, T)> {
        let at = self.clients.iter().position(|of| may_be_served(of.client))?;
        let mut of = self.clients.remove(at)?;
        let (share, mut items) = of.shares.pop_front()?;
        let item = items.pop_front()?;
        self.len -= 1;
        if !items.is_empty() {
            of.shares.push_back((share, items));
        }
        let client = of.client;
        if !of.shares.is_empty() {
            self.clients.push_back(of);
        }
        Some((client, item))
    }

    /// Takes back the item that came last of the client that has the most waiting, if it has more than `than`.
    pub(crate) fn pop_from_longest(&mut self, than: usize) -> Option<T> {
        let longest = self.clients.iter().max_by_key(|of| of.len()).filter(|of| of.len() > than)?.client;
        let of = self.clients.iter_mut().find(|of| of.client == longest)?;
        let (share, _) = of.shares.iter().max_by_key(|(_, items)| items.len())?;
        let share = *share;
        self.remove(Holder { client: longest, share }, |items| items.pop_back())
    }

    /// Takes away the item of this holder that `is` it.
    pub(crate) fn take_away(&mut self, holder: Holder, is: impl Fn(&T) -> bool) -> Option<T> {
        self.remove(holder, |items| items.iter().position(is).and_then(|at| items.remove(at)))
    }

    fn remove(&mut self, holder: Holder, take: impl FnOnce(&mut VecDeque<T>) -> Option<T>) -> Option<T> {
        let of = self.clients.iter_mut().find(|of| of.client == holder.client)?;
        let (_, items) = of.shares.iter_mut().find(|(share, _)| *share == holder.share)?;
        let item = take(items)?;
        self.len -= 1;
        of.shares.retain(|(_, items)| !items.is_empty());
        self.clients.retain(|of| !of.shares.is_empty());
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holder(client: u64, share: u8) -> Holder {
        Holder { client: Client::Address(client), share: ShareId::from_bytes([share; 12]) }
    }

    #[test]
    fn clients_are_served_in_turn_and_of_each_one_share_after_the_other() {
        let mut turns = Turns::default();
        for i in 0..4 {
            turns.push(holder(1, 1), format!("first client, first share {i}"));
        }
        turns.push(holder(1, 2), "first client, second share".to_owned());
        turns.push(holder(2, 1), "second client".to_owned());
        let order: Vec<String> = std::iter::from_fn(|| turns.pop(|_| true)).map(|(_, item)| item).collect();
        let expected = [
            "first client, first share 0",
            "second client",
            "first client, second share",
            "first client, first share 1",
            "first client, first share 2",
            "first client, first share 3",
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn who_waits_with_most_makes_room() {
        let mut turns = Turns::default();
        for i in 0..5 {
            turns.push(holder(1, 1), i);
        }
        turns.push(holder(2, 1), 10);
        assert_eq!(turns.pop_from_longest(5), None, "nobody has more than that");
        assert_eq!(turns.pop_from_longest(1), Some(4), "the last that came");
        assert_eq!((turns.len(), turns.len_of(Client::Address(1))), (5, 4));
    }

    proptest! {
        /// However much one client asks for, another's item waits for at most one item of each client before it.
        #[test]
        fn nobody_waits_longer_than_one_round(
            pushes in prop::collection::vec((0u64..5, 0u8..3), 1..60),
            pops in 0usize..20,
        ) {
            let mut turns = Turns::default();
            for (i, (client, share)) in pushes.iter().enumerate() {
                turns.push(holder(*client, *share), i);
            }
            for _ in 0..pops {
                turns.pop(|_| true);
            }
            let before = turns.len();
            turns.push(holder(9, 0), usize::MAX);
            prop_assert_eq!(turns.len(), before + 1);
            let mut served = Vec::new();
            while let Some((client, item)) = turns.pop(|_| true) {
                if item == usize::MAX {
                    break;
                }
                prop_assert!(!served.contains(&client), "{:?} was served twice before a newcomer", client);
                served.push(client);
            }
        }

        /// Every item that waits is served once, or taken back once.
        #[test]
        fn nothing_is_lost(steps in prop::collection::vec((0u8..4, 0u64..4, 0u8..3), 1..200)) {
            let mut turns = Turns::default();
            let mut waiting = std::collections::BTreeMap::new();
            for (i, (step, client, share)) in steps.into_iter().enumerate() {
                let holder = holder(client, share);
                let gone = match step {
                    0 | 1 => {
                        turns.push(holder, i);
                        waiting.insert(i, holder);
                        None
                    }
                    2 => turns.pop(|client| client != Client::Address(0)).map(|(_, item)| item),
                    _ => {
                        let one = waiting.iter().find(|(_, of)| **of == holder).map(|(item, _)| *item);
                        let gone = turns.take_away(holder, |item| Some(*item) == one);
                        prop_assert_eq!(gone, one);
                        gone
                    }
                };
                if let Some(gone) = gone {
                    prop_assert!(waiting.remove(&gone).is_some());
                }
                prop_assert_eq!(turns.len(), waiting.len());
            }
        }
    }
}
