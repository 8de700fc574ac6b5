//! SHA-1 that notices collision attacks, at nearly the speed of one that does not.
//!
//! In flow bytes, out flow their digest and whether some block of them is one half of a collision
//! made by a known attack: for each disturbance vector an attacker could have used, the other half
//! is made by applying the vector's differences, and if it leads to the same state, that is no
//! chance (Stevens, "Counter-cryptanalysis", CRYPTO 2013). Git does the same; what it refuses, we do.
//!
//! The hashing itself is the `sha1` crate's, on the CPU's own instructions. Detection stands beside it:
//! [`super::conditions`] judges eight blocks at once and leaves one in twenty to be looked at.

use sha1::block_api::compress;

use super::conditions::{LANES, suspects};
use super::vectors::DISTURBANCE;

/// What SHA-1 takes at a time.
pub(super) type Block = [u8; BLOCK_LEN];
const BLOCK_LEN: usize = 64;

/// Bytes that wait for more, so that a small object's blocks are judged together.
const WAITING_LEN: usize = LANES * BLOCK_LEN;

const INITIAL: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// A running hash.
#[derive(Clone)]
pub struct DetectingSha1 {
    state: [u32; 5],
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

/// Is there a second block, apart from this by one of these vectors, that leads to the same state
/// (from a state of its own)?
#[cold]
fn is_half(before: &[u32; 5], block: &Block, after: &[u32; 5], suspects: u32) -> bool {
    let words = expand(block);
    let end: [u32; 5] = std::array::from_fn(|at| after[at].wrapping_sub(before[at]));
    let of_suspects = DISTURBANCE.iter().enumerate().filter(|(at, _)| suspects >> at & 1 == 1);
    of_suspects.map(|(_, vector)| vector).any(|vector| {
        let middle = unstep(end, &words, vector.equal_at, 80);
        let other: [u32; 80] = std::array::from_fn(|t| words[t] ^ vector.difference[t]);
        let other_before = unstep(middle, &other, 0, vector.equal_at);
        let other_end = step(middle, &other, vector.equal_at, 80);
        (0..5).all(|at| other_before[at].wrapping_add(other_end[at]) == after[at])
    })
}

fn expand(block: &Block) -> [u32; 80] {
    let mut words = [0; 80];
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
        *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    for t in 16..80 {
        words[t] = (words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16]).rotate_left(1);
    }
    words
}

/// What a step of this quarter adds besides the rotated first word (FIPS 180-4, sections 4.1.1
/// and 4.2.1).
#[inline(always)]
fn mixed<const QUARTER: usize>(b: u32, c: u32, d: u32) -> u32 {
    match QUARTER {
        0 => (d ^ (b & (c ^ d))).wrapping_add(0x5a82_7999),
        1 => (b ^ c ^ d).wrapping_add(0x6ed9_eba1),
        2 => ((b & c) | (d & (b ^ c))).wrapping_add(0x8f1b_bcdc),
        _ => (b ^ c ^ d).wrapping_add(0xca62_c1d6),
    }
}

/// The part of these steps that is in a quarter.
#[inline(always)]
fn within<const QUARTER: usize>(words: &[u32; 80], from: usize, to: usize) -> &[u32] {
    let (start, end) = (QUARTER * 20, QUARTER * 20 + 20);
    &words[from.clamp(start, end)..to.clamp(start, end)]
}

/// The state before step `to`, from that before step `from`.
fn step(state: [u32; 5], words: &[u32; 80], from: usize, to: usize) -> [u32; 5] {
    #[inline(always)]
    fn quarter<const QUARTER: usize>(state: [u32; 5], words: &[u32]) -> [u32; 5] {
        words.iter().fold(state, |[a, b, c, d, e], word| {
            let sum = a.rotate_left(5).wrapping_add(mixed::<QUARTER>(b, c, d)).wrapping_add(e);
            [sum.wrapping_add(*word), a, b.rotate_left(30), c, d]
        })
    }
    let state = quarter::<0>(state, within::<0>(words, from, to));
    let state = quarter::<1>(state, within::<1>(words, from, to));
    let state = quarter::<2>(state, within::<2>(words, from, to));
    quarter::<3>(state, within::<3>(words, from, to))
}

/// The state before step `from`, from that before step `to`.
fn unstep(state: [u32; 5], words: &[u32; 80], from: usize, to: usize) -> [u32; 5] {
    #[inline(always)]
    fn quarter<const QUARTER: usize>(state: [u32; 5], words: &[u32]) -> [u32; 5] {
        words.iter().rev().fold(state, |[a, b, c, d, e], word| {
            let c = c.rotate_right(30);
            let sum = b.rotate_left(5).wrapping_add(mixed::<QUARTER>(c, d, e));
            [b, c, d, e, a.wrapping_sub(sum).wrapping_sub(*word)]
        })
    }
    let state = quarter::<3>(state, within::<3>(words, from, to));
    let state = quarter::<2>(state, within::<2>(words, from, to));
    let state = quarter::<1>(state, within::<1>(words, from, to));
    quarter::<0>(state, within::<0>(words, from, to))
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

    #[test]
    fn a_step_back_undoes_a_step() {
        let words = expand(&std::array::from_fn(|at| at as u8));
        let state = [1, 2, 3, 4, 5];
        for (from, to) in [(0, 80), (58, 80), (0, 58), (19, 41)] {
            assert_eq!(unstep(step(state, &words, from, to), &words, from, to), state);
        }
        // and 80 of them are SHA-1
        let mut hashed = INITIAL;
        let block = std::array::from_fn(|at| at as u8);
        compress(&mut hashed, &[block]);
        let end = step(INITIAL, &words, 0, 80);
        assert_eq!(hashed, std::array::from_fn(|at| INITIAL[at].wrapping_add(end[at])));
    }
}
