use crate::hash::HashKind;

/// A tree whose entries cannot be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed tree")]
pub struct TreeError;

/// The mode of a tree entry, as far as a walk cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

impl Mode {
    /// A subtree.
    #[inline]
    pub const fn is_tree(self) -> bool {
        self.0 & 0o170_000 == 0o040_000
    }

    /// A commit of another repository: never sent, never followed.
    #[inline]
    pub const fn is_gitlink(self) -> bool {
        self.0 & 0o170_000 == 0o160_000
    }
}

/// One entry of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeEntry<'a> {
    /// File type and permission bits.
    pub mode: Mode,
    /// The name, without slashes in well-formed trees.
    pub name: &'a [u8],
    /// The raw object name, 20 or 32 bytes.
    pub id: &'a [u8],
}

/// Iterates over the entries of a tree's content; ends after the first malformed one.
#[derive(Debug, Clone)]
pub struct TreeIter<'a> {
    rest: &'a [u8],
    id_len: usize,
}

impl<'a> TreeIter<'a> {
    /// Over the content of a tree object.
    pub fn new(data: &'a [u8], hash: HashKind) -> Self {
        Self { rest: data, id_len: hash.len() }
    }
}

impl<'a> Iterator for TreeIter<'a> {
    type Item = Result<TreeEntry<'a>, TreeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = split_entry(self.rest, self.id_len);
        match entry {
            Some((entry, rest)) => {
                self.rest = rest;
                Some(Ok(entry))
            }
            None => {
                self.rest = &[];
                Some(Err(TreeError))
            }
        }
    }
}

#[inline]
fn split_entry(data: &[u8], id_len: usize) -> Option<(TreeEntry<'_>, &[u8])> {
    let mut mode = 0u32;
    let mut at = 0;
    loop {
        match *data.get(at)? {
            b' ' if at > 0 => break,
            digit @ b'0'..=b'7' => mode = mode.checked_mul(8)? + u32::from(digit - b'0'),
            _ => return None,
        }
        at += 1;
    }
    let rest = &data[at + 1..];
    let end = rest.iter().position(|&b| b == 0)?;
    if end == 0 {
        return None;
    }
    let id = rest.get(end + 1..end + 1 + id_len)?;
    Some((TreeEntry { mode: Mode(mode), name: &rest[..end], id }, &rest[end + 1 + id_len..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_in_order() {
        let mut data = b"100644 a\0".to_vec();
        data.extend([1; 20]);
        data.extend(b"40000 dir\0");
        data.extend([2; 20]);
        data.extend(b"160000 sub\0");
        data.extend([3; 20]);
        let entries: Vec<_> = TreeIter::new(&data, HashKind::Sha1).map(Result::unwrap).collect();
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[0].name, b"a");
        assert!(entries[1].mode.is_tree() && entries[2].mode.is_gitlink());
        assert_eq!(entries[2].id, [3; 20]);
    }

    #[test]
    fn a_cut_tree_is_an_error() {
        let mut data = b"100644 a\0".to_vec();
        data.extend([1; 20]);
        for cut in 1..data.len() {
            assert!(TreeIter::new(&data[..cut], HashKind::Sha1).any(|e| e.is_err()), "{cut}");
        }
        for bad in [
            &b" a\0aaaaaaaaaaaaaaaaaaaa"[..],
            b"8 a\0aaaaaaaaaaaaaaaaaaaa",
            b"1 \0aaaaaaaaaaaaaaaaaaaa",
        ] {
            assert!(TreeIter::new(bad, HashKind::Sha1).any(|e| e.is_err()));
        }
        assert!(TreeIter::new(b"77777777777777777777 a\0", HashKind::Sha1).any(|e| e.is_err()));
    }
}
