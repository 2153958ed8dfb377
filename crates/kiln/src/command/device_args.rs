//! What a command computes on.

use super::error::CliError;
use burn::tensor::Device;
use clap::{Args, ValueEnum};
use std::num::NonZero;

/// Where tensors are computed. All but `flex` are features of the build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// CPU (pure Rust).
    #[default]
    Flex,
    /// CPU (ndarray), for cross-checking.
    #[value(name = "ndarray")]
    NdArray,
    /// GPU through wgpu (WGSL).
    Wgpu,
    /// GPU through Vulkan (wgpu, SPIR-V).
    Vulkan,
    /// Apple GPU through Metal (wgpu).
    Metal,
    /// NVIDIA GPU (CUDA).
    Cuda,
    /// AMD GPU (ROCm).
    Rocm,
}

/// Device and threads.
#[derive(Clone, Debug, Args)]
pub struct DeviceArgs {
    /// Number of threads (default: all cores).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Compute device.
    #[arg(long = "device", value_name = "DEVICE", value_enum, default_value_t)]
    pub backend: Backend,
}

impl DeviceArgs {
    /// Sets the threads up and gives the device. Called once, before anything is computed.
    pub fn open(&self) -> Result<Device, CliError> {
        let threads = self.threads.map(usize::from);
        let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get));
        let mut pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        if threads > 1 {
            // This thread works too, so that it need not be woken after each piece of work. Were it the only one, others
            // could wait for it while it waits for them.
            pool = pool.use_current_thread();
        }
        let failed = |error| CliError::failed("threads", format!("cannot start {threads} threads: {error}"));
        pool.build_global().map_err(failed)?;
        self.backend.open_device()
    }
}

/// A device of a backend that this build has, or the reason why there is none.
macro_rules! device_if_built {
    ($feature:literal, $device:expr) => {{
        #[cfg(feature = $feature)]
        let device = Ok($device);
        #[cfg(not(feature = $feature))]
        let device = Err(CliError::usage(concat!("this build cannot compute on `", $feature, "`")).with_help(concat!(
            "build it in: cargo run --release --features ",
            $feature,
            " -- …"
        )));
        device
    }};
}

impl Backend {
    /// The device of this backend.
    pub fn open_device(self) -> Result<Device, CliError> {
        match self {
            Self::Flex => Ok(Device::flex()),
            // Burn calls it deprecated in favour of flex; here it is a second opinion.
            #[allow(deprecated)]
            Self::NdArray => device_if_built!("ndarray", Device::ndarray()),
            Self::Wgpu => device_if_built!("wgpu", Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
            Self::Vulkan => device_if_built!("vulkan", Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
            Self::Metal => device_if_built!("metal", Device::metal(burn::tensor::DeviceKind::DefaultDevice)),
            Self::Cuda => device_if_built!("cuda", Device::cuda(0)),
            Self::Rocm => device_if_built!("rocm", Device::rocm(0)),
        }
    }

    /// Whether this build has it.
    pub fn is_built(self) -> bool {
        match self {
            Self::Flex => true,
            Self::NdArray => cfg!(feature = "ndarray"),
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Vulkan => cfg!(feature = "vulkan"),
            Self::Metal => cfg!(feature = "metal"),
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Rocm => cfg!(feature = "rocm"),
        }
    }
}
