//! What a command computes on.

use super::trouble::Trouble;
use burn::tensor::Device;
use clap::{Args, ValueEnum};

/// Where this build can compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// The processor, in Rust alone.
    #[default]
    Flex,
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
        if let Some(threads) = self.threads {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(usize::from(threads)).build_global();
            pool.map_err(|error| Trouble::failed("threads", format!("cannot start {threads} threads: {error}")))?;
        }
        Ok(self.device.open())
    }
}

impl Backend {
    /// The device of this backend.
    pub fn open(self) -> Device {
        match self {
            Self::Flex => Device::flex(),
        }
    }
}
