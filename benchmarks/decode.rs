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
//! Before each token a buffer of 128 MB is read. Weights and cache are therefore in memory and not in the processor's caches when
//! the token starts, as in a model that is larger than those, at both depths. These reads, on all threads, are also the measure of
//! the bandwidth. The peak is measured with multiply–adds of registers on all threads. The depths take turns, token by token. A
//! figure is the median over the rounds (`--rounds N`, default 5), and within a round the lower quartile of the tokens.
//! `--layer TEXT` measures the layers whose name contains the text.

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

/// Values of the buffer that is read before each token: 128 MB.
const BUFFER_VALUES: usize = 32_000_000;

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

    /// Row of the table.
    fn row(&self, model: &Model, rounds: &[Round], peak: f64) -> String {
        let median = |figure: &dyn Fn(&Round) -> f64| quantile(rounds.iter().map(figure).collect(), 0.5);
        let [first, bytes] = DEPTHS.map(|depth| self.state_bytes(model, depth));
        // Bytes by which a token makes the state grow, a layer: 0 for a state of fixed size.
        let per_token = (self.state_bytes(model, 17) - first) / LAYERS as f64;
        let arithmetic = (self.flops(DEPTHS[1]) - self.flops(DEPTHS[0])) / peak;
        let from_memory =
            |round: &Round| (bytes - first) * self.readers as f64 * round.read / (4 * BUFFER_VALUES) as f64;
        let against = |round: &Round, more: f64| round.tokens[1] / (round.tokens[0] + more);
        format!(
            "| {} | {per_token:.0} | {:.1} MB | {:.1} GB/s | {:.0} µs | {:.0} µs | {:.0} µs | {:.0} µs | {:.2} | {:.2} |",
            self.name,
            bytes / 1e6,
            (4 * BUFFER_VALUES) as f64 / 1e9 / median(&|round| round.read),
            median(&|round| round.tokens[0]) * 1e6,
            median(&|round| round.tokens[1]) * 1e6,
            median(&from_memory) * 1e6,
            arithmetic * 1e6,
            median(&|round| against(round, from_memory(round))),
            median(&|round| against(round, from_memory(round).max(arithmetic))),
        )
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

/// Seconds of one round.
struct Round {
    /// A token after each of [`DEPTHS`].
    tokens: [f64; 2],
    /// A read of the buffer.
    read: f64,
}

/// Decodes [`TOKENS`] tokens after each of two states.
fn decode(model: &Model, mut states: [State; 2], buffer: &[f32]) -> Round {
    let (mut tokens, mut reads) = ([vec![], vec![]], vec![]);
    for i in 0..TOKENS {
        for (state, (seconds, depth)) in states.iter_mut().zip(tokens.iter_mut().zip(DEPTHS)) {
            reads.push(time(|| _ = black_box(roofline::read(buffer))));
            seconds.push(time(|| {
                let (hidden, next) = model.step(&[token(depth + i)], &[1], Direction::Causal, std::mem::take(state));
                *state = next;
                black_box(hidden.into_data());
            }));
        }
    }
    // The lower quartile: other programs make tokens slower, never faster.
    Round { tokens: tokens.map(|seconds| quantile(seconds, 0.25)), read: quantile(reads, 0.25) }
}

/// Seconds of a call.
fn time(call: impl FnOnce()) -> f64 {
    let start = Instant::now();
    call();
    start.elapsed().as_secs_f64()
}

/// The value below which a fraction of the values lies.
fn quantile(mut values: Vec<f64>, fraction: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * fraction) as usize]
}

/// Floating-point operations per second, on all threads.
fn peak() -> f64 {
    let (rounds, threads) = (1_000_000, std::thread::available_parallelism().map_or(1, usize::from));
    let seconds = (0..20).map(|_| time(|| _ = black_box(roofline::multiply_adds(rounds))));
    (threads * roofline::multiply_add_flops(rounds)) as f64 / quantile(seconds.collect(), 0.0)
}

/// The argument after `--name`.
fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

fn main() -> Result<(), Box<dyn Error>> {
    retain_freed_pages();
    let rounds: usize = argument("--rounds").map_or(Ok(5), |rounds| rounds.parse())?;
    let wanted = argument("--layer").unwrap_or_default();
    let (buffer, peak) = (vec![1.0; BUFFER_VALUES], peak());
    println!("Peak {:.0} GFLOP/s.\n", peak / 1e9);
    println!(
        "| layer | bytes a token | state | bandwidth | token at 16 | at 4,000 | read | arithmetic | ÷ read | ÷ roofline |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    for kind in KINDS.iter().filter(|kind| kind.name.contains(&wanted)) {
        let model = kind.model()?;
        let states = DEPTHS.map(|depth| read(&model, depth, kind.dtype));
        let mut measured = Vec::new();
        for _ in 0..rounds {
            measured.push(decode(&model, [states[0].fork(&[0])?, states[1].fork(&[0])?], &buffer));
        }
        println!("{}", kind.row(&model, &measured, peak));
    }
    Ok(())
}
