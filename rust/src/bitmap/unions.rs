//! What some commits reach together, as requests found out.
//!
//! In flow the tips of a clone and all that they reach; out it flows again for the next that asks for
//! as much, or more. Bitmaps are of single commits, and of chosen ones: a clone of hundreds of
//! branches walks from those that have none, each time.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::bits::Bits;

/// Those used last are kept: that of everything, that of the branches without the tags, and the like.
const MOST: usize = 4;

/// See the module. They never change, and say nothing of objects that came later.
#[derive(Debug, Default)]
pub(super) struct Unions {
    /// The newest first.
    kept: RwLock<Vec<Arc<Union>>>,
}

#[derive(Debug)]
struct Union {
    /// And blobs, where tags name them.
    commits: Bits,
    reached: Bits,
}

impl Union {
    fn bytes(&self) -> usize {
        self.commits.bytes() + self.reached.bytes()
    }
}

impl Unions {
    /// Adds what is reached by those of which all commits are in `tips` or in `bits`.
    pub(super) fn add(&self, tips: &Bits, bits: &mut Bits) {
        for union in self.kept().iter() {
            let mut lacking = union.commits.clone();
            lacking.and_not(bits);
            if !lacking.is_empty() && lacking.is_subset(tips) {
                bits.or(&union.reached);
            }
        }
    }

    /// Keeps one, if it makes sense; how many bytes more there are now, and how many went.
    pub(super) fn put(&self, commits: Bits, reached: Bits) -> (usize, usize) {
        if commits.is_empty() || !commits.is_subset(&reached) {
            return (0, 0);
        }
        let union = Arc::new(Union { commits, reached });
        let come = union.bytes();
        // whoever panicked left whole values
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        kept.insert(0, union);
        let from = MOST.min(kept.len());
        let gone = kept.drain(from..).map(|union| union.bytes()).sum();
        (come, gone)
    }

    /// Each of them, the oldest first: commits, and what they reach.
    pub(super) fn each(&self, mut f: impl FnMut(&Bits, &Bits)) {
        for union in self.kept().iter().rev() {
            f(&union.commits, &union.reached);
        }
    }

    fn kept(&self) -> RwLockReadGuard<'_, Vec<Arc<Union>>> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(ones: &[u32]) -> Bits {
        let mut bits = Bits::new(100);
        for &one in ones {
            bits.insert(one);
        }
        bits
    }

    fn added(unions: &Unions, tips: &[u32], known: &[u32]) -> Vec<u32> {
        let mut all = bits(known);
        unions.add(&bits(tips), &mut all);
        all.ones().collect()
    }

    #[test]
    fn what_all_commits_ask_for_is_added() {
        let unions = Unions::default();
        assert_eq!(added(&unions, &[1, 2], &[]), [0; 0]);
        unions.put(bits(&[1, 2]), bits(&[1, 2, 30, 31]));
        assert_eq!(added(&unions, &[1], &[]), [0; 0]);
        assert_eq!(added(&unions, &[2, 5], &[]), [0; 0]);
        assert_eq!(added(&unions, &[1, 2], &[]), [1, 2, 30, 31]);
        assert_eq!(added(&unions, &[1, 2, 5], &[]), [1, 2, 30, 31]);
        // a commit that is reached already is as good as one that is asked for
        assert_eq!(added(&unions, &[1], &[2, 30]), [1, 2, 30, 31]);
        // and what knows its commits knows what they reach
        assert_eq!(added(&unions, &[], &[1, 2]), [1, 2]);
    }

    #[test]
    fn the_last_ones_are_kept() {
        let unions = Unions::default();
        // nobody can be asked for, or is not in what it reaches
        assert_eq!(unions.put(bits(&[]), bits(&[3])), (0, 0));
        assert_eq!(unions.put(bits(&[1, 2]), bits(&[2, 3])), (0, 0));
        let each = bits(&[1]).bytes() * 2;
        for tip in 0..MOST as u32 {
            assert_eq!(unions.put(bits(&[tip]), bits(&[tip, 50 + tip])), (each, 0));
        }
        assert_eq!(unions.put(bits(&[40]), bits(&[40, 90])), (each, each));
        assert_eq!(added(&unions, &[0], &[]), [0; 0]);
        assert_eq!(added(&unions, &[1], &[]), [1, 51]);
        let mut tips = Vec::new();
        unions.each(|commits, _| tips.extend(commits.ones()));
        assert_eq!(tips, [1, 2, 3, 40]);
    }
}
