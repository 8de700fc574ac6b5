//! Packs that are made to hurt.

use super::super::Blame;
use super::*;

fn refuse(pack: &[u8]) -> IngestError {
    let bench = Bench::new(HashKind::Sha1);
    let error = bench.take_alone(pack).unwrap_err();
    bench.assert_untouched();
    assert_ne!(error.blame(), Blame::Ours, "{error}");
    error
}

fn refuse_with(pack: &[u8], limits: ReceiveLimits) -> &'static str {
    let bench = Bench::new(HashKind::Sha1);
    let error = bench.take(pack, 1 << 16, Memory::new(bench.hash), limits).unwrap_err();
    bench.assert_untouched();
    assert_eq!(error.blame(), Blame::Limit);
    assert!(error.wire().is_some());
    let IngestError::Limit { what, .. } = error else { panic!("{error}") };
    what
}

#[test]
fn claims_are_not_believed() {
    // four billion objects, in 12 bytes; then as many as allowed, in a pack of none
    let mut pack = b"PACK\0\0\0\x02\xff\xff\xff\xff".to_vec();
    seal(&mut pack, HashKind::Sha1);
    assert!(matches!(refuse(&pack), IngestError::Limit { what: "number of objects", .. }));
    pack[8..12].copy_from_slice(&100_000_000u32.to_be_bytes());
    refuse(&pack);
    for version in [0, 1, 4] {
        pack[7] = version;
        assert!(matches!(refuse(&pack), IngestError::NotAPack));
    }

    // an object of 2^63 bytes, one of 8 GiB that ends after five
    for size in [1 << 63, 8 << 30, 6, 4] {
        let mut craft = Craft::new(HashKind::Sha1);
        craft.entry_claiming(EntryKind::Whole(ObjectKind::Blob), size, b"hello");
        refuse(&craft.done());
    }
    for size in [u64::MAX, 1 << 32, 6, 4] {
        let mut craft = Craft::new(HashKind::Sha1);
        let base = craft.blob(b"hello");
        let distance = craft.bytes.len() as u64 - base;
        craft.entry_claiming(EntryKind::OfsDelta(distance), size, &[5, 1, 0x90]);
        refuse(&craft.done());
    }
}

#[test]
fn bombs_are_bounded() {
    let zeros = vec![0u8; 20 << 20];
    let mut craft = Craft::new(HashKind::Sha1);
    craft.entry_claiming(EntryKind::Whole(ObjectKind::Blob), 100, &zeros);
    assert!(matches!(refuse(&craft.done()), IngestError::Zlib { .. }));

    let mut craft = Craft::new(HashKind::Sha1);
    craft.blob(&zeros);
    let pack = craft.done();
    let limits = ReceiveLimits { max_object_bytes: 10 << 20, ..ReceiveLimits::default() };
    assert_eq!(refuse_with(&pack, limits), "object size");

    // 16 MiB out of each 100 bytes
    let mut craft = Craft::new(HashKind::Sha1);
    let root = craft.blob(&[7; 0x10000]);
    let mut delta = vec![0x80, 0x80, 0x04, 0x80, 0x80, 0x80, 0x08];
    delta.extend([0x80; 256]);
    let first = craft.delta(root, &delta);
    // its sizes: of a base of 16 MiB, a result of 16 MiB
    let mut copy = vec![0x80, 0x80, 0x80, 0x08, 0x80, 0x80, 0x80, 0x08];
    copy.extend([0xf0, 0, 0, 0x80, 0xf8, 0x80, 0, 0, 0x80]);
    let second = craft.delta(first, &copy);
    let pack = craft.done();
    assert!(second > first);
    let limits = ReceiveLimits { max_delta_bytes: 10 << 20, ..ReceiveLimits::default() };
    assert_eq!(refuse_with(&pack, limits), "size of objects in delta chains");
    let limits = ReceiveLimits { max_total_bytes: 20 << 20, ..ReceiveLimits::default() };
    assert_eq!(refuse_with(&pack, limits), "inflated size");
    let limits = ReceiveLimits { max_pack_bytes: 100, ..ReceiveLimits::default() };
    assert_eq!(refuse_with(&pack, limits), "pack size");
}

