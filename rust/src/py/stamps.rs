//! Files that are watched for changes.

use std::path::PathBuf;

use pyo3::prelude::*;

use super::errors::{Class, detached, error};
use crate::stamps::{Stamp, Stamps};

/// Device, inode, size, times of content and inode in nanoseconds.
type Identity = (u64, u64, u64, i64, i64);

/// Files with what told them from others.
#[pyclass(frozen, module = "gitserve._core")]
pub struct FileStamps(Stamps);

#[pymethods]
impl FileStamps {
    #[new]
    fn new(seen: Vec<(PathBuf, Option<Identity>)>) -> Self {
        let seen = seen.into_iter().map(|(path, found)| {
            let stamp = found.map(|(device, inode, size, modified, changed)| {
                Stamp::new(device, inode, size, modified.into(), changed.into())
            });
            (path, stamp)
        });
        Self(Stamps::new(seen.collect()))
    }

    fn stand(&self, py: Python<'_>) -> PyResult<bool> {
        detached(py, || {
            self.0.stand().map_err(|(path, fault)| {
                error(Class::Repository, format!("{}: {fault}", path.display()))
            })
        })
    }
}
