//! `ready` against `git upload-pack`, and how little it looks at.

use std::sync::Arc;

use super::repo::{Dice, line, random_history};
use super::upload_pack::fetch;
use crate::graph::{CommitTable, Negotiation, Shallow};
use crate::hash::{HashKind, ObjectId};
use crate::source::ObjectSource as _;
use crate::watch::Watch;

#[test]
fn git_is_ready_when_we_are() {
    let repo = random_history(HashKind::Sha1, 31, 120);
    repo.git(&["tag", "-a", "-m", "x", "annotated", "c110"]);
    let source = Arc::new(repo.source());
    let (all, annotated, tree) = (repo.commits(), repo.id("annotated"), repo.id("c100^{tree}"));
    let mut dice = Dice(99);
    let mut ready = 0;
    for round in 0..40 {
        let mut pick =
            |n: usize| -> Vec<ObjectId> { (0..n).map(|_| all[119 - dice.roll(30)]).collect() };
        let (mut wants, haves) = (pick(1 + round % 3), pick(1 + round % 2));
        match round % 5 {
            0 => wants.push(annotated),
            1 => wants.push(tree),
            _ => {}
        }
        let mut lines: Vec<String> = wants.iter().map(|id| format!("want {id}")).collect();
        lines.extend(haves.iter().map(|id| format!("have {id}")));
        let git = fetch(&repo, &lines);
        let table = Arc::new(CommitTable::new(source.hash_kind()));
        let source: Arc<dyn crate::source::ObjectSource> = source.clone();
        let mut ours =
            Negotiation::new(source, table, &wants, &Shallow::default(), &Watch::new()).unwrap();
        assert_eq!(ours.add_haves(&haves, &Watch::new()).unwrap(), haves);
        assert_eq!(ours.ready(&Watch::new()).unwrap(), git.ready, "{wants:?} {haves:?}");
        assert_eq!(ours.ready(&Watch::new()).unwrap(), git.ready, "asked twice");
        ready += usize::from(git.ready);
    }
    assert!((5..35).contains(&ready), "{ready} of 40 tell nothing");
}

#[test]
fn a_client_little_behind_costs_little() {
    let repo = line(1000);
    let source: Arc<dyn crate::source::ObjectSource> = Arc::new(repo.source());
    for (behind, most) in [(0, 3), (20, 24)] {
        let table = Arc::new(CommitTable::new(HashKind::Sha1));
        let have = repo.id(&format!("main~{behind}"));
        let mut ours = Negotiation::new(
            Arc::clone(&source),
            Arc::clone(&table),
            &[repo.id("main")],
            &Shallow::default(),
            &Watch::new(),
        )
        .unwrap();
        assert!(!ours.ready(&Watch::new()).unwrap());
        assert!(!ours.add_have(&ObjectId::null(HashKind::Sha1), &Watch::new()).unwrap());
        for _ in 0..2 {
            assert!(ours.add_have(&have, &Watch::new()).unwrap());
        }
        assert!(ours.ready(&Watch::new()).unwrap());
        assert_eq!(ours.common(), &[have]);
        assert!(table.len() <= most, "{} commits were met", table.len());
    }
}

#[test]
fn an_unrelated_want_is_not_searched_to_the_root() {
    let repo = line(1000);
    let source: Arc<dyn crate::source::ObjectSource> = Arc::new(repo.source());
    let table = Arc::new(CommitTable::new(HashKind::Sha1));
    // the have is newer than the want: nothing as old as the want can reach it
    let wants = [repo.id("main~500"), repo.id("main~499")];
    let mut ours =
        Negotiation::new(source, Arc::clone(&table), &wants, &Shallow::default(), &Watch::new())
            .unwrap();
    assert!(ours.add_have(&repo.id("main"), &Watch::new()).unwrap());
    assert!(!ours.ready(&Watch::new()).unwrap());
    assert!(table.len() < 10, "{} commits were met", table.len());
}
