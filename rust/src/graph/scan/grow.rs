//! A tree from its base and a delta, without a look at the entries that were copied.
//!
//! Where a delta copies, and its base had an entry beginning where one has to begin here, all
//! entries that end within the copy are those of the base. What remains are entries with bytes
//! that were inserted, or that were put together from two ends: these are parsed.

use crate::hash::HashKind;
use crate::object::{TreeEntry, TreeIter};
use crate::pack::delta::{self, Instruction};

/// A tree's content, and where its entries begin; behind these, where the last one ends.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) content: Vec<u8>,
    starts: Vec<u32>,
}

/// It is no tree, or no delta of this base: whoever needs it reads it another way, and is told.
pub(super) struct Unfit;

impl Tree {
    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.content.capacity() + self.starts.capacity() * size_of::<u32>()
    }

    /// Finds the entries of a tree whose content is there; each is told to `met`.
    pub(super) fn parse(
        &mut self,
        hash: HashKind,
        met: &mut impl FnMut(TreeEntry<'_>) -> Result<(), Unfit>,
    ) -> Result<(), Unfit> {
        self.starts.clear();
        let mut entries = TreeIter::new(&self.content, hash);
        loop {
            let start = self.content.len() - entries.rest().len();
            self.starts.push(u32::try_from(start).map_err(|_| Unfit)?);
            match entries.next() {
                Some(entry) => met(entry.map_err(|_| Unfit)?)?,
                None => return Ok(()),
            }
        }
    }

    /// Makes it from `base`; entries that it does not share with the base are told to `met`.
    pub(super) fn grow(
        &mut self,
        base: &Tree,
        delta: &[u8],
        hash: HashKind,
        met: &mut impl FnMut(TreeEntry<'_>) -> Result<(), Unfit>,
    ) -> Result<(), Unfit> {
        let sizes = delta::sizes(delta).map_err(|_| Unfit)?;
        let size = usize::try_from(sizes.result).map_err(|_| Unfit)?;
        if sizes.base != base.content.len() as u64 || u32::try_from(size).is_err() {
            return Err(Unfit);
        }
        self.content.clear();
        self.content.reserve(size);
        self.starts.clear();
        let mut open = Open { start: 0, looked: 0 };
        let mut rest = &delta[sizes.len..];
        while let Some(instruction) = delta::next_instruction(&mut rest).map_err(|_| Unfit)? {
            let (piece, from) = match instruction {
                Instruction::Insert(literal) => (literal, None),
                Instruction::Copy { offset, len } => {
                    let end = offset.checked_add(len).ok_or(Unfit)?;
                    (base.content.get(offset..end).ok_or(Unfit)?, Some(offset))
                }
            };
            let at = self.content.len();
            if piece.len() > size - at {
                return Err(Unfit);
            }
            self.content.extend_from_slice(piece);
            loop {
                if let Some(offset) = from
                    && open.start >= at
                    && self.share(base, offset + (open.start - at), offset + piece.len(), &mut open)
                {
                    break;
                }
                if !open.close(&self.content, hash, &mut self.starts, met)? {
                    break;
                }
            }
        }
        if self.content.len() != size || open.start != size {
            return Err(Unfit);
        }
        self.starts.push(size as u32);
        Ok(())
    }

    /// Takes over the base's entries within this range, if one begins where it does.
    fn share(&mut self, base: &Tree, from: usize, to: usize, open: &mut Open) -> bool {
        let Ok(first) = base.starts.binary_search(&(from as u32)) else { return false };
        // the last of these begins what is not copied to its end
        let last = base.starts.partition_point(|&start| start as usize <= to) - 1;
        let shift = (open.start as u32).wrapping_sub(from as u32);
        self.starts.extend(base.starts[first..last].iter().map(|start| start.wrapping_add(shift)));
        open.start += base.starts[last] as usize - from;
        open.looked = open.start;
        true
    }
}

/// The entry that is not complete yet.
struct Open {
    start: usize,
    /// Up to here no end of a name was found.
    looked: usize,
}

impl Open {
    /// Parses it if all of it is there; false if not.
    fn close(
        &mut self,
        content: &[u8],
        hash: HashKind,
        starts: &mut Vec<u32>,
        met: &mut impl FnMut(TreeEntry<'_>) -> Result<(), Unfit>,
    ) -> Result<bool, Unfit> {
        let Some(nul) = content[self.looked..].iter().position(|&byte| byte == 0) else {
            self.looked = content.len();
            return Ok(false);
        };
        self.looked += nul;
        let end = self.looked + 1 + hash.len();
        if end > content.len() {
            return Ok(false);
        }
        let mut entry = TreeIter::new(&content[self.start..end], hash);
        let parsed = entry.next().ok_or(Unfit)?.map_err(|_| Unfit)?;
        if !entry.rest().is_empty() {
            return Err(Unfit);
        }
        met(parsed)?;
        starts.push(self.start as u32);
        (self.start, self.looked) = (end, end);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree(entries: &[(String, u8)]) -> Vec<u8> {
        let mut content = Vec::new();
        for (name, id) in entries {
            content.extend_from_slice(format!("100644 {name}\0").as_bytes());
            content.extend([*id; 20]);
        }
        content
    }

    fn parsed(content: Vec<u8>) -> (Tree, Vec<Vec<u8>>) {
        let mut tree = Tree { content, starts: Vec::new() };
        let mut met = Vec::new();
        let outcome = tree.parse(HashKind::Sha1, &mut |entry| {
            met.push(entry.name.to_vec());
            Ok(())
        });
        assert!(outcome.is_ok());
        (tree, met)
    }

    /// Copies or inserts cut at any places, as no encoder would make them.
    fn delta(base: &[u8], result: &[u8], cuts: &[usize]) -> Vec<u8> {
        let mut out = Vec::new();
        for size in [base.len(), result.len()] {
            let mut rest = size;
            while rest > 0x7f {
                out.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            out.push(rest as u8);
        }
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (result.len() + 1)).collect();
        places.extend((0..=result.len()).step_by(100));
        places.push(result.len());
        places.sort_unstable();
        places.dedup();
        for pair in places.windows(2) {
            let piece = &result[pair[0]..pair[1]];
            let found = base.windows(piece.len()).position(|window| window == piece);
            match found {
                Some(at) => {
                    out.extend([0x80 | 0x03 | 0x30, at as u8, (at >> 8) as u8]);
                    out.extend([piece.len() as u8, (piece.len() >> 8) as u8]);
                }
                None => {
                    out.push(piece.len() as u8);
                    out.extend_from_slice(piece);
                }
            }
        }
        out
    }

    fn entries() -> impl Strategy<Value = Vec<(String, u8)>> {
        // few names and ids, some of which look like the beginnings of entries
        let id = prop_oneof![Just(0u8), Just(b'1'), Just(b' '), any::<u8>()];
        proptest::collection::vec(("[a-c]{1,3}", id), 0..12)
    }

    proptest! {
        #[test]
        fn nothing_new_is_missed(
            base in entries(),
            other in entries(),
            cuts in proptest::collection::vec(0usize..1000, 0..12),
        ) {
            let (old, result) = (tree(&base), tree(&other));
            let (from, _) = parsed(old.clone());
            let delta = delta(&old, &result, &cuts);
            let (mut grown, mut met) = (Tree::default(), Vec::new());
            let outcome = grown.grow(&from, &delta, HashKind::Sha1, &mut |entry| {
                met.push((String::from_utf8(entry.name.to_vec()).unwrap(), entry.id[0]));
                Ok(())
            });
            prop_assert!(outcome.is_ok());
            prop_assert!(grown.content == result);
            prop_assert_eq!(&grown.starts, &parsed(result).0.starts);
            for entry in &other {
                prop_assert!(base.contains(entry) || met.contains(entry), "{:?}", entry);
            }
            prop_assert!(met.iter().all(|entry| other.contains(entry)));
        }

        #[test]
        fn any_bytes_are_survived(
            base in entries(),
            mut delta in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let (from, _) = parsed(tree(&base));
            delta.splice(0..0, [from.content.len() as u8 | 0x80, (from.content.len() >> 7) as u8, 90]);
            let _ = Tree::default().grow(&from, &delta, HashKind::Sha1, &mut |_| Ok(()));
        }
    }

    #[test]
    fn copies_in_step_are_not_looked_at() {
        let base: Vec<(String, u8)> = (0..50).map(|n| (format!("file{n:02}"), n)).collect();
        let (from, _) = parsed(tree(&base));
        let mut other = base.clone();
        other[20].1 = 99;
        let result = tree(&other);
        let length = result.len() / 50;
        let id = 20 * length + length - 20;
        let delta = delta(&from.content, &result, &[id, id + 20]);
        let mut met = Vec::new();
        let outcome = Tree::default().grow(&from, &delta, HashKind::Sha1, &mut |entry| {
            met.push(entry.name.to_vec());
            Ok(())
        });
        assert!(outcome.is_ok());
        // one is new, and those that were cut in the middle are put together again
        assert!(met.contains(&b"file20".to_vec()) && met.len() < 20, "{}", met.len());
    }
}
