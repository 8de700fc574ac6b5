//! Where an answer ends.
//!
//! In: the pieces of an answer as they arrive. Out: whether that was all of it. [`Packets`] follows
//! pkt-lines (Git's `gitprotocol-common`) to the flush that no more bytes are behind; [`Expected`]
//! knows how long the answer has to be, and looks at the flush alone.

/// What a piece of the stream brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    More,
    Flush,
    /// It looks like the end, and does not come where it is expected.
    Perhaps,
}

const FLUSH: [u8; 4] = *b"0000";

/// What each byte is worth as a hexadecimal digit; more than 15 when it is none.
const DIGITS: [u8; 256] = {
    let mut worth = [0xff; 256];
    let mut digit = 0;
    while digit < 16 {
        worth[b"0123456789abcdef"[digit] as usize] = digit as u8;
        worth[b"0123456789ABCDEF"[digit] as usize] = digit as u8;
        digit += 1;
    }
    worth
};

/// The length that a packet begins with.
fn length(digits: [u8; 4]) -> Option<usize> {
    let worth = digits.map(|digit| usize::from(DIGITS[usize::from(digit)]));
    let [a, b, c, d] = worth;
    (a | b | c | d < 16).then_some(a << 12 | b << 8 | c << 4 | d)
}

/// Follows pkt-lines through a stream of bytes, without keeping them.
pub struct Packets {
    /// Of the packet's four-digit length, what has been seen.
    head: [u8; 4],
    head_filled: usize,
    /// Bytes of the packet still to come.
    left: usize,
    /// The next byte is the first of a packet's payload.
    at_start: bool,
    /// Something came on band 1.
    pub data_seen: bool,
}

impl Packets {
    pub fn new() -> Self {
        Self { head: [0; 4], head_filled: 0, left: 0, at_start: false, data_seen: false }
    }

    pub fn take(&mut self, mut piece: &[u8]) -> Result<Seen, String> {
        while !piece.is_empty() {
            if self.left > 0 {
                if self.at_start {
                    match piece[0] {
                        1 => self.data_seen = true,
                        3 => return Err(format!("band 3: {}", text(&piece[1..]))),
                        b'E' if piece.starts_with(b"ERR ") => return Err(text(piece)),
                        _ => {}
                    }
                    self.at_start = false;
                }
                let step = self.left.min(piece.len());
                self.left -= step;
                piece = &piece[step..];
                continue;
            }
            let digits = match (self.head_filled, piece.split_first_chunk::<4>()) {
                // of a long listing this is most of the work, so no byte is looked at by itself
                (0, Some((digits, rest))) => {
                    piece = rest;
                    *digits
                }
                _ => {
                    self.head[self.head_filled] = piece[0];
                    self.head_filled += 1;
                    piece = &piece[1..];
                    if self.head_filled < 4 {
                        continue;
                    }
                    self.head_filled = 0;
                    self.head
                }
            };
            match length(digits) {
                Some(0) if piece.is_empty() => return Ok(Seen::Flush),
                Some(0) => return Err("bytes behind a flush".into()),
                Some(1..=3) => {}
                Some(length) => {
                    self.left = length - 4;
                    self.at_start = self.left > 0;
                }
                None => return Err(format!("no pkt-line: {:?}", text(&digits))),
            }
        }
        Ok(Seen::More)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).trim_end().to_string()
}

/// It is not as long as it has to be, or does not end in a flush.
#[derive(Debug, PartialEq, Eq)]
pub struct Differs;

/// An answer that has been read in full before, and has to be as long as it was then.
pub struct Expected {
    left: u64,
    /// The last four bytes so far.
    tail: [u8; 4],
}

impl Expected {
    pub fn new(length: u64) -> Self {
        Self { left: length, tail: [0; 4] }
    }

    pub fn take(&mut self, piece: &[u8]) -> Result<Seen, Differs> {
        self.left = self.left.checked_sub(piece.len() as u64).ok_or(Differs)?;
        match piece.last_chunk::<4>() {
            Some(tail) => self.tail = *tail,
            None => {
                for byte in piece {
                    self.tail.rotate_left(1);
                    self.tail[3] = *byte;
                }
            }
        }
        match (self.left, self.tail == FLUSH) {
            (0, true) => Ok(Seen::Flush),
            (0, false) => Err(Differs),
            (_, true) => Ok(Seen::Perhaps),
            (_, false) => Ok(Seen::More),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"0008abcd0001000afghijk0000";

    /// What comes of the pieces, one after the other, up to the first that is the last.
    fn fed<E>(pieces: &[&[u8]], mut take: impl FnMut(&[u8]) -> Result<Seen, E>) -> Result<Seen, E> {
        let (last, first) = pieces.split_last().expect("a test gives some");
        for piece in first {
            assert!(matches!(take(piece), Ok(Seen::More)));
        }
        take(last)
    }

    fn parsed(pieces: &[&[u8]]) -> Result<Seen, String> {
        let mut packets = Packets::new();
        fed(pieces, |piece| packets.take(piece))
    }

    fn expected(length: u64, pieces: &[&[u8]]) -> Result<Seen, Differs> {
        let mut expected = Expected::new(length);
        fed(pieces, |piece| expected.take(piece))
    }

    #[test]
    fn both_find_the_end_however_the_stream_is_cut() {
        for at in 1..ANSWER.len() {
            let (one, two) = ANSWER.split_at(at);
            assert_eq!(parsed(&[one, two]), Ok(Seen::Flush), "cut at {at}");
            assert_eq!(expected(ANSWER.len() as u64, &[one, two]), Ok(Seen::Flush), "cut at {at}");
        }
        let bytes: Vec<&[u8]> = ANSWER.chunks(1).collect();
        assert_eq!(parsed(&bytes), Ok(Seen::Flush));
        assert_eq!(expected(ANSWER.len() as u64, &bytes), Ok(Seen::Flush));
    }

    #[test]
    fn what_is_wrong_in_a_packet_is_told() {
        assert!(parsed(&[b"0000x"]).is_err_and(|told| told.contains("behind a flush")));
        assert!(parsed(&[b"00zz"]).is_err_and(|told| told.contains("no pkt-line")));
        assert!(parsed(&[b"000cERR gone"]).is_err_and(|told| told == "ERR gone"));
        assert!(parsed(&[b"0009\x03gone"]).is_err_and(|told| told == "band 3: gone"));
    }

    #[test]
    fn the_first_band_is_noticed() {
        let mut packets = Packets::new();
        packets.take(b"0006\x02p").expect("well-formed");
        assert!(!packets.data_seen);
        packets.take(b"0006\x01d").expect("well-formed");
        assert!(packets.data_seen);
    }

    #[test]
    fn another_length_differs() {
        let length = ANSWER.len() as u64;
        assert_eq!(expected(length - 1, &[ANSWER]), Err(Differs), "longer");
        assert_eq!(expected(length + 1, &[ANSWER]), Ok(Seen::Perhaps), "shorter, or not all yet");
        assert_eq!(expected(length, &[&ANSWER[..22], b"000b"]), Err(Differs), "no flush");
    }
}
