//! Measure decoding at two depths, by layer kind: what does a token cost more when the cache is long?
//!
//! `cargo run --release --example decode` decodes 64 tokens after 16 and after 4,000 tokens, with four layers of each kind, and
//! prints a table. Nothing is copied that did not change, so the difference should be the time to read the cache once, or the
//! time of the arithmetic where that is longer:
//!
//! * *read*: bytes that a token at 4,000 reads, divided by the bandwidth;
//! * *arithmetic*: the multiply–adds of queries, keys and values, divided by the peak;
//! * *÷ read*: time at 4,000 ÷ (time at 16 + read);
//! * *÷ roofline*: time at 4,000 ÷ (time at 16 + the greater of read and arithmetic).
//!
//! Bandwidth and peak are measured in the same run, with all threads: a buffer of the size of the largest cache is read, and
//! registers are multiplied. A figure is the least over the rounds (`--rounds N`, default 5), and within a round the lower
//! quartile of the tokens.

use kiln::{
    infer::CacheDtype,
    kernels::{
        allocator::{MiMalloc, retain_freed_pages},
        roofline,
    },
    nn::State,
    prelude::*,
};
use std::{error::Error, hint::black_box, time::Instant};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const DEPTHS: [usize; 2] = [16, 4000];
const TOKENS: usize = 64;
const LAYERS: usize = 4;
const VOCAB: usize = 64;

/// Keys and values of one layer of eight heads of 64 after 4,000 tokens, times [`LAYERS`]: 65.5 MB.
const READ_VALUES: usize = LAYERS * DEPTHS[1] * 2 * 8 * 64;

/// Four layers.
struct Kind {
    name: &'static str,
    /// Parts of the layers, repeated.
    parts: &'static [&'static str],
    dtype: CacheDtype,
    /// Query heads times the widths of a query and of a value: a token does twice as many operations for each key that it sees.
    products: usize,
    /// Greatest number of keys that a token sees.
    visible: usize,
    /// Layers that read a layer's cache.
    readers: usize,
}

const GLOBAL: &str = r#"{"attention":{"projection":{"heads":{"heads":8}}}}"#;
const SHARED: &str = r#"{"attention":{"projection":{"heads":{"heads":8}},"source":"shared"}}"#;