#[test]
fn trees_of_absurd_size_are_refused() {
    let zeros = vec![0u8; 2 << 20];
    let limits = ReceiveLimits { max_parsed_bytes: 1 << 20, ..ReceiveLimits::default() };
    for kind in [ObjectKind::Commit, ObjectKind::Tree, ObjectKind::Tag] {
        let mut craft = Craft::new(HashKind::Sha1);
        craft.entry(EntryKind::Whole(kind), &zeros);
        assert_eq!(refuse_with(&craft.done(), limits), "size of a commit, tree or tag");
        // the same as a delta
        let mut craft = Craft::new(HashKind::Sha1);
        let root = craft.entry(EntryKind::Whole(kind), &[7; 0x10000]);
        let mut delta = vec![0x80, 0x80, 0x04, 0x80, 0x80, 0x80, 0x01];
        delta.extend([0x80; 32]);
        craft.delta(root, &delta);
        assert_eq!(refuse_with(&craft.done(), limits), "size of a commit, tree or tag");
    }
    let mut craft = Craft::new(HashKind::Sha1);
    craft.blob(&zeros);
    let bench = Bench::new(HashKind::Sha1);
    bench.take(&craft.done(), 1 << 16, Memory::new(bench.hash), limits).unwrap();
}

#[test]
fn delta_sizes_are_not_believed() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let cases: Vec<Vec<u8>> = vec![
        vec![],
        vec![5],
        vec![5, 0x80],
        [&[5][..], &huge].concat(),
        [&huge[..], &[5]].concat(),
        vec![0xff; 30],
        vec![4, 1, 0x90, 1],
        vec![5, 5, 0x91, 1, 5],
        vec![5, 5, 0x8f, 0xff, 0xff, 0xff, 0xff],
        vec![5, 2, 0],
        vec![5, 2, 3, b'x'],
        vec![5, 9, 1, b'x'],
        vec![5, 0, 1, b'x'],
    ];
    for delta in cases {
        let mut craft = Craft::new(HashKind::Sha1);
        let base = craft.blob(b"hello");
        craft.delta(base, &delta);
        let error = refuse(&craft.done());
        let expected = matches!(error, IngestError::Delta { offset: 26, .. })
            || matches!(error, IngestError::Limit { .. });
        assert!(expected, "{delta:?}: {error:?}");
    }
}

#[test]
fn offsets_must_lead_to_entries() {
    // one byte past the base, before the pack, into its header, far beyond 32 bits
    for distance in [1, 13, 14 + 1, 14 + 12, 14 + 13, 1 << 33, 1 << 62] {
        let mut craft = Craft::new(HashKind::Sha1);
        craft.blob(b"hello");
        let at = craft.entry(EntryKind::OfsDelta(distance), &appending(5, b"!"));
        assert_eq!(at, 26);
        let error = refuse(&craft.done());
        assert!(matches!(error, IngestError::BaseOffset { offset: 26 }), "{distance}: {error:?}");
    }
    for bytes in [&[0x61, 0][..], &[0x61, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]]
    {
        let mut craft = Craft::new(HashKind::Sha1);
        craft.blob(b"hello");
        craft.raw(bytes);
        assert!(matches!(refuse(&craft.done()), IngestError::Entry { offset: 26, .. }));
    }
}

#[test]
fn cycles_and_missing_bases_are_unresolved() {
    let id = |content: &[u8]| object_id(HashKind::Sha1, ObjectKind::Blob, content);
    let (a, b) = (id(b"aaaa"), id(b"bbbb"));
    let cycle = |on_a: &[u8], on_b: &[u8]| {
        let mut craft = Craft::new(HashKind::Sha1);
        craft.entry(EntryKind::RefDelta(a), on_a);
        craft.entry(EntryKind::RefDelta(b), on_b);
        craft.done()
    };
    let (make_a, make_b) = ([4, 4, 4, b'a', b'a', b'a', b'a'], [4, 4, 4, b'b', b'b', b'b', b'b']);
    let pack = cycle(&make_b, &make_a);
    assert!(matches!(refuse(&pack), IngestError::Unresolved { count: 2 }));
    // its own base
    let mut craft = Craft::new(HashKind::Sha1);
    craft.entry(EntryKind::RefDelta(a), &make_a);
    let own = craft.done();
    assert!(matches!(refuse(&own), IngestError::Unresolved { count: 1 }));
    // neither could be read again after a repository that has both has completed it
    for pack in [pack, own] {
        let bench = Bench::new(HashKind::Sha1);
        let mut base = Memory::new(HashKind::Sha1);
        base.add(ObjectKind::Blob, b"aaaa");
        base.add(ObjectKind::Blob, b"bbbb");
        let error = bench.take(&pack, 100, base, ReceiveLimits::default()).unwrap_err();
        assert!(matches!(error, IngestError::Unresolved { .. }), "{error}");
        bench.assert_untouched();
    }
}

#[test]
fn chains_are_followed_to_their_limit() {
    let chain = |depth: usize| {
        let mut craft = Craft::new(HashKind::Sha1);
        let mut base = craft.blob(b"");
        for n in 0..depth {
            base = craft.delta(base, &appending(n, b"x"));
        }
        craft.done()
    };
    let bench = Bench::new(HashKind::Sha1);
    assert_eq!(bench.take_alone(&chain(4095)).unwrap().count, 4096);
    assert!(matches!(refuse(&chain(4096)), IngestError::Limit { what: "delta depth", .. }));
}

