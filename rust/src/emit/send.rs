//! Chunks to sockets: bytes with send(2), what files lend with sendfile(2).
//!
//! In flows a chunk and how far it is; out it flows into a connected socket that blocks, and what went
//! wrong, as the socket's fault or the file's.

use std::io::{Error, ErrorKind};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;

use super::chunk::{Chunk, Lent, Piece};
use crate::source::SourceError;

/// Bytes of memory given to the kernel at once. Of more it copies megabytes before it looks what the
/// other end has taken meanwhile, and the other end reads what no processor's cache has any more.
const PIECE: usize = 256 << 10;

/// Why a chunk was not sent, or not wholly.
#[derive(Debug)]
pub enum SendError {
    /// The socket would not have it. `Interrupted`: to be gone on with, once signals have been looked
    /// at; `WouldBlock`: it took nothing for as long as it may.
    Socket(Error),
    /// What was lent cannot be read. Zeros went in its place, and the rest of the chunk, so that an
    /// error may follow behind whole packets.
    Source(SourceError),
}

/// How far a chunk is.
#[derive(Debug, Default)]
pub struct Sending {
    /// Bytes that the socket has taken.
    pub sent: usize,
    /// Why zeros go from here on.
    failure: Option<SourceError>,
}

impl Chunk {
    /// Sends what is not sent yet to a connected socket, and notes what it took, also when it fails.
    pub fn send(&self, socket: RawFd, sending: &mut Sending) -> Result<(), SendError> {
        if sending.failure.is_none() {
            match self.send_from(socket, &mut sending.sent, false) {
                Err(SendError::Source(error)) => sending.failure = Some(error),
                outcome => return outcome,
            }
        }
        self.send_from(socket, &mut sending.sent, true)?;
        sending.failure.take().map_or(Ok(()), |error| Err(SendError::Source(error)))
    }

    /// `in_zeros`: without what is lent.
    fn send_from(&self, socket: RawFd, sent: &mut usize, in_zeros: bool) -> Result<(), SendError> {
        let mut skipped = *sent;
        let mut pieces = self.pieces().peekable();
        while let Some(piece) = pieces.next() {
            let len = match piece {
                Piece::Own(own) => own.len(),
                Piece::Lent(lent) => lent.len,
            };
            if skipped >= len {
                skipped -= len;
                continue;
            }
            let within = std::mem::take(&mut skipped);
            match piece {
                Piece::Own(own) => {
                    send_bytes(socket, &own[within..], pieces.peek().is_some(), sent)?;
                }
                Piece::Lent(lent) if in_zeros => {
                    send_bytes(socket, &vec![0; lent.len - within], true, sent)?;
                }
                Piece::Lent(lent) => send_lent(socket, lent, within, sent)?,
            }
        }
        Ok(())
    }
}

/// Sends bytes to a connected socket, and counts what it took, also when it fails. `is_more`: what
/// follows comes at once, so that small pieces go with it.
pub fn send_bytes(
    socket: RawFd,
    mut bytes: &[u8],
    is_more: bool,
    sent: &mut usize,
) -> Result<(), SendError> {
    while !bytes.is_empty() {
        let count = bytes.len().min(PIECE);
        let flags = if is_more { MORE } else { 0 };
        // SAFETY: `bytes` is valid for `count` bytes, and is only read.
        let taken = unsafe { libc::send(socket, bytes.as_ptr().cast(), count, flags) };
        let taken =
            usize::try_from(taken).map_err(|_| SendError::Socket(Error::last_os_error()))?;
        *sent += taken;
        bytes = &bytes[taken..];
        if taken < count {
            return Err(interrupted());
        }
    }
    Ok(())
}

/// The kernel did less than it was asked to: mostly because of a signal.
fn interrupted() -> SendError {
    SendError::Socket(ErrorKind::Interrupted.into())
}

#[cfg(target_os = "linux")]
const MORE: i32 = libc::MSG_MORE;
#[cfg(not(target_os = "linux"))]
const MORE: i32 = 0;

#[cfg(target_os = "linux")]
fn send_lent(
    socket: RawFd,
    lent: &Lent,
    mut within: usize,
    sent: &mut usize,
) -> Result<(), SendError> {
    while within < lent.len {
        let too_far = || SendError::Source(lent.file.shrank());
        let mut at = i64::try_from(lent.start + within as u64).map_err(|_| too_far())?;
        let (from, count) = (lent.file.file.as_raw_fd(), lent.len - within);
        // SAFETY: the file is open for as long as it is borrowed, and `at` may be written to. No
        // memory of ours is.
        let taken = unsafe { libc::sendfile(socket, from, &raw mut at, count) };
        match usize::try_from(taken) {
            Ok(0) => return Err(too_far()),
            Ok(taken) => {
                *sent += taken;
                if taken < count {
                    return Err(interrupted());
                }
                within += taken;
            }
            Err(_) => return after(Error::last_os_error(), socket, lent, within, sent),
        }
    }
    Ok(())
}

