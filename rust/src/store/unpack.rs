//! Packs taken apart: every object a loose file, as `git unpack-objects` leaves them.
//!
//! In: a quarantine's snapshot, and the repository's. Out: loose files in the quarantine, one for each
//! object that the repository lacks. They are not on the disk yet: whoever publishes them waits
//! for all together.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::Snapshot;
use super::alternates::loose_path;
use super::write::{self, io};
use crate::hash::ObjectId;
use crate::object::loose_header;
use crate::source::{ObjectNumber, ObjectReader, ObjectSource, SourceError};
use crate::watch::Watch;
use crate::zlib::Deflater;

/// Of loose objects, which are packed sooner or later: git's level for them, the quickest.
const LEVEL: i32 = 1;

/// Compressed bytes that are written at once.
const BUFFER: usize = 64 * 1024;

/// Makes loose objects of the packs in `folder`; how many.
///
/// What `base` has is not written again; it is marked as young, so that no gc beside takes it away.
pub fn unpack(
    waiting: &Snapshot,
    base: &Snapshot,
    folder: &Path,
    watch: &Watch,
) -> Result<u32, SourceError> {
    let mut reader = waiting.reader();
    let mut deflater = Deflater::new(LEVEL);
    let mut written = 0;
    for pack in waiting.packs().iter().filter(|pack| pack.path().starts_with(folder)) {
        for &position in pack.positions_by_offset()?.iter() {
            watch.check()?;
            let id = pack.id_at(position);
            if write::is_there(base, &id)? {
                continue;
            }
            let number = waiting.lookup(&id)?.ok_or(SourceError::Missing(id))?;
            copy(reader.as_mut(), number, &id, folder, &mut deflater)?;
            written += 1;
        }
    }
    Ok(written)
}

fn copy(
    reader: &mut dyn ObjectReader,
    number: ObjectNumber,
    id: &ObjectId,
    objects_dir: &Path,
    deflater: &mut Deflater,
) -> Result<(), SourceError> {
    let path = loose_path(objects_dir, id);
    let fan = path.parent().expect("a loose object has a folder because its path joins one");
    match fs::create_dir(fan) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(io(fan, error));
        }
        _ => {}
    }
    let (temporary, mut file) = write::create_temporary(fan)?;
    let (kind, size) = reader.header(number)?;
    let mut packed = Vec::with_capacity(BUFFER);
    deflater.reset();
    deflater.push(&loose_header(kind, size), false, &mut packed);
    let mut failed = None;
    let streamed = reader.stream(number, &mut |piece| {
        deflater.push(piece, false, &mut packed);
        if packed.len() >= BUFFER {
            failed = file.write_all(&packed).err();
            packed.clear();
        }
        failed.is_none()
    });
    if let Some(error) = failed {
        return Err(io(&temporary, error));
    }
    streamed?;
    deflater.push(b"", true, &mut packed);
    file.write_all(&packed)
        .and_then(|()| fs::rename(&temporary, &path))
        .map_err(|error| io(&temporary, error))
}
