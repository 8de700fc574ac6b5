//! One pattern with wildcards, and whether a path fits it.
//!
//! In: a pattern as of `gitignore`, whoever wrote it. Out: yes or no, in a time that grows with the
//! pattern times the path, times the folders of the path where the pattern has `**/`. A star stops
//! at a slash; `**/` is any number of folders, none included; `/**` at the end is all that is below.

use super::effort::Effort;
use crate::graph::GraphError;

/// One step of a pattern.
enum Token {
    Byte(u8),
    /// `?`: one byte, no slash.
    Any,
    /// `[...]`: one byte of a set, no slash.
    Set(Box<[bool; 256]>),
    /// `*`: bytes without a slash, perhaps none.
    Star,
    /// `**/`: folders, perhaps none.
    Folders,
    /// `**` at the end: whatever it is.
    Rest,
    /// Fits nothing: a set without an end.
    Never,
}

/// A pattern, taken apart.
pub(super) struct Glob(Vec<Token>);

impl Glob {
    pub(super) fn new(pattern: &[u8]) -> Self {
        let mut tokens = Vec::new();
        let mut at = 0;
        while let Some(&byte) = pattern.get(at) {
            at += 1;
            tokens.push(match byte {
                b'?' => Token::Any,
                b'*' => {
                    let begins = at == 1 || pattern[at - 2] == b'/';
                    let stars = pattern[at..].iter().take_while(|&&b| b == b'*').count();
                    at += stars;
                    match (stars, pattern.get(at)) {
                        (1.., None) if begins => Token::Rest,
                        (1.., Some(b'/')) if begins => {
                            at += 1;
                            Token::Folders
                        }
                        _ => Token::Star,
                    }
                }
                b'[' => match set(&pattern[at..]) {
                    Some((members, length)) => {
                        at += length;
                        Token::Set(members)
                    }
                    None => Token::Never,
                },
                b'\\' => match pattern.get(at) {
                    Some(&escaped) => {
                        at += 1;
                        Token::Byte(escaped)
                    }
                    None => Token::Never,
                },
                byte => Token::Byte(byte),
            });
        }
        Self(tokens)
    }

    /// Costs a step of `effort` for each byte or token that is looked at.
    pub(super) fn matches(&self, path: &[u8], effort: &mut Effort<'_>) -> Result<bool, GraphError> {
        let tokens = &self.0;
        let (mut token, mut at) = (0, 0);
        // where to go on with more bytes for the last star, or more folders for the last `**/`:
        // what was before these has found its shortest fit, and no other would help
        let (mut star, mut folders) = (None, None);
        loop {
            effort.spend(1)?;
            let fits = match (tokens.get(token), path.get(at)) {
                (None, None) | (Some(Token::Rest), _) => return Ok(true),
                (Some(Token::Star), _) => {
                    star = Some((token, at));
                    token += 1;
                    continue;
                }
                (Some(Token::Folders), _) => {
                    (star, folders) = (None, Some((token, at)));
                    token += 1;
                    continue;
                }
                (Some(Token::Byte(wanted)), Some(byte)) => wanted == byte,
                (Some(Token::Any), Some(&byte)) => byte != b'/',
                (Some(Token::Set(members)), Some(&byte)) => members[usize::from(byte)],
                (Some(Token::Never), _) => return Ok(false),
                (None, Some(_)) | (Some(_), None) => false,
            };
            if fits {
                token += 1;
                at += 1;
                continue;
            }
            if let Some((place, from)) = star
                && path.get(from).is_some_and(|&byte| byte != b'/')
            {
                (star, token, at) = (Some((place, from + 1)), place + 1, from + 1);
                continue;
            }
            let Some((place, from)) = folders else { return Ok(false) };
            let Some(slash) = path[from..].iter().position(|&byte| byte == b'/') else {
                return Ok(false);
            };
            let next = from + slash + 1;
            (star, folders, token, at) = (None, Some((place, next)), place + 1, next);
        }
    }
}

