//! The command `kiln`. Everything but the allocator is in [`kiln::command`].

use kiln_kernels::allocator::{MiMalloc, retain_freed_pages};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    retain_freed_pages();
    kiln::command::main()
}
