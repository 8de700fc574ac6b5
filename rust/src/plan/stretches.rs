//! What bitmaps name, copied in stretches as it lies in its packs.
//!
//! Most of what a clone asks for is most of a pack, with a gap wherever something belongs to a
//! branch that is not asked for, or to none. Entries that a gap moves together with their bases stay
//! as they are. A delta whose base is on the other side of a gap is copied behind a new header, which
//! moves what follows only if it is of another length. One whose base is not sent, or that gives it
//! by name, is left to the stages that look at objects one by one, as is whatever lies elsewhere.
//! These come behind the stretches, and may be deltas of what is in them.
//!
//! Stretches are of one pack, that which holds most. A pack tells what it holds by itself: of a
//! file changed in forty of them, forty versions lie whole. Copied as they are, forty packs of a long
//! history are nearly twice what they are once those are searched for deltas between packs.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use super::slots::CHECK_EVERY;
use super::{BaseAt, PackPlan, PlanCounts, Step};
use crate::bitmap::{Bits, Reachability};
use crate::graph::{Found, Stored};
use crate::object::ObjectKind;
use crate::pack::entry::{EntryHeader, EntryKind, MAX_HEADER_LEN};
use crate::pack::{EntryBase, PACK_HEADER_LEN, PackBases, PackOrder};
use crate::source::{ObjectNumber, ObjectSource, SourceError};
use crate::store::Pack;
use crate::watch::Watch;

/// Of a pack of which less than one object in so many is wanted, each is looked at by itself: it
/// is a few objects, or a pack that is no longer of much use.
const SHARE: u64 = 4;

/// So is each where more than one of so many that bitmaps name would be in no stretch. What goes in
/// stretches can be a base, but no longer a delta of what lies elsewhere: of four packs of git.git,
/// the largest of which held 59 % of all objects, a clone became 4.8 % longer.
const OTHERS: u64 = 8;

/// The stretches of a plan, which are its first steps.
pub(super) struct Stretches {
    reach: Arc<Reachability>,
    /// What they hold.
    sent: Bits,
    /// The pack they are copied from.
    pack: u32,
    /// By offset.
    steps: Vec<Step>,
    objects: u32,
}

/// Neighbouring bits of objects in one pack.
struct Part {
    pack: u32,
    bits: Range<u32>,
    /// How many are asked for.
    wanted: u32,
}

impl Stretches {
    /// Takes what can be copied, if it is worth it; the other objects that `stored` names are added
    /// to `rest`.
    pub(super) fn take(
        source: &dyn ObjectSource,
        stored: &Stored,
        rest: &mut Vec<Found>,
        watch: &Watch,
    ) -> Result<Option<Self>, SourceError> {
        let most = largest_part(source, stored, watch)?;
        let found = most.and_then(|part| source.pack(part.pack).map(|pack| (part, pack)));
        let Some((part, pack)) = found else {
            rest.extend(stored.found_from(0));
            return Ok(None);
        };
        let of_pack = u64::from(pack.object_count());
        let wanted = u64::from(part.wanted);
        let named = u64::from(stored.bits.count());
        if wanted * SHARE < of_pack || (named - wanted) * OTHERS > named {
            rest.extend(stored.found_from(0));
            return Ok(None);
        }
        let mut taken = Self {
            reach: Arc::clone(&stored.reach),
            sent: Bits::new(stored.bits.len()),
            pack: part.pack,
            steps: Vec::new(),
            objects: 0,
        };
        rest.extend(found_within(stored, 0..part.bits.start));
        taken.take_part(source, stored, pack, part.bits.clone(), rest, watch)?;
        rest.extend(stored.found_from(part.bits.end));
        Ok((taken.objects > 0).then_some(taken))
    }

