//! The hot loops of the core, each by itself: `cargo bench`, or `cargo bench -- NAME`.
//!
//! On a repository that git makes from a fixed seed. How fast a server is, is measured by
//! `make bench`; these tell which loop a change made faster or slower.

#![allow(missing_docs, reason = "criterion's macros write functions without documentation")]

mod repository;

use std::hint::black_box;
use std::sync::Arc;

use _core::delta::DeltaIndex;
use _core::emit::{PackStream, StreamOptions};
use _core::graph::{self, CommitTable, WalkRequest};
use _core::hash::HashKind;
use _core::plan::PlanOptions;
use _core::watch::Watch;
use _core::zlib::{DEFAULT_LEVEL, Deflater, Inflater};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use repository::Repository;

/// A source file, and the same with a few lines changed.
fn texts() -> (Vec<u8>, Vec<u8>) {
    let line = |nth: u32| format!("    let value_{nth} = compute({});\n", nth.wrapping_mul(7919));
    let base: Vec<u8> = (0..2000).flat_map(|nth| line(nth).into_bytes()).collect();
    let changed = |nth: u32| if nth % 97 == 3 { line(nth + 5000) } else { line(nth) };
    (base, (0..2000).flat_map(|nth| changed(nth).into_bytes()).collect())
}

fn deltas(criterion: &mut Criterion) {
    let (base, target) = texts();
    let mut group = criterion.benchmark_group("delta");
    group.throughput(Throughput::Bytes(base.len() as u64));
    let mut index = DeltaIndex::default();
    group.bench_function("index a base", |b| b.iter(|| index.build(black_box(&base))));
    let mut delta = Vec::new();
    group.bench_function("encode a like target", |b| {
        b.iter(|| {
            assert!(index.encode(&base, black_box(&target), base.len() / 2, &mut delta).is_some())
        });
    });
    let noise: Vec<u8> =
        (0..base.len() as u64).map(|n| (n.wrapping_mul(n * 31) >> 11) as u8).collect();
    group.bench_function("give up an unlike target", |b| {
        b.iter(|| {
            assert!(index.encode(&base, black_box(&noise), base.len() / 2, &mut delta).is_none())
        });
    });
    group.finish();
}

fn streams(criterion: &mut Criterion) {
    let (text, _) = texts();
    let mut group = criterion.benchmark_group("zlib");
    let (mut deflater, mut inflater) = (Deflater::new(DEFAULT_LEVEL), Inflater::new());
    let mut out = Vec::new();
    for len in [200, text.len()] {
        group.throughput(Throughput::Bytes(len as u64));
        let mut deflated = Vec::new();
        deflater.deflate_all(&text[..len], &mut deflated);
        group.bench_function(format!("inflate {len} bytes"), |b| {
            b.iter(|| {
                out.clear();
                inflater.inflate_exact(black_box(&deflated), len, &mut out)
            });
        });
    }
    group.finish();
}

fn walks(criterion: &mut Criterion) {
    let repository = Repository::new();
    let store = repository.store();
    let snapshot = store.snapshot().expect("the repository was just made");
    let all =
        WalkRequest { wants: vec![repository.id("main")], threads: 1, ..WalkRequest::default() };
    let few = WalkRequest { haves: vec![repository.id("main~20")], thin: true, ..all.clone() };
    let mut group = criterion.benchmark_group("enumerate");
    for (name, request) in [("everything", &all), ("20 commits", &few)] {
        let commits = CommitTable::new(HashKind::Sha1);
        group.bench_function(name, |b| {
            b.iter(|| graph::enumerate(&*snapshot, &commits, request, &Watch::new()));
        });
    }
    group.finish();
}

fn packs(criterion: &mut Criterion) {
    let repository = Repository::new();
    let store = repository.store();
    let send = |want: &str, have: Option<&str>, remember: bool| {
        let request = WalkRequest {
            wants: vec![repository.id(want)],
            haves: have.iter().map(|have| repository.id(have)).collect(),
            thin: have.is_some(),
            threads: 1,
            ..WalkRequest::default()
        };
        let plan =
            PlanOptions { thin: request.thin, ofs_delta: true, remember, ..PlanOptions::default() };
        let (store, commits) = (Arc::clone(&store), Arc::clone(store.commits()));
        move || {
            let snapshot = store.snapshot().expect("the repository is there");
            let commits = Arc::clone(&commits);
            let options = StreamOptions::default();
            let mut stream =
                PackStream::start(snapshot, commits, request.clone(), plan.clone(), options);
            while let Ok(Some(chunk)) = stream.next_chunk() {
                black_box(chunk);
            }
        }
    };
    let mut group = criterion.benchmark_group("pack");
    for (name, want, have, remember) in [
        ("the stored pack", "main", None, true),
        ("runs with holes", "main~150", None, true),
        ("20 commits, searched", "main~3", Some("main~23"), false),
        ("20 commits, remembered", "main~3", Some("main~23"), true),
    ] {
        group.bench_function(name, |b| b.iter(send(want, have, remember)));
    }
    group.finish();
}

criterion_group!(benches, deltas, streams, walks, packs);
criterion_main!(benches);
