//! Whether a file is still the one that was read, by its stat data.
//!
//! A file may change twice within one tick of the file system's clock and look the same after it
//! (`racy-git` in Git's technical documentation). So a stamp is trusted only when the file had
//! been left alone for a while when it was read; until then the file is read again each time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) use crate::stamps::Stamp;

/// How long a file must have been left alone before its stamp is trusted.
///
/// File systems keep time in steps of up to two seconds (FAT).
const RACY: Duration = Duration::from_secs(2);
/// Where they show fractions of a second, they step with the kernel's tick, 10 ms at most.
const RACY_BY_TICKS: Duration = Duration::from_millis(50);
const SECOND: i128 = 1_000_000_000;

/// Had the file been left alone for long enough when it was read at `read_at`?
///
/// A file from the future is never settled.
fn is_settled(stamp: &Stamp, read_at: SystemTime) -> bool {
    let Ok(now) = read_at.duration_since(UNIX_EPOCH) else { return false };
    let (modified, changed) = stamp.times();
    let now = i128::try_from(now.as_nanos()).unwrap_or(i128::MAX);
    // a fraction that is zero by chance only makes the file be read again
    let shows_fractions = modified % SECOND != 0 && changed % SECOND != 0;
    let racy = if shows_fractions { RACY_BY_TICKS } else { RACY };
    let racy = i128::try_from(racy.as_nanos()).unwrap_or(i128::MAX);
    now.saturating_sub(modified.max(changed)) > racy
}

/// A stamp with the verdict on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    stamp: Stamp,
    settled: bool,
}

impl Seen {
    /// A file with this stamp was read at `read_at` (a time before the first byte was read).
    pub(super) fn new(stamp: Stamp, read_at: SystemTime) -> Self {
        Self { stamp, settled: is_settled(&stamp, read_at) }
    }

    /// Of a file that a stamp does not tell enough about.
    pub(super) fn never_settled(stamp: Stamp) -> Self {
        Self { stamp, settled: false }
    }

    /// Had it been left alone when it was read?
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Is a file of this stamp certainly what was read?
    pub(super) fn is_still(&self, now: &Stamp) -> bool {
        self.settled && self.stamp == *now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_files_are_not_trusted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stamp = Stamp::of(&file.as_file().metadata().unwrap());
        let now = SystemTime::now();
        assert!(!Seen::new(stamp, now).is_still(&stamp));
        assert!(Seen::new(stamp, now + Duration::from_secs(10)).is_still(&stamp));
        assert!(!Seen::new(stamp, now - Duration::from_secs(3600)).is_still(&stamp));
    }

    #[test]
    fn a_changed_file_is_never_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "a").unwrap();
        let before = Stamp::of(&path.metadata().unwrap());
        let seen = Seen::new(before, SystemTime::now() + Duration::from_secs(10));
        std::fs::write(&path, "bc").unwrap();
        assert!(!seen.is_still(&Stamp::of(&path.metadata().unwrap())));
    }
}
