//! The entries that stand first in an order, a bounded number of them, out of all that are shown.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Keeps those with the highest scores, and forgets the others as they come.
#[derive(Debug)]
pub(super) struct Busiest<T> {
    most: usize,
    /// The lowest on top.
    heap: BinaryHeap<Reverse<Scored<T>>>,
}

#[derive(Debug)]
struct Scored<T> {
    score: Score,
    /// By what it was, of equal ones the first to come stays.
    turn: Reverse<u64>,
    item: T,
}

/// What is compared first, and what next.
pub(super) type Score = (u64, u64);

impl<T> Busiest<T> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            heap: BinaryHeap::with_capacity(most.saturating_add(1).min(1 << 12)),
        }
    }

    /// Makes the item only if it is kept.
    pub(super) fn offer(&mut self, score: Score, turn: u64, item: impl FnOnce() -> T) {
        let is_full = self.heap.len() >= self.most;
        let turn = Reverse(turn);
        if is_full
            && self
                .heap
                .peek()
                .is_none_or(|Reverse(least)| (least.score, least.turn) >= (score, turn))
        {
            return;
        }
        let item = item();
        self.heap.push(Reverse(Scored { score, turn, item }));
        if self.heap.len() > self.most {
            self.heap.pop();
        }
    }

    /// The highest first.
    pub(super) fn into_items(self) -> impl Iterator<Item = T> {
        let sorted = self.heap.into_sorted_vec();
        sorted.into_iter().map(|Reverse(scored)| scored.item)
    }
}

impl<T> PartialEq for Scored<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Scored<T> {}

impl<T> PartialOrd for Scored<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Scored<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.score, self.turn).cmp(&(other.score, other.turn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_stay_in_their_order_and_no_more_than_asked_for() {
        let mut busiest = Busiest::new(3);
        let mut made = 0;
        for (turn, score) in [(0, 5), (1, 1), (2, 9), (3, 5), (4, 0), (5, 9)] {
            busiest.offer((score, 0), turn, || {
                made += 1;
                (score, turn)
            });
            assert!(busiest.heap.len() <= 3);
        }
        assert_eq!(made, 5);
        assert_eq!(busiest.into_items().collect::<Vec<_>>(), [(9, 2), (9, 5), (5, 0)]);
    }

    #[test]
    fn none_are_none() {
        let mut busiest = Busiest::new(0);
        busiest.offer((1, 1), 1, || 1);
        assert_eq!(busiest.into_items().count(), 0);
    }
}
