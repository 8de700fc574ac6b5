//! Whether a planned pack is worth a file of the cache.

use crate::cache::Flight;
use crate::plan::{PackPlan, Step};
use crate::source::{ObjectNumber, ObjectSource, SourceError};

/// Packs below this are made faster than a file is.
const SMALL: u64 = 64 << 10;

/// What is asked for the first time, by one client, goes past the file below this: nobody else
/// may ever ask, and what it waits for would be written and read twice.
const LARGE: u64 = 4 << 20;

/// Stretches of stored packs that are copied without a look at their objects: nothing was made.
const STRETCH: u64 = 1 << 20;

/// Beside the compressed bytes of an entry: its header, and the name or distance of its base.
const ENTRY_HEADER: u64 = 64;

/// How long a pack will be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    /// At most.
    pub(super) bytes: u64,
    /// Of these, copied in long stretches.
    pub(super) stretches: u64,
}

pub(super) fn weigh(plan: &PackPlan, source: &dyn ObjectSource) -> Result<Weight, SourceError> {
    let mut reader = source.reader();
    let mut compressed = |number: ObjectNumber| {
        // deflate makes nothing longer by more than this
        reader.header(number).map(|(_, size)| size.saturating_add(size / 1000 + ENTRY_HEADER))
    };
    let mut weight = Weight { bytes: ENTRY_HEADER, stretches: 0 };
    for step in &plan.steps {
        let bytes = match *step {
            Step::Run { start, end, .. } => {
                let run = end.saturating_sub(start);
                if run >= STRETCH {
                    weight.stretches = weight.stretches.saturating_add(run);
                }
                run
            }
            Step::Moved { offset, end, .. } => end.saturating_sub(offset) + ENTRY_HEADER,
            Step::Made(index) => {
                let made = plan.made.get(index as usize);
                made.map_or(0, |made| made.deflated.len() as u64) + ENTRY_HEADER
            }
            // a delta is only chosen when it is shorter than what it stands for
            Step::Whole(number) | Step::Remake { target: number, .. } => compressed(number)?,
        };
        weight.bytes = weight.bytes.saturating_add(bytes);
    }
    Ok(weight)
}

/// The task again when the pack is to be made in its file; those who wait for one that is not are
/// told.
pub(super) fn accepted(
    mut flight: Flight,
    plan: &PackPlan,
    source: &dyn ObjectSource,
) -> Result<Option<Flight>, SourceError> {
    let Weight { bytes, stretches } = weigh(plan, source)?;
    let is_copy = stretches > bytes / 8 * 7;
    if bytes < SMALL || is_copy {
        flight.decline(true);
    } else if bytes < LARGE && !flight.is_wanted() || !flight.reserve(bytes) {
        flight.decline(false);
    } else {
        return Ok(Some(flight));
    }
    Ok(None)
}
