use crate::hash::ObjectId;

/// What HEAD is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// There is none, or none that can be read.
    Missing,
    /// A commit, on no branch.
    Detached(ObjectId),
    /// A branch.
    Symbolic {
        /// The last name that the chain of symbolic refs leads to.
        target: Vec<u8>,
        /// What it holds; `None` while it is unborn.
        id: Option<ObjectId>,
    },
}

impl Head {
    /// The id that HEAD leads to.
    pub fn id(&self) -> Option<ObjectId> {
        match self {
            Head::Missing => None,
            Head::Detached(id) => Some(*id),
            Head::Symbolic { id, .. } => *id,
        }
    }

    /// The branch that HEAD is on.
    pub fn target(&self) -> Option<&[u8]> {
        match self {
            Head::Symbolic { target, .. } => Some(target),
            _ => None,
        }
    }
}
