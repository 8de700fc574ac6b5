//! How much of everything a pack may ask for.

use super::error::IngestError;
use crate::graph;
use crate::object::ObjectKind;

/// Limits on one received pack. The defaults let through whatever real repositories hold and
/// stop what is only made to hurt.
#[derive(Debug, Clone, Copy)]
pub struct ReceiveLimits {
    /// Bytes of the pack, header and trailer included; 0 for no limit, as git's
    /// `receive.maxInputSize`. Disk quotas are the operator's decision, so none by default.
    pub max_pack_bytes: u64,
    /// Inflated bytes of one object. A whole object streams in constant memory, so this bounds
    /// time: 8 GiB of zeros are 8 MB to send and some twenty seconds to hash.
    pub max_object_bytes: u64,
    /// Inflated bytes of an object that is made from a delta or is the base of one. These are held in
    /// memory, base and result at once. git makes no deltas of files above 512 MiB
    /// (`core.bigFileThreshold`), so neither will its packs have any.
    pub max_delta_bytes: u64,
    /// Entries. Each costs some 50 bytes of memory; the largest public repositories have
    /// about 40 million.
    pub max_objects: u32,
    /// Deltas between an object and its whole base. git's `pack.depth` is capped at 4095.
    pub max_depth: u32,
    /// Bytes that all objects together inflate to while deltas are resolved. A delta of 200 bytes
    /// can make 512 MiB, so a small pack could keep all cores busy for days; 1 TiB is twenty times
    /// what the Linux kernel's history makes.
    pub max_total_bytes: u64,
    /// Times the size of the pack that all objects together may inflate to, looked at from
    /// [`RATIO_FROM`] on; 0 for no limit. Of a small pack, that many bytes are nothing but made to
    /// hurt; ten thousand changes of a large list are a few thousand times the pack.
    pub max_ratio: u64,
    /// Seconds that all may take from the last byte of the pack on, when its deltas are resolved; 0 for
    /// no limit.
    pub max_seconds: u64,
    /// Bytes of intermediate results kept while deltas are resolved, over all threads. More only
    /// saves making some results twice; single objects up to [`Self::max_delta_bytes`] are
    /// held beyond it, one at a time.
    pub memory: u64,
    /// Inflated bytes of a commit, tree or tag, which are read as a whole by whoever parses them. A
    /// tree of a million entries has 50 MB.
    pub max_parsed_bytes: u64,
    /// From so many entries on it is found out what the pack leads to outside itself
    /// ([`super::PackReceiver::outside`]).
    pub gather_from: u32,
    /// From so many entries on there is a `.rev` file beside the pack. Of fewer, everybody sorts the
    /// index sooner than a file is opened, and each file is one more to wait for.
    pub rev_from: u32,
}

/// Bytes that any pack may inflate to, however small it is.
const RATIO_FROM: u64 = 64 << 30;

impl ReceiveLimits {
    /// Refuses a pack of this size whose objects inflate to more than they may.
    pub(super) fn check_inflated(&self, inflated: u64, pack_bytes: u64) -> Result<(), IngestError> {
        if inflated > self.max_total_bytes {
            return Err(IngestError::Limit { what: "inflated size", limit: self.max_total_bytes });
        }
        let most = pack_bytes.saturating_mul(self.max_ratio).max(RATIO_FROM);
        if self.max_ratio > 0 && inflated > most {
            let what = "inflated size, in times its own";
            return Err(IngestError::Limit { what, limit: self.max_ratio });
        }
        Ok(())
    }

    /// Refuses what is parsed and larger than that may be.
    pub(super) fn check_parsed(&self, kind: ObjectKind, size: u64) -> Result<(), IngestError> {
        let limit = self.max_parsed_bytes;
        match kind {
            ObjectKind::Blob => Ok(()),
            _ if size <= limit => Ok(()),
            _ => Err(IngestError::Limit { what: "size of a commit, tree or tag", limit }),
        }
    }
}

impl Default for ReceiveLimits {
    fn default() -> Self {
        Self {
            max_pack_bytes: 0,
            max_object_bytes: 8 << 30,
            max_delta_bytes: 512 << 20,
            max_objects: 100_000_000,
            max_depth: 4095,
            max_total_bytes: 1 << 40,
            max_ratio: 10_000,
            max_seconds: 60 * 60,
            memory: 192 << 20,
            max_parsed_bytes: 256 << 20,
            gather_from: graph::WORTH_GATHERING,
            rev_from: 1000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::Blame;
    use crate::source::SourceError;

    #[test]
    fn a_small_pack_may_become_so_much_and_a_large_one_more() {
        let limits = ReceiveLimits::default();
        let told = |inflated, pack| match limits.check_inflated(inflated, pack) {
            Err(error) => error.to_string(),
            Ok(()) => String::new(),
        };
        assert_eq!(told(RATIO_FROM, 1), "");
        let ratio = "pack exceeds the limit on inflated size, in times its own (10000)";
        assert_eq!(told(RATIO_FROM + 1, 1), ratio);
        assert_eq!(told(100 << 30, (100 << 30) / 10_000 + 1), "");
        assert_eq!(told(100 << 30, (100 << 30) / 10_001), ratio);
        let total = "pack exceeds the limit on inflated size (1099511627776)";
        assert_eq!(told((1 << 40) + 1, 1 << 40), total);
        let limits = ReceiveLimits { max_ratio: 0, ..limits };
        assert!(limits.check_inflated(1 << 40, 1).is_ok());
    }

    #[test]
    fn time_is_a_limit_like_others() {
        let error = IngestError::from(SourceError::TooLong { seconds: 3 });
        assert_eq!(error.blame(), Blame::Limit);
        assert_eq!(error.wire().unwrap(), "resolving deltas took longer than 3 seconds");
    }
}
