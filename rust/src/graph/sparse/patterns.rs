//! Sparse-checkout patterns: a file of `gitignore` lines, of which the last one that fits counts.
//!
//! In: the file. Out: for a path, whether it is in the checkout, where a line speaks of it. Nothing
//! is inherited here from the folders above.

use super::effort::Effort;
use super::glob::Glob;
use crate::graph::GraphError;

/// A pattern file may be this large: the patterns are matched against every path.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// The lines of one file.
pub(super) struct Patterns {
    /// The last line first.
    lines: Vec<Line>,
}

struct Line {
    glob: Glob,
    /// It takes out what it fits.
    negative: bool,
    folders_only: bool,
    /// It has no slash, and fits a name in whatever folder.
    name_only: bool,
}

impl Patterns {
    /// Every line that means something.
    pub(super) fn parse(content: &[u8]) -> Self {
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        let mut lines: Vec<Line> = content.split(|&b| b == b'\n').filter_map(Line::parse).collect();
        lines.reverse();
        Self { lines }
    }

    /// Is this path in, or out? `None`: no line speaks of it. `name` is its last part.
    pub(super) fn verdict(
        &self,
        path: &[u8],
        name: &[u8],
        is_folder: bool,
        effort: &mut Effort<'_>,
    ) -> Result<Option<bool>, GraphError> {
        for line in &self.lines {
            effort.spend(1)?;
            let subject = if line.name_only { name } else { path };
            if (is_folder || !line.folders_only) && line.glob.matches(subject, effort)? {
                return Ok(Some(!line.negative));
            }
        }
        Ok(None)
    }
}

impl Line {
    fn parse(raw: &[u8]) -> Option<Self> {
        let line = raw.strip_suffix(b"\r").unwrap_or(raw);
        if line.starts_with(b"#") {
            return None;
        }
        let line = without_trailing_spaces(line);
        let (negative, line) = match line.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let (folders_only, line) = match line.strip_suffix(b"/") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        if line.is_empty() {
            return None;
        }
        let name_only = !line.contains(&b'/');
        let glob = Glob::new(line.strip_prefix(b"/").unwrap_or(line));
        Some(Self { glob, negative, folders_only, name_only })
    }
}

/// Spaces at the end mean nothing, unless a backslash is before them.
fn without_trailing_spaces(line: &[u8]) -> &[u8] {
    let mut end = 0;
    let mut at = 0;
    while at < line.len() {
        at += if line[at] == b'\\' { 2 } else { 1 };
        if line.get(at - 1) != Some(&b' ') || at >= 2 && line[at - 2] == b'\\' {
            end = at.min(line.len());
        }
    }
    &line[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Watch;

    fn verdict(file: &str, path: &str, is_folder: bool) -> Option<bool> {
        let name = path.rsplit('/').next().unwrap();
        let watch = Watch::new();
        let mut effort = Effort::new(10_000, &watch);
        Patterns::parse(file.as_bytes())
            .verdict(path.as_bytes(), name.as_bytes(), is_folder, &mut effort)
            .unwrap()
    }

    #[test]
    fn the_last_line_that_fits_counts() {
        assert_eq!(verdict("/*\n!/*/\n/d/\n", "f", false), Some(true));
        assert_eq!(verdict("/*\n!/*/\n/d/\n", "e", true), Some(false));
        assert_eq!(verdict("/*\n!/*/\n/d/\n", "d", true), Some(true));
        assert_eq!(verdict("/*\n!/*/\n/d/\n", "d/f", false), None);
    }

    #[test]
    fn lines_that_say_nothing() {
        for file in ["", "\n\n", "# f\n", "/\n", "!\n", "!/\n", "   \n"] {
            assert_eq!(verdict(file, "f", false), None, "{file:?}");
        }
    }

    #[test]
    fn the_ends_of_lines() {
        assert_eq!(verdict("f\r\n", "f", false), Some(true));
        assert_eq!(verdict("f  \n", "f", false), Some(true));
        assert_eq!(verdict("f\\ \n", "f ", false), Some(true));
        assert_eq!(verdict("f\\  \n", "f ", false), Some(true));
        assert_eq!(verdict("\u{feff}f", "f", false), Some(true));
        assert_eq!(verdict("\\#f\n\\!g", "#f", false), Some(true));
        assert_eq!(verdict("\\#f\n\\!g", "!g", false), Some(true));
    }

    #[test]
    fn names_and_paths() {
        assert_eq!(verdict("f", "a/b/f", false), Some(true));
        assert_eq!(verdict("/f", "a/f", false), None);
        assert_eq!(verdict("b/f", "a/b/f", false), None);
        assert_eq!(verdict("f/", "a/f", false), None);
        assert_eq!(verdict("f/", "a/f", true), Some(true));
    }
}
