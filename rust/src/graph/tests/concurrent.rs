//! Clones while real git repacks, prunes and writes bitmaps beside them: none may fail, and each
//! has what it asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::enumerate::request;
use super::repo::{Dice, TestRepo, hex, random_history};
use crate::emit::{PackStream, StreamOptions};
use crate::graph::WalkRequest;
use crate::hash::{HashKind, ObjectId};
use crate::plan::PlanOptions;
use crate::store::Store;

/// Enough for walks that are learnt from.
const COMMITS: usize = 640;
/// Those that are there at first; the others come meanwhile.
const EARLY: usize = 560;

fn fetch(into: &TestRepo, from: &TestRepo, range: std::ops::Range<usize>, unpack: bool) {
    let limit = if unpack { "fetch.unpackLimit=1000000" } else { "fetch.unpackLimit=1" };
    let mut args = ["-c", limit, "fetch", "-q", "--no-tags"].map(str::to_owned).to_vec();
    args.push(from.path().to_str().unwrap().to_owned());
    args.extend(range.map(|n| format!("refs/tags/c{n}:refs/tags/c{n}")));
    into.git(&args.iter().map(String::as_str).collect::<Vec<_>>());
}

fn pack(store: &Arc<Store>, request: WalkRequest) -> Vec<u8> {
    let source = store.snapshot().unwrap();
    let plan = PlanOptions { ofs_delta: true, threads: 2, ..PlanOptions::default() };
    let options = StreamOptions {
        band_limit: 0,
        progress: false,
        keepalive: Duration::ZERO,
        ..StreamOptions::default()
    };
    let commits = Arc::clone(store.commits());
    let mut stream = PackStream::start(source, commits, request, plan, options);
    let mut out = Vec::new();
    while let Some(chunk) = stream.next_chunk().unwrap() {
        out.extend(chunk.into_bytes().unwrap());
    }
    out
}

/// What git makes of a repository, round by round.
fn rework(repo: &TestRepo, full: &TestRepo) {
    let plain = ["-c", "repack.writeBitmaps=false", "repack", "-adq"];
    let rounds: [&[&str]; 8] = [
        &plain,
        &["-c", "repack.writeBitmaps=false", "gc", "-q", "--prune=now"],
        &plain,
        // in this round nothing is loose, which such a bitmap could not name
        &["multi-pack-index", "write", "--bitmap", "--no-progress"],
        &["repack", "-adbq"],
        &plain,
        &["-c", "repack.writeBitmaps=false", "gc", "-q", "--prune=now"],
        &["repack", "-adbq"],
    ];
    let mut next = EARLY;
    for (nth, args) in rounds.into_iter().enumerate() {
        fetch(repo, full, next..next + 5, nth % 2 == 0);
        fetch(repo, full, next + 5..next + 10, false);
        next += 10;
        repo.git(args);
    }
}

#[test]
fn no_clone_fails_while_git_reworks_the_repository() {
    let full = random_history(HashKind::Sha1, 91, COMMITS);
    let commits = full.commits();
    let repo = TestRepo::new(HashKind::Sha1);
    fetch(&repo, &full, 0..EARLY, false);
    let store = Store::open(&repo.path().join("objects"), HashKind::Sha1, &[]).unwrap();
    let done = AtomicBool::new(false);
    let judge = |asked: &WalkRequest, bytes: &[u8]| {
        let into = TestRepo::new(HashKind::Sha1);
        let got: std::collections::BTreeSet<ObjectId> = into.listing(bytes);
        let wanted = full.rev_list(&[], &hex(&asked.wants));
        let had = match asked.haves.is_empty() {
            true => std::collections::BTreeSet::new(),
            false => full.rev_list(&[], &hex(&asked.haves)),
        };
        assert!(got.is_superset(&wanted.difference(&had).copied().collect()));
        assert!(got.is_subset(&wanted));
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..2u64)
            .map(|client| {
                let (store, commits, judge, done) = (&store, &commits, &judge, &done);
                scope.spawn(move || {
                    let mut dice = Dice(client * 7 + 5);
                    let mut served = 0;
                    while !done.load(Ordering::Relaxed) {
                        let few = dice.roll(EARLY) + 1;
                        let asked = match served % 4 {
                            3 => request(&commits[EARLY - 1..EARLY], &commits[few / 2..few]),
                            1 => request(&commits[few / 3..few], &[]),
                            _ => request(&commits[..EARLY], &[]),
                        };
                        judge(&asked, &pack(store, asked.clone()));
                        served += 1;
                    }
                    served
                })
            })
            .collect();
        let outcome =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rework(&repo, &full)));
        done.store(true, Ordering::Relaxed);
        for client in clients {
            assert!(client.join().unwrap() > 0);
        }
        outcome.unwrap();
    });
    let asked = request(&commits, &[]);
    judge(&asked, &pack(&store, asked.clone()));
}
