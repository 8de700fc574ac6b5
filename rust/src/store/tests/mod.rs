//! The store against real git.

mod beside;
mod formats;
mod handmade;
mod hostile;

use super::testing::TestRepo;
use super::*;
use crate::hash::{HashKind, ObjectId};
use crate::source::{ObjectReader, ObjectSource};

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
        let mut given = b"before".to_vec();
        assert_eq!(reader.read_into(number, &mut given).unwrap(), kind, "{id}");
        assert!(given == content, "{id}");
        assert_eq!(reader.read(number).unwrap(), (kind, &content[..]), "{id}");
        assert_eq!(reader.read_into(number, &mut given).unwrap(), kind, "{id}");
        assert!(given == content, "{id}");
        assert!(streamed(reader.as_mut(), number) == content, "{id}");
        if let Some(at) = snapshot.packed_at(number) {
            assert_eq!(snapshot.number_at_offset(at.pack, at.offset), Some(number));
            assert!(snapshot.pack(at.pack).unwrap().entry_end(at.offset).unwrap() > at.offset);
        }
    }
    let absent = ObjectId::from_bytes(&vec![0xab; repo.hash.len()]).unwrap();
    assert_eq!(snapshot.lookup(&absent).unwrap(), None);
    assert_eq!(snapshot.take_warnings(), Vec::<String>::new());
}

fn streamed(reader: &mut dyn ObjectReader, number: u32) -> Vec<u8> {
    let mut content = Vec::new();
    let mut sink = |piece: &[u8]| {
        assert!(piece.len() <= 64 * 1024);
        content.extend_from_slice(piece);
        true
    };
    reader.stream(number, &mut sink).unwrap();
    content
}
