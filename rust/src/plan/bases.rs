//! Objects that are no candidates for a delta, but may be the base of one.
//!
//! What only the client has, if it takes thin packs, and what goes before in stretches. Of the many
//! that there may be, the search sees those that bear the name of something it searches for.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::PlanOptions;
use super::recall::Shapes;
use super::search::{Candidate, sizes};
use super::slots::{CHECK_EVERY, Slots, UNPACKED};
use crate::graph::Found;
use crate::source::{ObjectSource, SourceError};
use crate::watch::Watch;

/// Of what the client has of one name, as far as its hash tells, so many times the window are
/// looked at: names that end alike share it.
const NAMESAKES: usize = 8;

/// Bases of a search.
#[derive(Default)]
pub(super) struct Bases {
    /// The client has them; the first are the best.
    pub(super) clients: Vec<Found>,
    /// They go before all that is searched for, and are stored whole.
    pub(super) before: Vec<Found>,
}

impl Bases {
    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.before.is_empty()
    }

    /// Adds those that may serve to what is searched for, which is all that is in `candidates`.
    pub(super) fn join(
        &self,
        candidates: &mut Vec<Candidate>,
        slots: &Slots,
        source: &dyn ObjectSource,
        options: &PlanOptions,
        watch: &Watch,
    ) -> Result<(), SourceError> {
        if self.is_empty() {
            return Ok(());
        }
        let sizes = sizes(options);
        let mut shapes = Shapes::new(source, options.remember);
        // how many of what the client has each name may still have: all its versions would be many
        // more than a window holds
        let most = options.window.saturating_mul(NAMESAKES);
        let mut names: HashMap<_, _> =
            candidates.iter().map(|target| ((target.kind, target.name_hash), most)).collect();
        for (seq, base) in self.clients.iter().enumerate() {
            let Some(room) = names.get_mut(&(base.kind, base.name_hash)) else { continue };
            if *room == 0 || slots.of(base.number).is_some() {
                continue;
            }
            *room -= 1;
            watch.check()?;
            let (kind, size) = shapes.of(base.number)?;
            if sizes.contains(&size) {
                let base = Found { kind, ..*base };
                candidates.push(Candidate::base(&base, seq as u32, size, UNPACKED));
            }
        }
        let first = candidates.len();
        for (seq, base) in self.before.iter().enumerate() {
            if seq % CHECK_EVERY == 0 {
                watch.check()?;
            }
            if !names.contains_key(&(base.kind, base.name_hash)) {
                continue;
            }
            let (kind, size) = shapes.of_whole(base.number)?;
            if sizes.contains(&size) {
                let pack = source.packed_at(base.number).map_or(UNPACKED, |at| at.pack);
                let base = Found { kind, ..*base };
                candidates.push(Candidate::base(&base, seq as u32, size, pack));
            }
        }
        spread(&mut candidates[first..], options.window);
        Ok(())
    }
}

/// Where a window cannot hold all of one name, each comes a little before what is as large, so that
/// the window of an object holds some that are smaller, as a file's last version mostly is.
///
/// Names that end alike have one hash: of the catalogues of sixty languages each target's own base
/// is the one of about its size.
fn spread(bases: &mut [Candidate], window: usize) {
    bases.sort_unstable_by_key(|c| (c.kind, c.name_hash, Reverse(c.size), c.seq));
    let ahead = window.div_ceil(4);
    for group in bases.chunk_by_mut(|a, b| a.shares_name(b)) {
        if group.len() <= window {
            continue;
        }
        for at in (0..group.len()).rev() {
            let place = at.checked_sub(ahead).map_or(u64::MAX, |larger| group[larger].size);
            group[at].passes_at(place);
        }
    }
}

/// Of what stays in the window keeps as many as the window holds, those nearest in size to
/// something that is sent.
pub(super) fn drop_distant(candidates: &mut Vec<Candidate>, window: usize) {
    let mut distant = Vec::new();
    let mut at = 0;
    for group in candidates.chunk_by(|a, b| a.shares_name(b)) {
        let (bases, targets) = group.split_at(group.partition_point(Candidate::is_external));
        if bases.len() > window {
            let away = |&nth: &usize| {
                let apart = |target: &Candidate| target.size.abs_diff(bases[nth].size);
                // of those as near, the newest, which come last
                (targets.iter().map(apart).min(), Reverse(nth))
            };
            let mut order: Vec<usize> = (0..bases.len()).collect();
            order.sort_by_cached_key(away);
            distant.extend(order[window..].iter().map(|nth| at + nth));
        }
        at += group.len();
    }
    if !distant.is_empty() {
        distant.sort_unstable();
        let mut at = 0..;
        candidates.retain(|_| at.next().is_none_or(|at| distant.binary_search(&at).is_err()));
    }
}
