//! Kiln's readers under libFuzzer: the targets of `crates/kiln-laws/tests/integration/fuzz`, one program each.
#![forbid(unsafe_code)]

#[path = "../../crates/kiln-laws/tests/integration/fuzz/seeds.rs"]
pub mod seeds;
#[path = "../../crates/kiln-laws/tests/integration/fuzz/targets/mod.rs"]
pub mod targets;

pub use libfuzzer_sys;

/// The program of a target.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        $crate::libfuzzer_sys::fuzz_target!(|file: &[u8]| {
            $crate::targets::$name(file);
        });
    };
}
