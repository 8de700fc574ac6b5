//! Whole packs: one that lies in the repository and is damaged, one that arrives.

use std::path::Path;
use std::sync::OnceLock;

use _core::hash::{HashKind, Hasher};
use _core::ingest::{Quarantine, ReceiveLimits};
use _core::source::ObjectSource;
use _core::store::Store;
use _core::watch::Watch;

use super::files::with_folder;
use super::seeds;

/// Small, so that a bomb is stopped and not waited for.
const LIMITS: ReceiveLimits = ReceiveLimits {
    max_parsed_bytes: 1 << 20,
    gather_from: 0,
    rev_from: 0,
    max_pack_bytes: 1 << 20,
    max_object_bytes: 1 << 20,
    max_delta_bytes: 1 << 20,
    max_objects: 10_000,
    max_depth: 100,
    max_total_bytes: 1 << 26,
    max_ratio: 0,
    max_seconds: 0,
    memory: 1 << 20,
};

pub fn objects_folder(folder: &Path) -> std::path::PathBuf {
    let objects = folder.join("objects");
    std::fs::create_dir_all(objects.join("pack")).expect("temporary folders can be made");
    objects
}

/// A stored pack, good but for these bytes: triples of a place and what is written there.
///
/// The trailer stays as it was, as it does when a disk forgets.
pub fn stored_pack(data: &[u8]) {
    static GOOD: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    let (pack, index) = GOOD.get_or_init(seeds::pack_and_index);
    let mut pack = pack.clone();
    for patch in data.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([patch[0], patch[1]])) % (pack.len() - 20);
        pack[at] = patch[2];
    }
    with_folder("stored", |folder| {
        let objects = objects_folder(folder);
        std::fs::write(objects.join("pack/pack-1.pack"), pack)
            .expect("temporary files can be written");
        std::fs::write(objects.join("pack/pack-1.idx"), index)
            .expect("temporary files can be written");
        let Ok(store) = Store::open(&objects, HashKind::Sha1, &[]) else { return };
        let Ok(snapshot) = store.snapshot() else { return };
        let mut reader = snapshot.reader();
        for number in 0..snapshot.number_bound() {
            let _ = reader.header(number);
            let _ = reader.read(number);
        }
    });
}

/// A pack as a stranger sends it. Every other one gets a right trailer.
pub fn ingest(data: &[u8]) {
    let mut data = data.to_vec();
    if data.len() % 2 == 1 {
        let mut hasher = Hasher::new(HashKind::Sha1);
        hasher.update(&data);
        data.extend_from_slice(hasher.finish().as_bytes());
    }
    with_folder("ingest", |folder| {
        let objects = objects_folder(folder);
        let base = Store::open(&objects, HashKind::Sha1, &[])
            .and_then(|store| store.snapshot())
            .expect("an empty store opens");
        let quarantine =
            Quarantine::create(&objects, HashKind::Sha1).expect("a quarantine can be made");
        let mut receiver = quarantine.receive(LIMITS).expect("a receiver can be made");
        for piece in data.chunks(977) {
            match receiver.write(piece) {
                Ok(taken) if taken == piece.len() => {}
                _ => break,
            }
        }
        if receiver.complete() {
            let _ = receiver.finish(base, 1, &Watch::new());
        }
    });
}
