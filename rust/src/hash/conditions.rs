//! Which of the disturbance vectors can a block belong to at all?
//!
//! In flow blocks of a message, out flows for each the set of vectors whose unavoidable bit
//! conditions it meets: equalities between bits of the expanded words 35 to 64, without which a
//! vector cannot lead to a collision. One block in twenty meets those of any vector by chance; only
//! these are looked at closer.
//!
//! The conditions depend on the message alone, not on the state. So several blocks are judged at
//! once, one in each lane of the CPU's vector registers ([`super::registers`]).
//!
//! The conditions were found by Stevens and Shumow ("Speeding up detection of SHA-1 collision
//! attacks using unavoidable attack conditions", USENIX Security 2017); the list follows their
//! program's, whose licence is beside this file (`conditions.LICENSE`).

use super::detecting::Block;
use super::registers::{Portable, Register, Words, expand};
#[cfg(target_arch = "x86_64")]
use super::registers::{Sixteen, has_sixteen};

/// Blocks that are judged at once where there are enough.
pub(super) const LANES: usize = 16;

/// The last word that a condition names, and one.
pub(super) const JUDGED_WORDS: usize = 65;

/// The vectors that each of these blocks may belong to: a bit of the result for each of
/// [`super::vectors`]. At most [`LANES`] blocks.
pub(super) fn suspects(blocks: &[Block]) -> [u32; LANES] {
    #[cfg(target_arch = "x86_64")]
    if has_sixteen() {
        // SAFETY: the CPU has what the function is compiled for.
        return unsafe { judge_on_avx512(blocks) };
    } else if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the CPU has what the function is compiled for.
        return unsafe { judge_on_avx2(blocks) };
    }
    judge_all::<Portable<4>>(blocks)
}

/// [`judge_all`], compiled for registers of sixteen words.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
fn judge_on_avx512(blocks: &[Block]) -> [u32; LANES] {
    judge_all::<Sixteen>(blocks)
}

/// [`judge_all`], compiled for registers of eight words.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn judge_on_avx2(blocks: &[Block]) -> [u32; LANES] {
    judge_all::<Portable<8>>(blocks)
}

/// In groups of as many as a register holds, or of four where no more are left.
#[inline(always)]
fn judge_all<R: Register>(blocks: &[Block]) -> [u32; LANES] {
    let mut out = [0; LANES];
    let mut at = 0;
    while at < blocks.len().min(LANES) {
        at += match blocks.len() - at {
            ..=4 => judge_group::<Portable<4>>(&blocks[at..], &mut out[at..]),
            _ => judge_group::<R>(&blocks[at..], &mut out[at..]),
        };
    }
    out
}

/// As many as a register holds; how many that are.
#[inline(always)]
fn judge_group<R: Register>(blocks: &[Block], out: &mut [u32]) -> usize {
    let taken = blocks.len().min(R::LANES);
    let mut group = [&blocks[0]; LANES];
    for (place, block) in group.iter_mut().zip(&blocks[..taken]) {
        *place = block;
    }
    let mut words = [R::splat(0); 80];
    R::lay_across(&group[..taken], &mut words);
    expand(&mut words, JUDGED_WORDS);
    let refuted = judge(&words);
    for (lane, out) in out.iter_mut().enumerate().take(taken) {
        *out = !refuted.get(lane);
    }
    taken
}

