//! A snapshot with one more folder in front: what a push brings, before it is in its place.

use std::path::Path;
use std::sync::Arc;

use super::super::Shared;
use super::super::packs::{Opened, open_pack};
use super::super::scan::Listing;
use super::{Snapshot, lock};
use crate::source::SourceError;

impl Snapshot {
    /// What `folder` holds, and behind it all that this one has: a push that waits. Of this one nothing
    /// is looked at again; its numbers stay the same.
    pub fn with_front(self: &Arc<Self>, folder: &Path) -> Result<Arc<Self>, SourceError> {
        let extra = vec![self.shared.objects_dir.clone()];
        let shared = Arc::new(Shared::new(folder, self.shared.hash, &extra));
        let made = match self.opened_in_front(folder)? {
            Some((listing, opened)) => Self::new(shared, listing, opened),
            None => Self::take(shared)?,
        };
        Ok(Arc::new(made))
    }

    /// `None` where something is odd, and everything has to be looked at.
    fn opened_in_front(&self, folder: &Path) -> Result<Option<(Listing, Opened)>, SourceError> {
        if !self.broken.is_empty() || !self.is_sound() {
            return Ok(None);
        }
        let listing = lock(&self.made_from).clone();
        let behind = listing.content.indexes.len();
        let Some(listing) = listing.in_front(folder)? else { return Ok(None) };
        if listing.content.has_more_than_packs(folder) {
            return Ok(None);
        }
        let mut opened = Opened {
            packs: self.packs.clone(),
            segments: self.segments.extended(),
            bitmap: self.bitmap.clone(),
            ..Opened::default()
        };
        let front = listing.content.indexes.len() - behind;
        for index_path in &listing.content.indexes[..front] {
            let Ok(pack) = open_pack(index_path, self.shared.hash) else { return Ok(None) };
            let place = opened.packs.len() as u32;
            if !opened.segments.add_pack(place, Arc::clone(&pack)) {
                return Err(self.out_of_numbers());
            }
            opened.packs.push(pack);
        }
        Ok(Some((listing, opened)))
    }
}
