//! Object filters of partial clones (`--filter=<filter-spec>` in `git-rev-list`).

use crate::hash::ObjectId;
use crate::object::ObjectKind;

/// Why a filter-spec cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Not a filter-spec.
    #[error("invalid filter-spec '{0}'")]
    Invalid(String),
    /// A kind of filter that this server does not have.
    #[error("filter '{0}' not supported")]
    Unsupported(String),
    /// Nested too deeply, or too many parts.
    #[error("filter-spec is too complex")]
    TooComplex,
}

/// What to leave out. Objects that were asked for by their ids are never left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Filter {
    /// Leave nothing out.
    #[default]
    None,
    /// No blobs.
    BlobNone,
    /// No blobs of this many bytes or more.
    BlobLimit(u64),
    /// No trees and blobs this many levels, or more, below the root tree.
    TreeDepth(u64),
    /// Objects of one kind only.
    ObjectType(ObjectKind),
    /// No blobs that a sparse checkout by the patterns in this blob would not have.
    SparseOid(ObjectId),
    /// What each of these lets through.
    Combine(Vec<Filter>),
}

/// A `combine:` may nest, and a stranger writes it.
const MAX_NESTING: usize = 16;
/// Parts of one `combine:`; each is asked for each object.
const MAX_PARTS: usize = 64;

impl Filter {
    /// Parses a filter-spec.
    pub fn parse(spec: &[u8]) -> Result<Self, FilterError> {
        parse_nested(spec, MAX_NESTING)
    }

    /// The blobs with sparse-checkout patterns, and the filter without them.
    pub(super) fn split_sparse(&self) -> (Vec<ObjectId>, Filter) {
        let (mut sparse, mut rest) = (Vec::new(), Vec::new());
        for part in self.parts() {
            match part {
                Filter::SparseOid(id) if sparse.contains(id) => {}
                Filter::SparseOid(id) => sparse.push(*id),
                other => rest.push(other.clone()),
            }
        }
        let rest = if rest.is_empty() { Filter::None } else { Filter::Combine(rest) };
        (sparse, rest)
    }

    /// Does any part of it go by path?
    pub(super) fn has_sparse(&self) -> bool {
        self.parts().into_iter().any(|part| matches!(part, Filter::SparseOid(_)))
    }

    /// The filters to be applied one after the other, `combine:` taken apart.
    pub(super) fn parts(&self) -> Vec<&Filter> {
        let (mut parts, mut todo) = (Vec::new(), vec![self]);
        while let Some(filter) = todo.pop() {
            match filter {
                Filter::None => {}
                Filter::Combine(inner) => todo.extend(inner.iter().rev()),
                single => parts.push(single),
            }
        }
        parts
    }
}

fn parse_nested(spec: &[u8], nesting: usize) -> Result<Filter, FilterError> {
    let invalid = || FilterError::Invalid(String::from_utf8_lossy(spec).into_owned());
    if spec == b"blob:none" {
        return Ok(Filter::BlobNone);
    }
    if let Some(limit) = spec.strip_prefix(b"blob:limit=") {
        return magnitude(limit).map(Filter::BlobLimit).ok_or_else(invalid);
    }
    if let Some(depth) = spec.strip_prefix(b"tree:") {
        return magnitude(depth).map(Filter::TreeDepth).ok_or_else(invalid);
    }
    if let Some(kind) = spec.strip_prefix(b"object:type=") {
        return ObjectKind::from_name(kind).map(Filter::ObjectType).ok_or_else(invalid);
    }
    if let Some(parts) = spec.strip_prefix(b"combine:") {
        let nesting = nesting.checked_sub(1).ok_or(FilterError::TooComplex)?;
        let parts: Vec<&[u8]> = parts.split(|&b| b == b'+').collect();
        if parts.len() > MAX_PARTS {
            return Err(FilterError::TooComplex);
        }
        return parts
            .into_iter()
            .map(|part| parse_nested(&url_decode(part).ok_or_else(invalid)?, nesting))
            .collect::<Result<_, _>>()
            .map(Filter::Combine);
    }
    if let Some(id) = spec.strip_prefix(b"sparse:oid=") {
        // what names mean is settled by whoever knows refs
        return ObjectId::from_hex(id).map(Filter::SparseOid).ok_or_else(invalid);
    }
    if spec.starts_with(b"sparse:") {
        return Err(FilterError::Unsupported(String::from_utf8_lossy(spec).into_owned()));
    }
    Err(invalid())
}

/// A number with git's suffixes k, m and g.
fn magnitude(text: &[u8]) -> Option<u64> {
    let (digits, shift) = match text.split_last()? {
        (b'k' | b'K', rest) => (rest, 10),
        (b'm' | b'M', rest) => (rest, 20),
        (b'g' | b'G', rest) => (rest, 30),
        _ => (text, 0),
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    value.checked_mul(1 << shift)
}

fn url_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            let high = char::from(digits[0]).to_digit(16)?;
            let low = char::from(digits[1]).to_digit(16)?;
            out.push((high * 16 + low) as u8);
            rest = after;
        } else {
            out.push(byte);
            rest = after;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_are_read() {
        assert_eq!(Filter::parse(b"blob:none"), Ok(Filter::BlobNone));
        assert_eq!(Filter::parse(b"blob:limit=2k"), Ok(Filter::BlobLimit(2048)));
        assert_eq!(Filter::parse(b"tree:0"), Ok(Filter::TreeDepth(0)));
        assert_eq!(
            Filter::parse(b"object:type=tag"),
            Ok(Filter::ObjectType(crate::object::ObjectKind::Tag))
        );
        assert_eq!(
            Filter::parse(b"combine:blob:none+combine:tree%3A3%2bblob:limit%3d1"),
            Ok(Filter::Combine(vec![
                Filter::BlobNone,
                Filter::Combine(vec![Filter::TreeDepth(3), Filter::BlobLimit(1)])
            ]))
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            &b""[..],
            b"blob",
            b"blob:limit=",
            b"blob:limit=-1",
            b"blob:limit=k",
            b"blob:limit=99999999999g",
            b"tree:x",
            b"object:type=thing",
            b"combine:",
            b"combine:blob:none+%4",
            b"blob:none ",
        ] {
            assert!(matches!(Filter::parse(bad), Err(FilterError::Invalid(_))), "{bad:?}");
        }
        assert!(matches!(Filter::parse(b"sparse:oid=main:x"), Err(FilterError::Invalid(_))));
        assert!(matches!(Filter::parse(b"sparse:path=x"), Err(FilterError::Unsupported(_))));
        let mut deep = b"blob:none".to_vec();
        for _ in 0..40 {
            deep = [&b"combine:"[..], &deep].concat();
        }
        assert_eq!(Filter::parse(&deep), Err(FilterError::TooComplex));
    }
}
