//! The law `exact`: in batch-invariant arithmetic a document has the same bits alone, in a batch with padding on either side,
//! packed with others, in chunks, and for any number of threads; with weights of 32 bits, of 16 bits and packed.

use crate::{peft::identities::methods, registry::Verdict};
use burn::tensor::{Int, Tensor};
use kiln_infer::{
    block_on,
    equivalence::{
        ModelRunner,
        exact::{Arrangement, ExactReference},
    },
};
use kiln_kernels::exact::Arithmetic;
use kiln_laws::{
    device, parameters,
    precisions::HeldPrecision,
    strategies::VOCAB,
    test_case::{TestCase, TestModel},
    variant_cases::variant_cases,
    variant_sites::exemption,
};
use kiln_models::Model;
use kiln_nn::Context;
use kiln_peft::attach;
use kiln_spec::{
    Direction, Random,
    card::{ALL_LAWS, KernelForm},
};

/// Lengths of the documents, as far as the model has positions. The first has keys in two chunks.
const LENGTHS: [usize; 4] = [70, 9, 1, 33];

/// Random documents of these lengths, cut to the positions of the model.
fn documents(subject: &TestCase, lengths: &[usize], seed: u64) -> Vec<Vec<u32>> {
    let mut random = Random::new(seed, "documents", 0, 0);
    let limit = subject.config.position.max_positions().unwrap_or(usize::MAX);
    let mut document = |length: usize| (0..length.min(limit)).map(|_| random.uniform_int(VOCAB) as u32).collect();
    lengths.iter().map(|length| document(*length)).collect()
}

/// The arrangements that give equal results for this model, by its exemptions from the laws of rounding.
fn arrangements(subject: &TestCase, chunks: &[Vec<usize>], padding: [usize; 2]) -> Vec<Arrangement> {
    let holds = |law| exemption(&subject.config, law).is_none();
    let mut all = Vec::new();
    if holds("padded") {
        all.extend([Arrangement::PaddedRight(padding[0]), Arrangement::PaddedLeft(padding[1])]);
    }
    if holds("packed") {
        all.push(Arrangement::Packed);
    }
    if holds("chunked") && subject.direction() == Direction::Causal {
        all.extend(chunks.iter().cloned().map(Arrangement::Chunked));
        all.extend(chunks.last().cloned().map(Arrangement::Rejoined));
    }
    all
}

/// The model of a test case with perturbed weights in a precision.
fn model(subject: &TestCase, precision: HeldPrecision) -> TestModel {
    let model = parameters::to_f32(parameters::perturbed(Model::init(&subject.config, 5, &device())));
    subject.wrap(precision.apply(&model))
}

/// Runs with a number of threads.
fn with_threads<T: Send>(threads: usize, run: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads").install(run)
}

/// The bits of each document alone, after all arrangements have been compared with them.
fn compare(
    run: &TestModel,
    subject: &TestCase,
    documents: &[Vec<u32>],
    all: &[Arrangement],
) -> Result<Vec<u32>, String> {
    let reference = block_on(ExactReference::new(run, documents, subject.direction())).expect("numbers");
    for arrangement in all {
        let count = block_on(reference.differing_values(arrangement)).expect("numbers");
        if count > 0 {
            return Err(format!("{count} values of {arrangement:?} have other bits"));
        }
    }
    Ok(reference.bits())
}

/// Exactness: see the [module](self).
pub fn exact(subject: &TestCase) -> Verdict {
    let all = arrangements(subject, &[vec![1, 63, 1, 4], vec![2, 64, 1, 5]], [3, 2]);
    for (precision, threads) in HeldPrecision::ALL.into_iter().zip([&[1, 2, 3][..], &[2], &[3]]) {
        let bits = |threads: usize| {
            let subject = subject.clone();
            let all = &all;
            with_threads(threads, move || {
                let run = model(&subject, precision);
                compare(&run, &subject, &documents(&subject, &LENGTHS, 1), all)
            })
            .map_err(|why| format!("{precision:?}, {threads} threads: {why}"))
        };
        let first = bits(threads[0])?;
        for threads in &threads[1..] {
            if bits(*threads)? != first {
                return Err(format!("{precision:?}: {threads} threads change the bits of a document alone"));
            }
        }
    }
    Ok(())
}

