//! Packs from what is remembered, with git as judge.

use super::tests::{client_with, expected, judged, pack_of, request};
use crate::graph::WalkRequest;
use crate::hash::{HashKind, ObjectId};
use crate::plan::PlanOptions;
use crate::store::testing::TestRepo;

/// Several packs and loose objects.
fn scattered(hash: HashKind) -> TestRepo {
    let repo = TestRepo::with_history(hash, 12);
    for round in 1..4 {
        repo.git(&["repack", "-dq"]);
        repo.add_history(round * 12, 12);
    }
    repo
}

struct Asked {
    request: WalkRequest,
    haves: Vec<ObjectId>,
}

/// Fetches from many places of the history.
fn asked(repo: &TestRepo) -> Vec<Asked> {
    let mut all = Vec::new();
    for (want, have) in [(0, 5), (1, 6), (0, 20), (3, 40), (0, 5), (7, 9), (2, 33)] {
        let wants = [repo.id(&format!("main~{want}"))];
        let haves = vec![repo.id(&format!("main~{have}"))];
        all.push(Asked { request: request(&wants, &haves, true), haves: haves.clone() });
        all.push(Asked { request: request(&wants, &haves, false), haves });
    }
    all
}

fn packed(repo: &TestRepo, asked: &Asked, remember: bool) -> Vec<u8> {
    let thin = asked.request.thin;
    let plan = PlanOptions { thin, ofs_delta: true, remember, ..PlanOptions::default() };
    super::tests::pack_with(repo, asked.request.clone(), plan).0
}

#[test]
fn a_pack_is_the_same_whatever_is_remembered() {
    for hash in [HashKind::Sha1, HashKind::Sha256] {
        let repo = scattered(hash);
        let all = asked(&repo);
        let afresh: Vec<_> = all.iter().map(|asked| packed(&repo, asked, false)).collect();
        for _ in 0..2 {
            for (asked, afresh) in all.iter().zip(&afresh) {
                assert!(packed(&repo, asked, true) == *afresh);
            }
        }
        let store = repo.store();
        let snapshot = store.snapshot().unwrap();
        let memory = crate::source::ObjectSource::delta_memory(&*snapshot).unwrap();
        assert!(memory.bytes() > 0);
        for (asked, pack) in all.iter().zip(&afresh).take(4) {
            let client = client_with(&repo, &asked.haves);
            let missing = expected(&repo, &asked.request.wants, &asked.haves);
            assert_eq!(judged(&repo, pack, Some(&client)), missing);
        }
    }
}

#[test]
fn requests_at_once_learn_from_each_other() {
    let repo = scattered(HashKind::Sha1);
    let all = asked(&repo);
    let afresh: Vec<_> = all.iter().map(|asked| packed(&repo, asked, false)).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (repo, all, afresh) = (&repo, &all, &afresh);
            scope.spawn(move || {
                for nth in 0..2 * all.len() {
                    let nth = (nth * 3 + thread) % all.len();
                    assert!(packed(repo, &all[nth], true) == afresh[nth], "request {nth}");
                }
            });
        }
    });
}

#[test]
fn what_is_remembered_outlives_a_repack() {
    let repo = scattered(HashKind::Sha1);
    let wants = [repo.id("main")];
    let haves = [repo.id("main~9")];
    let client = client_with(&repo, &haves);
    let missing = expected(&repo, &wants, &haves);
    for packing in [&["repack", "-adq"][..], &["repack", "-adFq"], &["prune-packed"]] {
        let (pack, _) = pack_of(&repo, request(&wants, &haves, true), true);
        assert_eq!(judged(&repo, &pack, Some(&client)), missing);
        repo.git(packing);
    }
}
