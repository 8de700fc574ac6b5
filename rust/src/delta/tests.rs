use proptest::prelude::*;

use super::*;
use crate::pack::delta::apply;

fn encode(base: &[u8], target: &[u8], max_len: usize) -> Option<Vec<u8>> {
    let (mut index, mut out) = (DeltaIndex::default(), Vec::new());
    index.build(base);
    index.encode(base, target, max_len, &mut out).then_some(out)
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
    fn the_limit_is_kept((base, target) in edited(), max_len in 0usize..400) {
        let full = encode(&base, &target, usize::MAX).unwrap();
        match encode(&base, &target, max_len) {
            Some(delta) => {
                prop_assert!(delta.len() <= max_len);
                prop_assert_eq!(delta, full);
            }
            // it may be given up a few bytes early
            None => prop_assert!(full.len() + 2 * BLOCK > max_len),
        }
    }
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
    assert!(index.encode(&b, &b, 100, &mut out));
    assert!(!index.encode(&b, &a, 9_000, &mut out));
}
