//! Writing a loose object so that it survives a power failure.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Snapshot;
use super::alternates::loose_path;
use crate::durable;
use crate::hash::ObjectId;
use crate::object::{ObjectKind, loose_header, object_id};
use crate::sharing::Sharing;
use crate::source::{ObjectSource, SourceError};
use crate::zlib::{DEFAULT_LEVEL, Deflater};

/// As git: nobody writes to an object that is there.
const MODE: u32 = 0o444;
/// A name that somebody else takes first is drawn again, this often.
const MAX_TRIES: u32 = 100;

/// See [`Snapshot::write_loose`].
pub(super) fn write_loose(
    snapshot: &Snapshot,
    kind: ObjectKind,
    content: &[u8],
    sharing: Sharing,
) -> Result<ObjectId, SourceError> {
    let id = object_id(snapshot.hash_kind(), kind, content);
    if is_there(snapshot, &id)? {
        return Ok(id);
    }
    let path = loose_path(snapshot.objects_dir(), &id);
    let folder = path.parent().expect("a loose object has a folder because its path joins one");
    make_folder(folder, sharing)?;
    let mut packed = Vec::new();
    let mut deflater = Deflater::new(DEFAULT_LEVEL);
    deflater.reset();
    deflater.push(&loose_header(kind, content.len() as u64), false, &mut packed);
    deflater.push(content, true, &mut packed);
    let (temporary, file) = match create_temporary(folder) {
        Err(_) if !folder.exists() => {
            // a repack has just taken it away, which was empty
            make_folder(folder, sharing)?;
            create_temporary(folder)?
        }
        created => created?,
    };
    let written = sharing
        .share_file(&file)
        .and_then(|()| fill(file, &packed))
        .and_then(|()| fs::rename(&temporary, &path))
        .map_err(|error| io(&temporary, error));
    if written.is_err() {
        // the error that brought us here says more than one of the cleaning
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_folder(folder)?;
    Ok(id)
}

/// Is it there, and going to stay?
pub(super) fn is_there(snapshot: &Snapshot, id: &ObjectId) -> Result<bool, SourceError> {
    Ok(snapshot.lookup(id)?.is_some() && freshen(snapshot, id))
}

/// Tells a gc that looks at times that the object is wanted; false when that cannot be told, and
/// it has to be written anew.
fn freshen(snapshot: &Snapshot, id: &ObjectId) -> bool {
    let touch = |path: &Path| {
        File::open(path).and_then(|file| file.set_modified(SystemTime::now())).is_ok()
    };
    if snapshot.folders().iter().any(|folder| touch(&loose_path(folder, id))) {
        return true;
    }
    let packed = snapshot.lookup(id).ok().flatten().and_then(|number| snapshot.packed_at(number));
    let pack = packed.and_then(|at| snapshot.pack(at.pack));
    // where each object has a time of its own, the pack's says nothing
    pack.is_some_and(|pack| !pack.path().with_extension("mtimes").exists() && touch(pack.path()))
}

fn make_folder(folder: &Path, sharing: Sharing) -> Result<(), SourceError> {
    match fs::create_dir(folder) {
        Ok(()) => {
            sharing.share(folder).map_err(|error| io(folder, error))?;
            sync_folder(folder.parent().expect("objects/xx has a parent because it is joined"))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(io(folder, error)),
    }
}

/// A file of our own beside the place of the object, under a name that gc knows as rubbish.
pub(super) fn create_temporary(folder: &Path) -> Result<(PathBuf, File), SourceError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
    let mut tries = 0;
    loop {
        tries += 1;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tmp_obj_{:x}_{nanos:x}_{count:x}", std::process::id());
        let path = folder.join(name);
        match OpenOptions::new().write(true).create_new(true).mode(MODE).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && tries < MAX_TRIES => {}
            Err(error) => return Err(io(&path, error)),
        }
    }
}

fn fill(mut file: File, content: &[u8]) -> std::io::Result<()> {
    file.write_all(content)?;
    file.sync_all()
}

fn sync_folder(folder: &Path) -> Result<(), SourceError> {
    durable::sync_folder(folder).map_err(|error| io(folder, error))
}

pub(super) fn io(path: &Path, error: std::io::Error) -> SourceError {
    SourceError::Io { file: path.display().to_string(), error }
}
