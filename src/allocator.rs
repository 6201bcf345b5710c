//! The allocator of what is released: dlmalloc, with lists of spare blocks before it and a lock that costs one instruction.
//!
//! musl's own maps and unmaps pages at every turn (94 system calls in an ADD, where there are 5 now). The lock that the
//! crate dlmalloc brings along is a pthread mutex: an ADD takes it 5,000 times, a tenth of its time, and never waits for
//! it, for it has one thread. And nearly all that it asks for is small, and given back soon: from a list of blocks of
//! its size, that takes a tenth of the instructions.
#![allow(unsafe_code)] // a global allocator cannot be written without

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use dlmalloc::Dlmalloc;

/// Small blocks have sizes that are multiples of this, which is also how they are aligned.
const GRAIN: usize = 16;
/// How many sizes have a list of their own.
const SIZES: usize = 32;

/// One heap for all threads.
pub(crate) struct Allocator {
    heap: UnsafeCell<Heap>,
    is_taken: AtomicBool,
}

struct Heap {
    rest: Dlmalloc,
    /// The first of the spare blocks of each small size.
    spare: [*mut Spare; SIZES],
}

/// A block that nobody uses.
struct Spare {
    next: *mut Spare,
}

// SAFETY: whoever touches the heap has set `is_taken`, see `Allocator::with`.
unsafe impl Sync for Allocator {}

impl Allocator {
    /// An empty heap.
    pub(crate) const fn new() -> Self {
        let heap = Heap { rest: Dlmalloc::new(), spare: [ptr::null_mut(); SIZES] };
        Self { heap: UnsafeCell::new(heap), is_taken: AtomicBool::new(false) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Heap) -> T) -> T {
        while self.is_taken.swap(true, Ordering::Acquire) {
            thread::yield_now();
        }
        // SAFETY: nobody else is here until `is_taken` is false again, and nothing below calls what would allocate.
        let done = work(unsafe { &mut *self.heap.get() });
        self.is_taken.store(false, Ordering::Release);
        done
    }
}

/// The list of the blocks that serve such a layout; `None`: it is not small.
fn list_of(layout: Layout) -> Option<usize> {
    let list = layout.size().wrapping_sub(1) / GRAIN;
    (layout.align() <= GRAIN && list < SIZES).then_some(list)
}

impl Heap {
    /// # Safety
    /// As [`GlobalAlloc::alloc`].
    unsafe fn alloc(&mut self, layout: Layout) -> *mut u8 {
        let Some(list) = list_of(layout) else { return unsafe { self.rest.malloc(layout.size(), layout.align()) } };
        let first = self.spare[list];
        if first.is_null() {
            return unsafe { self.rest.malloc((list + 1) * GRAIN, GRAIN) };
        }
        // SAFETY: what is in a list is a block that was given back, with the next one's place in it.
        self.spare[list] = unsafe { (*first).next };
        first.cast()
    }

    /// # Safety
    /// As [`GlobalAlloc::dealloc`].
    unsafe fn dealloc(&mut self, at: *mut u8, layout: Layout) {
        let Some(list) = list_of(layout) else { return unsafe { self.rest.free(at, layout.size(), layout.align()) } };
        let block: *mut Spare = at.cast();
        // SAFETY: the block is nobody's now, and large and aligned enough: no layout of a list has less than GRAIN.
        unsafe { block.write(Spare { next: self.spare[list] }) };
        self.spare[list] = block;
    }
}

// SAFETY: blocks come from dlmalloc, whose functions have the contract of the trait's; those in a list are nobody's, and each
// serves the layouts of its list only.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.with(|heap| unsafe { heap.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if list_of(layout).is_none() {
            // New pages are zero already, and are better left untouched.
            return self.with(|heap| unsafe { heap.rest.calloc(layout.size(), layout.align()) });
        }
        let new = unsafe { self.alloc(layout) };
        if !new.is_null() {
            unsafe { new.write_bytes(0, layout.size()) };
        }
        new
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        self.with(|heap| unsafe { heap.dealloc(at, layout) });
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller vouches for the size.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        self.with(|heap| match (list_of(layout), list_of(wanted)) {
            (Some(has), Some(wants)) if has == wants => at,
            (None, None) => unsafe { heap.rest.realloc(at, layout.size(), layout.align(), size) },
            _ => unsafe {
                let new = heap.alloc(wanted);
                if !new.is_null() {
                    ptr::copy_nonoverlapping(at, new, size.min(layout.size()));
                    heap.dealloc(at, layout);
                }
                new
            },
        })
    }
}
