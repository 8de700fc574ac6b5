//! The tree entries met last: most entries of a tree were in the tree before.
//!
//! A look here costs a few nanoseconds, one in the indexes of packs a hundred; nine entries in
//! ten, and in histories of large trees more, need no other look.

use crate::hash::HashKind;

/// Slots for a large walk; with SHA-1 they take 1.3 MB a thread, which stays in the second-level
/// cache.
pub(super) const MANY: usize = 1 << 16;
/// Slots for a small one, which would spend its time on touching new memory.
pub(super) const FEW: usize = 1 << 14;

/// A direct-mapped cache of object names that need not be looked at again.
///
/// One variant for each length of name, so that comparing is two or three instructions.
pub(super) enum Recent {
    Sha1(Box<[[u8; 20]]>),
    Sha256(Box<[[u8; 32]]>),
}

impl Recent {
    /// With this many slots, a power of two of at most [`MANY`].
    pub(super) fn new(kind: HashKind, slots: usize) -> Self {
        match kind {
            HashKind::Sha1 => Recent::Sha1(empty(slots)),
            HashKind::Sha256 => Recent::Sha256(empty(slots)),
        }
    }

    /// Was this name noted? If not, it is now. Names of another length never are.
    #[inline]
    pub(super) fn note(&mut self, name: &[u8]) -> bool {
        match self {
            Recent::Sha1(names) => note(names, name),
            Recent::Sha256(names) => note(names, name),
        }
    }
}

fn empty<const LEN: usize>(slots: usize) -> Box<[[u8; LEN]]> {
    let mut names = vec![[0; LEN]; slots].into_boxed_slice();
    // the name of all zeros belongs in slot 0: something else must be there to begin with
    names[0][0] = 0xff;
    names
}

#[inline]
fn note<const LEN: usize>(names: &mut [[u8; LEN]], name: &[u8]) -> bool {
    let Ok(name) = <&[u8; LEN]>::try_from(name) else { return false };
    let at = usize::from(u16::from_le_bytes([name[0], name[1]])) & (names.len() - 1);
    let slot = &mut names[at];
    if slot == name {
        return true;
    }
    *slot = *name;
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_noted_before_it_was_met() {
        let mut recent = Recent::new(HashKind::Sha1, FEW);
        for name in [[0u8; 20], [0xff; 20], [1; 20]] {
            assert!(!recent.note(&name));
            assert!(recent.note(&name));
        }
        let mut other = [1u8; 20];
        other[19] = 2;
        assert!(!recent.note(&other));
        assert!(!recent.note(&[1; 20]));
    }
}