#[test]
fn one_object_twice_is_refused() {
    let mut craft = Craft::new(HashKind::Sha1);
    let base = craft.blob(b"hello");
    craft.blob(b"hello!");
    craft.delta(base, &appending(5, b"!"));
    assert!(matches!(refuse(&craft.done()), IngestError::Duplicate(_)));
    // with deltas that both could be the base of
    let mut craft = Craft::new(HashKind::Sha1);
    craft.blob(b"hello");
    craft.blob(b"hello");
    let id = object_id(HashKind::Sha1, ObjectKind::Blob, b"hello");
    craft.entry(EntryKind::RefDelta(id), &appending(5, b"!"));
    assert!(matches!(refuse(&craft.done()), IngestError::Duplicate(_)));
}

#[test]
fn stored_objects_are_not_replaced() {
    let large: Vec<u8> = (0..5_000_000u32).map(|n| (n >> 3) as u8).collect();
    let contents: [&[u8]; 3] = [b"hello", b"hello!", &large];
    let mut craft = Craft::new(HashKind::Sha1);
    let base = craft.blob(contents[0]);
    craft.delta(base, &appending(5, b"!"));
    craft.blob(contents[2]);
    let pack = craft.done();
    let blob = ObjectKind::Blob;
    // the same objects are there: nothing is wrong
    let bench = Bench::new(HashKind::Sha1);
    let mut base = Memory::new(bench.hash);
    for content in contents {
        base.add(blob, content);
    }
    assert_eq!(bench.take(&pack, 1 << 16, base, ReceiveLimits::default()).unwrap().count, 3);
    // another object under one of their names: other content, size, or kind
    for content in contents {
        let id = object_id(HashKind::Sha1, blob, content);
        let mut other = content.to_vec();
        other[content.len() - 1] ^= 1;
        let shorter = content[1..].to_vec();
        for (kind, stored) in [(blob, &other[..]), (blob, &shorter), (ObjectKind::Tree, content)] {
            let bench = Bench::new(HashKind::Sha1);
            let mut base = Memory::new(bench.hash);
            base.add_as(id, kind, stored);
            let error = bench.take(&pack, 1 << 16, base, ReceiveLimits::default()).unwrap_err();
            assert!(matches!(error, IngestError::Differs(found) if found == id), "{error}");
            bench.assert_untouched();
        }
    }
}

#[test]
fn nothing_is_taken_after_an_error() {
    let bench = Bench::new(HashKind::Sha1);
    let quarantine = Quarantine::create(&bench.objects(), bench.hash).unwrap();
    let mut receiver = quarantine.receive(ReceiveLimits::default()).unwrap();
    assert!(matches!(receiver.write(b"not a pack, not at all"), Err(IngestError::NotAPack)));
    assert!(matches!(receiver.write(b"PACK"), Err(IngestError::Spent)));
    let base = Arc::new(Memory::new(bench.hash));
    assert!(matches!(receiver.finish(base, 1, &Watch::new()), Err(IngestError::Spent)));
}

#[test]
fn cancelling_stops_the_resolution() {
    let mut craft = Craft::new(HashKind::Sha1);
    let root = craft.blob(b"root");
    for n in 0..2000u16 {
        craft.delta(root, &appending(4, &n.to_be_bytes()));
    }
    let pack = craft.done();
    let bench = Bench::new(HashKind::Sha1);
    let quarantine = Quarantine::create(&bench.objects(), bench.hash).unwrap();
    let mut receiver = quarantine.receive(ReceiveLimits::default()).unwrap();
    receiver.write(&pack).unwrap();
    let watch = Watch::new();
    watch.cancel();
    let error = receiver.finish(Arc::new(Memory::new(bench.hash)), 2, &watch).unwrap_err();
    assert_eq!(error.blame(), Blame::Cancelled);
}

#[test]
fn our_disk_is_not_the_peers_fault() {
    let bench = Bench::new(HashKind::Sha1);
    let mut quarantine = Quarantine::create(&bench.objects(), bench.hash).unwrap();
    let mut receiver = quarantine.receive(ReceiveLimits::default()).unwrap();
    let mut craft = Craft::new(HashKind::Sha1);
    craft.blob(b"hello");
    receiver.write(&craft.done()).unwrap();
    quarantine.discard().unwrap();
    let error = receiver.finish(Arc::new(Memory::new(bench.hash)), 1, &Watch::new()).unwrap_err();
    assert_eq!((error.blame(), error.wire()), (Blame::Ours, None));
    assert!(error.to_string().contains("incoming-"), "{error}");
}
