//! Connectivity and reachability, on repositories that lack something.

use super::repo::{TestRepo, hex, line, random_history};
use crate::graph::{
    self, CommitTable, GraphError, Links, all_reachable, check_connected, is_closed, unconnected,
};
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
    let ask = |ids: &[ObjectId]| {
        all_reachable(&source, &table, ids, &tips, &IdSet::default(), &Watch::new()).unwrap()
    };
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

#[test]
fn of_many_tips_those_that_lack_something_are_found() {
    let repo = random_history(HashKind::Sha1, 43, 60);
    let tips: Vec<ObjectId> = (10..60).map(|nth| repo.id(&format!("c{nth}"))).collect();
    let known = [repo.id("c9")];
    let new = repo.rev_list(&[], &format!("{}\n^{}\n", repo.id("c59"), known[0]));
    let mut source = repo.source();
    let mut found_some = 0;
    for lost in new.iter().step_by(7) {
        let number = source.remove(lost);
        // each by itself, by what was walked before
        let alone = |tip: &ObjectId| check(&source, &[*tip], &known).unwrap().is_some();
        let wanted: IdSet = tips.iter().copied().filter(alone).collect();
        let table = CommitTable::new(HashKind::Sha1);
        let (no_boundary, watch) = (IdSet::default(), Watch::new());
        let found = unconnected(&source, &table, &tips, &known, &no_boundary, &watch).unwrap();
        if !wanted.is_empty() {
            assert_eq!(found, wanted, "without {lost}");
            found_some += 1;
        }
        source.put_back(*lost, number);
    }
    assert!(found_some > 5);
}

#[test]
fn time_that_is_over_is_an_error_of_its_own() {
    let repo = line(300);
    let watch = Watch::for_seconds(1);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let table = CommitTable::new(HashKind::Sha1);
    let (source, tips) = (repo.source(), [repo.id("main")]);
    let error = check_connected(&source, &table, &tips, &[], &IdSet::default(), &watch);
    let wanted = "took longer than 1 seconds";
    assert_eq!(error.unwrap_err().to_string(), wanted);
}

/// What is closed by the links of a pack's objects is what a walk finds complete.
#[test]
fn links_and_walks_agree() {
    let repo = random_history(HashKind::Sha1, 47, 60);
    let (tip, known) = (repo.id("c59"), repo.id("c30"));
    let new = repo.rev_list(&[], &format!("{tip}\n^{known}\n"));
    let all = repo.rev_list(&[], &tip.to_hex());
    let mut source = repo.source();
    let table = CommitTable::new(HashKind::Sha1);
    let mut closed = 0;
    for lost in std::iter::once(None).chain(all.iter().step_by(3).map(Some)) {
        let number = lost.map(|lost| source.remove(lost));
        let mut links = Links::new(HashKind::Sha1, new.len() as u32, graph::links_room());
        let sent = |id: &ObjectId| new.contains(id) && Some(id) != lost;
        let kind_of =
            |id: &ObjectId| sent(id).then(|| source.objects[source.number(id) as usize].1);
        for id in new.iter().filter(|id| sent(id)) {
            let (_, kind, content) = &source.objects[source.number(id) as usize];
            links.look(*kind, content);
        }
        let outside = graph::outside(vec![links], kind_of).unwrap();
        let by_walk = check(&source, &[tip], &[known]).unwrap();
        let parts = (&outside, &sent as &dyn Fn(&ObjectId) -> bool);
        let by_links = is_closed(&source, &table, &[tip], &[known], parts, &Watch::new()).unwrap();
        // a walk may trust what the known refs reach where the links ask for it
        assert!(by_links <= by_walk.is_none(), "without {lost:?}");
        assert!(by_links || lost.is_some());
        if lost.is_some_and(|lost| new.contains(lost)) {
            assert!(!by_links && by_walk.is_some());
        }
        closed += usize::from(by_links);
        if let (Some(lost), Some(number)) = (lost, number) {
            source.put_back(*lost, number);
        }
    }
    assert!(closed > 1);
}

/// A source of commits and trees that no repository would hold, and the names of its objects.
struct Made {
    text: Vec<u8>,
    ids: Vec<ObjectId>,
}

impl Made {
    fn new() -> Self {
        Self { text: Vec::new(), ids: Vec::new() }
    }

    fn add(&mut self, kind: &str, content: &[u8]) -> ObjectId {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&(self.ids.len() as u32 + 1).to_be_bytes());
        let id = ObjectId::from_bytes(&bytes).unwrap();
        self.text.extend_from_slice(format!("{id} {kind} {}\n", content.len()).as_bytes());
        self.text.extend_from_slice(content);
        self.text.push(b'\n');
        self.ids.push(id);
        id
    }

    fn check(&self, tip: ObjectId, known: &[ObjectId], bytes: u64) -> String {
        let source = super::memory::MemorySource::parse(HashKind::Sha1, &self.text);
        let table = CommitTable::new(HashKind::Sha1);
        let watch = Watch::new().within_bytes(bytes);
        match check_connected(&source, &table, &[tip], known, &IdSet::default(), &watch) {
            Ok(missing) => format!("{missing:?}"),
            Err(error) => error.to_string(),
        }
    }
}

#[test]
fn commits_with_many_parents_take_bounded_memory() {
    let mut made = Made::new();
    let tree = made.add("tree", b"");
    let start = made.add("commit", format!("tree {tree}\nauthor").as_bytes());
    // each names all before it, and each of these again and again
    for _ in 0..100 {
        let parents: String = made.ids[1..].iter().map(|id| format!("parent {id}\n")).collect();
        made.add("commit", format!("tree {tree}\n{}author", parents.repeat(10)).as_bytes());
    }
    let tip = *made.ids.last().unwrap();
    // what is named is counted once a commit: 101 commits and 5,050 parents
    for known in [&[][..], &[start]] {
        assert_eq!(made.check(tip, known, 100_000), "None", "{known:?}");
        let told = made.check(tip, known, 20_000);
        assert_eq!(told, "took more than 20000 bytes of memory", "{known:?}");
    }
}

#[test]
fn names_of_folders_take_bounded_memory() {
    let mut made = Made::new();
    let empty = made.add("tree", b"");
    let start = made.add("commit", format!("tree {empty}\nauthor").as_bytes());
    let mut inner = made.add("tree", b"100644 \0");
    let blob = made.add("blob", b"");
    for depth in 0..40u8 {
        let name = vec![b'a' + depth % 26; 1 << 20];
        let entries = [b"100644 a\0", blob.as_bytes(), b"40000 ", &name, b"\0", inner.as_bytes()];
        inner = made.add("tree", &entries.concat());
    }
    let tip = format!("tree {inner}\nparent {start}\nauthor");
    let tip = made.add("commit", tip.as_bytes());
    let told = made.check(tip, &[start], 8 << 20);
    assert_eq!(told, "took more than 8388608 bytes of memory");
    // with room, the last one is read: it breaks off
    assert!(made.check(tip, &[start], 128 << 20).contains("malformed tree"));
}
