//! The shortest plan: a pack that is sent as it is, from its first entry to its last.

use std::sync::Arc;

use super::slots::CHECK_EVERY;
use super::{PackPlan, PlanCounts, Step};
use crate::graph::{Found, Stored};
use crate::pack::PACK_HEADER_LEN;
use crate::pack::entry::{OFS_DELTA, REF_DELTA, type_number};
use crate::source::{ObjectSource, SourceError};
use crate::store::Pack;
use crate::watch::{Phase, Watch};

/// The plan, when the objects are those of one stored pack that needs no change.
///
/// Only for clients that take `ofs-delta`. A pack in which deltas name their bases is left to the
/// long way, which makes distances of the names.
pub(super) fn plan(
    source: &dyn ObjectSource,
    objects: &[Found],
    watch: &Watch,
) -> Result<Option<PackPlan>, SourceError> {
    let Some((number, pack)) = only_pack(source, objects) else { return Ok(None) };
    let order = pack.order()?;
    let mut deltas = 0;
    for rank in 0..objects.len() {
        if rank % CHECK_EVERY == 0 {
            watch.check()?;
        }
        match pack.entry_data(order.offset(rank))?.first().map(|&byte| type_number(byte)) {
            Some(OFS_DELTA) => deltas += 1,
            Some(1..=4) => {}
            Some(REF_DELTA) => return Ok(None),
            // told about by whoever parses the header
            _ => return Ok(None),
        }
    }
    let count = objects.len() as u32;
    watch.add(u64::from(count));
    let whole = u64::from(count - deltas);
    watch.begin(Phase::Compressing, Some(whole));
    watch.add(whole);
    watch.end();
    let run = Step::Run {
        pack: number,
        start: PACK_HEADER_LEN as u64,
        end: pack.end_of_entries(),
        objects: count,
    };
    let counts =
        PlanCounts { objects: count, deltas, reused: count, reused_deltas: deltas, verbatim: 0 };
    Ok(Some(PackPlan { steps: vec![run], made: Vec::new(), counts }))
}

/// The same from a bitmap, which knows without looking at any object.
pub(super) fn plan_stored(
    source: &dyn ObjectSource,
    stored: &Stored,
    watch: &Watch,
) -> Option<PackPlan> {
    let Stored { reach, bits } = stored;
    let count = reach.count();
    if reach.leading_pack() != count || bits.leading_ones() != count {
        return None;
    }
    let number = source.packed_at(*reach.numbers().first()?)?.pack;
    let pack = source.pack(number).filter(|pack| pack.object_count() == count)?;
    watch.add(u64::from(count));
    watch.end();
    let run = Step::Run {
        pack: number,
        start: PACK_HEADER_LEN as u64,
        end: pack.end_of_entries(),
        objects: count,
    };
    let counts = PlanCounts { objects: count, verbatim: count, ..PlanCounts::default() };
    Some(PackPlan { steps: vec![run], made: Vec::new(), counts })
}

/// The pack that holds all the objects and no other.
fn only_pack<'s>(source: &'s dyn ObjectSource, objects: &[Found]) -> Option<(u32, &'s Arc<Pack>)> {
    let first = source.packed_at(objects.first()?.number)?.pack;
    let pack = source.pack(first)?;
    if pack.object_count() as usize != objects.len() {
        return None;
    }
    let mut seen = vec![0u64; (source.number_bound() as usize).div_ceil(64)];
    for found in objects {
        let word = seen.get_mut(found.number as usize / 64)?;
        let bit = 1 << (found.number % 64);
        if *word & bit != 0 || source.packed_at(found.number)?.pack != first {
            return None;
        }
        *word |= bit;
    }
    Some((first, pack))
}
