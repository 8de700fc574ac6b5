//! `packed-refs` as a sorted table (`git-pack-refs`; the format is told in its header line).
//!
//! The file is read whole and stays as it is, text; beside it there are four bytes a ref, the
//! offset of its line. An advertised line is a packed line with a length before it, so that
//! encoding copies and does not format. It is read, not mapped: whoever truncates the file under
//! a mapping kills the process.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::RefError;
use super::name;
use super::stamp::{Seen, Stamp};
use crate::hash::{HashKind, ObjectId};

/// Offsets are 32 bits; 4 GiB of refs are some sixty million of them.
const MAX_BYTES: u64 = u32::MAX as u64;

/// So many warnings tell a person what is wrong; more would only fill the log.
const MAX_WARNINGS: usize = 100;

/// What a packed ref's line says about the object behind a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peeled<'a> {
    /// The ref names a tag, and this is behind it: hexadecimal digits.
    To(&'a [u8]),
    /// The ref names no tag.
    NoTag,
    /// The file was written before it could be told.
    Unknown,
}

/// For which refs the absence of a `^` line says that there is no tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum PeelTrait {
    /// For none: no header.
    #[default]
    None,
    /// `peeled`: for those below `refs/tags/`.
    Tags,
    /// `fully-peeled`: for all.
    All,
}

/// All packed refs, sorted by name.
#[derive(Debug, Default)]
pub(super) struct PackedRefs {
    text: Vec<u8>,
    /// Where the lines of refs begin, in order of the refs' names.
    lines: Vec<u32>,
    hex_len: usize,
    peel_trait: PeelTrait,
    /// The lines are in the file as they are in the table.
    is_in_order: bool,
    /// What was passed over.
    pub(super) warnings: Vec<String>,
}

/// The file as it was last seen; `seen` is `None` when there was none.
#[derive(Debug, Default)]
pub(super) struct PackedFile {
    pub(super) table: Arc<PackedRefs>,
    seen: Option<Seen>,
}

impl PackedFile {
    /// Sees the file again; no file is no refs. True when the refs in it are others than before.
    pub(super) fn refresh(&mut self, path: &Path, kind: HashKind) -> Result<bool, RefError> {
        let read_at = SystemTime::now();
        let meta = match std::fs::metadata(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(self.absent()),
            Err(error) => return Err(RefError::io(path, error)),
        };
        if self.seen.is_some_and(|seen| seen.is_still(&Stamp::of(&meta))) {
            return Ok(false);
        }
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(self.absent()),
            Err(error) => return Err(RefError::io(path, error)),
        };
        let meta = file.metadata().map_err(|error| RefError::io(path, error))?;
        if meta.len() > MAX_BYTES {
            let file = path.display().to_string();
            return Err(RefError::TooLarge { file, size: meta.len(), limit: MAX_BYTES });
        }
        let mut text = Vec::with_capacity(meta.len() as usize + 1);
        file.by_ref()
            .take(MAX_BYTES)
            .read_to_end(&mut text)
            .map_err(|error| RefError::io(path, error))?;
        let changed = self.seen.is_none() || text != self.table.text;
        if changed {
            self.table = Arc::new(PackedRefs::parse(text, kind, path)?);
        }
        self.seen = Some(Seen::new(Stamp::of(&meta), read_at));
        Ok(changed)
    }

    fn absent(&mut self) -> bool {
        let was_there = self.seen.is_some();
        if was_there {
            *self = Self::default();
        }
        was_there
    }
}