/// Decoders that together hold what has an order of sums of its own.
const DECODERS: [&str; 13] = [
    // Grouped heads, a window, a sink and a softcap, and a head of its own.
    "hidden = 32\nhead = { language = { tied = false } }\nblocks = [{ repeat = 2, sublayers = [{ parts = [{ attention = { projection \
     = { heads = { heads = 4, kv_heads = 2 } }, pattern = { window = { before = 40, after = 0 } }, score = { softmax = { sink = true, \
     softcap = 5.0 } } } }] }, { parts = ['gated_mlp'] }] }]",
    "hidden = 32\nposition = 'alibi'\nblocks = [{ sublayers = [{ parts = ['attention'] }, { parts = ['mlp'] }] }]",
    "hidden = 32\nposition = 't5'\nblocks = [{ sublayers = [{ parts = ['attention'] }, { parts = ['mlp'] }] }]",
    "hidden = 32\nblocks = [{ sublayers = [{ parts = [{ attention = { score = 'sigmoid' } }] }, { parts = ['experts'] }] }]",
    "hidden = 64\nblocks = [{ repeat = 2, sublayers = [{ parts = [{ attention = { projection = { latent = { heads = 4 } } } }] }, { \
     parts = [{ experts = { num_experts = 6, top_k = 2, scoring_func = 'sigmoid', shared_expert = { gated_mlp = {} } } }] }] }]",
    "hidden = 32\nblocks = [{ sublayers = [{ parts = ['mamba2'] }] }, { sublayers = [{ parts = ['attention'] }, { parts = ['mlp'] }] }]",
    "hidden = 32\nblocks = [{ sublayers = [{ parts = ['gated_delta_net'] }, { parts = ['gated_mlp'] }] }]",
    "hidden = 32\nblocks = [{ sublayers = [{ parts = ['gla'] }, { parts = ['gated_mlp'] }] }]",
    "hidden = 32\nblocks = [{ sublayers = [{ parts = ['gated_convolution'] }, { parts = [{ attention = { source = { segments = { \
     prefix_length = 3 } } } }] }] }]",
    // Residual streams, values of the first layer, keys and values of another layer.
    "hidden = 32\nresidual_streams = { hyper_connections = { expansion_rate = 3 } }\nblocks = [{ repeat = 2, sublayers = [{ parts = [{ \
     attention = { value_residual = {} } }] }, { parts = ['mlp'] }] }, { sublayers = [{ parts = [{ attention = { source = 'shared' } }] }] }]",
    // Groups of experts, and positions whose factors grow.
    "hidden = 32\nposition = 'xpos'\nblocks = [{ sublayers = [{ parts = ['attention'] }, { parts = [{ experts = { num_experts = 8, top_k = \
     2, scoring_func = 'sigmoid', groups = { n_group = 2, topk_group = 1 } } }] }] }]",
    // Frequencies that follow the declared length, and tokens that skip a block.
    "hidden = 32\nposition = { rotary = { scaling = { dynamic = { factor = 2.0, original_max_position_embeddings = 32 } } } }\nblocks = [{ \
     sublayers = [{ parts = ['attention'] }] }, { depth = { mixture_of_depths = { capacity = 0.5 } }, sublayers = [{ parts = ['attention'] }, \
     { parts = ['mlp'] }] }]",
    "hidden = 8\nposition = { rotary = { scaling = { longrope = { factor = 4.0, original_max_position_embeddings = 32, short_factor = [1.0, \
     1.1], long_factor = [1.5, 3.0] } } } }\nblocks = [{ repeat = 2, sublayers = [{ parts = [{ attention = { projection = { heads = { \
     heads = 2 } } } }] }, { parts = ['gated_mlp'] }] }]",
];

/// A decoder of the list as a test case.
fn decoder(number: usize) -> TestCase {
    let text = format!("vocab = {VOCAB}\n{}", DECODERS[number]);
    let parsed: Result<kiln_models::ModelConfig, _> = kiln_spec::config::parse(&text, None);
    let mut config = parsed.unwrap_or_else(|error| panic!("{error}\n{text}"));
    config.resolve();
    assert_eq!(config.check("model"), Ok(()), "{text}");
    TestCase::new(format!("decoder {number}"), config)
}

