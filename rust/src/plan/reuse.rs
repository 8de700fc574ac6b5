//! Which stored deltas can be sent as they are.
//!
//! A stored delta serves when its base goes along, or when the client has the base and takes thin
//! packs. What bitmaps let pass in [`super::stretches`] goes along, too. Within one pack that can never go in circles; across packs, each of which holds its own
//! copy of the same objects, it can, and then one delta of the circle is given up.

use super::slots::{CHECK_EVERY, How, Link, PackGroup, Slot, Slots};
use super::stretches::Stretches;
use crate::graph::ClientHas;
use crate::pack::entry::EntryKind;
use crate::source::{ObjectNumber, ObjectSource, SourceError};
use crate::watch::Watch;

/// Bases that need not have a slot.
#[derive(Clone, Copy)]
pub(super) struct Beside<'a> {
    /// What the client has, when it takes thin packs.
    pub(super) client: Option<&'a ClientHas>,
    /// What goes before all slots.
    pub(super) stretches: Option<&'a Stretches>,
}

impl Beside<'_> {
    fn contains(&self, source: &dyn ObjectSource, number: ObjectNumber) -> bool {
        self.stretches.is_some_and(|stretches| stretches.contains(number))
            || self.client.is_some_and(|client| client.contains(source, number))
    }
}

/// Decides between [`How::Stored`], [`How::StoredDelta`], [`How::StoredThin`] and [`How::Anew`]
/// for all packed slots.
pub(super) fn decide(
    slots: &mut Slots,
    source: &dyn ObjectSource,
    beside: Beside<'_>,
    longest: u32,
    watch: &Watch,
) -> Result<(), SourceError> {
    let groups = std::mem::take(&mut slots.groups);
    let mut offsets = Vec::new();
    let outcome = groups.iter().try_for_each(|group| {
        // apart from the slots, where eight of them share a cache line
        offsets.clear();
        offsets.extend(slots.all[group.slots.clone()].iter().map(|slot| slot.offset));
        for at in group.slots.clone() {
            if (at - group.slots.start) % CHECK_EVERY == 0 {
                watch.check()?;
                watch.add((group.slots.end - at).min(CHECK_EVERY) as u64);
            }
            let (how, base, link) = decide_one(slots, group, &offsets, at, source, beside)?;
            let slot = &mut slots.all[at];
            (slot.how, slot.base, slot.link) = (how, base, link);
        }
        Ok(())
    });
    slots.groups = groups;
    outcome?;
    let unpacked = slots.all.len() - slots.groups.last().map_or(0, |group| group.slots.end);
    watch.add(unpacked as u64);
    // the bases of one pack's deltas lie before them; only with several packs, or with bases by
    // name, is there a way back
    break_cycles(&mut slots.all);
    if longest < u32::MAX {
        break_long_chains(&mut slots.all, longest);
    }
    Ok(())
}

/// Decides that nothing stored as a delta stays one.
pub(super) fn give_up_deltas(slots: &mut Slots) -> Result<(), SourceError> {
    for group in &slots.groups {
        for slot in &mut slots.all[group.slots.clone()] {
            let is_whole = matches!(group.pack.header_at(slot.offset)?.kind, EntryKind::Whole(_));
            slot.how = if is_whole { How::Stored } else { How::Anew };
        }
    }
    Ok(())
}

fn decide_one(
    slots: &Slots,
    group: &PackGroup,
    offsets: &[u64],
    at: usize,
    source: &dyn ObjectSource,
    beside: Beside<'_>,
) -> Result<(How, u32, Link), SourceError> {
    let slot = &slots.all[at];
    let header = group.pack.header_at(slot.offset)?;
    let (base, link) = match header.kind {
        EntryKind::Whole(_) => return Ok((How::Stored, 0, Link::None)),
        EntryKind::OfsDelta(distance) => {
            let offset = slot.offset.checked_sub(distance).ok_or_else(|| {
                SourceError::corrupt_at(
                    group.pack.name(),
                    slot.offset,
                    "delta base before the pack",
                )
            })?;
            if let Some(base) = search_back(&offsets[..at - group.slots.start], offset) {
                let base = (group.slots.start + base) as u32;
                return Ok((How::StoredDelta, base, Link::Near));
            }
            (source.number_at_offset(group.number, offset), Link::Elsewhere)
        }
        EntryKind::RefDelta(id) => (source.lookup(&id)?, Link::Name),
    };
    let (how, base) = base.map_or((How::Anew, 0), |base| fate(slots, base, source, beside));
    Ok((how, base, link))
}

fn fate(
    slots: &Slots,
    base: ObjectNumber,
    source: &dyn ObjectSource,
    beside: Beside<'_>,
) -> (How, u32) {
    match slots.of(base) {
        Some(slot) => (How::StoredDelta, slot),
        None if beside.contains(source, base) => (How::StoredThin, base),
        None => (How::Anew, 0),
    }
}

/// Which of the sorted offsets this one is, looked for in growing steps from the end: bases are mostly near.
#[inline]
fn search_back(before: &[u64], offset: u64) -> Option<usize> {
    let mut step = 1;
    let mut high = before.len();
    loop {
        let low = high.saturating_sub(step);
        if low == high {
            return None;
        }
        if before[low] <= offset || low == 0 {
            return before[low..high].binary_search(&offset).ok().map(|at| low + at);
        }
        high = low;
        step *= 2;
    }
}

