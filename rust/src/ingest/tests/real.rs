//! Packs that git makes, judged by git.

use super::*;

/// What git makes of a pack: the index and the reverse index.
fn git_index(folder: &Path, hash: HashKind, pack: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let judge = tempfile::tempdir_in(folder).unwrap();
    std::fs::write(judge.path().join("x.pack"), pack).unwrap();
    let format = format!("--object-format={}", hash.name());
    let args = ["index-pack", "--rev-index", &format, "-o", "x.idx", "x.pack"];
    try_git(judge.path(), &args, b"")?;
    let read = |name| std::fs::read(judge.path().join(name)).unwrap();
    Some((read("x.idx"), read("x.rev")))
}

#[test]
fn indexes_are_gits_byte_for_byte() {
    for hash in [HashKind::Sha1, HashKind::Sha256] {
        let bench = Bench::new(hash);
        let repo = make_history(bench.folder.path(), hash, 12);
        for options in [&["--delta-base-offset"][..], &[], &["--depth=0"]] {
            let pack = whole_pack(&repo, options);
            let (idx, rev) = git_index(bench.folder.path(), hash, &pack).unwrap();
            for piece in [1, 7, 4096, usize::MAX] {
                let bench = Bench::new(hash);
                let limits = ReceiveLimits::default();
                let landed = bench.take(&pack, piece, Memory::new(hash), limits).unwrap();
                assert!(landed.pack == pack && landed.idx == idx && landed.rev == rev);
                let name = landed.path.file_name().unwrap().to_str().unwrap().to_owned();
                let trailer = ObjectId::from_bytes(&pack[pack.len() - hash.len()..]).unwrap();
                assert_eq!(name, format!("pack-{trailer}.pack"));
                let meta = std::fs::metadata(&landed.path).unwrap();
                let mode = std::os::unix::fs::PermissionsExt::mode(&meta.permissions());
                assert_eq!(mode & 0o777, 0o444);
            }
        }
    }
}

#[test]
fn budgets_change_nothing_but_memory() {
    let bench = Bench::new(HashKind::Sha1);
    let repo = make_history(bench.folder.path(), HashKind::Sha1, 40);
    let pack = whole_pack(&repo, &["--delta-base-offset"]);
    let (idx, _) = git_index(bench.folder.path(), HashKind::Sha1, &pack).unwrap();
    // everything is let go at once; everything is large; nearly everything is
    for memory in [0, 3000, 20_000, 100_000] {
        let bench = Bench::new(HashKind::Sha1);
        let limits = ReceiveLimits { memory, ..ReceiveLimits::default() };
        let landed = bench.take(&pack, 1 << 20, Memory::new(bench.hash), limits).unwrap();
        assert!(landed.idx == idx, "with {memory} bytes");
    }
}

#[test]
fn a_forest_larger_than_one_worker_is_shared() {
    let mut craft = Craft::new(HashKind::Sha1);
    let root = craft.blob(b"root");
    // one root with broad and deep branches, more deltas than one worker takes alone
    for branch in 0..30u8 {
        let mut base = root;
        for depth in 0..20usize {
            base = craft.delta(base, &appending(4 + depth, &[branch]));
            craft.delta(base, &appending(5 + depth, b"leaf"));
        }
    }
    let pack = craft.done();
    let bench = Bench::new(HashKind::Sha1);
    let (idx, _) = git_index(bench.folder.path(), HashKind::Sha1, &pack).unwrap();
    for memory in [0, 1 << 20] {
        let bench = Bench::new(HashKind::Sha1);
        let limits = ReceiveLimits { memory, ..ReceiveLimits::default() };
        let landed = bench.take(&pack, 1 << 20, Memory::new(bench.hash), limits).unwrap();
        assert_eq!(landed.count, 1201);
        assert!(landed.idx == idx);
    }
}

#[test]
fn large_blobs_stream() {
    let content: Vec<u8> = (0..9_000_000u32).map(|n| (n.wrapping_mul(n) >> 9) as u8).collect();
    let mut craft = Craft::new(HashKind::Sha1);
    craft.blob(&content);
    craft.blob(b"");
    let pack = craft.done();
    let bench = Bench::new(HashKind::Sha1);
    let (idx, _) = git_index(bench.folder.path(), HashKind::Sha1, &pack).unwrap();
    assert!(bench.take_alone(&pack).unwrap().idx == idx);
}

#[test]
fn what_follows_the_trailer_is_left() {
    let mut craft = Craft::new(HashKind::Sha1);
    craft.blob(b"hello");
    let pack = craft.done();
    for piece in 1..pack.len() + 9 {
        let bench = Bench::new(HashKind::Sha1);
        let quarantine = Quarantine::create(&bench.objects(), bench.hash).unwrap();
        let mut receiver = quarantine.receive(ReceiveLimits::default()).unwrap();
        let stream = [&pack[..], b"garbage"].concat();
        let mut taken = 0;
        for piece in stream.chunks(piece) {
            taken += receiver.write(piece).unwrap();
        }
        assert!(receiver.complete());
        assert_eq!((taken, receiver.bytes_received()), (pack.len(), pack.len() as u64));
        assert_eq!((receiver.objects_received(), receiver.objects_expected()), (1, 1));
    }
}

#[test]
fn an_empty_pack_leaves_no_files() {
    let bench = Bench::new(HashKind::Sha1);
    let landed = bench.take_alone(&Craft::new(HashKind::Sha1).done()).unwrap();
    assert_eq!(landed.count, 0);
    bench.assert_untouched();
}

/// Each byte of a pack wrong in turn, first as it is, then with a trailer made right again.
#[test]
fn a_wrong_byte_is_judged_as_git_judges_it() {
    let bench = Bench::new(HashKind::Sha1);
    let repo = make_history(bench.folder.path(), HashKind::Sha1, 3);
    for options in [&["--delta-base-offset"][..], &[]] {
        let pack = whole_pack(&repo, options);
        let end = pack.len() - 20;
        let base = Bench::new(HashKind::Sha1);
        for at in 0..pack.len() {
            let mut wrong = pack.clone();
            wrong[at] ^= 1 << (at % 8);
            base.take_alone(&wrong).expect_err("the trailer protects every byte");
            base.assert_untouched();
            if at >= end {
                continue;
            }
            wrong.truncate(end);
            seal(&mut wrong, HashKind::Sha1);
            let bench = Bench::new(HashKind::Sha1);
            let ours = bench.take_alone(&wrong);
            if ours.is_err() {
                bench.assert_untouched();
            }
            // asking git about each would take minutes
            if ours.is_ok() || at % 29 == 0 {
                let gits = git_index(base.folder.path(), HashKind::Sha1, &wrong);
                assert_eq!(ours.map(|landed| landed.idx).ok(), gits.map(|made| made.0), "at {at}");
            }
        }
    }
}

#[test]
fn a_pack_cut_off_anywhere_is_refused() {
    let bench = Bench::new(HashKind::Sha1);
    let repo = make_history(bench.folder.path(), HashKind::Sha1, 3);
    let pack = whole_pack(&repo, &["--delta-base-offset"]);
    let base = Bench::new(HashKind::Sha1);
    for cut in 0..pack.len() {
        let error = base.take_alone(&pack[..cut]).unwrap_err();
        assert!(matches!(error, IngestError::CutOff { .. }), "{error}");
        // a shorter pack with a right trailer is still short of objects
        let mut sealed = pack[..cut].to_vec();
        seal(&mut sealed, HashKind::Sha1);
        if cut != pack.len() - 20 {
            base.take_alone(&sealed).unwrap_err();
        }
    }
    base.assert_untouched();
}
