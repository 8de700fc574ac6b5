//! Whether anybody reads what is written to a descriptor.
//!
//! In: the descriptor of a client's socket or pipe. Out: whether it is still there, asked by whoever
//! works for it ([`crate::watch::Watch`]). What is said on the wire is not known here, but for its
//! first byte.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often it is looked for. Work ends within 100 ms of a client's end.
const LOOK: Duration = Duration::from_millis(40);

/// And once it was sent something to see whether it listens: an answer is on its way.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The first byte of every packet of less than 4 KiB, as those are that begin an answer.
pub const FIRST_BYTE: u8 = b'0';

/// What can be known of the other end without reading or writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Nothing speaks against it.
    There,
    /// It will send no more. It may read still: a socket can be closed one way.
    Silent,
    /// Nobody reads there.
    Gone,
}

/// Linux tells of the end of a socket's input without a read; elsewhere only of its whole end.
#[cfg(target_os = "linux")]
const INPUT_ENDED: libc::c_short = libc::POLLRDHUP;
#[cfg(not(target_os = "linux"))]
const INPUT_ENDED: libc::c_short = 0;

impl Presence {
    /// Of whoever is at the other end of this socket or pipe. Waits for nothing.
    pub fn of(descriptor: RawFd) -> Self {
        let mut asked = libc::pollfd { fd: descriptor, events: INPUT_ENDED, revents: 0 };
        // SAFETY: one pollfd, which lives for as long as the call.
        let found = unsafe { libc::poll(&mut asked, 1, 0) };
        if found <= 0 {
            // nothing to tell, or a signal came; it is asked again soon
            return Presence::There;
        }
        // a descriptor that is not open any more (POLLNVAL) has no reader either
        if asked.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0 {
            Presence::Gone
        } else {
            Presence::Silent
        }
    }
}

/// What is known of a client that ended its side, and waits for an answer of which nothing has
/// left. On a socket that looks like one that has gone, until something is written to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// It may listen: it is sent [`FIRST_BYTE`], and whoever writes next leaves that byte out.
    MayListen,
    /// It has gone. So it is on roads on which nothing can be said before the answer is known, and
    /// on which nobody who wants to read ends his side.
    IsGone,
    /// It may listen, and somebody else says something to it meanwhile: if nobody reads that, the
    /// kernel tells.
    IsSpokenTo,
}

/// The other end of a request, for those who work while it waits.
#[derive(Debug)]
pub struct Client {
    descriptor: RawFd,
    silence: Silence,
    since: Instant,
    /// Nanoseconds since then, until which nobody looks.
    next: AtomicU64,
    has_gone: AtomicBool,
    /// It has been sent the first byte.
    is_probed: AtomicBool,
    /// Whoever writes to it has not been told yet.
    owes_byte: AtomicBool,
}

impl Client {
    /// Behind a descriptor, which is open for as long as anybody looks.
    pub fn new(descriptor: RawFd, silence: Silence) -> Self {
        Self {
            descriptor,
            silence,
            since: Instant::now(),
            next: AtomicU64::new(nanos(LOOK)),
            has_gone: AtomicBool::new(false),
            is_probed: AtomicBool::new(false),
            owes_byte: AtomicBool::new(false),
        }
    }

    /// The same for work beside which somebody else speaks to it.
    pub fn spoken_to(&self) -> Self {
        let silence = match self.silence {
            Silence::IsGone => Silence::IsGone,
            Silence::MayListen | Silence::IsSpokenTo => Silence::IsSpokenTo,
        };
        Self::new(self.descriptor, silence)
    }

    /// The descriptor.
    pub fn descriptor(&self) -> RawFd {
        self.descriptor
    }

    /// Has it gone, as far as is known? Asked as often as anybody likes, of which little is felt.
    pub fn has_gone(&self) -> bool {
        let now = self.since.elapsed();
        let next = self.next.load(Ordering::Relaxed);
        if nanos(now) < next || self.has_gone.load(Ordering::Relaxed) {
            return self.has_gone.load(Ordering::Relaxed);
        }
        let later = now + if self.is_probed() { LOOK_AGAIN } else { LOOK };
        // one of the threads that ask looks
        let order = Ordering::Relaxed;
        if self.next.compare_exchange(next, nanos(later), order, order).is_ok() && self.is_away() {
            self.has_gone.store(true, Ordering::Relaxed);
        }
        self.has_gone.load(Ordering::Relaxed)
    }

