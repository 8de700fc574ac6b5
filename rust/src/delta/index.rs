//! A base, indexed once, and the deltas made against it.

use super::Writer;

/// Bytes a block of the base has; every match is found by one whole block in common.
pub const BLOCK: usize = 16;

/// Blocks of one hash that are looked at for each position of the target.
///
/// Files that repeat themselves (tables, generated code) would otherwise cost the square of
/// their size; git bounds the same. With 48 a delta is a thousandth smaller, and takes a tenth
/// longer.
const MAX_CHAIN: u32 = 8;

/// A match of this length is taken without looking for a longer one: the base mostly goes on there.
const GOOD_MATCH: usize = 48;

/// From so many bytes of the target on, and from this part of it, its beginning tells how long the
/// delta will be.
const TELLING: usize = 1024;
const TELLING_PART: usize = 16;

/// A limit below this part of the target is that of a better delta than one already found. Without
/// one nothing is given up because of how it begins.
const BETTER_PART: u64 = 4;

/// After this many bytes in a row without a match positions are skipped, and more after each such
/// stretch, up to [`MOST_SKIPPED`].
///
/// What has shared nothing for so long is mostly new, or another file altogether. Blocks are met
/// all the same when the two sides meet again, a little later: the steps are odd, so that within 16
/// of them every alignment comes up; and backwards extension wins back what was skipped.
const NOISE: usize = 512;

/// At most so many positions are skipped between two that are looked up.
const MOST_SKIPPED: usize = 16;

/// Bytes in common that are found word by word.
const SHORT: usize = 64;

/// No table entry.
const NONE: u32 = u32::MAX;

/// The largest base: a copy instruction has four bytes of offset.
pub const MAX_BASE: usize = u32::MAX as usize - BLOCK;

/// Filter bits a bucket gets, of which a block sets [`marks`]: of the positions that match nothing,
/// one in thirty is looked up in vain.
const FILTER_BITS: usize = 8;

/// The blocks of one base in a hash table of flat arrays: about one byte of memory for each byte
/// of the base.
#[derive(Debug, Default)]
pub struct DeltaIndex {
    /// A word for several buckets, with [`marks`] of all their blocks; small enough for the
    /// processor's nearest cache, where the tables are not.
    filter: Vec<u64>,
    filter_shift: u32,
    /// Newest block of each bucket.
    heads: Vec<u32>,
    /// The next block in the same bucket, for each block.
    next: Vec<u32>,
    head_mask: u64,
    base_len: usize,
}

impl DeltaIndex {
    /// Indexes `base`; with a recycled index this allocates only to grow.
    ///
    /// A base beyond [`MAX_BASE`] is indexed up to there.
    pub fn build(&mut self, base: &[u8]) {
        let base = &base[..base.len().min(MAX_BASE)];
        let blocks = base.len() / BLOCK;
        let buckets = blocks.max(16).next_power_of_two();
        self.head_mask = buckets as u64 - 1;
        let words = buckets * FILTER_BITS / u64::BITS as usize;
        self.filter_shift = u64::BITS - words.trailing_zeros();
        self.filter.clear();
        self.filter.resize(words, 0);
        self.base_len = base.len();
        self.heads.clear();
        self.heads.resize(buckets, NONE);
        self.next.clear();
        self.next.resize(blocks, NONE);
        // back to front, so that each bucket lists its blocks front to back
        let mut here = if blocks > 0 { block_at(base, (blocks - 1) * BLOCK) } else { 0 };
        for block in (0..blocks).rev() {
            let before = if block > 0 { block_at(base, (block - 1) * BLOCK) } else { !here };
            let content = std::mem::replace(&mut here, before);
            if content == before {
                // of a run of equal blocks the first one serves: it has the longest match
                continue;
            }
            let hash = mix(content);
            self.filter[(hash >> self.filter_shift) as usize] |= marks(hash);
            let bucket = (hash & self.head_mask) as usize;
            self.next[block] = self.heads[bucket];
            self.heads[bucket] = block as u32;
        }
    }

    /// Bytes of memory the index holds.
    pub fn memory(&self) -> usize {
        (self.heads.capacity() + self.next.capacity()) * size_of::<u32>()
            + self.filter.capacity() * size_of::<u64>()
    }

    /// Writes a delta that makes `target` of `base` (the one indexed) into `out`, which is
    /// cleared first.
    ///
    /// Returns what it weighs: its length, or a little more when it began as if it would be longer.
    /// `None`, with `out` unfinished, as soon as it weighs more than `max_len`. What a delta weighs
    /// follows from base and target alone, so that what was remembered of a pair is what trying it
    /// again would tell.
    pub fn encode(
        &self,
        base: &[u8],
        target: &[u8],
        max_len: usize,
        out: &mut Vec<u8>,
    ) -> Option<u64> {
        debug_assert_eq!(base.len().min(MAX_BASE), self.base_len);
        let indexed = &base[..self.base_len];
        let mut writer = Writer::new(base.len(), target.len(), max_len, out);
        let mut outlook = Outlook::of(target.len());
        // everything before `done` is encoded; between `done` and `at` nothing matched so far
        let (mut done, mut at) = (0, 0);
        // where the base goes on behind the last match
        let mut onward = 0;
        let end = (target.len() + 1).saturating_sub(BLOCK);
        while at < end {
            let block = block_at(target, at);
            // as much may have been replaced as is new
            let guess = onward + (at - done);
            let found = if guess + BLOCK <= indexed.len() && block_at(indexed, guess) == block {
                let rest = common_prefix(&indexed[guess + BLOCK..], &target[at + BLOCK..]);
                Some((guess, BLOCK + rest))
            } else {
                let hash = mix(block);
                if self.may_have(hash) {
                    let head = self.heads[(hash & self.head_mask) as usize];
                    self.longest(head, block, indexed, &target[at..])
                } else {
                    None
                }
            };
            let Some((mut offset, mut len)) = found else {
                let unmatched = at - done;
                at += 1 + (2 * (unmatched / NOISE)).min(MOST_SKIPPED);
                // a match found later may still take the last of these bytes back
                if unmatched > BLOCK && !writer.can_insert(unmatched - BLOCK) {
                    return None;
                }
                continue;
            };
            // what precedes the match may be equal too: blocks are found at multiples of 16 only
            let back = common_suffix(&indexed[..offset], &target[done..at]);
            offset -= back;
            len += back;
            if !writer.insert(&target[done..at - back]) || !writer.copy(offset, len) {
                return None;
            }
            done = at - back + len;
            onward = offset + len;
            at = done;
            if outlook.at(at, writer.len()) > max_len as u64 {
                return None;
            }
        }
        writer.insert(&target[done..]).then(|| outlook.worst.max(writer.len() as u64))
    }

