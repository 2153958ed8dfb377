//! Order of the rows of queries, keys and values in GGUF files, against llama.cpp's. A round trip doesn't see a wrong order: what
//! the export permutes, the import permutes back.

use super::gguf::{Case, STORED, file};
use burn::tensor::TensorData;
use kiln_laws::values;
use kiln_models::{
    ModelConfig, StateDict,
    tensors::{TensorSource, WeightDtype},
};
use kiln_nn::part::{PartConfig, attention::ProjectionConfig};
use std::collections::BTreeSet;

/// Architectures in which llama.cpp rotates neighboring rows (`LLAMA_ROPE_TYPE_NORM` of `llama_model_rope_type`). In the others
/// it rotates rows that are half a head apart, or none.
const ROTATES_NEIGHBORS: &[&str] = &["llama", "granite", "smollm3", "command-r", "deepseek2"];

/// Families without such tensors: state spaces, and other names of tensors.
const OTHER_TENSORS: &[&str] = &["mamba2", "t5", "mt5"];

/// Tensors that hold the rows of several parameters, one after the other.
const FUSED: &[(&str, &[&str])] = &[("attn_qkv", &["q", "k", "v"]), ("attn_kv_a_mqa", &["kv_down", "k_rope"])];

/// The order of the rows of a head in a file, relative to Kiln's.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Same,
    /// Rows that are half a head apart in Kiln stand side by side.
    SideBySide,
}

impl Order {
    /// Kiln's row that is row `row` of the file. With heads of 2h rows, llama.cpp's converter views the rows as `[heads, 2, h]`
    /// and exchanges the last two axes.
    fn row_in_kiln(self, row: usize, head_width: usize) -> usize {
        let (head, within, half) = (row / head_width, row % head_width, head_width / 2);
        match self {
            Self::Same => row,
            Self::SideBySide => head * head_width + (within % 2) * half + within / 2,
        }
    }

    fn other(self) -> Self {
        if self == Self::Same { Self::SideBySide } else { Self::Same }
    }
}

/// The order of queries and keys of a model in its architecture.
fn expected_order(architecture: &str, config: &ModelConfig) -> Order {
    let is_rotary = serde_json::to_string(config).unwrap();
    let kiln_rotates_neighbors = is_rotary.contains(r#""interleaved":true"#);
    match ROTATES_NEIGHBORS.contains(&architecture) != kiln_rotates_neighbors {
        true => Order::SideBySide,
        false => Order::Same,
    }
}

/// Numbers of heads of queries, and of keys and values.
fn head_counts(config: &ModelConfig) -> Option<[usize; 2]> {
    let mut parts = config.blocks.iter().flat_map(|block| &block.sublayers).flat_map(|sublayer| &sublayer.parts);
    parts.find_map(|part| match part {
        PartConfig::Attention(attention) => Some(match &attention.projection {
            ProjectionConfig::Heads(heads) => [heads.heads, heads.kv_heads.unwrap_or(heads.heads)],
            ProjectionConfig::Latent(latent) => [latent.heads, latent.heads],
        }),
        _ => None,
    })
}

/// A parameter of attention as `[rows]` or `[columns, rows]`, and the rows of the file that hold it.
struct Rows<'a> {
    name: String,
    parameter: &'a TensorData,
    tensor: &'a TensorData,
    /// The first row of the tensor.
    start: usize,
}

impl<'a> Rows<'a> {
    /// Queries, keys or values of a layer (`role`); `None` if the model or the file has no such tensor.
    fn find(weights: &'a StateDict, tensors: &'a StateDict, layer: usize, role: &str, end: &str) -> Option<Self> {
        let parameter = |role: &str| weights.get(&format!("blocks.{layer}.attention.{role}.{end}"));
        let tensor = |name: &str| tensors.get(&format!("blk.{layer}.{name}.{end}"));
        let width = |parameter: &TensorData| parameter.shape().last().copied().unwrap_or(0);
        let own = tensor(&format!("attn_{role}")).or(tensor(&format!("attn_{role}_b")));
        let fused = FUSED.iter().find(|(_, roles)| roles.contains(&role)).and_then(|(name, roles)| {
            let before = roles.iter().take_while(|other| **other != role);
            Some((tensor(name)?, before.filter_map(|role| parameter(role)).map(width).sum()))
        });
        let (tensor, start) = own.map(|own| (own, 0)).or(fused)?;
        let name = format!("blocks.{layer}.attention.{role}.{end}");
        // The keys and values of latent attention have a matrix for each head.
        (tensor.shape().len() < 3).then_some(Self { name, parameter: parameter(role)?, tensor, start })
    }

    /// Number of rows.
    fn count(&self) -> usize {
        self.parameter.shape().last().copied().unwrap_or(0)
    }

    /// Whether the rows of the file are those of the parameter in this order.
    fn are_in(&self, order: Order, heads: usize) -> bool {
        let [parameter, tensor] = [self.parameter, self.tensor].map(|data| data.iter::<f32>().collect::<Vec<_>>());
        let (rows, columns) = (self.count(), parameter.len() / self.count());
        (0..rows).all(|row| {
            let own = order.row_in_kiln(row, rows / heads);
            (0..columns).all(|c| tensor[(self.start + row) * columns + c] == parameter[c * rows + own])
        })
    }
}

#[test]
fn queries_and_keys_stand_in_the_rows_that_llama_cpp_rotates() {
    let mut distinguished = BTreeSet::new();
    for (fixture, changes) in STORED {
        let case = Case::new(fixture, changes);
        let bytes = case.write(WeightDtype::F32).unwrap();
        let (weights, tensors) = (values(&case.model), file(&bytes).read_all().unwrap());
        let architecture = case.family.gguf().unwrap().architecture;
        let order = expected_order(architecture, &case.config);
        let Some([heads, kv_heads]) = head_counts(&case.config) else { continue };
        // The rotated part of latent attention's keys is that of all heads.
        let roles = [("q", heads, order), ("k", kv_heads, order), ("k_rope", 1, order), ("v", kv_heads, Order::Same)];
        for layer in 0..case.config.num_layers() {
            for ((role, heads, order), end) in roles.iter().flat_map(|role| [(*role, "weight"), (*role, "bias")]) {
                let Some(rows) = Rows::find(&weights, &tensors, layer, role, end) else { continue };
                assert!(rows.are_in(order, heads), "{}: {} is not in the order {order:?}", case.name, rows.name);
                // A planted fault: heads of more than one pair are not in the other order.
                if rows.count() / heads > 2 {
                    assert!(!rows.are_in(order.other(), heads), "{}: {}", case.name, rows.name);
                    distinguished.insert((role, case.family.name));
                }
            }
        }
    }
    for (fixture, changes) in STORED {
        let name = Case::new(fixture, changes).family.name;
        let has = |role| distinguished.contains(&(role, name));
        let is_seen = has("q") && (has("k") || has("k_rope"));
        assert!(is_seen || OTHER_TENSORS.contains(&name), "{name}: no model shows the order of rows");
    }
}
