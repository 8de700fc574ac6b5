//! Object names at the boundary: hexadecimal digits as bytes.

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList};

use super::errors::peer_error;
use crate::hash::{HashKind, IdSet, ObjectId};

/// One id of the repository's format.
pub fn parse(hex: &[u8], kind: HashKind) -> PyResult<ObjectId> {
    ObjectId::from_hex(hex)
        .filter(|id| id.kind() == kind)
        .ok_or_else(|| peer_error(&format!("not a {} object id: {}", kind.name(), printable(hex))))
}

/// Many ids of the repository's format.
pub fn parse_all(hex: &[PyBackedBytes], kind: HashKind) -> PyResult<Vec<ObjectId>> {
    hex.iter().map(|hex| parse(hex, kind)).collect()
}

/// Many ids, as a set.
pub fn parse_set(hex: &[PyBackedBytes], kind: HashKind) -> PyResult<IdSet> {
    hex.iter().map(|hex| parse(hex, kind)).collect()
}

/// `sha1` or `sha256`.
pub fn parse_format(name: &str) -> PyResult<HashKind> {
    HashKind::from_name(name).ok_or_else(|| {
        pyo3::exceptions::PyValueError::new_err(format!("unknown object format {name:?}"))
    })
}

/// An id as Python sees it.
pub fn to_py<'py>(py: Python<'py>, id: &ObjectId) -> Bound<'py, PyBytes> {
    let mut hex = Vec::with_capacity(64);
    id.write_hex(&mut hex);
    PyBytes::new(py, &hex)
}

/// A list of ids as Python sees it.
pub fn list_to_py<'py>(py: Python<'py>, ids: &[ObjectId]) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, ids.iter().map(|id| to_py(py, id)))
}

/// At most 80 bytes of what somebody sent, safe for a log.
fn printable(bytes: &[u8]) -> String {
    bytes.iter().take(80).flat_map(|&b| std::ascii::escape_default(b)).map(char::from).collect()
}
