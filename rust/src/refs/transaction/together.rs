//! All or nothing, also for whoever reads in between and after a crash.
//!
//! Renaming several files is several steps. Replacing `packed-refs` is one, but a loose file hides
//! what is packed. So the values as they are go into `packed-refs` first and the loose files away,
//! as `git pack-refs` does it, which changes nothing that can be seen; then the new values replace
//! them in one rename.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;

use super::{Action, Locked, Transaction};
use crate::refs::UpdateError;
use crate::refs::folders::Folders;
use crate::refs::packed::PackedRefs;
use crate::refs::packed_edit::{Addition, PackedLock};
use crate::refs::peel::Peeler;
use crate::refs::read::RawRef;

impl Transaction<'_> {
    /// Packs the old values of the refs that are to move and are loose; `packed-refs` as it is
    /// then. After an error all refs have the values that they had.
    ///
    /// A ref whose old object cannot be read stays loose: what it peels to cannot be written. It
    /// moves after the others then.
    pub(super) fn pack_old_values(
        &self,
        lock: &PackedLock,
        locked: &mut [Locked],
        packed: Arc<PackedRefs>,
    ) -> Result<Arc<PackedRefs>, UpdateError> {
        let Some(objects) = self.options.objects else { return Ok(packed) };
        let mut peeler = Peeler::new(&self.refs.peels, objects);
        let mut additions = BTreeMap::new();
        for (at, ref_) in locked.iter().enumerate() {
            let (Some(RawRef::Id(id)), true) = (&ref_.loose, self.is_open(ref_)) else { continue };
            peeler.complete = true;
            match peeler.peel(id) {
                Ok(peeled) if peeler.complete => {
                    additions.insert(&ref_.name[..], (at, *id, peeled));
                }
                _ => {}
            }
        }
        if additions.is_empty() {
            return Ok(packed);
        }
        let rows: Vec<Addition<'_>> = additions
            .iter()
            .map(|(&name, &(_, id, peeled))| Addition { name, id, peeled })
            .collect();
        lock.replace(&packed, &[], &rows, self.options.fsync)?;
        let moved: Vec<usize> = additions.values().map(|&(at, ..)| at).collect();
        let mut folders = Folders::shared(self.options.sharing);
        for at in moved {
            let ref_ = &mut locked[at];
            debug_assert!(ref_.action != Action::Nothing, "only what is to move was packed");
            let path = self.refs.paths.of(&ref_.name);
            match fs::remove_file(&path) {
                Ok(()) => folders.changed_in(&path),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(UpdateError::io(&path, error)),
            }
            ref_.loose = None;
        }
        if self.options.fsync {
            folders.sync()?;
        }
        Ok(self.refs.packed_now()?)
    }
}