/// Gives up one delta of every circle.
fn break_cycles(all: &mut [Slot]) {
    // without a base behind its delta there can be no circle
    let forward = |(at, slot): (usize, &Slot)| slot.how.needs_slot() && slot.base as usize >= at;
    if !all.iter().enumerate().any(forward) {
        return;
    }
    const UNSEEN: u32 = 0;
    let mut seen_in = vec![UNSEEN; all.len()];
    for start in 0..all.len() {
        let walk = start as u32 + 1;
        let mut at = start;
        while all[at].how.needs_slot() && seen_in[at] == UNSEEN {
            seen_in[at] = walk;
            at = all[at].base as usize;
        }
        if all[at].how.needs_slot() && seen_in[at] == walk {
            all[at].how = How::Anew;
        }
    }
}

/// Gives up the delta that would be one too deep, and with it what hangs on it starts anew.
fn break_long_chains(all: &mut [Slot], longest: u32) {
    const UNKNOWN: u32 = u32::MAX;
    let mut depths = vec![UNKNOWN; all.len()];
    let mut chain = Vec::new();
    for start in 0..all.len() {
        let mut at = start;
        while depths[at] == UNKNOWN && all[at].how.needs_slot() {
            chain.push(at);
            at = all[at].base as usize;
        }
        if depths[at] == UNKNOWN {
            depths[at] = u32::from(all[at].how == How::StoredThin);
        }
        while let Some(delta) = chain.pop() {
            let depth = depths[all[delta].base as usize] + 1;
            depths[delta] = if depth > longest { 0 } else { depth };
            if depth > longest {
                all[delta].how = How::Anew;
            }
        }
    }
}

/// How deep each slot is in its chain, and how long the longest chain below it is, counting
/// reused deltas only.
pub(super) struct Chains {
    pub depth: Vec<u16>,
    pub below: Vec<u16>,
}

impl Chains {
    pub(super) fn of(all: &[Slot]) -> Self {
        let thin = |slot: &Slot| u16::from(slot.how == How::StoredThin);
        let mut depth: Vec<u16> = all.iter().map(thin).collect();
        let mut below = vec![0u16; all.len()];
        let mut stack = Vec::new();
        for start in 0..all.len() {
            let mut at = start;
            // `depth` 0 of a delta means: not known yet
            while all[at].how.needs_slot() && depth[at] == 0 {
                stack.push(at);
                at = all[at].base as usize;
            }
            while let Some(delta) = stack.pop() {
                depth[delta] = depth[all[delta].base as usize].saturating_add(1);
            }
        }
        // deltas mostly lie behind their bases, so that from the back the longest chains come
        // first and the rest is known
        for start in (0..all.len()).rev() {
            // upwards, until somebody has told of a longer chain already
            let (mut at, mut length) = (start, 0u16);
            while all[at].how.needs_slot() {
                at = all[at].base as usize;
                length = length.saturating_add(1);
                if below[at] >= length {
                    break;
                }
                below[at] = length;
            }
        }
        Self { depth, below }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ObjectKind;

    fn slot(offset: u64, how: How, base: u32) -> Slot {
        Slot::for_test(offset, ObjectKind::Blob, how, base)
    }

    #[test]
    fn bases_are_found_behind() {
        let all: Vec<u64> = (0..1000).map(|i| 12 + i * 7).collect();
        for i in 0..1000usize {
            assert_eq!(search_back(&all[..1000], 12 + i as u64 * 7), Some(i));
            assert_eq!(search_back(&all[..i], 12 + i as u64 * 7), None);
            assert_eq!(search_back(&all, 13 + i as u64 * 7), None);
        }
        assert_eq!(search_back(&all, 0), None);
        assert_eq!(search_back(&[], 12), None);
    }

    #[test]
    fn circles_lose_one_delta() {
        // 0 -> 2 -> 4 -> 0, with 1 -> 0 outside, and 3 -> 3
        let mut all: Vec<_> = [2, 0, 4, 3, 0]
            .iter()
            .enumerate()
            .map(|(i, &base)| slot(i as u64, How::StoredDelta, base))
            .collect();
        break_cycles(&mut all);
        let given_up = |i: usize| all[i].how == How::Anew;
        assert_eq!([0, 2, 4].into_iter().filter(|&i| given_up(i)).count(), 1);
        assert!(given_up(3) && !given_up(1));
    }

    #[test]
    fn long_chains_are_cut() {
        // 0 <- 1 <- 2 <- ... <- 9, and 10 on 3
        let mut all = vec![slot(0, How::Stored, 0)];
        for base in (0..9).chain([3]) {
            all.push(slot(all.len() as u64, How::StoredDelta, base));
        }
        break_long_chains(&mut all, 3);
        let anew: Vec<usize> = (0..11).filter(|&i| all[i].how == How::Anew).collect();
        assert_eq!(anew, [4, 8, 10]);
        let chains = Chains::of(&all);
        assert_eq!(chains.depth.iter().max(), Some(&3));
    }

    #[test]
    fn chains_are_measured_both_ways() {
        // 0 <- 1 <- 2 <- 4, 1 <- 3
        let mut all = vec![slot(0, How::Stored, 0)];
        for base in [0, 1, 1, 2] {
            all.push(slot(all.len() as u64, How::StoredDelta, base));
        }
        let chains = Chains::of(&all);
        assert_eq!(chains.depth, [0, 1, 2, 2, 3]);
        assert_eq!(chains.below, [3, 2, 1, 0, 0]);
    }
}