/// What sendfile's error means, and what is to be done then.
#[cfg(target_os = "linux")]
fn after(
    error: Error,
    socket: RawFd,
    lent: &Lent,
    within: usize,
    sent: &mut usize,
) -> Result<(), SendError> {
    match error.raw_os_error() {
        // some file systems cannot
        Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP) => {
            return send_read(socket, lent, within, sent);
        }
        Some(libc::EAGAIN | libc::EINTR | libc::EPIPE | libc::ECONNRESET) => {
            return Err(SendError::Socket(error));
        }
        _ => {}
    }
    // it does not say which of the two has failed
    match lent.file.file.read_exact_at(&mut [0], lent.start + within as u64) {
        Ok(()) => Err(SendError::Socket(error)),
        Err(error) => Err(SendError::Source(lent.file.failed(error))),
    }
}

#[cfg(not(target_os = "linux"))]
fn send_lent(socket: RawFd, lent: &Lent, within: usize, sent: &mut usize) -> Result<(), SendError> {
    send_read(socket, lent, within, sent)
}

/// As [`send_lent`], through memory.
fn send_read(
    socket: RawFd,
    lent: &Lent,
    mut within: usize,
    sent: &mut usize,
) -> Result<(), SendError> {
    let mut buffer = vec![0; (lent.len - within).min(PIECE)];
    while within < lent.len {
        let count = buffer.len().min(lent.len - within);
        let piece = &mut buffer[..count];
        let read = lent.file.file.read_exact_at(piece, lent.start + within as u64);
        read.map_err(|error| SendError::Source(lent.file.failed(error)))?;
        send_bytes(socket, piece, within + count < lent.len, sent)?;
        within += count;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::thread::JoinHandle;
    use std::time::Duration;

    use super::super::chunk::LentFile;
    use super::*;

    const LEN: usize = 700_000;

    fn content() -> Vec<u8> {
        (0..LEN as u32).map(|i| (i % 241) as u8).collect()
    }

    fn lent_file(content: &[u8]) -> (File, Arc<LentFile>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let name = "a pack".to_owned();
        (file.try_clone().unwrap(), Arc::new(LentFile::new(Arc::new(file), name)))
    }

    /// Bytes and ranges by turns, and all of it in bytes.
    fn mixed(file: &Arc<LentFile>, content: &[u8]) -> (Chunk, Vec<u8>) {
        let (mut chunk, mut all) = (Chunk::default(), Vec::new());
        for (own, start, len) in
            [(0, 5, 100), (7, 0, 1), (300_000, 4096, 400_000), (0, 404_096, 9), (3, 50, 20)]
        {
            chunk.own().extend(std::iter::repeat_n(b'x', own));
            all.extend(std::iter::repeat_n(b'x', own));
            chunk.lend(file, start as u64, len);
            all.extend_from_slice(&content[start..start + len]);
        }
        chunk.own().extend_from_slice(b"end");
        all.extend_from_slice(b"end");
        // those that touch are one
        assert_eq!(chunk.pieces().filter(|piece| matches!(piece, Piece::Lent(_))).count(), 4);
        (chunk, all)
    }

    /// What comes until the other end is closed.
    fn read_on(mut from: UnixStream) -> JoinHandle<Vec<u8>> {
        std::thread::spawn(move || {
            let mut got = Vec::new();
            from.read_to_end(&mut got).unwrap();
            got
        })
    }

    /// As [`Chunk::send`], to the end or to an error that is one.
    fn send_on(chunk: &Chunk, socket: &UnixStream, sent: &mut usize) -> Result<(), SendError> {
        let mut sending = Sending { sent: *sent, ..Sending::default() };
        let outcome = loop {
            match chunk.send(socket.as_raw_fd(), &mut sending) {
                Err(SendError::Socket(error)) if error.kind() == ErrorKind::Interrupted => {}
                outcome => break outcome,
            }
        };
        *sent = sending.sent;
        outcome
    }

    #[test]
    fn what_is_sent_is_what_is_in_memory() {
        let content = content();
        let (_, file) = lent_file(&content);
        let (chunk, all) = mixed(&file, &content);
        assert_eq!(chunk.len(), all.len());
        assert!(chunk.in_memory().is_none() && chunk.to_bytes().unwrap() == all);
        // from any place on
        for start in [0, 1, 99, 100, 107, 108, 200_000, 300_107, 300_109, 700_120, all.len()] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let reader = read_on(theirs);
            let mut sent = start;
            send_on(&chunk, &ours, &mut sent).unwrap();
            drop(ours);
            assert_eq!(sent, all.len());
            assert!(reader.join().unwrap() == all[start..]);
        }
        assert!(chunk.into_bytes().unwrap() == all);
    }

    #[test]
    fn what_cannot_be_sent_by_the_kernel_is_read() {
        let content = content();
        let (_, file) = lent_file(&content);
        let lent = Lent { file, start: 10, len: LEN - 10, behind: 0 };
        let (ours, theirs) = UnixStream::pair().unwrap();
        let reader = read_on(theirs);
        let mut sent = 0;
        let mut outcome = send_read(ours.as_raw_fd(), &lent, 5, &mut sent);
        while let Err(SendError::Socket(error)) = outcome {
            assert_eq!(error.kind(), ErrorKind::Interrupted);
            outcome = send_read(ours.as_raw_fd(), &lent, 5 + sent, &mut sent);
        }
        outcome.unwrap();
        drop(ours);
        assert_eq!(sent, LEN - 15);
        assert!(reader.join().unwrap() == content[15..]);
    }

    #[test]
    fn a_file_that_shrinks_is_the_repositorys_fault() {
        let content = content();
        let (file, lent) = lent_file(&content);
        let (chunk, all) = mixed(&lent, &content);
        file.set_len(150_000).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let reader = read_on(theirs);
        let mut sent = 0;
        let outcome = send_on(&chunk, &ours, &mut sent);
        drop(ours);
        let Err(SendError::Source(error)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(error.to_string(), "a pack: the file shrank while it was sent");
        let got = reader.join().unwrap();
        // what is behind whole packets is behind them still: of what cannot be read zeros go, and what
        // is not the file's goes as it is
        assert!(got.len() == sent && sent == all.len() && got != all);
        let same = got.iter().zip(&all).take_while(|(got, all)| got == all).count();
        assert!(same >= 300_000 && got.ends_with(b"end"));
        assert_eq!(got[300_108 + 150_000..700_108].iter().position(|&byte| byte != 0), None);
        let error = chunk.to_bytes().unwrap_err();
        assert_eq!(error.to_string(), "a pack: the file shrank while it was sent");
    }

    #[test]
    fn who_takes_nothing_or_goes_is_told_apart() {
        let content = content();
        let (_, file) = lent_file(&content);
        let (chunk, all) = mixed(&file, &content);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut sent = 0;
        let Err(SendError::Socket(error)) = send_on(&chunk, &ours, &mut sent) else {
            panic!("all of it was taken");
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(sent < all.len());
        // what was counted is what is there, and may be gone on with
        let mut got = vec![0; sent];
        theirs.read_exact(&mut got).unwrap();
        assert!(got == all[..sent]);
        drop(theirs);
        let Err(SendError::Socket(error)) = send_on(&chunk, &ours, &mut sent) else {
            panic!("nobody is there");
        };
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn errors_are_whose_they_are() {
        let content = content();
        let (_, file) = lent_file(&content);
        let lent = Lent { file, start: 10, len: 1000, behind: 0 };
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let told = |code| Error::from_raw_os_error(code);
        let mut sent = 0;
        // a file system that cannot
        after(told(libc::EINVAL), ours.as_raw_fd(), &lent, 0, &mut sent).unwrap();
        let mut got = vec![0; 1000];
        theirs.read_exact(&mut got).unwrap();
        assert!(sent == 1000 && got == content[10..1010]);
        let mut outcome =
            |code, lent: &Lent| after(told(code), ours.as_raw_fd(), lent, 0, &mut sent);
        for code in [libc::EPIPE, libc::EAGAIN, libc::EINTR, libc::ETIMEDOUT, libc::EHOSTUNREACH] {
            let Err(SendError::Socket(error)) = outcome(code, &lent) else { panic!("{code}") };
            assert_eq!(error.raw_os_error(), Some(code));
        }
        // what cannot be read is not the socket's fault
        let folder = Arc::new(File::open("/").unwrap());
        let file = Arc::new(LentFile::new(folder, "a folder".to_owned()));
        let lent = Lent { file, ..lent };
        let Err(SendError::Source(error)) = outcome(libc::ESTALE, &lent) else { panic!() };
        assert!(error.to_string().starts_with("a folder: "), "{error}");
    }
}
