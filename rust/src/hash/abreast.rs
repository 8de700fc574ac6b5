//! SHA-1 of a few long messages abreast, by one thread.
//!
//! In flow states and whole blocks of each message, out flow the states behind them. Each step of SHA-1
//! waits for the one before, so the CPU's own instructions are idle half of the time or more while
//! they hash one message; what they do for another then costs little. Sixteen short messages are
//! better off with [`super::hash_many`].

use sha1::block_api::compress;

use super::detecting::{BLOCK_LEN, Block, INITIAL, State};

/// Messages that are hashed at the same time: three take half the time that they take one after
/// the other, four two fifths, and more do not fit the registers.
pub const ABREAST: usize = 4;

/// A running SHA-1 that goes on from block to block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSha1(State);

impl Default for BlockSha1 {
    fn default() -> Self {
        Self(INITIAL)
    }
}

impl BlockSha1 {
    /// What SHA-1 takes at a time.
    pub const BLOCK_LEN: usize = BLOCK_LEN;

    /// Takes whole blocks; bytes behind the last are not taken.
    pub fn update(&mut self, bytes: &[u8]) {
        compress(&mut self.0, bytes.as_chunks().0);
    }

    /// The digest of a message of this length, of which `rest` is less than a block and was not
    /// taken yet.
    pub fn finish(mut self, rest: &[u8], len: u64) -> [u8; 20] {
        // a one bit, zeros, and the length in bits fill the last block
        let mut end = [0; 2 * BLOCK_LEN];
        end[..rest.len()].copy_from_slice(rest);
        end[rest.len()] = 0x80;
        let filled = (rest.len() + 1 + 8).next_multiple_of(BLOCK_LEN);
        end[filled - 8..filled].copy_from_slice(&len.wrapping_mul(8).to_be_bytes());
        self.update(&end[..filled]);
        let mut digest = [0; 20];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.0) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }
}

/// Does this CPU gain anything by it?
pub fn gains_abreast() -> bool {
    #[cfg(target_arch = "x86_64")]
    return x86::has_sha();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Each of the first [`ABREAST`] hashes takes its blocks, of which all are given as many; bytes
/// behind those that all have are not taken.
pub fn update_abreast(hashes: &mut [BlockSha1], messages: &[&[u8]]) {
    #[cfg(target_arch = "x86_64")]
    if x86::has_sha() {
        // SAFETY: the CPU has what the function is compiled for.
        return unsafe { x86::update_any(hashes, messages) };
    }
    update_each(hashes, messages);
}

/// One message after the other.
fn update_each(hashes: &mut [BlockSha1], messages: &[&[u8]]) {
    let len = messages.iter().map(|message| message.len()).min().unwrap_or_default();
    for (hash, message) in hashes.iter_mut().zip(messages) {
        hash.update(&message[..len]);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::array::from_fn;

    use super::{Block, BlockSha1, update_each};

    /// Has the CPU instructions for SHA-1?
    pub(super) fn has_sha() -> bool {
        std::arch::is_x86_feature_detected!("sha")
            && std::arch::is_x86_feature_detected!("ssse3")
            && std::arch::is_x86_feature_detected!("sse4.1")
    }

    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    pub(super) fn update_any(hashes: &mut [BlockSha1], messages: &[&[u8]]) {
        match (hashes, messages) {
            ([a, b], &[x, y]) => update([a, b], [x, y]),
            ([a, b, c], &[x, y, z]) => update([a, b, c], [x, y, z]),
            ([a, b, c, d], &[w, x, y, z]) => update([a, b, c, d], [w, x, y, z]),
            (hashes, messages) => update_each(hashes, messages),
        }
    }

    /// Four rounds of each message, with four words of each.
    macro_rules! rounds {
        ($function:literal, $held:ident, $changed:ident, $words:expr) => {
            for n in 0..N {
                let words = _mm_sha1nexte_epu32($changed[n], $words[n]);
                $changed[n] = _mm_sha1rnds4_epu32($held[n], words, $function);
            }
        };
    }

    /// The same with the next four words, made of the sixteen before them.
    macro_rules! expanded {
        ($function:literal, $held:ident, $changed:ident, $a:ident $b:ident $c:ident $d:ident) => {
            for n in 0..N {
                let words = _mm_xor_si128(_mm_sha1msg1_epu32($a[n], $b[n]), $c[n]);
                $a[n] = _mm_sha1msg2_epu32(words, $d[n]);
            }
            rounds!($function, $held, $changed, $a);
        };
    }

    #[expect(clippy::needless_range_loop, reason = "each step is taken of several arrays")]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn update<const N: usize>(hashes: [&mut BlockSha1; N], messages: [&[u8]; N]) {
        let in_order = _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f);
        let blocks: [&[Block]; N] = messages.map(|message| message.as_chunks().0);
        let count = blocks.iter().map(|blocks| blocks.len()).min().unwrap_or_default();
        let blocks = blocks.map(|blocks| &blocks[..count]);
        let word = |n: usize, at: usize| hashes[n].0[at].cast_signed();
        let mut abcd: [__m128i; N] =
            from_fn(|n| _mm_set_epi32(word(n, 0), word(n, 1), word(n, 2), word(n, 3)));
        let mut e: [__m128i; N] = from_fn(|n| _mm_set_epi32(word(n, 4), 0, 0, 0));
        for at in 0..count {
            let load = |n: usize, part: usize| {
                let part: &[u8; 16] = &blocks[n][at].as_chunks().0[part];
                // SAFETY: sixteen bytes are read from an array of sixteen; they need no alignment.
                _mm_shuffle_epi8(unsafe { _mm_loadu_si128(part.as_ptr().cast()) }, in_order)
            };
            let mut a: [__m128i; N] = from_fn(|n| load(n, 0));
            let mut b: [__m128i; N] = from_fn(|n| load(n, 1));
            let mut c: [__m128i; N] = from_fn(|n| load(n, 2));
            let mut d: [__m128i; N] = from_fn(|n| load(n, 3));
            let mut p = abcd;
            let mut q: [__m128i; N] =
                from_fn(|n| _mm_sha1rnds4_epu32(p[n], _mm_add_epi32(e[n], a[n]), 0));
            rounds!(0, q, p, b);
            rounds!(0, p, q, c);
            rounds!(0, q, p, d);
            expanded!(0, p, q, a b c d);
            expanded!(1, q, p, b c d a);
            expanded!(1, p, q, c d a b);
            expanded!(1, q, p, d a b c);
            expanded!(1, p, q, a b c d);
            expanded!(1, q, p, b c d a);
            expanded!(2, p, q, c d a b);
            expanded!(2, q, p, d a b c);
            expanded!(2, p, q, a b c d);
            expanded!(2, q, p, b c d a);
            expanded!(2, p, q, c d a b);
            expanded!(3, q, p, d a b c);
            expanded!(3, p, q, a b c d);
            expanded!(3, q, p, b c d a);
            expanded!(3, p, q, c d a b);
            expanded!(3, q, p, d a b c);
            for n in 0..N {
                abcd[n] = _mm_add_epi32(abcd[n], p[n]);
                e[n] = _mm_sha1nexte_epu32(q[n], e[n]);
            }
        }
        for (n, hash) in hashes.into_iter().enumerate() {
            hash.0 = [
                _mm_extract_epi32::<3>(abcd[n]),
                _mm_extract_epi32::<2>(abcd[n]),
                _mm_extract_epi32::<1>(abcd[n]),
                _mm_extract_epi32::<0>(abcd[n]),
                _mm_extract_epi32::<3>(e[n]),
            ]
            .map(i32::cast_unsigned);
        }
    }
}

