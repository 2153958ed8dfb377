//! `--device`, `--threads`, `--dtype` and `--exact`.

use super::error::CliError;
use burn::tensor::Device;
use clap::{Args, ValueEnum};
use kiln_kernels::exact::Arithmetic;
use kiln_models::{WeightPrecision, precision::device_has};
use std::{
    num::NonZero,
    sync::atomic::{AtomicBool, Ordering},
};

/// Backend. All but `flex` are Cargo features of the build.
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

/// Device arguments, shared by the commands that compute.
#[derive(Clone, Debug, Args)]
pub struct DeviceArgs {
    /// Number of CPU threads (default: number of cores).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Compute device. See `kiln devices`.
    #[arg(long = "device", value_name = "DEVICE", value_enum, default_value_t)]
    pub backend: Backend,
}

/// Arithmetic argument of the commands that run a model.
#[derive(Clone, Debug, Args)]
pub struct ArithmeticArgs {
    /// Batch-invariant arithmetic: the same bits for any number of threads, for any split of the input into chunks, and
    /// alone or in a batch. Slower; CPU only.
    #[arg(long)]
    pub exact: bool,
}

impl ArithmeticArgs {
    /// The arithmetic on a device.
    ///
    /// # Errors
    /// `--exact` on a device other than the CPU.
    pub fn arithmetic(&self, device: &DeviceArgs) -> Result<Arithmetic, CliError> {
        match (self.exact, device.backend) {
            (false, _) => Ok(Arithmetic::Fast),
            (true, Backend::Flex) => Ok(Arithmetic::Exact),
            (true, _) => {
                let reason = "batch-invariant arithmetic has kernels for the CPU only (device `flex`)";
                Err(CliError::usage(reason).with_location("--exact").with_help("--device flex, or leave --exact out"))
            }
        }
    }
}

/// Data type of weights in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WeightDtypeArg {
    /// The types of the model's files: 16-bit and quantized weights stay as they are.
    Keep,
    /// 32-bit floats.
    F32,
    /// bfloat16, two bytes a weight.
    Bf16,
    /// IEEE half precision, two bytes a weight.
    F16,
}

impl From<WeightDtypeArg> for WeightPrecision {
    fn from(dtype: WeightDtypeArg) -> Self {
        match dtype {
            WeightDtypeArg::Keep => Self::Keep,
            WeightDtypeArg::F32 => Self::F32,
            WeightDtypeArg::Bf16 => Self::Bf16,
            WeightDtypeArg::F16 => Self::F16,
        }
    }
}

/// Data type argument of the commands that load a model.
#[derive(Clone, Debug, Args)]
pub struct DtypeArgs {
    /// Data type in which the weights are held. Default: keep on the CPU, f32 on other devices.
    #[arg(long, value_name = "DTYPE", value_enum)]
    pub dtype: Option<WeightDtypeArg>,
}

impl DtypeArgs {
    /// The precision of the weights on a device.
    ///
    /// # Errors
    /// If the device does not have the type.
    pub fn precision(&self, device: &Device) -> Result<WeightPrecision, CliError> {
        let Some(dtype) = self.dtype else { return Ok(WeightPrecision::default_on(device)) };
        let precision = WeightPrecision::from(dtype);
        if precision.half_dtype().is_none_or(|half| device_has(device, half)) {
            return Ok(precision);
        }
        let name = precision.name();
        let reason = format!("this device has no {name} (WGSL has no bf16, and f16 only with an extension)");
        Err(CliError::usage(reason).with_location("--dtype").with_help("--dtype f32, or --device flex"))
    }
}

impl DeviceArgs {
    /// Starts the global thread pool, if it isn't started, and opens the device. Called before any computation.
    pub fn open(&self) -> Result<Device, CliError> {
        self.start_threads()?;
        self.backend.open_device()
    }

    /// Starts the global thread pool. Called before weights are read, which uses the pool; later calls have no effect.
    pub fn start_threads(&self) -> Result<(), CliError> {
        static STARTED: AtomicBool = AtomicBool::new(false);
        if STARTED.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let threads = self.threads.map_or(cores, usize::from);
        let mut pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        if threads > 1 {
            // The main thread belongs to the pool, so that it need not be woken after each parallel operation. A pool
            // of one thread must be another thread, or other threads would wait for the main thread while it waits for
            // them.
            pool = pool.use_current_thread();
        }
        pool.build_global()
            .map_err(|error| CliError::failed("threads", format!("cannot start {threads} threads: {error}")))
    }
}

/// The device of a backend, or an error if the build does not include the backend.
macro_rules! device_if_built {
    ($feature:literal, $device:expr) => {{
        #[cfg(feature = $feature)]
        let device = Ok($device);
        #[cfg(not(feature = $feature))]
        let device = Err(CliError::usage(concat!("this build has no device `", $feature, "`"))
            .with_location("--device")
            .with_help(concat!("build with: cargo run --release --features ", $feature, " -- …")));
        device
    }};
}

impl Backend {
    /// Opens the default device of this backend.
    ///
    /// # Errors
    /// If the build does not include the backend.
    pub fn open_device(self) -> Result<Device, CliError> {
        match self {
            Self::Flex => Ok(Device::flex()),
            // Burn deprecates it in favor of flex. Here it is an independent second implementation.
            #[allow(deprecated)]
            Self::NdArray => device_if_built!("ndarray", Device::ndarray()),
            Self::Wgpu => device_if_built!("wgpu", Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
            Self::Vulkan => device_if_built!("vulkan", Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
            Self::Metal => device_if_built!("metal", Device::metal(burn::tensor::DeviceKind::DefaultDevice)),
            Self::Cuda => device_if_built!("cuda", Device::cuda(0)),
            Self::Rocm => device_if_built!("rocm", Device::rocm(0)),
        }
    }

    /// Whether the build includes this backend.
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
