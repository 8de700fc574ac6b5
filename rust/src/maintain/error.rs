use std::path::Path;

use crate::graph::GraphError;
use crate::ingest::IngestError;
use crate::plan::PlanError;
use crate::refs::RefError;
use crate::source::SourceError;

/// Why the upkeep was given up. The repository is as good as before.
#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    /// Somebody else is at it.
    #[error("{0} keeps this repository in order already")]
    Running(String),
    /// An object could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// What refs reach could not be found out.
    #[error(transparent)]
    Graph(GraphError),
    /// The refs could not be read.
    #[error(transparent)]
    Refs(#[from] RefError),
    /// A new file could not be written.
    #[error(transparent)]
    Write(#[from] IngestError),
    /// What cannot be read may be all that names something.
    #[error("{0}; nothing is pruned as long as that is so")]
    Unsure(String),
    /// More objects than a pack's header counts.
    #[error("{0} objects do not fit one pack")]
    TooMany(usize),
    /// A folder says of an object what it is not.
    #[error("entries of trees contradict the objects that they name")]
    Contradicted,
    /// Its file's field for the time is too short.
    #[error("commit {0} is dated after the year 2514")]
    TooLate(crate::hash::ObjectId),
    /// A new pack lacks what it was made of: our bug. Nothing was removed.
    #[error("object {0} is not in the new pack; nothing was removed")]
    Lost(crate::hash::ObjectId),
}

impl MaintainError {
    /// Of an error on the way to all that is named: what it names is not known.
    pub(super) fn unsure(error: impl Into<MaintainError>) -> Self {
        match error.into() {
            error @ (Self::Unsure(_)
            | Self::Source(SourceError::Cancelled | SourceError::Busy)
            | Self::Source(SourceError::Corrupt { .. })) => error,
            error => Self::Unsure(error.to_string()),
        }
    }

    /// What is told when everything is kept for this reason.
    pub(super) fn kept(self) -> String {
        match self {
            unsure @ Self::Unsure(_) => unsure.to_string(),
            error => Self::Unsure(error.to_string()).to_string(),
        }
    }

    /// What the operating system says of a file.
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |error| SourceError::Io { file: path.display().to_string(), error }.into()
    }
}

impl From<GraphError> for MaintainError {
    fn from(error: GraphError) -> Self {
        match error {
            GraphError::Source(error) => MaintainError::Source(error),
            error => MaintainError::Graph(error),
        }
    }
}

impl From<PlanError> for MaintainError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Source(error) => MaintainError::Source(error),
            PlanError::TooMany(count) => MaintainError::TooMany(count),
        }
    }
}
