//! What a pack follows from.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::graph::{Filter, Shallow, WalkRequest};
use crate::hash::{HashKind, IdSet, ObjectId};
use crate::plan::PlanOptions;

/// Changes whenever the same request may give another pack, or files are written otherwise.
const VERSION: &[u8] = b"gitserve remembered pack 1\0";

/// Which repository.
#[derive(Debug, Clone)]
pub struct Identity(Vec<u8>);

impl Identity {
    /// That of the repository with this `objects/` folder.
    pub fn of(objects_dir: &Path) -> std::io::Result<Self> {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::MetadataExt;
        let path = std::fs::canonicalize(objects_dir)?;
        let found = std::fs::metadata(&path)?;
        let mut name = path.as_os_str().as_bytes().to_vec();
        name.push(0);
        name.extend(found.dev().to_be_bytes());
        name.extend(found.ino().to_be_bytes());
        Ok(Self(name))
    }
}

/// Names a pack by what it follows from: the same key, a pack of the same objects that the same
/// clients can read. Objects never change, so a key never becomes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// Of a request; how many threads work on it makes no difference.
    pub fn of(
        identity: &Identity,
        kind: HashKind,
        request: &WalkRequest,
        plan: &PlanOptions,
    ) -> Self {
        // nothing is left out unseen when a field is added
        let WalkRequest {
            wants,
            haves,
            shallow,
            filter,
            tags,
            thin,
            threads: _,
            no_bitmaps,
            leave_missing,
            leave_out,
        } = request;
        let Shallow { client, server, new_boundary, unshallow } = shallow;
        let mut hasher = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        part(VERSION);
        part(&identity.0);
        part(kind.name().as_bytes());
        part(&sorted(wants.iter()));
        part(&sorted(haves.iter()));
        part(&sorted(leave_out.iter()));
        for set in [client, server, new_boundary, unshallow] {
            part(&sorted_set(set));
        }
        part(&spelt(filter));
        let mut pairs: Vec<&(ObjectId, ObjectId)> = tags.iter().collect();
        pairs.sort_unstable_by_key(|(tag, peeled)| (tag.as_bytes(), peeled.as_bytes()));
        for (tag, peeled) in pairs {
            part(tag.as_bytes());
            part(peeled.as_bytes());
        }
        part(b"capabilities");
        part(&[*thin, *no_bitmaps, *leave_missing, plan.thin, plan.ofs_delta].map(u8::from));
        part(&plan.level.to_be_bytes());
        part(&plan.depth.to_be_bytes());
        Self(hasher.finalize().into())
    }

    /// As it is found in a file; for tests, any bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Each once: who names a want twice asks for no more.
fn sorted<'a>(ids: impl Iterator<Item = &'a ObjectId>) -> Vec<u8> {
    let mut ids: Vec<&[u8]> = ids.map(ObjectId::as_bytes).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.concat()
}

fn sorted_set(ids: &IdSet) -> Vec<u8> {
    sorted(ids.iter())
}

/// One spelling for what may be asked for in many.
fn spelt(filter: &Filter) -> Vec<u8> {
    format!("{filter:?}").into_bytes()
}
