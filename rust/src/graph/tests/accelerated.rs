//! Whatever makes an answer fast must not change it: the same random requests with every
//! accelerator on and off, with `git rev-list` as the judge.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bitmapped::set;
use super::enumerate::{PARALLEL, SCAN, SMALL, WHOLE, request};
use super::repo::{Dice, TestRepo, hex, random_history};
use crate::emit::{PackStream, StreamOptions};
use crate::graph::enumerate::{Limits, enumerate_within};
use crate::graph::learn::make_asked;
use crate::graph::{CommitTable, DeepenSpec, Filter, Shallow, WalkRequest, deepen};
use crate::hash::{HashKind, ObjectId};
use crate::plan::PlanOptions;
use crate::source::ObjectSource;
use crate::store::{Snapshot, Store};
use crate::watch::Watch;

const COMMITS: usize = 200;
const REQUESTS: usize = 20;
const FILTERS: [&str; 5] = ["blob:none", "blob:limit=11", "tree:0", "tree:2", "object:type=commit"];

/// What lies beside the objects, or is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum With {
    Nothing,
    CommitGraph,
    PackBitmap,
    SeveralPacks,
    SeveralPacksBitmap,
    Learnt,
}

const ALL: [With; 6] = [
    With::Nothing,
    With::CommitGraph,
    With::PackBitmap,
    With::SeveralPacks,
    With::SeveralPacksBitmap,
    With::Learnt,
];

/// The same objects, stored so.
fn stored(full: &TestRepo, with: With) -> (TestRepo, Arc<Store>) {
    let repo = TestRepo::new(full.kind());
    let fetch = |range: std::ops::Range<usize>| {
        let mut args =
            ["-c", "fetch.unpackLimit=1", "fetch", "-q", "--no-tags"].map(str::to_owned).to_vec();
        args.push(full.path().to_str().unwrap().to_owned());
        args.extend(range.map(|n| format!("refs/tags/c{n}:refs/tags/c{n}")));
        repo.git(&args.iter().map(String::as_str).collect::<Vec<_>>());
    };
    let parts = [0..COMMITS / 2, COMMITS / 2..COMMITS - 20, COMMITS - 20..COMMITS];
    parts.into_iter().for_each(fetch);
    let plain = ["-c", "repack.writeBitmaps=false", "repack", "-adq"];
    match with {
        With::Nothing | With::Learnt => drop(repo.git(&plain)),
        With::CommitGraph => {
            repo.git(&plain);
            repo.git(&["commit-graph", "write", "--reachable"]);
        }
        With::PackBitmap => drop(repo.git(&["repack", "-adbq"])),
        With::SeveralPacks => drop(repo.git(&["multi-pack-index", "write", "--no-progress"])),
        With::SeveralPacksBitmap => {
            repo.git(&["multi-pack-index", "write", "--bitmap", "--no-progress"]);
        }
    }
    let store = Store::open(&repo.path().join("objects"), repo.kind(), &[]).unwrap();
    let snapshot = store.snapshot().unwrap();
    if with == With::Learnt {
        let limits = Limits { learn_min: 0, ..WHOLE };
        let table = CommitTable::new(repo.kind());
        let asked = request(&full.commits(), &[]);
        enumerate_within(&*snapshot, &table, &asked, &Watch::new(), limits).unwrap();
        let source: Arc<dyn ObjectSource> = Arc::clone(&snapshot) as _;
        make_asked(&source, &table).unwrap();
    }
    let has_bitmaps = matches!(with, With::PackBitmap | With::SeveralPacksBitmap | With::Learnt);
    assert_eq!(snapshot.reachability().is_some(), has_bitmaps, "{with:?}");
    assert_eq!(snapshot.commit_graphs().is_some(), with == With::CommitGraph, "{with:?}");
    (repo, store)
}

/// A request, and what may and has to be sent for it.
struct Case {
    asked: WalkRequest,
    least: BTreeSet<ObjectId>,
    most: BTreeSet<ObjectId>,
}

fn reached(repo: &TestRepo, args: &[&str], ids: &[ObjectId]) -> BTreeSet<ObjectId> {
    if ids.is_empty() { BTreeSet::new() } else { repo.rev_list(args, &hex(ids)) }
}

