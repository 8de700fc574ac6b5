//! What is remembered saves work and changes nothing.

use std::sync::atomic::Ordering;

use super::tests::{Memory, ids, made_ids, plan, replay, versions};
use super::*;
use crate::delta::DeltaMemory;
use crate::graph::Found;

fn thin() -> PlanOptions {
    PlanOptions { thin: true, ofs_delta: true, ..PlanOptions::default() }
}

/// A source with several files' versions, each list newest first.
fn source(budget: usize) -> (Memory, Vec<Vec<Found>>) {
    let mut memory = Memory::default();
    let files = (0..12).map(|nth| versions(&mut memory, &format!("dir/file-{nth}.c"), 12));
    let files = files.collect::<Vec<_>>();
    memory.deltas = Some(DeltaMemory::with_budget(budget));
    (memory, files)
}

/// What one request sends, and what its client has: of every file some versions and the next.
fn fetch(files: &[Vec<Found>], skip: usize, take: usize) -> (Vec<Found>, Vec<Found>) {
    let sent = files.iter().flat_map(|file| &file[skip..skip + take]).copied().collect();
    let bases = files.iter().map(|file| file[skip + take]).collect();
    (sent, bases)
}

type Written = Vec<(Step, Option<(Option<BaseAt>, u64, Vec<u8>)>)>;

/// All that a plan will write.
fn written(plan: &PackPlan) -> Written {
    let made = |step: &Step| match *step {
        Step::Made(at) => {
            let made = &plan.made[at as usize];
            Some((made.base, made.size, made.deflated.to_vec()))
        }
        _ => None,
    };
    plan.steps.iter().map(|step| (*step, made(step))).collect()
}

#[test]
fn a_second_search_reads_and_compresses_nothing() {
    let (memory, files) = source(1 << 24);
    let (sent, bases) = fetch(&files, 0, 5);
    let first = plan(&memory, sent.clone(), bases.clone(), &thin());
    assert!(memory.reads.swap(0, Ordering::Relaxed) > 60);
    let second = plan(&memory, sent.clone(), bases.clone(), &thin());
    assert_eq!(memory.reads.load(Ordering::Relaxed), 0, "objects and headers");
    assert!(written(&first) == written(&second));
    let same = first.made.iter().zip(&second.made);
    assert!(same.into_iter().all(|(a, b)| Arc::ptr_eq(&a.deflated, &b.deflated)));
    // one file has changed: only what concerns it is looked at
    let mut sent: Vec<_> = sent;
    sent.insert(0, files[0][7]);
    plan(&memory, sent, bases, &thin());
    let reads = memory.reads.load(Ordering::Relaxed);
    assert!((1..20).contains(&reads), "{reads}");
}

#[test]
fn packs_are_the_same_with_and_without() {
    for budget in [0, 6_000, 60_000, 1 << 24] {
        let (memory, files) = source(budget);
        for (skip, take) in [(0, 3), (1, 3), (0, 6), (0, 3), (4, 1), (2, 8), (0, 11), (1, 3)] {
            let (sent, bases) = fetch(&files, skip, take);
            let with = plan(&memory, sent.clone(), bases.clone(), &thin());
            let forgetful = PlanOptions { remember: false, ..thin() };
            let without = plan(&memory, sent.clone(), bases, &forgetful);
            assert!(written(&with) == written(&without), "{budget} {skip} {take}");
            assert_eq!(made_ids(&replay(&memory, &with)), ids(&memory, &sent));
        }
        let held = memory.deltas.as_ref().unwrap().bytes();
        assert!(held <= budget && (held > 0 || budget < 60_000), "{held} of {budget}");
    }
}

#[test]
fn requests_at_once_share_it() {
    let (memory, files) = source(30_000);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (memory, files) = (&memory, &files);
            scope.spawn(move || {
                for round in 0..8 {
                    let (sent, bases) = fetch(files, (thread + round) % 5, 1 + round % 4);
                    let plan = plan(memory, sent.clone(), bases, &thin());
                    assert_eq!(made_ids(&replay(memory, &plan)), ids(memory, &sent));
                }
            });
        }
    });
    assert!(memory.deltas.as_ref().unwrap().bytes() <= 30_000);
}

#[test]
fn a_search_out_of_time_sends_objects_whole() {
    let (memory, files) = source(1 << 24);
    let (sent, bases) = fetch(&files, 0, 5);
    let options = PlanOptions { search_time: Duration::ZERO, ..thin() };
    let hasty = plan(&memory, sent.clone(), bases.clone(), &options);
    assert_eq!((hasty.counts.objects, hasty.counts.deltas), (60, 0));
    assert_eq!(made_ids(&replay(&memory, &hasty)), ids(&memory, &sent));
    // and nothing was learnt from it that would spoil the next
    let calm = plan(&memory, sent, bases, &thin());
    assert_eq!(calm.counts.deltas, 60);
}
