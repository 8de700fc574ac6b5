//! `Chunk`: bytes on their way to a client, lent to Python and not copied for it.

use std::ffi::c_int;
use std::io::ErrorKind;
use std::os::fd::RawFd;
use std::sync::{Arc, OnceLock};

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;

use super::errors::{detached, source_error};
use crate::emit::{self, SendError, Sending};
use crate::source::SourceError;

/// Who has the bytes.
enum Content {
    /// Made for this client, or a file's.
    Own(emit::Chunk),
    /// From this place on they are the same for all who ask the same.
    Shared(Arc<Vec<u8>>, usize),
}

/// See the module. Whatever takes a buffer takes it: `os.write`, `bytes`.
#[pyclass(frozen, module = "gitserve._core")]
pub struct Chunk {
    content: Content,
    /// What a file lends, once somebody needed it in memory.
    read: OnceLock<Vec<u8>>,
}

impl Chunk {
    /// Of bytes that nobody else needs.
    pub fn own(content: emit::Chunk) -> Self {
        Self { content: Content::Own(content), read: OnceLock::new() }
    }

    /// Of what is remembered, from this place on.
    pub fn shared(content: Arc<Vec<u8>>, from: usize) -> Self {
        Self { content: Content::Shared(content, from), read: OnceLock::new() }
    }

    fn bytes(&self) -> Result<&[u8], SourceError> {
        let chunk = match &self.content {
            Content::Own(chunk) => chunk,
            Content::Shared(content, from) => return Ok(content.get(*from..).unwrap_or_default()),
        };
        if let Some(bytes) = chunk.in_memory() {
            return Ok(bytes);
        }
        if self.read.get().is_none() {
            // who reads it at the same time reads the same
            let _ = self.read.set(chunk.to_bytes()?);
        }
        Ok(self.read.get().map_or(&[], Vec::as_slice))
    }
}

#[pymethods]
impl Chunk {
    fn __len__(&self) -> usize {
        match &self.content {
            Content::Own(chunk) => chunk.len(),
            Content::Shared(content, from) => content.len().saturating_sub(*from),
        }
    }

    /// Before Python 3.12 only type checkers ask for it.
    #[pyo3(signature = (flags, /))]
    fn __buffer__<'py>(slf: &Bound<'py, Self>, flags: c_int) -> PyResult<Bound<'py, PyMemoryView>> {
        let _ = flags; // a view that can only be read serves all who may ask
        PyMemoryView::from(slf.as_any())
    }

    /// The bytes, to be read only.
    ///
    /// # Safety
    /// Only the interpreter calls it, with a `view` of its own to be filled.
    unsafe fn __getbuffer__(
        slf: &Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let chunk = slf.get();
        let bytes = match chunk.content {
            Content::Shared(..) => chunk.bytes(),
            Content::Own(_) => slf.py().detach(|| chunk.bytes()),
        };
        let bytes = bytes.map_err(source_error)?;
        let len = ffi::Py_ssize_t::try_from(bytes.len())
            .map_err(|_| PyBufferError::new_err("too long"))?;
        let start = bytes.as_ptr().cast_mut().cast();
        // SAFETY: the bytes belong to a frozen object, so they neither move nor change while it
        // lives, and the view keeps a reference to it. It is read-only: nobody writes through it.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, len, 1, flags) };
        match filled {
            0 => Ok(()),
            _ => Err(PyErr::fetch(slf.py())),
        }
    }

    /// All of it to a connected socket that blocks.
    fn send(&self, py: Python<'_>, socket: RawFd) -> PyResult<()> {
        let mut sending = Sending::default();
        loop {
            let outcome = detached(py, || {
                Ok(match &self.content {
                    Content::Own(chunk) => chunk.send(socket, &mut sending),
                    Content::Shared(content, from) => {
                        let bytes = content.get(*from + sending.sent..).unwrap_or_default();
                        emit::send_bytes(socket, bytes, false, &mut sending.sent)
                    }
                })
            })?;
            match outcome {
                Ok(()) => return Ok(()),
                Err(SendError::Source(error)) => return Err(source_error(error)),
                // also when something was taken: handlers are not to wait until all is
                Err(SendError::Socket(error)) if error.kind() == ErrorKind::Interrupted => {
                    py.check_signals()?;
                }
                Err(SendError::Socket(error)) => return Err(error.into()),
            }
        }
    }
}
