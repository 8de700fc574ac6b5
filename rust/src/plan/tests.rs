use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::delta::{DeltaIndex, DeltaMemory};
use crate::graph::{Found, SeenSet, name_hash};
use crate::hash::{HashKind, IdMap, ObjectId};
use crate::object::{ObjectKind, object_id};
use crate::pack::delta::apply;
use crate::source::{ObjectReader, PackedAt};
use crate::store::Pack;
use crate::zlib::Inflater;

/// Objects that lie nowhere but in memory, as those of a foreign store.
#[derive(Default)]
pub(super) struct Memory {
    objects: Vec<(ObjectId, ObjectKind, Vec<u8>)>,
    numbers: IdMap<u32>,
    pub(super) deltas: Option<Arc<DeltaMemory>>,
    /// How often an object or its header was asked for.
    pub(super) reads: AtomicUsize,
}

impl Memory {
    fn add(&mut self, kind: ObjectKind, content: Vec<u8>) -> u32 {
        let id = object_id(HashKind::Sha1, kind, &content);
        let number = self.objects.len() as u32;
        self.objects.push((id, kind, content));
        self.numbers.insert(id, number);
        number
    }
}

impl ObjectSource for Memory {
    fn hash_kind(&self) -> HashKind {
        HashKind::Sha1
    }
    fn lookup(&self, id: &ObjectId) -> Result<Option<ObjectNumber>, SourceError> {
        Ok(self.numbers.get(id).copied())
    }
    fn id(&self, number: ObjectNumber) -> ObjectId {
        self.objects[number as usize].0
    }
    fn number_bound(&self) -> u32 {
        self.objects.len() as u32
    }
    fn packed_at(&self, _: ObjectNumber) -> Option<PackedAt> {
        None
    }
    fn pack(&self, _: u32) -> Option<&Arc<Pack>> {
        None
    }
    fn delta_memory(&self) -> Option<&Arc<DeltaMemory>> {
        self.deltas.as_ref()
    }
    fn reader(&self) -> Box<dyn ObjectReader + '_> {
        Box::new(Reader(self))
    }
}

struct Reader<'a>(&'a Memory);

impl ObjectReader for Reader<'_> {
    fn header(&mut self, number: ObjectNumber) -> Result<(ObjectKind, u64), SourceError> {
        let (_, kind, content) = &self.0.objects[number as usize];
        self.0.reads.fetch_add(1, Ordering::Relaxed);
        Ok((*kind, content.len() as u64))
    }
    fn read(&mut self, number: ObjectNumber) -> Result<(ObjectKind, &[u8]), SourceError> {
        let (_, kind, content) = &self.0.objects[number as usize];
        self.0.reads.fetch_add(1, Ordering::Relaxed);
        Ok((*kind, content))
    }
    fn stream(
        &mut self,
        number: ObjectNumber,
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), SourceError> {
        let content = &self.0.objects[number as usize].2;
        if content.chunks(1000).all(sink) { Ok(()) } else { Err(SourceError::Cancelled) }
    }
}

/// `count` versions of a file, each with one line more than the one before.
pub(super) fn versions(memory: &mut Memory, path: &str, count: usize) -> Vec<Found> {
    let mut text: Vec<u8> =
        (0..200).flat_map(|i| format!("{path} {}\n", i * 7919).into_bytes()).collect();
    let mut found = Vec::new();
    for version in 0..count {
        text.extend_from_slice(format!("line {version} of {path}\n").as_bytes());
        let number = memory.add(ObjectKind::Blob, text.clone());
        found.push(Found { number, name_hash: name_hash(path.as_bytes()), kind: ObjectKind::Blob });
    }
    // newest first, as enumerated
    found.reverse();
    found
}

pub(super) fn plan(
    memory: &Memory,
    objects: Vec<Found>,
    bases: Vec<Found>,
    options: &PlanOptions,
) -> PackPlan {
    let client_has = SeenSet::new();
    for base in &bases {
        client_has.insert(base.number);
    }
    let client_has = client_has.into();
    let enumeration =
        Enumeration { objects, client_has, preferred_bases: bases, ..Enumeration::default() };
    PackPlan::new(memory, enumeration, options, &Watch::new()).unwrap()
}

