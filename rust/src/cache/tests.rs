use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use super::entry::{BLOCK, HEADER_LEN};
use super::*;

const LIMIT: u64 = 8 << 20;

fn cache(root: &tempfile::TempDir, limit: u64) -> Arc<PackCache> {
    PackCache::open(&root.path().join("packs"), limit).unwrap()
}

fn key(n: u8) -> Key {
    Key::from_bytes(std::array::from_fn(|at| n.wrapping_mul(31).wrapping_add(at as u8)))
}

/// Bytes with a "hash" of 20 at their end.
fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
}

const MADE: Made = Made { objects: 9, deltas: 4, reused: 3, reused_deltas: 2, verbatim: 1 };

fn lead(cache: &Arc<PackCache>, key: &Key) -> (Flight, Reader) {
    match cache.begin(key) {
        Begun::Lead(flight, reader) => (flight, reader),
        other => panic!("{other:?}"),
    }
}

fn follow(cache: &Arc<PackCache>, key: &Key) -> Reader {
    match cache.begin(key) {
        Begun::Growing(reader) => reader,
        other => panic!("{other:?}"),
    }
}

fn kept(cache: &Arc<PackCache>, key: &Key) -> Reader {
    match cache.begin(key) {
        Begun::Kept(reader) => reader,
        other => panic!("{other:?}"),
    }
}

/// Everything that can be read now, and what comes after it.
fn drained(reader: &mut Reader) -> (Vec<u8>, Next) {
    let (mut all, mut buffer) = (Vec::new(), Vec::new());
    loop {
        match reader.next(&mut buffer, true) {
            Next::Bytes(count) => {
                assert_eq!(count, buffer.len());
                all.extend_from_slice(&buffer);
            }
            other => return (all, other),
        }
    }
}

fn make(cache: &Arc<PackCache>, key: &Key, len: usize) {
    let (mut flight, _reader) = lead(cache, key);
    assert!(flight.reserve(len as u64));
    flight.write(&content(len)).unwrap();
    flight.finish(MADE, 20).unwrap();
}

/// Asked for twice, so that it is kept.
fn remember(cache: &Arc<PackCache>, key: &Key, len: usize) {
    while !cache.path(key, "pack").exists() {
        make(cache, key, len);
    }
}

