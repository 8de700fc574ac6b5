//! The store against real git.

use super::testing::TestRepo;
use super::*;
use crate::hash::{HashKind, ObjectId};
use crate::source::ObjectSource;

const KINDS: [HashKind; 2] = [HashKind::Sha1, HashKind::Sha256];

/// Everything git has is here, is the same, and has one number of its own.
fn same_as_git(repo: &TestRepo, snapshot: &Snapshot) {
    let mut reader = snapshot.reader();
    let mut numbers = std::collections::HashSet::new();
    let objects = repo.all_objects();
    assert!(!objects.is_empty());
    for (id, kind, content) in objects {
        let number = snapshot.lookup(&id).unwrap().unwrap_or_else(|| panic!("{id} not found"));
        assert!(numbers.insert(number) && number < snapshot.number_bound());
        assert_eq!(snapshot.lookup(&id).unwrap(), Some(number));
        assert_eq!(snapshot.id(number), id);
        assert_eq!(reader.header(number).unwrap(), (kind, content.len() as u64), "{id}");
        assert_eq!(reader.read(number).unwrap(), (kind, &content[..]), "{id}");
        let mut streamed = Vec::new();
        let mut sink = |piece: &[u8]| {
            streamed.extend_from_slice(piece);
            true
        };
        reader.stream(number, &mut sink).unwrap();
        assert!(streamed == content, "{id}");
        if let Some(at) = snapshot.packed_at(number) {
            assert_eq!(snapshot.number_at_offset(at.pack, at.offset), Some(number));
        }
    }
    let absent = ObjectId::from_bytes(&vec![0xab; repo.hash.len()]).unwrap();
    assert_eq!(snapshot.lookup(&absent).unwrap(), None);
    assert_eq!(snapshot.take_warnings(), Vec::<String>::new());
}

#[test]
fn loose_packed_and_mixed() {
    for hash in KINDS {
        let repo = TestRepo::with_history(hash, 30);
        same_as_git(&repo, &repo.snapshot());
        repo.git(&["repack", "-adq"]);
        same_as_git(&repo, &repo.snapshot());
        repo.add_history(30, 20);
        same_as_git(&repo, &repo.snapshot());
        repo.git(&["repack", "-dq"]);
        repo.add_history(50, 5);
        same_as_git(&repo, &repo.snapshot());
    }
}

#[test]
fn a_write_is_what_git_would_write() {
    for hash in KINDS {
        let repo = TestRepo::with_history(hash, 3);
        let store = repo.store();
        let tip = repo.id("main");
        let id = store.write_loose(ObjectKind::Blob, b"written here\n").unwrap();
        assert_eq!(repo.git_with(&["cat-file", "-p", &id.to_hex()], b""), b"written here\n");
        assert_eq!(store.write_loose(ObjectKind::Blob, b"written here\n").unwrap(), id);
        let commit = repo.git_with(&["cat-file", "commit", &tip.to_hex()], b"");
        assert_eq!(store.write_loose(ObjectKind::Commit, &commit).unwrap(), tip);
        repo.git(&["fsck", "--strict"]);
        let rubbish = repo.git(&["count-objects", "-v"]);
        assert!(rubbish.contains("garbage: 0"), "{rubbish}");
    }
}