    /// Takes from the pack what these bits stand for.
    fn take_part(
        &mut self,
        source: &dyn ObjectSource,
        stored: &Stored,
        pack: &Pack,
        bits: Range<u32>,
        rest: &mut Vec<Found>,
        watch: &Watch,
    ) -> Result<(), SourceError> {
        let number = self.pack;
        let count = pack.object_count();
        if bits.len() == count as usize && stored.bits.count_within(bits.clone()) == count {
            for bit in bits {
                self.sent.insert(bit);
            }
            let (start, end) = (PACK_HEADER_LEN as u64, pack.end_of_entries());
            self.steps.push(Step::Run { pack: number, start, end, objects: count });
            self.objects = count;
            watch.add(u64::from(count));
            return Ok(());
        }
        // of the first pack, each object has a bit if that many have
        let is_in_step = bits == (0..count) && stored.reach.leading_pack() == count;
        let mut cutter = Cutter::new(number, pack, &mut self.steps)?;
        let mut cursor = 0;
        for (nth, bit) in stored.bits.ones_from(bits.start).enumerate() {
            if bit >= bits.end {
                break;
            }
            if nth % CHECK_EVERY == 0 {
                watch.check()?;
            }
            let rank = match is_in_step {
                true => Some(bit),
                false => {
                    let place = source.packed_at(stored.reach.numbers()[bit as usize]);
                    let offset = place.filter(|at| at.pack == number).map(|at| at.offset);
                    offset.and_then(|offset| cutter.rank_from(&mut cursor, offset))
                }
            };
            if rank.is_some_and(|rank| cutter.take(rank)) {
                self.sent.insert(bit);
                self.objects += 1;
            } else {
                rest.push(stored.found(bit));
            }
        }
        watch.add(u64::from(self.objects));
        Ok(())
    }

    /// What lies whole in the stretches and bears the name of something in `rest` that comes from
    /// elsewhere: whoever made the pack could not make the one a delta of the other.
    pub(super) fn bases_of(
        &self,
        source: &dyn ObjectSource,
        rest: &[Found],
        watch: &Watch,
    ) -> Result<Vec<Found>, SourceError> {
        let mut names = HashSet::new();
        for (nth, found) in rest.iter().enumerate() {
            if nth % CHECK_EVERY == 0 {
                watch.check()?;
            }
            if matches!(found.kind, ObjectKind::Tree | ObjectKind::Blob)
                && source.packed_at(found.number).is_none_or(|at| at.pack != self.pack)
            {
                names.insert(found.name_hash);
            }
        }
        let mut bases = Vec::new();
        let Some(pack) = source.pack(self.pack).filter(|_| !names.is_empty()) else {
            return Ok(bases);
        };
        let order = pack.order()?;
        for (nth, bit) in self.sent.ones().enumerate() {
            if nth % CHECK_EVERY == 0 {
                watch.check()?;
            }
            let kind = self.reach.kind(bit);
            if !matches!(kind, ObjectKind::Tree | ObjectKind::Blob) {
                continue;
            }
            let number = self.reach.numbers()[bit as usize];
            let name_hash = self.reach.name_hash(number);
            if !names.contains(&name_hash) {
                continue;
            }
            // a multi-pack-index that errs about offsets must not make deltas of what is elsewhere
            let at = source.packed_at(number).filter(|at| at.pack == self.pack);
            let is_whole = at.is_some_and(|at| {
                let header = order.rank(at.offset).map(|_| pack.header_at(at.offset));
                matches!(header, Some(Ok(EntryHeader { kind: EntryKind::Whole(_), .. })))
            });
            if is_whole {
                bases.push(Found { number, name_hash, kind });
            }
        }
        Ok(bases)
    }

    /// Does a stretch hold this object?
    pub(super) fn contains(&self, number: ObjectNumber) -> bool {
        self.reach.bit(number).is_some_and(|bit| self.sent.contains(bit))
    }

    /// Where this object is in the stretches.
    fn place(&self, source: &dyn ObjectSource, number: ObjectNumber) -> Option<BaseAt> {
        if !self.contains(number) {
            return None;
        }
        let at = source.packed_at(number).filter(|at| at.pack == self.pack)?;
        place_among(&self.steps, at.offset)
    }

