//! Words of several messages side by side, one in each lane of a register.
//!
//! In flow words, out flow words: what SHA-1 and the search for attacks on it are made of, for as many
//! messages at once as the CPU's registers hold. [`Portable`] runs everywhere, [`Sixteen`] where there
//! is AVX-512. Must not know what is computed.

use super::detecting::Block;
use super::vectors::VECTORS;

/// The 80 expanded words of a block, for each lane.
pub(super) type Words<R> = [R; 80];

/// A word in each lane.
///
/// Every method is inlined, so that it is compiled for the CPU its caller is compiled for.
pub(super) trait Register: Copy {
    const LANES: usize;

    fn splat(word: u32) -> Self;
    fn get(self, lane: usize) -> u32;
    fn set(&mut self, lane: usize, word: u32);
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    fn xor3(self, second: Self, third: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn not(self) -> Self;
    /// SHA-1's `Ch`: bits of `yes` where this has ones, else of `no`.
    fn choose(self, yes: Self, no: Self) -> Self;
    /// SHA-1's `Maj`.
    fn majority(self, second: Self, third: Self) -> Self;
    /// Rotates to the left.
    fn rotate<const BY: i32>(self) -> Self;
    /// Shifts to the left.
    fn shift<const BY: u32>(self) -> Self;
    /// These bits too, in lanes where the top bit of `condition` is set.
    fn with_bits_if(self, condition: Self, bits: u32) -> Self;
    /// Of each lane the word of `row` that `numbers` tells.
    fn pick(row: &[u32; VECTORS], numbers: Self) -> Self;
    /// Puts each block into a lane, at most as many as there are.
    fn lay_across(blocks: &[&Block], words: &mut Words<Self>);

    #[inline(always)]
    fn is_all_ones(self) -> bool {
        (0..Self::LANES).all(|lane| self.get(lane) == u32::MAX)
    }
}

/// The message schedule (FIPS 180-4, section 6.1.2), up to a word.
#[inline(always)]
pub(super) fn expand<R: Register>(words: &mut Words<R>, end: usize) {
    for t in 16..end {
        let word = words[t - 3].xor3(words[t - 8], words[t - 14]);
        words[t] = word.xor(words[t - 16]).rotate::<1>();
    }
}

/// Written so that the compiler makes vector code of it: every step is the same for all lanes.
#[derive(Clone, Copy)]
pub(super) struct Portable<const N: usize>(pub(super) [u32; N]);

impl<const N: usize> Portable<N> {
    #[inline(always)]
    fn zip(self, other: Self, join: impl Fn(u32, u32) -> u32) -> Self {
        Self(std::array::from_fn(|lane| join(self.0[lane], other.0[lane])))
    }
}

impl<const N: usize> Register for Portable<N> {
    const LANES: usize = N;

    #[inline(always)]
    fn splat(word: u32) -> Self {
        Self([word; N])
    }

    #[inline(always)]
    fn get(self, lane: usize) -> u32 {
        self.0[lane]
    }

