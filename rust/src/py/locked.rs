//! `LockedFile`.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::errors::{Class, detached, error};
use crate::refs::{self, UpdateError};
use crate::sharing::Sharing;

fn lock_error(error_: &UpdateError) -> PyErr {
    let what = match error_ {
        UpdateError::Locked { file } => format!("{file}: File exists"),
        UpdateError::Io { file, error } => format!("{file}: {error}"),
        other => other.detail(),
    };
    error(Class::Repository, what)
}

#[pyclass(frozen, module = "gitserve._core")]
pub struct LockedFile {
    inner: Mutex<Option<refs::LockedFile>>,
}

impl LockedFile {
    fn locked(&self) -> std::sync::MutexGuard<'_, Option<refs::LockedFile>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl LockedFile {
    #[new]
    #[pyo3(signature = (common_dir, name, *, sharing = 0))]
    fn new(py: Python<'_>, common_dir: PathBuf, name: &str, sharing: i32) -> PyResult<Self> {
        detached(py, || {
            let sharing = Sharing::from_code(sharing);
            let locked = refs::LockedFile::acquire(&common_dir, name, sharing);
            let inner = Mutex::new(Some(locked.map_err(|error| lock_error(&error))?));
            Ok(Self { inner })
        })
    }

    fn read<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let content = detached(py, || match self.locked().as_ref() {
            Some(locked) => locked.read().map_err(|error| lock_error(&error)),
            None => Ok(Vec::new()),
        })?;
        Ok(PyBytes::new(py, &content))
    }

    fn replace(&self, py: Python<'_>, content: &[u8]) -> PyResult<()> {
        detached(py, || match self.locked().take() {
            Some(locked) => locked.replace(content).map_err(|error| lock_error(&error)),
            None => Err(error(Class::Internal, "the lock was given back already".to_owned())),
        })
    }

    fn release(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || {
            drop(self.locked().take());
            Ok(())
        })
    }
}