/// The vectors that the words' blocks do *not* belong to. Looks at words 35 to [`JUDGED_WORDS`].
#[inline(always)]
pub(super) fn judge<R: Register>(words: &Words<R>) -> R {
    let mut refuted = R::splat(0);
    // bits are brought to the top of their words, from where an arithmetic shift spreads them
    macro_rules! refute {
        ($(($i:literal, $a:literal) $relation:tt ($j:literal, $b:literal), $vectors:literal;)*) => {
            $(
                let differ = words[$i].shift::<{ 31 - $a }>().xor(words[$j].shift::<{ 31 - $b }>());
                refuted = refuted.with_bits_if(refute!(@unless differ $relation), $vectors);
            )*
        };
        (@unless $differ:ident ==) => { $differ };
        (@unless $differ:ident !=) => { $differ.not() };
    }
    // (word, bit) == (word, bit), the vectors that need this
    refute! {
        (44, 29) == (45, 29), 0x0283_a080;
        (40, 29) == (41, 29), 0x800a_00a2;
        (41, 4) == (44, 29), 0x0081_2025;
        (42, 4) == (45, 29), 0x0202_808a;
        (43, 4) == (46, 29), 0x0808_0225;
        (43, 29) == (44, 29), 0x00a1_2820;
        (44, 4) == (47, 29), 0x1010_088a;
        (45, 4) == (48, 29), 0x2020_2224;
        (45, 29) == (46, 29), 0x0a0a_8200;
        (46, 4) == (49, 29), 0x4080_8888;
        (46, 29) == (47, 29), 0x1818_0801;
        (47, 4) == (50, 29), 0x8201_2220;
        (47, 29) == (48, 29), 0x3030_2002;
        (48, 29) == (49, 29), 0x60a0_8004;
        (49, 29) == (50, 29), 0xc281_0008;
        (37, 4) == (40, 29), 0x5002_0021;
        (38, 4) == (41, 29), 0xa008_0082;
        (39, 4) == (42, 29), 0x4010_0205;
        (40, 4) == (43, 29), 0x8020_080a;
        (41, 29) == (42, 29), 0x0018_0284;
        (42, 29) == (43, 29), 0x0030_0a08;
        (48, 4) == (51, 29), 0x0802_8880;
        (49, 4) == (52, 29), 0x1009_2200;
        (50, 4) == (53, 29), 0x2012_8800;
        (50, 29) == (51, 29), 0x8a02_0020;
        (52, 29) == (53, 29), 0x3011_0200;
        (53, 29) == (54, 29), 0x6022_0800;
        (54, 29) == (55, 29), 0xc088_2000;
        (36, 4) == (40, 29), 0x0011_0208;
        (51, 4) == (54, 29), 0x4028_2000;
        (51, 29) == (52, 29), 0x1808_0080;
        (52, 4) == (55, 29), 0x8090_8000;
        (55, 29) == (56, 29), 0x8210_8000;
        (35, 4) == (39, 29), 0x0008_0084;
        (36, 1) != (37, 6), 0x0004_1040;
        (37, 4) != (39, 4), 0x5000_0001;
        (38, 4) != (40, 4), 0xa000_0002;
        (39, 1) != (40, 6), 0x0040_1010;
        (39, 4) != (41, 4), 0x4000_0005;
        (40, 1) != (41, 6), 0x0100_4040;
        (40, 4) != (42, 4), 0x8000_000a;
        (41, 1) != (42, 6), 0x0404_0100;
        (44, 6) == (46, 6), 0x0000_1110;
        (44, 29) != (46, 29), 0x0000_0025;
        (45, 6) == (47, 6), 0x0000_4440;
        (45, 29) != (47, 29), 0x0000_008a;
        (46, 29) != (48, 29), 0x0000_0224;
        (47, 29) != (49, 29), 0x0000_0888;
        (48, 29) != (50, 29), 0x0000_2220;
        (49, 29) != (51, 29), 0x0000_8880;
        (50, 29) != (52, 29), 0x0001_2200;
        (51, 29) != (54, 29), 0x000a_0800;
        (53, 29) != (56, 29), 0x0030_8000;
        (35, 1) != (36, 6), 0x0000_0410;
        (35, 3) == (39, 28), 0x0008_2000;
        (36, 4) != (38, 4), 0x2800_0000;
        (37, 1) != (38, 6), 0x0000_4100;
        (37, 4) == (41, 29), 0x0020_0800;
        (38, 4) == (42, 29), 0x0080_2000;
        (39, 4) == (43, 29), 0x0200_8000;
        (40, 6) == (41, 1), 0x0040_1000;
        (41, 6) == (42, 1), 0x0100_4000;
        (42, 6) == (43, 1), 0x0404_0000;
        (42, 6) == (44, 6), 0x0000_0110;
        (43, 6) == (45, 6), 0x0000_0440;
        (44, 1) != (45, 6), 0x0040_4000;
        (46, 6) == (47, 1), 0x0100_0010;
        (46, 6) == (48, 6), 0x0000_1100;
        (47, 6) == (48, 1), 0x0400_0040;
        (47, 6) == (49, 6), 0x0000_4400;
        (48, 6) == (50, 6), 0x0004_1000;
        (48, 29) != (55, 29), 0x0000_a000;
        (50, 6) == (51, 1), 0x0004_1000;
        (53, 4) == (56, 29), 0x0220_0000;
        (54, 4) == (57, 29), 0x0880_0000;
        (55, 4) == (58, 29), 0x1200_0000;
        (56, 4) == (59, 29), 0x2800_0000;
        (56, 29) == (57, 29), 0x0820_0000;
        (56, 29) != (59, 29), 0x0a00_0000;
        (57, 29) == (58, 29), 0x1080_0000;
        (58, 29) == (59, 29), 0x2200_0000;
        (60, 0) != (61, 5), 0x0001_0004;
        (61, 0) != (62, 5), 0x0002_0008;
        (61, 2) != (62, 7), 0x0004_0010;
        (62, 0) != (63, 5), 0x0008_0020;
        (63, 0) != (64, 5), 0x0010_0080;
        (63, 1) != (64, 6), 0x0001_0004;
        (35, 5) == (39, 30), 0x0000_4000;
        (35, 30) != (40, 28), 0x0010_0000;
        (36, 0) != (41, 30), 0x0040_0000;
        (36, 3) == (40, 28), 0x0010_0000;
        (36, 4) != (37, 4), 0x0000_0800;
        (36, 30) != (41, 28), 0x0020_0000;
        (37, 0) != (42, 30), 0x0100_0000;
        (37, 1) == (37, 6), 0x0000_4000;
        (37, 3) == (41, 28), 0x0020_0000;
        (37, 4) != (38, 4), 0x0000_2000;
        (37, 5) == (41, 30), 0x0040_0000;
        (37, 30) != (42, 28), 0x0080_0000;
        (38, 0) != (43, 30), 0x0400_0000;
        (38, 1) != (40, 1), 0x0000_0400;
        (38, 3) == (42, 28), 0x0080_0000;
        (38, 4) != (39, 4), 0x0000_8000;
        (38, 5) == (42, 30), 0x0100_0000;
        (38, 30) != (43, 28), 0x0200_0000;
        (39, 3) == (43, 28), 0x0200_0000;
        (39, 5) == (43, 30), 0x0400_0000;
        (39, 6) == (40, 1), 0x0000_0400;
        (39, 30) != (44, 28), 0x0800_0000;
        (40, 3) == (44, 28), 0x0800_0000;
        (40, 4) == (44, 29), 0x0800_0000;
        (40, 6) == (42, 6), 0x0000_0010;
        (41, 3) == (45, 28), 0x1000_0000;
        (41, 4) == (45, 29), 0x1000_0000;
        (41, 6) == (43, 6), 0x0000_0040;
        (42, 1) != (50, 1), 0x0000_0400;
        (42, 3) == (46, 28), 0x2000_0000;
        (42, 4) == (46, 29), 0x2000_0000;
        (43, 1) != (51, 1), 0x0000_1000;
        (43, 3) == (47, 28), 0x4000_0000;
        (43, 4) == (47, 29), 0x4000_0000;
        (44, 3) == (48, 28), 0x8000_0000;
        (44, 4) == (48, 29), 0x8000_0000;
        (45, 1) != (47, 1), 0x0100_0000;
        (45, 6) == (46, 1), 0x0040_0000;
        (46, 1) != (48, 1), 0x0400_0000;
        (47, 1) != (51, 1), 0x0004_0000;
        (48, 6) == (49, 1), 0x0000_0100;
        (49, 6) == (50, 1), 0x0000_0400;
        (49, 6) == (51, 6), 0x0000_4000;
        (50, 1) != (54, 1), 0x0040_0000;
        (51, 1) != (55, 1), 0x0100_0000;
        (51, 6) == (52, 1), 0x0000_4000;
        (51, 6) == (53, 6), 0x0040_0000;
        (52, 1) != (56, 1), 0x0400_0000;
        (52, 6) == (54, 6), 0x0100_0000;
        (53, 6) == (54, 1), 0x0040_0000;
        (53, 6) == (55, 6), 0x0400_0000;
        (54, 6) == (55, 1), 0x0100_0000;
        (55, 6) == (56, 1), 0x0400_0000;
        (55, 29) != (58, 29), 0x0080_0000;
        (57, 4) == (59, 29), 0x4000_0000;
        (57, 4) == (61, 29), 0x1000_0000;
        (58, 0) != (63, 30), 0x0000_0001;
        (58, 4) == (62, 29), 0x2000_0000;
        (58, 29) != (61, 29), 0x1000_0000;
        (59, 0) != (64, 30), 0x0000_0002;
        (59, 4) == (63, 29), 0x4000_0000;
        (59, 5) == (63, 30), 0x0000_0001;
        (59, 29) == (60, 29), 0x0800_0000;
        (60, 4) == (64, 29), 0x8000_0000;
        (60, 5) == (64, 30), 0x0000_0002;
        (61, 1) != (62, 6), 0x0000_0001;
        (62, 1) != (63, 6), 0x0000_0002;
        (62, 2) != (63, 7), 0x0000_0040;
        (63, 2) != (64, 7), 0x0000_0100;
    }
    refuted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks made by xorshift, which say the same everywhere.
    fn blocks(count: usize) -> Vec<Block> {
        let mut state = 88_172_645_463_325_252_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.wrapping_mul(0x2545_f491_4f6c_dd1d)
        };
        let mut block = || {
            let mut block = [0; 64];
            block
                .chunks_exact_mut(8)
                .for_each(|bytes| bytes.copy_from_slice(&next().to_le_bytes()));
            block
        };
        (0..count).map(|_| block()).collect()
    }

    fn folded(suspects: impl Iterator<Item = u32>) -> u64 {
        suspects.fold(0xcbf2_9ce4_8422_2325, |sum, vectors| {
            (sum ^ u64::from(vectors)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    /// What the authors' own program says of the same blocks, of which 1,879 are suspect.
    const OF_THE_AUTHORS: u64 = 0xfd79_6660_af44_d933;

    #[test]
    fn verdicts_are_those_of_the_authors() {
        let blocks = blocks(40_000);
        let verdicts = blocks.chunks(LANES).flat_map(suspects).take(blocks.len());
        assert_eq!(folded(verdicts), OF_THE_AUTHORS);
    }

    #[test]
    fn a_verdict_does_not_depend_on_the_lane() {
        let blocks = blocks(3000);
        let alone: Vec<u32> =
            blocks.iter().map(|block| judge_all::<Portable<1>>(&[*block])[0]).collect();
        assert!(alone.iter().any(|&vectors| vectors != 0));
        for count in 1..=LANES {
            for (group, alone) in blocks.chunks_exact(count).zip(alone.chunks_exact(count)) {
                assert_eq!(suspects(group)[..count], *alone);
                assert_eq!(judge_all::<Portable<4>>(group)[..count], *alone);
                assert_eq!(judge_all::<Portable<8>>(group)[..count], *alone);
            }
        }
    }
}
