//! The search among objects that lie in packs: what is tried, and what is known to be in vain.

use super::*;
use crate::graph::{CommitTable, WalkRequest, enumerate};
use crate::hash::HashKind;
use crate::store::testing::TestRepo;
use crate::watch::Standing;

/// A commit that writes a file of pseudo-random lines for each of these numbers: the first `own`
/// lines are its own, the others those of all.
fn similar(repo: &TestRepo, names: impl Iterator<Item = u32>, from: &str, own: u32) {
    let line = |seed: u32| format!("{:08x}\n", seed.wrapping_mul(2_654_435_761));
    let mut stream =
        format!("commit refs/heads/main\ncommitter C <c@x> 1700000000 +0000\ndata 1\nc\n{from}");
    for name in names {
        let of_all = (own..300).map(|nth| line(nth + 1));
        let content: String = (0..own).map(|nth| line(name * 1000 + nth)).chain(of_all).collect();
        stream += &format!("M 100644 inline f{name:03}\ndata {}\n{content}\n", content.len());
    }
    let unpack = ["-c", "fastimport.unpackLimit=1000000", "fast-import", "--quiet"];
    repo.git_with(&unpack, stream.as_bytes());
}

/// The plan of all that `main` reaches, bytes that are remembered then, and the search's progress.
fn planned(repo: &TestRepo, options: &PlanOptions) -> (PackPlan, usize, Vec<Standing>) {
    let (source, watch) = (repo.snapshot(), Watch::new());
    let asked = WalkRequest { wants: vec![repo.id("main")], ..WalkRequest::default() };
    let commits = CommitTable::new(repo.hash);
    let found = enumerate(&*source, &commits, &asked, &Watch::new()).unwrap();
    let plan = PackPlan::new(&*source, found, options, &watch).unwrap();
    watch.end();
    let bytes = source.delta_memory().unwrap().bytes();
    (plan, bytes, watch.take())
}

fn options() -> PlanOptions {
    PlanOptions { ofs_delta: true, ..PlanOptions::default() }
}

/// No bitmaps, and each repack leaves what is packed as it is.
const REPACK: [&str; 5] = ["-c", "repack.writeBitmaps=false", "repack", "-q", "-d"];

#[test]
fn of_what_whoever_made_the_pack_has_tried_nothing_is_remembered() {
    let repo = TestRepo::new(HashKind::Sha1);
    // unlike each other: all lie whole
    similar(&repo, 0..200, "", 300);
    repo.git(&REPACK);
    let (_, alone, _) = planned(&repo, &options());
    assert_eq!(alone, 0);
    similar(&repo, 0..1, "from refs/heads/main^0\n", 150);
    repo.git(&REPACK);
    let (plan, bytes, told) = planned(&repo, &options());
    assert_eq!(plan.counts.objects, 200 + 1 + 2 + 2);
    assert!(bytes < 8_000, "{bytes}");
    let search = told.iter().find(|stage| stage.phase == Phase::Compressing).unwrap();
    assert_eq!(Some(search.done), search.total);
}

#[test]
fn a_base_from_another_pack_serves_all_that_come_after_it() {
    let repo = TestRepo::new(HashKind::Sha1);
    similar(&repo, 1..100, "", 10);
    // as whoever writes packs without deltas
    repo.git(&[&["-c", "pack.window=0"], &REPACK[..]].concat());
    // of this name, which comes first in the search
    similar(&repo, 999..1000, "from refs/heads/main^0\n", 12);
    repo.git(&REPACK);
    let (plan, _, _) = planned(&repo, &options());
    let made = plan.counts.deltas - plan.counts.reused_deltas;
    assert!(made >= 99, "{made} of 99: {:?}", plan.counts);
}

#[test]
fn what_loses_its_base_is_tried_with_its_neighbours_in_the_pack() {
    let repo = TestRepo::with_history(HashKind::Sha1, 60);
    repo.git(&["repack", "-adfq", "--depth=40", "--window=40"]);
    let (plan, _, _) = planned(&repo, &PlanOptions { reused_depth: 1, ..options() });
    let PlanCounts { objects, deltas, reused, reused_deltas, .. } = plan.counts;
    assert!(objects - reused >= 50, "longer chains: {:?}", plan.counts);
    assert!(deltas - reused_deltas >= 50, "{:?}", plan.counts);
}