/// The members of a set and the length of what says so, its closing bracket included.
fn set(text: &[u8]) -> Option<(Box<[bool; 256]>, usize)> {
    let mut members = Box::new([false; 256]);
    let mut at = 0;
    let negated = matches!(text.first(), Some(b'!' | b'^'));
    if negated {
        at += 1;
    }
    let first = at;
    let mut before: Option<u8> = None;
    loop {
        let byte = *text.get(at)?;
        at += 1;
        match byte {
            b']' if at - 1 > first => break,
            b'[' if text.get(at) == Some(&b':') => {
                let length = text[at + 1..].windows(2).position(|two| two == b":]")?;
                let holds = class(&text[at + 1..at + 1 + length])?;
                for (byte, member) in (0..=u8::MAX).zip(members.iter_mut()) {
                    *member |= holds(&byte);
                }
                at += length + 3;
                before = None;
            }
            b'-' if before.is_some() && text.get(at).is_some_and(|&next| next != b']') => {
                let mut end = *text.get(at)?;
                at += 1;
                if end == b'\\' {
                    end = *text.get(at)?;
                    at += 1;
                }
                for byte in before?..=end {
                    members[usize::from(byte)] = true;
                }
                before = None;
            }
            byte => {
                let mut byte = byte;
                if byte == b'\\' {
                    byte = *text.get(at)?;
                    at += 1;
                }
                members[usize::from(byte)] = true;
                before = Some(byte);
            }
        }
    }
    if negated {
        members.iter_mut().for_each(|member| *member = !*member);
    }
    members[usize::from(b'/')] = false;
    Some((members, at))
}

fn class(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| byte.is_ascii_graphic() || *byte == b' ',
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |byte| byte.is_ascii_whitespace() || *byte == b'\x0b',
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Watch;

    fn fits(pattern: &str, path: &str) -> bool {
        let watch = Watch::new();
        Glob::new(pattern.as_bytes())
            .matches(path.as_bytes(), &mut Effort::new(1 << 30, &watch))
            .unwrap()
    }

    #[test]
    fn stars_stop_at_slashes_and_folders_do_not() {
        for (pattern, path) in [
            ("*", "f"),
            ("f*o", "foo"),
            ("a*b*c", "axbxbxc"),
            ("*.c", ".c"),
            ("a/*/c", "a/b/c"),
            ("**/f", "f"),
            ("**/f", "a/b/f"),
            ("a/**/f", "a/f"),
            ("a/**/f", "a/b/c/f"),
            ("a/**", "a/b/c"),
            ("**", "a/b"),
            ("**/a*b/**/f", "x/a/ab/y/f"),
            ("a**c", "abc"),
            ("***/f", "a/f"),
            ("**/a/*b/c", "a/x/a/yb/c"),
        ] {
            assert!(fits(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("*", "a/f"),
            ("f?o", "f/o"),
            ("a*c", "a/c"),
            ("a/*/c", "a/b/b/c"),
            ("a**c", "a/c"),
            ("a/**", "a"),
            ("**/f", "ff"),
            ("a/**/f", "ba/f"),
            ("a/**f", "a/b/f"),
            ("*", "a/"),
        ] {
            assert!(!fits(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn sets() {
        for (pattern, path) in [
            ("[abc]", "b"),
            ("[a-c]x", "cx"),
            ("[!a-c]", "d"),
            ("[^a]", "b"),
            ("[]]", "]"),
            ("[]-]", "-"),
            ("[a-]", "-"),
            ("[[:digit:]x]", "7"),
            ("[\\]]", "]"),
            ("\\*", "*"),
            ("[\\\\]", "\\"),
        ] {
            assert!(fits(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("[a-c]", "d"),
            ("[!a]", "/"),
            ("[", "["),
            ("[a", "a"),
            ("a\\", "a\\"),
            ("\\*", "x"),
            ("[[:nothing:]]", "n"),
            ("[c-a]", "b"),
        ] {
            assert!(!fits(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer() {
        let pattern = "a*".repeat(400) + "b";
        assert!(!fits(&pattern, &"a".repeat(4000)));
        let pattern = "**/a*".repeat(100) + "/b";
        assert!(!fits(&pattern, &"a/".repeat(2000)));
    }

    #[test]
    fn and_ends_when_the_effort_does() {
        let watch = Watch::new();
        let glob = Glob::new(&b"*a".repeat(400));
        let outcome = glob.matches(&b"a".repeat(100), &mut Effort::new(50, &watch));
        assert!(matches!(outcome, Err(GraphError::TooManyPaths)));
    }
}
