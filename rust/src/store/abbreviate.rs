//! How much of a name is needed to tell it from all others.
//!
//! In: an object's name. Out: digits. Packs are asked for the neighbours of the name in their
//! indexes, folders of loose objects are listed.

use std::io::ErrorKind;

use super::Snapshot;
use crate::hash::ObjectId;
use crate::source::SourceError;

/// Hexadecimal digits after which no other object's name is the same.
pub(super) fn unique_len(snapshot: &Snapshot, id: &ObjectId) -> Result<usize, SourceError> {
    let mut shared = 0;
    let mut meet = |other: &ObjectId| {
        if other != id {
            shared = shared.max(shared_digits(id.as_bytes(), other.as_bytes()));
        }
    };
    for pack in snapshot.packs() {
        let (mut low, mut high) = (0, pack.object_count());
        while low < high {
            let middle = low + (high - low) / 2;
            if pack.id_at(middle) < *id { low = middle + 1 } else { high = middle }
        }
        // the first that is not less, which may be the object itself, and those around it
        let around = low.saturating_sub(1)..pack.object_count().min(low.saturating_add(2));
        around.for_each(|position| meet(&pack.id_at(position)));
    }
    let fan = format!("{:02x}", id.as_bytes()[0]);
    for folder in snapshot.folders() {
        let path = folder.join(&fan);
        let failed = |error| SourceError::Io { file: path.display().to_string(), error };
        let files = match std::fs::read_dir(&path) {
            Ok(files) => files,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                continue;
            }
            Err(error) => return Err(failed(error)),
        };
        for file in files {
            let name = file.map_err(failed)?.file_name();
            let name = [fan.as_bytes(), name.as_encoded_bytes()].concat();
            if let Some(other) = ObjectId::from_hex(&name).filter(|o| o.kind() == id.kind()) {
                meet(&other);
            }
        }
    }
    Ok(shared + 1)
}

fn shared_digits(one: &[u8], other: &[u8]) -> usize {
    let bytes = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let half = one.get(bytes).zip(other.get(bytes)).is_some_and(|(a, b)| a >> 4 == b >> 4);
    2 * bytes + usize::from(half)
}
