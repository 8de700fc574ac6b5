//! Packs that no git would write, made by hand.

use std::fs;
use std::io::{Seek, Write};

use super::*;
use crate::hash::Hasher;
use crate::pack::entry::{EntryHeader, EntryKind};
use crate::zlib::Deflater;

const HASH: HashKind = HashKind::Sha1;

/// Entries as they are put in, whatever they say.
struct PackMaker {
    data: Vec<u8>,
    /// A hole in the file: where in `data`, and how long.
    hole: (usize, u64),
    entries: Vec<(ObjectId, u64)>,
}

impl PackMaker {
    fn new() -> Self {
        Self { data: b"PACK\0\0\0\x02\0\0\0\0".to_vec(), hole: (0, 0), entries: vec![] }
    }

    fn add(&mut self, id: ObjectId, kind: EntryKind, content: &[u8]) -> u64 {
        let offset = self.next_offset();
        EntryHeader::write(&kind, content.len() as u64, &mut self.data);
        Deflater::new(6).deflate_all(content, &mut self.data);
        self.entries.push((id, offset));
        offset
    }

    fn next_offset(&self) -> u64 {
        self.data.len() as u64 + self.hole.1
    }

    /// Writes the pack with an index of version 2.
    fn write(mut self, repo: &TestRepo) {
        self.entries.sort();
        let count = (self.entries.len() as u32).to_be_bytes();
        self.data[8..12].copy_from_slice(&count);
        sign(&mut self.data);
        let mut index = vec![0xff, b't', b'O', b'c', 0, 0, 0, 2];
        for first in 0..=255 {
            let below = self.entries.iter().filter(|(id, _)| id.as_bytes()[0] <= first).count();
            index.extend((below as u32).to_be_bytes());
        }
        self.entries.iter().for_each(|(id, _)| index.extend(id.as_bytes()));
        self.entries.iter().for_each(|_| index.extend([0; 4]));
        let mut large = Vec::new();
        for &(_, offset) in &self.entries {
            let mut short = offset as u32;
            if offset >= 1 << 31 {
                short = 1 << 31 | (large.len() / 8) as u32;
                large.extend(offset.to_be_bytes());
            }
            index.extend(short.to_be_bytes());
        }
        index.extend(large);
        index.extend(&self.data[self.data.len() - HASH.len()..]);
        sign(&mut index);
        let checksum = ObjectId::from_bytes(&self.data[self.data.len() - HASH.len()..]).unwrap();
        let path = repo.objects_dir().join(format!("pack/pack-{checksum}.pack"));
        let mut file = fs::File::create(&path).unwrap();
        let (before, after) = self.data.split_at(self.hole.0);
        file.write_all(before).unwrap();
        file.seek_relative(self.hole.1 as i64).unwrap();
        file.write_all(after).unwrap();
        fs::write(path.with_extension("idx"), index).unwrap();
    }
}

fn sign(file: &mut Vec<u8>) {
    let mut hasher = Hasher::new(HASH);
    hasher.update(file);
    file.extend(hasher.finish().as_bytes());
}

fn name(nth: u32) -> ObjectId {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&nth.wrapping_mul(0x9e37_79b1).to_be_bytes());
    ObjectId::from_bytes(&bytes).unwrap()
}

#[test]
fn offsets_beyond_4_gib() {
    let repo = TestRepo::new(HASH);
    let mut pack = PackMaker::new();
    let id = |content: &[u8]| crate::object::object_id(HASH, ObjectKind::Blob, content);
    let (near, far) = (&b"in the first bytes"[..], &b"behind a hole of 5 GiB"[..]);
    pack.add(id(near), EntryKind::Whole(ObjectKind::Blob), near);
    pack.hole = (pack.data.len(), 5 << 30);
    let offset = pack.add(id(far), EntryKind::Whole(ObjectKind::Blob), far);
    pack.write(&repo);
    for round in 0..2 {
        let snapshot = repo.snapshot();
        for content in [near, far] {
            let number = snapshot.lookup(&id(content)).unwrap().unwrap();
            assert_eq!(snapshot.reader().read(number).unwrap().1, content, "round {round}");
        }
        let far = snapshot.lookup(&id(far)).unwrap();
        assert_eq!(snapshot.packed_at(far.unwrap()).unwrap().offset, offset);
        assert_eq!(snapshot.number_at_offset(0, offset), far);
        let pack = &snapshot.packs()[0];
        assert_eq!(pack.entry_end(12).unwrap(), offset);
        assert_eq!(pack.entry_end(offset).unwrap(), pack.end_of_entries());
        assert_eq!(snapshot.take_warnings(), Vec::<String>::new());
        // the second time through a table of 64-bit offsets in a multi-pack-index
        repo.git(&["multi-pack-index", "write"]);
        let midx = fs::read(repo.objects_dir().join("pack/multi-pack-index")).unwrap();
        assert!(midx.windows(4).any(|four| four == b"LOFF"));
    }
}

/// Nine bytes of a base of ten, and this one.
fn delta(byte: u8) -> [u8; 6] {
    [10, 10, 0x90, 9, 1, byte]
}

