//! Deflating a few bytes.
//!
//! Most deltas have less than a hundred bytes. A deflate state clears 128 KiB of tables before the
//! first of them, and builds codes of its own to find that those of the format (RFC 1951, 3.2.6)
//! serve as well. This one knows no others, and looks at one earlier place for each three bytes.

use super::adler32;

/// Up to so many bytes codes made for them seldom pay for their own description.
pub(super) const MOST: usize = 128;

/// The first two bytes of a stream, as every zlib writes them at its default level.
const HEADER: [u8; 2] = [0x78, 0x9c];

/// Heads of stored blocks: three bits, the rest of that byte, the length twice.
const STORED_HEAD: usize = 5;

const MIN_MATCH: usize = 3;
const BUCKETS: usize = 128;
const END_OF_BLOCK: u32 = 256;

/// Bits, the first one lowest.
struct Bits<'a> {
    out: &'a mut Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits<'_> {
    fn put(&mut self, value: u32, count: u32) {
        self.held |= u64::from(value) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.out.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    /// A Huffman code: its first bit is its highest.
    fn code(&mut self, code: u32, count: u32) {
        self.put(code.reverse_bits() >> (u32::BITS - count), count);
    }

    fn symbol(&mut self, symbol: u32) {
        match symbol {
            0..144 => self.code(0x30 + symbol, 8),
            144..256 => self.code(0x190 + symbol - 144, 9),
            256..280 => self.code(symbol - 256, 7),
            _ => self.code(0xc0 + symbol - 280, 8),
        }
    }

    /// Lengths of 3 to 258: eight without extra bits, then four for each number of these.
    fn length(&mut self, len: usize) {
        let over = (len - MIN_MATCH) as u32;
        if len == 258 {
            self.symbol(285);
        } else if over < 8 {
            self.symbol(257 + over);
        } else {
            let extra = over.ilog2() - 2;
            self.symbol(257 + 4 * extra + (over >> extra));
            self.put(over & ((1 << extra) - 1), extra);
        }
    }

    /// Distances from 1: four without extra bits, then two for each number of these.
    fn distance(&mut self, distance: usize) {
        let over = distance as u32 - 1;
        if over < 4 {
            self.code(over, 5);
        } else {
            let extra = over.ilog2() - 1;
            self.code(2 * extra + (over >> extra), 5);
            self.put(over & ((1 << extra) - 1), extra);
        }
    }

    fn end(mut self) {
        let rest = (8 - self.count % 8) % 8;
        self.put(0, rest);
    }
}

/// Appends `input`, of at most [`MOST`] bytes, as one whole stream.
pub(super) fn deflate(input: &[u8], out: &mut Vec<u8>) {
    debug_assert!(input.len() <= MOST);
    out.extend_from_slice(&HEADER);
    let start = out.len();
    with_given_codes(input, out);
    if out.len() - start > STORED_HEAD + input.len() {
        out.truncate(start);
        out.push(1); // the last block, stored
        let len = input.len() as u16;
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
        out.extend_from_slice(input);
    }
    out.extend_from_slice(&adler32(input).to_be_bytes());
}

fn with_given_codes(input: &[u8], out: &mut Vec<u8>) {
    let mut bits = Bits { out, held: 0, count: 0 };
    bits.put(0b011, 3); // the last block, with the format's own codes
    // place + 1 of the latest three bytes of each hash
    let mut latest = [0u8; BUCKETS];
    let mut at = 0;
    while at < input.len() {
        let before = match input.get(at..at + MIN_MATCH) {
            Some(three) => {
                let place = &mut latest[bucket(three)];
                usize::from(std::mem::replace(place, at as u8 + 1))
            }
            None => 0,
        };
        let len = match before.checked_sub(1) {
            Some(before) => {
                input[at..].iter().zip(&input[before..]).take_while(|(a, b)| a == b).count()
            }
            None => 0,
        };
        if len >= MIN_MATCH {
            bits.length(len);
            bits.distance(at + 1 - before);
            at += len;
        } else {
            bits.symbol(u32::from(input[at]));
            at += 1;
        }
    }
    bits.symbol(END_OF_BLOCK);
    bits.end();
}

fn bucket(three: &[u8]) -> usize {
    let word = three.iter().fold(0u32, |word, &byte| word << 8 | u32::from(byte));
    (word.wrapping_mul(0x9e37_79b1) >> 25) as usize % BUCKETS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zlib::{DEFAULT_LEVEL, Deflater, Inflater};
    use proptest::prelude::*;

    fn streams(input: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (mut ours, mut zlib) = (Vec::new(), Vec::new());
        deflate(input, &mut ours);
        let mut deflater = Deflater::new(DEFAULT_LEVEL);
        deflater.reset();
        deflater.push(input, true, &mut zlib);
        (ours, zlib)
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            input in proptest::collection::vec(any::<u8>(), 0..=MOST),
            alphabet in 1u8..=255,
        ) {
            let input: Vec<u8> = input.iter().map(|byte| byte % alphabet).collect();
            let mut packed = Vec::new();
            deflate(&input, &mut packed);
            let stream = packed.len();
            packed.extend_from_slice(b"what follows");
            let mut out = Vec::new();
            let took = Inflater::new().inflate_exact(&packed, input.len(), &mut out);
            prop_assert_eq!((took, out), (Ok(stream), input));
        }
    }

    #[test]
    fn every_length_and_distance_has_its_code() {
        for distance in 1..MOST {
            for len in 0..MOST - distance {
                let unlike = (0..distance).map(|nth| nth as u8);
                let input: Vec<u8> = unlike.cycle().take(distance + len).collect();
                let mut out = Vec::new();
                let took =
                    Inflater::new().inflate_exact(&streams_of(&input), input.len(), &mut out);
                assert!(took.is_ok() && out == input, "{len} bytes from {distance} before");
            }
        }
    }

    fn streams_of(input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        deflate(input, &mut out);
        out
    }

    #[test]
    fn it_is_no_longer_than_zlibs() {
        // a delta between trees, one between texts, a text, noise
        let noise: Vec<u8> = (0..40u32).map(|n| ((n * n * 7919) >> 5) as u8).collect();
        let samples: [&[u8]; 5] = [
            b"\xb3\x0c\xb3\x0c\xb0\x47\x14\x8a\x5b\x9e\x11\x90\xfe\x43\xa9\x01\x77\xc2\x93\x5f\x2c\x44\xd8\x06\xeb\xb3\x5b\xb2\x0a",
            b"\x90\x5a\x93\x5a\x90\x40\x1aint last_seen_count = 0;\n\xb3\x5a\x40\x10\x55",
            b"the same words, and then the same words, and once more the same words again",
            &noise,
            b"",
        ];
        let (mut ours, mut zlib) = (0, 0);
        for sample in samples {
            let (a, b) = streams(sample);
            assert!(a.len() <= b.len() + 4, "{} {}", a.len(), b.len());
            ours += a.len();
            zlib += b.len();
        }
        assert!(ours <= zlib + zlib / 50, "{ours} {zlib}");
    }
}