/// Compares `prompts` random prompts in random batches, chunkings and numbers of threads. Returns the number of comparisons.
fn compare_prompts(prompts: usize, longest: usize, seed: u64) -> usize {
    let mut random = Random::new(seed, "prompts", 0, 0);
    let (mut seen, mut comparisons) = (0, 0);
    for number in 0.. {
        if seen >= prompts {
            return comparisons;
        }
        let subject = decoder(number % DECODERS.len());
        let precision = HeldPrecision::ALL[number / DECODERS.len() % HeldPrecision::ALL.len()];
        let lengths: Vec<usize> =
            (0..(1 + random.uniform_int(8)).min(prompts - seen)).map(|_| 1 + random.uniform_int(longest)).collect();
        let mut chunking = || (0..1 + random.uniform_int(4)).map(|_| 1 + random.uniform_int(90)).collect::<Vec<_>>();
        let chunks = [vec![1], chunking(), chunking()];
        let all = arrangements(&subject, &chunks, [random.uniform_int(5), random.uniform_int(70)]);
        let documents = documents(&subject, &lengths, seed + number as u64);
        let bits = |threads: usize| {
            let (subject, documents, all) = (subject.clone(), &documents, &all);
            with_threads(threads, move || compare(&model(&subject, precision), &subject, documents, all))
        };
        let threads = [1, 2 + random.uniform_int(3)];
        let [one, other] = threads.map(|threads| {
            bits(threads).unwrap_or_else(|why| panic!("{}, {precision:?}, {threads} threads: {why}", subject.name))
        });
        assert!(one == other, "{}, {precision:?}: {threads:?} threads differ", subject.name);
        seen += lengths.len();
        comparisons += lengths.len() * (2 * all.len() + 1);
    }
    comparisons
}

/// A decoder that computes in fast arithmetic, whatever it is asked for.
struct FastModel(TestModel);

impl ModelRunner for FastModel {
    fn model(&self) -> &Model {
        self.0.model()
    }

    fn forward(&self, tokens: Tensor<2, Int>, cx: &mut Context) -> Tensor<3> {
        cx.arithmetic = Arithmetic::Fast;
        self.0.forward(tokens, cx)
    }
}

/// The control: in fast arithmetic each decoder has other bits in some arrangement.
#[test]
fn fast_arithmetic_has_other_bits() {
    for number in 0..DECODERS.len() {
        let subject = decoder(number);
        let run = FastModel(model(&subject, HeldPrecision::F32));
        let documents = documents(&subject, &LENGTHS, 1);
        let reference = block_on(ExactReference::new(&run, &documents, subject.direction())).expect("numbers");
        let all = arrangements(&subject, &[vec![1], vec![5, 64]], [3, 2]);
        let counts: Vec<usize> =
            all.iter().map(|arrangement| block_on(reference.differing_values(arrangement)).expect("numbers")).collect();
        println!("{}: {counts:?} values differ", subject.name);
        assert!(counts.iter().any(|count| *count > 0), "{}", subject.name);
    }
}

/// What `--exact` refuses is what the law exempts, and whatever only the reference kernel computes.
#[test]
fn components_without_exact_arithmetic_are_refused() {
    let mut refused = 0;
    for (card, subject) in variant_cases().into_iter().filter(|(card, _)| card.exemption(ALL_LAWS).is_none()) {
        let exempt = exemption(&subject.config, "exact");
        let found = subject.config.check_exact("model").err().map(|error| error.to_string());
        assert_eq!(found.is_some(), exempt.is_some(), "{}: {found:?}", subject.name);
        if let (Some(found), Some((path, reason))) = (found, exempt) {
            assert!(found.contains(&format!("model.{path}")) && found.contains(reason), "{found}");
            refused += 1;
        }
        let is_exempt = card.exemptions.iter().any(|(law, _)| *law == "exact");
        assert!(is_exempt || card.kernel != Some(KernelForm::Reference), "{}", subject.name);
    }
    assert!(refused >= 3, "{refused}");
}

/// Adapters of every method, at all sites that they support.
#[test]
fn adapters_have_the_same_bits_in_every_arrangement() {
    let subject = decoder(0);
    for method in methods() {
        let base = Model::init(&subject.config, 5, &device());
        let adapted = attach(&base, &method, 9).unwrap_or_else(|error| panic!("{error}"));
        let run = subject.wrap(parameters::to_f32(parameters::perturbed(adapted)));
        let all = arrangements(&subject, &[vec![1], vec![5, 64]], [3, 2]);
        let found = compare(&run, &subject, &documents(&subject, &LENGTHS, 1), &all);
        assert!(found.is_ok(), "{}: {found:?}", method.name());
    }
}

#[test]
fn random_prompts_have_the_same_bits_in_every_arrangement() {
    let comparisons = compare_prompts(100, 90, 1);
    println!("{comparisons} comparisons");
    assert!(comparisons > 500, "{comparisons} comparisons");
}

/// 1,000 prompts of up to 200 tokens. Run by `just exact`.
#[test]
#[ignore = "takes minutes"]
fn a_thousand_prompts() {
    let started = std::time::Instant::now();
    let comparisons = compare_prompts(1000, 200, 2);
    println!("1000 prompts, {comparisons} comparisons, 0 differing bits, {:.0} s", started.elapsed().as_secs_f64());
}
