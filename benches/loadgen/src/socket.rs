//! What the kernel is told of a connection, and the standard library has no words for.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;

/// Bytes that the kernel is asked to keep for us, of which it cuts what is more than it allows.
/// Otherwise it begins with 64 KiB and makes that more and more: most of a listing would come in
/// small pieces, each of which wakes both ends, and reading it cost three times as much.
const KEPT: i32 = 4 << 20;

unsafe extern "C" {
    /// As POSIX has it.
    fn send(to: i32, from: *const u8, count: usize, flags: i32) -> isize;
    /// As POSIX has it.
    fn setsockopt(of: i32, level: i32, name: i32, value: *const i32, size: u32) -> i32;
}

/// Linux: of the socket, not of a protocol.
const SOL_SOCKET: i32 = 1;
/// Linux: bytes that have come and are not read yet.
const SO_RCVBUF: i32 = 8;

/// Linux: more comes, or the end.
const MSG_MORE: i32 = 0x8000;
/// Linux: an error, and no signal, when nobody reads.
const MSG_NOSIGNAL: i32 = 0x4000;

/// Says the last words and ends our side, in one packet, as far as they are few.
pub fn leave(mut stream: &TcpStream, last: &[u8]) -> std::io::Result<()> {
    // SAFETY: the descriptor is open for the length of the call because the stream is borrowed, and
    // so are the bytes.
    let said =
        unsafe { send(stream.as_raw_fd(), last.as_ptr(), last.len(), MSG_MORE | MSG_NOSIGNAL) };
    let said = usize::try_from(said).map_err(|_| std::io::Error::last_os_error())?;
    stream.write_all(last.get(said..).unwrap_or_default())?;
    stream.shutdown(Shutdown::Write)
}

/// Has the kernel keep more of what comes; where it does not, that only costs time.
pub fn keep_more(stream: &TcpStream) {
    let kept = KEPT;
    // SAFETY: the descriptor is open for the length of the call because the stream is borrowed, and
    // the value is a number of four bytes that lives for as long.
    unsafe { setsockopt(stream.as_raw_fd(), SOL_SOCKET, SO_RCVBUF, &raw const kept, 4) };
}

/// Acknowledge at once. A server that leaves Nagle's algorithm on, as git does, would otherwise wait
/// for our delayed acknowledgement, 40 ms: that is no measure of a server.
#[cfg(target_os = "linux")]
pub fn quick(stream: &TcpStream) -> std::io::Result<()> {
    std::os::linux::net::TcpStreamExt::set_quickack(stream, true)
}

#[cfg(not(target_os = "linux"))]
pub fn quick(_: &TcpStream) -> std::io::Result<()> {
    Ok(())
}
