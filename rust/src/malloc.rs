//! What the C library's allocator does with memory that has been freed.

use std::sync::atomic::{AtomicBool, Ordering};

/// Freed memory at the end of a heap that is kept for the next request.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: libc::c_int = 8 << 20;

/// Smaller blocks come from the heap, and so from what is kept; larger ones are mapped alone and
/// go back to the system at once. Buffers of a pack are below it, tables of all objects above.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_FROM: libc::c_int = 1 << 20;

/// Heaps that threads share: each keeps what is freed in it. A process serves many clients with few
/// processors, and the C library would make eight heaps for each of these.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const HEAPS: libc::c_int = 4;

/// Memory has been freed since the last [`give_back`].
static IS_SPARE: AtomicBool = AtomicBool::new(false);

/// Makes freed memory stay for the next request; true where the allocator knows how.
///
/// By itself the GNU C library gives memory back as soon as 128 KiB are free at the end of a
/// heap, and the next request takes it again page by page: a tenth of a warm fetch's CPU time, a
/// fifth of a cold one's. Keeping 64 MiB brings no more than 8, and takes twice the memory.
/// For a process that does nothing but serve, not for one that has a library in it: the settings
/// are the process's.
pub fn keep_freed() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt takes numbers and keeps them; the allocator locks itself for it.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT) == 1
            && libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM) == 1
            && libc::mallopt(libc::M_ARENA_MAX, HEAPS) == 1
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    false
}

/// Whoever frees much says so here.
pub fn freed() {
    IS_SPARE.store(true, Ordering::Relaxed);
}

/// Gives free memory back to the system, from all heaps, if there may be any. To be called now and
/// then: what is given back costs the next request a page fault for every 4 KiB.
pub fn give_back() {
    if !IS_SPARE.swap(false, Ordering::Relaxed) {
        return;
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim takes a number and touches only what is free, under the heaps' locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn the_allocator_takes_the_settings() {
        assert!(super::keep_freed());
        super::freed();
        super::give_back();
    }
}