    #[inline(always)]
    fn set(&mut self, lane: usize, word: u32) {
        self.0[lane] = word;
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, u32::wrapping_add)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, u32::wrapping_sub)
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self.zip(other, |a, b| a ^ b)
    }

    #[inline(always)]
    fn xor3(self, second: Self, third: Self) -> Self {
        self.xor(second).xor(third)
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        self.zip(other, |a, b| a | b)
    }

    #[inline(always)]
    fn not(self) -> Self {
        Self(self.0.map(|word| !word))
    }

    #[inline(always)]
    fn choose(self, yes: Self, no: Self) -> Self {
        no.xor(self.zip(yes.xor(no), |a, b| a & b))
    }

    #[inline(always)]
    fn majority(self, second: Self, third: Self) -> Self {
        let both = self.zip(second, |a, b| a & b);
        both.or(third.zip(self.xor(second), |a, b| a & b))
    }

    #[inline(always)]
    fn rotate<const BY: i32>(self) -> Self {
        Self(self.0.map(|word| word.rotate_left(BY.cast_unsigned())))
    }

    #[inline(always)]
    fn shift<const BY: u32>(self) -> Self {
        Self(self.0.map(|word| word << BY))
    }

    #[inline(always)]
    fn with_bits_if(self, condition: Self, bits: u32) -> Self {
        // an arithmetic shift spreads the top bit over the word
        self.zip(condition, |word, sign| word | ((sign.cast_signed() >> 31).cast_unsigned() & bits))
    }

    #[inline(always)]
    fn pick(row: &[u32; VECTORS], numbers: Self) -> Self {
        Self(numbers.0.map(|number| row[number as usize % VECTORS]))
    }

    /// Not compiled for large registers, for which the compiler would gather word by word, which is
    /// slower than this.
    #[inline(never)]
    fn lay_across(blocks: &[&Block], words: &mut Words<Self>) {
        for (lane, block) in blocks.iter().enumerate().take(N) {
            for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
                word.0[lane] = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use sixteen::{Sixteen, has_sixteen};

#[cfg(target_arch = "x86_64")]
mod sixteen {
    use std::arch::x86_64::*;

    use super::super::detecting::BLOCK_LEN;
    use super::*;

    /// Does the CPU have what [`Sixteen`] needs?
    #[inline]
    pub(in super::super) fn has_sixteen() -> bool {
        std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512vl")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512dq")
    }

    /// A register of AVX-512. Only for functions that are compiled for it and called where
    /// [`has_sixteen`].
    #[derive(Clone, Copy)]
    pub(in super::super) struct Sixteen(__m512i);

    macro_rules! register {
        ($value:expr) => {
            // SAFETY: as the type says, who uses it has asked whether the CPU has AVX-512 F, VL, BW
            // and DQ; the instruction reads and writes nothing but registers.
            Sixteen(unsafe { $value })
        };
    }

    impl Sixteen {
        #[inline(always)]
        fn words(self) -> [u32; 16] {
            // SAFETY: both are 64 bytes without padding, and any bits are valid.
            unsafe { std::mem::transmute(self.0) }
        }
    }

    impl Register for Sixteen {
        const LANES: usize = 16;

        #[inline(always)]
        fn splat(word: u32) -> Self {
            register!(_mm512_set1_epi32(word.cast_signed()))
        }

        #[inline(always)]
        fn get(self, lane: usize) -> u32 {
            self.words()[lane]
        }

        #[inline(always)]
        fn set(&mut self, lane: usize, word: u32) {
            let mut words = self.words();
            words[lane] = word;
            // SAFETY: both are 64 bytes without padding, and any bits are valid.
            self.0 = unsafe { std::mem::transmute::<[u32; 16], __m512i>(words) };
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            register!(_mm512_add_epi32(self.0, other.0))
        }

        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            register!(_mm512_sub_epi32(self.0, other.0))
        }

        #[inline(always)]
        fn xor(self, other: Self) -> Self {
            register!(_mm512_xor_si512(self.0, other.0))
        }

        // the numbers are truth tables of three bits
        #[inline(always)]
        fn xor3(self, second: Self, third: Self) -> Self {
            register!(_mm512_ternarylogic_epi32::<0x96>(self.0, second.0, third.0))
        }

        #[inline(always)]
        fn or(self, other: Self) -> Self {
            register!(_mm512_or_si512(self.0, other.0))
        }

        #[inline(always)]
        fn not(self) -> Self {
            self.xor(Self::splat(u32::MAX))
        }

        #[inline(always)]
        fn choose(self, yes: Self, no: Self) -> Self {
            register!(_mm512_ternarylogic_epi32::<0xca>(self.0, yes.0, no.0))
        }

        #[inline(always)]
        fn majority(self, second: Self, third: Self) -> Self {
            register!(_mm512_ternarylogic_epi32::<0xe8>(self.0, second.0, third.0))
        }

        #[inline(always)]
        fn rotate<const BY: i32>(self) -> Self {
            register!(_mm512_rol_epi32::<BY>(self.0))
        }

        #[inline(always)]
        fn shift<const BY: u32>(self) -> Self {
            register!(_mm512_slli_epi32::<BY>(self.0))
        }

        #[inline(always)]
        fn with_bits_if(self, condition: Self, bits: u32) -> Self {
            let bits = Self::splat(bits);
            register!({
                let lanes = _mm512_movepi32_mask(condition.0);
                _mm512_mask_or_epi32(self.0, lanes, self.0, bits.0)
            })
        }

        #[inline(always)]
        fn pick(row: &[u32; VECTORS], numbers: Self) -> Self {
            let row = row.as_ptr().cast::<__m512i>();
            // SAFETY: a row has 32 words, which are two registers; for the rest see `register`.
            Self(unsafe {
                let (low, high) = (_mm512_loadu_si512(row), _mm512_loadu_si512(row.add(1)));
                _mm512_permutex2var_epi32(low, numbers.0, high)
            })
        }

        #[inline(always)]
        fn is_all_ones(self) -> bool {
            let ones = Self::splat(u32::MAX);
            // SAFETY: see `register`.
            unsafe { _mm512_cmpeq_epi32_mask(self.0, ones.0) == u16::MAX }
        }

        /// A register holds a block: sixteen of them are a square of words, to be transposed.
        #[inline(always)]
        fn lay_across(blocks: &[&Block], words: &mut Words<Self>) {
            const NOTHING: Block = [0; BLOCK_LEN];
            // each word's bytes in reverse
            let order =
                register!(_mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203));
            let load = |at: usize| {
                let block: &Block = blocks.get(at).copied().unwrap_or(&NOTHING);
                // SAFETY: a block has 64 bytes; for the rest see `register`.
                register!(_mm512_shuffle_epi8(_mm512_loadu_si512(block.as_ptr().cast()), order.0))
            };
            let rows: [Self; 16] = std::array::from_fn(load);
            // first within quarters of the registers: words of two blocks, then of four side by side
            let mut four = rows;
            for at in 0..4 {
                let [a, b, c, d] = [0, 1, 2, 3].map(|row| rows[4 * at + row].0);
                let ab = [
                    register!(_mm512_unpacklo_epi32(a, b)),
                    register!(_mm512_unpackhi_epi32(a, b)),
                ];
                let cd = [
                    register!(_mm512_unpacklo_epi32(c, d)),
                    register!(_mm512_unpackhi_epi32(c, d)),
                ];
                for half in 0..2 {
                    let (ab, cd) = (ab[half].0, cd[half].0);
                    four[4 * at + 2 * half] = register!(_mm512_unpacklo_epi64(ab, cd));
                    four[4 * at + 2 * half + 1] = register!(_mm512_unpackhi_epi64(ab, cd));
                }
            }
            // then the quarters: those of one word are brought together
            for word in 0..4 {
                let [a, b, c, d] = [0, 4, 8, 12].map(|row| four[row + word].0);
                let even_ab = register!(_mm512_shuffle_i32x4::<0x88>(a, b)).0;
                let odd_ab = register!(_mm512_shuffle_i32x4::<0xdd>(a, b)).0;
                let even_cd = register!(_mm512_shuffle_i32x4::<0x88>(c, d)).0;
                let odd_cd = register!(_mm512_shuffle_i32x4::<0xdd>(c, d)).0;
                words[word] = register!(_mm512_shuffle_i32x4::<0x88>(even_ab, even_cd));
                words[word + 4] = register!(_mm512_shuffle_i32x4::<0x88>(odd_ab, odd_cd));
                words[word + 8] = register!(_mm512_shuffle_i32x4::<0xdd>(even_ab, even_cd));
                words[word + 12] = register!(_mm512_shuffle_i32x4::<0xdd>(odd_ab, odd_cd));
            }
        }
    }
}
