//! Are the objects that a stranger sent well formed?
//!
//! In: the objects of received packs, and which faults are borne with. Out: what is wrong with which
//! object, under the names of Git's `fsck-msgids` document. Implements what `transfer.fsckObjects`
//! asks for. The other parsers are lenient, because they read what is stored already; this one is
//! strict, so that nothing gets stored that misleads other programs: names that a file system takes
//! for `.git`, submodules that run a program, headers that hide a second one.
//!
//! - [`message`]: the faults, and how grave they are;
//! - [`commit`], [`tag`], [`ident`]: headers;
//! - [`tree`], [`names`]: entries, and what file systems make of their names;
//! - [`special`]: the contents of `.gitmodules` and `.gitattributes`;
//! - [`check`]: all objects of a pack.

mod check;
mod commit;
mod ident;
mod message;
mod names;
mod special;
mod tag;
mod tree;

pub use check::{Examiner, Report, check_packs, report};
pub use message::{Fault, Message, Rules, Severity};

#[cfg(test)]
mod tests;

/// One `name value` line of a header, without its line feed, and what follows it.
fn line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[]),
    }
}

/// The faults that commits and tags share: a header has no NUL and an end.
fn header(data: &[u8]) -> Result<(), Fault> {
    let mut before = 0;
    for &byte in data {
        match byte {
            0 => return Err(Fault::new(Message::NulInHeader, "NUL in the header")),
            b'\n' if before == b'\n' => return Ok(()),
            _ => before = byte,
        }
    }
    // a body may be missing, the end of the last line may not
    if before == b'\n' {
        return Ok(());
    }
    Err(Fault::new(Message::UnterminatedHeader, "the header has no end"))
}

/// Lower-case hexadecimal digits of this length?
fn is_id(text: &[u8], digits: usize) -> bool {
    text.len() == digits && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