fn files(cache: &PackCache, extension: &str) -> Vec<PathBuf> {
    std::fs::read_dir(&cache.dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

#[test]
fn what_is_asked_for_twice_is_kept() {
    let root = tempfile::tempdir().unwrap();
    let cache = cache(&root, LIMIT);
    for len in [100, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 77] {
        let key = key(len as u8);
        make(&cache, &key, len);
        assert!(files(&cache, "tmp").is_empty());
        make(&cache, &key, len);
        let (bytes, end) = drained(&mut kept(&cache, &key));
        assert!(bytes == content(len));
        assert_eq!(end, Next::End(MADE));
    }
    let counts = cache.counts();
    assert_eq!((counts.hits, counts.misses, counts.followers), (5, 10, 0));
    assert_eq!(files(&cache, "pack").len(), 5);
}

#[test]
fn a_growing_pack_is_followed() {
    let root = tempfile::tempdir().unwrap();
    let (cache, elsewhere) = (cache(&root, LIMIT), cache(&root, LIMIT));
    let (mut flight, mut own) = lead(&cache, &key(1));
    assert!(!own.is_shared() && !flight.is_wanted());
    let mut other = follow(&elsewhere, &key(1));
    assert!(own.is_shared() && flight.is_wanted());
    assert_eq!(drained(&mut own), (Vec::new(), Next::Nothing));
    let all = content(2 * BLOCK + 5);
    assert!(flight.reserve(all.len() as u64));
    let mut read = Vec::new();
    for piece in all.chunks(100_003) {
        flight.write(piece).unwrap();
        let (bytes, next) = drained(&mut other);
        assert_eq!(next, Next::Nothing);
        read.extend(bytes);
    }
    assert!(read == all);
    flight.finish(MADE, 20).unwrap();
    assert_eq!(drained(&mut other), (Vec::new(), Next::End(MADE)));
    let (bytes, end) = drained(&mut own);
    assert!(bytes == all && end == Next::End(MADE));
    assert!(drained(&mut kept(&elsewhere, &key(1))).0 == all);
    drop((own, other));
    let counted = Counts { hits: 1, misses: 1, followers: 1, bytes: 3 * all.len() as u64 };
    assert_eq!((cache.counts(), elsewhere.counts()), (counted, counted));
    drop((cache, elsewhere));
    assert_eq!(self::cache(&root, LIMIT).counts(), counted, "it outlives those who did it");
}

#[test]
fn readers_learn_that_nothing_will_come() {
    let root = tempfile::tempdir().unwrap();
    let cache = cache(&root, LIMIT);
    let (flight, own) = lead(&cache, &key(1));
    let mut other = follow(&cache, &key(1));
    drop(own);
    assert!(!other.is_shared());
    drop(flight);
    assert_eq!(drained(&mut other).1, Next::Gone(Gone::Maker));

    let (flight, _own) = lead(&cache, &key(2));
    let mut other = follow(&cache, &key(2));
    flight.decline(false);
    assert_eq!(drained(&mut other).1, Next::Gone(Gone::Declined));
    lead(&cache, &key(2)).0.decline(true);
    assert!(matches!(cache.begin(&key(2)), Begun::No));
    assert!(files(&cache, "tmp").is_empty());
}

/// As a process leaves it that is killed.
fn abandon(cache: &Arc<PackCache>, key: &Key, written: &[u8]) -> Reader {
    let (mut flight, reader) = lead(cache, key);
    assert!(flight.reserve(LIMIT / 2));
    flight.write(written).unwrap();
    flight.abandon();
    reader
}

#[test]
fn what_the_dead_leave_is_buried() {
    let root = tempfile::tempdir().unwrap();
    let cache = cache(&root, LIMIT);
    let mut follower = abandon(&cache, &key(1), b"half of a pack");
    let (bytes, next) = drained(&mut follower);
    assert_eq!((&bytes[..], next), (&b"half of a pack"[..], Next::Gone(Gone::Maker)));
    assert_eq!(files(&cache, "tmp").len(), 1);
    make(&cache, &key(1), 1000); // the same key takes its place
    assert!(files(&cache, "tmp").is_empty());
    abandon(&cache, &key(2), b"half");
    abandon(&cache, &key(3), b"half");
    assert!(cache.make_room(LIMIT).unwrap(), "nor do they take room");
    assert!(files(&cache, "tmp").is_empty());
}

#[test]
fn nothing_wrong_is_served() {
    let root = tempfile::tempdir().unwrap();
    let cache = cache(&root, LIMIT);
    let len = 2 * BLOCK + 100;
    let whole = HEADER_LEN + len as u64 + 12;
    let flip = |path: &Path, at: u64| {
        let file = File::options().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 4], at).unwrap();
    };
    // header: magic, key, state, length, counts, trailer, checksums; the trailer; the table
    for at in [0, 9, 40, 41, 45, 60, 81, 112, 125, HEADER_LEN + len as u64 - 1, whole - 1] {
        remember(&cache, &key(1), len);
        let path = cache.path(&key(1), "pack");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), whole);
        flip(&path, at);
        let begun = cache.begin(&key(1));
        assert!(matches!(begun, Begun::Lead(..)), "byte {at}: {begun:?}");
        assert!(!path.exists());
    }
    for damage in [0, 50, HEADER_LEN, whole - 1, whole + 1] {
        remember(&cache, &key(1), len);
        let path = cache.path(&key(1), "pack");
        File::options().write(true).open(&path).unwrap().set_len(damage).unwrap();
        assert!(matches!(cache.begin(&key(1)), Begun::Lead(..)), "{damage} bytes");
        assert!(!path.exists());
    }
    // one key's file under another's name
    remember(&cache, &key(1), len);
    std::fs::rename(cache.path(&key(1), "pack"), cache.path(&key(2), "pack")).unwrap();
    assert!(matches!(cache.begin(&key(2)), Begun::Lead(..)));
    // inside the pack: found when its block is read, before any of it is given out
    remember(&cache, &key(1), len);
    let path = cache.path(&key(1), "pack");
    flip(&path, HEADER_LEN + BLOCK as u64 + 7);
    let (bytes, next) = drained(&mut kept(&cache, &key(1)));
    assert!(bytes == content(len)[..BLOCK]);
    assert_eq!(next, Next::Gone(Gone::Broken));
    assert!(!path.exists());
}

#[test]
fn the_bound_holds() {
    let root = tempfile::tempdir().unwrap();
    let cache = cache(&root, 1 << 20);
    let held = |cache: &PackCache| -> u64 {
        files(cache, "pack").iter().map(|path| std::fs::metadata(path).unwrap().len()).sum()
    };
    for nth in 1..=12 {
        remember(&cache, &key(nth), 200 << 10);
        assert!(held(&cache) <= 1 << 20);
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + u64::from(nth));
        let file = File::open(cache.path(&key(nth), "pack")).unwrap();
        file.set_modified(long_ago).unwrap();
        if nth > 1 {
            drop(kept(&cache, &key(1))); // what is used stays
        }
    }
    assert_eq!(files(&cache, "pack").len(), 5);
    drop(kept(&cache, &key(1)));
    let (mut flight, _own) = lead(&cache, &key(50));
    assert!(!flight.reserve(1 << 20), "with its header it is too large");
    drop(flight);
    let (mut first, _own) = lead(&cache, &key(51));
    assert!(first.reserve(800 << 10));
    let (mut second, _own) = lead(&cache, &key(52));
    assert!(!second.reserve(800 << 10), "what the first may become counts");
    assert!(second.reserve(100 << 10));
    drop((first, second));
    drop(PackCache::open(&root.path().join("packs"), 1000).unwrap());
    assert!(files(&cache, "pack").is_empty());
}

