//! Address space, where it is limited (`ulimit -v`), and the end of it.

use std::alloc::{GlobalAlloc, Layout, System};

/// Of an address space of less than this many bytes, none is kept in reserve.
const ENOUGH_BYTES: u64 = 16 << 30;

/// A thread may have this part of the address space as its stack.
const STACK_PART: u64 = 4;

/// Who asks for more than this at once may be refused, and can say so.
const LARGE_BYTES: usize = 16 << 20;

/// Bytes by which the heap of a command grows at least.
#[cfg(target_env = "gnu")]
const HEAP_STEP_BYTES: i32 = 8 << 20;

/// What is free at the end of that heap stays with the process up to so many bytes.
#[cfg(target_env = "gnu")]
const HEAP_KEPT_BYTES: i32 = 64 << 20;

/// Smaller buffers than this are on the heap: the most that the C library takes for it.
#[cfg(target_env = "gnu")]
const HEAP_BUFFER_BYTES: i32 = 32 << 20;

const NOTHING_LEFT: &str = "ERR_PACQUET_OUT_OF_MEMORY  there is no memory left\n\n\
                            hint: Raise the limits of memory (ulimit -v, that of the container)\n";

/// The system's allocator. Where it has nothing left, the program says so and ends, as a program
/// ends that is killed.
struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

// SAFETY: everything is passed on to the system's allocator, and its answer back.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller's.
        given(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller's.
        given(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller's.
        given(unsafe { System.realloc(memory, layout, size) }, size)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn given(memory: *mut u8, bytes: usize) -> *mut u8 {
    if memory.is_null() && bytes < LARGE_BYTES {
        end();
    }
    memory
}

#[cold]
fn end() -> ! {
    // SAFETY: the bytes are there for ever, and neither call takes memory.
    unsafe {
        libc::write(2, NOTHING_LEFT.as_ptr().cast(), NOTHING_LEFT.len());
        libc::_exit(1)
    }
}

/// How large the address space of this process may become, in bytes; `None` where nothing limits
/// it (getrlimit(2)).
fn limit() -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the pointer is to a live rlimit.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) } != 0;
    (!failed && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// Makes a limited address space suffice. To be called before there are other threads.
///
/// The C library reserves 64 MiB of addresses for each of up to eight heaps a processor, so that
/// threads need not wait for each other. With all of them little is left for anything else.
pub(crate) fn share_heap_where_limited() {
    if limit().is_some_and(|bytes| bytes < ENOUGH_BYTES) {
        #[cfg(target_env = "gnu")]
        // SAFETY: mallopt takes two numbers.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
    }
}

/// Lets the heap grow in large steps, where addresses are not limited. For programs that end soon:
/// each step is a system call, and what is given back costs a page fault a page when it is wanted
/// again (mallopt(3)).
pub(crate) fn grow_heap_in_large_steps() {
    if limit().is_none_or(|bytes| bytes >= ENOUGH_BYTES) {
        #[cfg(target_env = "gnu")]
        for (parameter, bytes) in [
            (libc::M_TOP_PAD, HEAP_STEP_BYTES),
            (libc::M_TRIM_THRESHOLD, HEAP_KEPT_BYTES),
            (libc::M_MMAP_THRESHOLD, HEAP_BUFFER_BYTES),
        ] {
            // SAFETY: mallopt takes two numbers.
            unsafe {
                libc::mallopt(parameter, bytes);
            }
        }
    }
}

/// The stack of a thread that would have `wanted` bytes, had it all the address space it wants.
pub(crate) fn stack_bytes(wanted: usize) -> usize {
    limited_stack_bytes(wanted, limit())
}

fn limited_stack_bytes(wanted: usize, limit: Option<u64>) -> usize {
    let part = limit.map(|bytes| usize::try_from(bytes / STACK_PART).unwrap_or(usize::MAX));
    part.map_or(wanted, |part| wanted.min(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_leaves_room_in_a_limited_address_space() {
        assert_eq!(limited_stack_bytes(512 << 20, None), 512 << 20);
        assert_eq!(limited_stack_bytes(512 << 20, Some(800 << 20)), 200 << 20);
        assert_eq!(limited_stack_bytes(8 << 20, Some(800 << 20)), 8 << 20);
    }
}
