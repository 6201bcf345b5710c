//! The allocator of what is released: dlmalloc, behind a lock that costs one instruction.
//!
//! musl's own maps and unmaps pages at every turn (94 system calls in an ADD, where there are 5 now). The lock that the
//! crate dlmalloc brings along is a pthread mutex: an ADD takes it 2,000 times, a tenth of its time, and never waits for
//! it, for it has one thread.
#![allow(unsafe_code)] // a global allocator cannot be written without

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use dlmalloc::Dlmalloc;

/// One heap for all threads.
pub(crate) struct Allocator {
    heap: UnsafeCell<Dlmalloc>,
    is_taken: AtomicBool,
}

// SAFETY: whoever touches the heap has set `is_taken`, see `Allocator::with`.
unsafe impl Sync for Allocator {}

impl Allocator {
    /// An empty heap.
    pub(crate) const fn new() -> Self {
        Self { heap: UnsafeCell::new(Dlmalloc::new()), is_taken: AtomicBool::new(false) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Dlmalloc) -> T) -> T {
        while self.is_taken.swap(true, Ordering::Acquire) {
            thread::yield_now();
        }
        // SAFETY: nobody else is here until `is_taken` is false again, and dlmalloc calls nothing that would allocate.
        let done = work(unsafe { &mut *self.heap.get() });
        self.is_taken.store(false, Ordering::Release);
        done
    }
}

// SAFETY: dlmalloc's functions have the contract of the trait's.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.with(|heap| unsafe { heap.malloc(layout.size(), layout.align()) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.with(|heap| unsafe { heap.calloc(layout.size(), layout.align()) })
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        self.with(|heap| unsafe { heap.free(at, layout.size(), layout.align()) });
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.with(|heap| unsafe { heap.realloc(at, layout.size(), layout.align(), size) })
    }
}