impl PackedRefs {
    /// A table of this file content. `path` is named in errors.
    pub(super) fn parse(text: Vec<u8>, kind: HashKind, path: &Path) -> Result<Self, RefError> {
        let hex_len = kind.hex_len();
        let mut table = Self { text, hex_len, ..Self::default() };
        let mut text = std::mem::take(&mut table.text);
        let corrupt = |line: usize, what: &'static str| RefError::Corrupt {
            file: path.display().to_string(),
            line,
            what,
        };
        // a guess that is never far above: no ref takes less
        table.lines.reserve(text.len() / (hex_len + "  refs/heads/x\n".len()));
        let mut at = 0;
        let mut number = 0;
        let mut sorted = true;
        let mut may_peel = false;
        while at < text.len() {
            number += 1;
            let Some(len) = text[at..].iter().position(|&byte| byte == b'\n') else {
                return Err(corrupt(number, "unterminated line"));
            };
            let line = &mut text[at..at + len];
            let begin = at;
            at += len + 1;
            if number == 1 && line.first() == Some(&b'#') {
                table.peel_trait = header(line).ok_or_else(|| corrupt(1, "unexpected line"))?;
                continue;
            }
            if line.first() == Some(&b'^') {
                let digits = &mut line[1..];
                if !may_peel || digits.len() != hex_len || !lower_hex(digits) {
                    return Err(corrupt(number, "unexpected peeled line"));
                }
                may_peel = false;
                continue;
            }
            if line.len() <= hex_len || line[hex_len] != b' ' || !lower_hex(&mut line[..hex_len]) {
                return Err(corrupt(number, "unexpected line"));
            }
            may_peel = true;
            let name = &line[hex_len + 1..];
            let broken = if !name::is_listed(name) {
                Some("ref with broken name")
            } else if line[..hex_len].iter().all(|&digit| digit == b'0') {
                Some("broken ref")
            } else {
                None
            };
            if let Some(what) = broken {
                if table.warnings.len() < MAX_WARNINGS {
                    let (path, name) = (path.display(), name.escape_ascii());
                    table.warnings.push(format!("{path}:{number}: ignoring {what} {name}"));
                }
                continue;
            }
            if let Some(&last) = table.lines.last() {
                sorted &= name_at(&text, last as usize + hex_len + 1)
                    < name_at(&text, begin + hex_len + 1);
            }
            // fits because the file's size was checked
            table.lines.push(begin as u32);
        }
        if !sorted {
            let name = |&line: &u32| name_at(&text, line as usize + hex_len + 1);
            table.lines.sort_by(|a, b| name(a).cmp(name(b)));
            table.lines.dedup_by(|later, first| name(later) == name(first));
        }
        table.is_in_order = sorted;
        table.lines.shrink_to_fit();
        table.text = text;
        Ok(table)
    }

    /// How many refs there are.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The name of a ref.
    #[inline]
    pub(super) fn name(&self, row: usize) -> &[u8] {
        name_at(&self.text, self.lines[row] as usize + self.hex_len + 1)
    }

    /// The digits of the id that a ref holds.
    #[inline]
    pub(super) fn hex(&self, row: usize) -> &[u8] {
        let begin = self.lines[row] as usize;
        &self.text[begin..begin + self.hex_len]
    }

    /// The id that a ref holds.
    pub(super) fn id(&self, row: usize) -> ObjectId {
        ObjectId::from_hex(self.hex(row)).expect("digits because parse has checked them")
    }

    /// Calls `write` with the lines of these refs, peeled ones included, as few times as can be.
    pub(super) fn copy_lines(
        &self,
        rows: Range<usize>,
        mut write: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        if !self.is_in_order {
            return rows.into_iter().try_for_each(|row| write(&self.text[self.lines_of(row)]));
        }
        match (rows.clone().next(), rows.last()) {
            (Some(first), Some(last)) => {
                write(&self.text[self.lines_of(first).start..self.lines_of(last).end])
            }
            _ => Ok(()),
        }
    }

    /// Where a ref's line and the peeled one after it are.
    fn lines_of(&self, row: usize) -> Range<usize> {
        let begin = self.lines[row] as usize;
        let end = begin + self.hex_len + 1 + self.name(row).len() + 1;
        let peeled = if self.text.get(end) == Some(&b'^') { self.hex_len + 2 } else { 0 };
        begin..end + peeled
    }

    /// The header line of a file with these refs and any others whose tags are peeled.
    ///
    /// Sorted now, whatever it was; what no peeled line means stays as it was.
    pub(super) fn header(&self) -> &'static str {
        match self.peel_trait {
            PeelTrait::All => "# pack-refs with: peeled fully-peeled sorted \n",
            _ if self.lines.is_empty() => "# pack-refs with: peeled fully-peeled sorted \n",
            PeelTrait::Tags => "# pack-refs with: peeled sorted \n",
            PeelTrait::None => "# pack-refs with: sorted \n",
        }
    }

    /// What is behind it.
    #[inline]
    pub(super) fn peeled(&self, row: usize) -> Peeled<'_> {
        let name = self.name(row);
        let next = self.lines[row] as usize + self.hex_len + 1 + name.len() + 1;
        if self.text.get(next) == Some(&b'^') {
            return Peeled::To(&self.text[next + 1..next + 1 + self.hex_len]);
        }
        match self.peel_trait {
            PeelTrait::All => Peeled::NoTag,
            PeelTrait::Tags if name.starts_with(b"refs/tags/") => Peeled::NoTag,
            _ => Peeled::Unknown,
        }
    }

    /// The row of a ref.
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        let row = self.lower_bound(name);
        (row < self.len() && self.name(row) == name).then_some(row)
    }

    /// The rows whose names begin with `prefix`.
    pub(super) fn range(&self, prefix: &[u8]) -> Range<usize> {
        let begin = self.lower_bound(prefix);
        let more = self.lines[begin..]
            .partition_point(|&line| self.name_of_line(line).starts_with(prefix));
        begin..begin + more
    }

    /// The first row whose name is not before `name`.
    pub(super) fn lower_bound(&self, name: &[u8]) -> usize {
        self.lines.partition_point(|&line| self.name_of_line(line) < name)
    }

    #[inline]
    fn name_of_line(&self, line: u32) -> &[u8] {
        name_at(&self.text, line as usize + self.hex_len + 1)
    }
}

