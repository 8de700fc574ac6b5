//! Objects without an order of their own, as a walk would find them.
//!
//! In: a set of objects that need not be complete. Out: the same with the hashes of their paths,
//! as far as they are known from trees among them: commits with the newest first, tags, then what
//! hangs on these commits. Deltas are found by it, and later readers find together what belongs
//! together.

use super::walk::Walker;
use crate::graph::{Found, SeenSet};
use crate::object::{Commit, ObjectKind};
use crate::source::{ObjectNumber, ObjectSource, SourceError};
use crate::watch::Watch;

const CHECK_EVERY: usize = 256;

/// Puts them in order. The watch counts them.
pub(super) fn as_found(
    source: &dyn ObjectSource,
    numbers: &[ObjectNumber],
    watch: &Watch,
) -> Result<Vec<Found>, SourceError> {
    let within = SeenSet::new();
    let seen = SeenSet::new();
    let mut reader = source.reader();
    let mut commits = Vec::new();
    let mut kinds = Vec::with_capacity(numbers.len());
    for (at, &number) in numbers.iter().enumerate() {
        if at % CHECK_EVERY == 0 {
            watch.check()?;
        }
        let (kind, _) = reader.header(number)?;
        kinds.push(kind);
        if kind == ObjectKind::Commit {
            let parsed = Commit::parse(reader.read(number)?.1);
            // one that is malformed is kept all the same
            commits.push((parsed.as_ref().map_or(0, |commit| commit.time), number, parsed.ok()));
        } else {
            within.insert(number);
        }
    }
    drop(reader);
    commits.sort_by_key(|&(time, number, _)| (std::cmp::Reverse(time), number));
    let found = |kind| move |number| Found { number, name_hash: 0, kind };
    let mut out: Vec<Found> =
        commits.iter().map(|&(_, number, _)| number).map(found(ObjectKind::Commit)).collect();
    let tags = numbers.iter().zip(&kinds).filter(|&(_, &kind)| kind == ObjectKind::Tag);
    for (&number, &kind) in tags {
        if seen.insert(number) {
            out.push(found(kind)(number));
        }
    }
    let mut walker = Walker::new(source, &seen, Some(&within), watch);
    for commit in commits.iter().filter_map(|(_, _, commit)| commit.as_ref()) {
        walker.walk(&commit.tree, &mut |found| out.push(found))?;
    }
    // trees that no commit among them has: below each other, or by themselves
    for wanted in [ObjectKind::Tree, ObjectKind::Blob] {
        for (&number, &kind) in numbers.iter().zip(&kinds) {
            if kind == wanted && !seen.contains(number) {
                walker.walk(&source.id(number), &mut |found| out.push(found))?;
                // what cannot be walked is to be told by whoever packs it
                if seen.insert(number) {
                    out.push(found(kind)(number));
                }
            }
        }
    }
    watch.add(out.len() as u64);
    Ok(out)
}
