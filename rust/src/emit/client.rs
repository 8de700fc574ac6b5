//! Whether anybody reads what is written to a descriptor.

use std::os::fd::RawFd;

/// What can be known of the other end without reading or writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
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
    pub(super) fn of(descriptor: RawFd) -> Self {
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
