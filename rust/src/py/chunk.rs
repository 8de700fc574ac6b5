//! `Chunk`: bytes on their way to a client, lent to Python and not copied for it.

use std::ffi::c_int;
use std::sync::Arc;

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;

/// Who has the bytes.
enum Content {
    /// Made for this client.
    Own(Vec<u8>),
    /// From this place on they are the same for all who ask the same.
    Shared(Arc<Vec<u8>>, usize),
}

/// See the module. Whatever takes a buffer takes it: a socket's `sendall`, `os.write`, `bytes`.
#[pyclass(frozen, module = "gitserve._core")]
pub struct Chunk {
    content: Content,
}

impl Chunk {
    /// Of bytes that nobody else needs.
    pub fn own(content: Vec<u8>) -> Self {
        Self { content: Content::Own(content) }
    }

    /// Of what is remembered, from this place on.
    pub fn shared(content: Arc<Vec<u8>>, from: usize) -> Self {
        Self { content: Content::Shared(content, from) }
    }

    fn bytes(&self) -> &[u8] {
        match &self.content {
            Content::Own(content) => content,
            Content::Shared(content, from) => content.get(*from..).unwrap_or_default(),
        }
    }
}

#[pymethods]
impl Chunk {
    fn __len__(&self) -> usize {
        self.bytes().len()
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
        let bytes = slf.get().bytes();
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
}