/// Makes a table of refs that come from elsewhere, all tags peeled.
#[derive(Debug)]
pub(super) struct PackedBuilder {
    table: PackedRefs,
}

impl PackedBuilder {
    pub(super) fn new(kind: HashKind) -> Self {
        let (hex_len, peel_trait) = (kind.hex_len(), PeelTrait::All);
        let table = PackedRefs { hex_len, peel_trait, is_in_order: true, ..PackedRefs::default() };
        Self { table }
    }

    /// Adds a ref: a valid name that comes after all before, and an id that is not zeros.
    pub(super) fn push(
        &mut self,
        name: &[u8],
        id: &ObjectId,
        peeled: Option<&ObjectId>,
    ) -> Result<(), RefError> {
        let text = &mut self.table.text;
        self.table.lines.push(super::overlay::offset(text.len())?);
        id.write_hex(text);
        text.push(b' ');
        text.extend_from_slice(name);
        text.push(b'\n');
        if let Some(peeled) = peeled {
            text.push(b'^');
            peeled.write_hex(text);
            text.push(b'\n');
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> PackedRefs {
        self.table.text.shrink_to_fit();
        self.table.lines.shrink_to_fit();
        self.table
    }
}

/// The bytes from `at` to the end of the line; every line has one.
#[inline]
fn name_at(text: &[u8], at: usize) -> &[u8] {
    let rest = &text[at..];
    let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    &rest[..end]
}

/// The traits of `# pack-refs with: peeled fully-peeled sorted `; `None` when it is no header.
///
/// `sorted` is not believed but seen, and traits that nobody knows yet are passed over, as git
/// does.
fn header(line: &[u8]) -> Option<PeelTrait> {
    let traits = line.strip_prefix(b"# pack-refs with:")?;
    let has = |wanted: &[u8]| traits.split(|&byte| byte == b' ').any(|word| word == wanted);
    Some(if has(b"fully-peeled") {
        PeelTrait::All
    } else if has(b"peeled") {
        PeelTrait::Tags
    } else {
        PeelTrait::None
    })
}

/// Are these hexadecimal digits? Makes them lower case.
#[inline]
fn lower_hex(digits: &mut [u8]) -> bool {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return false;
    }
    digits.make_ascii_lowercase();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "1111111111111111111111111111111111111111";
    const B: &str = "ABCDEF2222222222222222222222222222222222";

    fn parse(text: &str) -> Result<PackedRefs, RefError> {
        let path = Path::new("repo/packed-refs");
        PackedRefs::parse(text.as_bytes().to_vec(), HashKind::Sha1, path)
    }

    fn names(table: &PackedRefs) -> Vec<String> {
        (0..table.len()).map(|row| String::from_utf8_lossy(table.name(row)).into_owned()).collect()
    }

    #[test]
    fn unsorted_files_are_sorted() {
        let table = parse(&format!(
            "# pack-refs with: sorted \n{A} refs/tags/b\n^{B}\n{B} refs/heads/a\n{A} refs/heads/a\n"
        ))
        .unwrap();
        assert_eq!(names(&table), ["refs/heads/a", "refs/tags/b"]);
        assert_eq!(table.find(b"refs/heads/a"), Some(0));
        assert_eq!(table.find(b"refs/heads"), None);
        assert_eq!(table.id(0).to_hex(), B.to_lowercase());
        assert_eq!(table.peeled(1), Peeled::To(B.to_lowercase().as_bytes()));
        assert_eq!(table.peeled(0), Peeled::Unknown);
    }

    #[test]
    fn traits_say_what_no_peeled_line_means() {
        let refs = format!("{A} refs/heads/a\n{A} refs/tags/b\n");
        for (traits, head, tag) in [
            ("", Peeled::Unknown, Peeled::Unknown),
            ("# pack-refs with: peeled \n", Peeled::Unknown, Peeled::NoTag),
            ("# pack-refs with: peeled fully-peeled sorted \n", Peeled::NoTag, Peeled::NoTag),
            ("# pack-refs with: new-thing sorted\n", Peeled::Unknown, Peeled::Unknown),
        ] {
            let table = parse(&format!("{traits}{refs}")).unwrap();
            assert_eq!((table.peeled(0), table.peeled(1)), (head, tag), "{traits}");
        }
    }

    #[test]
    fn a_malformed_line_is_named() {
        for (text, line) in [
            ("garbage\n".to_owned(), 1),
            (format!("{A} refs/heads/a"), 1),
            (format!("{A} refs/heads/a\n\n"), 2),
            (format!("{A} refs/heads/a\n^zz\n"), 2),
            (format!("^{A}\n{A} refs/heads/a\n"), 1),
            (format!("{A} refs/heads/a\n^{A}\n^{A}\n"), 3),
            (format!("{A} refs/heads/a\n# comment\n"), 2),
            ("# comment\n".to_owned(), 1),
            ("# pack-refs with: peeled".to_owned(), 1),
            (format!("{A}\trefs/heads/a\n"), 1),
            (format!("{}\n", &A[..39]), 1),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("repo/packed-refs:{line}: ")), "{text:?}: {error}");
        }
    }

    #[test]
    fn broken_names_and_zeros_are_left_out_with_a_warning() {
        let zeros = "0".repeat(40);
        let text =
            format!("{A} refs/../a\n^{B}\n{A} HEAD\n{zeros} refs/heads/z\n{A} refs/heads/a\n");
        let table = parse(&text).unwrap();
        let warnings = &table.warnings;
        assert_eq!(names(&table), ["refs/heads/a"]);
        assert_eq!(warnings.len(), 3);
        assert!(warnings[0].contains("packed-refs:1") && warnings[0].contains("refs/../a"));
    }

    #[test]
    fn ranges_of_prefixes() {
        let table =
            parse(&format!("{A} refs/a/1\n{A} refs/b\n{A} refs/b/1\n{A} refs/c\n")).unwrap();
        assert_eq!(table.range(b"refs/b"), 1..3);
        assert_eq!(table.range(b"refs/b/"), 2..3);
        assert_eq!(table.range(b""), 0..4);
        assert_eq!(table.range(b"refs/d"), 4..4);
    }
}
