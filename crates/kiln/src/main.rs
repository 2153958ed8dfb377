//! The command `kiln`. Everything but the allocator is in [`kiln::command`].

use kiln_kernels::allocator::{MiMalloc, retain_freed_pages};
use std::process::ExitCode;

/// The allocator keeps freed pages, which tensors of the next step reuse.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    retain_freed_pages();
    kiln::command::main()
}
