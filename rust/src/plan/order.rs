//! The order of the pack: bases before what is made of them, neighbours joined to runs.

use super::search::Fresh;
use super::slots::{How, Link, Slot, Slots};
use super::{BaseAt, MadeEntry, PackPlan, PlanError, PlanOptions, Step};
use crate::source::SourceError;

/// Not placed yet.
const NOWHERE: u32 = u32::MAX;

pub(super) fn arrange(
    slots: &Slots,
    fresh: Vec<Fresh>,
    options: &PlanOptions,
) -> Result<PackPlan, PlanError> {
    let mut made: Vec<Option<Fresh>> = Vec::new();
    let mut fresh_of = std::collections::HashMap::with_capacity(fresh.len());
    for entry in fresh {
        fresh_of.insert(entry.slot, made.len());
        made.push(Some(entry));
    }
    let mut arranger = Arranger {
        slots,
        ofs_delta: options.ofs_delta,
        fresh: made,
        fresh_of,
        placed: vec![NOWHERE; slots.all.len()],
        plan: PackPlan::default(),
    };
    let mut waiting = Vec::new();
    let mut sequence: Vec<u32> = (0..slots.all.len() as u32).collect();
    if options.as_found {
        sequence.sort_unstable_by_key(|&at| slots.all[at as usize].seq);
    }
    for start in sequence {
        let mut at = start as usize;
        while arranger.placed[at] == NOWHERE {
            waiting.push(at);
            if !slots.all[at].how.needs_slot() {
                break;
            }
            at = slots.all[at].base as usize;
        }
        while let Some(at) = waiting.pop() {
            arranger.place(at)?;
        }
    }
    Ok(arranger.plan)
}

struct Arranger<'a> {
    slots: &'a Slots,
    ofs_delta: bool,
    fresh: Vec<Option<Fresh>>,
    fresh_of: std::collections::HashMap<u32, usize>,
    /// The step that writes each slot.
    placed: Vec<u32>,
    plan: PackPlan,
}

impl Arranger<'_> {
    fn place(&mut self, at: usize) -> Result<(), PlanError> {
        let slot = &self.slots.all[at];
        let counts = &mut self.plan.counts;
        counts.objects += 1;
        match slot.how {
            How::Anew => {}
            How::Stored => counts.reused += 1,
            How::NewDelta | How::NewThin => counts.deltas += 1,
            How::StoredDelta | How::StoredThin => {
                counts.deltas += 1;
                counts.reused += 1;
                counts.reused_deltas += 1;
            }
        }
        match slot.how {
            How::Stored => self.copy(at)?,
            How::StoredDelta | How::StoredThin if self.stays_as_it_is(slot) => self.copy(at)?,
            How::StoredDelta | How::StoredThin => {
                let (pack, offset) = (slot.pack, slot.offset);
                let (end, base) = (self.slots.end_of(slot)?, self.base_of(slot));
                self.push(at, Step::Moved { pack, offset, end, base });
            }
            How::Anew | How::NewDelta | How::NewThin => self.make(at),
        }
        Ok(())
    }

    /// May the header of a stored delta stay as it is?
    fn stays_as_it_is(&self, slot: &Slot) -> bool {
        match slot.link {
            Link::None => true,
            // a distance is shorter than a name, where both serve: whether it does is not known
            // of a base without a slot
            Link::Name => !self.ofs_delta,
            Link::Elsewhere => false,
            // nothing between the two is left out
            Link::Near => {
                let base = self.slots.all[slot.base as usize].offset;
                self.ofs_delta && self.open_run(slot).is_some_and(|start| base >= start)
            }
        }
    }

    /// Where the run begins that this slot would go on with.
    fn open_run(&self, slot: &Slot) -> Option<u64> {
        match self.plan.steps.last() {
            Some(&Step::Run { pack, start, end, .. })
                if (pack, end) == (slot.pack, slot.offset) =>
            {
                Some(start)
            }
            _ => None,
        }
    }

    fn copy(&mut self, at: usize) -> Result<(), SourceError> {
        let slot = &self.slots.all[at];
        let entry_end = self.slots.end_of(slot)?;
        if self.open_run(slot).is_some() {
            let step = self.plan.steps.len() as u32 - 1;
            if let Some(Step::Run { end, objects, .. }) = self.plan.steps.last_mut() {
                *end = entry_end;
                *objects += 1;
                self.placed[at] = step;
                return Ok(());
            }
        }
        let (pack, start) = (slot.pack, slot.offset);
        self.push(at, Step::Run { pack, start, end: entry_end, objects: 1 });
        Ok(())
    }

    fn make(&mut self, at: usize) {
        let slot = &self.slots.all[at];
        let fresh = self.fresh_of.get(&(at as u32)).and_then(|&i| self.fresh[i].take());
        let base = (slot.how != How::Anew).then(|| self.base_of(slot));
        let step = match (fresh, base) {
            (Some(Fresh { size, deflated: Some(deflated), .. }), base) => {
                self.plan.made.push(MadeEntry {
                    number: slot.number,
                    kind: slot.kind,
                    base,
                    size,
                    deflated,
                });
                Step::Made(self.plan.made.len() as u32 - 1)
            }
            (Some(Fresh { base: Some(base), .. }), Some(at)) => {
                Step::Remake { target: slot.number, base, at }
            }
            _ => Step::Whole(slot.number),
        };
        self.push(at, step);
    }

    fn push(&mut self, at: usize, step: Step) {
        self.placed[at] = self.plan.steps.len() as u32;
        self.plan.steps.push(step);
    }

    /// Where the base of a delta is for the client.
    fn base_of(&self, slot: &Slot) -> BaseAt {
        if !slot.how.needs_slot() {
            return BaseAt::Named(slot.base);
        }
        let base = &self.slots.all[slot.base as usize];
        let step = self.placed[slot.base as usize];
        if !self.ofs_delta {
            return BaseAt::Named(base.number);
        }
        match self.plan.steps.get(step as usize) {
            Some(Step::Run { start, .. }) => BaseAt::Sent { step, within: base.offset - start },
            Some(_) => BaseAt::Sent { step, within: 0 },
            None => BaseAt::Named(base.number),
        }
    }
}
