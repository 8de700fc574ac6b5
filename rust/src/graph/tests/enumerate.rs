//! Enumerations against `git rev-list --objects` and `git pack-objects`.

use std::collections::BTreeSet;

use super::memory::MemorySource;
use super::repo::{Dice, TestRepo, hex, random_history};
use crate::graph::enumerate::{Limits, enumerate_within};
use crate::graph::{CommitTable, Enumeration, WalkRequest};
use crate::hash::{HashKind, ObjectId};
use crate::object::ObjectKind;
use crate::source::ObjectSource as _;
use crate::watch::Watch;

/// Everything in the small way, whole boundaries on one thread, and the same on three.
/// None of the ways of large requests.
pub(in crate::graph) const NEVER: Limits = Limits {
    whole_boundary_min: 1 << 30,
    parallel_min: 1 << 30,
    bitmap_min: 1 << 30,
    learn_min: 1 << 30,
    scan_min: u32::MAX,
    scan_entries: 24,
};
pub(in crate::graph) const SMALL: Limits =
    Limits { whole_boundary_min: 1 << 30, parallel_min: 1 << 30, ..NEVER };
pub(in crate::graph) const WHOLE: Limits =
    Limits { whole_boundary_min: 0, parallel_min: 1 << 30, ..NEVER };
pub(in crate::graph) const PARALLEL: Limits =
    Limits { whole_boundary_min: 0, parallel_min: 0, ..NEVER };

pub(in crate::graph) const SCAN: Limits = Limits { scan_min: 1, ..PARALLEL };

pub(in crate::graph) fn run(
    source: &MemorySource,
    request: &WalkRequest,
    limits: Limits,
) -> Enumeration {
    let table = CommitTable::new(source.hash_kind());
    enumerate_within(source, &table, request, &Watch::new(), limits).unwrap()
}

pub(in crate::graph) fn set(source: &MemorySource, found: &Enumeration) -> BTreeSet<ObjectId> {
    let ids: Vec<_> = found.objects.iter().map(|found| source.id(found.number)).collect();
    for found in &found.objects {
        assert_eq!(source.objects[found.number as usize].1, found.kind);
    }
    let set: BTreeSet<_> = ids.iter().copied().collect();
    assert_eq!(set.len(), ids.len(), "an object is listed twice");
    set
}

pub(in crate::graph) fn request(wants: &[ObjectId], haves: &[ObjectId]) -> WalkRequest {
    let threads = 3;
    WalkRequest { wants: wants.to_vec(), haves: haves.to_vec(), threads, ..Default::default() }
}

fn lines(wants: &[ObjectId], haves: &[ObjectId]) -> String {
    let nots: String = haves.iter().map(|id| format!("^{id}\n")).collect();
    hex(wants) + &nots
}

fn check(
    repo: &TestRepo,
    source: &MemorySource,
    wants: &[ObjectId],
    haves: &[ObjectId],
) -> [usize; 3] {
    let wanted = repo.rev_list(&[], &hex(wants));
    let had = if haves.is_empty() { BTreeSet::new() } else { repo.rev_list(&[], &hex(haves)) };
    let exact: BTreeSet<_> = wanted.difference(&had).copied().collect();
    let git = repo.packed(&[], &lines(wants, haves));
    let asked = request(wants, haves);
    let (small, whole) = (run(source, &asked, SMALL), run(source, &asked, WHOLE));
    let parallel = run(source, &asked, PARALLEL);
    assert_eq!(whole.objects, parallel.objects, "threads change the result");
    for found in [&small, &whole] {
        let ours = set(source, found);
        assert!(ours.is_superset(&exact), "missing: {:?}", exact.difference(&ours));
        assert!(ours.is_subset(&wanted));
        for number in 0..source.number_bound() {
            if found.client_has.contains(source, number) {
                assert!(had.contains(&source.id(number)), "the client does not have that");
            }
        }
    }
    let commits = [&git, &set(source, &small), &exact].map(|ids| {
        let is =
            |id: &&ObjectId| source.objects[source.number(id) as usize].1 == ObjectKind::Commit;
        ids.iter().filter(is).count()
    });
    assert!(commits[1] <= commits[0].max(commits[2]), "more commits than git sends");
    [small.objects.len(), whole.objects.len(), git.len()]
}

#[test]
fn random_requests_get_what_git_sends() {
    let mut totals = [0; 3];
    for (seed, kind) in [(11, HashKind::Sha1), (12, HashKind::Sha256), (13, HashKind::Sha1)] {
        let repo = random_history(kind, seed, 150);
        let source = repo.source();
        let all = repo.commits();
        let mut dice = Dice(seed * 77);
        for _ in 0..12 {
            let mut pick = |n: usize| (0..n).map(|_| all[dice.roll(all.len())]).collect::<Vec<_>>();
            let (wants, haves) = (pick(1 + totals[0] % 3), pick(totals[0] % 4));
            let sizes = check(&repo, &source, &wants, &haves);
            totals.iter_mut().zip(sizes).for_each(|(total, size)| *total += size);
        }
    }
    // one by one they differ, for where clocks lie git's boundary and ours differ
    let [small, whole, git] = totals;
    assert!(small <= git + git / 50, "the small way sends {small} objects where git sends {git}");
    assert!(whole <= git, "whole boundaries leave {whole} objects where git sends {git}");
}
