//! Which packs are worth writing anew.
//!
//! The packs that stay grow by a factor from one to the next, so that there are never many of them
//! and an object is written again only as often as the repository has doubled (`git repack
//! --geometric`).

/// How many of the smallest packs go, when so many `loose` objects do. `counts` has the objects of
/// each pack, the smallest first.
pub(super) fn roll_up(counts: &[u64], loose: u64, factor: u64) -> usize {
    let grows = |pair: &[u64]| pair[1] >= pair[0].saturating_mul(factor);
    let stays = counts.windows(2).rev().take_while(|pair| grows(pair)).count();
    // the pair that breaks the row goes whole
    let mut goes = match counts.len().saturating_sub(1) - stays.min(counts.len()) {
        0 => 0,
        smaller => smaller + 1,
    };
    let mut total: u64 = loose + counts[..goes].iter().sum::<u64>();
    if goes == 0 && loose == 0 {
        return 0;
    }
    while let Some(&next) = counts.get(goes).filter(|&&next| next < total.saturating_mul(factor)) {
        total += next;
        goes += 1;
    }
    goes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_row_that_grows_stays() {
        assert_eq!(roll_up(&[1, 2, 4, 8], 0, 2), 0);
        assert_eq!(roll_up(&[], 0, 2), 0);
        assert_eq!(roll_up(&[5], 0, 2), 0);
        assert_eq!(roll_up(&[100], 3, 2), 0, "the loose ones make a pack of their own");
        assert_eq!(roll_up(&[5], 3, 2), 1);
        assert_eq!(roll_up(&[3, 3, 1000], 0, 2), 2);
        assert_eq!(roll_up(&[1, 2, 4, 4], 0, 2), 4, "what is new swallows the rest");
        assert_eq!(roll_up(&[3, 3, 11, 1000], 0, 2), 3);
        assert_eq!(roll_up(&[1, 1, 100, 120], 0, 2), 4);
    }

    #[test]
    fn many_pushes_leave_few_packs_and_write_little() {
        let (mut counts, mut written) = (vec![100_000u64], 0);
        for _ in 0..1000 {
            counts.insert(0, 3);
            counts.sort_unstable();
            let goes = roll_up(&counts, 0, 2);
            if goes >= 2 {
                let total = counts.drain(..goes).sum();
                written += total;
                counts.push(total);
                counts.sort_unstable();
            }
        }
        assert!(counts.len() <= 13, "{counts:?}");
        assert!(written < 3 * 1000 * 12, "{written}");
    }

    proptest! {
        #[test]
        fn afterwards_the_row_grows(
            mut counts in proptest::collection::vec(1u64..10_000, 0..30),
            loose in 0u64..100,
            factor in 2u64..4,
        ) {
            counts.sort_unstable();
            let goes = roll_up(&counts, loose, factor);
            let new: u64 = loose + counts[..goes].iter().sum::<u64>();
            let mut row = if new > 0 { vec![new] } else { vec![] };
            row.extend(&counts[goes..]);
            prop_assert!(row.windows(2).all(|pair| pair[1] >= pair[0] * factor), "{row:?}");
        }
    }
}
