//! The hash of a path by which git sorts objects for delta search.
//!
//! It is what `gitformat-bitmap` keeps in its name-hash cache (version 1): the last sixteen
//! characters count, the last one most, so that files of one name or one suffix come together.

/// The name hash of a whole path, `dir/sub/file`, without a leading slash; 0 for no path.
pub fn name_hash(path: &[u8]) -> u32 {
    extend(0, path)
}

/// Continues the hash of a path's beginning with more of it.
///
/// The hash of `a/b` is that of `/b` continued from that of `a`, so a walk carries four bytes
/// down the tree instead of a path.
#[inline]
pub(crate) fn extend(mut hash: u32, more: &[u8]) -> u32 {
    for &byte in more {
        if !is_space(byte) {
            hash = (hash >> 2).wrapping_add(u32::from(byte) << 24);
        }
    }
    hash
}

#[inline]
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values() {
        assert_eq!(name_hash(b""), 0);
        assert_eq!(name_hash(b"a"), 0x6100_0000);
        assert_eq!(name_hash(b"a b"), name_hash(b"ab"));
        assert_ne!(name_hash(b"Makefile"), name_hash(b"makefile"));
    }

    proptest! {
        #[test]
        fn pieces_make_the_whole(path in proptest::collection::vec(any::<u8>(), 0..60), cut in 0usize..60) {
            let cut = cut.min(path.len());
            prop_assert_eq!(extend(name_hash(&path[..cut]), &path[cut..]), name_hash(&path));
        }
    }
}
