use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::graph::{self, WalkRequest};
use crate::hash::{HashKind, ObjectId};
use crate::plan::PlanOptions;
use crate::source::ObjectSource;
use crate::store::testing::TestRepo;
use crate::watch::Watch;

/// Reads a stream to its end: pack bytes and progress, from packets that are all legal.
pub(super) fn collect(
    mut stream: PackStream,
    band_limit: usize,
) -> Result<(Vec<u8>, String, PackStats), EmitError> {
    let (mut pack, mut progress) = (Vec::new(), Vec::new());
    while let Some(chunk) = stream.next_chunk()? {
        assert!(!chunk.is_empty() && chunk.len() <= 1 << 20);
        let chunk = chunk.into_bytes()?;
        if band_limit == 0 {
            pack.extend(chunk);
            continue;
        }
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let len = usize::from_str_radix(std::str::from_utf8(&rest[..4]).unwrap(), 16).unwrap();
            assert!((5..=band_limit).contains(&len));
            match rest[4] {
                1 => pack.extend_from_slice(&rest[5..len]),
                2 => progress.extend_from_slice(&rest[5..len]),
                band => panic!("band {band}"),
            }
            rest = &rest[len..];
        }
    }
    let stats = stream.stats();
    assert_eq!(stats.bytes, pack.len() as u64);
    assert_eq!(stats.objects.to_be_bytes(), pack[8..12]);
    Ok((pack, String::from_utf8(progress).unwrap(), stats))
}

pub(super) fn request(wants: &[ObjectId], haves: &[ObjectId], thin: bool) -> WalkRequest {
    WalkRequest { wants: wants.to_vec(), haves: haves.to_vec(), thin, ..WalkRequest::default() }
}

fn start(
    repo: &TestRepo,
    request: WalkRequest,
    plan: PlanOptions,
    out: StreamOptions,
) -> PackStream {
    let commits = Arc::clone(repo.store().commits());
    PackStream::start(repo.snapshot(), commits, request, plan, out)
}

pub(super) fn pack_of(
    repo: &TestRepo,
    request: WalkRequest,
    ofs_delta: bool,
) -> (Vec<u8>, PackStats) {
    let plan = PlanOptions { thin: request.thin, ofs_delta, ..PlanOptions::default() };
    pack_with(repo, request, plan)
}

pub(super) fn pack_with(
    repo: &TestRepo,
    request: WalkRequest,
    plan: PlanOptions,
) -> (Vec<u8>, PackStats) {
    let (pack, _, stats) =
        collect(start(repo, request, plan, StreamOptions::default()), 65520).unwrap();
    (pack, stats)
}

/// The file of the only pack.
fn pack_path(repo: &TestRepo) -> std::path::PathBuf {
    std::fs::read_dir(repo.objects_dir().join("pack"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "pack"))
        .unwrap()
}

/// What git says the pack has to hold.
pub(super) fn expected(repo: &TestRepo, wants: &[ObjectId], haves: &[ObjectId]) -> Vec<String> {
    let mut input = String::new();
    for want in wants {
        input += &format!("{want}\n");
    }
    for have in haves {
        input += &format!("^{have}\n");
    }
    let listed = ["rev-list", "--objects", "--no-object-names", "--stdin"];
    let out = repo.git_with(&listed, input.as_bytes());
    let mut ids: Vec<_> = String::from_utf8(out).unwrap().lines().map(str::to_owned).collect();
    ids.sort_unstable();
    ids
}

/// Git takes the pack into a repository that borrows from `lender`; the ids that came with it.
pub(super) fn judged(repo: &TestRepo, pack: &[u8], lender: Option<&TestRepo>) -> Vec<String> {
    let client = TestRepo::new(repo.hash);
    let mut arguments = vec!["index-pack", "--strict", "--stdin"];
    let mut had = Vec::new();
    if let Some(lender) = lender {
        let borrowed = format!("{}\n", lender.objects_dir().display());
        std::fs::write(client.objects_dir().join("info/alternates"), borrowed).unwrap();
        arguments.push("--fix-thin");
        had = ids_in(lender);
    }
    client.git_with(&arguments, pack);
    let mut ids = ids_in(&client);
    ids.retain(|id| had.binary_search(id).is_err());
    ids
}

