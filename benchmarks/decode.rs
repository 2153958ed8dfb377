//! Measure decoding at two depths, by layer kind: what does a token cost more when the cache is long?
//!
//! `cargo run --release --example decode` decodes 64 tokens after 16 and after 4,000 tokens, with four layers of each kind, and
//! prints a table. Nothing is copied that did not change, so the difference should be the time to read the cache once: the last
//! column is then the bandwidth of the machine's memory. A figure is the least over the rounds (`--rounds N`, default 5), and
//! within a round the lower quartile of the tokens.

use kiln::kernels::allocator::{MiMalloc, retain_freed_pages};
use kiln::{infer::CacheDtype, nn::State, prelude::*};
use std::{error::Error, hint::black_box, time::Instant};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const DEPTHS: [usize; 2] = [16, 4000];
const TOKENS: usize = 64;
const LAYERS: usize = 4;
const VOCAB: usize = 64;

/// Name, attention and type of the cache.
const KINDS: [(&str, &str, CacheDtype); 6] = [
    ("global, 8 heads of 64", r#"{"projection":{"heads":{"heads":8}}}"#, CacheDtype::F32),
    ("global, 8 heads of 64, f16", r#"{"projection":{"heads":{"heads":8}}}"#, CacheDtype::F16),
    ("grouped, 8 heads, 2 kv", r#"{"projection":{"heads":{"heads":8,"kv_heads":2}}}"#, CacheDtype::F32),
    (
        "window of 1,024",
        r#"{"pattern":{"window":{"before":1023}},"projection":{"heads":{"heads":8}}}"#,
        CacheDtype::F32,
    ),
    ("latent, 8 heads, rank 128", r#"{"projection":{"latent":{"heads":8,"kv_lora_rank":128}}}"#, CacheDtype::F32),
    ("latent, 8 heads, rank 512", r#"{"projection":{"latent":{"heads":8,"kv_lora_rank":512}}}"#, CacheDtype::F32),
];

/// A model of attention layers alone.
fn model(attention: &str) -> Result<Model, Box<dyn Error>> {
    let mut config: ModelConfig = serde_json::from_str(&format!(
        r#"{{"vocab":{VOCAB},"hidden":512,"blocks":[{{"repeat":{LAYERS},"sublayers":[{{"parts":[{{"attention":{attention}}}]}}]}}]}}"#
    ))?;
    config.resolve();
    Ok(Model::init(&config, 1, &Device::flex()))
}

/// Token i of the text.
fn token(i: usize) -> i32 {
    (i * i % VOCAB) as i32
}

/// State after `depth` tokens, read in calls of 500.
fn read(model: &Model, depth: usize, dtype: CacheDtype) -> State {
    let mut state = State::new(1).with_cache_dtype(dtype);
    let tokens: Vec<i32> = (0..depth).map(token).collect();
    for chunk in tokens.chunks(500) {
        state = model.step(chunk, &[chunk.len()], Direction::Causal, state).1;
    }
    state
}

/// Seconds of a token, over [`TOKENS`] tokens after `state`.
fn decode(model: &Model, mut state: State, depth: usize) -> f64 {
    let mut seconds: Vec<f64> = Vec::new();
    for i in depth..depth + TOKENS {
        let start = Instant::now();
        let (hidden, next) = model.step(&[token(i)], &[1], Direction::Causal, std::mem::take(&mut state));
        state = next;
        black_box(hidden.into_data());
        seconds.push(start.elapsed().as_secs_f64());
    }
    // The lower quartile: other programs make tokens slower, never faster.
    seconds.sort_by(f64::total_cmp);
    seconds[TOKENS / 4]
}

/// The least value.
fn least(values: Vec<f64>) -> f64 {
    values.into_iter().fold(f64::INFINITY, f64::min)
}

/// Bytes of keys and values that a token at a depth reads.
fn cache_bytes(model: &Model, depth: usize, dtype: CacheDtype) -> f64 {
    let parts = model.blocks().iter().flat_map(|block| block.parts());
    let bytes: f64 = parts.map(|(_, part)| part.cost(depth).state_bytes * depth as f64).sum();
    bytes * dtype.size() as f64 / 4.0
}

fn main() -> Result<(), Box<dyn Error>> {
    retain_freed_pages();
    let rounds = std::env::args().skip_while(|argument| argument != "--rounds").nth(1);
    let rounds: usize = rounds.map_or(Ok(5), |rounds| rounds.parse())?;
    println!("| layer | token at 16 | at 4,000 | cache | cache ÷ difference |");
    println!("| --- | --- | --- | --- | --- |");
    for (name, attention, dtype) in KINDS {
        let model = model(attention)?;
        let bytes = cache_bytes(&model, DEPTHS[1], dtype);
        let states = DEPTHS.map(|depth| read(&model, depth, dtype));
        let mut figures = [vec![], vec![]];
        for _ in 0..rounds {
            for (i, state) in states.iter().enumerate() {
                figures[i].push(decode(&model, state.fork(&[0])?, DEPTHS[i]));
            }
        }
        let [short, long] = figures.map(least);
        println!(
            "| {name} | {:.0} µs | {:.0} µs | {:.1} MB | {:.1} GB/s |",
            short * 1e6,
            long * 1e6,
            bytes / 1e6,
            bytes / (long - short) / 1e9,
        );
    }
    Ok(())
}
