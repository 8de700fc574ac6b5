//! Sorted tables of object names, as pack indexes and multi-pack-indexes have them.
//!
//! Git's fan-out has 256 entries, so that a look-up in a million names still takes a dozen
//! probes, each a cache miss. Names are hashes, hence spread evenly: a table of a bucket for
//! every other name, built when a table proves to be asked often, leaves one or two probes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::map::be32;

/// Git's own fan-out: for each first byte, how many names are not above it.
pub(super) const FANOUT_LEN: usize = 256 * 4;

/// With fewer names the fan-out of the file is fine enough.
const FINE_FROM_NAMES: u32 = 4096;
/// Building costs a pass over the names, which this share of them in look-ups has to earn.
const LOOKUPS_SHARE: u32 = 64;
/// The finest table: 2^22 buckets, 16 MB, for repositories of eight million objects and more.
const MAX_FINE_BITS: u32 = 22;
/// Buckets up to this long are searched from front to back.
const SCAN_UP_TO: usize = 6;

/// Where the names lie in a mapped file.
#[derive(Debug)]
pub(super) struct NameTable {
    fanout: usize,
    names: usize,
    stride: usize,
    id_len: usize,
    count: u32,
    lookups: AtomicU32,
    fine: OnceLock<Option<FineFanout>>,
}

#[derive(Debug)]
struct FineFanout {
    shift: u32,
    /// Bucket `b` holds the names from `starts[b]` to `starts[b + 1]`.
    starts: Vec<u32>,
}

/// Reads the number of names off a fan-out, which has to rise; `None` when it does not.
pub(super) fn fanout_count(data: &[u8], fanout: usize) -> Option<u32> {
    let table = data.get(fanout..fanout.checked_add(FANOUT_LEN)?)?;
    let mut last = 0;
    for at in (0..FANOUT_LEN).step_by(4) {
        let value = be32(table, at);
        if value < last {
            return None;
        }
        last = value;
    }
    Some(last)
}

impl NameTable {
    /// A table whose extent has been checked against the file: `count` names of `id_len` bytes,
    /// the first at `names`, each `stride` bytes after the one before.
    pub(super) fn new(
        fanout: usize,
        names: usize,
        stride: usize,
        id_len: usize,
        count: u32,
    ) -> Self {
        let (lookups, fine) = (AtomicU32::new(0), OnceLock::new());
        Self { fanout, names, stride, id_len, count, lookups, fine }
    }

    #[inline]
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// The raw name at a position below the count.
    #[inline]
    pub(super) fn name<'a>(&self, data: &'a [u8], position: u32) -> &'a [u8] {
        let at = self.names + position as usize * self.stride;
        &data[at..at + self.id_len]
    }

    /// Where this name is, if it is here.
    #[inline]
    pub(super) fn position(&self, data: &[u8], id: &[u8]) -> Option<u32> {
        if id.len() != self.id_len {
            return None;
        }
        let (mut low, mut high) = self.bucket(data, id);
        while high - low > SCAN_UP_TO as u32 {
            let middle = low + (high - low) / 2;
            match self.name(data, middle).cmp(id) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        let wanted = head(id);
        (low..high).find(|&position| {
            let name = self.name(data, position);
            // one comparison of words settles nearly all
            head(name) == wanted && name == id
        })
    }

    /// The range of positions where names that begin like `id` are.
    #[inline]
    fn bucket(&self, data: &[u8], id: &[u8]) -> (u32, u32) {
        if let Some(Some(fine)) = self.fine.get() {
            let bucket = (prefix(id) >> fine.shift) as usize;
            return (fine.starts[bucket], fine.starts[bucket + 1]);
        }
        self.coarse_bucket(data, id)
    }

    #[cold]
    fn coarse_bucket(&self, data: &[u8], id: &[u8]) -> (u32, u32) {
        if self.count >= FINE_FROM_NAMES
            && self.lookups.fetch_add(1, Ordering::Relaxed) >= self.count / LOOKUPS_SHARE
        {
            self.fine.get_or_init(|| self.build_fine(data));
        }
        let first = id[0] as usize;
        let low = if first == 0 { 0 } else { be32(data, self.fanout + (first - 1) * 4) };
        (low, be32(data, self.fanout + first * 4))
    }

    /// `None` when the names are not in order, which only a corrupt file's are.
    fn build_fine(&self, data: &[u8]) -> Option<FineFanout> {
        let bits = (self.count.ilog2()).min(MAX_FINE_BITS);
        let shift = 32 - bits;
        let buckets = 1usize << bits;
        let mut starts = Vec::with_capacity(buckets + 1);
        for position in 0..self.count {
            let bucket = (prefix(self.name(data, position)) >> shift) as usize;
            if bucket + 1 < starts.len() {
                return None;
            }
            while starts.len() <= bucket {
                starts.push(position);
            }
        }
        starts.resize(buckets + 1, self.count);
        Some(FineFanout { shift, starts })
    }
}

/// The first eight bytes, for comparing.
#[inline]
fn head(id: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&id[..8]);
    u64::from_ne_bytes(word)
}

#[inline]
fn prefix(id: &[u8]) -> u32 {
    be32(id, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of a fan-out and these sorted names.
    fn file(names: &[[u8; 20]]) -> (Vec<u8>, NameTable) {
        let mut data = Vec::new();
        for first in 0..=255u8 {
            let below = names.iter().filter(|name| name[0] <= first).count() as u32;
            data.extend(below.to_be_bytes());
        }
        for name in names {
            data.extend(name);
        }
        let count = fanout_count(&data, 0).unwrap();
        (data, NameTable::new(0, FANOUT_LEN, 20, 20, count))
    }

    fn spread(count: u32) -> Vec<[u8; 20]> {
        let mut names: Vec<[u8; 20]> = (0..count)
            .map(|i| {
                let mut name = [0; 20];
                name[..4].copy_from_slice(&i.wrapping_mul(0x9e37_79b1).to_be_bytes());
                // some that share all of the first four bytes
                name[19] = (i % 7) as u8;
                if i % 5 == 0 {
                    name[..4].copy_from_slice(&[7; 4]);
                    name[4..8].copy_from_slice(&i.to_be_bytes());
                }
                name
            })
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn coarse_and_fine_agree() {
        let names = spread(20_000);
        let (data, table) = file(&names);
        for round in 0..2 {
            for (position, name) in names.iter().enumerate() {
                assert_eq!(table.position(&data, name), Some(position as u32), "round {round}");
                let mut other = *name;
                other[18] = 1;
                assert_eq!(table.position(&data, &other), None);
            }
        }
        assert!(table.fine.get().unwrap().is_some());
        assert_eq!(table.position(&data, &[0xff; 20]), None);
        assert_eq!(table.position(&data, &[0; 32]), None);
    }

    #[test]
    fn names_out_of_order_are_survived() {
        let mut names = spread(20_000);
        names.swap(3, 17_000);
        let (data, table) = file(&names);
        for name in names.iter().cycle().take(50_000) {
            let _ = table.position(&data, name);
        }
        assert!(table.fine.get().unwrap().is_none());
    }

    #[test]
    fn a_falling_fanout_is_refused() {
        let (mut data, _) = file(&spread(100));
        data[4 * 10..4 * 11].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(fanout_count(&data, 0), None);
        assert_eq!(fanout_count(&data[..1000], 0), None);
    }
}
