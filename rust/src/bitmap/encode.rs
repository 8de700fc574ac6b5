//! Bitmaps to EWAH, for files (`gitformat-bitmap`, "Appendix A").

use super::Bits;

/// The most that a chunk's head can count: of repeated words, and of words as they are.
const MAX_RUN: u64 = u32::MAX as u64;
const MAX_LITERALS: u64 = (1 << 31) - 1;

/// Appends the encoding of `bits`.
pub(crate) fn encode(bits: &Bits, out: &mut Vec<u8>) {
    encode_words(bits.words().iter().copied(), bits.len(), out);
}

/// Appends the shortest of the encoding of `bits` and those of how it differs from one of `before`,
/// the nearest first; how far away that is, 0 for none.
pub(crate) fn encode_shortest<'a>(
    bits: &Bits,
    before: impl Iterator<Item = &'a Bits>,
    out: &mut Vec<u8>,
) -> u8 {
    let mut best = Vec::new();
    encode(bits, &mut best);
    let (mut distance, mut trial) = (0, Vec::new());
    for (at, base) in (1..=u8::MAX).zip(before) {
        trial.clear();
        let words = bits.words().iter().zip(base.words()).map(|(word, base)| word ^ base);
        encode_words(words, bits.len(), &mut trial);
        if trial.len() < best.len() {
            std::mem::swap(&mut best, &mut trial);
            distance = at;
        }
    }
    out.extend_from_slice(&best);
    distance
}

fn encode_words(words: impl Iterator<Item = u64>, len: u32, out: &mut Vec<u8>) {
    out.extend(len.to_be_bytes());
    let count_at = out.len();
    out.extend([0; 4]);
    let start = out.len();
    let mut chunk = Chunk::begin(out);
    for word in words {
        let full = word == u64::MAX;
        let goes_on =
            chunk.literals == 0 && chunk.run < MAX_RUN && (chunk.run == 0 || chunk.ones == full);
        if (word == 0 || full) && goes_on {
            (chunk.ones, chunk.run) = (full, chunk.run + 1);
            continue;
        }
        if word == 0 || full {
            chunk.end(out);
            chunk = Chunk::begin(out);
            (chunk.ones, chunk.run) = (full, 1);
            continue;
        }
        if chunk.literals == MAX_LITERALS {
            chunk.end(out);
            chunk = Chunk::begin(out);
        }
        chunk.literals += 1;
        out.extend(word.to_be_bytes());
    }
    let last = (chunk.at - start) / 8;
    chunk.end(out);
    let count = ((out.len() - start) / 8) as u32; // no more words than objects, nearly
    out[count_at..start].copy_from_slice(&count.to_be_bytes());
    out.extend((last as u32).to_be_bytes());
}

/// A run of equal words, and the words behind it.
struct Chunk {
    /// Where its head is.
    at: usize,
    ones: bool,
    run: u64,
    literals: u64,
}

impl Chunk {
    fn begin(out: &mut Vec<u8>) -> Self {
        let at = out.len();
        out.extend([0; 8]);
        Self { at, ones: false, run: 0, literals: 0 }
    }

    fn end(&self, out: &mut [u8]) {
        let head = u64::from(self.ones) | self.run << 1 | self.literals << 33;
        out[self.at..self.at + 8].copy_from_slice(&head.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::ewah::{Ewah, Into};
    use super::*;
    use proptest::prelude::*;

    fn bits() -> impl Strategy<Value = Bits> {
        let word = prop_oneof![Just(0), Just(u64::MAX), any::<u64>()];
        let run = (word, 1usize..5).prop_map(|(word, times)| vec![word; times]);
        proptest::collection::vec(run, 0..12).prop_map(|runs| {
            let words = runs.concat();
            let mut bits = Bits::new(words.len() as u32 * 64);
            bits.words_mut().copy_from_slice(&words);
            bits
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(bits in bits(), other in bits()) {
            let mut data = Vec::new();
            encode(&bits, &mut data);
            let words = bits.words().len();
            let (ewah, len) = Ewah::split(&data, words).unwrap();
            prop_assert_eq!(len, data.len());
            let mut out = vec![0; words];
            ewah.apply(&mut out, Into::Or);
            prop_assert_eq!(&out[..], bits.words());
            // where the last chunk begins: nothing follows what it counts
            let last = u32::from_be_bytes(*data[data.len() - 4..].first_chunk().unwrap()) as usize;
            let head = u64::from_be_bytes(*data[8 + last * 8..].first_chunk().unwrap());
            prop_assert_eq!(8 + (last + 1 + (head >> 33) as usize) * 8, data.len() - 4);
            // the same as wide, so that they can be told apart
            let mut base = other.clone();
            base.grow(bits.len());
            let mut data = Vec::new();
            let distance = encode_shortest(&bits, [&base, &bits].into_iter(), &mut data);
            let (ewah, _) = Ewah::split(&data, words).unwrap();
            let mut out = match distance {
                0 => vec![0; words],
                1 => base.words().to_vec(),
                _ => bits.words().to_vec(),
            };
            ewah.apply(&mut out, Into::Xor);
            prop_assert_eq!(&out[..], bits.words());
        }
    }
}
