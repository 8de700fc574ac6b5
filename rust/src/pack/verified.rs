//! Which entries of a pack were found to have the checksum of its index.
//!
//! A pack never changes, and checking takes longer than copying: each entry is checked when it is
//! first sent, and trusted for as long as the pack is open. One bit an entry.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bits by the rank of the entry in the pack.
#[derive(Debug, Default)]
pub(super) struct Verified(OnceLock<Box<[AtomicU64]>>);

impl Verified {
    /// Were all of these checked?
    pub(super) fn all(&self, ranks: Range<usize>) -> bool {
        let Some(words) = self.0.get() else { return ranks.is_empty() };
        parts(&ranks).all(|(word, mask)| {
            words.get(word).is_some_and(|word| word.load(Ordering::Relaxed) & mask == mask)
        })
    }

    /// Notes that all of these were checked; `count`: how many entries there are.
    pub(super) fn note(&self, ranks: Range<usize>, count: usize) {
        let words = self.0.get_or_init(|| {
            std::iter::repeat_with(|| AtomicU64::new(0)).take(count.div_ceil(64)).collect()
        });
        for (word, mask) in parts(&ranks) {
            if let Some(word) = words.get(word) {
                word.fetch_or(mask, Ordering::Relaxed);
            }
        }
    }
}

/// The words in which a range lies, and its bits in each.
fn parts(ranks: &Range<usize>) -> impl Iterator<Item = (usize, u64)> + use<> {
    let Range { start, end } = ranks.clone();
    let words = if start < end { start / 64..end.div_ceil(64) } else { 0..0 };
    words.map(move |word| {
        let (low, high) = (start.max(word * 64) - word * 64, end.min(word * 64 + 64) - word * 64);
        (word, u64::MAX >> (64 - (high - low)) << low)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_noted_is_verified() {
        for noted in [0..0, 0..1, 3..64, 63..65, 64..128, 5..200, 199..200] {
            let verified = Verified::default();
            verified.note(noted.clone(), 200);
            for start in 0..=200 {
                for end in start..=200 {
                    let inside = start == end || noted.start <= start && end <= noted.end;
                    assert_eq!(verified.all(start..end), inside, "{noted:?} {start}..{end}");
                }
            }
        }
        assert!(!Verified::default().all(0..1));
    }
}
