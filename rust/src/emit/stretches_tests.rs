//! Packs of which bitmaps name nearly all, but not all: copied in stretches, the rest behind them.

use std::collections::BTreeMap;

use super::PackStats;
use super::tests::{expected, judged, pack_of, request};
use crate::graph::{self, CommitTable, WalkRequest};
use crate::hash::{HashKind, ObjectId};
use crate::pack::entry::{EntryHeader, EntryKind};
use crate::plan::{PackPlan, PlanOptions, Step};
use crate::store::Pack;
use crate::store::testing::TestRepo;
use crate::watch::Watch;

fn named(ids: &[String]) -> Vec<ObjectId> {
    ids.iter().map(|hex| ObjectId::from_hex(hex.as_bytes()).unwrap()).collect()
}

/// The pack of `asked` holds exactly `wanted`; it is hardly longer than the one that is made
/// without bitmaps.
fn check(repo: &TestRepo, asked: &WalkRequest, wanted: &[String]) -> PackStats {
    let (pack, stats) = pack_of(repo, asked.clone(), true);
    assert_eq!(judged(repo, &pack, None), wanted);
    assert_eq!(stats.objects as usize, wanted.len());
    let (long, slow) = pack_of(repo, WalkRequest { no_bitmaps: true, ..asked.clone() }, true);
    assert_eq!(slow.verbatim, 0);
    assert!(pack.len() <= long.len() + long.len() / 50, "{} {}", pack.len(), long.len());
    stats
}

/// A side branch with objects of its own, which nobody asks for below.
fn with_side(hash: HashKind) -> (TestRepo, ObjectId) {
    let repo = TestRepo::with_history(hash, 60);
    let main = repo.id("main");
    repo.git(&["branch", "side", "main~20"]);
    let mut stream = String::new();
    for nth in 0..12 {
        let content: String = (0..60).map(|line| format!("side {}\n", line * nth)).collect();
        stream += "commit refs/heads/side\ncommitter C <c@x> 1700000900 +0000\ndata 4\nside\n";
        stream += if nth == 0 { "from refs/heads/side^0\n" } else { "" };
        stream += &format!("M 100644 inline dir1/file3\ndata {}\n{content}\n", content.len());
    }
    repo.git_with(&["fast-import", "--quiet"], stream.as_bytes());
    (repo, main)
}

#[test]
fn what_a_branch_of_its_own_has_is_left_out() {
    for hash in [HashKind::Sha1, HashKind::Sha256] {
        let (repo, main) = with_side(hash);
        repo.git(&["repack", "-adbq", "--depth=9"]);
        let wanted = expected(&repo, &[main], &[]);
        let stats = check(&repo, &request(&[main], &[], false), &wanted);
        assert!(stats.verbatim > stats.objects * 3 / 4, "{stats:?}");
        // who cannot take distances gets none
        let (pack, stats) = pack_of(&repo, request(&[main], &[], false), false);
        assert_eq!((judged(&repo, &pack, None), stats.verbatim), (wanted, 0));
    }
}

#[test]
fn what_came_after_the_bitmap_follows() {
    let repo = TestRepo::with_history(HashKind::Sha1, 40);
    repo.git(&["repack", "-adbq"]);
    let before = expected(&repo, &[repo.id("main"), repo.id("v39")], &[]).len();
    repo.add_history(40, 10);
    for packed in [false, true] {
        if packed {
            repo.git(&["repack", "-dq"]);
        }
        let tips = [repo.id("main"), repo.id("v9"), repo.id("v19"), repo.id("v29"), repo.id("v39")];
        let wanted = expected(&repo, &tips, &[]);
        let stats = check(&repo, &request(&tips, &[], false), &wanted);
        assert_eq!(stats.verbatim as usize, before + 3, "packed: {packed}");
        assert!(stats.objects > stats.verbatim);
    }
}

/// Pseudo-random lines, so that a version sent whole is seen in the size of a pack.
fn lines(seed: u32, count: u32) -> String {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut line = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        format!("{state:08x}\n")
    };
    (0..count).map(|_| line()).collect()
}

