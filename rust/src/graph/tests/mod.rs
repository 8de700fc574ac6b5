//! Tests with real git as the judge.

mod enumerate;
mod filters;
mod memory;
mod repo;