/// Makes the objects of a plan again, step by step; the depth of each.
pub(super) fn replay(memory: &Memory, plan: &PackPlan) -> Vec<(ObjectId, u32)> {
    let mut by_step: Vec<(ObjectKind, Vec<u8>, u32)> = Vec::new();
    for step in &plan.steps {
        let content_of = |number: u32| {
            let (_, kind, content) = &memory.objects[number as usize];
            (*kind, content.clone())
        };
        let base_of = |base: BaseAt| match base {
            BaseAt::Sent { step, within } => {
                assert_eq!(within, 0);
                by_step[step as usize].clone()
            }
            BaseAt::Named(number) => {
                let (kind, content) = content_of(number);
                (kind, content, 0)
            }
        };
        by_step.push(match *step {
            Step::Made(made) => {
                let made = &plan.made[made as usize];
                let mut data = Vec::new();
                Inflater::new()
                    .inflate_exact(&made.deflated, made.size as usize, &mut data)
                    .unwrap();
                match made.base {
                    None => (made.kind, data, 0),
                    Some(base) => {
                        let (kind, base, depth) = base_of(base);
                        let mut out = Vec::new();
                        apply(&base, &data, &mut out).unwrap();
                        (kind, out, depth + 1)
                    }
                }
            }
            Step::Whole(number) => {
                let (kind, content) = content_of(number);
                (kind, content, 0)
            }
            Step::Remake { target, base, at } => {
                assert_eq!(base_of(at).1, content_of(base).1);
                let (kind, content) = content_of(target);
                (kind, content, base_of(at).2 + 1)
            }
            _ => panic!("nothing is packed"),
        });
    }
    let id = |kind, content: &[u8]| object_id(HashKind::Sha1, kind, content);
    by_step.iter().map(|(kind, content, depth)| (id(*kind, content), *depth)).collect()
}

pub(super) fn ids(memory: &Memory, objects: &[Found]) -> Vec<ObjectId> {
    let mut ids: Vec<_> = objects.iter().map(|found| memory.id(found.number)).collect();
    ids.sort_unstable();
    ids
}

