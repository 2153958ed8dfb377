//! Memory allocator of Kiln's host binaries (mimalloc), set to keep freed pages.
//!
//! Burn allocates the output of every operation anew and frees it soon after. An allocator that returns freed pages to the
//! operating system makes the kernel clear the same pages again and again, which costs about a quarter of a training step.
//! The price of keeping them: the process holds its peak memory until it ends.
//!
//! A binary uses it as `#[global_allocator] static ALLOCATOR: MiMalloc = MiMalloc;` with the feature `allocator`.

pub use mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 2 and 3. The bindings have no name for it.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Keeps freed pages in the process: sets the purge delay to −1 (never). Call it first in `main`; pages freed before the
/// call may already be returned.
#[allow(unsafe_code)]
pub fn retain_freed_pages() {
    // SAFETY: sets one integer option of the allocator; the call has no other effect and may come at any time.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) }
}
