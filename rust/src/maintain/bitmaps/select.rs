//! Which commits get a bitmap.

/// So many of the newest get one each: clients that are up to date have one of them.
const ALL_OF_NEWEST: usize = 100;
/// Behind these, one in a stretch, which is a part of how far back it is.
const PART: usize = 20;
const SHORTEST: usize = 100;
const LONGEST: usize = 5000;
/// Of tips beyond so many, some go without.
const MOST_TIPS: usize = 400;

/// Places of commits, the newest of which are the first; in that order, `room` at most. `merges`
/// tells which have several parents, `tips` which refs name.
pub(super) fn choose(merges: &[bool], tips: &[u32], room: usize) -> Vec<u32> {
    let step = tips.len().div_ceil(MOST_TIPS).max(1);
    let mut sorted = tips.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut chosen: Vec<u32> = sorted.iter().copied().step_by(step).collect();
    let newest = ALL_OF_NEWEST.min(merges.len());
    chosen.extend(0..newest as u32);
    let mut at = newest;
    while at < merges.len() {
        let stretch = (at / PART).clamp(SHORTEST, LONGEST).min(merges.len() - at);
        let places = at..at + stretch;
        let tip = sorted.iter().find(|&&tip| places.contains(&(tip as usize))).copied();
        // where lines of development meet, more leads to it
        let merge = || places.clone().find(|&at| merges[at]);
        chosen.push(tip.unwrap_or_else(|| merge().unwrap_or(at) as u32));
        at += stretch;
    }
    chosen.sort_unstable();
    chosen.dedup();
    chosen.truncate(room.max(1));
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_the_fewer() {
        let commits: Vec<bool> = (0..50_000).map(|at| at % 7 == 3).collect();
        let chosen = choose(&commits, &[40_000, 4, 777], usize::MAX);
        assert!((0..100).all(|at| chosen.contains(&at)));
        assert!(chosen.contains(&777) && chosen.contains(&40_000));
        assert!(chosen.len() < 300 && chosen.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(chosen.iter().filter(|&&at| at > 1000).all(|at| at % 7 == 3 || *at == 40_000));
        assert_eq!(choose(&commits[..3], &[], usize::MAX), [0, 1, 2]);
        assert_eq!(choose(&commits, &[], 10).len(), 10);
        assert!(choose(&[], &[], 5).is_empty());
    }
}
