//! The core of gitserve: everything a Git server does that costs CPU.
//!
//! The modules follow the data. For a fetch: [`store`] finds objects, [`graph`] decides which
//! of them the client lacks, [`plan`] decides how each is to be written, [`emit`] writes the
//! pack. For a push: [`ingest`] takes a pack in, [`graph`] checks that it is complete, [`refs`]
//! moves the references. [`object`], [`pack`], [`hash`] and [`zlib`] are the formats they share.
//!
//! Nothing here knows the pkt-line dialogue (that is Python's), and nothing outside `py` knows
//! Python.

pub mod allowance;
pub mod bitmap;
pub mod cache;
pub mod client;
mod clock;
pub mod commitgraph;
pub mod delta;
pub mod durable;
pub mod emit;
pub mod fsck;
pub mod graph;
pub mod hash;
pub mod ingest;
pub mod maintain;
pub mod malloc;
pub mod object;
pub mod pack;
pub mod plan;
pub mod refs;
pub mod sharing;
pub mod source;
pub mod stamps;
pub mod store;
pub mod temporary;
pub mod turns;
pub mod watch;
pub mod zlib;

#[cfg(feature = "python")]
mod py;
