//! Is a suspect block one half of a collision?
//!
//! In flow blocks with the states before and after them, and a disturbance vector each; out flows
//! whether one of them has a second half. For each vector an attacker could have used, the other half
//! is made by applying the vector's differences; if it leads to the same state, that is no chance
//! (Stevens, "Counter-cryptanalysis", CRYPTO 2013).
//!
//! Many suspects are looked at side by side, as [`super::registers`] has lanes.

use super::conditions::LANES;
use super::detecting::{Block, State};
use super::registers::{Portable, Register, Words, expand};
use super::vectors::{DIFFERENCES, EARLY, EQUAL_AT, VECTORS};

/// A block that may be a half by this vector.
struct Suspect {
    before: State,
    after: State,
    block: Block,
    vector: usize,
}

/// Those that wait until there are enough to be looked at together.
pub(super) struct Suspects {
    /// By where their vectors have equal states.
    queues: [Vec<Suspect>; 2],
    found: bool,
}

impl Suspects {
    pub(super) fn new() -> Self {
        Self { queues: [Vec::new(), Vec::new()], found: false }
    }

    /// Adds a block that may be a half by any of these vectors.
    #[inline(always)]
    pub(super) fn add<R: Register>(
        &mut self,
        (before, after): (&State, &State),
        block: &Block,
        vectors: u32,
    ) {
        let mut rest = vectors;
        while rest != 0 {
            let vector = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let late = usize::from(is_late(vector));
            let queue = &mut self.queues[late];
            queue.push(Suspect { before: *before, after: *after, block: *block, vector });
            if queue.len() == R::LANES {
                self.found |= any_is_half::<R>(queue, EQUAL_AT[late]);
                queue.clear();
            }
        }
    }

    /// Looks at the rest: was any of them a half?
    #[inline(always)]
    pub(super) fn finish<R: Register>(mut self) -> bool {
        for (queue, equal_at) in self.queues.iter().zip(EQUAL_AT) {
            if !queue.is_empty() {
                self.found |= any_is_half::<R>(queue, equal_at);
            }
        }
        self.found
    }
}

/// Is this block a half by any of these vectors?
#[cold]
pub(super) fn is_half(before: &State, block: &Block, after: &State, vectors: u32) -> bool {
    (0..VECTORS).filter(|vector| vectors >> vector & 1 == 1).any(|vector| {
        let suspect = Suspect { before: *before, after: *after, block: *block, vector };
        any_is_half::<Portable<1>>(&[suspect], EQUAL_AT[usize::from(is_late(vector))])
    })
}

fn is_late(vector: usize) -> bool {
    EARLY >> vector & 1 == 0
}

/// Is there for any of these a second block, apart from it by its vector, that leads to the same
/// state (from a state of its own)? At most as many as there are lanes; before step `equal_at` the
/// states of both halves are equal, if they are halves.
#[inline(always)]
fn any_is_half<R: Register>(suspects: &[Suspect], equal_at: usize) -> bool {
    let mut blocks = [&suspects[0].block; LANES];
    for (place, suspect) in blocks.iter_mut().zip(suspects) {
        *place = &suspect.block;
    }
    let mut words: Words<R> = [R::splat(0); 80];
    R::lay_across(&blocks[..suspects.len()], &mut words);
    expand(&mut words, 80);
    let (mut before, mut after) = ([R::splat(0); 5], [R::splat(0); 5]);
    let mut vectors = R::splat(0);
    for (lane, suspect) in suspects.iter().enumerate() {
        for word in 0..5 {
            before[word].set(lane, suspect.before[word]);
            after[word].set(lane, suspect.after[word]);
        }
        // there are 32
        vectors.set(lane, suspect.vector as u32);
    }
    let end = std::array::from_fn(|at| after[at].sub(before[at]));
    let middle = unstep(end, &words, equal_at, 80);
    for (word, row) in words.iter_mut().zip(&DIFFERENCES) {
        *word = word.xor(R::pick(row, vectors));
    }
    let other_before = unstep(middle, &words, 0, equal_at);
    let other_end = step(middle, &words, equal_at, 80);
    let mut unlike = R::splat(0);
    for at in 0..5 {
        unlike = unlike.or(other_before[at].add(other_end[at]).xor(after[at]));
    }
    (0..suspects.len()).any(|lane| unlike.get(lane) == 0)
}

