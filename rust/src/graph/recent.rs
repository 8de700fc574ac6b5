//! The tree entries met last: most entries of a tree were in the tree before.
//!
//! A look here costs a few nanoseconds, one in the indexes of packs a hundred; nine entries in
//! ten, and in histories of large trees more, need no other look.

use crate::hash::HashKind;

/// Slots; with SHA-1 they take 1.3 MB a thread, which stays in the second-level cache.
const SLOTS: usize = 1 << 16;

/// A direct-mapped cache of object names that need not be looked at again.
///
/// One variant for each length of name, so that comparing is two or three instructions.
pub(super) enum Recent {
    Sha1(Box<[[u8; 20]; SLOTS]>),
    Sha256(Box<[[u8; 32]; SLOTS]>),
}

impl Recent {
    pub(super) fn new(kind: HashKind) -> Self {
        match kind {
            HashKind::Sha1 => Recent::Sha1(empty()),
            HashKind::Sha256 => Recent::Sha256(empty()),
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

fn empty<const LEN: usize>() -> Box<[[u8; LEN]; SLOTS]> {
    let mut names: Box<[[u8; LEN]; SLOTS]> = vec![[0; LEN]; SLOTS]
        .into_boxed_slice()
        .try_into()
        .expect("the lengths agree because both are SLOTS");
    // the name of all zeros belongs in slot 0: something else must be there to begin with
    names[0][0] = 0xff;
    names
}

#[inline]
fn note<const LEN: usize>(names: &mut [[u8; LEN]; SLOTS], name: &[u8]) -> bool {
    let Ok(name) = <&[u8; LEN]>::try_from(name) else { return false };
    let slot = &mut names[usize::from(u16::from_le_bytes([name[0], name[1]]))];
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
        let mut recent = Recent::new(HashKind::Sha1);
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
