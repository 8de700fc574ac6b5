//! Side-band packets, many to a chunk.

use std::sync::Arc;

use super::chunk::{Chunk, LentFile};
use crate::source::SourceError;

/// Bytes of a buffer before it is handed on; also the size of a bare one. So much stays in the
/// processor's caches until it is sent.
const CHUNK: usize = 128 << 10;
/// The same for bytes that come slowly, because they are hashed on the way, while no other pack is
/// made: whoever sends waits for each buffer, and to wake it costs more than the caches bring. Beside
/// others there is always a buffer to be sent, and small ones take less memory.
const SLOW_CHUNK: usize = 512 << 10;
/// The same for a chunk that files lend: it takes no memory.
const LENT_CHUNK: usize = 512 << 10;

/// Fewer bytes are copied where they could be lent: two system calls cost as much.
pub(super) const LEND_FROM: usize = 16 << 10;

/// Bytes in memory of a chunk that is lent but for the heads of its packets.
const HEADS: usize = 64;

/// Length digits and band number in front of a packet's data.
const HEAD: usize = 5;

/// Pack data.
pub(super) const BAND_DATA: u8 = 1;
/// Progress for a person.
pub(super) const BAND_PROGRESS: u8 = 2;

/// Packs bytes into packets, and packets into chunks that go to `sink`.
pub(super) struct Framer<S> {
    /// The most data a packet holds; 0: no packets.
    max_data: usize,
    band_limit: usize,
    /// The most bytes of this chunk that are in memory, about.
    chunk: usize,
    /// And of the next ones.
    next_chunk: usize,
    filling: Chunk,
    /// The packet that is not full.
    open: Option<OpenPacket>,
    may_lend: bool,
    sink: S,
}

#[derive(Clone, Copy)]
struct OpenPacket {
    /// Where its head is, in the chunk's own bytes.
    head: usize,
    /// Bytes of its data so far.
    len: usize,
}

impl<S: FnMut(Chunk) -> Result<(), SourceError>> Framer<S> {
    /// `band_limit` as in [`super::StreamOptions`].
    pub(super) fn new(band_limit: usize, sink: S) -> Self {
        let max_data = band_limit.saturating_sub(HEAD);
        let chunk = whole_packets(CHUNK, band_limit);
        let (next_chunk, filling) = (CHUNK, Chunk::default());
        let (open, may_lend) = (None, false);
        Self { max_data, band_limit, chunk, next_chunk, filling, open, may_lend, sink }
    }

    /// The sink takes what is lent, too. Short packets are copied all the same.
    pub(super) fn lending(mut self) -> Self {
        self.may_lend = self.max_data == 0 || self.max_data >= LEND_FROM;
        self
    }

    /// May [`Framer::lend`] be called?
    pub(super) fn may_lend(&self) -> bool {
        self.may_lend
    }

    /// From the next buffer on, bytes come slowly. `is_alone`: no other pack is made beside this one.
    pub(super) fn slow(&mut self, is_alone: bool) {
        self.next_chunk = if is_alone { SLOW_CHUNK } else { CHUNK };
    }

    /// Pack bytes.
    pub(super) fn data(&mut self, mut bytes: &[u8]) -> Result<(), SourceError> {
        while !bytes.is_empty() {
            let room = self.room(0)?;
            self.reserve(if bytes.len() < 4096 { 8192 } else { room });
            let count = self.room_in_packet(room).min(bytes.len());
            let (now, later) = bytes.split_at(count);
            self.filling.own().extend_from_slice(now);
            self.went(count);
            bytes = later;
        }
        Ok(())
    }

    /// Pack bytes of a file, which are neither read nor copied here.
    pub(super) fn lend(
        &mut self,
        file: &Arc<LentFile>,
        mut start: u64,
        mut len: usize,
    ) -> Result<(), SourceError> {
        while len > 0 {
            let room = self.room(whole_packets(LENT_CHUNK, self.band_limit))?;
            self.reserve(HEADS);
            let count = self.room_in_packet(room).min(len);
            self.filling.lend(file, start, count);
            self.went(count);
            start += count as u64;
            len -= count;
        }
        Ok(())
    }

    /// Packets of another band; nothing without bands.
    pub(super) fn message(&mut self, band: u8, text: &[u8]) {
        self.close();
        packets(self.max_data, band, text, self.filling.own());
    }

    /// Hands on what there is.
    pub(super) fn finish(&mut self) -> Result<(), SourceError> {
        self.close();
        if self.filling.is_empty() { Ok(()) } else { self.hand_on() }
    }

    /// Bytes that still go into the chunk, heads included; into a new one, when none do. Chunks have
    /// at least `least` bytes here.
    fn room(&mut self, least: usize) -> Result<usize, SourceError> {
        let head = if self.open.is_some() { 0 } else { HEAD };
        if self.filling.len() + head >= self.chunk.max(least) {
            self.hand_on()?;
        }
        Ok(self.chunk.max(least) - self.filling.len())
    }