const fn kind(name: &'static str, parts: &'static [&'static str], products: usize) -> Kind {
    Kind { name, parts, dtype: CacheDtype::F32, products, visible: usize::MAX, readers: 1 }
}

const KINDS: [Kind; 8] = [
    kind("global, 8 heads of 64", &[GLOBAL], 8 * 128),
    Kind { dtype: CacheDtype::F16, ..kind("global, 8 heads of 64, f16", &[GLOBAL], 8 * 128) },
    kind("grouped, 8 heads, 2 kv", &[r#"{"attention":{"projection":{"heads":{"heads":8,"kv_heads":2}}}}"#], 8 * 128),
    Kind {
        visible: 1024,
        ..kind(
            "window of 1,024",
            &[r#"{"attention":{"pattern":{"window":{"before":1023}},"projection":{"heads":{"heads":8}}}}"#],
            8 * 128,
        )
    },
    kind(
        "latent, 8 heads, rank 128",
        &[r#"{"attention":{"projection":{"latent":{"heads":8,"kv_lora_rank":128}}}}"#],
        8 * (128 + 32 + 128),
    ),
    kind(
        "latent, 8 heads, rank 512",
        &[r#"{"attention":{"projection":{"latent":{"heads":8,"kv_lora_rank":512}}}}"#],
        8 * (512 + 32 + 512),
    ),
    Kind { readers: 2, ..kind("global, shared by 2 layers", &[GLOBAL, SHARED], 8 * 128) },
    Kind { visible: 0, ..kind("gated linear attention", &[r#"{"gla":{"heads":8}}"#], 0) },
];

impl Kind {
    /// A model of these layers alone.
    fn model(&self) -> Result<Model, Box<dyn Error>> {
        let sublayers: Vec<String> = self.parts.iter().map(|part| format!(r#"{{"parts":[{part}]}}"#)).collect();
        let (repeat, sublayers) = (LAYERS / self.parts.len(), sublayers.join(","));
        let mut config: ModelConfig = serde_json::from_str(&format!(
            r#"{{"vocab":{VOCAB},"hidden":512,"blocks":[{{"repeat":{repeat},"sublayers":[{sublayers}]}}]}}"#
        ))?;
        config.resolve();
        Ok(Model::init(&config, 1, &Device::flex()))
    }

    /// Bytes that the layers store after a number of tokens.
    fn state_bytes(&self, model: &Model, depth: usize) -> f64 {
        let parts = model.blocks().iter().flat_map(|block| block.parts());
        let bytes: f64 = parts.map(|(_, part)| part.cost(depth).state_bytes * depth as f64).sum();
        bytes * self.dtype.size() as f64 / 4.0
    }

    /// Operations of a token over the keys of all layers.
    fn flops(&self, depth: usize) -> f64 {
        (2 * LAYERS * self.products * depth.min(self.visible)) as f64
    }
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
fn least(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(f64::INFINITY, f64::min)
}

/// Least seconds of a call, over `count` calls.
fn least_time(count: usize, mut call: impl FnMut() -> f32) -> f64 {
    least((0..count).map(|_| {
        let start = Instant::now();
        black_box(call());
        start.elapsed().as_secs_f64()
    }))
}

/// Bytes per second of memory, and floating-point operations per second.
fn machine() -> [f64; 2] {
    let values = vec![1.0; READ_VALUES];
    let bandwidth = (4 * READ_VALUES) as f64 / least_time(50, || roofline::read(&values));
    let (rounds, threads) = (1_000_000, std::thread::available_parallelism().map_or(1, usize::from));
    let flops = (threads * roofline::multiply_add_flops(rounds)) as f64;
    [bandwidth, flops / least_time(20, || roofline::multiply_adds(rounds))]
}

fn main() -> Result<(), Box<dyn Error>> {
    retain_freed_pages();
    let rounds = std::env::args().skip_while(|argument| argument != "--rounds").nth(1);
    let rounds: usize = rounds.map_or(Ok(5), |rounds| rounds.parse())?;
    let [bandwidth, peak] = machine();
    println!("Bandwidth {:.1} GB/s, peak {:.0} GFLOP/s.\n", bandwidth / 1e9, peak / 1e9);
    println!(
        "| layer | bytes a token | state | token at 16 | at 4,000 | read | arithmetic | ÷ read | ÷ roofline |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    for kind in KINDS {
        let model = kind.model()?;
        let states = DEPTHS.map(|depth| read(&model, depth, kind.dtype));
        let mut figures = [vec![], vec![]];
        for _ in 0..rounds {
            for (i, state) in states.iter().enumerate() {
                figures[i].push(decode(&model, state.fork(&[0])?, DEPTHS[i]));
            }
        }
        let [short, long] = figures.map(least);
        let [first, bytes] = DEPTHS.map(|depth| kind.state_bytes(&model, depth));
        // Bytes by which a token makes the state grow, a layer: 0 for a state of fixed size.
        let per_token = (kind.state_bytes(&model, 17) - first) / LAYERS as f64;
        let from_memory = (bytes - first) * kind.readers as f64 / bandwidth;
        let arithmetic = (kind.flops(DEPTHS[1]) - kind.flops(DEPTHS[0])) / peak;
        println!(
            "| {} | {per_token:.0} | {:.1} MB | {:.0} µs | {:.0} µs | {:.0} µs | {:.0} µs | {:.2} | {:.2} |",
            kind.name,
            bytes / 1e6,
            short * 1e6,
            long * 1e6,
            from_memory * 1e6,
            arithmetic * 1e6,
            long / (short + from_memory),
            long / (short + from_memory.max(arithmetic)),
        );
    }
    Ok(())
}
