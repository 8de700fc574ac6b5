//! How tables are written: `reftable.*` of git-config(1).
//!
//! `reftable.indexObjects` is not among them: the map from objects to refs is optional, this writer
//! makes none, and no git reads it.

use std::time::Duration;

/// For the tables of one repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSettings {
    /// Bytes that a block of refs is aligned to (`blockSize`). What does not fit gets larger ones.
    pub block_size: usize,
    /// After so many records one is written whole (`restartInterval`).
    pub restart_interval: usize,
    /// Each table is at least so many times as large as the next newer one (`geometricFactor`).
    pub factor: u64,
    /// How long the list's lock is waited for (`lockTimeout`).
    pub lock_timeout: Duration,
}

impl TableSettings {
    /// The longest block that its three bytes can tell.
    pub const MAX_BLOCK: usize = (1 << 24) - 1;
    /// As many as its two bytes can tell.
    pub const MAX_RESTART_INTERVAL: usize = u16::MAX as usize;
    /// As git has it.
    pub const MAX_FACTOR: u64 = u8::MAX as u64;
}

impl Default for TableSettings {
    /// Git's own, but for the time-out: git gives up after 100 ms.
    fn default() -> Self {
        Self {
            block_size: 4096,
            restart_interval: 16,
            factor: 2,
            lock_timeout: crate::refs::lock::PATIENCE,
        }
    }
}
