//! The open stores of this process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::Store;
use super::scan::stamp_at;
use crate::hash::HashKind;
use crate::source::SourceError;

/// A store nobody asked for this long is closed: mappings of packs that were deleted since keep
/// their disk space.
const IDLE_AFTER: Duration = Duration::from_secs(300);
/// How often idle stores are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// More than this many stores are not kept open, idle or not.
const MAX_KEPT: usize = 1024;

/// Device, inode.
type Identity = (u64, u64);

struct Entry {
    folder: Identity,
    hash: HashKind,
    store: Weak<Store>,
    /// Kept open between requests; not so for stores with extra alternates, which are the
    /// quarantines of single pushes.
    kept: Option<Arc<Store>>,
    extra: Vec<PathBuf>,
    used: Instant,
}

#[derive(Default)]
struct Registry {
    entries: Vec<Entry>,
    swept: Option<Instant>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { entries: vec![], swept: None });

/// See [`Store::open`].
pub(super) fn open(
    objects_dir: &Path,
    hash: HashKind,
    extra: &[PathBuf],
) -> Result<Arc<Store>, SourceError> {
    let stamp = stamp_at(objects_dir)?.ok_or_else(|| SourceError::Io {
        file: objects_dir.display().to_string(),
        error: std::io::ErrorKind::NotFound.into(),
    })?;
    let mut dropped = Vec::new();
    // a thread that panicked here leaves a valid list
    let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    let store = registry.open(objects_dir, stamp.identity(), hash, extra, Instant::now());
    registry.sweep(Instant::now(), &mut dropped);
    drop(registry);
    // unmapping thousands of packs takes a while, and nobody should wait for it
    drop(dropped);
    Ok(store)
}

impl Registry {
    fn open(
        &mut self,
        objects_dir: &Path,
        folder: Identity,
        hash: HashKind,
        extra: &[PathBuf],
        now: Instant,
    ) -> Arc<Store> {
        let same = |entry: &&mut Entry| {
            entry.folder == folder && entry.hash == hash && entry.extra == extra
        };
        if let Some(entry) = self.entries.iter_mut().find(same)
            && let Some(store) = entry.store.upgrade()
        {
            // the folder may have been renamed since; its files are then found by its new path.
            // Two paths that lead to it at once are one store.
            let still_there = || {
                let stamp = stamp_at(store.objects_dir()).ok().flatten();
                stamp.is_some_and(|stamp| stamp.identity() == folder)
            };
            if store.objects_dir() == objects_dir || still_there() {
                entry.used = now;
                entry.kept = extra.is_empty().then(|| Arc::clone(&store));
                return store;
            }
        }
        let store = Arc::new(Store::new(objects_dir, hash, extra));
        self.entries.retain(|entry| {
            !(entry.folder == folder && entry.hash == hash && entry.extra == extra)
                && entry.store.strong_count() > 0
        });
        self.entries.push(Entry {
            folder,
            hash,
            store: Arc::downgrade(&store),
            kept: extra.is_empty().then(|| Arc::clone(&store)),
            extra: extra.to_owned(),
            used: now,
        });
        store
    }

    /// Lets go of idle stores; their last owner is then `dropped`.
    fn sweep(&mut self, now: Instant, dropped: &mut Vec<Arc<Store>>) {
        let due = self.swept.is_none_or(|swept| now.duration_since(swept) >= SWEEP_EVERY);
        if !due && self.entries.len() <= MAX_KEPT {
            return;
        }
        self.swept = Some(now);
        // the longest unused first
        self.entries.sort_by_key(|entry| entry.used);
        let surplus = self.entries.len().saturating_sub(MAX_KEPT);
        for (nth, entry) in self.entries.iter_mut().enumerate() {
            if nth < surplus || now.duration_since(entry.used) >= IDLE_AFTER {
                dropped.extend(entry.kept.take());
            }
        }
        // a store in use stays findable
        self.entries.retain(|entry| {
            entry.kept.is_some()
                || entry.store.strong_count()
                    > usize::from(
                        dropped
                            .iter()
                            .any(|store| std::ptr::eq(Arc::as_ptr(store), entry.store.as_ptr())),
                    )
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_at(registry: &mut Registry, nth: u64, extra: &[PathBuf], now: Instant) -> Arc<Store> {
        let path = PathBuf::from(format!("/store/{nth}"));
        registry.open(&path, (1, nth), HashKind::Sha1, extra, now)
    }

    #[test]
    fn a_store_is_found_again_until_it_is_idle() {
        let (mut registry, start) = (Registry::default(), Instant::now());
        let mut dropped = Vec::new();
        let first = open_at(&mut registry, 1, &[], start);
        assert!(Arc::ptr_eq(&first, &open_at(&mut registry, 1, &[], start)));
        assert!(!Arc::ptr_eq(&first, &open_at(&mut registry, 2, &[], start)));
        assert!(!Arc::ptr_eq(&first, &open_at(&mut registry, 1, &["/a".into()], start)));
        // in use: it stays findable however long nobody opens it
        registry.sweep(start + IDLE_AFTER, &mut dropped);
        dropped.clear();
        assert!(Arc::ptr_eq(&first, &open_at(&mut registry, 1, &[], start)));
        drop(first);
        registry.sweep(start + IDLE_AFTER * 2, &mut dropped);
        dropped.clear();
        assert!(registry.entries.is_empty());
    }

    #[test]
    fn stores_beyond_the_limit_go_oldest_first() {
        let (mut registry, start) = (Registry::default(), Instant::now());
        let mut dropped = Vec::new();
        for nth in 0..MAX_KEPT as u64 + 10 {
            open_at(&mut registry, nth, &[], start + Duration::from_millis(nth));
        }
        registry.sweep(start + Duration::from_secs(2), &mut dropped);
        assert_eq!(dropped.len(), 10);
        assert_eq!(registry.entries.len(), MAX_KEPT);
        assert_eq!(dropped[0].objects_dir(), Path::new("/store/0"));
    }

    #[test]
    fn a_folder_is_one_store_by_whatever_path_until_it_moves() {
        let root = tempfile::tempdir().unwrap();
        let (old, link, new) =
            (root.path().join("old"), root.path().join("link"), root.path().join("new"));
        std::fs::create_dir(&old).unwrap();
        std::os::unix::fs::symlink(&old, &link).unwrap();
        let first = Store::open(&old, HashKind::Sha1, &[]).unwrap();
        assert!(Arc::ptr_eq(&first, &Store::open(&link, HashKind::Sha1, &[]).unwrap()));
        std::fs::rename(&old, &new).unwrap();
        let moved = Store::open(&new, HashKind::Sha1, &[]).unwrap();
        assert_eq!(moved.objects_dir(), new);
        assert!(Store::open(&old, HashKind::Sha1, &[]).is_err());
    }

    #[test]
    fn quarantines_are_not_kept() {
        let (mut registry, start) = (Registry::default(), Instant::now());
        drop(open_at(&mut registry, 1, &["/a".into()], start));
        assert_eq!(registry.entries[0].store.strong_count(), 0);
    }
}
