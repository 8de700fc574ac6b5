//! A dense set of bits, as wide as a pack or multi-pack-index has objects.

use std::ops::Range;

/// The bits of the objects 0, 1, ... of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bits {
    words: Vec<u64>,
    len: u32,
}

impl Bits {
    /// None of `len` bits set.
    pub fn new(len: u32) -> Self {
        Self { words: vec![0; (len as usize).div_ceil(64)], len }
    }

    /// How many bits there are, set or not.
    #[inline]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// True when no bit is set.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// How many bits are set.
    pub fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// How many of these bits are set.
    pub fn count_within(&self, bits: Range<u32>) -> u32 {
        let ones = |word: usize| self.words.get(word).map_or(0, |word| word.count_ones());
        let low = |bit: u32| {
            let below = (1u64 << (bit % 64)) - 1;
            self.words.get(bit as usize / 64).map_or(0, |word| (word & below).count_ones())
        };
        let (first, last) = (bits.start as usize / 64, bits.end as usize / 64);
        ((first..last).map(ones).sum::<u32>() + low(bits.end)).saturating_sub(low(bits.start))
    }

    /// Is this bit set? Bits beyond the end never are.
    #[inline]
    pub fn contains(&self, bit: u32) -> bool {
        self.words.get(bit as usize / 64).is_some_and(|word| word >> (bit % 64) & 1 != 0)
    }

    /// Sets a bit below [`Bits::len`]; true when it was not set.
    #[inline]
    pub fn insert(&mut self, bit: u32) -> bool {
        debug_assert!(bit < self.len);
        let word = &mut self.words[bit as usize / 64];
        let mask = 1 << (bit % 64);
        let new = *word & mask == 0;
        *word |= mask;
        new
    }

    /// Clears a bit.
    #[inline]
    pub fn remove(&mut self, bit: u32) {
        if let Some(word) = self.words.get_mut(bit as usize / 64) {
            *word &= !(1 << (bit % 64));
        }
    }

    /// Takes the first `len` bits of `other` for its own, which are not set.
    pub fn copy_leading(&mut self, other: &Bits, len: u32) {
        let len = len.min(self.len).min(other.len);
        let whole = len as usize / 64;
        self.words[..whole].copy_from_slice(&other.words[..whole]);
        if !len.is_multiple_of(64) {
            self.words[whole] |= other.words[whole] & ((1 << (len % 64)) - 1);
        }
    }

    /// Adds what `other`, which is as wide, has.
    pub fn or(&mut self, other: &Bits) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    /// Turns over the bits that `other`, which is as wide, has.
    pub(super) fn xor(&mut self, other: &Bits) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word ^= other);
    }

    /// Takes away what `other`, which is as wide, has.
    pub fn and_not(&mut self, other: &Bits) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= !other);
    }

    /// Leaves what `other`, which is as wide, has too.
    pub fn and(&mut self, other: &Bits) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
    }

    /// Has `other`, which is as wide, every bit that is set here?
    pub fn is_subset(&self, other: &Bits) -> bool {
        self.words.iter().zip(&other.words).all(|(word, other)| word & !other == 0)
    }

    /// Is each bit set in one of these?
    pub(super) fn is_within(&self, one: &Bits, other: &Bits) -> bool {
        let both = one.words.iter().zip(&other.words);
        self.words.iter().zip(both).all(|(word, (one, other))| word & !(one | other) == 0)
    }

    /// Is any bit set in both?
    pub fn intersects(&self, other: &Bits) -> bool {
        self.words.iter().zip(&other.words).any(|(word, other)| word & other != 0)
    }

    /// Makes it as wide as this; bits that are new are not set.
    pub(super) fn grow(&mut self, len: u32) {
        self.words.resize((len as usize).div_ceil(64), 0);
        self.len = len;
        self.trim();
    }

    /// How many bits from the first on are set without a gap.
    pub fn leading_ones(&self) -> u32 {
        let full = self.words.iter().take_while(|&&word| word == u64::MAX).count();
        let more = self.words.get(full).map_or(0, |word| word.trailing_ones());
        (full as u32 * 64 + more).min(self.len)
    }

    /// The set bits from `first` on, in rising order.
    pub fn ones_from(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        let start = first as usize / 64;
        let mut below = u64::MAX << (first % 64);
        self.words.iter().enumerate().skip(start).flat_map(move |(at, &word)| {
            let word = word & std::mem::replace(&mut below, u64::MAX);
            Ones { word, first: at as u32 * 64 }
        })
    }

    /// The set bits, in rising order.
    pub fn ones(&self) -> impl Iterator<Item = u32> + '_ {
        self.ones_from(0)
    }

    /// The words, bit 0 the lowest of the first.
    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    /// The words, bit 0 the lowest of the first; for decoding into them.
    pub(super) fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    /// Clears what lies behind the last bit, after somebody wrote whole words.
    pub(super) fn trim(&mut self) {
        if let Some(last) = self.words.last_mut().filter(|_| !self.len.is_multiple_of(64)) {
            *last &= (1 << (self.len % 64)) - 1;
        }
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.words.len() * 8
    }
}

struct Ones {
    word: u64,
    first: u32,
}

impl Iterator for Ones {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.word == 0 {
            return None;
        }
        let bit = self.word.trailing_zeros();
        self.word &= self.word - 1;
        Some(self.first + bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn bits(len: u32, set: &BTreeSet<u32>) -> Bits {
        let mut bits = Bits::new(len);
        for &bit in set {
            assert!(bits.insert(bit));
            assert!(!bits.insert(bit));
        }
        bits
    }

    proptest! {
        #[test]
        fn it_is_a_set(
            len in 1u32..300,
            a in proptest::collection::btree_set(0u32..300, 0..80),
            b in proptest::collection::btree_set(0u32..300, 0..80),
            from in 0u32..320,
        ) {
            let a: BTreeSet<u32> = a.into_iter().filter(|&bit| bit < len).collect();
            let b: BTreeSet<u32> = b.into_iter().filter(|&bit| bit < len).collect();
            let (x, y) = (bits(len, &a), bits(len, &b));
            prop_assert_eq!(x.count() as usize, a.len());
            prop_assert_eq!(x.is_empty(), a.is_empty());
            prop_assert!(x.ones().eq(a.iter().copied()));
            prop_assert!(x.ones_from(from).eq(a.range(from..).copied()));
            for end in from..=len {
                let within = a.range(from..end).count();
                prop_assert_eq!(x.count_within(from..end) as usize, within);
            }
            prop_assert_eq!(x.leading_ones() as usize, (0..).take_while(|n| a.contains(n)).count());
            prop_assert_eq!(x.is_subset(&y), a.is_subset(&b));
            let mut both = x.clone();
            both.or(&y);
            prop_assert!(both.ones().eq(a.union(&b).copied()));
            let mut rest = x.clone();
            rest.and_not(&y);
            prop_assert!(rest.ones().eq(a.difference(&b).copied()));
            let mut shared = x.clone();
            shared.and(&y);
            prop_assert!(shared.ones().eq(a.intersection(&b).copied()));
            prop_assert!(!x.contains(len) && !x.contains(u32::MAX));
        }
    }

    #[test]
    fn what_lies_behind_the_end_is_cleared() {
        for len in [1, 63, 64, 65, 128] {
            let mut bits = Bits::new(len);
            bits.words_mut().fill(u64::MAX);
            bits.trim();
            assert_eq!((bits.count(), bits.leading_ones()), (len, len));
        }
    }
}