#[test]
fn many_threads_make_one_pack() {
    let root = tempfile::tempdir().unwrap();
    let all = content(700_000);
    let mut before = [0; 3];
    for round in 0..20u8 {
        let caches: Vec<_> = (0..8).map(|_| cache(&root, LIMIT)).collect();
        std::thread::scope(|scope| {
            for cache in &caches {
                let all = &all;
                scope.spawn(move || {
                    'again: loop {
                        let mut reader = match cache.begin(&key(round)) {
                            Begun::Kept(reader) | Begun::Growing(reader) => reader,
                            Begun::Lead(mut flight, reader) => {
                                assert!(flight.reserve(all.len() as u64));
                                for piece in all.chunks(50_000) {
                                    flight.write(piece).unwrap();
                                    std::thread::yield_now();
                                }
                                flight.finish(MADE, 20).unwrap();
                                reader
                            }
                            Begun::No => panic!("no cache"),
                        };
                        let mut read = Vec::new();
                        loop {
                            let (bytes, next) = drained(&mut reader);
                            read.extend(bytes);
                            if next == Next::End(MADE) {
                                break;
                            }
                            // whoever finds a pack that has just been finished makes none, and who
                            // followed him has read nothing and asks again
                            if next == Next::Gone(Gone::Maker) && read.is_empty() {
                                continue 'again;
                            }
                            assert_eq!(next, Next::Nothing);
                        }
                        assert!(read == *all);
                        break;
                    }
                });
            }
        });
        let Counts { hits, misses, followers, bytes } = caches[0].counts();
        let (earlier, now) = (before, [hits, misses, followers]);
        before = now;
        // who comes when the first has just finished, unasked for by anybody else, makes it again
        let made = now[1] - earlier[1];
        assert!((1..=3).contains(&made), "{made}");
        assert!(now.iter().sum::<u64>() - earlier.iter().sum::<u64>() >= 8);
        // none is lost, whoever counts beside whom
        assert_eq!(bytes, (u64::from(round) + 1) * 8 * all.len() as u64);
        assert!(files(&caches[0], "tmp").is_empty());
    }
}

#[test]
fn the_folder_must_be_ours_alone() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("packs");
    PackCache::open(&dir, LIMIT).unwrap();
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o750)).unwrap();
    assert!(PackCache::open(&dir, LIMIT).is_err());
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).unwrap();
    symlink(&dir, root.path().join("link")).unwrap();
    assert!(PackCache::open(&root.path().join("link"), LIMIT).is_err());
    assert!(PackCache::open(&root.path().join("not/there"), LIMIT).is_err());
    File::create(root.path().join("file")).unwrap();
    assert!(PackCache::open(&root.path().join("file"), LIMIT).is_err());
    // nor does it follow links inside
    let cache = cache(&root, LIMIT);
    let victim = root.path().join("victim");
    std::fs::write(&victim, b"untouched").unwrap();
    symlink(&victim, cache.path(&key(1), "tmp")).unwrap();
    assert!(matches!(cache.begin(&key(1)), Begun::No));
    symlink(&victim, cache.path(&key(2), "pack")).unwrap();
    assert!(matches!(cache.begin(&key(2)), Begun::No));
    assert_eq!(std::fs::read(&victim).unwrap(), b"untouched");
}

#[test]
fn a_key_tells_requests_apart() {
    use crate::graph::{Filter, WalkRequest};
    use crate::hash::{HashKind, ObjectId};
    use crate::plan::PlanOptions;

    let root = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let here = Identity::of(root.path()).unwrap();
    let id = |n: u8| ObjectId::from_bytes(&[n; 20]).unwrap();
    let plan = PlanOptions { ofs_delta: true, ..PlanOptions::default() };
    let of = |request: &WalkRequest| Key::of(&here, HashKind::Sha1, request, &plan);
    let base = WalkRequest { wants: vec![id(1), id(2)], threads: 1, ..WalkRequest::default() };
    let same = WalkRequest { wants: vec![id(2), id(1), id(2)], threads: 7, ..base.clone() };
    assert_eq!(of(&base), of(&same));
    let mut changed = vec![base.clone(); 10];
    changed[0].wants.push(id(3));
    changed[1].haves.push(id(3));
    changed[2].shallow.client.insert(id(3));
    changed[3].shallow.server.insert(id(3));
    changed[4].shallow.new_boundary.insert(id(3));
    changed[5].shallow.unshallow.insert(id(3));
    changed[6].filter = Filter::BlobNone;
    changed[7].filter = Filter::BlobLimit(4);
    changed[8].tags.push((id(3), id(1)));
    changed[9].thin = true;
    let mut keys: Vec<_> = changed.iter().map(of).collect();
    keys.push(of(&base));
    let there = Identity::of(other.path()).unwrap();
    keys.push(Key::of(&there, HashKind::Sha1, &base, &plan));
    keys.push(Key::of(
        &here,
        HashKind::Sha1,
        &base,
        &PlanOptions { ofs_delta: false, ..plan.clone() },
    ));
    keys.push(Key::of(&here, HashKind::Sha1, &base, &PlanOptions { thin: true, ..plan.clone() }));
    let names: std::collections::BTreeSet<_> = keys.iter().map(Key::hex).collect();
    assert_eq!(names.len(), keys.len());
}
