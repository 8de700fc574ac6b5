//! Thin packs: bases that only the repository has.

use super::*;

/// A repository, and the pack of its last commits with bases among the first ones.
fn history() -> (Bench, PathBuf, Vec<u8>) {
    let bench = Bench::new(HashKind::Sha1);
    let repo = make_history(bench.folder.path(), bench.hash, 8);
    let args = ["pack-objects", "--revs", "--thin", "--stdout", "--delta-base-offset", "-q"];
    let pack = git(&repo, &args, b"HEAD\n^HEAD~3\n");
    (bench, repo, pack)
}

fn objects_of(repo: &Path) -> Memory {
    let mut memory = Memory::new(HashKind::Sha1);
    let names = git(repo, &["rev-list", "--objects", "--no-object-names", "HEAD~3"], b"");
    for name in names.split(|&b| b == b'\n').filter(|name| !name.is_empty()) {
        let name = std::str::from_utf8(name).unwrap();
        let kind = git(repo, &["cat-file", "-t", name], b"");
        let kind_name = String::from_utf8(kind).unwrap().trim().to_owned();
        let content = git(repo, &["cat-file", &kind_name, name], b"");
        let kind = ObjectKind::from_name(kind_name.as_bytes()).unwrap();
        assert_eq!(memory.add(kind, &content).to_hex(), name);
    }
    memory
}

#[test]
fn thin_packs_are_completed() {
    let (bench, repo, pack) = history();
    let sent = u32::from_be_bytes(pack[8..12].try_into().unwrap());
    let landed = bench.take(&pack, 1000, objects_of(&repo), ReceiveLimits::default()).unwrap();
    assert!(landed.count > sent, "the pack was not thin");
    // stands alone: git reads every object of it, and makes the same index of it
    git(bench.folder.path(), &["verify-pack", landed.path.to_str().unwrap()], b"");
    std::fs::write(bench.folder.path().join("y.pack"), &landed.pack).unwrap();
    git(bench.folder.path(), &["index-pack", "--rev-index", "-o", "y.idx", "y.pack"], b"");
    assert!(std::fs::read(bench.folder.path().join("y.idx")).unwrap() == landed.idx);
    assert!(std::fs::read(bench.folder.path().join("y.rev")).unwrap() == landed.rev);
    let end = landed.pack.len() - 20;
    let trailer = ObjectId::from_bytes(&landed.pack[end..]).unwrap();
    assert!(landed.path.to_str().unwrap().contains(&trailer.to_hex()));
    // all that was sent came first, as it was
    assert_eq!(landed.pack[12..pack.len() - 20], pack[12..pack.len() - 20]);
}

#[test]
fn bases_that_are_nowhere_are_an_error() {
    let (bench, _, pack) = history();
    let error = bench.take_alone(&pack).unwrap_err();
    assert!(matches!(error, IngestError::Unresolved { .. }), "{error}");
    bench.assert_untouched();
}

#[test]
fn a_base_that_the_pack_has_too_is_not_appended() {
    let hash = HashKind::Sha1;
    let id = |content: &[u8]| object_id(hash, ObjectKind::Blob, content);
    // "hello!!" on "hello!" on "hello"; the repository has the latter two
    for names_first in [false, true] {
        let mut craft = Craft::new(hash);
        let first = (id(b"hello"), appending(5, b"!"));
        let second = (id(b"hello!"), appending(6, b"!"));
        let deltas = if names_first { [second, first] } else { [first, second] };
        for (base, delta) in &deltas {
            craft.entry(EntryKind::RefDelta(*base), delta);
        }
        let pack = craft.done();
        let bench = Bench::new(hash);
        let mut base = Memory::new(hash);
        base.add(ObjectKind::Blob, b"hello");
        base.add(ObjectKind::Blob, b"hello!");
        let landed = bench.take(&pack, 50, base, ReceiveLimits::default()).unwrap();
        assert_eq!(landed.count, 3);
        git(bench.folder.path(), &["verify-pack", landed.path.to_str().unwrap()], b"");
    }
}

#[test]
fn a_corrupt_base_does_not_spread() {
    let hash = HashKind::Sha1;
    let bench = Bench::new(hash);
    let mut craft = Craft::new(hash);
    let id = object_id(hash, ObjectKind::Blob, b"hello");
    craft.entry(EntryKind::RefDelta(id), &appending(5, b"!"));
    let mut base = Memory::new(hash);
    base.add_as(id, ObjectKind::Blob, b"hallo");
    let error = bench.take(&craft.done(), 50, base, ReceiveLimits::default()).unwrap_err();
    assert!(matches!(error, IngestError::Source(SourceError::Corrupt { .. })), "{error}");
    bench.assert_untouched();
}
