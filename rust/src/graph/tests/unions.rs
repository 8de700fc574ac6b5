//! What the wants of one clone reach together serves the next, as far as it asks for as much.

use super::bitmapped::{
    BITMAPS, COMMITS, Layout, MERGES, PLAIN, Prepared, check, prepare, run, set,
};
use super::enumerate::request;
use crate::graph::CommitTable;
use crate::graph::bitmapped::{Gather, KEPT};
use crate::hash::ObjectId;
use crate::source::ObjectSource;
use crate::watch::Watch;

/// Commits that are walked for these wants now.
fn walked(prepared: &Prepared, wants: &[ObjectId]) -> usize {
    let snapshot = &*prepared.snapshot;
    let reach = snapshot.reachability().unwrap();
    let (table, watch) = (CommitTable::new(snapshot.hash_kind()), Watch::new());
    let mut gather = Gather::new(snapshot, &table, &reach, &watch, KEPT);
    gather.side(wants, None, false).unwrap().walked
}

/// Commits without a bitmap of their own, which are walked to.
fn without_bitmaps(prepared: &Prepared) -> Vec<ObjectId> {
    let commits = prepared.commits.iter().copied();
    let found: Vec<_> = commits.filter(|&id| walked(prepared, &[id]) > 0).collect();
    assert!(found.len() > 10, "{}", found.len());
    found
}

fn remembers(layout: &Layout) {
    let prepared = prepare(layout);
    let mut tips = without_bitmaps(&prepared);
    tips.truncate(8);
    let tree = prepared.repo.id("c3^{tree}");
    let blob = {
        let listing = prepared.repo.git(&["ls-tree", "-r", "c20"]);
        let line = listing.lines().find(|line| line.contains("blob")).unwrap();
        ObjectId::from_hex(line.split([' ', '\t']).nth(2).unwrap().as_bytes()).unwrap()
    };
    // what was asked for with a tree is not what its commits reach
    let with_tree = [&tips[..], &[tree]].concat();
    check(&prepared, &with_tree, &[]);
    assert!(walked(&prepared, &tips) > 0);
    // nor what was asked for with a blob, for who asks without it
    let with_blob = [&tips[..], &[blob]].concat();
    check(&prepared, &with_blob, &[]);
    assert_eq!(walked(&prepared, &with_blob), 0);
    check(&prepared, &tips, &[]);
    assert_eq!(walked(&prepared, &tips), 0);
    // some of them, others, and more
    check(&prepared, &tips[1..], &[]);
    check(&prepared, &[&tips[..3], &prepared.commits[COMMITS - 3..]].concat(), &[]);
    let more = [&tips[..], &prepared.commits[229..238]].concat();
    check(&prepared, &more, &[]);
    assert_eq!(walked(&prepared, &more), 0);
    // and as what a client has
    check(&prepared, &prepared.commits, &tips);
    check(&prepared, &tips, &prepared.commits[5..6]);
    let tag = prepared.repo.id("of-tag");
    let tagged = [&tips[..], &[tag]].concat();
    let (with, without) = (request(&tagged, &[]), request(&tips, &[]));
    let with = set(&prepared.snapshot, &run(&prepared.snapshot, &with, BITMAPS));
    let without = set(&prepared.snapshot, &run(&prepared.snapshot, &without, BITMAPS));
    assert!(with.contains(&tag) && !without.contains(&tag));
}

#[test]
fn of_a_pack() {
    remembers(&Layout { seed: 61, ..PLAIN });
}

#[test]
fn with_pseudo_merges_beside() {
    remembers(&Layout { seed: 62, covered: 240, config: MERGES, ..PLAIN });
}

#[test]
fn what_is_not_all_in_the_bitmaps_is_not_kept() {
    let prepared = prepare(&Layout { seed: 63, covered: 200, ..PLAIN });
    let tips = [&without_bitmaps(&prepared)[..5], &prepared.commits[COMMITS - 1..]].concat();
    check(&prepared, &tips, &[]);
    assert!(walked(&prepared, &tips) > 0);
    check(&prepared, &tips[..5], &[]);
    assert_eq!(walked(&prepared, &tips[..5]), 0);
}
