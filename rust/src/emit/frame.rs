//! Side-band packets, many to a buffer.

use crate::source::SourceError;

/// Bytes of a buffer before it is handed on; also the size of a bare one. So much stays in the
/// processor's caches until it is sent.
const CHUNK: usize = 128 << 10;
/// The same for bytes that come slowly, because they are hashed on the way, while no other pack is
/// made: whoever sends waits for each buffer, and to wake it costs more than the caches bring. Beside
/// others there is always a buffer to be sent, and small ones take less memory.
const SLOW_CHUNK: usize = 512 << 10;

/// Length digits and band number in front of a packet's data.
const HEAD: usize = 5;

/// Pack data.
pub(super) const BAND_DATA: u8 = 1;
/// Progress for a person.
pub(super) const BAND_PROGRESS: u8 = 2;

/// Packs bytes into packets, and packets into buffers that go to `sink`.
pub(super) struct Framer<S> {
    /// The most data a packet holds; 0: no packets.
    max_data: usize,
    band_limit: usize,
    chunk: usize,
    /// The size of the next buffers, about.
    next_chunk: usize,
    buffer: Vec<u8>,
    /// Where the open packet begins.
    open: Option<usize>,
    sink: S,
}

impl<S: FnMut(Vec<u8>) -> Result<(), SourceError>> Framer<S> {
    /// `band_limit` as in [`super::StreamOptions`].
    pub(super) fn new(band_limit: usize, sink: S) -> Self {
        let max_data = band_limit.saturating_sub(HEAD);
        let chunk = whole_packets(CHUNK, band_limit);
        let (next_chunk, buffer) = (CHUNK, Vec::new());
        Self { max_data, band_limit, chunk, next_chunk, buffer, open: None, sink }
    }

    /// From the next buffer on, bytes come slowly. `is_alone`: no other pack is made beside this one.
    pub(super) fn slow(&mut self, is_alone: bool) {
        self.next_chunk = if is_alone { SLOW_CHUNK } else { CHUNK };
    }

