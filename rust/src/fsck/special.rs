//! The contents of files that git itself obeys: `.gitmodules` and `.gitattributes`.

use super::message::{Fault, Message};

/// Larger than this, `.gitmodules` is not read (`core.bigFileThreshold`'s default).
pub(super) const GITMODULES_MAX: u64 = 512 << 20;

/// Git refuses to read attributes beyond these.
pub(super) const GITATTRIBUTES_MAX: u64 = 100 << 20;
const ATTRIBUTE_LINE_MAX: usize = 2048;

/// Lines of attributes are short.
pub(super) fn check_gitattributes(data: &[u8]) -> Option<Fault> {
    let long = data.split(|&byte| byte == b'\n').any(|line| line.len() >= ATTRIBUTE_LINE_MAX);
    long.then(|| Fault::new(Message::GitattributesLineLength, ".gitattributes has too long lines"))
}

/// Names, URLs, paths and commands of submodules.
pub(super) fn check_gitmodules(data: &[u8]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut parser = Parser { rest: data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data) };
    let mut submodule: Option<Vec<u8>> = None;
    loop {
        match parser.next() {
            Ok(None) => return faults,
            Ok(Some(Item::Section(name, sub))) => {
                submodule = sub.filter(|_| name.eq_ignore_ascii_case(b"submodule"));
                if let Some(name) = &submodule
                    && !is_good_name(name)
                {
                    let text = "disallowed submodule name";
                    faults.push(Fault::new(Message::GitmodulesName, text));
                }
            }
            Ok(Some(Item::Value(key, value))) => {
                if submodule.is_some() {
                    faults.extend(value.and_then(|value| look_at(&key, &value)));
                }
            }
            Err(NotConfig) => {
                let text = "could not parse gitmodules blob";
                faults.push(Fault::new(Message::GitmodulesParse, text));
                return faults;
            }
        }
    }
}

fn look_at(key: &[u8], value: &[u8]) -> Option<Fault> {
    let fault = |message, text| Some(Fault::new(message, text));
    match key {
        b"url" if !is_good_url(value) => fault(Message::GitmodulesUrl, "disallowed submodule url"),
        // what begins with a dash would be taken for an option
        b"path" if value.starts_with(b"-") => {
            fault(Message::GitmodulesPath, "disallowed submodule path")
        }
        // a command, which no clone is to run
        b"update" if value.starts_with(b"!") => {
            fault(Message::GitmodulesUpdate, "disallowed submodule update setting")
        }
        _ => None,
    }
}

/// A name is a folder below `modules/`: it must not lead out of it.
fn is_good_name(name: &[u8]) -> bool {
    !name.is_empty() && !name.split(|byte| matches!(byte, b'/' | b'\\')).any(|part| part == b"..")
}

/// Programs that get the URL must not take it for an option, nor read two lines of it.
fn is_good_url(url: &[u8]) -> bool {
    if url.starts_with(b"-") {
        return false;
    }
    let is_relative = url.starts_with(b"./") || url.starts_with(b"../");
    if is_relative || url.starts_with(b"git://") {
        if decoded(url).contains(&b'\n') {
            return false;
        }
        // "../" climbs over the superproject's path into its host, where a colon begins a port or
        // a helper's name
        let mut rest = url;
        let mut climbs = 0;
        while let Some(after) = rest.strip_prefix(b"../").or_else(|| rest.strip_prefix(b"./")) {
            climbs += usize::from(rest.starts_with(b"../"));
            rest = after;
        }
        return climbs == 0 || !matches!(rest.first(), Some(b':' | b'/'));
    }
    let helped = [&b"http::"[..], b"https::", b"ftp::", b"ftps::"];
    let url = helped.iter().find_map(|prefix| url.strip_prefix(*prefix)).unwrap_or(url);
    let schemes = [&b"http://"[..], b"https://", b"ftp://", b"ftps://"];
    match schemes.iter().find_map(|scheme| url.strip_prefix(*scheme)) {
        Some(rest) => {
            let host = rest.split(|byte| matches!(byte, b'/' | b'?' | b'#')).next();
            let host = host.unwrap_or_default().rsplit(|&byte| byte == b'@').next();
            let host = host.unwrap_or_default();
            !host.is_empty() && !host.starts_with(b":") && !decoded(rest).contains(&b'\n')
        }
        None => true,
    }
}

