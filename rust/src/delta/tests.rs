use proptest::prelude::*;

use super::*;
use crate::pack::delta::apply;

/// The delta and what it weighs.
fn weighed(base: &[u8], target: &[u8], max_len: usize) -> Option<(Vec<u8>, usize)> {
    let (mut index, mut out) = (DeltaIndex::default(), Vec::new());
    index.build(base);
    let weight = index.encode(base, target, max_len, &mut out)?;
    Some((out, usize::try_from(weight).unwrap()))
}

fn encode(base: &[u8], target: &[u8], max_len: usize) -> Option<Vec<u8>> {
    weighed(base, target, max_len).map(|(delta, _)| delta)
}

fn assert_makes(base: &[u8], target: &[u8]) -> usize {
    let delta = encode(base, target, usize::MAX).unwrap();
    let mut made = Vec::new();
    apply(base, &delta, &mut made).unwrap();
    assert!(made == target, "delta of {} bytes makes something else", delta.len());
    delta.len()
}

fn noise(len: usize, mut seed: u64) -> Vec<u8> {
    (0..len)
        .map(|_| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 56) as u8
        })
        .collect()
}

/// Strings that share long pieces: what deltas are for.
fn edited() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let edits =
        proptest::collection::vec((any::<prop::sample::Index>(), 0usize..40, 0usize..40), 0..8);
    (0usize..3000, 1u64..1000, 1u8..=255, edits).prop_map(|(len, seed, alphabet, edits)| {
        let base: Vec<u8> = noise(len, seed).iter().map(|b| b % alphabet).collect();
        let mut target = base.clone();
        for (place, remove, add) in edits {
            let at = place.index(target.len() + 1);
            let end = (at + remove).min(target.len());
            target.splice(at..end, noise(add, seed + at as u64));
        }
        (base, target)
    })
}

proptest! {
    #[test]
    fn any_pair_comes_back(
        base in proptest::collection::vec(0u8..4, 0..600),
        target in proptest::collection::vec(0u8..4, 0..600),
    ) {
        assert_makes(&base, &target);
    }

    #[test]
    fn edits_come_back_and_cost_little((base, target) in edited()) {
        let len = assert_makes(&base, &target);
        // 8 edits, each at most 40 new bytes and two blocks that no longer match
        prop_assert!(len < 20 + 8 * (40 + 2 * BLOCK + 16), "{len}");
    }

    #[test]
    fn what_a_delta_weighs_decides((base, target) in edited(), max_len in 0usize..1000) {
        let (full, weight) = weighed(&base, &target, usize::MAX).unwrap();
        prop_assert!(weight == full.len() || (full.len()..=target.len() / 4).contains(&weight));
        match weighed(&base, &target, max_len) {
            Some((delta, same)) => {
                prop_assert!(weight <= max_len);
                prop_assert_eq!((delta, same), (full, weight));
            }
            // it may be given up a few bytes early
            None => prop_assert!(weight + 2 * BLOCK > max_len),
        }
    }
}

#[test]
fn a_bad_beginning_ends_only_what_need_not_be() {
    let base = noise(100_000, 1);
    let new = noise(20_000, 2);
    let target = [&base[..100], &new, &base[100..200], &base[20_000..]].concat();
    let (delta, weight) = weighed(&base, &target, target.len() / 2).unwrap();
    assert!(delta.len() < 21_000 && weight == target.len() / 4, "{} {weight}", delta.len());
    assert_eq!(encode(&base, &target, 22_000), None, "there is a better one");
}

#[test]
fn what_is_replaced_by_as_much_is_found_at_once() {
    // too near each other for a whole aligned block between any two
    let base = noise(20_000, 1);
    let mut target = base.clone();
    for at in (0..target.len()).step_by(24) {
        target[at] ^= 1;
    }
    let len = assert_makes(&base, &target);
    assert!(len < 20_000 / 24 * 8, "{len}");
}

#[test]
fn long_copies_are_split() {
    let base = noise(300_000, 1);
    assert!(assert_makes(&base, &base) < 60);
    let mut target = base.clone();
    target.rotate_left(70_001);
    assert!(assert_makes(&base, &target) < 80);
    assert!(assert_makes(&base, &base[..0x10000]) < 16);
}

#[test]
fn repetition_costs_neither_time_nor_space() {
    let zeros = vec![0; 4 << 20];
    assert!(assert_makes(&zeros, &zeros) < 600);
    let lines: Vec<u8> = b"the same line again and again\n".repeat(50_000);
    let mut target = lines.clone();
    target.splice(700_000..700_000, *b"something new");
    assert!(assert_makes(&lines, &target) < 1000);
}

#[test]
fn what_shares_nothing_is_given_up_early() {
    let (base, target) = (noise(100_000, 1), noise(100_000, 2));
    assert_eq!(encode(&base, &target, 50_000), None);
    assert_makes(&base, &target);
    assert_makes(b"", &target);
    assert_makes(&base, b"");
}

#[test]
fn a_recycled_index_forgets_its_last_base() {
    let (a, b) = (noise(10_000, 1), noise(300, 2));
    let (mut index, mut out) = (DeltaIndex::default(), Vec::new());
    index.build(&a);
    index.build(&b);
    assert!(index.encode(&b, &b, 100, &mut out).is_some());
    assert!(index.encode(&b, &a, 9_000, &mut out).is_none());
}
