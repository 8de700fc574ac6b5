//! `PackCache`.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use super::errors::detached;
use crate::cache;

/// A folder of remembered packs.
#[pyclass(frozen, module = "gitserve._core")]
pub struct PackCache {
    pub inner: Arc<cache::PackCache>,
}

#[pymethods]
impl PackCache {
    #[staticmethod]
    fn open(py: Python<'_>, directory: PathBuf, size: u64) -> PyResult<Self> {
        detached(py, || {
            let told = |error| PyOSError::new_err(format!("{}: {error}", directory.display()));
            let inner = cache::PackCache::open(&directory, size).map_err(told)?;
            Ok(Self { inner })
        })
    }

    #[getter]
    fn size(&self) -> u64 {
        self.inner.limit()
    }

    #[getter]
    fn hits(&self) -> u64 {
        self.inner.counts().hits
    }

    #[getter]
    fn misses(&self) -> u64 {
        self.inner.counts().misses
    }

    #[getter]
    fn followers(&self) -> u64 {
        self.inner.counts().followers
    }

    #[getter]
    fn bytes(&self) -> u64 {
        self.inner.counts().bytes
    }
}
