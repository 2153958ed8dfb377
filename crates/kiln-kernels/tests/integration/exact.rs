//! Batch-invariant kernels: against their references, and each row to the bit as it is alone.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use kiln_kernels::{
    attention::{
        self, AttentionCall, AttentionOutput, BlockMask, Buckets, DenseMask, DistanceBias, ScoreBias, Sigmoid, Slopes,
        Softmax, block_mask::TILE_SIZE,
    },
    exact,
    packed::{GGML_TYPES, PackedMatrix, PackedStack, packed_grouped_linear_reference, packed_linear_reference},
    scan::{self, ScanInputs, UpdateRule},
    testing::{assert_close, max_abs_diff},
};
use kiln_spec::{Direction, Pattern, Random, TokenMark, plan::TilePlan};
use proptest::prelude::*;
use std::sync::Arc;

fn random_tensor<const D: usize>(random: &mut Random, shape: [usize; D]) -> Tensor<D> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.normal() as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn indices(values: Vec<i32>) -> Tensor<1, Int> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), &Device::flex())
}

fn bits<const D: usize>(tensor: &Tensor<D>) -> Vec<u32> {
    tensor.to_data().iter::<f32>().map(f32::to_bits).collect()
}

/// Runs with a number of threads.
fn with_threads<T: Send>(threads: usize, run: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
}

/// Asserts that a product of rows has, for each row, the bits of the row alone, for any number of threads.
fn assert_invariant(name: &str, x: &Tensor<2>, multiply: impl Fn(Tensor<2>, usize, usize) -> Tensor<2> + Sync) {
    let [rows, _] = x.dims();
    let whole = bits(&multiply(x.clone(), 0, rows));
    for threads in [1, 3] {
        assert_eq!(whole, with_threads(threads, || bits(&multiply(x.clone(), 0, rows))), "{name}: {threads} threads");
    }
    let mut first = 0;
    for count in [1, 2, 5, 7, 1, rows].into_iter().cycle() {
        let count = count.min(rows - first);
        let part = bits(&multiply(x.clone().narrow(0, first, count), first, count));
        let width = whole.len() / rows;
        assert_eq!(whole[first * width..][..part.len()], part[..], "{name}: rows {first} to {}", first + count);
        first += count;
        if first == rows {
            return;
        }
    }
}

/// Packed rows whose values are numbers, none of them large.
fn packed_matrix(random: &mut Random, name: &str, [rows, columns]: [usize; 2]) -> PackedMatrix {
    let packing = GGML_TYPES.iter().find(|packing| packing.name == name).unwrap();
    let columns = columns.next_multiple_of(packing.block_size);
    let values: Vec<f32> = (0..rows * columns).map(|_| random.normal() as f32).collect();
    let bytes = match name {
        "F32" => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        "BF16" => values.iter().flat_map(|value| burn::tensor::bf16::from_f32(*value).to_le_bytes()).collect(),
        "F16" => values.iter().flat_map(|value| burn::tensor::f16::from_f32(*value).to_le_bytes()).collect(),
        _ => {
            let mut bytes: Vec<u8> = (0..rows * columns / packing.block_size * packing.block_bytes)
                .map(|_| random.uniform_int(256) as u8)
                .collect();
            for block in bytes.chunks_exact_mut(packing.block_bytes) {
                for at in [0, 2, 80, 82, packing.block_bytes - 2] {
                    if let Some(byte) = block.get_mut(at + 1) {
                        *byte &= 0x37;
                    }
                }
                match name {
                    "Q8_K" => block[3] &= 0x3d,
                    "MXFP4" => block[0] = 0x70 | block[0] & 15,
                    _ => {}
                }
            }
            bytes
        }
    };
    PackedMatrix::new(packing, [rows, columns], bytes.into()).unwrap()
}

