//! Which refs a client is not told about (`transfer.hideRefs` in `git-config`).

/// The patterns of one configuration, last one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HidePatterns {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    prefix: Vec<u8>,
    /// `!`: what matches is shown after all.
    shows: bool,
    /// `^`: compared with the name before a namespace is taken off it.
    full: bool,
}

impl HidePatterns {
    /// Of values in the order of the configuration.
    pub(super) fn new(values: &[&[u8]]) -> Self {
        let parse = |value: &&[u8]| {
            let (shows, value) = match value.strip_prefix(b"!") {
                Some(rest) => (true, rest),
                None => (false, *value),
            };
            let (full, mut value) = match value.strip_prefix(b"^") {
                Some(rest) => (true, rest),
                None => (false, value),
            };
            while let Some(rest) = value.strip_suffix(b"/") {
                value = rest;
            }
            Pattern { prefix: value.to_vec(), shows, full }
        };
        Self { patterns: values.iter().rev().map(parse).collect() }
    }

    /// Is a ref hidden? `name` is without, `full_name` with the namespace it is in; the last
    /// pattern that matches decides.
    pub(super) fn hide(&self, name: &[u8], full_name: &[u8]) -> bool {
        self.patterns
            .iter()
            .find(|pattern| {
                let name = if pattern.full { full_name } else { name };
                name.strip_prefix(&pattern.prefix[..])
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
            })
            .is_some_and(|pattern| !pattern.shows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hides(patterns: &[&str], name: &str) -> bool {
        let patterns: Vec<&[u8]> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
        HidePatterns::new(&patterns).hide(name.as_bytes(), name.as_bytes())
    }

    #[test]
    fn whole_components_and_the_last_word() {
        assert!(hides(&["refs/pull"], "refs/pull") && hides(&["refs/pull/"], "refs/pull/1"));
        assert!(!hides(&["refs/pull"], "refs/pulled") && !hides(&["refs/pull"], "refs"));
        assert!(!hides(&["refs", "!refs/heads"], "refs/heads/a"));
        assert!(hides(&["!refs/heads", "refs"], "refs/heads/a"));
        assert!(hides(&["!refs/heads", "!refs/heads", "^refs/heads/a"], "refs/heads/a"));
        assert!(hides(&["HEAD"], "HEAD") && !hides(&[""], "refs/heads/a"));
        assert!(!hides(&["^!refs"], "refs/a"));
    }

    #[test]
    fn a_caret_means_the_name_with_its_namespace() {
        let patterns = HidePatterns::new(&[b"^refs/namespaces/a/refs/heads", b"refs/tags"]);
        assert!(patterns.hide(b"refs/heads/x", b"refs/namespaces/a/refs/heads/x"));
        assert!(!patterns.hide(b"refs/heads/x", b"refs/namespaces/b/refs/heads/x"));
        assert!(patterns.hide(b"refs/tags/x", b"refs/namespaces/b/refs/tags/x"));
    }
}
