//! One conversation over one connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::conversation::Conversation;
use crate::known::Known;
use crate::packets::{Differs, Expected, Packets, Seen};
use crate::socket::{keep_more, leave, quick};

/// How long a server may be silent. Generous: a slow server is to be measured, not given up.
const SILENCE: Duration = Duration::from_secs(300);

/// How long it may be so behind what looks like the end of an answer that should be longer.
const DOUBT: Duration = Duration::from_millis(100);

/// So many bytes of each answer are acknowledged at once; what is longer flows by itself.
const PROMPT: usize = 1 << 20;

/// What is said at once in fewer bytes leaves at once, too: it is one segment, and nothing that was
/// said before is unacknowledged when the answer to that is there.
const ONE_SEGMENT: usize = 1 << 10;

/// What one conversation cost.
pub struct Outcome {
    /// From connecting to the flush packet that ends the last answer.
    pub whole: Duration,
    /// From connecting to the first byte of data (band 1) of the last answer, or to its first byte.
    pub first: Duration,
    /// Bytes the server sent.
    pub bytes: u64,
}

enum Fault {
    /// A listing is not as long as it was before.
    Differs,
    Told(String),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Told(error.to_string())
    }
}

impl From<String> for Fault {
    fn from(told: String) -> Self {
        Self::Told(told)
    }
}

impl From<Differs> for Fault {
    fn from(_: Differs) -> Self {
        Self::Differs
    }
}

/// How the end of an answer is found.
enum Answer {
    Followed(Packets),
    Expected(Expected),
}

impl Answer {
    fn take(&mut self, piece: &[u8]) -> Result<Seen, Fault> {
        match self {
            Self::Followed(packets) => Ok(packets.take(piece)?),
            Self::Expected(expected) => Ok(expected.take(piece)?),
        }
    }

    fn data_seen(&self) -> bool {
        matches!(self, Self::Followed(packets) if packets.data_seen)
    }
}

/// What comes next. Where it may be that nothing does, that is found out.
fn read(stream: &mut TcpStream, buffer: &mut [u8], in_doubt: bool) -> Result<usize, Fault> {
    if !in_doubt {
        return Ok(stream.read(buffer)?);
    }
    stream.set_read_timeout(Some(DOUBT))?;
    let read = stream.read(buffer);
    stream.set_read_timeout(Some(SILENCE))?;
    match read {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Err(Fault::Differs)
        }
        other => Ok(other?),
    }
}

/// Says every turn, reads every answer, hangs up and waits for the server to do so too.
///
/// `known`: of this conversation; more is learnt. `keep` is given every piece that the server sent,
/// with the number of the turn it answers; where a listing is not as long as was learnt, everything
/// is asked again, and given again.
pub fn replay(
    address: SocketAddr,
    conversation: &Conversation,
    known: &Known,
    buffer: &mut [u8],
    keep: &mut dyn FnMut(usize, &[u8]) -> std::io::Result<()>,
) -> Result<Outcome, String> {
    let began = Instant::now();
    let mut talk = |trusts| talk(began, address, conversation, known, trusts, buffer, keep);
    match talk(true) {
        Err(Fault::Differs) => talk(false),
        other => other,
    }
    .map_err(|fault| match fault {
        Fault::Differs => "a listing of two lengths".into(),
        Fault::Told(told) => told,
    })
}