    /// The stretches, and behind them what is planned for the rest.
    pub(super) fn followed_by(self, source: &dyn ObjectSource, rest: PackPlan) -> PackPlan {
        let PackPlan { steps, mut made, counts } = rest;
        let before = self.steps.len() as u32;
        let moved = |base: BaseAt| match base {
            BaseAt::Sent { step, within } => BaseAt::Sent { step: step + before, within },
            BaseAt::Named(number) => self.place(source, number).unwrap_or(base),
        };
        let steps: Vec<Step> = steps
            .into_iter()
            .map(|step| match step {
                Step::Moved { pack, offset, end, base } => {
                    Step::Moved { pack, offset, end, base: moved(base) }
                }
                Step::Remake { target, base, at } => Step::Remake { target, base, at: moved(at) },
                other => other,
            })
            .collect();
        for entry in &mut made {
            entry.base = entry.base.map(moved);
        }
        let counts = PlanCounts {
            objects: counts.objects + self.objects,
            verbatim: counts.verbatim + self.objects,
            ..counts
        };
        let mut all = self.steps;
        all.extend(steps);
        PackPlan { steps: all, made, counts }
    }
}

/// The part of what is asked for that lies in one pack, where most of it does.
///
/// The bits of a file stand in the order of packs, so that each pack's are one range of them. What was
/// learnt in several lots may mix them until it is sorted; then the longest range counts.
fn largest_part(
    source: &dyn ObjectSource,
    stored: &Stored,
    watch: &Watch,
) -> Result<Option<Part>, SourceError> {
    let leading = stored.reach.leading_pack();
    let mut most: Option<Part> = None;
    let mut at = 0;
    while let Some(first) = stored.bits.ones_from(at).next() {
        watch.check()?;
        let Some(place) = source.packed_at(stored.reach.numbers()[first as usize]) else {
            at = first + 1;
            continue;
        };
        let bits = match first < leading {
            true => 0..leading,
            false => first..end_of_pack(source, stored, first, place.pack),
        };
        at = bits.end;
        let wanted = stored.bits.count_within(bits.clone());
        if most.as_ref().is_none_or(|most| most.wanted < wanted) {
            most = Some(Part { pack: place.pack, bits, wanted });
        }
    }
    Ok(most)
}

/// Where the bits of a pack's objects end.
fn end_of_pack(source: &dyn ObjectSource, stored: &Stored, first: u32, pack: u32) -> u32 {
    let numbers = stored.reach.numbers();
    let elsewhere =
        |bit: &u32| source.packed_at(numbers[*bit as usize]).is_none_or(|place| place.pack != pack);
    stored.bits.ones_from(first).find(elsewhere).unwrap_or(stored.bits.len())
}

fn found_within(stored: &Stored, bits: Range<u32>) -> impl Iterator<Item = Found> + '_ {
    stored
        .bits
        .ones_from(bits.start)
        .take_while(move |&bit| bit < bits.end)
        .map(|b| stored.found(b))
}

/// The step that copies the entry at this offset; an index that is not of this pack may give any.
fn place_among(steps: &[Step], offset: u64) -> Option<BaseAt> {
    let start = |step: &Step| match *step {
        Step::Run { start, .. } => start,
        Step::Moved { offset, .. } => offset,
        _ => u64::MAX,
    };
    let after = steps.partition_point(|step| start(step) <= offset);
    let at = after.checked_sub(1)?;
    let within = match steps[at] {
        Step::Run { start, end, .. } if offset < end => offset - start,
        // it has another header there, so only its beginning is known
        Step::Moved { offset: start, .. } if offset == start => 0,
        _ => return None,
    };
    Some(BaseAt::Sent { step: u32::try_from(at).ok()?, within })
}

/// Cuts one pack into stretches.
struct Cutter<'a> {
    number: u32,
    pack: &'a Pack,
    order: &'a PackOrder,
    bases: &'a PackBases,
    steps: &'a mut Vec<Step>,
    /// The entries taken, by rank.
    taken: Bits,
    /// How many bytes they become.
    written: u64,
    /// The rank that would follow the last entry taken, if it keeps its distance from that.
    next: Option<u32>,
    /// Ranks from which on all entries are moved by the same number of bytes, as far as they are
    /// taken, and that number. A delta moved with its base stays as it is.
    moves: Vec<(u32, i64)>,
}

impl<'a> Cutter<'a> {
    fn new(number: u32, pack: &'a Pack, steps: &'a mut Vec<Step>) -> Result<Self, SourceError> {
        let (order, bases) = (pack.order()?, pack.bases()?);
        let taken = Bits::new(pack.object_count());
        let (written, next, moves) = (0, None, Vec::new());
        Ok(Self { number, pack, order, bases, steps, taken, written, next, moves })
    }