    fn is_away(&self) -> bool {
        match (Presence::of(self.descriptor), self.silence) {
            (Presence::There, _) | (Presence::Silent, Silence::IsSpokenTo) => false,
            (Presence::Gone, _) | (Presence::Silent, Silence::IsGone) => true,
            (Presence::Silent, Silence::MayListen) => {
                if !self.is_probed.swap(true, Ordering::Relaxed) {
                    if self.say_first_byte() {
                        self.owes_byte.store(true, Ordering::Release);
                    }
                    self.next.store(nanos(self.since.elapsed() + LOOK_AGAIN), Ordering::Relaxed);
                }
                false
            }
        }
    }

    /// Without waiting; what cannot be sent tells nothing.
    fn say_first_byte(&self) -> bool {
        let byte = [FIRST_BYTE];
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: one byte, which lives for as long as the call; a descriptor that is not open, or
        // no socket, is an error.
        unsafe { libc::send(self.descriptor, byte.as_ptr().cast(), 1, flags) == 1 }
    }

    /// Was it sent something to see whether it listens?
    pub fn is_probed(&self) -> bool {
        self.is_probed.load(Ordering::Relaxed)
    }

    /// Has the first byte of the answer left already? Told once, to whoever writes the rest.
    pub fn take_owed(&self) -> bool {
        self.owes_byte.swap(false, Ordering::Acquire)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, client)
    }

    fn soon(descriptor: RawFd, wanted: Presence) {
        while Presence::of(descriptor) != wanted {
            std::thread::yield_now();
        }
    }

    /// Looked for at once, however often it was before.
    fn looked_for(client: &Client) -> bool {
        client.next.store(0, Ordering::Relaxed);
        client.has_gone()
    }

    #[test]
    fn one_that_may_listen_gets_the_first_byte_once() {
        let (server, client) = pair();
        let end = Client::new(server.as_raw_fd(), Silence::MayListen);
        assert!(!looked_for(&end) && !end.is_probed() && !end.take_owed());
        client.shutdown(Shutdown::Write).unwrap();
        soon(server.as_raw_fd(), Presence::Silent);
        for _ in 0..5 {
            assert!(!looked_for(&end), "it listens");
        }
        assert!(end.take_owed() && !end.take_owed());
        drop(server);
        let mut got = Vec::new();
        std::io::Read::read_to_end(&mut &client, &mut got).unwrap();
        assert_eq!(got, [FIRST_BYTE]);
    }

    #[test]
    fn one_that_has_closed_is_found_out() {
        let (server, client) = pair();
        let end = Client::new(server.as_raw_fd(), Silence::MayListen);
        drop(client);
        soon(server.as_raw_fd(), Presence::Silent);
        while !looked_for(&end) {
            std::thread::yield_now();
        }
        let (server, client) = pair();
        let end = Client::new(server.as_raw_fd(), Silence::IsGone);
        client.shutdown(Shutdown::Write).unwrap();
        soon(server.as_raw_fd(), Presence::Silent);
        assert!(looked_for(&end) && !end.is_probed());
    }

    #[test]
    fn one_that_is_spoken_to_is_not_probed() {
        let (server, client) = pair();
        let end = Client::new(server.as_raw_fd(), Silence::IsSpokenTo);
        client.shutdown(Shutdown::Write).unwrap();
        soon(server.as_raw_fd(), Presence::Silent);
        assert!(!looked_for(&end) && !end.is_probed());
        drop(client);
        (&server).write_all(b"0005\x01").unwrap();
        soon(server.as_raw_fd(), Presence::Gone);
        assert!(looked_for(&end) && !end.take_owed());
    }

    #[test]
    fn one_way_is_not_gone() {
        let (server, client) = pair();
        assert_eq!(Presence::of(server.as_raw_fd()), Presence::There);
        client.shutdown(Shutdown::Write).unwrap();
        soon(server.as_raw_fd(), Presence::Silent);
        (&server).write_all(b"0005\x01").unwrap();
        assert_eq!(Presence::of(server.as_raw_fd()), Presence::Silent);
    }

    #[test]
    fn what_is_written_to_a_closed_end_tells() {
        let (server, client) = pair();
        drop(client);
        soon(server.as_raw_fd(), Presence::Silent);
        (&server).write_all(b"0005\x01").unwrap();
        soon(server.as_raw_fd(), Presence::Gone);
    }

    #[test]
    fn a_pipe_without_reader_is_gone() {
        let (reader, writer) = std::io::pipe().unwrap();
        assert_eq!(Presence::of(writer.as_raw_fd()), Presence::There);
        drop(reader);
        assert_eq!(Presence::of(writer.as_raw_fd()), Presence::Gone);
    }
}
