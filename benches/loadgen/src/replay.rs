//! One conversation over one connection.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::conversation::Conversation;

/// How long a server may be silent. Generous: a slow server is to be measured, not given up.
const SILENCE: Duration = Duration::from_secs(300);

/// So many bytes of each answer are acknowledged at once; what is longer flows by itself.
const PROMPT: usize = 1 << 20;

/// What one conversation cost.
pub struct Outcome {
    /// From connecting to the flush packet that ends the last answer.
    pub whole: Duration,
    /// From connecting to the first byte of data (band 1) of the last answer, or to its first byte.
    pub first: Duration,
    /// Bytes the server sent.
    pub bytes: u64,
}

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
struct Packets {
    /// Of the packet's four-digit length, what has been seen.
    head: [u8; 4],
    head_filled: usize,
    /// Bytes of the packet still to come.
    left: usize,
    /// The next byte is the first of a packet's payload.
    at_start: bool,
    data_seen: bool,
}

/// What a piece of the stream brought.
#[derive(PartialEq, Eq)]
enum Seen {
    More,
    Flush,
}

impl Packets {
    fn new() -> Self {
        Self { head: [0; 4], head_filled: 0, left: 0, at_start: false, data_seen: false }
    }

    fn take(&mut self, mut piece: &[u8]) -> Result<Seen, String> {
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

/// Acknowledge at once. A server that leaves Nagle's algorithm on, as git does, would otherwise wait
/// for our delayed acknowledgement, 40 ms: that is no measure of a server.
#[cfg(target_os = "linux")]
fn quick(stream: &TcpStream) -> std::io::Result<()> {
    std::os::linux::net::TcpStreamExt::set_quickack(stream, true)
}

#[cfg(not(target_os = "linux"))]
fn quick(_: &TcpStream) -> std::io::Result<()> {
    Ok(())
}

/// Says every turn, reads every answer, hangs up and waits for the server to do so too.
///
/// `keep` is given every piece that the server sent, with the number of the turn it answers.
pub fn replay(
    address: SocketAddr,
    conversation: &Conversation,
    buffer: &mut [u8],
    keep: &mut dyn FnMut(usize, &[u8]) -> std::io::Result<()>,
) -> Result<Outcome, String> {
    let began = Instant::now();
    let io = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).map_err(io)?;
    stream.set_nodelay(true).map_err(io)?;
    stream.set_read_timeout(Some(SILENCE)).map_err(io)?;
    let mut bytes = 0;
    let mut first = Duration::ZERO;
    for (number, turn) in conversation.turns.iter().enumerate() {
        stream.write_all(turn).map_err(io)?;
        let mut packets = Packets::new();
        let mut byte_seen = false;
        let mut data_seen = false;
        let mut answered = 0;
        loop {
            if answered < PROMPT {
                quick(&stream).map_err(io)?;
            }
            let count = stream.read(buffer).map_err(io)?;
            if count == 0 {
                return Err("the server hung up in the middle of an answer".into());
            }
            keep(number, &buffer[..count]).map_err(io)?;
            bytes += count as u64;
            answered += count;
            let seen = packets.take(&buffer[..count])?;
            if !byte_seen || (packets.data_seen && !data_seen) {
                first = began.elapsed();
            }
            byte_seen = true;
            data_seen = packets.data_seen;
            if seen == Seen::Flush {
                break;
            }
        }
    }
    let whole = began.elapsed();
    // The server may have gone already, after a push.
    if stream.write_all(&conversation.farewell).is_ok() && stream.shutdown(Shutdown::Write).is_ok()
    {
        while stream.read(buffer).is_ok_and(|count| count > 0) {}
    }
    Ok(Outcome { whole, first, bytes })
}