#[test]
fn packed_products_are_their_reference_and_rows_are_independent() {
    let mut random = Random::new(1, "packed", 0, 0);
    for packing in &GGML_TYPES {
        for (rows, columns) in [(1, 1), (70, 300), (300, 700)] {
            let matrix = packed_matrix(&mut random, packing.name, [rows, columns]);
            let x = random_tensor(&mut random, [23, matrix.shape()[1]]);
            let wanted = packed_linear_reference(x.clone(), &matrix);
            let size = wanted.clone().abs().max().into_scalar::<f32>().max(1e-3);
            assert_close(&exact::packed_linear(x.clone(), &matrix), &wanted, 1e-5 * f64::from(size));
            assert_invariant(packing.name, &x, |x, _, _| exact::packed_linear(x, &matrix));
        }
    }
}

#[test]
fn float_products_are_their_reference_and_rows_are_independent() {
    let mut random = Random::new(2, "floats", 0, 0);
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        for (inputs, outputs) in [(1, 1), (7, 64), (130, 65), (300, 200), (64, 17)] {
            let by_rows = random_tensor(&mut random, [inputs, outputs]).cast(dtype);
            let by_columns = random_tensor(&mut random, [outputs, inputs]).cast(dtype).transpose();
            for (name, weight) in [("rows", by_rows), ("columns", by_columns)] {
                let x = random_tensor(&mut random, [23, inputs]);
                let wanted = x.clone().matmul(weight.clone().cast(DType::F32));
                let size = wanted.clone().abs().max().into_scalar::<f32>().max(1e-3);
                assert_close(&exact::linear(x.clone(), weight.clone()), &wanted, 1e-5 * f64::from(size));
                assert_invariant(name, &x, |x, _, _| exact::linear(x, weight.clone()));
            }
        }
    }
    let (x, weight) = (random_tensor(&mut random, [2, 3, 5]), random_tensor(&mut random, [5, 4]));
    assert_eq!(exact::linear(x, weight).dims(), [2, 3, 4], "leading dimensions are kept");
}

#[test]
fn grouped_products_are_their_reference_and_rows_are_independent() {
    let mut random = Random::new(3, "grouped", 0, 0);
    for (groups, inputs, outputs) in [(1, 3, 2), (4, 70, 130), (9, 33, 64)] {
        let weight = random_tensor(&mut random, [groups, inputs, outputs]);
        let x = random_tensor(&mut random, [40, inputs]);
        let group: Vec<i32> = (0..40).map(|_| random.uniform_int(groups) as i32).collect();
        let own = |first: usize, count: usize| indices(group[first..][..count].to_vec());
        let wanted = kiln_kernels::grouped_linear::reference::grouped_linear(x.clone(), weight.clone(), own(0, 40));
        assert_close(&exact::grouped_linear(x.clone(), weight.clone(), own(0, 40)), &wanted, 1e-4);
        assert_invariant("grouped", &x, |x, first, count| exact::grouped_linear(x, weight.clone(), own(first, count)));
        for (name, by_columns) in [("Q8_0", true), ("BF16", false), ("Q8_0", false)] {
            let shape = if by_columns { [groups * outputs, inputs] } else { [groups * inputs, outputs] };
            let matrix = packed_matrix(&mut random, name, shape);
            let stack = PackedStack::new(matrix, groups, by_columns).unwrap();
            let x = random_tensor(&mut random, [40, stack.shape()[1]]);
            let wanted = packed_grouped_linear_reference(x.clone(), &stack, own(0, 40));
            let size = wanted.clone().abs().max().into_scalar::<f32>().max(1e-3);
            let found = exact::packed_grouped_linear(x.clone(), &stack, own(0, 40));
            assert_close(&found, &wanted, 1e-5 * f64::from(size));
            assert_invariant(name, &x, |x, first, count| exact::packed_grouped_linear(x, &stack, own(first, count)));
        }
    }
}

/// Bias of the scores.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bias {
    Slopes,
    Buckets,
}

/// Everything an attention call may be, besides its tensors.
#[derive(Clone, Debug)]
struct Options {
    bias: Option<Bias>,
    softcap: Option<f64>,
    sigmoid: Option<Option<f64>>,
    pattern: Pattern,
    direction: Direction,
}