/// With `%xx` resolved.
fn decoded(url: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(url.len());
    let mut at = 0;
    while let Some(&byte) = url.get(at) {
        let digits = url.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        match digits.filter(|_| byte == b'%').and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

struct NotConfig;

enum Item {
    Section(Vec<u8>, Option<Vec<u8>>),
    Value(Vec<u8>, Option<Vec<u8>>),
}

/// A reader of Git's configuration format (git-config(1), "Syntax").
struct Parser<'a> {
    rest: &'a [u8],
}

impl Parser<'_> {
    fn take(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        if first == b'\r' && rest.first() == Some(&b'\n') {
            self.rest = &rest[1..];
            return Some(b'\n');
        }
        Some(first)
    }

    fn next(&mut self) -> Result<Option<Item>, NotConfig> {
        loop {
            match self.take() {
                None => return Ok(None),
                Some(b'#' | b';') => while !matches!(self.take(), None | Some(b'\n')) {},
                Some(byte) if byte.is_ascii_whitespace() => {}
                Some(b'[') => return self.section().map(Some),
                Some(byte) if byte.is_ascii_alphabetic() => return self.value(byte).map(Some),
                Some(_) => return Err(NotConfig),
            }
        }
    }

    fn section(&mut self) -> Result<Item, NotConfig> {
        let mut name = Vec::new();
        loop {
            match self.take().ok_or(NotConfig)? {
                b']' => {
                    // the old form: section.subsection
                    let mut parts = name.splitn(2, |&byte| byte == b'.');
                    let section = parts.next().unwrap_or_default().to_vec();
                    return Ok(Item::Section(section, parts.next().map(<[u8]>::to_vec)));
                }
                b' ' | b'\t' => break,
                byte if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.') => {
                    name.push(byte.to_ascii_lowercase());
                }
                _ => return Err(NotConfig),
            }
        }
        while matches!(self.rest.first(), Some(b' ' | b'\t')) {
            self.rest = &self.rest[1..];
        }
        if self.take() != Some(b'"') {
            return Err(NotConfig);
        }
        let mut subsection = Vec::new();
        loop {
            match self.take().ok_or(NotConfig)? {
                b'"' => break,
                b'\n' => return Err(NotConfig),
                b'\\' => subsection.push(self.take().filter(|&b| b != b'\n').ok_or(NotConfig)?),
                byte => subsection.push(byte),
            }
        }
        match self.take() {
            Some(b']') => Ok(Item::Section(name, Some(subsection))),
            _ => Err(NotConfig),
        }
    }

    fn value(&mut self, first: u8) -> Result<Item, NotConfig> {
        let mut key = vec![first.to_ascii_lowercase()];
        let mut next = self.take();
        while let Some(byte) = next.filter(|b| b.is_ascii_alphanumeric() || *b == b'-') {
            key.push(byte.to_ascii_lowercase());
            next = self.take();
        }
        while matches!(next, Some(b' ' | b'\t')) {
            next = self.take();
        }
        match next {
            None | Some(b'\n') => return Ok(Item::Value(key, None)),
            Some(b'=') => {}
            Some(_) => return Err(NotConfig),
        }
        let (mut value, mut kept, mut quoted) = (Vec::new(), 0, false);
        loop {
            match self.take() {
                None | Some(b'\n') if quoted => return Err(NotConfig),
                None | Some(b'\n') => break,
                Some(b'#' | b';') if !quoted => {
                    while !matches!(self.take(), None | Some(b'\n')) {}
                    break;
                }
                Some(b'"') => quoted = !quoted,
                Some(b'\\') => {
                    match self.take().ok_or(NotConfig)? {
                        b'\n' => continue,
                        b't' => value.push(b'\t'),
                        b'b' => value.push(8),
                        b'n' => value.push(b'\n'),
                        byte @ (b'\\' | b'"') => value.push(byte),
                        _ => return Err(NotConfig),
                    }
                    kept = value.len();
                }
                Some(byte) => {
                    let is_space = matches!(byte, b' ' | b'\t') && !quoted;
                    if !is_space || !value.is_empty() {
                        value.push(byte);
                    }
                    if !is_space {
                        kept = value.len();
                    }
                }
            }
        }
        value.truncate(kept);
        Ok(Item::Value(key, Some(value)))
    }
}
