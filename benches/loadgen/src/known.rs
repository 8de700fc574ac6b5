//! What is known of the answers of one server, so that the next ones cost less to read.
//!
//! A listing of 50,000 refs is as many packets. To follow them all, each time, costs more than a
//! server needs that has the answer ready. So the first answer to a turn that asks for a listing is
//! followed packet by packet, and of later ones to the same turn the length is looked at and the
//! flush at the end. All bytes of all answers are read.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::conversation::Conversation;

/// Answers of fewer bytes fit what the kernel keeps for any connection.
const SHORT: u64 = 64 << 10;

/// What is known of the answers to one conversation. Numbers of bytes, 0 where nothing is known.
#[derive(Default)]
pub struct Known {
    /// By the number of the turn; none where it does not ask for a listing.
    listings: Vec<Option<AtomicU64>>,
    all: AtomicU64,
}

impl Known {
    /// Nothing yet.
    pub fn of(said: &Conversation) -> Self {
        let listing = |(number, turn): (usize, &Vec<u8>)| {
            asks_for_listing(number, turn).then(AtomicU64::default)
        };
        Self { listings: said.turns.iter().enumerate().map(listing).collect(), all: 0.into() }
    }

    /// The length of the answer to a turn, if it is a listing that has been read in full.
    pub fn listing(&self, turn: usize) -> Option<u64> {
        let length = self.listings.get(turn)?.as_ref()?.load(Ordering::Relaxed);
        (length > 0).then_some(length)
    }

    /// Remembers it, where it is a listing's.
    pub fn learn_listing(&self, turn: usize, length: u64) {
        if let Some(Some(known)) = self.listings.get(turn) {
            known.store(length, Ordering::Relaxed);
        }
    }

    /// May so much come that the kernel has to keep more for us than it does by itself?
    pub fn may_be_long(&self) -> bool {
        !(1..SHORT).contains(&self.all.load(Ordering::Relaxed))
    }

    /// Remembers how long all answers were.
    pub fn learn_all(&self, length: u64) {
        self.all.store(length, Ordering::Relaxed);
    }
}

/// `ls-refs`, and what version 0 says by itself. What a push is told changes with every push.
fn asks_for_listing(number: usize, turn: &[u8]) -> bool {
    let has = |word: &[u8]| turn.windows(word.len()).any(|part| part == word);
    match number {
        0 => has(b"git-upload-pack ") && !has(b"version=2"),
        _ => turn.get(4..).is_some_and(|line| line.starts_with(b"command=ls-refs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_are_told_from_the_rest() {
        let hello = |rest: &str| format!("0030git-upload-pack /a\0host=b\0{rest}").into_bytes();
        assert!(asks_for_listing(0, &hello("")));
        assert!(!asks_for_listing(0, &hello("\0version=2\0")));
        assert!(!asks_for_listing(0, b"0030git-receive-pack /a\0host=b\0"));
        assert!(asks_for_listing(1, b"0014command=ls-refs\n0000"));
        assert!(!asks_for_listing(1, b"0012command=fetch\n0000"));
    }

    #[test]
    fn only_listings_are_remembered() {
        let turns = vec![b"git-upload-pack version=2".to_vec(), b"0014command=ls-refs\n".to_vec()];
        let known = Known::of(&Conversation { turns, farewell: Vec::new() });
        assert_eq!([0, 1, 2].map(|turn| known.listing(turn)), [None; 3]);
        for turn in 0..3 {
            known.learn_listing(turn, 7);
        }
        assert_eq!([0, 1, 2].map(|turn| known.listing(turn)), [None, Some(7), None]);
    }

    #[test]
    fn what_is_not_known_may_be_long() {
        let known = Known::default();
        assert!(known.may_be_long());
        known.learn_all(300);
        assert!(!known.may_be_long());
        known.learn_all(SHORT);
        assert!(known.may_be_long());
    }
}
