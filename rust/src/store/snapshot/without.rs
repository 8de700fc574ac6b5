//! A snapshot as if some packs were not there: of what they hold, other copies count.

use std::path::Path;
use std::sync::Arc;

use super::super::Shared;
use super::super::packs::open_all;
use super::super::scan::Listing;
use super::{Snapshot, lock};
use crate::source::SourceError;

impl Snapshot {
    /// For whoever found that these packs are damaged, and goes on with the rest. It remembers nothing
    /// of what was read of them.
    pub fn without(&self, packs: &[&Path]) -> Result<Arc<Self>, SourceError> {
        let Shared { objects_dir, hash, extra, .. } = &*self.shared;
        let whole = Listing::read(objects_dir, extra)?;
        let mut part = whole.clone();
        part.content.indexes.retain(|index| !packs.contains(&&*index.with_extension("pack")));
        // those that name such a pack are of no use; the others are not worth telling apart
        part.content.midxs.clear();
        let shared = Arc::new(Shared::new(objects_dir, *hash, extra));
        let opened = open_all(&part.content, *hash)?;
        let made = Self::new(shared, part, opened);
        {
            // what was left out does not appear later, either
            let mut latest = lock(&made.latest);
            latest.known.extend(whole.content.indexes.iter().cloned());
            latest.listing = whole;
        }
        Ok(Arc::new(made))
    }
}
