//! The entries of a tree: modes, names, order.

use std::collections::HashSet;

use super::message::{Fault, Message};
use super::names::{
    GITATTRIBUTES, GITIGNORE, GITMODULES, MAILMAP, has_dotgit_behind_backslash, is_dotgit,
    is_dotted,
};
use crate::hash::ObjectId;

/// A component longer than this is of no file system.
const LONGEST_NAME: usize = 4096;

const TREE: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// Files of each kind that are looked into; a pack that names more is refused. Trees name what need
/// not exist, a few bytes for each.
pub(super) const MOST_FOUND: usize = 500_000;

/// What trees name that has to be looked into; of each at most one more than [`MOST_FOUND`].
///
/// Keyed by what strangers choose, so hashed with a secret.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) gitmodules: HashSet<ObjectId>,
    pub(super) gitattributes: HashSet<ObjectId>,
}

fn note(files: &mut HashSet<ObjectId>, id: Option<ObjectId>) {
    if files.len() <= MOST_FOUND {
        files.extend(id);
    }
}

struct Entry<'a> {
    mode: u32,
    padded: bool,
    name: &'a [u8],
    id: &'a [u8],
}

fn split(data: &[u8], id_len: usize) -> Option<(Entry<'_>, &[u8])> {
    let space = data.iter().position(|&byte| byte == b' ').filter(|&at| at > 0 && at <= 11)?;
    let mut mode = 0_u32;
    for digit in &data[..space] {
        match digit {
            b'0'..=b'7' => mode = mode.checked_mul(8)? + u32::from(digit - b'0'),
            _ => return None,
        }
    }
    let rest = &data[space + 1..];
    let end = rest.iter().position(|&byte| byte == 0)?;
    let id = rest.get(end + 1..end + 1 + id_len)?;
    let entry = Entry { mode, padded: data[0] == b'0', name: &rest[..end], id };
    Some((entry, &rest[end + 1 + id_len..]))
}

/// All that is wrong with a tree; each kind of fault once.
pub(super) fn check(data: &[u8], id_len: usize, faults: &mut Vec<Fault>, found: &mut Found) {
    let mut said = HashSet::new();
    let mut say = |message: Message, text: &'static str| {
        if said.insert(message as u32) {
            faults.push(Fault::new(message, text));
        }
    };
    let mut rest = data;
    let mut before: Option<Entry<'_>> = None;
    // files that a tree of the same name, sorted further on, may still collide with
    let mut files: Vec<&[u8]> = Vec::new();
    while !rest.is_empty() {
        let Some((entry, after)) = split(rest, id_len) else {
            say(Message::BadTree, "cannot be parsed as a tree");
            return;
        };
        rest = after;
        look_at(&entry, &mut say, found);
        if let Some(before) = &before {
            match order(before, &entry, &mut files) {
                Order::Right => {}
                Order::Wrong => say(Message::TreeNotSorted, "not properly sorted"),
                Order::Twice => say(Message::DuplicateEntries, "contains duplicate file entries"),
            }
        }
        before = Some(entry);
    }
}

fn look_at(entry: &Entry<'_>, say: &mut impl FnMut(Message, &'static str), found: &mut Found) {
    let name = entry.name;
    if entry.id.iter().all(|&byte| byte == 0) {
        say(Message::NullSha1, "contains entries pointing to null sha1");
    }
    if name.contains(&b'/') {
        say(Message::FullPathname, "contains full pathnames");
    }
    match name {
        b"" => say(Message::EmptyName, "contains empty pathname"),
        b"." => say(Message::HasDot, "contains '.'"),
        b".." => say(Message::HasDotdot, "contains '..'"),
        _ if is_dotgit(name) || has_dotgit_behind_backslash(name) => {
            say(Message::HasDotgit, "contains '.git'");
        }
        _ => {}
    }
    if name.len() > LONGEST_NAME {
        say(Message::LargePathname, "contains excessively large pathname");
    }
    if entry.padded {
        say(Message::ZeroPaddedFilemode, "contains zero-padded file modes");
    }
    let is_link = entry.mode & 0o170_000 == LINK;
    let id = ObjectId::from_bytes(entry.id);
    // a name of another letter can be none of them, except where code points are ignored
    if matches!(name.first(), Some(b'.' | b'g' | b'G' | b'm' | b'M' | 0x80..)) {
        if is_dotted(name, GITMODULES) {
            match is_link {
                true => say(Message::GitmodulesSymlink, ".gitmodules is a symbolic link"),
                false => note(&mut found.gitmodules, id),
            }
        }
        if is_dotted(name, GITATTRIBUTES) {
            match is_link {
                true => say(Message::GitattributesSymlink, ".gitattributes is a symlink"),
                false => note(&mut found.gitattributes, id),
            }
        }
        if is_link && is_dotted(name, GITIGNORE) {
            say(Message::GitignoreSymlink, ".gitignore is a symlink");
        }
        if is_link && is_dotted(name, MAILMAP) {
            say(Message::MailmapSymlink, ".mailmap is a symlink");
        }
    }
    if !matches!(entry.mode, 0o100_644 | 0o100_755 | 0o100_664 | TREE | LINK | 0o160_000) {
        say(Message::BadFilemode, "contains bad file modes");
    }
}

enum Order {
    Right,
    Wrong,
    Twice,
}

/// Trees are sorted as if their names ended in a slash (gitformat-pack's companion rule of
/// git-mktree(1)).
fn order<'a>(before: &Entry<'a>, entry: &Entry<'a>, files: &mut Vec<&'a [u8]>) -> Order {
    let is_tree = |mode: u32| mode & 0o170_000 == TREE;
    let key = |entry: &Entry<'a>| {
        let end = if is_tree(entry.mode) { b'/' } else { 0 };
        (entry.name, end)
    };
    let ((a, a_end), (b, b_end)) = (key(before), key(entry));
    let shared = a.len().min(b.len());
    let byte = |name: &[u8], end: u8| name.get(shared).copied().unwrap_or(end);
    if a == b {
        return Order::Twice;
    }
    let compared = a[..shared].cmp(&b[..shared]).then(byte(a, a_end).cmp(&byte(b, b_end)));
    if !is_tree(before.mode) {
        files.push(a);
    }
    // files whose name the current one begins with may meet a tree of that name yet
    while let Some(file) = files.last() {
        if is_tree(entry.mode) && *file == b {
            return Order::Twice;
        }
        if b.starts_with(file) {
            break;
        }
        files.pop();
    }
    if compared.is_lt() { Order::Right } else { Order::Wrong }
}
