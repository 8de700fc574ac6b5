//! What a server said to each turn of each conversation, as a file.
//!
//! The file is the answers, one behind the other; a second one, with `.index` behind its name, holds
//! their ends, each a 64-bit number, little-endian, in the order of conversations and turns.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::conversation::Conversation;
use crate::known::Known;
use crate::replay::replay;

/// Where in the file an answer is.
#[derive(Clone, Copy)]
pub struct Extent {
    pub start: u64,
    pub end: u64,
}

fn index_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".index");
    PathBuf::from(name)
}

/// Asks a server, and writes both files.
pub fn keep(address: SocketAddr, asked: &[Conversation], path: &Path) -> Result<(), String> {
    let io = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).map_err(io)?);
    let mut index = Vec::new();
    let mut buffer = vec![0; 1 << 18];
    let mut written = 0_u64;
    for conversation in asked {
        let mut ends = vec![written; conversation.turns.len()];
        replay(address, conversation, &Known::default(), &mut buffer, &mut |turn, piece| {
            written += piece.len() as u64;
            ends[turn] = written;
            out.write_all(piece)
        })?;
        index.extend(ends.iter().flat_map(|end| end.to_le_bytes()));
    }
    out.flush().map_err(io)?;
    std::fs::write(index_of(path), index).map_err(io)
}

/// The extents that [`keep`] wrote, for each conversation and turn.
pub fn extents(path: &Path, asked: &[Conversation]) -> Result<Vec<Vec<Extent>>, String> {
    let path = index_of(path);
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut ends = bytes.as_chunks::<8>().0.iter().map(|end| u64::from_le_bytes(*end));
    let mut start = 0;
    asked
        .iter()
        .map(|conversation| {
            conversation
                .turns
                .iter()
                .map(|_| {
                    let end = ends.next().ok_or_else(|| format!("{}: cut off", path.display()))?;
                    let extent = Extent { start, end };
                    start = end;
                    Ok(extent)
                })
                .collect()
        })
        .collect()
}
