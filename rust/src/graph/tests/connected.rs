//! Connectivity and reachability, on repositories that lack something.

use super::repo::{TestRepo, hex, line, random_history};
use crate::graph::{CommitTable, GraphError, all_reachable, check_connected};
use crate::hash::{HashKind, IdSet, ObjectId};
use crate::object::ObjectKind;
use crate::source::SourceError;
use crate::watch::Watch;

fn check(
    source: &super::memory::MemorySource,
    tips: &[ObjectId],
    known: &[ObjectId],
) -> Result<Option<ObjectId>, GraphError> {
    let table = CommitTable::new(HashKind::Sha1);
    check_connected(source, &table, tips, known, &IdSet::default(), &Watch::new())
}

#[test]
fn every_new_object_has_to_be_there() {
    let repo = random_history(HashKind::Sha1, 41, 60);
    repo.git(&["tag", "-a", "-m", "x", "annotated", "c55"]);
    let (tip, known) = (repo.id("annotated"), repo.id("c40"));
    let new = repo.rev_list(&[], &format!("{tip}\n^{known}\n"));
    let had = repo.rev_list(&[], &known.to_hex());
    assert!(new.len() > 30);
    assert_eq!(check(&repo.source(), &[tip], &[known]).unwrap(), None);
    assert_eq!(check(&repo.source(), &[tip], &[]).unwrap(), None);
    let mut source = repo.source();
    for lost in new.iter().filter(|id| !had.contains(id)) {
        let number = source.remove(lost);
        assert_eq!(check(&source, &[tip], &[known]).unwrap(), Some(*lost));
        source.put_back(*lost, number);
    }
    // nobody looks at what the known refs reach
    let list = repo.git(&["rev-list", &format!("^{known}"), &tip.to_hex()]);
    let trees = repo.rev_list(&["--no-walk=unsorted"], &list);
    let old: Vec<_> = had.difference(&trees).collect();
    assert!(old.len() > 30);
    for lost in old {
        if source.objects[source.number(lost) as usize].1 != ObjectKind::Commit {
            let number = source.remove(lost);
            assert_eq!(check(&source, &[tip], &[known]).unwrap(), None);
            assert_eq!(check(&source, &[known], &[known]).unwrap(), None);
            source.put_back(*lost, number);
        }
    }
}

#[test]
fn an_ancestor_of_a_known_ref_is_found_on_the_long_way() {
    // more commits than the short way goes
    let repo = line(2300);
    let mut source = repo.source();
    source.remove(&repo.id("main~2290"));
    let (tip, known) = (repo.id("main~10"), repo.id("main"));
    assert_eq!(check(&source, &[tip], &[known]).unwrap(), None);
    assert!(check(&source, &[tip], &[]).unwrap().is_some());
}

#[test]
fn a_blob_in_the_place_of_a_tree_is_an_error() {
    let repo = random_history(HashKind::Sha1, 43, 3);
    let blob = String::from_utf8(repo.feed(&["hash-object", "-w", "--stdin"], b"x")).unwrap();
    let make = |line: &str| {
        let tree = repo.feed(&["mktree", "--missing"], line.as_bytes());
        String::from_utf8(tree).unwrap().trim().to_owned()
    };
    let commit = |tree: &str| repo.git(&["commit-tree", "-m", "x", tree]).trim().to_owned();
    let good = make(&format!("100644 blob {}\tf\n", blob.trim()));
    // mktree refuses to lie, fast hands do not: the entry's mode is rewritten
    let raw = repo.feed(&["cat-file", "tree", &good], b"");
    let lie = [b"40000 f\0", &raw[b"100644 f\0".len()..]].concat();
    let lie = repo.feed(&["hash-object", "-t", "tree", "-w", "--literally", "--stdin"], &lie);
    let inner = raw[b"100644 f\0".len()..].to_vec();
    assert_eq!(inner.len(), 20);
    let tip = repo.id(&commit(String::from_utf8(lie).unwrap().trim()));
    let result = check(&repo.source(), &[tip], &[]);
    assert!(matches!(result, Err(GraphError::Source(SourceError::WrongKind { .. }))), "{result:?}");
    let tree_id = ObjectId::from_hex(good.as_bytes()).unwrap();
    let lie = [b"100644 f\0", tree_id.as_bytes()].concat();
    let lie = repo.feed(&["hash-object", "-t", "tree", "-w", "--literally", "--stdin"], &lie);
    let tip = repo.id(&commit(String::from_utf8(lie).unwrap().trim()));
    let result = check(&repo.source(), &[tip], &[]);
    assert!(matches!(result, Err(GraphError::Source(SourceError::WrongKind { .. }))), "{result:?}");
}

#[test]
fn reachability_is_gits() {
    let repo: TestRepo = random_history(HashKind::Sha1, 44, 80);
    let source = repo.source();
    let table = CommitTable::new(HashKind::Sha1);
    let tips = [repo.id("c60"), repo.id("c62"), repo.id("c5^{tree}")];
    let ask =
        |ids: &[ObjectId]| all_reachable(&source, &table, ids, &tips, &IdSet::default()).unwrap();
    let mut unreachable = 0;
    let history = repo.rev_list(&[], &hex(&tips[..2]));
    for id in repo.commits().into_iter().rev() {
        let reached = history.contains(&id);
        unreachable += usize::from(!reached);
        assert_eq!(ask(&[id, tips[0]]), (!reached).then_some(id));
    }
    assert!(unreachable > 5);
    assert_eq!(ask(&tips), None);
    assert_eq!(ask(&[repo.id("c60^{tree}")]), Some(repo.id("c60^{tree}")));
    let null = ObjectId::null(HashKind::Sha1);
    assert_eq!(ask(&[tips[0], null]), Some(null));
}
