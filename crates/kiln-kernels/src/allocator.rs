//! The allocator for binaries on a host. Burn allocates every operation's output anew; an allocator that gives pages
//! back makes the system clear them again and again, which costs a quarter of a training step.

pub use mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 2 and 3, which the bindings don't name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Keeps freed pages in the process. Call it first in `main`.
#[allow(unsafe_code)]
pub fn retain_freed_pages() {
    // SAFETY: sets one integer option of the allocator; the call has no other effect and may come at any time.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) }
}
