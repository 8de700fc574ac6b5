//! Inflating and deflating with states that are reset, never rebuilt.
//!
//! Most packed objects are smaller than the state it takes to inflate them, so the state is
//! made once a thread and used again (RFC 1950 streams, as in packs and loose objects).

mod small;

use std::mem::MaybeUninit;

use zlib_rs::{DeflateFlush, InflateFlush, Status};

/// What can be wrong with a deflated stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ZlibError {
    /// The bytes are no zlib stream.
    #[error("corrupt zlib stream")]
    Corrupt,
    /// The stream ends before its end marker.
    #[error("zlib stream is cut off")]
    Truncated,
    /// The stream holds more or fewer bytes than its header promised.
    #[error("zlib stream inflates to another size than recorded")]
    WrongSize,
}

/// One step of an incremental inflation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes taken from the input.
    pub consumed: usize,
    /// Bytes written to the output.
    pub produced: usize,
    /// The end marker and checksum were read.
    pub done: bool,
}

/// Room beyond the end of an object: with less than 260 bytes to go zlib-rs decodes symbol by
/// symbol with all its checks, which for small objects would be all of the time.
const SLACK: usize = 288;

/// A reusable inflater.
pub struct Inflater {
    state: zlib_rs::Inflate,
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflater {
    /// A fresh state: about 40 KB, so keep it.
    pub fn new() -> Self {
        Self { state: zlib_rs::Inflate::new(true, 15) }
    }

    /// Forgets the current stream.
    pub fn reset(&mut self) {
        self.state.reset(true);
    }

    /// Takes what it can from `input`, writes what fits into `output`.
    ///
    /// Call [`Inflater::reset`] before the first step of each stream.
    pub fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, ZlibError> {
        // SAFETY: what is initialised may be taken for what need not be, as long as nothing
        // uninitialised is written to it, and the inflater writes only bytes.
        let output = unsafe { &mut *(std::ptr::from_mut(output) as *mut [MaybeUninit<u8>]) };
        self.step_uninit(input, output)
    }

    /// As [`Inflater::step`]: the first `produced` bytes of `output` are then initialised.
    fn step_uninit(
        &mut self,
        input: &[u8],
        output: &mut [MaybeUninit<u8>],
    ) -> Result<Step, ZlibError> {
        let (before_in, before_out) = (self.state.total_in(), self.state.total_out());
        let status = self
            .state
            .decompress_uninit(input, output, InflateFlush::NoFlush)
            .map_err(|_| ZlibError::Corrupt)?;
        Ok(Step {
            consumed: (self.state.total_in() - before_in) as usize,
            produced: (self.state.total_out() - before_out) as usize,
            done: matches!(status, Status::StreamEnd),
        })
    }

    /// Inflates one whole stream of exactly `size` bytes onto the end of `out`.
    ///
    /// Returns how many bytes of `input` the stream took. The stream is never given room for more
    /// than `size` bytes and a few, so a bomb costs what its header admitted to.
    pub fn inflate_exact(
        &mut self,
        input: &[u8],
        size: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, ZlibError> {
        self.reset();
        let start = out.len();
        out.reserve(size + SLACK);
        let room = &mut out.spare_capacity_mut()[..size + SLACK];
        let (mut consumed, mut produced) = (0, 0);
        loop {
            let step = self.step_uninit(&input[consumed..], &mut room[produced..])?;
            consumed += step.consumed;
            produced += step.produced;
            if produced > size || (step.done && produced != size) {
                return Err(ZlibError::WrongSize);
            }
            if step.done {
                break;
            }
            if step.consumed == 0 && step.produced == 0 {
                return Err(ZlibError::Truncated);
            }
        }
        // SAFETY: the inflater wrote the first `produced` bytes of the spare capacity, and
        // `produced` is `size`.
        unsafe { out.set_len(start + size) };
        Ok(consumed)
    }

    /// Inflates the first bytes of a stream, at most `out.len()`; returns how many there are.
    pub fn inflate_prefix(&mut self, input: &[u8], out: &mut [u8]) -> Result<usize, ZlibError> {
        self.reset();
        let (mut consumed, mut produced) = (0, 0);
        while produced < out.len() {
            let step = self.step(&input[consumed..], &mut out[produced..])?;
            consumed += step.consumed;
            produced += step.produced;
            if step.done || (step.consumed == 0 && step.produced == 0) {
                break;
            }
        }
        Ok(produced)
    }
}

/// A reusable deflater.
pub struct Deflater {
    state: zlib_rs::Deflate,
    level: i32,
}

/// Git's own default for packs.
pub const DEFAULT_LEVEL: i32 = 6;

impl Deflater {
    /// A fresh state for this compression level (0 to 9): about 260 KB, so keep it.
    pub fn new(level: i32) -> Self {
        let level = level.clamp(0, 9);
        Self { state: zlib_rs::Deflate::new(level, true, 15), level }
    }

    /// Forgets the current stream.
    pub fn reset(&mut self) {
        self.state.reset();
    }

    /// Deflates `input` as one whole stream onto the end of `out`.
    pub fn deflate_all(&mut self, input: &[u8], out: &mut Vec<u8>) {
        if input.len() <= small::MOST && self.level > 0 {
            return small::deflate(input, out);
        }
        self.reset();
        self.push(input, true, out);
    }

    /// Takes one more piece of a stream, appending what it yields to `out`.
    ///
    /// Call [`Deflater::reset`] before the first piece; `last` ends the stream.
    pub fn push(&mut self, mut input: &[u8], last: bool, out: &mut Vec<u8>) {
        let flush = if last { DeflateFlush::Finish } else { DeflateFlush::NoFlush };
        loop {
            let at = out.len();
            out.resize(at + (input.len() / 2).clamp(64, 64 * 1024), 0);
            let (before_in, before_out) = (self.state.total_in(), self.state.total_out());
            let status = self
                .state
                .compress(input, &mut out[at..], flush)
                .expect("deflate fails only on a misused state, and this one is private");
            let consumed = (self.state.total_in() - before_in) as usize;
            let produced = (self.state.total_out() - before_out) as usize;
            let full = at + produced == out.len();
            out.truncate(at + produced);
            input = &input[consumed..];
            let done =
                if last { matches!(status, Status::StreamEnd) } else { input.is_empty() && !full };
            if done {
                return;
            }
        }
    }
}

/// The checksum at the end of a stream.
fn adler32(data: &[u8]) -> u32 {
    zlib_rs::adler32::adler32(1, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let (mut deflater, mut inflater) = (Deflater::new(DEFAULT_LEVEL), Inflater::new());
        for size in [0usize, 1, 63, 64, 65, 1000, 100_000, 1_000_000] {
            let data: Vec<u8> = (0..size).map(|i| ((i * i) >> 7) as u8).collect();
            let mut packed = Vec::new();
            deflater.deflate_all(&data, &mut packed);
            packed.extend_from_slice(b"what follows");
            let mut out = b"before".to_vec();
            let took = inflater.inflate_exact(&packed, size, &mut out).unwrap();
            assert_eq!(took, packed.len() - 12);
            assert_eq!(&out[6..], &data);
            if size > 0 {
                assert_eq!(
                    inflater.inflate_exact(&packed, size - 1, &mut Vec::new()),
                    Err(ZlibError::WrongSize)
                );
            }
            assert_eq!(
                inflater.inflate_exact(&packed, size + 1, &mut Vec::new()),
                Err(ZlibError::WrongSize)
            );
            assert_eq!(
                inflater.inflate_exact(&packed[..took - 1], size, &mut Vec::new()),
                Err(ZlibError::Truncated)
            );
        }
    }

    #[test]
    fn pieces_make_the_same_stream() {
        let data: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
        let (mut deflater, mut packed) = (Deflater::new(1), Vec::new());
        deflater.reset();
        for piece in data.chunks(7001) {
            deflater.push(piece, false, &mut packed);
        }
        deflater.push(&[], true, &mut packed);
        let mut out = Vec::new();
        Inflater::new().inflate_exact(&packed, data.len(), &mut out).unwrap();
        assert_eq!(out, data);
    }
}
