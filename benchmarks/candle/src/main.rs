//! candle as a subject of Kiln's benchmarks: `bench-candle logits|generate MODEL --ids 1,2,3 [--tokens N]` answers in
//! one line of JSON, as `kiln` does.

use candle_core::{DType, Device, IndexOp, Result, Tensor, bail, quantized::gguf_file};
use candle_nn::VarBuilder;
use candle_transformers::models::{
    llama::{Cache, Llama, LlamaConfig},
    quantized_llama::ModelWeights,
};
use serde_json::json;
use std::{env, fs, path::Path};

/// A model and what it remembers.
enum Model {
    Packed(ModelWeights),
    Plain(Llama, Cache),
}

impl Model {
    fn open(path: &Path, device: &Device) -> Result<Self> {
        if path.extension().is_some_and(|ending| ending == "gguf") {
            let mut file = fs::File::open(path)?;
            let content = gguf_file::Content::read(&mut file)?;
            return Ok(Self::Packed(ModelWeights::from_gguf(content, &mut file, device)?));
        }
        let config = fs::read(path.join("config.json"))?;
        let config: LlamaConfig = serde_json::from_slice(&config).map_err(candle_core::Error::wrap)?;
        let config = config.into_config(false);
        // SAFETY: nothing writes to the file while the benchmark runs.
        let weights =
            unsafe { VarBuilder::from_mmaped_safetensors(&[path.join("model.safetensors")], DType::F32, device)? };
        let cache = Cache::new(true, DType::F32, &config, device)?;
        Ok(Self::Plain(Llama::load(weights, &config)?, cache))
    }

    /// The logits `[vocab]` after `ids`, which follow `past` others.
    fn logits(&mut self, ids: &[u32], past: usize, device: &Device) -> Result<Tensor> {
        let ids = Tensor::new(ids, device)?.unsqueeze(0)?;
        let logits = match self {
            Self::Packed(weights) => weights.forward(&ids, past)?,
            Self::Plain(llama, cache) => llama.forward(&ids, past, cache)?,
        };
        logits.i(0)?.to_dtype(DType::F32)
    }
}

/// The likeliest tokens, one after another.
fn generate(model: &mut Model, prompt: &[u32], tokens: usize, device: &Device) -> Result<Vec<u32>> {
    let (mut ids, mut past, mut next) = (Vec::new(), 0, prompt.to_vec());
    while ids.len() < tokens {
        let best = model.logits(&next, past, device)?.argmax(0)?.to_scalar::<u32>()?;
        past += next.len();
        next = vec![best];
        ids.push(best);
    }
    Ok(ids)
}

fn option<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)).map(String::as_str)
}

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let (Some(what), Some(path), Some(ids)) = (args.first(), args.get(1), option(&args, "--ids")) else {
        bail!("bench-candle logits|generate MODEL --ids 1,2,3 [--tokens N]");
    };
    let ids: Vec<u32> = ids.split(',').map(str::parse).collect::<std::result::Result<_, _>>()?;
    let device = Device::Cpu;
    let mut model = Model::open(Path::new(path), &device)?;
    let answer = match what.as_str() {
        "logits" => {
            let logits = model.logits(&ids, 0, &device)?.to_vec1::<f32>()?;
            json!({ "shape": [1, logits.len()], "logits": logits })
        }
        _ => {
            let tokens = option(&args, "--tokens").unwrap_or("1").parse()?;
            json!({ "ids": generate(&mut model, &ids, tokens, &device)? })
        }
    };
    println!("{answer}");
    Ok(())
}
