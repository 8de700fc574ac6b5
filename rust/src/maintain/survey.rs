//! What is stored: the packs with their marks, and the loose objects.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Census, MaintainError};
use crate::hash::{HashKind, ObjectId};

/// A pack, by its files.
#[derive(Debug, Clone)]
pub(super) struct PackFile {
    /// Its `.pack`.
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// When it was written, or last found to be of use.
    pub(super) modified: SystemTime,
    /// It holds what nobody needed (`.mtimes`).
    pub(super) is_cruft: bool,
    /// Its objects may name others that a promisor has (`.promisor`).
    pub(super) is_promised: bool,
    /// Somebody wants it to stay (`.keep`).
    pub(super) is_kept: bool,
}

/// A loose object.
#[derive(Debug, Clone)]
pub(super) struct LooseFile {
    pub(super) id: ObjectId,
    pub(super) path: PathBuf,
    pub(super) modified: SystemTime,
}

/// An `objects` folder, without its alternates.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) packs: Vec<PackFile>,
    pub(super) loose: Vec<LooseFile>,
    loose_bytes: u64,
}

impl Survey {
    pub(super) fn of(objects: &Path, hash: HashKind) -> Result<Self, MaintainError> {
        let mut survey = Self::default();
        survey.list_packs(&objects.join("pack"))?;
        for first in 0..=u8::MAX {
            survey.list_loose(objects, first, hash)?;
        }
        Ok(survey)
    }

    /// Numbers for a person.
    pub(super) fn census(&self) -> Census {
        let packed: u64 = self.packs.iter().map(|pack| pack.bytes).sum();
        Census {
            packs: self.packs.len(),
            loose: self.loose.len(),
            bytes: packed + self.loose_bytes,
        }
    }

    fn list_packs(&mut self, folder: &Path) -> Result<(), MaintainError> {
        for name in names(folder)? {
            let Some(stem) = name.strip_suffix(".idx") else { continue };
            let path = folder.join(format!("{stem}.pack"));
            let Ok(meta) = fs::metadata(&path) else { continue };
            // not taken from the listing: a mark is made before the index, and may still be missed
            let has = |mark: &str| path.with_extension(mark).exists();
            self.packs.push(PackFile {
                bytes: meta.len(),
                modified: meta.modified().unwrap_or_else(|_| SystemTime::now()),
                is_cruft: has("mtimes"),
                is_promised: has("promisor"),
                is_kept: has("keep"),
                path,
            });
        }
        Ok(())
    }

    fn list_loose(
        &mut self,
        objects: &Path,
        first: u8,
        hash: HashKind,
    ) -> Result<(), MaintainError> {
        let group = format!("{first:02x}");
        let folder = objects.join(&group);
        for name in names(&folder)? {
            let id = ObjectId::from_hex(format!("{group}{name}").as_bytes());
            let Some(id) = id.filter(|id| id.kind() == hash) else { continue };
            let path = folder.join(name);
            // gone by now: somebody packed it
            let Ok(meta) = fs::metadata(&path) else { continue };
            let modified = meta.modified().unwrap_or_else(|_| SystemTime::now());
            self.loose_bytes += meta.len();
            self.loose.push(LooseFile { id, path, modified });
        }
        Ok(())
    }
}

fn names(folder: &Path) -> Result<Vec<String>, MaintainError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(MaintainError::io(folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        // names of objects and packs are ASCII
        names.extend(entry.map_err(MaintainError::io(folder))?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}
