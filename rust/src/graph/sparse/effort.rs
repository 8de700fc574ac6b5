//! How much work patterns and paths may make: whoever asks has written both.
//!
//! In: steps, as they are taken. Out: an error when there were too many, or when the work is to stop.

use crate::graph::GraphError;
use crate::watch::Watch;

/// Steps between two looks at whether to stop: some milliseconds.
const CHECK_EVERY: u64 = 1 << 20;

/// What is left of the work that one request may make.
pub(super) struct Effort<'a> {
    left: u64,
    until_check: u64,
    watch: &'a Watch,
}

impl<'a> Effort<'a> {
    pub(super) fn new(steps: u64, watch: &'a Watch) -> Self {
        Self { left: steps, until_check: CHECK_EVERY, watch }
    }

    #[inline]
    pub(super) fn spend(&mut self, steps: u64) -> Result<(), GraphError> {
        self.left = self.left.checked_sub(steps).ok_or(GraphError::TooManyPaths)?;
        match self.until_check.checked_sub(steps) {
            Some(left) => self.until_check = left,
            None => {
                self.until_check = CHECK_EVERY;
                self.watch.check()?;
            }
        }
        Ok(())
    }
}
