//! placeholder
/// A pack.
pub struct Pack;