fn error_of(repo: &TestRepo, id: ObjectId) -> String {
    let snapshot = repo.snapshot();
    let number = snapshot.lookup(&id).unwrap().unwrap();
    let mut reader = snapshot.reader();
    let error = reader.read(number).unwrap_err().to_string();
    assert!(reader.header(number).is_err() || !error.contains("circle"));
    assert!(reader.stream(number, &mut |_| true).is_err());
    error
}

#[test]
fn circles_end() {
    let repo = TestRepo::new(HASH);
    let mut pack = PackMaker::new();
    pack.add(name(1), EntryKind::RefDelta(name(2)), &delta(b'x'));
    pack.add(name(2), EntryKind::RefDelta(name(1)), &delta(b'y'));
    pack.add(name(3), EntryKind::RefDelta(name(3)), &delta(b'z'));
    pack.write(&repo);
    for nth in 1..=3 {
        let error = error_of(&repo, name(nth));
        assert!(error.contains("circle") && error.contains(".pack: "), "{error}");
    }
}

#[test]
fn bases_have_to_be_there() {
    let repo = TestRepo::new(HASH);
    let mut pack = PackMaker::new();
    pack.add(name(1), EntryKind::RefDelta(name(9)), &delta(b'x'));
    pack.add(name(2), EntryKind::OfsDelta(1 << 40), &delta(b'x'));
    let inside = pack.next_offset() - 5;
    pack.add(name(3), EntryKind::OfsDelta(inside), &delta(b'x'));
    pack.write(&repo);
    assert!(error_of(&repo, name(1)).contains("is missing"));
    assert!(error_of(&repo, name(2)).contains("before the start"));
    assert!(error_of(&repo, name(3)).contains("no entry can be here"));
}

#[test]
fn deep_chains_are_followed_up_to_a_limit() {
    let repo = TestRepo::new(HASH);
    let mut pack = PackMaker::new();
    let mut last = pack.add(name(0), EntryKind::Whole(ObjectKind::Blob), b"0123456789");
    for nth in 1..=10_001 {
        let here = pack.next_offset();
        let kind = EntryKind::OfsDelta(here - last);
        last = pack.add(name(nth), kind, &delta(b'a' + (nth % 26) as u8));
    }
    pack.write(&repo);
    let snapshot = repo.snapshot();
    let number = |nth| snapshot.lookup(&name(nth)).unwrap().unwrap();
    let mut reader = snapshot.reader();
    assert!(matches!(reader.read(number(10_001)), Err(SourceError::Corrupt { .. })));
    assert_eq!(reader.header(number(5000)).unwrap(), (ObjectKind::Blob, 10));
    let expected = [&b"012345678"[..], &[b'a' + (5000 % 26) as u8]].concat();
    assert_eq!(reader.read(number(5000)).unwrap(), (ObjectKind::Blob, &expected[..]));
    // from what is known by now, the rest is near enough
    assert!(reader.read(number(10_001)).is_ok());
}

#[test]
fn a_base_may_be_loose() {
    let repo = TestRepo::new(HASH);
    let base = repo.store().write_loose(ObjectKind::Blob, b"0123456789").unwrap();
    let mut pack = PackMaker::new();
    let first = pack.add(name(1), EntryKind::RefDelta(base), &delta(b'x'));
    let here = pack.next_offset();
    pack.add(name(2), EntryKind::OfsDelta(here - first), &delta(b'y'));
    pack.write(&repo);
    let snapshot = repo.snapshot();
    let mut reader = snapshot.reader();
    let number = |nth| snapshot.lookup(&name(nth)).unwrap().unwrap();
    assert_eq!(reader.header(number(2)).unwrap(), (ObjectKind::Blob, 10));
    assert_eq!(reader.read(number(2)).unwrap(), (ObjectKind::Blob, &b"012345678y"[..]));
    assert_eq!(reader.read(number(1)).unwrap(), (ObjectKind::Blob, &b"012345678x"[..]));
}

#[test]
fn sizes_that_are_lies_cost_nothing() {
    let repo = TestRepo::new(HASH);
    let mut pack = PackMaker::new();
    for (nth, size) in [(1, 1 << 29), (2, 1 << 40), (3, u64::MAX)] {
        let offset = pack.next_offset();
        pack.entries.push((name(nth), offset));
        EntryHeader::write(&EntryKind::Whole(ObjectKind::Blob), size, &mut pack.data);
        Deflater::new(6).deflate_all(b"short", &mut pack.data);
    }
    // a delta whose result would be 2^40 bytes
    pack.add(name(4), EntryKind::Whole(ObjectKind::Blob), b"0123456789");
    let mut bomb = vec![10, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20];
    bomb.extend([0x90, 10]);
    pack.add(name(5), EntryKind::RefDelta(name(4)), &bomb);
    pack.write(&repo);
    for nth in 1..=3 {
        let error = error_of(&repo, name(nth));
        assert!(error.contains("another size"), "{error}");
    }
    let snapshot = repo.snapshot();
    let number = snapshot.lookup(&name(5)).unwrap().unwrap();
    let error = snapshot.reader().read(number).unwrap_err();
    assert!(matches!(error, SourceError::TooLarge { size: 0x100_0000_0000, .. }), "{error}");
}
