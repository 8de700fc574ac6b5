//! What a pack leads to outside itself.

use std::collections::BTreeSet;

use super::*;
use crate::graph::Outside;

/// Takes a pack in and says what it leads to.
fn outside(pack: &[u8], base: Memory, limits: ReceiveLimits) -> Option<Outside> {
    let bench = Bench::new(base.hash);
    let quarantine = Quarantine::create(&bench.objects(), bench.hash).unwrap();
    let mut receiver = quarantine.receive(limits).unwrap();
    for piece in pack.chunks(1 << 16) {
        receiver.write(piece).unwrap();
    }
    receiver.finish(Arc::new(base), 2, &Watch::new()).unwrap();
    receiver.outside().cloned()
}

fn gather() -> ReceiveLimits {
    ReceiveLimits { gather_from: 0, ..ReceiveLimits::default() }
}

fn ids(text: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8(text.to_vec()).unwrap();
    text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

fn pack_of(repo: &Path, ids: &BTreeSet<String>) -> Vec<u8> {
    let list: Vec<&str> = ids.iter().map(String::as_str).collect();
    git(repo, &["pack-objects", "--stdout", "-q"], (list.join("\n") + "\n").as_bytes())
}

#[test]
fn a_whole_history_leads_nowhere_else() {
    for hash in [HashKind::Sha1, HashKind::Sha256] {
        let bench = Bench::new(hash);
        let repo = make_history(bench.folder.path(), hash, 40);
        for options in [&["--delta-base-offset"][..], &[], &["--window=0"]] {
            let pack = whole_pack(&repo, options);
            // whatever the workers hold, and whoever has to look again
            for memory in [0, 20_000, 192 << 20] {
                let limits = ReceiveLimits { memory, ..gather() };
                let found = outside(&pack, Memory::new(hash), limits);
                // what is too large for a worker's share is not looked at
                assert!(found == Some(vec![]) || memory < 192 << 20, "{options:?} {found:?}");
                assert!(found.is_none_or(|found| found.is_empty()));
            }
            let default = outside(&pack, Memory::new(hash), ReceiveLimits::default());
            assert_eq!(default, None, "so few objects are not worth it");
        }
    }
}

#[test]
fn each_object_that_is_left_out_is_told_of() {
    let bench = Bench::new(HashKind::Sha1);
    let repo = make_history(bench.folder.path(), HashKind::Sha1, 4);
    let all = ids(&git(&repo, &["rev-list", "--objects", "--all"], b""));
    for id in &all {
        let mut some = all.clone();
        some.remove(id);
        let pack = pack_of(&repo, &some);
        let found = outside(&pack, Memory::new(HashKind::Sha1), gather()).unwrap();
        let kind = git(&repo, &["cat-file", "-t", id], b"");
        let kind = ObjectKind::from_name(kind.trim_ascii_end()).unwrap();
        let wanted = vec![(ObjectId::from_hex(id.as_bytes()).unwrap(), kind)];
        // nothing leads to the tips
        assert!(found == wanted || (found.is_empty() && kind != ObjectKind::Blob), "{id}");
        assert_eq!(
            found.is_empty(),
            kind == ObjectKind::Tag,
            "the tag leads to the newest commit, and all else follows"
        );
    }
}

#[test]
fn of_a_thin_pack_the_rest_is_outside() {
    let bench = Bench::new(HashKind::Sha1);
    let repo = make_history(bench.folder.path(), HashKind::Sha1, 20);
    let list =
        |range: &[&str]| ids(&git(&repo, &[&["rev-list", "--objects"][..], range].concat(), b""));
    let mut base = Memory::new(HashKind::Sha1);
    for id in list(&["HEAD~6"]) {
        let kind = git(&repo, &["cat-file", "-t", &id], b"");
        let kind = String::from_utf8(kind.trim_ascii_end().to_vec()).unwrap();
        let content = git(&repo, &["cat-file", &kind, &id], b"");
        base.add(ObjectKind::from_name(kind.as_bytes()).unwrap(), &content);
    }
    let args = ["pack-objects", "--revs", "--stdout", "--thin", "-q"];
    let pack = git(&repo, &args, b"HEAD\n^HEAD~6\n");
    let found = outside(&pack, base, gather()).unwrap();
    let parent = String::from_utf8(git(&repo, &["rev-parse", "HEAD~6"], b"")).unwrap();
    let outside: BTreeSet<String> = found.iter().map(|(id, _)| id.to_hex()).collect();
    assert!(outside.contains(parent.trim()));
    // what is sent, and what is behind what is outside, is everything
    let roots: Vec<&str> = outside.iter().map(String::as_str).collect();
    let sent = list(&["HEAD", "^HEAD~6"]);
    assert!(sent.is_disjoint(&outside));
    let together: BTreeSet<String> = sent.union(&list(&roots)).cloned().collect();
    assert_eq!(together, list(&["HEAD"]));
}
