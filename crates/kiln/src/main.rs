//! The command `kiln`.

use kiln_kernels::allocator::{MiMalloc, keep_pages};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    keep_pages();
    kiln::command::main()
}
