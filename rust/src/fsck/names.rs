//! What file systems make of a name: some take more than one spelling for the same file.
//!
//! HFS+ ignores certain code points and case; NTFS ignores case, trailing dots and spaces and what
//! follows a colon, and gives long names a short one (`GIT~1`).

/// A file that git itself believes, by its name without the leading dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dotted {
    name: &'static str,
    /// The first six letters of the short name that NTFS gives when `XXXXXX~1` to `~4` are taken.
    hashed: &'static str,
}

pub(super) const GITMODULES: Dotted = Dotted { name: "gitmodules", hashed: "gi7eba" };
pub(super) const GITATTRIBUTES: Dotted = Dotted { name: "gitattributes", hashed: "gi7d29" };
pub(super) const GITIGNORE: Dotted = Dotted { name: "gitignore", hashed: "gi250a" };
pub(super) const MAILMAP: Dotted = Dotted { name: "mailmap", hashed: "maba30" };

/// Does any file system that people use take this for `.git`?
pub(super) fn is_dotgit(name: &[u8]) -> bool {
    is_on_hfs(name, "git") || is_dotgit_on_ntfs(name)
}

/// The same for one of the files above.
pub(super) fn is_dotted(name: &[u8], file: Dotted) -> bool {
    is_on_hfs(name, file.name) || is_on_ntfs(name, file)
}

/// Also `.git` behind a backslash, which NTFS takes for a slash.
pub(super) fn has_dotgit_behind_backslash(name: &[u8]) -> bool {
    name.iter().enumerate().any(|(at, &byte)| byte == b'\\' && is_dotgit_on_ntfs(&name[at + 1..]))
}

fn is_on_hfs(name: &[u8], wanted: &str) -> bool {
    let Ok(text) = std::str::from_utf8(name) else { return false };
    let ignored = |c: &char| matches!(*c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let mut letters = text.chars().filter(|c| !ignored(c));
    letters.next() == Some('.')
        && wanted.chars().all(|c| letters.next().is_some_and(|l| l.to_ascii_lowercase() == c))
        && letters.next().is_none()
}

/// Only dots and spaces, and then an end, a path separator or a stream's name.
fn ends_on_ntfs(rest: &[u8]) -> bool {
    let end = rest.iter().position(|byte| !matches!(byte, b' ' | b'.')).unwrap_or(rest.len());
    matches!(rest.get(end), None | Some(b'\\' | b'/' | b':'))
}

fn strip_ignoring_case<'a>(name: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    let (front, rest) = name.split_at_checked(prefix.len())?;
    front.eq_ignore_ascii_case(prefix.as_bytes()).then_some(rest)
}

fn is_dotgit_on_ntfs(name: &[u8]) -> bool {
    let rest = strip_ignoring_case(name, ".git").or_else(|| strip_ignoring_case(name, "git~1"));
    rest.is_some_and(ends_on_ntfs)
}

fn is_on_ntfs(name: &[u8], file: Dotted) -> bool {
    if let Some(rest) = name.strip_prefix(b".").and_then(|n| strip_ignoring_case(n, file.name)) {
        return ends_on_ntfs(rest);
    }
    let short = &file.name[..file.name.len().min(6)];
    if let Some([b'~', b'1'..=b'4', rest @ ..]) = strip_ignoring_case(name, short) {
        return ends_on_ntfs(rest);
    }
    // letters of the hashed form, a tilde, digits: eight bytes in all
    let Some((front, rest)) = name.split_at_checked(8) else { return false };
    let tilde = front.iter().position(|&byte| byte == b'~').unwrap_or(0);
    let digits = &front[(tilde + 1).min(8)..];
    tilde > 0
        && tilde <= file.hashed.len()
        && front[..tilde].eq_ignore_ascii_case(&file.hashed.as_bytes()[..tilde])
        && digits.first().is_some_and(|digit| matches!(digit, b'1'..=b'9'))
        && digits.iter().all(u8::is_ascii_digit)
        && ends_on_ntfs(rest)
}
