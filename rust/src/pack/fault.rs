//! Mapped files that shrink under us, or whose disk fails: reads give zeros, and we live on.
//!
//! In flow the places of mappings. When the kernel has no page for a read there, it sends SIGBUS
//! (mmap(2), "ERRORS"), which would end the process and with it the transfers of everybody, for
//! one damaged repository. Instead, what is left of that mapping is replaced by zeros: they are no
//! deflated stream, no name and no checksum, so that whoever reads finds that out and names the
//! file. Out flows whether that has happened, so that such a file is not used again.
//!
//! Everything else that SIGBUS may mean is left to whoever handled it before.

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, Once, OnceLock, PoisonError};

/// Mappings in one block of the list that the handler walks.
const BLOCK: usize = 256;

/// Where a mapping is; free while `start` is 0.
#[derive(Debug)]
struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
    faulted: AtomicBool,
}

/// The list grows by blocks and never shrinks: the handler may walk it at any moment.
struct Block {
    slots: [Slot; BLOCK],
    next: Option<&'static Block>,
}

/// The block that was made last.
static NEWEST: AtomicPtr<Block> = AtomicPtr::new(ptr::null_mut());
/// For whoever takes a slot; the handler takes none.
static FREE: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());
static FAULTS: AtomicUsize = AtomicUsize::new(0);
static BEFORE_US: OnceLock<libc::sigaction> = OnceLock::new();

/// A mapping that may fault. To be dropped before it is unmapped.
#[derive(Debug)]
pub(super) struct Guard {
    slot: &'static Slot,
}

impl Guard {
    /// Watches over these bytes, which must be a mapping.
    pub(super) fn over(bytes: &[u8]) -> Self {
        install();
        let slot = free_slot();
        let start = bytes.as_ptr() as usize;
        slot.faulted.store(false, Ordering::Relaxed);
        slot.end.store(start + bytes.len(), Ordering::Relaxed);
        slot.start.store(start, Ordering::Release);
        Self { slot }
    }

    /// Some of the bytes could not be read, and are zeros now.
    #[inline]
    pub(super) fn is_faulted(&self) -> bool {
        self.slot.faulted.load(Ordering::Relaxed)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.slot.start.store(0, Ordering::Release);
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(self.slot);
    }
}

/// Has any mapping of the process ever faulted? Nearly never, so that few ask further.
#[inline]
pub(crate) fn any_faulted() -> bool {
    FAULTS.load(Ordering::Relaxed) > 0
}

fn newest() -> Option<&'static Block> {
    // SAFETY: a block is leaked before its pointer is stored, and never freed.
    unsafe { NEWEST.load(Ordering::Acquire).as_ref() }
}

fn free_slot() -> &'static Slot {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(slot) = free.pop() {
        return slot;
    }
    let slots = std::array::from_fn(|_| Slot {
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        faulted: AtomicBool::new(false),
    });
    let block: &'static Block = Box::leak(Box::new(Block { slots, next: newest() }));
    NEWEST.store(ptr::from_ref(block).cast_mut(), Ordering::Release);
    free.extend(&block.slots[1..]);
    &block.slots[0]
}

fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: zeros are a valid sigaction, whose fields are then set; both pointers are to
        // values that live throughout the calls.
        unsafe {
            let mut before: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(libc::SIGBUS, ptr::null(), &mut before) != 0 {
                return;
            }
            let _ = BEFORE_US.set(before);
            let mut ours: libc::sigaction = std::mem::zeroed();
            let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = on_sigbus;
            ours.sa_sigaction = handler as usize;
            ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&mut ours.sa_mask);
            libc::sigaction(libc::SIGBUS, &ours, ptr::null_mut());
        }
    });
}

/// Does nothing but atomic loads and stores and system calls, as a handler must.
extern "C" fn on_sigbus(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel gives a valid siginfo to a handler with SA_SIGINFO.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    // positive: the kernel speaks of a fault, not somebody of kill(2)
    if code > 0 && find(address).is_some_and(|slot| fill(slot, address)) {
        return;
    }
    // the read is tried again, and whoever was here before us learns of it
    // SAFETY: `BEFORE_US` holds what sigaction gave us; raise is safe in a handler.
    unsafe {
        match BEFORE_US.get() {
            Some(before) => libc::sigaction(libc::SIGBUS, before, ptr::null_mut()),
            None => libc::abort(),
        };
        if code <= 0 {
            libc::raise(libc::SIGBUS);
        }
    }
}

/// The slot of the mapping that this address is in.
///
/// The one that faults is borrowed by whoever reads it, so that its slot stays as it is; others
/// may come and go meanwhile, which a second look at `start` tells.
fn find(address: usize) -> Option<&'static Slot> {
    let mut block = newest();
    while let Some(here) = block {
        for slot in &here.slots {
            let start = slot.start.load(Ordering::Acquire);
            let end = slot.end.load(Ordering::Acquire);
            if start != 0
                && (start..end).contains(&address)
                && slot.start.load(Ordering::Acquire) == start
            {
                return Some(slot);
            }
        }
        block = here.next;
    }
    None
}

/// Replaces a mapping by zeros from the page of `address` on.
fn fill(slot: &Slot, address: usize) -> bool {
    // SAFETY: sysconf has no memory to spoil, and Linux answers this without a lock.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    if !page.is_power_of_two() {
        return false;
    }
    let from = address & !(page - 1);
    let len = slot.end.load(Ordering::Relaxed) - from;
    slot.faulted.store(true, Ordering::Relaxed);
    FAULTS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: all of it is within one read-only mapping of ours, because `address` is and
    // mappings begin on a page. It stays mapped, readable and of the same length; that its bytes
    // change is what anybody with access to the file can do to it too.
    let made = unsafe {
        libc::mmap(
            from as *mut libc::c_void,
            len,
            libc::PROT_READ,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        )
    };
    made != libc::MAP_FAILED
}

#[cfg(test)]
mod tests {
    use super::super::map::map_file;
    use super::any_faulted;
    use std::fs;

    #[test]
    fn a_file_that_shrinks_reads_as_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, vec![7; 100_000]).unwrap();
        let before = map_file(&path).unwrap();
        let (first, second) = (map_file(&path).unwrap(), map_file(&path).unwrap());
        drop(before);
        assert!(!first.is_faulted());
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(5000).unwrap();
        assert_eq!((first[4999], first[60_000], first[99_999]), (7, 0, 0));
        assert!(first.is_faulted() && !second.is_faulted() && any_faulted());
        // what is in front of the first fault stays the file's
        assert_eq!(first.iter().filter(|&&byte| byte == 7).count(), 5000);
        drop(first);
        assert!(second.iter().all(|&byte| byte == 7 || byte == 0) && second.is_faulted());
    }

    #[test]
    fn hundreds_of_mappings_are_watched() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<_> = (0..600).map(|nth| folder.path().join(nth.to_string())).collect();
        let maps: Vec<_> = paths
            .iter()
            .map(|path| {
                fs::write(path, [1; 8192]).unwrap();
                map_file(path).unwrap()
            })
            .collect();
        for path in &paths {
            fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
        }
        assert!(maps.iter().all(|map| map[8191] == 0 && map.is_faulted()));
    }
}