#[cfg(test)]
mod tests {
    use sha1::Digest as _;

    use super::*;

    fn message(seed: u32, len: usize) -> Vec<u8> {
        (0..len as u32).map(|at| (at.wrapping_mul(seed) >> 7) as u8).collect()
    }

    #[test]
    fn all_come_to_what_each_comes_to_alone() {
        for count in 1..=ABREAST {
            let messages: Vec<_> = (0..count as u32).map(|n| message(40_503 + n, 5000)).collect();
            let mut hashes = vec![BlockSha1::default(); count];
            let mut taken = 0;
            for blocks in [1, 0, 2, 70] {
                let next = taken + blocks * BlockSha1::BLOCK_LEN;
                let parts: Vec<&[u8]> = messages.iter().map(|m| &m[taken..next]).collect();
                update_abreast(&mut hashes, &parts);
                taken = next;
            }
            for (hash, message) in hashes.into_iter().zip(&messages) {
                let found = hash.finish(&message[taken..taken + 9], taken as u64 + 9);
                assert_eq!(found[..], sha1::Sha1::digest(&message[..taken + 9])[..]);
            }
        }
    }

    #[test]
    fn what_not_all_have_is_not_taken() {
        let (long, short) = (message(77, 640), message(99, 200));
        let mut hashes = [BlockSha1::default(); 2];
        update_abreast(&mut hashes, &[&long, &short]);
        let mut alone = BlockSha1::default();
        alone.update(&long[..192]);
        assert_eq!(hashes[0], alone);
    }

    #[test]
    fn every_length_is_padded_as_it_must() {
        for len in 0..200 {
            let bytes = message(31, len);
            let whole = len / BlockSha1::BLOCK_LEN * BlockSha1::BLOCK_LEN;
            let mut hash = BlockSha1::default();
            hash.update(&bytes);
            let found = hash.finish(&bytes[whole..], len as u64);
            assert_eq!(found[..], sha1::Sha1::digest(&bytes)[..], "{len}");
        }
    }
}