fn cases(full: &TestRepo, seed: u64) -> Vec<Case> {
    let (all, source) = (full.commits(), full.source());
    let mut dice = Dice(seed);
    (0..REQUESTS)
        .map(|nth| {
            let mut pick = |n: usize| (0..n).map(|_| all[dice.roll(COMMITS)]).collect::<Vec<_>>();
            let (wants, mut haves) = (pick(1 + nth % 3), pick(nth % 4));
            let mut asked = request(&wants, &haves);
            let mut args = Vec::new();
            let spec = FILTERS[nth % FILTERS.len()];
            let filter = format!("--filter={spec}");
            match nth % 3 {
                1 => {
                    asked.filter = Filter::parse(spec.as_bytes()).unwrap();
                    args.push(&*filter);
                }
                2 => {
                    haves.clear();
                    let depth = DeepenSpec::Depth(1 + dice.roll(6) as u32);
                    let (table, none) = (CommitTable::new(full.kind()), Shallow::default());
                    let border =
                        deepen(&source, &table, &wants, &none, depth, &Watch::new()).unwrap().0;
                    asked.haves.clear();
                    asked.shallow.new_boundary = border.into_iter().collect();
                }
                _ => {}
            }
            // git cuts history where the repository's own boundary is
            let border: Vec<_> = asked.shallow.new_boundary.iter().copied().collect();
            let file = full.path().join("shallow");
            if !border.is_empty() {
                std::fs::write(&file, hex(&border)).unwrap();
            }
            let most = reached(full, &args, &wants);
            if !border.is_empty() {
                std::fs::remove_file(&file).unwrap();
            }
            let had = reached(full, &[], &haves);
            let by_id: BTreeSet<_> = wants.iter().copied().collect();
            let least = most.difference(&had).copied().collect();
            let most = &most | &by_id.difference(&had).copied().collect();
            Case { asked, least, most }
        })
        .collect()
}

fn check(case: &Case, sent: &BTreeSet<ObjectId>, how: &str) {
    if case.asked.haves.is_empty() {
        assert_eq!(sent, &case.least, "{how}");
    } else {
        let less: Vec<_> = case.least.difference(sent).collect();
        assert!(less.is_empty(), "{how}: not sent {less:?}");
        assert!(sent.is_subset(&case.most), "{how}");
    }
}

fn sent(snapshot: &Snapshot, asked: &WalkRequest, limits: Limits) -> BTreeSet<ObjectId> {
    let table = CommitTable::new(snapshot.hash_kind());
    let found = enumerate_within(snapshot, &table, asked, &Watch::new(), limits).unwrap();
    set(snapshot, &found)
}

/// The pack that a client would get.
fn pack(store: &Arc<Store>, asked: &WalkRequest) -> Vec<u8> {
    let plan = PlanOptions { ofs_delta: true, threads: 2, ..PlanOptions::default() };
    let options = StreamOptions { band_limit: 0, progress: false, ..StreamOptions::default() };
    let (source, commits) = (store.snapshot().unwrap(), Arc::clone(store.commits()));
    let mut stream = PackStream::start(source, commits, asked.clone(), plan, options);
    let mut out = Vec::new();
    while let Some(chunk) = stream.next_chunk().unwrap() {
        out.extend(chunk.into_bytes().unwrap());
    }
    out
}

fn check_all(kind: HashKind, seed: u64) {
    let full = random_history(kind, seed, COMMITS);
    let cases = cases(&full, seed);
    let judge = TestRepo::new(kind);
    for with in ALL {
        let (_repo, store) = stored(&full, with);
        let snapshot = store.snapshot().unwrap();
        for (nth, case) in cases.iter().enumerate() {
            // each way to walk, and bitmaps from the first commit on
            let ways =
                [("boundary", SMALL), ("whole", WHOLE), ("threads", PARALLEL), ("scan", SCAN)];
            for (name, limits) in ways {
                let how = format!("{with:?} {name} {nth}");
                let off = WalkRequest { no_bitmaps: true, ..case.asked.clone() };
                let walked = sent(&snapshot, &off, limits);
                check(case, &walked, &how);
                let limits = Limits { bitmap_min: 0, ..limits };
                let by_bits = sent(&snapshot, &case.asked, limits);
                check(case, &by_bits, &how);
                assert!(by_bits.is_subset(&walked), "{how}: bitmaps are exact");
            }
            if nth % 5 > 1 {
                continue;
            }
            // the whole way to the client: deltas are searched, then remembered
            for again in [false, true] {
                let packed = judge.listing(&pack(&store, &case.asked));
                check(case, &packed, &format!("{with:?} {nth} again: {again}"));
            }
        }
    }
}

#[test]
fn accelerators_change_no_answer() {
    check_all(HashKind::Sha1, 71);
}

#[test]
fn accelerators_change_no_answer_with_sha256() {
    check_all(HashKind::Sha256, 72);
}