pub(super) fn made_ids(replayed: &[(ObjectId, u32)]) -> Vec<ObjectId> {
    let mut ids: Vec<_> = replayed.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn versions_become_deltas_of_each_other() {
    let mut memory = Memory::default();
    let mut objects = Vec::new();
    for path in ["a.c", "b.c", "README"] {
        objects.extend(versions(&mut memory, path, 30));
    }
    let options = PlanOptions { ofs_delta: true, ..PlanOptions::default() };
    let plan = plan(&memory, objects.clone(), Vec::new(), &options);
    let replayed = replay(&memory, &plan);
    assert_eq!(made_ids(&replayed), ids(&memory, &objects));
    assert_eq!((plan.counts.objects, plan.counts.reused), (90, 0));
    assert!(plan.counts.deltas >= 87, "{:?}", plan.counts);
}

#[test]
fn chains_stay_within_the_depth() {
    let mut memory = Memory::default();
    let objects = versions(&mut memory, "a.c", 100);
    for depth in [0, 1, 7] {
        let options = PlanOptions { depth, window: 4, ofs_delta: true, ..PlanOptions::default() };
        let plan = plan(&memory, objects.clone(), Vec::new(), &options);
        let replayed = replay(&memory, &plan);
        assert_eq!(made_ids(&replayed), ids(&memory, &objects));
        let deepest = replayed.iter().map(|(_, depth)| *depth).max().unwrap();
        assert!(deepest <= depth && deepest >= depth.min(1), "{deepest} of {depth}");
    }
}

/// When every object takes the newest base, all bases are soon at the greatest depth, and again
/// and again one has to be sent whole.
#[test]
fn long_histories_need_few_whole_objects() {
    let mut memory = Memory::default();
    let objects = versions(&mut memory, "a.c", 400);
    let options = PlanOptions { ofs_delta: true, ..PlanOptions::default() };
    let plan = plan(&memory, objects.clone(), Vec::new(), &options);
    assert_eq!(made_ids(&replay(&memory, &plan)), ids(&memory, &objects));
    assert!(plan.counts.deltas >= 398, "{:?}", plan.counts);
}

#[test]
fn what_the_client_has_serves_when_thin() {
    let mut memory = Memory::default();
    let mut objects = versions(&mut memory, "a.c", 3);
    let bases = objects.split_off(1);
    for (thin, deltas) in [(true, 1), (false, 0)] {
        let options = PlanOptions { thin, ofs_delta: true, ..PlanOptions::default() };
        let plan = plan(&memory, objects.clone(), bases.clone(), &options);
        assert_eq!(made_ids(&replay(&memory, &plan)), ids(&memory, &objects));
        assert_eq!(plan.counts.deltas, deltas);
    }
}

/// Names that end alike have one hash, and the window holds ten.
#[test]
fn of_many_namesakes_the_one_that_is_like_it_serves() {
    let mut memory = Memory::default();
    let mut bases = Vec::new();
    for nth in 0..40 {
        let mut other = versions(&mut memory, &format!("{nth}/{}", "long ".repeat(nth)), 1);
        other[0].name_hash = name_hash(b"a.c");
        bases.append(&mut other);
    }
    for like in [0, 17, 39] {
        let mut text = memory.objects[bases[like].number as usize].2.clone();
        text.extend_from_slice(b"one line more\n");
        let number = memory.add(ObjectKind::Blob, text);
        let objects = vec![Found { number, name_hash: name_hash(b"a.c"), kind: ObjectKind::Blob }];
        let options = PlanOptions { thin: true, ofs_delta: true, ..PlanOptions::default() };
        let plan = plan(&memory, objects.clone(), bases.clone(), &options);
        assert_eq!(made_ids(&replay(&memory, &plan)), ids(&memory, &objects));
        assert_eq!(plan.counts.deltas, 1, "{like}");
        assert!(plan.made[0].deflated.len() < 100);
    }
}

/// Side branches: each version is like one of the bases, which are not like each other. All have
/// one name, and more come in between than the window holds.
#[test]
fn bases_of_the_client_wait_for_the_one_that_is_like_them() {
    let mut memory = Memory::default();
    let (mut bases, mut objects) = (Vec::new(), Vec::new());
    let mut noise = 1u32;
    for nth in 0..10usize {
        let mut text = Vec::new();
        while text.len() < 4000 - nth * 100 {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text.extend_from_slice(&noise.to_be_bytes());
        }
        for copy in 0..4 {
            let number = memory.add(ObjectKind::Blob, text.clone());
            let found = Found { number, name_hash: name_hash(b"a"), kind: ObjectKind::Blob };
            if copy == 0 {
                bases.push(found)
            } else {
                objects.push(found)
            }
            text.push(copy);
        }
    }
    let options = PlanOptions { thin: true, ofs_delta: true, ..PlanOptions::default() };
    let plan = plan(&memory, objects.clone(), bases, &options);
    assert_eq!(made_ids(&replay(&memory, &plan)), ids(&memory, &objects));
    assert_eq!(plan.counts.deltas, 30);
}

#[test]
fn without_ofs_delta_bases_have_names() {
    let mut memory = Memory::default();
    let objects = versions(&mut memory, "a.c", 10);
    let plan = plan(&memory, objects.clone(), Vec::new(), &PlanOptions::default());
    let named = |made: &MadeEntry| matches!(made.base, None | Some(BaseAt::Named(_)));
    assert!(plan.counts.deltas > 0 && plan.made.iter().all(named));
    assert_eq!(made_ids(&replay(&memory, &plan)), ids(&memory, &objects));
}

#[test]
fn memory_and_threads_change_no_object() {
    let mut memory = Memory::default();
    let mut objects = Vec::new();
    for path in 0..200 {
        objects.extend(versions(&mut memory, &format!("dir/file-{path}.c"), 5));
    }
    let total: u64 = memory.objects.iter().map(|object| object.2.len() as u64).sum();
    assert!(total > 2 << 20, "large enough for threads: {total}");
    for (keep_memory, search_memory) in
        [(0, 1 << 20), (10_000, 100_000), (1 << 20, 1), (1 << 20, 1 << 30)]
    {
        let options = PlanOptions {
            ofs_delta: true,
            threads: 3,
            keep_memory,
            search_memory,
            ..PlanOptions::default()
        };
        let plan = plan(&memory, objects.clone(), Vec::new(), &options);
        assert_eq!(made_ids(&replay(&memory, &plan)), ids(&memory, &objects));
        let kept: usize = plan.made.iter().map(|made| made.deflated.len()).sum();
        assert!(kept as u64 <= keep_memory);
        if search_memory >= 1 << 20 {
            assert!(plan.counts.deltas > 700, "{:?}", plan.counts);
        }
    }
}

#[test]
fn huge_blobs_are_left_alone() {
    let mut memory = Memory::default();
    let objects = versions(&mut memory, "a.c", 5);
    let options = PlanOptions { big_file_threshold: 100, ..PlanOptions::default() };
    let plan = plan(&memory, objects.clone(), Vec::new(), &options);
    assert!(plan.steps.iter().all(|step| matches!(step, Step::Whole(_))));
}

#[test]
fn a_cancelled_plan_stops() {
    let mut memory = Memory::default();
    let objects = versions(&mut memory, "a.c", 5);
    let watch = Watch::new();
    watch.cancel();
    let enumeration = Enumeration { objects, ..Enumeration::default() };
    let outcome = PackPlan::new(&memory, enumeration, &PlanOptions::default(), &watch);
    assert!(matches!(outcome, Err(PlanError::Source(SourceError::Cancelled))));
}

#[test]
fn remaking_gives_the_same_delta() {
    let mut memory = Memory::default();
    versions(&mut memory, "a.c", 2);
    let (a, b) = (&memory.objects[0].2, &memory.objects[1].2);
    let (mut index, mut limited, mut free) = (DeltaIndex::default(), Vec::new(), Vec::new());
    index.build(a);
    assert!(index.encode(a, b, b.len() / 2, &mut limited).is_some());
    assert!(index.encode(a, b, usize::MAX, &mut free).is_some());
    assert_eq!(limited, free);
}
