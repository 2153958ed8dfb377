//! `kiln devices`: the devices of this build, for `--device`.
//!
//! GPU backends are Cargo features (`wgpu`, `vulkan`, `metal`, `cuda`, `rocm`); a device that is not listed needs another
//! build. Whether the machine has a GPU is not checked.
//!
//! JSON: `{"devices":[{"device","threads","simd"}]}`.

use super::{device_args::Backend, output::CommandOutput, table::format_table};
use clap::ValueEnum;
use serde_json::{Value, json};

/// Lists the devices, the number of threads and the SIMD instruction sets.
pub fn run() -> CommandOutput {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let simd = simd_features();
    let built = Backend::value_variants().iter().filter(|backend| backend.is_built());
    let values = built.filter_map(|backend| backend.to_possible_value());
    let names: Vec<String> = values.map(|value| value.get_name().to_string()).collect();
    let rows: Vec<Vec<String>> =
        names.iter().map(|name| vec![name.clone(), threads.to_string(), simd.join(", ")]).collect();
    let devices: Vec<Value> =
        names.iter().map(|name| json!({ "device": name, "threads": threads, "simd": simd })).collect();
    CommandOutput::new(json!({ "devices": devices }), format_table(&["device", "threads", "SIMD"], &rows, &[1]))
}

/// SIMD instruction sets of this processor that the CPU kernels use, best first.
fn simd_features() -> Vec<&'static str> {
    let features: &[(&str, bool)] = &[
        #[cfg(target_arch = "x86_64")]
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
        #[cfg(target_arch = "x86_64")]
        ("avx2", std::is_x86_feature_detected!("avx2")),
        #[cfg(target_arch = "x86_64")]
        ("fma", std::is_x86_feature_detected!("fma")),
        #[cfg(target_arch = "x86_64")]
        ("sse4.1", std::is_x86_feature_detected!("sse4.1")),
        #[cfg(target_arch = "aarch64")]
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
    ];
    features.iter().filter(|(_, is_detected)| *is_detected).map(|(name, _)| *name).collect()
}
