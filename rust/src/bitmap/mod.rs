//! Reachability bitmaps: which objects each of some commits reaches, as written by
//! `git repack -b` and `git multi-pack-index write --bitmap`, or as learnt by earlier requests.
//!
//! In: a `.bitmap` file, and the pack or multi-pack-index it belongs to; or lists of objects that
//! were walked ([`learnt`], kept between requests by [`memory`]). Out: a
//! [`Reachability`], which tells of a bit which object it stands for, of what kind that is and
//! under which path hash it was found, and gives the [`Bits`] of a commit. What is wanted, what is
//! had and how trees are walked is not known here; that is [`crate::graph`].
//!
//! A file is believed only when all of it holds together: its checksum, the pack's checksum in
//! it, every size, and the order of the objects. What fails is not used, and says why.
//!
//! Git's document: `gitformat-bitmap` (in older versions `technical/bitmap-format`).

mod bits;
mod encode;
mod ewah;
mod file;
mod learnt;
mod memory;
mod order;
mod reachability;
mod unions;

#[cfg(test)]
mod tests;

pub use bits::Bits;
pub(crate) use encode::{encode, encode_shortest};
pub(crate) use file::check_head;
pub use learnt::{Learning, set_memory_limit};
pub use memory::ReachMemory;
pub use reachability::Reachability;
