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

    /// What follows the entries that were given out.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
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
    let (mode, rest) = split_mode(data)?;
    let end = find_nul(rest)?;
    if end == 0 {
        return None;
    }
    let id = rest.get(end + 1..end + 1 + id_len)?;
    Some((TreeEntry { mode, name: &rest[..end], id }, &rest[end + 1 + id_len..]))
}

/// The mode and what follows its space. Nearly all entries have one of two modes.
#[inline]
fn split_mode(data: &[u8]) -> Option<(Mode, &[u8])> {
    if let Some(rest) = data.strip_prefix(b"100644 ") {
        return Some((Mode(0o100_644), rest));
    }
    if let Some(rest) = data.strip_prefix(b"40000 ") {
        return Some((Mode(0o40_000), rest));
    }
    let mut mode = 0u32;
    let mut at = 0;
    loop {
        match *data.get(at)? {
            b' ' if at > 0 => return Some((Mode(mode), &data[at + 1..])),
            digit @ b'0'..=b'7' => mode = mode.checked_mul(8)? + u32::from(digit - b'0'),
            _ => return None,
        }
        at += 1;
    }
}

/// Where the first zero byte is: eight bytes at a time, as walks spend much of their time here.
#[inline]
fn find_nul(data: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let (words, tail) = data.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // the lowest bit set marks the first zero byte exactly; those above it may err
        let zeros = word.wrapping_sub(ONES) & !word & HIGHS;
        if zeros != 0 {
            return Some(at * 8 + zeros.trailing_zeros() as usize / 8);
        }
    }
    tail.iter().position(|&b| b == 0).map(|at| words.len() * 8 + at)
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
    fn names_of_any_length_end_at_their_zero() {
        for len in 1..40 {
            let mut data = b"100755 ".to_vec();
            data.extend((0..len).map(|n| if n % 2 == 0 { 1 } else { 0x80 }));
            data.push(0);
            data.extend([0; 20]);
            let entry = TreeIter::new(&data, HashKind::Sha1).next().unwrap().unwrap();
            assert_eq!((entry.name.len(), entry.mode), (len, Mode(0o100_755)));
            assert_eq!(find_nul(&data[..len + 7]), None);
        }
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