    /// Memory for a chunk that has none.
    fn reserve(&mut self, count: usize) {
        let own = self.filling.own();
        if own.capacity() == 0 {
            own.reserve_exact(count);
        }
    }

    /// Opens a packet if none is; how much of its data goes into so much room.
    fn room_in_packet(&mut self, room: usize) -> usize {
        if self.max_data == 0 {
            return room;
        }
        let (open, room) = match self.open {
            Some(open) => (open, room),
            None => {
                let own = self.filling.own();
                let open = OpenPacket { head: own.len(), len: 0 };
                own.extend_from_slice(&[b'0', b'0', b'0', b'0', BAND_DATA]);
                (open, room - HEAD)
            }
        };
        self.open = Some(open);
        room.min(self.max_data - open.len)
    }

    /// So much went into the packet.
    fn went(&mut self, count: usize) {
        if let Some(open) = &mut self.open {
            open.len += count;
            if open.len == self.max_data {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        if let Some(OpenPacket { head, len }) = self.open.take() {
            self.filling.own()[head..head + 4].copy_from_slice(&length_digits(len + HEAD));
        }
    }

    fn hand_on(&mut self) -> Result<(), SourceError> {
        self.close();
        self.chunk = whole_packets(self.next_chunk, self.band_limit);
        (self.sink)(std::mem::take(&mut self.filling))
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

    fn in_memory(chunks: &[Chunk]) -> Vec<Vec<u8>> {
        chunks.iter().map(|chunk| chunk.to_bytes().unwrap()).collect()
    }

    /// All that travels on this band.
    fn band(packets: &[(u8, Vec<u8>)], wanted: u8) -> Vec<u8> {
        packets.iter().filter(|p| p.0 == wanted).flat_map(|p| p.1.clone()).collect()
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
                let chunks = in_memory(&chunks);
                let most = if slow.contains(&true) { SLOW_CHUNK } else { CHUNK };
                let first = chunks[0].len();
                assert!(first <= CHUNK + 2 * HEAD + 10);
                assert!(chunks.iter().all(|c| c.len() <= most + 2 * HEAD + 10));
                if band_limit == 0 {
                    assert!(chunks.concat() == data);
                    continue;
                }
                let packets = unframe(&chunks, band_limit);
                assert!(band(&packets, BAND_DATA) == data);
                assert_eq!(band(&packets, BAND_PROGRESS), b"first\nlast\n");
                // no packet is shorter than it need be, but around messages and ends of buffers
                let short = packets.iter().filter(|p| p.1.len() + HEAD < band_limit).count();
                assert!(short <= 2 + 2 * chunks.len(), "{short} of {}", packets.len());
            }
        }
    }

    #[test]
    fn packets_carry_what_files_lend() {
        let data: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &data).unwrap();
        let file = Arc::new(LentFile::new(Arc::new(file), "lent".to_owned()));
        // lent and copied by turns, of these lengths
        let turns: [&[usize]; 5] = [
            &[3_000_000],
            &[12, 2_000_000, 20],
            &[700_000, 300_000],
            &[5, 65_515, 9, 65_516],
            &[1],
        ];
        for (band_limit, lengths) in
            [0, 1000, 65520, 17].into_iter().flat_map(|limit| turns.map(|turn| (limit, turn)))
        {
            let data = if lengths == [1] { &data[..5000] } else { &data[..] };
            let mut chunks: Vec<Chunk> = Vec::new();
            let mut framer = Framer::new(band_limit, |chunk| {
                chunks.push(chunk);
                Ok(())
            });
            assert!(!framer.may_lend());
            framer = framer.lending();
            // a system call for each short packet would cost more than a copy
            assert_eq!(framer.may_lend(), [0, 65520].contains(&band_limit));
            let (mut at, mut lent) = (0, 0);
            for (nth, &len) in lengths.iter().cycle().enumerate() {
                if at == data.len() {
                    break;
                }
                let end = (at + len).min(data.len());
                if nth % 2 == 0 && lengths.len() > 1 {
                    framer.data(&data[at..end]).unwrap();
                } else {
                    framer.lend(&file, at as u64, end - at).unwrap();
                    lent += end - at;
                }
                framer.message(BAND_PROGRESS, b".");
                at = end;
            }
            framer.finish().unwrap();
            assert!(chunks.iter().all(|chunk| chunk.len() <= LENT_CHUNK + 1000));
            let own: usize = chunks.iter().map(|chunk| chunk.len() - chunk.lent_len()).sum();
            let bytes = in_memory(&chunks);
            if band_limit == 0 {
                assert!(bytes.concat() == data);
                assert_eq!(own, data.len() - lent);
                continue;
            }
            let packets = unframe(&bytes, band_limit);
            assert!(band(&packets, BAND_DATA) == data);
            // what is lent is not copied
            let messages = band(&packets, BAND_PROGRESS).len();
            assert_eq!(own, data.len() - lent + HEAD * packets.len() + messages);
        }
    }

    #[test]
    fn an_empty_stream_hands_on_nothing() {
        let mut framer = Framer::new(65520, |_| panic!("nothing to hand on"));
        framer.finish().unwrap();
    }
}