/// What a step of this quarter adds besides the rotated first word (FIPS 180-4, sections 4.1.1
/// and 4.2.1).
#[inline(always)]
fn mixed<R: Register, const QUARTER: usize>(b: R, c: R, d: R) -> R {
    match QUARTER {
        0 => b.choose(c, d),
        2 => b.majority(c, d),
        _ => b.xor3(c, d),
    }
    .add(R::splat(CONSTANTS[QUARTER]))
}

/// Of each quarter of the steps.
pub(super) const CONSTANTS: [u32; 4] = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6];

/// The part of these steps that is in a quarter.
#[inline(always)]
fn within<R: Register, const QUARTER: usize>(words: &Words<R>, from: usize, to: usize) -> &[R] {
    let (start, end) = (QUARTER * 20, QUARTER * 20 + 20);
    &words[from.clamp(start, end)..to.clamp(start, end)]
}

/// The state before step `to`, from that before step `from`.
#[inline(always)]
fn step<R: Register>(state: [R; 5], words: &Words<R>, from: usize, to: usize) -> [R; 5] {
    #[inline(always)]
    fn quarter<R: Register, const QUARTER: usize>(state: [R; 5], words: &[R]) -> [R; 5] {
        words.iter().fold(state, |[a, b, c, d, e], word| {
            let sum = a.rotate::<5>().add(mixed::<R, QUARTER>(b, c, d)).add(e);
            [sum.add(*word), a, b.rotate::<30>(), c, d]
        })
    }
    let state = quarter::<R, 0>(state, within::<R, 0>(words, from, to));
    let state = quarter::<R, 1>(state, within::<R, 1>(words, from, to));
    let state = quarter::<R, 2>(state, within::<R, 2>(words, from, to));
    quarter::<R, 3>(state, within::<R, 3>(words, from, to))
}

/// The state before step `from`, from that before step `to`.
#[inline(always)]
fn unstep<R: Register>(state: [R; 5], words: &Words<R>, from: usize, to: usize) -> [R; 5] {
    #[inline(always)]
    fn quarter<R: Register, const QUARTER: usize>(state: [R; 5], words: &[R]) -> [R; 5] {
        words.iter().rev().fold(state, |[a, b, c, d, e], word| {
            let c = c.rotate::<2>();
            let sum = b.rotate::<5>().add(mixed::<R, QUARTER>(c, d, e));
            [b, c, d, e, a.sub(sum).sub(*word)]
        })
    }
    let state = quarter::<R, 3>(state, within::<R, 3>(words, from, to));
    let state = quarter::<R, 2>(state, within::<R, 2>(words, from, to));
    let state = quarter::<R, 1>(state, within::<R, 1>(words, from, to));
    quarter::<R, 0>(state, within::<R, 0>(words, from, to))
}

#[cfg(test)]
mod tests {
    use sha1::block_api::compress;

    use super::super::detecting::INITIAL;
    use super::super::registers::Portable;
    use super::*;

    #[test]
    fn a_step_back_undoes_a_step() {
        let block: Block = std::array::from_fn(|at| at as u8);
        let mut words = [Portable([0]); 80];
        Portable::<1>::lay_across(&[&block], &mut words);
        expand(&mut words, 80);
        let state = [1, 2, 3, 4, 5].map(|word| Portable([word]));
        for (from, to) in [(0, 80), (58, 80), (0, 58), (19, 41)] {
            let there_and_back = unstep(step(state, &words, from, to), &words, from, to);
            assert_eq!(there_and_back.map(|word| word.0), state.map(|word| word.0));
        }
        // and 80 of them are SHA-1
        let mut hashed = INITIAL;
        compress(&mut hashed, &[block]);
        let end = step(INITIAL.map(|word| Portable([word])), &words, 0, 80);
        assert_eq!(hashed, std::array::from_fn(|at| INITIAL[at].wrapping_add(end[at].get(0))));
    }
}
