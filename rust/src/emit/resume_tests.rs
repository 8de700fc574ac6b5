//! A pack whose maker goes in the middle reaches its clients all the same, or fails; it never
//! comes out wrong.

use std::sync::Arc;

use super::tests::{collect, judged, pack_of, request};
use super::{EmitError, PackStream, Remembered, StreamOptions};
use crate::cache::{Begun, Flight, Identity, Key, PackCache};
use crate::graph::WalkRequest;
use crate::hash::HashKind;
use crate::plan::PlanOptions;
use crate::store::testing::TestRepo;

const LIMIT: u64 = 64 << 20;

struct Scene {
    repo: TestRepo,
    root: tempfile::TempDir,
    cache: Arc<PackCache>,
    key: Key,
    request: WalkRequest,
    /// The pack as it is made when nothing goes wrong.
    whole: Vec<u8>,
}

impl Scene {
    /// `large`: worth a file; otherwise who goes on does so without one.
    fn new(large: bool) -> Self {
        let repo = TestRepo::with_history(HashKind::Sha1, 30);
        if large {
            let mut stream =
                b"commit refs/heads/main\ncommitter C <c@x> 1800000000 +0000\n".to_vec();
            stream.extend_from_slice(b"data 5\nlarge\nfrom refs/heads/main^0\n");
            let mut dice = 1u64;
            for nth in 0..12 {
                stream.extend(format!("M 100644 inline big{nth}\ndata 60000\n").bytes());
                stream.extend((0..60_000).map(|_| {
                    dice ^= dice << 13;
                    dice ^= dice >> 7;
                    dice ^= dice << 17;
                    dice as u8
                }));
                stream.push(b'\n');
            }
            repo.git_with(&["fast-import", "--quiet"], &stream);
        }
        let root = tempfile::tempdir().unwrap();
        let cache = PackCache::open(&root.path().join("packs"), LIMIT).unwrap();
        let request = request(&[repo.id("main")], &[], false);
        let whole = pack_of(&repo, request.clone(), true).0;
        let identity = Identity::of(&repo.objects_dir()).unwrap();
        let key = Key::of(&identity, repo.hash, &request, &plan());
        Self { repo, root, cache, key, request, whole }
    }

    /// Nobody has asked for anything.
    fn forget(&mut self) {
        self.root = tempfile::tempdir().unwrap();
        self.cache = PackCache::open(&self.root.path().join("packs"), LIMIT).unwrap();
    }

    /// Somebody else sets out to make the pack, and has come as far as this.
    fn made_elsewhere(&self, bytes: &[u8]) -> Flight {
        let Begun::Lead(mut flight, _) = self.cache.begin(&self.key) else { panic!("no lead") };
        assert!(flight.reserve(LIMIT / 4));
        flight.write(bytes).unwrap();
        flight
    }

    fn client(&self) -> PackStream {
        let source = self.repo.snapshot();
        let commits = Arc::clone(self.repo.store().commits());
        let options = StreamOptions { band_limit: 0, ..StreamOptions::default() };
        let shelf = (&self.cache, &self.key);
        PackStream::start_remembered(source, commits, self.request.clone(), plan(), options, shelf)
    }
}

fn plan() -> PlanOptions {
    PlanOptions { ofs_delta: true, ..PlanOptions::default() }
}

fn read(stream: &mut PackStream, length: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < length {
        got.extend(stream.next_chunk().unwrap().unwrap().into_bytes().unwrap());
    }
    got
}

#[test]
fn a_reader_goes_on_where_a_dead_maker_ended() {
    for large in [true, false] {
        let mut scene = Scene::new(large);
        assert_eq!(scene.whole.len() > 500_000, large);
        for share in [1, 3, 7, 8] {
            scene.forget();
            let half = &scene.whole[..scene.whole.len() * share / 8];
            let flight = scene.made_elsewhere(half);
            let mut stream = scene.client();
            let mut got = read(&mut stream, half.len());
            assert!(got == half && stream.remembered() == Remembered::Followed);
            flight.abandon();
            while let Some(chunk) = stream.next_chunk().unwrap() {
                got.extend(chunk.into_bytes().unwrap());
            }
            assert!(got == scene.whole, "{share}/8, {large}");
            assert_eq!(stream.stats().bytes, got.len() as u64);
            assert_eq!(stream.remembered() == Remembered::Made, large);
        }
        let all = judged(&scene.repo, &scene.whole, None);
        assert!(all.len() > 100);
    }
}

#[test]
fn one_of_many_readers_makes_it_for_all() {
    let scene = Scene::new(true);
    let half = &scene.whole[..scene.whole.len() / 2];
    let flight = scene.made_elsewhere(half);
    let mut streams: Vec<_> = (0..4).map(|_| scene.client()).collect();
    let begun: Vec<_> = streams.iter_mut().map(|stream| read(stream, half.len())).collect();
    let before = scene.cache.counts();
    assert_eq!((before.misses, before.followers), (1, 4));
    flight.abandon();
    std::thread::scope(|scope| {
        for (mut stream, mut got) in streams.into_iter().zip(begun) {
            let whole = &scene.whole;
            scope.spawn(move || {
                while let Some(chunk) = stream.next_chunk().unwrap() {
                    got.extend(chunk.into_bytes().unwrap());
                }
                assert!(got == *whole);
            });
        }
    });
    assert_eq!(scene.cache.counts().misses, 2);
}

#[test]
fn bands_go_on_too() {
    let scene = Scene::new(true);
    let flight = scene.made_elsewhere(&scene.whole[..scene.whole.len() / 2]);
    let source = scene.repo.snapshot();
    let commits = Arc::clone(scene.repo.store().commits());
    let options = StreamOptions { progress: true, ..StreamOptions::default() };
    let shelf = (&scene.cache, &scene.key);
    let request = scene.request.clone();
    let stream = PackStream::start_remembered(source, commits, request, plan(), options, shelf);
    flight.abandon();
    let (pack, told, _) = collect(stream, 65520).unwrap();
    assert!(pack == scene.whole && told.contains("Total "));
}

#[test]
fn a_pack_that_comes_out_otherwise_is_not_mixed() {
    for large in [true, false] {
        let scene = Scene::new(large);
        let mut other = scene.whole[..scene.whole.len() / 2].to_vec();
        let last = other.len() - 1;
        other[last] ^= 1;
        let flight = scene.made_elsewhere(&other);
        let mut stream = scene.client();
        let got = read(&mut stream, other.len());
        assert!(got == other);
        flight.abandon();
        assert!(matches!(stream.next_chunk(), Err(EmitError::Lost)));
        // the next one has it whole
        assert!(collect(scene.client(), 0).unwrap().0 == scene.whole);
    }
}

#[test]
fn a_pack_of_other_length_is_not_mixed() {
    let scene = Scene::new(false);
    let longer = [&scene.whole[..], b"and more"].concat();
    let flight = scene.made_elsewhere(&longer);
    let mut stream = scene.client();
    assert!(read(&mut stream, longer.len()) == longer);
    flight.abandon();
    assert!(matches!(stream.next_chunk(), Err(EmitError::Lost)));
}