fn talk(
    began: Instant,
    address: SocketAddr,
    conversation: &Conversation,
    known: &Known,
    trusts: bool,
    buffer: &mut [u8],
    keep: &mut dyn FnMut(usize, &[u8]) -> std::io::Result<()>,
) -> Result<Outcome, Fault> {
    let mut stream = TcpStream::connect(address)?;
    if conversation.longest() > ONE_SEGMENT {
        stream.set_nodelay(true)?;
    }
    stream.set_read_timeout(Some(SILENCE))?;
    if known.may_be_long() {
        keep_more(&stream);
    }
    let mut bytes = 0;
    let mut first = Duration::ZERO;
    for (number, turn) in conversation.turns.iter().enumerate() {
        stream.write_all(turn)?;
        let mut answer = match known.listing(number).filter(|_| trusts) {
            Some(length) => Answer::Expected(Expected::new(length)),
            None => Answer::Followed(Packets::new()),
        };
        let mut data_seen = false;
        let mut answered = 0;
        let mut seen = Seen::More;
        while seen != Seen::Flush {
            // what comes in one piece is acknowledged with what we say next
            if (1..PROMPT).contains(&answered) {
                quick(&stream)?;
            }
            let count = read(&mut stream, buffer, seen == Seen::Perhaps)?;
            if count == 0 {
                return Err("the server hung up in the middle of an answer".to_owned().into());
            }
            keep(number, &buffer[..count])?;
            seen = answer.take(&buffer[..count])?;
            if answered == 0 || (answer.data_seen() && !data_seen) {
                first = began.elapsed();
            }
            answered += count;
            data_seen = answer.data_seen();
        }
        known.learn_listing(number, answered as u64);
        bytes += answered as u64;
    }
    let whole = began.elapsed();
    known.learn_all(bytes);
    // The server may have gone already, after a push.
    if leave(&stream, &conversation.farewell).is_ok() {
        while stream.read(buffer).is_ok_and(|count| count > 0) {}
    }
    Ok(Outcome { whole, first, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const HELLO: &[u8] = b"0020git-upload-pack /a\0version=2";
    const ASKED: &[u8] = b"0014command=ls-refs\n0000";
    const FAREWELL: &[u8] = b"0000";

    fn asked() -> Conversation {
        let turns = vec![HELLO.to_vec(), ASKED.to_vec()];
        Conversation { turns, farewell: FAREWELL.to_vec() }
    }

    /// Serves one connection for each listing given, each in pieces, and says what was said last.
    fn serve(listings: &[&[&[u8]]], talk: impl FnOnce(SocketAddr)) -> Vec<Vec<u8>> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        std::thread::scope(|scope| {
            let server = scope.spawn(|| {
                let mut rests = Vec::new();
                for listing in listings {
                    let (mut client, _) = listener.accept().expect("one comes");
                    client.set_nodelay(true).expect("a socket");
                    let mut said = vec![0; HELLO.len()];
                    client.read_exact(&mut said).expect("the hello");
                    client.write_all(b"000eversion 2\n0000").expect("it is read");
                    let mut said = vec![0; ASKED.len()];
                    client.read_exact(&mut said).expect("the request");
                    // who finds another length than he knew goes at once
                    let _ = listing.iter().try_for_each(|piece| {
                        std::thread::sleep(Duration::from_millis(2));
                        client.write_all(piece)
                    });
                    let mut rest = Vec::new();
                    let _ = client.read_to_end(&mut rest);
                    rests.push(rest);
                }
                rests
            });
            talk(address);
            server.join().expect("no panic in a server")
        })
    }

    fn ask(address: SocketAddr, known: &Known) -> Result<u64, String> {
        let mut buffer = [0; 64];
        replay(address, &asked(), known, &mut buffer, &mut |_, _| Ok(()))
            .map(|outcome| outcome.bytes)
    }

    const ONE: &[u8] = b"000aref/a\n";
    const CAPABILITIES: u64 = 18;

    #[test]
    fn a_known_length_is_enough_and_the_farewell_is_said() {
        let known = Known::of(&asked());
        // the second is no pkt-line, which nobody looks at, and has a flush where no end is
        let listings: [&[&[u8]]; 2] = [&[ONE, ONE, b"0000"], &[b"xxxx0000", b"xxxxxxxxxxxx0000"]];
        let rests = serve(&listings, |address| {
            for _ in 0..2 {
                assert_eq!(ask(address, &known), Ok(CAPABILITIES + 24));
            }
        });
        assert_eq!(rests, [FAREWELL, FAREWELL]);
    }

    #[test]
    fn a_listing_of_another_length_is_asked_for_again_and_followed() {
        let known = Known::of(&asked());
        let longer: &[&[u8]] = &[ONE, ONE, b"0000"];
        let shorter: &[&[u8]] = &[ONE, b"0000"];
        let listings = [longer, shorter, shorter, shorter, longer, longer];
        serve(&listings, |address| {
            for refs in [2, 1, 1, 2] {
                assert_eq!(ask(address, &known), Ok(CAPABILITIES + 10 * refs + 4));
            }
        });
    }

    #[test]
    fn an_error_is_told_whatever_was_expected() {
        let known = Known::of(&asked());
        let gone: &[&[u8]] = &[b"000cERR gone", b"0000"];
        serve(&[&[ONE, b"0000"], gone, gone], |address| {
            assert_eq!(ask(address, &known), Ok(CAPABILITIES + 14));
            let told = ask(address, &known);
            assert!(told.is_err_and(|told| told.starts_with("ERR gone")));
        });
    }
}