    /// The rank of the entry at this offset, looked for from the last one on.
    fn rank_from(&self, cursor: &mut u32, offset: u64) -> Option<u32> {
        while *cursor < self.taken.len() && self.order.offset(*cursor as usize) < offset {
            *cursor += 1;
        }
        let found = *cursor < self.taken.len() && self.order.offset(*cursor as usize) == offset;
        found.then_some(*cursor)
    }

    /// Adds the entry of this rank, which is higher than all before; false when it cannot be
    /// copied.
    #[inline]
    fn take(&mut self, rank: u32) -> bool {
        let is_near = self.next == Some(rank);
        let base = match self.bases.of(rank) {
            EntryBase::Whole(_) => None,
            // nothing between the two is left out
            EntryBase::Rank(base) if is_near && self.moves.last().is_some_and(|m| m.0 <= base) => {
                None
            }
            EntryBase::Rank(base) if self.taken.contains(base) => Some(base),
            EntryBase::Rank(_) | EntryBase::Unclear => return false,
        };
        let offset = self.order.offset(rank as usize);
        let end = self.order.offset(rank as usize + 1);
        let moved = self.written as i64 - offset as i64;
        let base = base.filter(|&base| self.moved(base) != Some(moved));
        let step = match base {
            None => None,
            Some(base) => match self.behind_new_header(rank, base) {
                Some(step) => Some(step),
                None => return false,
            },
        };
        if !is_near {
            self.moves.push((rank, moved));
        }
        self.next = Some(rank + 1);
        match (step, self.steps.last_mut()) {
            (Some((step, grown)), _) => {
                self.steps.push(step);
                self.written = self.written.wrapping_add_signed(grown);
                self.next = self.next.filter(|_| grown == 0);
            }
            (None, Some(Step::Run { end: run_end, objects, .. })) if *run_end == offset => {
                (*run_end, *objects) = (end, *objects + 1);
            }
            (None, _) => {
                let (pack, start) = (self.number, offset);
                self.steps.push(Step::Run { pack, start, end, objects: 1 });
            }
        }
        self.written += end - offset;
        self.taken.insert(rank);
        true
    }

    /// By how many bytes the entry of this rank is moved, if it is one that was taken.
    fn moved(&self, rank: u32) -> Option<i64> {
        let after = self.moves.partition_point(|&(first, _)| first <= rank);
        Some(self.moves.get(after.checked_sub(1)?)?.1)
    }

    /// The step that writes this entry next, a delta of an earlier one, and how many bytes longer
    /// it is than stored.
    fn behind_new_header(&self, rank: u32, base: u32) -> Option<(Step, i64)> {
        let (offset, end) =
            (self.order.offset(rank as usize), self.order.offset(rank as usize + 1));
        let base_offset = self.order.offset(base as usize);
        let at = place_among(self.steps, base_offset)?;
        let stored = self.pack.header_at(offset).ok()?;
        let distance =
            self.written.checked_sub(base_offset.checked_add_signed(self.moved(base)?)?)?;
        let mut header = Vec::with_capacity(MAX_HEADER_LEN);
        EntryHeader::write(&EntryKind::OfsDelta(distance), stored.size, &mut header);
        let grown = header.len() as i64 - stored.len as i64;
        Some((Step::Moved { pack: self.number, offset, end, base: at }, grown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_step_copies_has_no_place() {
        let base = BaseAt::Sent { step: 0, within: 0 };
        let steps = [
            Step::Run { pack: 0, start: 12, end: 40, objects: 2 },
            Step::Moved { pack: 0, offset: 60, end: 80, base },
            Step::Run { pack: 0, start: 90, end: 100, objects: 1 },
        ];
        let place = |offset| match place_among(&steps, offset) {
            Some(BaseAt::Sent { step, within }) => Some((step, within)),
            _ => None,
        };
        assert_eq!([12, 30, 60, 95].map(place), [(0, 0), (0, 18), (1, 0), (2, 5)].map(Some));
        assert_eq!([0, 11, 40, 61, 80, 100, u64::MAX].map(place), [None; 7]);
    }
}