    /// Is there perhaps a block of this hash?
    #[inline]
    fn may_have(&self, hash: u64) -> bool {
        let marks = marks(hash);
        self.filter[(hash >> self.filter_shift) as usize] & marks == marks
    }

    /// The block of this chain with which `target` has the most bytes in common.
    #[inline]
    fn longest(
        &self,
        head: u32,
        block: u128,
        base: &[u8],
        target: &[u8],
    ) -> Option<(usize, usize)> {
        let mut best = None;
        let mut best_len = 0;
        let mut current = head;
        for _ in 0..MAX_CHAIN {
            if current == NONE {
                break;
            }
            let offset = current as usize * BLOCK;
            if block_at(base, offset) == block {
                // cannot be longer unless it agrees where the best one ends
                let worthwhile = best_len == 0
                    || base.get(offset + best_len) == target.get(best_len)
                        && best_len < target.len();
                if worthwhile {
                    let rest = common_prefix(&base[offset + BLOCK..], &target[BLOCK..]);
                    if BLOCK + rest > best_len {
                        best_len = BLOCK + rest;
                        best = Some((offset, best_len));
                        if best_len >= GOOD_MATCH {
                            break;
                        }
                    }
                }
            }
            current = self.next[current as usize];
        }
        best
    }
}

/// How long a delta will be, judged by how it began.
struct Outlook {
    len: u64,
    /// Nothing is said before this place of the target.
    from: usize,
    /// The longest it seemed to become so far, but at most a [`BETTER_PART`] of the target.
    worst: u64,
}

impl Outlook {
    fn of(len: usize) -> Self {
        Self { len: len as u64, from: (len / TELLING_PART).max(TELLING), worst: 0 }
    }

    /// The worst so far: `at` bytes of the target have taken so many of the delta. A fifth less is
    /// expected of the rest.
    #[inline]
    fn at(&mut self, at: usize, taken: usize) -> u64 {
        if at > self.from {
            let expected = (taken as u64).saturating_mul(self.len) / at as u64 * 4 / 5;
            self.worst = self.worst.max(expected.min(self.len / BETTER_PART));
        }
        self.worst
    }
}

/// The filter bits of a hash, within a word of its own; from neither end of it, where other tables
/// take theirs.
#[inline]
fn marks(hash: u64) -> u64 {
    1 << (hash >> 24 & 63) | 1 << (hash >> 30 & 63) | 1 << (hash >> 36 & 63)
}

#[inline]
fn block_at(data: &[u8], at: usize) -> u128 {
    let mut block = [0; BLOCK];
    block.copy_from_slice(&data[at..at + BLOCK]);
    u128::from_le_bytes(block)
}

/// Sixteen bytes to a well-mixed word; independent of the position before, so that the CPU
/// works on several positions at once, which a rolling hash forbids.
#[inline]
fn mix(block: u128) -> u64 {
    let (low, high) = (block as u64, (block >> 64) as u64);
    let product =
        u128::from(low ^ 0x9e37_79b9_7f4a_7c15) * u128::from(high ^ 0xd6e8_feb8_6659_fd93);
    ((product >> 64) as u64 ^ product as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[inline]
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let len = a.len().min(b.len());
    let (a, b) = (&a[..len], &b[..len]);
    // most matches are short, and those that are not are long
    let mut at = 0;
    while at < SHORT && at + 8 <= len {
        let differ = word(&a[at..at + 8]) ^ word(&b[at..at + 8]);
        if differ != 0 {
            return at + differ.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    if at == SHORT {
        at = common_steps::<256>(a, b, at);
        at = common_steps::<32>(a, b, at);
        at = common_steps::<8>(a, b, at);
    }
    at + a[at..].iter().zip(&b[at..]).take_while(|(x, y)| x == y).count()
}

/// What both have in common from `at` on, in whole steps: the library compares hundreds of bytes in
/// a few cycles.
#[inline]
fn common_steps<const STEP: usize>(a: &[u8], b: &[u8], at: usize) -> usize {
    let steps = a[at..].as_chunks::<STEP>().0.iter().zip(b[at..].as_chunks::<STEP>().0);
    at + steps.take_while(|(x, y)| x == y).count() * STEP
}

#[inline]
fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count()
}

#[inline]
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(bytes);
    u64::from_le_bytes(word)
}
