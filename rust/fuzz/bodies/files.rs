//! Formats that are opened from files.

use std::path::Path;

use _core::hash::{HashKind, Hasher, ObjectId};
use _core::pack::{MultiPackIndex, PackIndex};
use _core::refs::{RefStore, RefUpdate, Reflog, UpdateOptions};

/// Runs `body` in a folder of its own, which is gone afterwards.
pub fn with_folder(name: &str, body: impl FnOnce(&Path)) {
    let folder = tempfile::Builder::new()
        .prefix(&format!("gitserve-fuzz-{name}-"))
        .tempdir()
        .expect("temporary folders can be made");
    body(folder.path());
}

/// Replaces the checksum at the end by the right one, so that what lies behind that check is
/// reached. Every fourth input keeps its own.
pub fn with_trailer(data: &[u8], kind: HashKind) -> Vec<u8> {
    let mut whole = data.to_vec();
    if data.len() > kind.len() && !data.len().is_multiple_of(4) {
        let body = data.len() - kind.len();
        let mut hasher = Hasher::new(kind);
        hasher.update(&whole[..body]);
        whole[body..].copy_from_slice(hasher.finish().as_bytes());
    }
    whole
}

/// Pack indexes of both versions.
pub fn index(data: &[u8]) {
    with_folder("index", |folder| {
        let path = folder.join("pack-1.idx");
        std::fs::write(&path, with_trailer(data, HashKind::Sha1))
            .expect("temporary files can be written");
        let Ok(index) = PackIndex::open(&path, HashKind::Sha1) else { return };
        for position in 0..index.count() {
            let id = index.id_at(position);
            let _ = (index.offset_at(position), index.crc32_at(position), index.position(&id));
        }
        let _ = index.position(&ObjectId::null(HashKind::Sha1));
        let _ = index.pack_checksum();
    });
}

/// Multi-pack-indexes.
pub fn multi_pack_index(data: &[u8]) {
    with_folder("midx", |folder| {
        let path = folder.join("multi-pack-index");
        std::fs::write(&path, with_trailer(data, HashKind::Sha1))
            .expect("temporary files can be written");
        let Ok(index) = MultiPackIndex::open(&path, HashKind::Sha1) else { return };
        for pack in index.packs() {
            assert!(!pack.contains('/'), "a name of a pack must not lead out of its folder");
        }
        for position in 0..index.count() {
            let id = index.id_at(position);
            let _ = (index.place_at(position), index.position(&id));
        }
    });
}

/// `packed-refs`.
pub fn packed_refs(data: &[u8]) {
    with_folder("packed", |folder| {
        std::fs::create_dir(folder.join("refs")).expect("temporary folders can be made");
        std::fs::write(folder.join("HEAD"), "ref: refs/heads/main\n")
            .expect("temporary files can be written");
        std::fs::write(folder.join("packed-refs"), data).expect("temporary files can be written");
        let Ok(snapshot) = RefStore::open(folder, None, HashKind::Sha1).snapshot() else { return };
        for (name, id) in snapshot.items(b"") {
            assert_eq!(snapshot.get(name), Some(id));
        }
    });
}

/// Bytes of a reftable's header and footer, of version 1.
const HEADER: usize = 24;
const FOOTER: usize = 68;

/// Makes the footer agree with the header and its own checksum. Every fourth input keeps its own.
fn with_footer(data: &[u8]) -> Vec<u8> {
    let mut whole = data.to_vec();
    if data.len() >= HEADER + FOOTER && !data.len().is_multiple_of(4) {
        let (body, footer) = whole.split_at_mut(data.len() - FOOTER);
        footer[..HEADER].copy_from_slice(&body[..HEADER]);
        let checksum = crc32fast::hash(&footer[..FOOTER - 4]);
        footer[FOOTER - 4..].copy_from_slice(&checksum.to_be_bytes());
    }
    whole
}

/// A reftable: read whole, then its logs where a ref is deleted, then merged with a new one.
pub fn reftable(data: &[u8]) {
    with_folder("reftable", |folder| {
        const NAME: &str = "0x000000000001-0x000000000001-00000000.ref";
        let tables = folder.join("reftable");
        std::fs::create_dir(&tables).expect("temporary folders can be made");
        std::fs::write(tables.join(NAME), with_footer(data))
            .expect("temporary files can be written");
        std::fs::write(tables.join("tables.list"), format!("{NAME}\n"))
            .expect("temporary files can be written");
        let store = RefStore::open_tables(folder, None, HashKind::Sha1);
        let Ok(snapshot) = store.snapshot() else { return };
        for (name, id) in snapshot.items(b"") {
            assert_eq!(snapshot.get(name), Some(id));
        }
        let gone = snapshot.items(b"").next().map(|(name, _)| name.to_vec());
        let new = ObjectId::from_bytes(&[1; 20]);
        let updates = [
            RefUpdate { name: gone.as_deref().unwrap_or(b"HEAD"), old: None, new: None },
            RefUpdate { name: b"refs/fuzz/new", old: None, new },
        ];
        let committer = b"A <a@b> 1700000000 +0000";
        let options =
            UpdateOptions { committer, reflog: Reflog::All, fsync: false, ..Default::default() };
        let done = store.update(&updates, &options);
        let after = store.snapshot().expect("what was read once can be read again");
        if done.iter().all(Result::is_ok) {
            assert_eq!(after.get(b"refs/fuzz/new"), new);
            assert_eq!(gone.and_then(|name| after.get(&name)), None);
        }
    });
}
