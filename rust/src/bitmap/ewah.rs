//! EWAH, the run-length encoding of bitmaps (`gitformat-bitmap`, "Appendix A").
//!
//! A bitmap is a list of chunks: a word that says how often the same word of all zeros or all
//! ones repeats and how many words follow as they are, then these.

/// Number of bits, number of words: before the words; place of the last run: behind them.
const HEAD_LEN: usize = 8;
const FOOT_LEN: usize = 4;

/// The words of one encoded bitmap, checked: it decodes within the width it was checked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ewah<'a>(&'a [u8]);

/// What to do with each word of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Into {
    Or,
    Xor,
}

impl<'a> Ewah<'a> {
    /// Splits one off the front of `data`; returns it and how many bytes it took.
    ///
    /// It must not decode to more than `words` words.
    pub(super) fn split(data: &'a [u8], words: usize) -> Result<(Self, usize), &'static str> {
        let cut_off = "bitmap is cut off";
        let head = data.get(..HEAD_LEN).ok_or(cut_off)?;
        let count = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let end = count.checked_mul(8).and_then(|len| len.checked_add(HEAD_LEN)).ok_or(cut_off)?;
        let body = data.get(HEAD_LEN..end).ok_or(cut_off)?;
        if data.len() - end < FOOT_LEN {
            return Err(cut_off);
        }
        let this = Self(body);
        this.check(words)?;
        Ok((this, end + FOOT_LEN))
    }

    /// From words that [`Ewah::split`] gave.
    pub(super) fn of_checked(body: &'a [u8]) -> Self {
        Self(body)
    }

    pub(super) fn body(&self) -> &'a [u8] {
        self.0
    }

    fn check(&self, words: usize) -> Result<(), &'static str> {
        let (mut at, mut decoded) = (0usize, 0u64);
        while let Some(head) = self.word(at) {
            let (_, run, literals) = split_head(head);
            decoded += run + literals;
            // a run of nothing is how an empty bitmap is written
            if decoded > words as u64 {
                return Err("bitmap has more bits than there are objects");
            }
            at += 1 + literals as usize;
        }
        if at > self.0.len() / 8 { Err("bitmap's last run is cut off") } else { Ok(()) }
    }

    #[inline]
    fn word(&self, at: usize) -> Option<u64> {
        self.0.get(at * 8..)?.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
    }

    /// Decodes into words, of which there are at least as many as it was checked for.
    pub(super) fn apply(&self, words: &mut [u64], into: Into) {
        let (mut at, mut place) = (0usize, 0usize);
        while let Some(head) = self.word(at) {
            let (ones, run, literals) = split_head(head);
            let (run, literals) = (run as usize, literals as usize);
            if ones {
                let Some(target) = words.get_mut(place..place + run) else { return };
                match into {
                    Into::Or => target.fill(u64::MAX),
                    Into::Xor => target.iter_mut().for_each(|word| *word = !*word),
                }
            }
            place += run;
            at += 1;
            let Some(target) = words.get_mut(place..place + literals) else { return };
            let Some(source) = self.0.get(at * 8..(at + literals) * 8) else { return };
            for (word, bytes) in target.iter_mut().zip(source.as_chunks::<8>().0) {
                let literal = u64::from_be_bytes(*bytes);
                match into {
                    Into::Or => *word |= literal,
                    Into::Xor => *word ^= literal,
                }
            }
            place += literals;
            at += literals;
        }
    }
}

/// The repeated bit, how many words of it, and how many literal words follow.
#[inline]
fn split_head(head: u64) -> (bool, u64, u64) {
    (head & 1 != 0, head >> 1 & 0xffff_ffff, head >> 33)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An encoder in the plainest way, for tests.
    pub(crate) fn encode(words: &[u64]) -> Vec<u8> {
        let mut body: Vec<u64> = Vec::new();
        let mut rest = words;
        while let Some(&first) = rest.first() {
            let repeats = |word| rest.iter().take_while(|&&other| other == word).count();
            let (bit, run) = match first {
                0 => (0, repeats(0)),
                u64::MAX => (1, repeats(u64::MAX)),
                _ => (0, 0),
            };
            rest = &rest[run..];
            let literals = rest.iter().take_while(|&&word| word != 0 && word != u64::MAX).count();
            body.push(bit | (run as u64) << 1 | (literals as u64) << 33);
            body.extend(&rest[..literals]);
            rest = &rest[literals..];
        }
        let mut out = Vec::new();
        out.extend((words.len() as u32 * 64).to_be_bytes());
        out.extend((body.len() as u32).to_be_bytes());
        body.iter().for_each(|word| out.extend(word.to_be_bytes()));
        out.extend(0u32.to_be_bytes());
        out
    }

    fn words() -> impl Strategy<Value = Vec<u64>> {
        let word = prop_oneof![Just(0), Just(u64::MAX), any::<u64>()];
        let run = (word, 1usize..5).prop_map(|(word, times)| vec![word; times]);
        proptest::collection::vec(run, 0..12).prop_map(|runs| runs.concat())
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(words in words(), other in any::<u64>()) {
            let data = encode(&words);
            let (ewah, len) = Ewah::split(&data, words.len()).unwrap();
            prop_assert_eq!(len, data.len());
            let mut out = vec![0; words.len()];
            ewah.apply(&mut out, Into::Or);
            prop_assert_eq!(&out, &words);
            ewah.apply(&mut out, Into::Xor);
            prop_assert!(out.iter().all(|&word| word == 0));
            let mut out = vec![other; words.len()];
            Ewah::of_checked(ewah.body()).apply(&mut out, Into::Xor);
            prop_assert!(out.iter().zip(&words).all(|(out, word)| *out == word ^ other));
            if words.last().is_some_and(|_| words.len() > 1) {
                prop_assert!(Ewah::split(&data, words.len() - 1).is_err());
            }
            for cut in 0..data.len() {
                prop_assert!(Ewah::split(&data[..cut], words.len()).is_err());
            }
        }

        #[test]
        fn any_bytes_are_survived(
            body in proptest::collection::vec(any::<u64>(), 0..6), words in 0usize..100
        ) {
            let mut data = vec![0; 4];
            data.extend((body.len() as u32).to_be_bytes());
            body.iter().for_each(|word| data.extend((word & 0x0000_0007_0000_000f).to_be_bytes()));
            data.extend([0; 4]);
            if let Ok((ewah, _)) = Ewah::split(&data, words) {
                let mut out = vec![0; words];
                ewah.apply(&mut out, Into::Xor);
            }
        }
    }
}
