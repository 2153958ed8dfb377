//! `devices`: where this build can compute.

use super::{device_args::Backend, output::CommandOutput, table::format_table};
use clap::ValueEnum;
use serde_json::json;

/// Lists them.
pub fn run() -> CommandOutput {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let simd = simd_features();
    let built = Backend::value_variants().iter().filter(|backend| backend.is_built());
    let backends = built.filter_map(|backend| backend.to_possible_value());
    let names: Vec<String> = backends.map(|value| value.get_name().to_string()).collect();
    let rows: Vec<Vec<String>> =
        names.iter().map(|name| vec![name.clone(), threads.to_string(), simd.join(", ")]).collect();
    let text = format_table(&["device", "threads", "vector instructions"], &rows, &[1]);
    let devices: Vec<_> =
        names.iter().map(|name| json!({ "device": name, "threads": threads, "simd": simd })).collect();
    CommandOutput::new(json!({ "devices": devices }), text)
}

/// The vector instructions of this processor that the backend looks for.
fn simd_features() -> Vec<&'static str> {
    let known: &[(&str, bool)] = &[
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
    known.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect()
}