fn options() -> impl Strategy<Value = Options> {
    let bias = prop_oneof![Just(None), Just(Some(Bias::Slopes)), Just(Some(Bias::Buckets))];
    let sigmoid = prop_oneof![Just(None), Just(None), Just(Some(None)), Just(Some(Some(-2.0)))];
    let pattern = prop_oneof![Just(Pattern::default()), (0u32..100).prop_map(|before| Pattern::window(before, 0)),];
    let direction = prop_oneof![Just(Direction::Causal), Just(Direction::Bidirectional)];
    (bias, proptest::option::of(1.0..4.0f64), sigmoid, pattern, direction).prop_map(
        |(bias, softcap, sigmoid, pattern, direction)| Options {
            bias,
            softcap: softcap.filter(|_| sigmoid.is_none()),
            sigmoid,
            pattern,
            direction,
        },
    )
}

/// Query, key and value of one document, `[T, heads, width]` each, and the bias table.
struct Document {
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    table: Tensor<2>,
}

/// A row of a call: marks of queries and keys, and for each the token of the document (`None`: padding).
struct Row {
    queries: Vec<(TokenMark, Option<usize>)>,
    keys: Vec<(TokenMark, Option<usize>)>,
}

impl Document {
    fn random(random: &mut Random, tokens: usize) -> Self {
        let (heads, groups, [d, e]) = (4, 2, [5, 19]);
        Self {
            query: random_tensor(random, [tokens, heads, d]),
            key: random_tensor(random, [tokens, groups, d]),
            value: random_tensor(random, [tokens, groups, e]),
            table: random_tensor(random, [7, heads]),
        }
    }

    /// The tokens of a row as `[1, heads, tokens, width]`. Padding has numbers of its own.
    fn rows(x: &Tensor<3>, tokens: &[(TokenMark, Option<usize>)]) -> Tensor<4> {
        let [_, heads, width] = x.dims();
        let rows = tokens.iter().map(|(_, token)| match token {
            Some(token) => x.clone().narrow(0, *token, 1),
            None => Tensor::full([1, heads, width], 1234.5, &Device::flex()),
        });
        Tensor::cat(rows.collect(), 0).swap_dims(0, 1).unsqueeze_dim(0)
    }

    fn call(&self, row: &Row, options: &Options) -> AttentionCall {
        let formula = options.pattern.visibility_formula();
        let marks = |tokens: &[(TokenMark, Option<usize>)]| tokens.iter().map(|(mark, _)| *mark).collect::<Vec<_>>();
        let (queries, keys) = (marks(&row.queries), marks(&row.keys));
        let hidden = kiln_spec::plan::dense_mask(&formula, &queries, &keys).into_iter().map(|sees| !sees).collect();
        let shape = [1, 1, queries.len(), keys.len()];
        let mask = Tensor::from_data(TensorData::new::<bool, _>(hidden, shape), &Device::flex());
        let positions =
            |marks: &[TokenMark]| indices(marks.iter().map(|mark| mark.position).collect()).unsqueeze_dim::<2>(0);
        let has_visible_key = mask.clone().bool_not().int().max_dim(3).float();
        let mut block_mask = BlockMask::from_dense(DenseMask { mask, has_visible_key: Some(has_visible_key) });
        block_mask.positions = Some([positions(&queries), positions(&keys)]);
        if queries.len() % 2 == 0 {
            block_mask = block_mask.with_tiles(move || vec![TilePlan::new(&formula, &queries, &keys, TILE_SIZE)]);
        }
        AttentionCall {
            query: Self::rows(&self.query, &row.queries),
            key: Self::rows(&self.key, &row.keys),
            value: Self::rows(&self.value, &row.keys),
            block_mask,
            bias: options.bias.map(|bias| self.bias(bias)),
            scale: 0.37,
            score: match options.sigmoid {
                Some(bias) => Arc::new(Sigmoid { bias }),
                None => Arc::new(Softmax { softcap: options.softcap, ..Softmax::default() }),
            },
            dropout: None,
            needs_log_sum_exp: options.sigmoid.is_none(),
        }
    }

    fn bias(&self, bias: Bias) -> Arc<dyn ScoreBias> {
        match bias {
            Bias::Slopes => Arc::new(DistanceBias { table: self.table.clone().narrow(0, 0, 1), function: Slopes }),
            Bias::Buckets => {
                let function = Buckets(Arc::new((0..41).map(|distance: u32| distance % 7).collect()));
                Arc::new(DistanceBias { table: self.table.clone(), function })
            }
        }
    }

