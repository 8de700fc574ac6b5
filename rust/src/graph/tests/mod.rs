//! Tests with real git as the judge.

mod accelerated;
mod bitmapped;
mod cancelled;
mod commitgraph;
mod concurrent;
mod connected;
pub(super) mod enumerate;
mod filters;
mod learnt;
pub(super) mod memory;
mod moved;
mod negotiation;
pub(super) mod repo;
mod scan;
mod shallow;
mod small;
mod unions;
mod upload_pack;