/// A branch of commits that each add a line to one large file, a pack for so many of them.
fn in_packs(hash: HashKind, packs: &[u32]) -> (TestRepo, ObjectId) {
    let repo = TestRepo::new(hash);
    let (mut nth, text) = (0, lines(1, 400));
    for &commits in packs {
        let mut stream = String::new();
        for of_pack in 0..commits {
            let from = if nth > 0 && of_pack == 0 { "from refs/heads/main^0\n" } else { "" };
            let content = format!("{text}{}", lines(2, 1 + nth));
            stream += &format!(
                "commit refs/heads/main\ncommitter C <c@x> {} +0000\ndata 1\nc\n{from}\
                 M 100644 inline folder/file\ndata {}\n{content}\n",
                1_700_000_000 + nth,
                content.len()
            );
            nth += 1;
        }
        let unpack = ["-c", "fastimport.unpackLimit=1000000", "fast-import", "--quiet"];
        repo.git_with(&unpack, stream.as_bytes());
        repo.git(&["-c", "repack.writeBitmaps=false", "repack", "-dq"]);
    }
    repo.git(&["multi-pack-index", "write", "--bitmap", "--no-progress"]);
    let main = repo.id("main");
    (repo, main)
}

#[test]
fn what_lies_whole_beside_the_largest_pack_is_made_a_delta_of_what_is_in_it() {
    for hash in [HashKind::Sha1, HashKind::Sha256] {
        let (repo, main) = in_packs(hash, &[24, 2, 1]);
        let stats = check(&repo, &request(&[main], &[], false), &expected(&repo, &[main], &[]));
        // commit, two trees and file of each; the file lies whole in the other two packs, too
        assert_eq!(stats.verbatim, 24 * 4, "{stats:?}");
        assert!(stats.deltas - stats.reused_deltas >= 2, "{stats:?}");
    }
}

/// Sixty catalogues at paths that end alike, each unlike the others.
#[test]
fn the_base_of_a_name_that_many_share_is_found_by_its_size() {
    let repo = TestRepo::new(HashKind::Sha1);
    for version in 0..2 {
        let from = if version > 0 { "from refs/heads/main^0\n" } else { "" };
        let mut stream = format!(
            "commit refs/heads/main\ncommitter C <c@x> {} +0000\ndata 1\nc\n{from}",
            1_700_000_000 + version
        );
        for nth in 0..60 {
            let content = lines(nth + 10, 100 + 4 * nth) + &lines(3, version);
            let (path, length) = (format!("p{nth}/long/directory/messages.text"), content.len());
            stream += &format!("M 100644 inline {path}\ndata {length}\n{content}\n");
        }
        for nth in 0..1500 * (1 - version) {
            stream += &format!("M 100644 inline pad{nth}\ndata 5\np{nth:04}\n");
        }
        let unpack = ["-c", "fastimport.unpackLimit=1000000", "fast-import", "--quiet"];
        repo.git_with(&unpack, stream.as_bytes());
        repo.git(&["-c", "repack.writeBitmaps=false", "repack", "-dq"]);
    }
    repo.git(&["multi-pack-index", "write", "--bitmap", "--no-progress"]);
    let main = repo.id("main");
    let stats = check(&repo, &request(&[main], &[], false), &expected(&repo, &[main], &[]));
    assert_eq!(stats.verbatim, 1 + 1 + 60 * 4 + 1500, "{stats:?}");
    assert!(stats.deltas - stats.reused_deltas >= 60, "{stats:?}");
}

#[test]
fn packs_of_one_size_are_searched_for_deltas_between_them() {
    let (repo, main) = in_packs(HashKind::Sha1, &[4; 8]);
    let asked = request(&[main], &[], false);
    let stats = check(&repo, &asked, &expected(&repo, &[main], &[]));
    assert_eq!(stats.verbatim, 0, "{stats:?}");
    assert!(stats.deltas - stats.reused_deltas >= 7, "{stats:?}");
    // copied as they are, eight packs hold the file eight times
    let (pack, _) = pack_of(&repo, asked, true);
    let stored: u64 = repo.snapshot().packs().iter().map(|pack| pack.end_of_entries()).sum();
    assert!((pack.len() as u64) < stored / 2, "{} {stored}", pack.len());
}