    /// Pack bytes.
    pub(super) fn data(&mut self, mut bytes: &[u8]) -> Result<(), SourceError> {
        while !bytes.is_empty() {
            if self.buffer.len() + HEAD >= self.chunk && self.open.is_none()
                || self.buffer.len() >= self.chunk
            {
                self.hand_on()?;
            }
            if self.buffer.capacity() == 0 {
                self.buffer.reserve_exact(if bytes.len() < 4096 { 8192 } else { self.chunk });
            }
            let mut room = self.chunk - self.buffer.len();
            if self.max_data > 0 {
                let start = match self.open {
                    Some(start) => start,
                    None => {
                        let start = self.buffer.len();
                        self.buffer.extend_from_slice(&[b'0', b'0', b'0', b'0', BAND_DATA]);
                        self.open = Some(start);
                        room -= HEAD;
                        start
                    }
                };
                room = room.min(self.max_data - (self.buffer.len() - start - HEAD));
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if now.len() == room {
                self.close();
            }
        }
        Ok(())
    }

    /// Packets of another band; nothing without bands.
    pub(super) fn message(&mut self, band: u8, text: &[u8]) {
        self.close();
        packets(self.max_data, band, text, &mut self.buffer);
    }

    /// Hands on what there is.
    pub(super) fn finish(&mut self) -> Result<(), SourceError> {
        self.close();
        if self.buffer.is_empty() { Ok(()) } else { self.hand_on() }
    }

    fn close(&mut self) {
        if let Some(start) = self.open.take() {
            let len = self.buffer.len() - start;
            self.buffer[start..start + 4].copy_from_slice(&length_digits(len));
        }
    }

    fn hand_on(&mut self) -> Result<(), SourceError> {
        self.close();
        self.chunk = whole_packets(self.next_chunk, self.band_limit);
        (self.sink)(std::mem::take(&mut self.buffer))
    }
}

/// The largest buffer within `bytes` that packets of this length fill exactly.
fn whole_packets(bytes: usize, band_limit: usize) -> usize {
    bytes.checked_div(band_limit).map_or(bytes, |packets| packets * band_limit).max(HEAD + 1)
}

/// Appends `text` as packets of this band, each as long as allowed.
pub(super) fn packets(max_data: usize, band: u8, text: &[u8], out: &mut Vec<u8>) {
    if max_data == 0 {
        return;
    }
    for piece in text.chunks(max_data) {
        out.extend_from_slice(&length_digits(piece.len() + HEAD));
        out.push(band);
        out.extend_from_slice(piece);
    }
}

/// The most data a packet of this length holds.
pub(super) const fn max_data(band_limit: usize) -> usize {
    band_limit.saturating_sub(HEAD)
}

fn length_digits(len: usize) -> [u8; 4] {
    let digit = |shift: usize| b"0123456789abcdef"[len >> shift & 15];
    [digit(12), digit(8), digit(4), digit(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes packets apart: (band, data), all of legal length.
    fn unframe(chunks: &[Vec<u8>], band_limit: usize) -> Vec<(u8, Vec<u8>)> {
        let mut out = Vec::new();
        for chunk in chunks {
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                let digits = std::str::from_utf8(&rest[..4]).unwrap();
                let len = usize::from_str_radix(digits, 16).unwrap();
                assert!(len > HEAD && len <= band_limit, "{len}");
                out.push((rest[4], rest[HEAD..len].to_vec()));
                rest = &rest[len..];
            }
        }
        out
    }

    #[test]
    fn packets_carry_what_was_written() {
        let data: Vec<u8> = (0..1_500_000u32).map(|i| (i % 253) as u8).collect();
        for band_limit in [0, 1000, 65520, 17] {
            let pieces = [1, 7, 995, 996, 65_515, 65_516, 400_000];
            // never slow, slow alone, beside others, and while these come and go
            let speeds: [&[bool]; 4] = [&[], &[true], &[false], &[true, false]];
            for (piece, slow) in
                pieces.into_iter().flat_map(|piece| speeds.map(|slow| (piece, slow)))
            {
                let data = if piece < 100 { &data[..20_000] } else { &data[..] };
                let mut chunks = Vec::new();
                let mut framer = Framer::new(band_limit, |chunk| {
                    chunks.push(chunk);
                    Ok(())
                });
                framer.message(BAND_PROGRESS, b"first\n");
                for (nth, piece) in data.chunks(piece).enumerate() {
                    if !slow.is_empty() {
                        framer.slow(slow[nth % slow.len()]);
                    }
                    framer.data(piece).unwrap();
                }
                framer.message(BAND_PROGRESS, b"last\n");
                framer.finish().unwrap();
                let most = if slow.contains(&true) { SLOW_CHUNK } else { CHUNK };
                let first = chunks[0].len();
                assert!(first <= CHUNK + 2 * HEAD + 10);
                assert!(chunks.iter().all(|c| c.len() <= most + 2 * HEAD + 10));
                if band_limit == 0 {
                    assert!(chunks.concat() == data);
                    continue;
                }
                let packets = unframe(&chunks, band_limit);
                let band = |wanted: u8| -> Vec<u8> {
                    packets.iter().filter(|p| p.0 == wanted).flat_map(|p| p.1.clone()).collect()
                };
                assert!(band(BAND_DATA) == data);
                assert_eq!(band(BAND_PROGRESS), b"first\nlast\n");
                // no packet is shorter than it need be, but around messages and ends of buffers
                let short = packets.iter().filter(|p| p.1.len() + HEAD < band_limit).count();
                assert!(short <= 2 + 2 * chunks.len(), "{short} of {}", packets.len());
            }
        }
    }

    #[test]
    fn an_empty_stream_hands_on_nothing() {
        let mut framer = Framer::new(65520, |_| panic!("nothing to hand on"));
        framer.finish().unwrap();
    }
}
