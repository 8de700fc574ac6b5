//! Formats that are parsed from memory.

use _core::graph::Filter;
use _core::hash::HashKind;
use _core::object::{Commit, Tag, TreeIter};
use _core::pack::delta;
use _core::pack::entry::EntryHeader;
use _core::refs::{RefStore, name};
use _core::zlib::Inflater;

use super::files::with_folder;

const KINDS: [HashKind; 2] = [HashKind::Sha1, HashKind::Sha256];
/// No target is given room for more, whatever its bytes claim.
const ROOM: u64 = 1 << 20;

/// Commit objects.
pub fn commit(data: &[u8]) {
    let _ = Commit::parse(data);
}

/// Tag objects.
pub fn tag(data: &[u8]) {
    let _ = Tag::parse(data);
}

/// Tree objects: every entry lies inside the bytes, and the walk ends.
pub fn tree(data: &[u8]) {
    for kind in KINDS {
        for entry in TreeIter::new(data, kind) {
            let Ok(entry) = entry else { break };
            assert!(entry.name.len() < data.len());
        }
    }
}

/// The header of a pack's entry and the zlib stream behind it.
pub fn entry(data: &[u8]) {
    for kind in KINDS {
        let Ok(header) = EntryHeader::parse(data, kind) else { continue };
        assert!(header.len <= data.len());
        if header.size > ROOM {
            continue;
        }
        let mut out = Vec::new();
        let rest = &data[header.len..];
        if let Ok(taken) = Inflater::new().inflate_exact(rest, header.size as usize, &mut out) {
            assert!(taken <= rest.len());
            assert_eq!(out.len() as u64, header.size);
        }
    }
}

/// Deltas. The first byte says how much of the rest is the base.
pub fn delta(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    let (base, instructions) = rest.split_at(rest.len().min(usize::from(first)));
    let Ok(sizes) = delta::sizes(instructions) else { return };
    if sizes.result > ROOM {
        return;
    }
    let mut out = Vec::new();
    if delta::apply(base, instructions, &mut out).is_ok() {
        assert_eq!(out.len() as u64, sizes.result);
    }
}

/// Filter specifications.
pub fn filter(data: &[u8]) {
    let _ = Filter::parse(data);
}

/// A loose ref, and HEAD, of these bytes; and these bytes as a ref's name.
pub fn loose_ref(data: &[u8]) {
    if name::is_valid(data) {
        assert!(!data.contains(&0) && !data.windows(2).any(|pair| pair == b".."));
    }
    with_folder("refs", |folder| {
        std::fs::create_dir_all(folder.join("refs/heads")).expect("temporary folders can be made");
        std::fs::write(folder.join("HEAD"), data).expect("temporary files can be written");
        std::fs::write(folder.join("refs/heads/x"), data).expect("temporary files can be written");
        if let Ok(snapshot) = RefStore::open(folder, None, HashKind::Sha1).snapshot() {
            for (ref_name, _) in snapshot.items(b"") {
                assert!(name::is_listed(ref_name));
            }
        }
    });
}