/// Where each entry of a plan of one pack goes, by where it lies, and how many deltas are moved.
fn places(pack: &Pack, steps: &[Step]) -> (BTreeMap<u64, u64>, usize) {
    let order = pack.order().unwrap();
    let (mut places, mut at, mut moved) = (BTreeMap::new(), 0, 0);
    for step in steps {
        match *step {
            Step::Run { start, end, .. } => {
                for rank in order.rank(start).unwrap().. {
                    let offset = order.offset(rank);
                    if offset >= end {
                        break;
                    }
                    places.insert(offset, at + offset - start);
                }
                at += end - start;
            }
            Step::Moved { offset, end, .. } => {
                let stored = pack.header_at(offset).unwrap();
                let EntryKind::OfsDelta(distance) = stored.kind else { panic!("{stored:?}") };
                let now = at - places[&(offset - distance)];
                assert_ne!(now, distance, "it could have stayed as it is");
                let mut header = Vec::new();
                EntryHeader::write(&EntryKind::OfsDelta(now), stored.size, &mut header);
                places.insert(offset, at);
                at += header.len() as u64 + end - offset - stored.len as u64;
                moved += 1;
            }
            _ => break,
        }
    }
    (places, moved)
}

#[test]
fn only_what_is_moved_away_from_its_base_gets_another_header() {
    let (repo, main) = with_side(HashKind::Sha1);
    repo.git(&["repack", "-adbfq", "--window=30"]);
    let snapshot = repo.snapshot();
    let pack = &snapshot.packs()[0];
    let commits = CommitTable::new(repo.hash);
    let asked = request(&[main], &[], false);
    let found = graph::enumerate(&*snapshot, &commits, &asked, &Watch::new()).unwrap();
    let options = PlanOptions { ofs_delta: true, ..PlanOptions::default() };
    let plan = PackPlan::new(&*snapshot, found, &options, &Watch::new()).unwrap();
    let (places, moved) = places(pack, &plan.steps);
    assert!(moved > 0 && places.len() > 100, "{moved} {}", places.len());
    for (&offset, &place) in &places {
        if let EntryKind::OfsDelta(distance) = pack.header_at(offset).unwrap().kind
            && !plan
                .steps
                .iter()
                .any(|s| matches!(s, Step::Moved { offset: o, .. } if *o == offset))
        {
            assert_eq!(place - places[&(offset - distance)], distance);
        }
    }
}

#[test]
fn gaps_may_be_anywhere() {
    let (repo, main) = with_side(HashKind::Sha1);
    for by_name in [false, true] {
        let distances = format!("repack.useDeltaBaseOffset={}", !by_name);
        repo.git(&["-c", &distances, "repack", "-adbfq"]);
        let all = expected(&repo, &[main], &[]);
        for (step, first) in [(5, 0), (11, 3), (40, 7), (all.len(), 1), (2, 0)] {
            let there: Vec<String> = all.iter().skip(first).step_by(step).cloned().collect();
            let asked = WalkRequest { leave_out: named(&there), ..request(&[main], &[], false) };
            let (pack, stats) = pack_of(&repo, asked, true);
            let mut rest = all.clone();
            rest.retain(|id| !there.contains(id));
            let client = TestRepo::new(HashKind::Sha1);
            client.git_with(&["index-pack", "--stdin"], &pack);
            let listed = ["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"];
            assert!(client.git(&listed).lines().eq(rest.iter().map(String::as_str)));
            assert_eq!(stats.objects as usize, rest.len());
            assert!(by_name || stats.verbatim * 8 > stats.objects, "{stats:?}");
        }
    }
}
