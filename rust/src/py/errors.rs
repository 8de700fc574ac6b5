//! The one conversion of the core's errors into the exceptions of `gitserve.errors`.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::source::SourceError;

/// The classes of `gitserve.errors` that the core raises.
#[derive(Clone, Copy, Debug)]
pub enum Class {
    Peer,
    Pack,
    Repository,
    MissingObject,
    NoRepository,
    Refused,
    Cancelled,
    Busy,
    Hangup,
    Internal,
}

const COUNT: usize = 10;

impl Class {
    const fn name(self) -> &'static str {
        match self {
            Class::Peer => "PeerError",
            Class::Pack => "PackError",
            Class::Repository => "RepositoryError",
            Class::MissingObject => "MissingObject",
            Class::NoRepository => "NoRepository",
            Class::Refused => "Refused",
            Class::Cancelled => "Cancelled",
            Class::Busy => "Busy",
            Class::Hangup => "HangupError",
            Class::Internal => "InternalError",
        }
    }
}

/// An exception of this class.
pub fn error(class: Class, message: String) -> PyErr {
    static CLASSES: [PyOnceLock<Py<PyType>>; COUNT] = [const { PyOnceLock::new() }; COUNT];
    Python::attach(|py| match CLASSES[class as usize].import(py, "gitserve.errors", class.name()) {
        Ok(found) => PyErr::from_type(found.clone(), message),
        Err(error) => error,
    })
}

/// An exception whose words the peer may read.
pub fn wire_error(class: Class, message: String, wire: &str) -> PyErr {
    let raised = error(class, message);
    Python::attach(|py| {
        let bytes = pyo3::types::PyBytes::new(py, wire.as_bytes());
        match raised.value(py).setattr("wire", bytes) {
            Ok(()) => raised,
            Err(error) => error,
        }
    })
}

/// The peer's fault.
pub fn peer_error(message: &str) -> PyErr {
    error(Class::Peer, message.to_owned())
}

/// What a source says.
pub fn source_error(error_: SourceError) -> PyErr {
    let class = match &error_ {
        SourceError::Missing(_) => Class::MissingObject,
        SourceError::Corrupt { .. }
        | SourceError::WrongKind { .. }
        | SourceError::Malformed { .. }
        | SourceError::Io { .. }
        | SourceError::Foreign(_) => Class::Repository,
        SourceError::TooLarge { .. }
        | SourceError::TooLong { .. }
        | SourceError::TooMuch { .. } => Class::Refused,
        SourceError::Cancelled => Class::Cancelled,
        SourceError::ClientGone => Class::Hangup,
        SourceError::Busy => Class::Busy,
    };
    error(class, error_.to_string())
}

/// Runs `work` detached from the interpreter; a panic becomes an exception that names a bug.
pub fn detached<T, F>(py: Python<'_>, work: F) -> PyResult<T>
where
    F: FnOnce() -> PyResult<T> + Send,
    T: Send,
{
    py.detach(|| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let what = panic
                .downcast_ref::<&str>()
                .map(|s| (*s).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            Err(error(Class::Internal, format!("bug in gitserve's core: {what}")))
        })
    })
}
