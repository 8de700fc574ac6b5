//! The tree entries met last: most entries of a tree were in the tree before.
//!
//! A look here costs a few nanoseconds, one in the indexes of packs a hundred; nine entries in
//! ten, and in histories of large trees more, need no other look.

use crate::hash::HashKind;

/// Slots for a large walk; with SHA-1 they take 1.3 MB a thread, which stays in the second-level
/// cache.
pub(super) const MANY: usize = 1 << 16;
/// Slots for one of which many may run at once.
pub(super) const FEW: usize = 1 << 14;
/// Slots to begin with: a small walk would spend its time on touching new memory.
const FIRST: usize = 1 << 8;

/// A direct-mapped cache of object names that need not be looked at again. It grows with what it
/// is asked.
///
/// One variant for each length of name, so that comparing is two or three instructions.
pub(super) enum Recent {
    Sha1(Slots<20>),
    Sha256(Slots<32>),
}

impl Recent {
    /// With so many slots in the end, a power of two of at most [`MANY`].
    pub(super) fn new(kind: HashKind, most: usize) -> Self {
        match kind {
            HashKind::Sha1 => Recent::Sha1(Slots::new(most)),
            HashKind::Sha256 => Recent::Sha256(Slots::new(most)),
        }
    }

    /// Was this name noted? If not, it is now. Names of another length never are.
    #[inline]
    pub(super) fn note(&mut self, name: &[u8]) -> bool {
        match self {
            Recent::Sha1(slots) => slots.note(name),
            Recent::Sha256(slots) => slots.note(name),
        }
    }
}

pub(super) struct Slots<const LEN: usize> {
    names: Box<[[u8; LEN]]>,
    /// So many new names until there are more slots.
    left: usize,
    most: usize,
}

impl<const LEN: usize> Slots<LEN> {
    fn new(most: usize) -> Self {
        let first = most.min(FIRST);
        Self { names: empty(first), left: first, most }
    }

    #[inline]
    fn note(&mut self, name: &[u8]) -> bool {
        let Ok(name) = <&[u8; LEN]>::try_from(name) else { return false };
        let at = place(name, self.names.len());
        let slot = &mut self.names[at];
        if slot == name {
            return true;
        }
        *slot = *name;
        self.left -= 1;
        if self.left == 0 {
            self.grow();
        }
        false
    }

    #[cold]
    fn grow(&mut self) {
        let slots = self.names.len().saturating_mul(4).min(self.most);
        self.left = if slots < self.most { slots } else { usize::MAX };
        let old = std::mem::replace(&mut self.names, empty(slots));
        for (at, name) in old.iter().enumerate() {
            // what fills an empty slot does not belong there
            if place(name, old.len()) == at {
                self.names[place(name, slots)] = *name;
            }
        }
    }
}

#[inline]
fn place<const LEN: usize>(name: &[u8; LEN], slots: usize) -> usize {
    usize::from(u16::from_le_bytes([name[0], name[1]])) & (slots - 1)
}

fn empty<const LEN: usize>(slots: usize) -> Box<[[u8; LEN]]> {
    let mut names = vec![[0; LEN]; slots].into_boxed_slice();
    // the name of all zeros belongs in slot 0: something else must be there to begin with
    names[0][0] = 0xff;
    names
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

    #[test]
    fn it_grows_and_forgets_only_what_others_took_the_place_of() {
        for most in [FEW, MANY] {
            let mut recent = Recent::new(HashKind::Sha1, most);
            let name = |nth: usize| {
                let mut name = [7; 20];
                name[..4].copy_from_slice(&(nth as u32).to_le_bytes());
                name
            };
            for nth in 1..most {
                assert!(!recent.note(&name(nth)), "{nth}");
            }
            let Recent::Sha1(slots) = &recent else { panic!() };
            assert_eq!(slots.names.len(), most);
            let known = (1..most).filter(|&nth| recent.note(&name(nth))).count();
            assert!(known > most / 2, "{known} of {most}");
            // nor does what stood in for nothing become known
            let mut filler = [0; 20];
            assert!(!recent.note(&filler));
            filler[0] = 0xff;
            assert!(!recent.note(&filler));
        }
    }
}
