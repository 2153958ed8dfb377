//! What Kiln writes is read back, and is what was written.

use crate::{models::config, safetensors};
use kiln_kernels::packed::{Packing, pack::pack};
use kiln_models::{
    Values,
    gguf::{Carried, Export, ExportError, File, Matrices, read},
    hf,
    tensors::Tensors,
};
use serde_json::json;

pub fn carried() -> Carried {
    Carried {
        model: "gpt2".into(),
        pre: Some("default".into()),
        tokens: (0..29).map(|id| format!("t{id}")).collect(),
        types: vec![1; 29],
        merges: vec!["t 1".into()],
        special: [("bos".into(), 1), ("eos".into(), 2)].into(),
        added: [("bos".into(), true)].into(),
        add_space_prefix: Some(false),
        charsmap: vec![0, 255],
        chat_template: Some("{{ messages }}".into()),
        ..Carried::default()
    }
}

fn written(config_json: &serde_json::Value, tensors: &Values, matrices: Matrices) -> Result<Vec<u8>, ExportError> {
    let (mut out, tokenizer) = (Vec::new(), carried());
    let export = Export { name: "tiny", config_json, tensors, matrices, context: 7, tokenizer: Some(&tokenizer) };
    export.write(&mut out).map(|()| out)
}

/// As the packing keeps them.
fn rounded(values: &[f32], packing: &str) -> Vec<f32> {
    let packing = Packing::named(packing).unwrap();
    let mut out = vec![0.0; values.len()];
    packing.unpack(&pack(packing, values).unwrap(), &mut out);
    out
}

#[test]
fn what_is_written_is_read() {
    for (name, matrices) in
        [("tiny-llama", Matrices::F16), ("tiny-llama3", Matrices::Q8_0), ("tiny-qwen2", Matrices::F16)]
    {
        let (json, tensors) = (config(name), safetensors(name));
        let file = File::open(written(&json, &tensors, matrices).unwrap()).unwrap();
        assert_eq!(Carried::read(file.metadata()).unwrap().unwrap(), carried());
        let (found, renamed) = read(file.metadata(), &file).unwrap();
        assert_eq!(hf::read(&found).unwrap().1, hf::read(&json).unwrap().1, "{name}");
        assert!(renamed.entries().keys().eq(tensors.keys()), "{name}");
        for (tensor, entry) in renamed.entries() {
            let (found, want) = (renamed.read(tensor).unwrap(), tensors[tensor].as_slice::<f32>().unwrap());
            assert_eq!(entry.stored == "F32", entry.shape.len() == 1, "{tensor}");
            // Rows are turned whole, so that their blocks are the same.
            assert_eq!(found.as_slice::<f32>().unwrap(), rounded(want, &entry.stored), "{name}: {tensor}");
        }
    }
}

#[test]
fn eight_bits_where_rows_have_blocks() {
    // A feed-forward of 64.
    let mut json = config("tiny-llama");
    json["intermediate_size"] = json!(64);
    let (family, config) = hf::read(&json).unwrap();
    let model = kiln_models::Model::init(&config, 6, &burn::tensor::Device::flex());
    let values = block_on(kiln_models::values(&model));
    let tensors = hf::disassemble(&config, family, values).unwrap();
    let file = File::open(written(&json, &tensors, Matrices::Q8_0).unwrap()).unwrap();
    assert_eq!(file.entries()["blk.0.ffn_down.weight"].stored, "Q8_0");
    assert_eq!(file.entries()["blk.0.ffn_up.weight"].stored, "F16");
    let (_, renamed) = read(file.metadata(), &file).unwrap();
    hf::assemble(&config, family, &renamed, &burn::tensor::Device::flex()).unwrap();
}

fn block_on<T, E: std::fmt::Debug>(future: impl Future<Output = Result<T, E>>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value.unwrap();
        }
    }
}

#[test]
fn what_has_no_counterpart_is_refused() {
    let (json, tensors) = (config("tiny-llama"), safetensors("tiny-llama"));
    let refused =
        |json: &serde_json::Value, tensors: &Values| written(json, tensors, Matrices::F16).unwrap_err().to_string();
    assert!(refused(&config("tiny-gpt2"), &tensors).contains("`gpt2`"));
    let mut other = json.clone();
    other["hidden_act"] = json!("gelu");
    assert!(refused(&other, &tensors).contains("hidden_act"));
    let mut windows = config("tiny-qwen2");
    (windows["use_sliding_window"], windows["sliding_window"]) = (true.into(), 4.into());
    assert!(refused(&windows, &safetensors("tiny-qwen2")).contains("use_sliding_window"));
    let mut factor = json.clone();
    factor["rope_parameters"] = json!({ "rope_type": "yarn", "factor": 2.0, "mscale": 0.5 });
    assert!(refused(&factor, &tensors).contains("rope_scaling.mscale"));
    factor["rope_parameters"] = json!({ "rope_type": "linear" });
    assert!(refused(&factor, &tensors).contains("rope_scaling.factor"));
    let mut more = tensors.clone();
    more.insert("adapter.weight".into(), tensors["model.norm.weight"].clone());
    assert!(refused(&json, &more).contains("adapter.weight"));
    let mut large = tensors;
    let data = large.get_mut("model.embed_tokens.weight").unwrap();
    *data = burn::tensor::TensorData::new(vec![1e6f32; 29 * 24], [29, 24]);
    assert!(refused(&json, &large).contains("F16 can't hold"));
}
