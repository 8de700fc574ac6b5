//! `Client`: the other end, for whoever works while it waits.

use std::os::fd::RawFd;
use std::sync::Arc;

use pyo3::prelude::*;

use super::errors::source_error;
use crate::client::{self, Presence, Silence};
use crate::source::{ObjectSource, SourceError};
use crate::turns::Turns;
use crate::watch::Watch;

/// Memory that a walk over commits needs for each object there is: of ten objects one is a commit,
/// which has a mark, and a place in a queue or on a path.
const BYTES_AN_OBJECT: u64 = 4;

/// The client of one conversation.
#[pyclass(frozen, module = "gitserve._core")]
pub struct Client {
    inner: Arc<client::Client>,
}

impl Client {
    pub fn shared(&self) -> Arc<client::Client> {
        Arc::clone(&self.inner)
    }

    pub fn descriptor(&self) -> RawFd {
        self.inner.descriptor()
    }
}

#[pymethods]
impl Client {
    #[new]
    #[pyo3(signature = (descriptor, *, may_listen))]
    fn new(descriptor: RawFd, may_listen: bool) -> Self {
        let silence = if may_listen { Silence::MayListen } else { Silence::IsGone };
        Self { inner: Arc::new(client::Client::new(descriptor, silence)) }
    }

    /// The same for work beside which somebody else speaks to it.
    fn spoken_to(&self) -> Self {
        Self { inner: Arc::new(self.inner.spoken_to()) }
    }

    fn has_ended(&self) -> bool {
        Presence::of(self.inner.descriptor()) != Presence::There
    }

    fn look(&self) -> PyResult<()> {
        match self.inner.has_gone() {
            true => Err(source_error(SourceError::ClientGone)),
            false => Ok(()),
        }
    }

    fn take_owed(&self) -> bool {
        self.inner.take_owed()
    }
}

/// For a walk over commits on the thread that would otherwise wait for the client.
pub fn watch(source: &dyn ObjectSource, client: Option<Arc<client::Client>>) -> Watch {
    let bytes = u64::from(source.number_bound()).saturating_mul(BYTES_AN_OBJECT);
    Watch::taking_turns(Turns::of_process().turn(bytes)).of_client(client)
}
