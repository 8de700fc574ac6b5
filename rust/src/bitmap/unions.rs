//! What some commits reach together, as requests found out.
//!
//! In flow the tips of a clone and all that they reach; out it flows again for the next that asks for
//! as much, or more. Bitmaps are of single commits, and of chosen ones: a clone of hundreds of
//! branches walks from those that have none, each time.

use std::sync::{Arc, PoisonError, RwLock};

use super::bits::Bits;
use super::learnt::Charge;

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
    commits: Arc<Bits>,
    reached: Arc<Bits>,
    /// For the time that it is kept.
    _charge: Charge,
}

impl Unions {
    /// Adds what is reached by those of which all commits are in `tips` or in `bits`.
    pub(super) fn add(&self, tips: &Bits, bits: &mut Bits) {
        for union in self.all() {
            if !union.commits.is_subset(bits) && union.commits.is_within(tips, bits) {
                bits.or(&union.reached);
                self.used(&union);
            }
        }
    }

    /// Whoever is used last goes last.
    fn used(&self, union: &Arc<Union>) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = kept.iter().position(|one| Arc::ptr_eq(one, union)) {
            kept[..=at].rotate_right(1);
        }
    }

    /// Keeps one, if it makes sense and there is room.
    pub(super) fn put(&self, commits: Arc<Bits>, reached: Arc<Bits>) {
        let charge = Charge::default();
        let bytes = commits.bytes() + reached.bytes();
        let is_known = || self.all().iter().any(|union| union.commits == commits);
        if commits.is_empty() || !commits.is_subset(&reached) || !charge.fits(bytes) || is_known() {
            return;
        }
        charge.force(bytes);
        let union = Arc::new(Union { commits, reached, _charge: charge });
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        kept.insert(0, union);
        kept.truncate(MOST);
    }

    /// Each of them, the oldest first: commits, and what they reach.
    pub(super) fn each(&self, mut f: impl FnMut(&Arc<Bits>, &Arc<Bits>)) {
        for union in self.all().iter().rev() {
            f(&union.commits, &union.reached);
        }
    }

    /// Nobody waits for who works with them.
    fn all(&self) -> Vec<Arc<Union>> {
        // whoever panicked left whole values
        self.kept.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(unions: &Unions, commits: &[u32], reached: &[u32]) {
        unions.put(Arc::new(bits(commits)), Arc::new(bits(reached)));
    }

    fn kept(unions: &Unions) -> Vec<u32> {
        let mut tips = Vec::new();
        unions.each(|commits, _| tips.extend(commits.ones()));
        tips
    }

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
        put(&unions, &[1, 2], &[1, 2, 30, 31]);
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
        put(&unions, &[], &[3]);
        put(&unions, &[1, 2], &[2, 3]);
        assert_eq!(kept(&unions), [0; 0]);
        for tip in 0..MOST as u32 {
            put(&unions, &[tip], &[tip, 50 + tip]);
        }
        // what is known is not kept twice, and what is used stays
        put(&unions, &[2], &[2, 52]);
        assert_eq!(added(&unions, &[0], &[]), [0, 50]);
        put(&unions, &[40], &[40, 90]);
        assert_eq!(kept(&unions), [2, 3, 0, 40]);
        assert_eq!(added(&unions, &[1], &[]), [0; 0]);
    }
}
