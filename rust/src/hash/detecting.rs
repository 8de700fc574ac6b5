//! SHA-1 that notices collision attacks, at nearly the speed of one that does not.
//!
//! In flow bytes, out flow their digest and whether some block of them is one half of a collision
//! made by a known attack ([`super::halves`]). Git does the same; what it refuses, we do.
//!
//! The hashing itself is the `sha1` crate's, on the CPU's own instructions. Detection stands beside it:
//! [`super::conditions`] judges eight blocks at once and leaves one in twenty to be looked at.

use sha1::block_api::compress;

use super::conditions::{LANES, suspects};
use super::halves::is_half;

/// What SHA-1 takes at a time.
pub(super) type Block = [u8; BLOCK_LEN];
pub(super) const BLOCK_LEN: usize = 64;

/// What it makes of all blocks so far.
pub(super) type State = [u32; 5];

/// Bytes that wait for more, so that a small object's blocks are judged together.
const WAITING_LEN: usize = LANES * BLOCK_LEN;

pub(super) const INITIAL: State = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// A running hash.
#[derive(Clone)]
pub struct DetectingSha1 {
    state: State,
    len: u64,
    is_attack: bool,
    waiting: [u8; WAITING_LEN],
    waits: usize,
}

impl Default for DetectingSha1 {
    fn default() -> Self {
        Self { state: INITIAL, len: 0, is_attack: false, waiting: [0; WAITING_LEN], waits: 0 }
    }
}

impl DetectingSha1 {
    /// Takes more bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.len = self.len.wrapping_add(bytes.len() as u64);
        if self.waits > 0 || bytes.len() < WAITING_LEN {
            let taken = bytes.len().min(WAITING_LEN - self.waits);
            self.waiting[self.waits..self.waits + taken].copy_from_slice(&bytes[..taken]);
            self.waits += taken;
            bytes = &bytes[taken..];
            if self.waits < WAITING_LEN {
                return;
            }
            let waiting = self.waiting;
            self.take(waiting.as_chunks().0);
            self.waits = 0;
        }
        let (groups, rest) = bytes.as_chunks::<WAITING_LEN>();
        for group in groups {
            self.take(group.as_chunks().0);
        }
        self.waiting[..rest.len()].copy_from_slice(rest);
        self.waits = rest.len();
    }

    /// The digest, and whether what was hashed is part of a collision attack.
    pub fn finish(mut self) -> ([u8; 20], bool) {
        // a one bit, zeros, and the length in bits fill the last block
        let bits = self.len.wrapping_mul(8);
        let mut end = [0; WAITING_LEN + 2 * BLOCK_LEN];
        end[..self.waits].copy_from_slice(&self.waiting[..self.waits]);
        end[self.waits] = 0x80;
        let filled = (self.waits + 1 + 8).next_multiple_of(BLOCK_LEN);
        end[filled - 8..filled].copy_from_slice(&bits.to_be_bytes());
        for group in end[..filled].as_chunks().0.chunks(LANES) {
            self.take(group);
        }
        let mut digest = [0; 20];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        (digest, self.is_attack)
    }

    /// Goes on behind whole blocks that were hashed elsewhere, to this state.
    pub(super) fn resume(state: State) -> Self {
        Self { state, ..Self::default() }
    }

    /// Hashes blocks, the last of which are padded; the state, and whether any is part of an attack.
    pub(super) fn finish_padded<'a>(
        mut self,
        blocks: impl Iterator<Item = &'a [Block]>,
    ) -> (State, bool) {
        for blocks in blocks {
            blocks.chunks(LANES).for_each(|group| self.take(group));
        }
        (self.state, self.is_attack)
    }

    /// Hashes at most [`LANES`] blocks.
    fn take(&mut self, blocks: &[Block]) {
        let suspects = suspects(blocks);
        let mut hashed = 0;
        for (at, block) in blocks.iter().enumerate() {
            if suspects[at] != 0 {
                compress(&mut self.state, &blocks[hashed..at]);
                let before = self.state;
                compress(&mut self.state, &blocks[at..=at]);
                hashed = at + 1;
                self.is_attack |= is_half(&before, block, &self.state, suspects[at]);
            }
        }
        compress(&mut self.state, &blocks[hashed..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(pieces: &[&[u8]]) -> ([u8; 20], bool) {
        let mut hash = DetectingSha1::default();
        pieces.iter().for_each(|piece| hash.update(piece));
        hash.finish()
    }

    fn hash_by_the_book(bytes: &[u8]) -> ([u8; 20], bool) {
        let mut hash = sha1_checked::Builder::default().safe_hash(false).build();
        sha1_checked::Digest::update(&mut hash, bytes);
        let result = hash.try_finalize();
        ((*result.hash()).into(), result.has_collision())
    }

    /// SHA-1's own padding makes these pass every border: of a block, of a group, of two blocks'
    /// worth of end.
    #[test]
    fn every_length_gives_the_digest_of_another_implementation() {
        let bytes: Vec<u8> = (0..4000_u32).map(|at| ((at * at) >> 3) as u8).collect();
        for len in (0..2300).chain([3999]) {
            assert_eq!(hash(&[&bytes[..len]]), hash_by_the_book(&bytes[..len]), "{len}");
        }
    }

    proptest::proptest! {
        #[test]
        fn pieces_do_not_matter(bytes: Vec<u8>, repeat in 0_usize..90, cuts: Vec<u16>) {
            let bytes = bytes.repeat(repeat);
            let mut pieces = Vec::new();
            let mut rest = bytes.as_slice();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut as usize % (rest.len() + 1));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            proptest::prop_assert_eq!(hash(&pieces), hash_by_the_book(&bytes));
        }
    }

    /// "SHA-1 is a Shambles" (Leurent and Peyrin, 2020): two messages of one digest.
    #[test]
    fn both_halves_of_the_chosen_prefix_collision_are_noticed() {
        let halves = [
            include_bytes!("testdata/sha-mbles-1.bin"),
            include_bytes!("testdata/sha-mbles-2.bin"),
        ];
        let [(first, first_is_attack), (second, second_is_attack)] =
            halves.map(|half| hash(&[half]));
        assert_eq!(first, second);
        assert!(first_is_attack && second_is_attack);
        for half in halves {
            assert_eq!(hash(&[half]), hash_by_the_book(half));
            // wherever in a group of blocks it comes, and whatever follows
            for blocks in 0..20 {
                let before = vec![b'x'; blocks * BLOCK_LEN];
                let bytes = [before.as_slice(), half, b"and so on"].concat();
                // the prefix changes the state, so that the attack fails, and only the digest counts
                assert_eq!(hash(&[&bytes]), hash_by_the_book(&bytes));
                let bytes = [half.as_slice(), &before].concat();
                assert!(hash(&[&bytes]).1);
            }
        }
    }
}
