//! One index over all segments but the first, for repositories of many packs.
//!
//! A repository that nobody repacks has dozens or thousands of packs, and each look-up would
//! probe one after the other. After so many probes as building it costs, this table does with
//! one: numbers in buckets by the first bits of their names, as a multi-pack-index would have.

use crate::hash::ObjectId;

/// The finest table has 2^24 buckets, 64 MB, for sixteen million objects.
const MAX_BITS: u32 = 24;
/// Longer buckets, which only names made to collide fill, are sorted.
const SCAN_UP_TO: usize = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Tail {
    shift: u32,
    /// Bucket `b` holds `numbers` from `starts[b]` to `starts[b + 1]`.
    starts: Vec<u32>,
    /// Rising within each bucket, or sorted by name in a long one.
    numbers: Vec<u32>,
}

impl Tail {
    /// Over the numbers from `first` to before `bound`, whose names `id` tells.
    pub(super) fn build(first: u32, bound: u32, id: impl Fn(u32) -> ObjectId) -> Self {
        let count = bound - first;
        let bits = (count.max(2).ilog2()).min(MAX_BITS);
        let shift = 32 - bits;
        let bucket = |number| (prefix(&id(number)) >> shift) as usize;
        let mut starts = vec![0u32; (1 << bits) + 1];
        for number in first..bound {
            starts[bucket(number) + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut numbers = vec![0; count as usize];
        let mut next = starts.clone();
        for number in first..bound {
            let place = &mut next[bucket(number)];
            numbers[*place as usize] = number;
            *place += 1;
        }
        for range in starts.windows(2) {
            let bucket = &mut numbers[range[0] as usize..range[1] as usize];
            if bucket.len() > SCAN_UP_TO {
                bucket.sort_unstable_by(|&a, &b| id(a).cmp(&id(b)).then(a.cmp(&b)));
            }
        }
        Self { shift, starts, numbers }
    }

    /// The lowest number of this name.
    #[inline]
    pub(super) fn find(&self, wanted: &ObjectId, id: impl Fn(u32) -> ObjectId) -> Option<u32> {
        let bucket = (prefix(wanted) >> self.shift) as usize;
        let range = self.starts[bucket] as usize..self.starts[bucket + 1] as usize;
        let numbers = &self.numbers[range];
        if numbers.len() > SCAN_UP_TO {
            let nth = numbers.partition_point(|&number| id(number) < *wanted);
            return numbers.get(nth).copied().filter(|&number| id(number) == *wanted);
        }
        numbers.iter().copied().find(|&number| id(number) == *wanted)
    }
}

#[inline]
fn prefix(id: &ObjectId) -> u32 {
    let bytes = id.as_bytes();
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_number_is_found_however_full_a_bucket() {
        let ids: Vec<ObjectId> = (0..3000u32)
            .map(|nth| {
                let mut bytes = [0; 20];
                // each name twice; a third of them in one bucket
                let nth = nth % 1500;
                let first = if nth % 3 == 0 { 5 } else { nth.wrapping_mul(0x9e37_79b1) };
                bytes[..4].copy_from_slice(&first.to_be_bytes());
                bytes[4..8].copy_from_slice(&nth.to_be_bytes());
                ObjectId::from_bytes(&bytes).unwrap()
            })
            .collect();
        let id = |number: u32| ids[number as usize];
        let tail = Tail::build(100, 3000, id);
        for (nth, wanted) in ids.iter().enumerate() {
            let nth = nth as u32 % 1500;
            let lowest = if nth < 100 { nth + 1500 } else { nth };
            assert_eq!(tail.find(wanted, id), Some(lowest));
        }
        assert_eq!(tail.find(&ObjectId::from_bytes(&[9; 20]).unwrap(), id), None);
        assert_eq!(Tail::build(7, 7, id).find(&ids[0], id), None);
    }
}
