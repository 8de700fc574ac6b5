//! The objects that an index of a work tree names (`gitformat-index`).
//!
//! In: an `index` file. Out: what is staged, the trees that its cache of trees remembers, and what
//! conflicts were resolved from. Of a split index all that either part holds counts, also what the
//! other has replaced. What is not understood is an error: it might name something.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::hash::{HashKind, Hasher, IdSet, ObjectId};
use crate::maintain::MaintainError;
use crate::source::SourceError;

/// Signature, version, number of entries.
const HEADER: usize = 12;
/// What `stat` says of a file, which is before its object's name.
const STAT: usize = 40;
/// Where the mode is in it.
const MODE: usize = 24;
/// The type of a commit of another repository in a mode's upper bits.
const GITLINK: u32 = 0o16;
/// In the flags of an entry: there are more flags.
const EXTENDED: u16 = 0x4000;
/// And the length of its name; where it is this one the name is longer.
const NAME: u16 = 0x0fff;

/// How often the parts of a split index are read anew because one was replaced between them.
const TRIES: usize = 5;

/// What is wrong, and where.
struct Flaw {
    offset: usize,
    what: &'static str,
}

/// Adds what this index names; one that is not there names nothing.
pub(super) fn add_named(
    path: &Path,
    hash: HashKind,
    named: &mut IdSet,
) -> Result<(), MaintainError> {
    let mut shared = None;
    for _ in 0..TRIES {
        let Some(data) = read(path)? else { return Ok(()) };
        let base = parse(&data, hash, named).map_err(|flaw| flaw.of(path))?;
        let Some(base) = base.filter(|base| !base.is_null()) else { return Ok(()) };
        let beside = path.with_file_name(format!("sharedindex.{base}"));
        if let Some(data) = read(&beside)? {
            parse(&data, hash, named).map_err(|flaw| flaw.of(&beside))?;
            return Ok(());
        }
        shared = Some(beside);
    }
    let gone = std::io::Error::from(ErrorKind::NotFound);
    Err(MaintainError::io(&shared.unwrap_or_else(PathBuf::new))(gone))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, MaintainError> {
    match std::fs::read(path) {
        Ok(data) => Ok(Some(data)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(MaintainError::io(path)(error)),
    }
}

impl Flaw {
    fn of(self, path: &Path) -> MaintainError {
        let file = path.display().to_string();
        SourceError::corrupt_at(&file, self.offset as u64, self.what).into()
    }
}

/// Adds what is named, and gives back the name of the index that this one is an addition to.
fn parse(data: &[u8], hash: HashKind, named: &mut IdSet) -> Result<Option<ObjectId>, Flaw> {
    let end = check_whole(data, hash)?;
    let mut bytes = Bytes { data: &data[..end], at: 0 };
    bytes.take(4)?;
    let version = bytes.number()?;
    if !(2..=4).contains(&version) {
        return Err(Flaw { offset: 4, what: "index has an unknown version" });
    }
    let entries = bytes.number()?;
    for _ in 0..entries {
        read_entry(&mut bytes, version, hash, named)?;
    }
    let mut base = None;
    while bytes.at < end {
        let offset = bytes.at;
        let name = bytes.take(4)?;
        let size = bytes.number()? as usize;
        let mut body = Bytes { data: &data[..bytes.at], at: bytes.at };
        bytes.take(size)?;
        body.data = &data[..bytes.at];
        match name {
            b"TREE" => read_trees(&mut body, hash, named)?,
            b"REUC" => read_resolved(&mut body, hash, named)?,
            b"link" => base = Some(body.id(hash)?),
            // folders of a sparse index are entries like others
            b"sdir" => {}
            // to be passed over by whoever does not know it
            _ if name[0].is_ascii_uppercase() => {}
            _ => return Err(Flaw { offset, what: "index has an unknown extension" }),
        }
    }
    Ok(base)
}

/// Where the checksum begins, which fits, or was not made (`index.skipHash`).
fn check_whole(data: &[u8], hash: HashKind) -> Result<usize, Flaw> {
    let end = data.len().checked_sub(hash.len()).filter(|&end| end >= HEADER);
    let end = end.ok_or(Flaw { offset: data.len(), what: "index ends too early" })?;
    if !data.starts_with(b"DIRC") {
        return Err(Flaw { offset: 0, what: "no index" });
    }
    let mut hasher = Hasher::new(hash);
    hasher.update(&data[..end]);
    let is_made = data[end..].iter().any(|&byte| byte != 0);
    if is_made && hasher.finish().as_bytes() != &data[end..] {
        return Err(Flaw { offset: end, what: "index has a wrong checksum" });
    }
    Ok(end)
}

fn read_entry(
    bytes: &mut Bytes<'_>,
    version: u32,
    hash: HashKind,
    named: &mut IdSet,
) -> Result<(), Flaw> {
    let start = bytes.at;
    let stat = bytes.take(STAT)?;
    let mode = u32::from_be_bytes([stat[MODE], stat[MODE + 1], stat[MODE + 2], stat[MODE + 3]]);
    let id = bytes.id(hash)?;
    let flags = bytes.take(2)?;
    let flags = u16::from_be_bytes([flags[0], flags[1]]);
    if flags & EXTENDED != 0 {
        bytes.take(2)?;
    }
    if version == 4 {
        // how much of the name before is another's, then the rest of this one
        while bytes.take(1)?[0] & 0x80 != 0 {}
        bytes.until(0)?;
    } else {
        match flags & NAME {
            NAME => drop(bytes.until(0)?),
            len => drop(bytes.take(usize::from(len) + 1)?),
        }
        // one zero at least, and as many as bring the next one to a multiple of eight
        bytes.at = start + (bytes.at - start).next_multiple_of(8);
    }
    if mode >> 12 != GITLINK && !id.is_null() {
        named.insert(id);
    }
    Ok(())
}

/// The cache of trees: of those that still are what is staged.
fn read_trees(bytes: &mut Bytes<'_>, hash: HashKind, named: &mut IdSet) -> Result<(), Flaw> {
    while bytes.at < bytes.data.len() {
        bytes.until(0)?;
        let count = bytes.until(b' ')?;
        bytes.until(b'\n')?;
        if !count.starts_with(b"-") {
            named.insert(bytes.id(hash)?);
        }
    }
    Ok(())
}

/// What there was before conflicts were resolved.
fn read_resolved(bytes: &mut Bytes<'_>, hash: HashKind, named: &mut IdSet) -> Result<(), Flaw> {
    while bytes.at < bytes.data.len() {
        bytes.until(0)?;
        let mut there = 0;
        for _ in 0..3 {
            there += usize::from(bytes.until(0)? != b"0");
        }
        for _ in 0..there {
            named.insert(bytes.id(hash)?);
        }
    }
    Ok(())
}

struct Bytes<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Flaw> {
        let flaw = Flaw { offset: self.at, what: "index ends too early" };
        let end = self.at.checked_add(len).ok_or(Flaw { ..flaw })?;
        let taken = self.data.get(self.at..end).ok_or(flaw)?;
        self.at = end;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, Flaw> {
        let four = self.take(4)?;
        Ok(u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
    }

    fn id(&mut self, hash: HashKind) -> Result<ObjectId, Flaw> {
        let offset = self.at;
        let id = ObjectId::from_bytes(self.take(hash.len())?);
        id.ok_or(Flaw { offset, what: "index has no name of an object there" })
    }

    /// What is before this byte, which is passed as well.
    fn until(&mut self, stop: u8) -> Result<&'a [u8], Flaw> {
        let rest = self.data.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|&byte| byte == stop);
        let len = len.ok_or(Flaw { offset: self.at, what: "index ends too early" })?;
        let taken = &rest[..len];
        self.at += len + 1;
        Ok(taken)
    }
}
