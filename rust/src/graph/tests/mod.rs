//! Tests with real git as the judge.

mod bitmapped;
mod commitgraph;
mod concurrent;
mod connected;
mod enumerate;
mod filters;
mod learnt;
mod memory;
mod negotiation;
mod repo;
mod shallow;
mod small;
mod upload_pack;
