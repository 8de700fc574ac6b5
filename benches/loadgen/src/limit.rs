//! A server that knows the answer already: what the machine can do.
//!
//! In: conversations, and the answers that some server gave. Out: the same answers, each with one
//! `sendfile`. What it reads it only compares with what it expects, because it must know which
//! conversation this is.

use std::fs::File;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::answers::{Extent, extents};
use crate::conversation::Conversation;

unsafe extern "C" {
    /// Linux: copies from a file to a socket within the kernel.
    fn sendfile(to: i32, from: i32, offset: *mut i64, count: usize) -> isize;
}

/// Most that one call copies.
const AT_ONCE: u64 = 0x7fff_f000;

struct Known<'a> {
    asked: &'a [Conversation],
    extents: Vec<Vec<Extent>>,
    file: File,
}

/// Sends a part of the file.
fn send(file: &File, extent: Extent, to: &TcpStream) -> io::Result<()> {
    let mut at = i64::try_from(extent.start).map_err(io::Error::other)?;
    let mut left = extent.end - extent.start;
    while left > 0 {
        let count = left.min(AT_ONCE) as usize;
        // SAFETY: both descriptors are open for the length of the call because they are borrowed,
        // and `at` is a place that the kernel may write to.
        let sent = unsafe { sendfile(to.as_raw_fd(), file.as_raw_fd(), &raw mut at, count) };
        match u64::try_from(sent) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(sent) => left -= sent,
            Err(_) => return Err(io::Error::last_os_error()),
        }
    }
    Ok(())
}

impl Known<'_> {
    /// One client, to its end.
    fn answer(&self, mut client: TcpStream, buffer: &mut [u8]) -> io::Result<()> {
        client.set_nodelay(true)?;
        // Those that agree with all that the client has said so far.
        let mut possible: Vec<usize> = (0..self.asked.len()).collect();
        for turn in 0.. {
            let mut said = Vec::new();
            let found = loop {
                let count = client.read(buffer)?;
                if count == 0 {
                    return Ok(());
                }
                said.extend_from_slice(&buffer[..count]);
                possible.retain(|&at| {
                    let turns = &self.asked[at].turns;
                    turns.get(turn).is_some_and(|turn| turn.starts_with(&said))
                });
                if possible.is_empty() {
                    // A farewell, or something that nobody recorded.
                    return Ok(());
                }
                let whole = |at: &&usize| self.asked[**at].turns[turn].len() == said.len();
                if let Some(at) = possible.iter().find(whole) {
                    break *at;
                }
            };
            possible.retain(|at| self.asked[*at].turns[turn].len() == said.len());
            send(&self.file, self.extents[found][turn], &client)?;
        }
        Ok(())
    }
}

/// Serves until it is killed.
pub fn serve(
    address: SocketAddr,
    asked: &[Conversation],
    answers: &Path,
    threads: usize,
) -> Result<(), String> {
    let shown = |error: io::Error| format!("{}: {error}", answers.display());
    let known = Known {
        asked,
        extents: extents(answers, asked)?,
        file: File::open(answers).map_err(shown)?,
    };
    let listener = TcpListener::bind(address).map_err(|error| format!("{address}: {error}"))?;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut buffer = vec![0; 1 << 16];
                while let Ok((client, _)) = listener.accept() {
                    if let Err(error) = known.answer(client, &mut buffer) {
                        eprintln!("loadgen limit: {error}");
                    }
                }
            });
        }
    });
    Ok(())
}
