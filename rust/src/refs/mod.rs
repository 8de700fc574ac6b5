//! References: reading them as one immutable value, telling a client about them, moving them.
//!
//! In: a repository's directory, and for annotated tags its objects. Out: [`RefSnapshot`], all
//! refs of one moment, with the advertisement and `ls-refs` lines encoded straight from it; and a
//! transaction of compare-and-swaps over many refs. Must not know: sockets, protocol dialogue,
//! policy, configuration files; what is configurable comes in as options.
//!
//! The snapshot does not know how refs are stored. [`RefBackend`] is the seam: [`FileRefs`] reads
//! and writes loose files and `packed-refs` (`gitrepository-layout`, `git-pack-refs` in Git's
//! documentation), [`TableRefs`] a stack of tables (`reftable` there); another format is another
//! backend that fills the same snapshot.

mod advertise;
mod beside;
mod conflict;
mod error;
mod folders;
mod head;
mod hide;
mod lock;
mod loose;
mod ls_refs;
mod memo;
mod memory;
pub mod name;
mod outcomes;
mod overlay;
mod pack_loose;
mod packed;
mod packed_edit;
mod peel;
mod pktline;
mod read;
mod reflog;
mod reftable;
mod snapshot;
mod stamp;
mod store;
mod symbolic;
mod transaction;
mod update;
mod witness;

pub use advertise::{AdvertiseOptions, Advertisement};
pub use beside::LockedFile;
pub use error::RefError;
pub use head::Head;
pub use ls_refs::LsRefsOptions;
pub use memory::GivenHead;
pub use reftable::{TableRefs, TableSettings, named_in_tables};
pub use snapshot::RefSnapshot;
pub use store::{FileRefs, RefBackend, RefStore};
pub use update::{RefUpdate, Reflog, UpdateError, UpdateOptions};
pub use witness::{Phase, Witness};

#[cfg(test)]
mod packed_tests;
#[cfg(test)]
mod race_tests;
#[cfg(test)]
mod read_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod update_tests;
