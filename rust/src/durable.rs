//! Waiting for the disk.
//!
//! What is told to a client must survive a power failure, so files are synced before they get
//! their names and folders after. A sync is the longest part of a small push, and most of what it
//! costs serves everybody who waits: threads that sync the same folder share one call, and the
//! files of one pack are waited for together.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Which files are waited for (`core.fsync` of `git-config`; the caller reads it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncRules {
    /// Packs.
    pub pack: bool,
    /// Indexes, reverse indexes, bitmaps and the like.
    pub pack_metadata: bool,
    /// Loose objects.
    pub loose_object: bool,
    /// Refs and `packed-refs`.
    pub reference: bool,
    /// Commit-graph files.
    pub commit_graph: bool,
}

impl SyncRules {
    /// Everything: what `ok` says is so, also after a power failure.
    pub const ALL: Self = Self {
        pack: true,
        pack_metadata: true,
        loose_object: true,
        reference: true,
        commit_graph: true,
    };

    /// Does any object file get waited for? Then so do the folders that name them.
    pub fn any_object(&self) -> bool {
        self.pack || self.pack_metadata || self.loose_object
    }
}

impl Default for SyncRules {
    fn default() -> Self {
        Self::ALL
    }
}

/// The names in a folder are on the disk when this returns, as they were when it was called.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = File::open(path)?;
    let meta = folder.metadata()?;
    let line = line_for((meta.dev(), meta.ino()));
    let done = line.join(|| folder.sync_all());
    leave(&line, (meta.dev(), meta.ino()));
    done
}

/// All of these are on the disk when this returns. One journal takes them together, which is why
/// they are not waited for one after the other.
pub fn sync_files(files: &[&File]) -> io::Result<()> {
    let Some((last, others)) = files.split_last() else { return Ok(()) };
    std::thread::scope(|scope| {
        let waiting: Vec<_> = others
            .iter()
            .map(|file| {
                std::thread::Builder::new()
                    .spawn_scoped(scope, || file.sync_all())
                    .map_err(|_| file)
            })
            .collect();
        let mut done = last.sync_all();
        for thread in waiting {
            let synced = match thread {
                Ok(thread) => thread.join().unwrap_or_else(|_| {
                    Err(io::Error::other("a thread that waited for the disk has died"))
                }),
                // no thread to be had: wait here
                Err(file) => file.sync_all(),
            };
            done = done.and(synced);
        }
        done
    })
}

/// Those who wait for one folder. Syncs follow each other; whoever comes while one runs waits for
/// the next, which one of those who wait carries out for all of them.
#[derive(Default)]
struct Line {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    /// Syncs begun and ended.
    begun: u64,
    ended: u64,
    /// The end of the last one, kept for those it was carried out for.
    failed: Option<(u64, io::ErrorKind, String)>,
}

impl Line {
    fn join(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // one that runs already may have passed by what we are waiting for
        let wanted = state.begun + 1;
        while state.ended < wanted {
            if state.begun > state.ended {
                state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.begun += 1;
            let number = state.begun;
            drop(state);
            let done = sync();
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.ended = number;
            state.failed =
                done.as_ref().err().map(|error| (number, error.kind(), error.to_string()));
            drop(state);
            self.moved.notify_all();
            return done;
        }
        match &state.failed {
            Some((number, kind, text)) if *number >= wanted => {
                Err(io::Error::new(*kind, text.clone()))
            }
            _ => Ok(()),
        }
    }
}

type Folder = (u64, u64);

static LINES: Mutex<Option<HashMap<Folder, Arc<Line>>>> = Mutex::new(None);

fn line_for(folder: Folder) -> Arc<Line> {
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(lines.get_or_insert_default().entry(folder).or_default())
}

/// The last one to leave takes the line away.
fn leave(line: &Arc<Line>, folder: Folder) {
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    // the map's and ours: nobody can join meanwhile, because joining takes the map's lock
    if let Some(lines) = &mut *lines
        && Arc::strong_count(line) <= 2
    {
        lines.remove(&folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn those_who_come_during_a_sync_share_the_next() {
        let line = Line::default();
        let syncs = AtomicUsize::new(0);
        let (go, wait) = crossbeam_channel::bounded::<()>(1);
        let (started, is_started) = crossbeam_channel::bounded::<()>(1);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                line.join(|| {
                    syncs.fetch_add(1, Ordering::SeqCst);
                    started.send(()).unwrap();
                    wait.recv().unwrap();
                    Ok(())
                })
            });
            is_started.recv().unwrap();
            let others: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        line.join(|| {
                            syncs.fetch_add(1, Ordering::SeqCst);
                            Err(io::Error::from(io::ErrorKind::StorageFull))
                        })
                    })
                })
                .collect();
            // all eight have to stand in line before the first is let go
            std::thread::sleep(std::time::Duration::from_millis(100));
            go.send(()).unwrap();
            assert!(first.join().unwrap().is_ok());
            for other in others {
                let error = other.join().unwrap().unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            }
        });
        assert_eq!(syncs.load(Ordering::SeqCst), 2);
        assert!(line.join(|| Ok(())).is_ok(), "an error is not for those who come later");
    }

    #[test]
    fn folders_and_files() {
        let dir = tempfile::tempdir().unwrap();
        let files: Vec<File> =
            (0..3).map(|n| File::create(dir.path().join(n.to_string())).unwrap()).collect();
        sync_files(&files.iter().collect::<Vec<_>>()).unwrap();
        sync_files(&[]).unwrap();
        sync_folder(dir.path()).unwrap();
        assert!(sync_folder(&dir.path().join("missing")).is_err());
        let folder = std::fs::metadata(dir.path()).unwrap();
        let lines = LINES.lock().unwrap();
        assert!(
            lines.as_ref().is_none_or(|lines| !lines.contains_key(&(folder.dev(), folder.ino())))
        );
    }
}
