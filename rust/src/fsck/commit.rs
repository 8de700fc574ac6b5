//! The header of a commit.

use super::message::{Fault, Message};
use super::{header, ident, is_id, line};

/// All that is wrong with a commit; after the first fault of some kinds nobody can read on.
pub(super) fn check(data: &[u8], digits: usize, faults: &mut Vec<Fault>) {
    if let Err(fault) = read(data, digits, faults) {
        faults.push(fault);
    }
}

fn read(data: &[u8], digits: usize, faults: &mut Vec<Fault>) -> Result<(), Fault> {
    header(data)?;
    let (first, mut rest) = line(data);
    let Some(tree) = first.strip_prefix(b"tree ") else {
        return Err(Fault::new(Message::MissingTree, "invalid format - expected 'tree' line"));
    };
    if !is_id(tree, digits) {
        faults.push(Fault::new(Message::BadTreeSha1, "invalid 'tree' line format - bad id"));
    }
    while let (found, after) = line(rest)
        && let Some(parent) = found.strip_prefix(b"parent ")
    {
        if !is_id(parent, digits) {
            faults.push(Fault::new(Message::BadParentSha1, "invalid 'parent' line - bad id"));
        }
        rest = after;
    }
    let mut authors = 0;
    while let (found, after) = line(rest)
        && let Some(author) = found.strip_prefix(b"author ")
    {
        authors += 1;
        if let Err(fault) = ident::check(author) {
            faults.push(fault);
        }
        rest = after;
    }
    match authors {
        0 => {
            faults.push(Fault::new(
                Message::MissingAuthor,
                "invalid format - expected 'author' line",
            ));
        }
        1 => {}
        _ => faults.push(Fault::new(Message::MultipleAuthors, "multiple 'author' lines")),
    }
    let (found, _) = line(rest);
    let Some(committer) = found.strip_prefix(b"committer ") else {
        let text = "invalid format - expected 'committer' line";
        return Err(Fault::new(Message::MissingCommitter, text));
    };
    ident::check(committer)?;
    if data.contains(&0) {
        return Err(Fault::new(Message::NulInCommit, "NUL byte in the commit object body"));
    }
    Ok(())
}
