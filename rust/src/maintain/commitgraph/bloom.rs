//! Changed-path Bloom filters (`gitformat-commit-graph`, "Bloom Filter Data").
//!
//! In: the paths that a commit changes. Out: a few bytes that say of a path that it is surely not
//! among them, or that it may be.

use std::collections::HashSet;
use std::ffi::c_char;

use crate::commitgraph::{BITS_PER_PATH, HASHES};

/// Of more changed paths than that nothing is noted.
pub(super) const MOST_PATHS: usize = 512;

/// The document leaves the last digit of the second out; filters that git wrote have it.
const SEEDS: [u32; 2] = [0x293a_e76f, 0x7e64_6e2c];

/// Which of the two hash functions there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterVersion {
    /// That of git before 2.46 and still its default: bytes above 127 count as this machine's `char`.
    One,
    /// The same on every machine.
    Two,
}

impl FilterVersion {
    /// `None`: no version that we know.
    pub fn of_number(number: u32) -> Option<Self> {
        [FilterVersion::One, FilterVersion::Two].into_iter().find(|known| known.number() == number)
    }

    /// As it stands in files.
    pub(crate) fn number(self) -> u32 {
        match self {
            FilterVersion::One => 1,
            FilterVersion::Two => 2,
        }
    }
}

/// The filter of a commit that changes too much to be noted: anything may be among it.
pub(super) fn of_too_many() -> Vec<u8> {
    vec![0xff]
}

/// The filter of a commit that changes these files. Their folders change too.
pub(super) fn of_paths(files: &[Vec<u8>], version: FilterVersion) -> Vec<u8> {
    let mut paths: HashSet<&[u8]> = HashSet::new();
    for file in files {
        let mut path: &[u8] = file;
        // whose folder is there has all folders above it there
        while paths.len() <= MOST_PATHS && paths.insert(path) {
            match path.iter().rposition(|&byte| byte == b'/') {
                Some(slash) => path = &path[..slash],
                None => break,
            }
        }
    }
    if files.len() > MOST_PATHS || paths.len() > MOST_PATHS {
        return of_too_many();
    }
    let bytes = (paths.len() * BITS_PER_PATH as usize).div_ceil(8);
    if bytes == 0 {
        return vec![0];
    }
    let mut filter = vec![0u8; bytes];
    let bits = bytes as u64 * 8;
    for path in paths {
        let [first, second] = SEEDS.map(|seed| murmur3(seed, path, version));
        for nth in 0..HASHES {
            let bit = u64::from(first.wrapping_add(nth.wrapping_mul(second))) % bits;
            filter[(bit / 8) as usize] |= 1 << (bit % 8);
        }
    }
    filter
}

/// MurmurHash3, of 32 bits.
fn murmur3(seed: u32, data: &[u8], version: FilterVersion) -> u32 {
    let widen = |byte: u8| match version {
        // as it is written there: of signed bytes, where they are signed
        FilterVersion::One => byte as c_char as u32,
        FilterVersion::Two => u32::from(byte),
    };
    let word = |bytes: &[u8]| {
        let bytes = bytes.iter().enumerate();
        bytes.fold(0, |word, (at, &byte)| word | widen(byte) << (8 * at))
    };
    let mix = |word: u32| word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let mut blocks = data.chunks_exact(4);
    let mut hash = seed;
    for block in &mut blocks {
        hash = (hash ^ mix(word(block))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let rest = blocks.remainder();
    if !rest.is_empty() {
        // the tail is put together by XOR, the blocks by OR; it tells where bytes are widened
        let bytes = rest.iter().enumerate();
        hash ^= mix(bytes.fold(0, |word, (at, &byte)| word ^ widen(byte) << (8 * at)));
    }
    hash ^= data.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_that_are_published() {
        for (seed, text, hash) in [
            (0, "", 0),
            (0, "Hello world!", 0x627b_0c2c),
            (0, "The quick brown fox jumps over the lazy dog", 0x2e4f_f723),
            (1, "", 0x514e_28b7),
        ] {
            for version in [FilterVersion::One, FilterVersion::Two] {
                assert_eq!(murmur3(seed, text.as_bytes(), version), hash, "{text}");
            }
        }
    }

    #[test]
    fn bytes_above_127_tell_the_versions_apart() {
        let bytes = b"\x99\xaa\xbb\xcc\xdd\xee\xff";
        assert_eq!(murmur3(0, bytes, FilterVersion::Two), 0xa183_ccfd);
        let is_signed = c_char::MIN != 0;
        assert_eq!(murmur3(0, bytes, FilterVersion::One) != 0xa183_ccfd, is_signed);
    }

    #[test]
    fn sizes_follow_the_number_of_paths() {
        let of = |count: usize| {
            let files: Vec<Vec<u8>> = (0..count).map(|nth| format!("{nth}").into_bytes()).collect();
            of_paths(&files, FilterVersion::One)
        };
        assert_eq!(of(0), [0]);
        assert_eq!(of(1).len(), 2);
        assert_eq!(of(512).len(), 640);
        assert_eq!(of(513), [0xff]);
        // folders count
        assert_eq!(of_paths(&[b"a/b/c".to_vec(), b"a/b/d".to_vec()], FilterVersion::Two).len(), 5);
    }
}
