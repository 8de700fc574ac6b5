//! Where histories end early: the repository's own grafts and the client's.

use crate::hash::{IdSet, ObjectId};

/// The shallow commits that a walk has to respect.
#[derive(Debug, Clone, Default)]
pub struct Shallow {
    /// What the client has of these commits ends there: it lacks their parents.
    pub client: IdSet,
    /// The repository's own: their parents are not here.
    pub server: IdSet,
    /// Commits that this answer tells the client to cut (`shallow` lines).
    pub new_boundary: IdSet,
    /// Commits of [`Shallow::client`] that get their parents in this answer (`unshallow` lines).
    pub unshallow: IdSet,
}

impl Shallow {
    /// Is history to be walked as if this commit had no parents?
    ///
    /// An unshallowed commit still counts: its parents are wanted for themselves, while the
    /// client's own history ends at it.
    #[inline]
    pub fn cuts(&self, id: &ObjectId) -> bool {
        self.client.contains(id) || self.server.contains(id) || self.new_boundary.contains(id)
    }

    /// True when no history is cut.
    pub fn is_empty(&self) -> bool {
        self.client.is_empty() && self.server.is_empty() && self.new_boundary.is_empty()
    }
}
