//! Whole packs: one that lies in the repository and is damaged, one that arrives.

use std::path::Path;
use std::sync::OnceLock;

use _core::hash::HashKind;
use _core::source::ObjectSource;
use _core::store::Store;

use super::files::with_folder;
use super::seeds;

fn objects_folder(folder: &Path) -> std::path::PathBuf {
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