fn ids_in(repo: &TestRepo) -> Vec<String> {
    let out = repo.git(&["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]);
    out.lines().map(str::to_owned).collect()
}

/// A repository that has what these ids reach, and nothing else.
pub(super) fn client_with(repo: &TestRepo, haves: &[ObjectId]) -> TestRepo {
    let client = TestRepo::new(repo.hash);
    let input: String = haves.iter().map(|id| format!("{id}\n")).collect();
    let base = repo.git_with(&["pack-objects", "-q", "--stdout", "--revs"], input.as_bytes());
    client.git_with(&["index-pack", "--stdin"], &base);
    client
}

/// Asks for everything and for parts, in all ways a client may; git judges each.
fn check(repo: &TestRepo) {
    let tips: Vec<_> = repo
        .git(&["for-each-ref", "--format=%(objectname)"])
        .lines()
        .map(|hex| ObjectId::from_hex(hex.as_bytes()).unwrap())
        .collect();
    let everything = expected(repo, &tips, &[]);
    for ofs_delta in [true, false] {
        let (pack, stats) = pack_of(repo, request(&tips, &[], false), ofs_delta);
        assert_eq!(stats.objects as usize, everything.len());
        assert_eq!(judged(repo, &pack, None), everything, "ofs {ofs_delta}");
    }
    let haves = [repo.id("main~7")];
    let client = client_with(repo, &haves);
    let missing = expected(repo, &tips, &haves);
    for (ofs_delta, thin) in [(true, true), (false, true), (true, false)] {
        let (pack, _) = pack_of(repo, request(&tips, &haves, thin), ofs_delta);
        assert_eq!(judged(repo, &pack, Some(&client)), missing, "ofs {ofs_delta}, thin {thin}");
        if !thin {
            // complete by itself: only the trees' and commits' neighbours are at the client
            client.git_with(&["index-pack", "--stdin"], &pack);
        }
    }
}

#[test]
fn loose_objects_are_packed() {
    check(&TestRepo::with_history(HashKind::Sha1, 30));
}

#[test]
fn a_packed_repository_is_copied() {
    for hash in [HashKind::Sha1, HashKind::Sha256] {
        let repo = TestRepo::with_history(hash, 30);
        repo.git(&["-c", "repack.writeBitmaps=false", "repack", "-adq"]);
        check(&repo);
        let tips = [repo.id("main"), repo.id("v9"), repo.id("v19"), repo.id("v29")];
        let (pack, stats) = pack_of(&repo, request(&tips, &[], false), true);
        assert!(pack == std::fs::read(pack_path(&repo)).unwrap(), "the very bytes of the file");
        assert_eq!((stats.reused, stats.deltas), (stats.objects, stats.reused_deltas));
        assert_eq!(stats.verbatim, 0);
        // a bitmap tells the same without a look at each object
        repo.git(&["repack", "-adbq"]);
        check(&repo);
        let (pack, stats) = pack_of(&repo, request(&tips, &[], false), true);
        assert!(pack == std::fs::read(pack_path(&repo)).unwrap(), "the very bytes of the file");
        assert_eq!((stats.verbatim, stats.reused), (stats.objects, 0));
    }
}

/// So many new commits that bitmaps answer although the client has something; some of what it has
/// and wants is newer than the bitmap.
#[test]
fn large_fetches_are_answered_from_bitmaps() {
    let repo = TestRepo::with_history(HashKind::Sha1, 330);
    repo.git(&["repack", "-adbq"]);
    repo.add_history(330, 12);
    let wants = [repo.id("main")];
    let side = repo.git(&["commit-tree", "-m", "side", "-p", "main~320", "main~3^{tree}"]);
    let side = ObjectId::from_hex(side.as_bytes()).unwrap();
    let tops = [(repo.id("main~320"), 300), (repo.id("main~335"), 330)];
    for (have, more_than) in tops {
        let client = client_with(&repo, &[have]);
        let missing = expected(&repo, &wants, &[have]);
        assert!(missing.len() > more_than);
        let mut thin_bytes = Vec::new();
        for no_bitmaps in [false, true] {
            let asked = WalkRequest { no_bitmaps, ..request(&wants, &[have], true) };
            let (pack, _) = pack_of(&repo, asked, true);
            assert_eq!(judged(&repo, &pack, Some(&client)), missing, "off: {no_bitmaps}");
            thin_bytes.push(pack.len());
        }
        assert!(thin_bytes[0] <= thin_bytes[1] + thin_bytes[1] / 20, "{thin_bytes:?}");
        let (pack, _) = pack_of(&repo, request(&wants, &[have], false), false);
        assert_eq!(judged(&repo, &pack, Some(&client)), missing, "names");
    }
    // a have that no bitmap covers
    let have = [side];
    let (snapshot, store) = (repo.snapshot(), repo.store());
    let asked = request(&wants, &have, true);
    let found = graph::enumerate(&*snapshot, store.commits(), &asked, &Watch::new()).unwrap();
    assert!(found.stored.is_some(), "bitmaps were not used");
    // git's own list names more: without a bitmap it looks only at the trees of the boundary
    let had = expected(&repo, &have, &[]);
    let mut exact = expected(&repo, &wants, &[]);
    exact.retain(|id| had.binary_search(id).is_err());
    let (pack, stats) = pack_of(&repo, request(&wants, &have, true), true);
    let client = client_with(&repo, &have);
    assert_eq!(stats.objects as usize, exact.len());
    assert!(judged(&repo, &pack, Some(&client)) == exact);
}

#[test]
fn many_packs_and_loose_objects_are_joined() {
    let repo = TestRepo::with_history(HashKind::Sha1, 10);
    for round in 1..4 {
        // with bases by name in one of them
        let by_name = format!("repack.useDeltaBaseOffset={}", round != 2);
        repo.git(&["-c", &by_name, "repack", "-dq"]);
        repo.add_history(round * 10, 10);
    }
    check(&repo);
    repo.git(&["multi-pack-index", "write"]);
    check(&repo);
}

#[test]
fn bases_by_name_become_distances() {
    let repo = TestRepo::with_history(HashKind::Sha1, 30);
    repo.git(&["-c", "repack.useDeltaBaseOffset=false", "repack", "-adq"]);
    check(&repo);
    let (by_distance, _) = pack_of(&repo, request(&[repo.id("main")], &[], false), true);
    let (by_name, stats) = pack_of(&repo, request(&[repo.id("main")], &[], false), false);
    assert!(stats.reused_deltas > 20);
    assert!(by_distance.len() + 15 * stats.reused_deltas as usize <= by_name.len());
}

#[test]
fn alternates_are_read() {
    let lender = TestRepo::with_history(HashKind::Sha1, 20);
    lender.git(&["repack", "-adq"]);
    let repo = TestRepo::new(HashKind::Sha1);
    let borrowed = format!("{}\n", lender.objects_dir().display());
    std::fs::write(repo.objects_dir().join("info/alternates"), borrowed).unwrap();
    repo.git(&["update-ref", "refs/heads/main", &lender.id("main").to_hex()]);
    repo.add_history(20, 10);
    check(&repo);
}

/// Two packs, in each of which one of two objects is a delta of the other, in turn.
#[test]
fn circles_across_packs_are_broken() {
    let repo = TestRepo::new(HashKind::Sha1);
    let text: String = (0..300).map(|i| format!("line {}\n", i * 7919)).collect();
    let blobs: Vec<_> = ["one", "two"]
        .iter()
        .map(|end| {
            repo.git_with(&["hash-object", "-w", "--stdin"], format!("{text}{end}").as_bytes())
        })
        .map(|out| String::from_utf8(out).unwrap().trim().to_owned())
        .collect();
    let tree: String =
        blobs.iter().enumerate().map(|(i, id)| format!("100644 blob {id}\tf{i}\n")).collect();
    let tree = repo.git_with(&["mktree"], tree.as_bytes());
    let tree = String::from_utf8(tree).unwrap().trim().to_owned();
    let commit = repo.git(&["commit-tree", "-m", "x", &tree]);
    repo.git(&["update-ref", "refs/heads/main", &commit]);
    // in each pack the second is a delta of the first, which is larger
    let ids: Vec<_> = blobs.iter().map(|id| ObjectId::from_hex(id.as_bytes()).unwrap()).collect();
    for (base, delta) in [(0, 1), (1, 0)] {
        let pack = delta_pack(&repo, ids[base], ids[delta]);
        repo.git_with(&["index-pack", "--stdin"], &pack);
    }
    repo.git(&["prune-packed"]);
    let want = [repo.id("main")];
    for ofs_delta in [true, false] {
        let (pack, _) = pack_of(&repo, request(&want, &[], false), ofs_delta);
        assert_eq!(judged(&repo, &pack, None), expected(&repo, &want, &[]));
    }
}

/// A pack of two blobs, the second as a delta of the first.
pub(super) fn delta_pack(repo: &TestRepo, base: ObjectId, delta: ObjectId) -> Vec<u8> {
    use crate::pack::entry::{EntryHeader, EntryKind};
    let snapshot = repo.snapshot();
    let mut reader = snapshot.reader();
    let mut read = |id: &ObjectId| {
        let number = snapshot.lookup(id).unwrap().unwrap();
        reader.read(number).unwrap().1.to_vec()
    };
    let (from, to) = (read(&base), read(&delta));
    let mut index = crate::delta::DeltaIndex::default();
    let mut made = Vec::new();
    index.build(&from);
    assert!(index.encode(&from, &to, to.len(), &mut made).is_some());
    let mut pack = b"PACK\0\0\0\x02\0\0\0\x02".to_vec();
    let mut deflater = crate::zlib::Deflater::new(6);
    let start = pack.len() as u64;
    let whole = EntryKind::Whole(crate::object::ObjectKind::Blob);
    EntryHeader::write(&whole, from.len() as u64, &mut pack);
    deflater.deflate_all(&from, &mut pack);
    let distance = EntryKind::OfsDelta(pack.len() as u64 - start);
    EntryHeader::write(&distance, made.len() as u64, &mut pack);
    deflater.deflate_all(&made, &mut pack);
    let mut hasher = crate::hash::Hasher::new(repo.hash);
    hasher.update(&pack);
    pack.extend_from_slice(hasher.finish().as_bytes());
    pack
}

#[test]
fn a_depth_of_one_finds_new_deltas() {
    let repo = TestRepo::with_history(HashKind::Sha1, 40);
    repo.git(&["repack", "-adq"]);
    let tip = repo.id("main");
    let mut wanted = request(&[tip], &[], false);
    wanted.shallow.new_boundary.insert(tip);
    let (pack, stats) = pack_of(&repo, wanted, true);
    let listed = repo.git(&["rev-list", "--objects", "--no-object-names", "-1", "main"]);
    assert_eq!(stats.objects as usize, listed.lines().count());
    let client = TestRepo::new(HashKind::Sha1);
    std::fs::write(client.path().join("shallow"), format!("{tip}\n")).unwrap();
    client.git_with(&["index-pack", "--strict", "--stdin"], &pack);
    assert_eq!(client.all_objects().len(), stats.objects as usize);
}

#[test]
fn large_blobs_stream() {
    let repo = TestRepo::new(HashKind::Sha1);
    let content: Vec<u8> = (0..5_000_000u64).map(|i| (i.wrapping_mul(i) >> 9) as u8).collect();
    let id = repo.git_with(&["hash-object", "-w", "--stdin"], &content);
    let id = ObjectId::from_hex(id.trim_ascii_end()).unwrap();
    let plan = PlanOptions { big_file_threshold: 1 << 20, ..PlanOptions::default() };
    let options = StreamOptions { band_limit: 0, ..StreamOptions::default() };
    let (pack, _, _) = collect(start(&repo, request(&[id], &[], false), plan, options), 0).unwrap();
    assert_eq!(judged(&repo, &pack, None), [id.to_hex()]);
}

#[test]
fn bands_and_progress_are_those_of_git() {
    let repo = TestRepo::with_history(HashKind::Sha1, 30);
    let wants = [repo.id("main")];
    for band_limit in [1000, 65520] {
        for progress in [true, false] {
            let options = StreamOptions { band_limit, progress, ..StreamOptions::default() };
            let stream = start(&repo, request(&wants, &[], false), PlanOptions::default(), options);
            let (pack, text, _) = collect(stream, band_limit).unwrap();
            assert_eq!(judged(&repo, &pack, None), expected(&repo, &wants, &[]));
            let lines: Vec<_> = text.split('\n').map(|l| l.rsplit('\r').next().unwrap()).collect();
            if !progress {
                assert_eq!(lines, [""]);
                continue;
            }
            let count = expected(&repo, &wants, &[]).len();
            assert_eq!(lines.len(), 5, "{text}");
            assert_eq!(lines[0], format!("Enumerating objects: {count}, done."));
            assert_eq!(lines[1], format!("Counting objects: 100% ({count}/{count}), done."));
            assert_eq!(lines[2], format!("Compressing objects: 100% ({count}/{count}), done."));
            assert!(lines[3].starts_with(&format!("Total {count} (delta ")), "{text}");
        }
    }
}

#[test]
fn nothing_new_is_an_empty_pack() {
    for hash in [HashKind::Sha1, HashKind::Sha256] {
        let repo = TestRepo::with_history(hash, 3);
        let tip = [repo.id("main")];
        let options = StreamOptions { progress: true, ..StreamOptions::default() };
        let stream = start(&repo, request(&tip, &tip, true), PlanOptions::default(), options);
        let (pack, text, _) = collect(stream, 65520).unwrap();
        assert_eq!(text, "Total 0 (delta 0), reused 0 (delta 0), pack-reused 0 (from 0)\n");
        assert_eq!(pack.len(), 12 + hash.len());
        assert!(judged(&repo, &pack, None).is_empty());
    }
}

#[test]
fn a_silent_stream_shows_that_it_lives() {
    let repo = TestRepo::with_history(HashKind::Sha1, 30);
    let request = request(&[repo.id("main")], &[], false);
    let keepalive = Duration::from_nanos(1);
    let options = StreamOptions { keepalive, ..StreamOptions::default() };
    // on a busy machine the pack may be there before it is asked for
    let is_silent = |_| {
        let mut stream = start(&repo, request.clone(), PlanOptions::default(), options.clone());
        stream.next_chunk().unwrap().unwrap().in_memory() == Some(b"0005\x01")
    };
    assert!((0..50).any(is_silent));
}

#[test]
fn a_stream_given_up_ends() {
    let repo = TestRepo::new(HashKind::Sha1);
    // more than the chunks that may be ahead: the worker has to wait for us
    let mut seed = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    })
    .take(12 << 20)
    .collect();
    let out = repo.git_with(&["hash-object", "-w", "--stdin"], &noise);
    let id = ObjectId::from_hex(out.trim_ascii_end()).unwrap();
    let request = request(&[id], &[], false);
    let plan = PlanOptions { level: 0, ..PlanOptions::default() };
    let mut stream = start(&repo, request.clone(), plan.clone(), StreamOptions::default());
    assert!(stream.next_chunk().unwrap().is_some());
    stream.cancel();
    let outcome = loop {
        match stream.next_chunk() {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    let cancelled =
        matches!(outcome, Err(EmitError::Source(crate::source::SourceError::Cancelled)));
    assert!(cancelled);
    // and a dropped one does not hang
    let mut dropped = start(&repo, request, plan, StreamOptions::default());
    assert!(dropped.next_chunk().unwrap().is_some());
    drop(dropped);
}

#[test]
fn corrupt_packs_are_named_before_they_are_sent_whole() {
    let repo = TestRepo::with_history(HashKind::Sha1, 30);
    repo.git(&["repack", "-adq"]);
    let path = pack_path(&repo);
    let mut permissions = std::fs::metadata(&path).unwrap().permissions();
    #[allow(clippy::permissions_set_readonly_false)]
    permissions.set_readonly(false);
    std::fs::set_permissions(&path, permissions).unwrap();
    let sound = std::fs::read(&path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let wants = [repo.id("main")];
    for nth in 0..25 {
        let at = 12 + (sound.len() - 12 - 20) * nth / 25;
        let mut broken = sound.clone();
        broken[at] ^= 0x41;
        // a new file, as the old one is mapped
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, &broken).unwrap();
        let store = crate::store::Store::open(&repo.objects_dir(), repo.hash, &[]).unwrap();
        let snapshot = store.snapshot().unwrap();
        let commits = Arc::new(crate::graph::CommitTable::new(repo.hash));
        for ofs_delta in [true, false] {
            let plan = PlanOptions { ofs_delta, ..PlanOptions::default() };
            let options = StreamOptions { band_limit: 0, ..StreamOptions::default() };
            let request = request(&wants, &[], false);
            let source = Arc::clone(&snapshot) as Arc<dyn ObjectSource>;
            let stream = PackStream::start(source, Arc::clone(&commits), request, plan, options);
            let error = collect(stream, 0).expect_err("a broken entry is sent");
            assert!(error.to_string().contains(name), "at {at}: {error}");
        }
    }
}
