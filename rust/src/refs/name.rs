//! What a ref may be called (`git-check-ref-format`), and whose it is.

/// Longest name that is read or written: what a path can hold, and well within a pkt-line.
pub const MAX_NAME: usize = 4096;

/// What a byte means within a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Plain,
    Slash,
    Dot,
    /// `{`: forbidden after `@`.
    Brace,
    Forbidden,
}

const CLASSES: [Class; 256] = {
    let mut table = [Class::Plain; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = Class::Forbidden;
        byte += 1;
    }
    table[0x7f] = Class::Forbidden;
    let forbidden = b" ~^:?*[\\";
    let mut at = 0;
    while at < forbidden.len() {
        table[forbidden[at] as usize] = Class::Forbidden;
        at += 1;
    }
    table[b'/' as usize] = Class::Slash;
    table[b'.' as usize] = Class::Dot;
    table[b'{' as usize] = Class::Brace;
    table
};

/// Is this a ref name by git's rules, of two components or more?
///
/// The same as `git check-ref-format <name>`, and no longer than [`MAX_NAME`].
pub fn is_valid(name: &[u8]) -> bool {
    name.len() <= MAX_NAME && name.contains(&b'/') && components_are_valid(name)
}

/// Like [`is_valid`], with a single component allowed (`HEAD`): `--allow-onelevel`.
pub fn is_valid_onelevel(name: &[u8]) -> bool {
    name.len() <= MAX_NAME && components_are_valid(name)
}

/// A name that a snapshot lists and a transaction may move: valid, and below `refs/`.
pub fn is_listed(name: &[u8]) -> bool {
    name.starts_with(b"refs/") && is_valid(name)
}

fn components_are_valid(name: &[u8]) -> bool {
    if name == b"@" {
        return false;
    }
    let mut before = b'/';
    let mut component = 0;
    for (at, &byte) in name.iter().enumerate() {
        match CLASSES[byte as usize] {
            Class::Plain => {}
            Class::Forbidden => return false,
            Class::Dot if before == b'.' || before == b'/' => return false,
            Class::Dot => {}
            Class::Brace if before == b'@' => return false,
            Class::Brace => {}
            Class::Slash => {
                if before == b'/' || name[component..at].ends_with(b".lock") {
                    return false;
                }
                component = at + 1;
            }
        }
        before = byte;
    }
    before != b'/' && before != b'.' && !name[component..].ends_with(b".lock")
}

/// Does every worktree have its own of this (`gitrepository-layout`, `git-worktree`)?
///
/// `name` may also be a folder's, with its trailing slash.
pub fn is_per_worktree(name: &[u8]) -> bool {
    if !name.starts_with(b"refs/") {
        return true; // HEAD and the other pseudo-refs
    }
    PER_WORKTREE_FOLDERS.iter().any(|folder| name.starts_with(folder))
}

/// The folders below `refs/` of which every worktree has its own.
pub const PER_WORKTREE_FOLDERS: [&[u8]; 3] =
    [b"refs/bisect/", b"refs/rewritten/", b"refs/worktree/"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refs::testing::git;

    #[test]
    fn every_rule_has_its_example() {
        for good in ["refs/heads/main", "a/b", "a./b", "a/@", "a/b@", "x/{", "a/lock", "é/ü"] {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
        for bad in [
            "main", "", "/", "a//b", "/a/b", "a/b/", "a/.b", ".a/b", "a/b.lock", "a.lock/b",
            "a/b..c", "a/b.", "a/b c", "a/~", "a/^", "a/:", "a/?", "a/*", "a/[", "a/\\", "a/@{b",
            "@", "a/\u{7f}", "a/\u{1}",
        ] {
            assert!(!is_valid(bad.as_bytes()), "{bad:?}");
        }
        assert!(is_valid_onelevel(b"HEAD") && !is_valid_onelevel(b"@"));
        assert!(!is_valid(&[b"refs/heads/", &[b'x'; MAX_NAME][..]].concat()));
    }

    /// All bytes in three places, and all short strings over the characters that rules name.
    #[test]
    fn git_agrees_on_every_name() {
        let mut names: Vec<Vec<u8>> = Vec::new();
        for byte in 1..=255u8 {
            names.push(vec![b'a', b'/', b'b', byte, b'c']);
        }
        for byte in b"a~^:?*[\\ .@{/\t\x7f\x80\xff" {
            names.push(vec![b'a', b'/', *byte]);
            names.push(vec![*byte, b'/', b'b']);
        }
        for a in ["", "a", ".", "@", "/", ".lock", "{"] {
            for b in ["a", ".", "@", "/", ".lock"] {
                for c in ["", "/", ".lock", ".", "{"] {
                    names.push(format!("{a}{b}{c}").into_bytes());
                    names.push(format!("x/{a}{b}{c}").into_bytes());
                }
            }
        }
        names.sort();
        names.dedup();
        // the command would take it for an option
        names.retain(|name| !name.starts_with(b"-"));
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            use std::os::unix::ffi::OsStrExt;
            let status = git(dir.path())
                .arg("check-ref-format")
                .arg(std::ffi::OsStr::from_bytes(&name))
                .status()
                .unwrap();
            assert_eq!(is_valid(&name), status.success(), "{:?}", name.escape_ascii().to_string());
        }
    }

    #[test]
    fn worktrees_own_their_head_and_bisection() {
        for own in ["HEAD", "refs/bisect/bad", "refs/worktree/x", "refs/bisect/"] {
            assert!(is_per_worktree(own.as_bytes()), "{own}");
        }
        for common in ["refs/heads/main", "refs/", "refs/bisection/x"] {
            assert!(!is_per_worktree(common.as_bytes()), "{common}");
        }
    }
}
