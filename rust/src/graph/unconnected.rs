//! Which of many tips lead to something that is missing?
//!
//! In: the tips of a push that are not all well. Out: those that are not. One walk a tip would walk the same
//! history as often as there are tips; so halves are checked together, and what was found complete
//! ends the walks after it. A push of which little is missing costs a few walks more than one that
//! is complete, and no push more than [`MOST_WALKS`].

use super::GraphError;
use super::connected::{Known, check_against};
use super::table::CommitTable;
use crate::hash::{IdSet, ObjectId};
use crate::source::ObjectSource;
use crate::watch::Watch;

/// Walks of one push. To find one bad ref among a thousand takes twenty, ten bad ones a hundred; who
/// sends more that lead nowhere is told that none of the doubtful ones is taken.
pub const MOST_WALKS: usize = 128;

/// Those of `tips`, known not to be complete together, that are not; in doubt, those that were not
/// looked at for want of walks. See [`super::check_connected`] for the rest.
pub fn unconnected(
    source: &dyn ObjectSource,
    commits: &CommitTable,
    tips: &[ObjectId],
    known: &[ObjectId],
    server_shallow: &IdSet,
    watch: &Watch,
) -> Result<IdSet, GraphError> {
    let mut sifting = Sifting {
        known: Known::new(known),
        bad: IdSet::default(),
        walks: 0,
        check: &mut |tips, known| {
            Ok(check_against(source, commits, tips, known, server_shallow, watch)?.is_none())
        },
    };
    sifting.split(tips)?;
    Ok(sifting.bad)
}

type Check<'a> = &'a mut dyn FnMut(&[ObjectId], &Known) -> Result<bool, GraphError>;

struct Sifting<'a> {
    known: Known,
    bad: IdSet,
    walks: usize,
    check: Check<'a>,
}

impl Sifting<'_> {
    /// Tips that are not complete together.
    fn split(&mut self, tips: &[ObjectId]) -> Result<(), GraphError> {
        if tips.len() < 2 {
            self.bad.extend(tips);
            return Ok(());
        }
        let (first, second) = tips.split_at(tips.len() / 2);
        if self.sift(first)? {
            // so it is the others
            return self.split(second);
        }
        self.sift(second)?;
        Ok(())
    }

    /// Any tips; are all of them complete?
    fn sift(&mut self, tips: &[ObjectId]) -> Result<bool, GraphError> {
        if self.walks == MOST_WALKS {
            self.bad.extend(tips);
            return Ok(false);
        }
        self.walks += 1;
        let complete = (self.check)(tips, &self.known)?;
        if complete {
            self.known.extend(tips);
        } else {
            self.split(tips)?;
        }
        Ok(complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> ObjectId {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        ObjectId::from_bytes(&bytes).unwrap()
    }

    /// Which are found bad, and with how many walks.
    fn sift(tips: &[ObjectId], is_bad: impl Fn(&ObjectId) -> bool) -> (IdSet, usize) {
        let mut check = |tips: &[ObjectId], _: &Known| Ok(!tips.iter().any(&is_bad));
        let (known, bad) = (Known::default(), IdSet::default());
        let mut sifting = Sifting { known, bad, walks: 0, check: &mut check };
        sifting.split(tips).unwrap();
        (sifting.bad, sifting.walks)
    }

    #[test]
    fn a_few_bad_ones_are_found_with_few_walks() {
        let tips: Vec<ObjectId> = (0..1000).map(id).collect();
        for bad in [vec![0], vec![999], vec![500], vec![3, 4, 700], vec![1, 998]] {
            let bad: IdSet = bad.into_iter().map(id).collect();
            let (found, walks) = sift(&tips, |tip| bad.contains(tip));
            assert_eq!(found, bad);
            assert!(walks <= 20 * bad.len(), "{walks}");
        }
        assert_eq!(sift(&tips[..1], |_| true).0.len(), 1);
    }

    #[test]
    fn walks_are_bounded_and_nothing_bad_is_let_through() {
        let tips: Vec<ObjectId> = (0..50_000).map(id).collect();
        let is_bad = |tip: &ObjectId| tip.as_bytes()[3] % 2 == 1;
        let (found, walks) = sift(&tips, is_bad);
        assert_eq!(walks, MOST_WALKS);
        assert!(tips.iter().filter(|tip| is_bad(tip)).all(|tip| found.contains(tip)));
    }
}
