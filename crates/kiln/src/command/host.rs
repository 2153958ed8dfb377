//! What a command computes on.

use super::trouble::Trouble;
use burn::tensor::Device;
use clap::{Args, ValueEnum};
use std::num::NonZero;

/// Where tensors are computed. All but `flex` are features of the build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// The processor, in Rust alone.
    #[default]
    Flex,
    /// The processor, by the ndarray crate: another oracle.
    #[value(name = "ndarray")]
    NdArray,
    /// A GPU (or a software one) by wgpu, in WGSL.
    Wgpu,
    /// A GPU by wgpu, in SPIR-V.
    Vulkan,
    /// An Apple GPU by wgpu, in Metal's language.
    Metal,
    /// An NVIDIA GPU.
    Cuda,
    /// An AMD GPU.
    Rocm,
}

/// Device and threads.
#[derive(Clone, Debug, Args)]
pub struct HostArgs {
    /// Threads to compute with; as many as there are cores if not said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t)]
    pub device: Backend,
}

impl HostArgs {
    /// Sets the threads up and gives the device. Called once, before anything is computed.
    pub fn device(&self) -> Result<Device, Trouble> {
        let threads = self.threads.map(usize::from);
        let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get));
        let mut pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        if threads > 1 {
            // This thread works too, so that it need not be woken after each piece of work. Were it the only one, others
            // could wait for it while it waits for them.
            pool = pool.use_current_thread();
        }
        let failed = |error| Trouble::failed("threads", format!("cannot start {threads} threads: {error}"));
        pool.build_global().map_err(failed)?;
        self.device.open()
    }
}

/// A device of a backend that this build has, or the reason why there is none.
macro_rules! built {
    ($feature:literal, $device:expr) => {{
        #[cfg(feature = $feature)]
        let device = Ok($device);
        #[cfg(not(feature = $feature))]
        let device = Err(Trouble::asked(concat!("this build cannot compute on `", $feature, "`")).help(concat!(
            "build it in: cargo run --release --features ",
            $feature,
            " -- …"
        )));
        device
    }};
}

impl Backend {
    /// The device of this backend.
    pub fn open(self) -> Result<Device, Trouble> {
        match self {
            Self::Flex => Ok(Device::flex()),
            // Burn calls it deprecated in favour of flex; here it is a second opinion.
            #[allow(deprecated)]
            Self::NdArray => built!("ndarray", Device::ndarray()),
            Self::Wgpu => built!("wgpu", Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
            Self::Vulkan => built!("vulkan", Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
            Self::Metal => built!("metal", Device::metal(burn::tensor::DeviceKind::DefaultDevice)),
            Self::Cuda => built!("cuda", Device::cuda(0)),
            Self::Rocm => built!("rocm", Device::rocm(0)),
        }
    }

    /// Whether this build has it.
    pub fn built(self) -> bool {
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
