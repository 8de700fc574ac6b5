//! `Pieces`: an object's content, a little at a time.

use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, bounded};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::errors::{Class, detached, error, source_error};
use crate::source::{ObjectNumber, ObjectSource, SourceError};

/// Bytes given at once: what the inflater yields is gathered to so much.
const PIECE: usize = 256 * 1024;
/// Pieces that are ready before they are asked for.
const AHEAD: usize = 4;

type Piece = Result<Vec<u8>, SourceError>;

#[pyclass(frozen, module = "gitserve._core")]
pub struct Pieces {
    inner: Mutex<Option<Receiver<Piece>>>,
}

impl Pieces {
    pub fn start(source: Arc<dyn ObjectSource>, number: ObjectNumber) -> PyResult<Self> {
        let (give, take) = bounded(AHEAD);
        let work = move || {
            let mut gathered = Vec::with_capacity(PIECE);
            let outcome = source.reader().stream(number, &mut |piece| {
                gathered.extend_from_slice(piece);
                // nobody takes it any more: the reader stops, too
                gathered.len() < PIECE || give.send(Ok(std::mem::take(&mut gathered))).is_ok()
            });
            let last = match outcome {
                Ok(()) => Ok(gathered),
                Err(error) => Err(error),
            };
            let _ = give.send(last);
        };
        std::thread::Builder::new()
            .name("gitserve-pieces".to_owned())
            .spawn(work)
            .map_err(|problem| error(Class::Internal, problem.to_string()))?;
        Ok(Self { inner: Mutex::new(Some(take)) })
    }
}

#[pymethods]
impl Pieces {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let piece = detached(py, || {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = inner.as_ref().and_then(|take| take.recv().ok());
            if !matches!(taken, Some(Ok(_))) {
                *inner = None;
            }
            taken.transpose().map_err(source_error)
        })?;
        Ok(piece.filter(|piece| !piece.is_empty()).map(|piece| PyBytes::new(py, &piece)))
    }
}
