//! Boundaries and shallow packs against `git upload-pack`.

use std::collections::BTreeSet;

use super::enumerate::{SMALL, WHOLE, request, run, set};
use super::memory::MemorySource;
use super::repo::{Dice, TestRepo, orderly_history};
use super::upload_pack::{Answer, fetch};
use crate::graph::{
    CommitTable, DeepenSpec, GraphError, INFINITE_DEPTH, Shallow, WalkRequest, deepen,
};
use crate::hash::{HashKind, ObjectId};
use crate::source::ObjectSource as _;
use crate::watch::Watch;

struct Case<'a> {
    repo: &'a TestRepo,
    source: &'a MemorySource,
    wants: Vec<ObjectId>,
    haves: Vec<ObjectId>,
    client: BTreeSet<ObjectId>,
    /// All that the client has.
    has: BTreeSet<ObjectId>,
}

impl Case<'_> {
    fn ask(&self, options: &[String]) -> Answer {
        let mut lines: Vec<String> = self.wants.iter().map(|id| format!("want {id}")).collect();
        lines.extend(self.client.iter().map(|id| format!("shallow {id}")));
        lines.extend_from_slice(options);
        lines.extend(self.haves.iter().map(|id| format!("have {id}")));
        lines.push("done".into());
        fetch(self.repo, &lines)
    }

    /// The boundary is git's, and so is the pack; gives git's answer.
    fn check(&self, spec: DeepenSpec, options: &[String]) -> Answer {
        let git = self.ask(options);
        let table = CommitTable::new(self.source.hash_kind());
        let mut shallow =
            Shallow { client: self.client.iter().copied().collect(), ..Shallow::default() };
        let ours = deepen(self.source, &table, &self.wants, &shallow, spec.clone(), &Watch::new());
        let (new, undone) = match ours {
            Ok(ours) => ours,
            Err(GraphError::NothingSelected) => {
                assert!(git.error.contains("no commits selected"), "{spec:?} {git:?}");
                return git;
            }
            Err(other) => panic!("{other}"),
        };
        assert_eq!(new.iter().copied().collect::<BTreeSet<_>>(), git.shallow, "{spec:?}");
        assert_eq!(undone.iter().copied().collect::<BTreeSet<_>>(), git.unshallow, "{spec:?}");
        shallow.new_boundary = new.into_iter().collect();
        shallow.unshallow = undone.into_iter().collect();
        let asked = WalkRequest { shallow, ..request(&self.wants, &self.haves) };
        for limits in [SMALL, WHOLE] {
            let found = run(self.source, &asked, limits);
            let sent = set(self.source, &found);
            let less: Vec<_> = git.objects.difference(&sent).collect();
            let commits = |ids: &BTreeSet<ObjectId>| -> BTreeSet<ObjectId> {
                let is = |id: &&ObjectId| {
                    let number = self.source.number(id) as usize;
                    self.source.objects[number].1 == crate::object::ObjectKind::Commit
                };
                ids.iter().filter(is).copied().collect()
            };
            assert_eq!(commits(&sent), commits(&git.objects), "{spec:?}");
            // at the boundary we may find more that the client has than git does
            let lacking: Vec<_> = less.into_iter().filter(|id| !self.has.contains(id)).collect();
            assert!(lacking.is_empty(), "{spec:?}: not sent {lacking:?}");
        }
        git
    }
}

fn specs(dice: &mut Dice, any: ObjectId, name: &str) -> Vec<(DeepenSpec, Vec<String>)> {
    let depth = 1 + dice.roll(8) as u32;
    let since = 1_600_000_000 + dice.roll(9000) as u64;
    let not = |since| DeepenSpec::SinceNot { since, exclude: vec![any] };
    vec![
        (DeepenSpec::Depth(depth), vec![format!("deepen {depth}")]),
        (DeepenSpec::Depth(INFINITE_DEPTH), vec![format!("deepen {INFINITE_DEPTH}")]),
        (DeepenSpec::Relative(depth), vec![format!("deepen {depth}"), "deepen-relative".into()]),
        (
            DeepenSpec::SinceNot { since: Some(since), exclude: Vec::new() },
            vec![format!("deepen-since {since}")],
        ),
        (not(None), vec![format!("deepen-not refs/tags/{name}")]),
        (
            not(Some(since)),
            vec![format!("deepen-since {since}"), format!("deepen-not refs/tags/{name}")],
        ),
    ]
}

#[test]
fn boundaries_are_those_of_upload_pack() {
    let mut dice = Dice(4711);
    for (seed, kind) in [(21, HashKind::Sha1), (22, HashKind::Sha256)] {
        let repo = orderly_history(kind, seed, 90);
        let source = repo.source();
        let names: Vec<_> = (0..90).map(|n| format!("c{n}")).collect();
        let commits = repo.commits();
        for _ in 0..4 {
            let tip = 40 + dice.roll(50);
            let not = dice.roll(tip);
            // a fresh clone first, then the same client again with what it got
            let fresh = Case {
                repo: &repo,
                source: &source,
                wants: vec![commits[tip]],
                haves: Vec::new(),
                client: BTreeSet::new(),
                has: BTreeSet::new(),
            };
            let first = 1 + dice.roll(6) as u32;
            let got = fresh.check(DeepenSpec::Depth(first), &[format!("deepen {first}")]);
            for (spec, options) in specs(&mut dice, commits[not], &names[not]) {
                if !matches!(spec, DeepenSpec::Relative(_) | DeepenSpec::Depth(INFINITE_DEPTH)) {
                    fresh.check(spec.clone(), &options);
                }
                let again = Case {
                    wants: vec![commits[tip], commits[40 + dice.roll(50)]],
                    haves: vec![commits[tip]],
                    client: got.shallow.clone(),
                    has: got.objects.clone(),
                    ..fresh
                };
                again.check(spec, &options);
            }
        }
    }
}

#[test]
fn a_shallow_commit_has_to_be_one() {
    let repo = orderly_history(HashKind::Sha1, 3, 3);
    let source = repo.source();
    let tree = repo.id("c2^{tree}");
    let shallow = Shallow { client: [tree].into_iter().collect(), ..Shallow::default() };
    let table = CommitTable::new(HashKind::Sha1);
    let result =
        deepen(&source, &table, &[repo.id("c2")], &shallow, DeepenSpec::Depth(1), &Watch::new());
    assert!(matches!(result, Err(GraphError::InvalidShallow(id)) if id == tree));
}