    /// Output and log-sum-exp of the row's own queries, by token.
    fn attend(&self, row: &Row, options: &Options) -> Vec<(usize, Vec<u32>)> {
        let AttentionOutput { out, log_sum_exp } = attention::exact::attend(self.call(row, options));
        let own = row.queries.iter().enumerate().filter_map(|(index, (_, token))| Some((index, (*token)?)));
        own.map(|(index, token)| {
            let mut values = bits(&out.clone().narrow(2, index, 1));
            values.extend(log_sum_exp.iter().flat_map(|sums| bits(&sums.clone().narrow(2, index, 1))));
            (token, values)
        })
        .collect()
    }
}

/// The marks of a document's tokens.
fn own_tokens(tokens: std::ops::Range<usize>, direction: Direction) -> Vec<(TokenMark, Option<usize>)> {
    tokens.map(|token| (TokenMark::new(token, 1, direction), Some(token))).collect()
}

/// Tokens of another document, and padding.
fn other_tokens(random: &mut Random, max: usize) -> Vec<(TokenMark, Option<usize>)> {
    let count = random.uniform_int(max);
    let mark = |random: &mut Random, i| {
        let valid = random.uniform_int(3) > 0;
        (TokenMark { valid, ..TokenMark::new(i, 0, Direction::Causal) }, None)
    };
    (0..count).map(|i| mark(random, i)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn exact_attention_is_its_reference(seed in any::<u64>(), tokens in 1usize..150, options in options()) {
        let mut random = Random::new(seed, "exact", 0, 0);
        let document = Document::random(&mut random, tokens);
        let mut all = other_tokens(&mut random, 90);
        all.extend(own_tokens(0..tokens, options.direction));
        let row = Row { queries: all.clone(), keys: all };
        let found = attention::exact::attend(document.call(&row, &options));
        let wanted = attention::reference::attend(document.call(&row, &options), None);
        // Padding has scores of some thousands, where the smallest step is 1e-4 times as large.
        let own = |x: &Tensor<4>| x.clone().narrow(2, row.queries.len() - tokens, tokens);
        prop_assert!(max_abs_diff(&own(&found.out), &own(&wanted.out)) <= 1e-4);
        if let (Some(found), Some(wanted)) = (found.log_sum_exp, wanted.log_sum_exp) {
            let own = |x: Tensor<3>| own(&x.unsqueeze_dim(3));
            prop_assert!(max_abs_diff(&own(found), &own(wanted)) <= 1e-4);
        }
    }

    /// A query beside others and padding, after calls of any size, and without the keys that it doesn't see, has the bits of the
    /// whole document alone.
    #[test]
    fn exact_attention_depends_on_positions_alone(seed in any::<u64>(), tokens in 1usize..200, options in options()) {
        let mut random = Random::new(seed, "exact", 0, 0);
        let document = Document::random(&mut random, tokens);
        let own = own_tokens(0..tokens, options.direction);
        let alone = document.attend(&Row { queries: own.clone(), keys: own.clone() }, &options);
        let mut packed = other_tokens(&mut random, 90);
        packed.extend(own.clone());
        packed.extend(other_tokens(&mut random, 90));
        let found = document.attend(&Row { queries: packed.clone(), keys: packed }, &options);
        prop_assert!(alone == found, "packed");
        if options.direction != Direction::Causal {
            return Ok(());
        }
        // Chunks, with padding between them in the cache.
        let (mut keys, mut first, mut chunked) = (other_tokens(&mut random, 90), 0, Vec::new());
        keys.iter_mut().for_each(|(mark, _)| mark.valid = false);
        while first < tokens {
            let count = [1, 1, 3, 64, 70][random.uniform_int(5)].min(tokens - first);
            let chunk = own_tokens(first..first + count, options.direction);
            keys.extend(chunk.clone());
            chunked.extend(document.attend(&Row { queries: chunk, keys: keys.clone() }, &options));
            let mut padding = other_tokens(&mut random, 4);
            padding.iter_mut().for_each(|(mark, _)| mark.valid = false);
            keys.extend(padding);
            first += count;
        }
        prop_assert!(alone == chunked, "chunked");
        // One query with the keys that it sees and no others.
        let formula = options.pattern.visibility_formula();
        for token in [0, tokens / 2, tokens - 1] {
            let query = own_tokens(token..token + 1, options.direction);
            let keys = own.iter().filter(|(mark, _)| formula.evaluate(&query[0].0, mark)).copied().collect();
            let found = document.attend(&Row { queries: query, keys }, &options);
            prop_assert!(alone[token] == found[0], "query {token} alone");
        }
    }

    /// A scan in two calls, with padding before, between and after the tokens, has the bits of one call; its values are those
    /// of the recurrence.
    #[test]
    fn exact_scans_are_the_recurrence_in_any_calls(
        seed in any::<u64>(), t in 2usize..90, at in 1usize..89, is_delta in any::<bool>(), has_one_decay in any::<bool>(),
    ) {
        let mut random = Random::new(seed, "scan", 0, 0);
        let (at, [g, h, d, e]) = (at.min(t - 1), [1, 2, 5, 3]);
        let heads = |random: &mut Random, heads, width| random_tensor(random, [1, heads, t, width]);
        let key = heads(&mut random, g, d) * 0.4;
        let width = if has_one_decay { 1 } else { d };
        let resets: Vec<f32> = (0..t).map(|i| f32::from(i == 0 || random.uniform_int(20) == 0)).collect();
        let all = ScanInputs {
            query: heads(&mut random, g, d),
            key,
            value: heads(&mut random, h, e),
            log_decay: heads(&mut random, h, width).abs() * -0.3,
            strength: Some(heads(&mut random, h, 1).abs() * 0.5),
            rule: if is_delta { UpdateRule::Delta } else { UpdateRule::Additive },
            skip: Some(random_tensor(&mut random, [h])),
            resets: Tensor::from_data(TensorData::new(resets, [1, t]), &Device::flex()),
            live: Tensor::ones([1, t], &Device::flex()),
            state: Some(Tensor::zeros([1, h, d, e], &Device::flex())),
        };
        let whole = scan::exact::scan(all.clone());
        let oracle = scan::recurrent::scan(all.clone());
        prop_assert!(max_abs_diff(&whole.out, &oracle.out) <= 1e-3, "{:e}", max_abs_diff(&whole.out, &oracle.out));
        let part = |first: usize, count: usize, padding: [usize; 2], state: Tensor<4>| {
            let pad = |x: &Tensor<4>, value: f32| {
                let [_, heads, _, width] = x.dims();
                let padded = |count| Tensor::full([1, heads, count, width], value, &Device::flex());
                let own = x.clone().narrow(2, first, count);
                let parts = [(padding[0] > 0).then(|| padded(padding[0])), Some(own), (padding[1] > 0).then(|| padded(padding[1]))];
                Tensor::cat(parts.into_iter().flatten().collect(), 2)
            };
            let row = |x: &Tensor<2>, value: f32| pad(&x.clone().reshape([1, 1, t, 1]), value);
            let length = padding[0] + count + padding[1];
            let output = scan::exact::scan(ScanInputs {
                query: pad(&all.query, 7.0), key: pad(&all.key, 7.0), value: pad(&all.value, 7.0),
                log_decay: pad(&all.log_decay, -0.5), strength: all.strength.as_ref().map(|x| pad(x, 1.0)),
                resets: row(&all.resets, 1.0).reshape([1, length]), live: row(&all.live, 0.0).reshape([1, length]),
                state: Some(state), ..all.clone()
            });
            (output.out.narrow(2, padding[0], count), output.state.unwrap())
        };
        let (first, state) = part(0, at, [random.uniform_int(9), random.uniform_int(3)], all.state.clone().unwrap());
        let (second, state) = part(at, t - at, [random.uniform_int(3), random.uniform_int(9)], state);
        prop_assert_eq!(bits(&whole.out.narrow(2, 0, at)), bits(&first));
        prop_assert_eq!(bits(&scan::exact::scan(all.clone()).out.narrow(2, at, t - at)), bits(&second));
        prop_assert_eq!(bits(&whole.state.unwrap()), bits(&state));
    }
}
