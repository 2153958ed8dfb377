use super::*;
use serde_json::json;

/// Tensors as a file stores them: name → (type, shape, bytes).
#[derive(Default)]
struct StoredBytes {
    entries: BTreeMap<String, TensorInfo>,
    bytes: BTreeMap<String, Vec<u8>>,
}

impl StoredBytes {
    fn with(mut self, name: &str, dtype: &str, shape: &[usize], bytes: Vec<u8>) -> Self {
        self.entries.insert(name.into(), TensorInfo { shape: shape.to_vec(), dtype: dtype.into() });
        self.bytes.insert(name.into(), bytes);
        self
    }
}

impl TensorSource for StoredBytes {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let info = self.entries.get(name).ok_or_else(|| TensorError::NotFound(name.into()))?;
        let dtype = crate::tensors::float_type(&info.dtype).expect("a float type");
        let data = TensorData::from_bytes_vec(self.bytes[name].clone(), info.shape.clone(), dtype);
        Ok(data.convert::<f32>())
    }

    fn read_bytes(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.bytes.get(name).map(|bytes| bytes.as_slice().into())
    }
}

/// Little-endian bytes of words.
fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A matrix `[8, 32]` in GPTQ's form with 4 bits, one group: q of input i and output o is (i + o) mod 16, z is 8 for all
/// outputs, s is 0.5.
fn gptq_matrix() -> StoredBytes {
    let quant = |input: usize, output: usize| ((input + output) % 16) as u32;
    let word = |word: usize, output: usize| (0..8).fold(0, |sum, i| sum | quant(8 * word + i, output) << (4 * i));
    let qweight: Vec<u32> = (0..4).flat_map(|row| (0..8).map(move |output| word(row, output))).collect();
    let half = burn::tensor::f16::from_f32(0.5).to_le_bytes();
    StoredBytes::default()
        .with("a.qweight", "I32", &[4, 8], words(&qweight))
        .with("a.qzeros", "I32", &[1, 1], words(&[0x7777_7777]))
        .with("a.scales", "F16", &[1, 8], half.repeat(8))
}

fn config(options: Value) -> Value {
    let mut quantization = json!({ "quant_method": "gptq", "bits": 4, "group_size": 32 });
    quantization.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    json!({ "model_type": "llama", "quantization_config": quantization })
}

#[test]
fn a_matrix_by_the_formats_definition_is_read_packed_and_dense() {
    let logical = open(&config(json!({})), Box::new(gptq_matrix())).unwrap();
    assert_eq!(logical.entries().keys().collect::<Vec<_>>(), ["a.weight"]);
    assert_eq!(logical.entries()["a.weight"], TensorInfo { shape: vec![8, 32], dtype: "Q4_0".into() });
    let expected =
        |zero: f32| -> Vec<f32> { (0..8 * 32).map(|at| 0.5 * (((at / 32 + at % 32) % 16) as f32 - zero)).collect() };
    assert_eq!(logical.read("a.weight").unwrap().try_to_vec::<f32>().unwrap(), expected(8.0));
    assert_eq!(logical.read_packed("a.weight").unwrap().dequantize(), expected(8.0));
    assert!(logical.read("a.qweight").is_err() && logical.read_bytes("a.qweight").is_none());
    // The other format has the zero points themselves, which need a bit more here.
    let logical = open(&config(json!({ "checkpoint_format": "gptq_v2" })), Box::new(gptq_matrix())).unwrap();
    assert_eq!(logical.entries()["a.weight"].dtype, "Q5_0");
    assert_eq!(logical.read_packed("a.weight").unwrap().dequantize(), expected(7.0));
}

#[test]
fn options_that_are_not_honored_are_refused_by_their_path() {
    let cases = [
        (json!({ "bits": 3 }), "quantization_config.bits", "expected 4 or 8 bits, found 3"),
        (json!({ "bits": null }), "quantization_config.bits", "found none"),
        (json!({ "group_size": 0 }), "quantization_config.group_size", "found 0"),
        (json!({ "group_size": "all" }), "quantization_config.group_size", "found \"all\""),
        (json!({ "checkpoint_format": "marlin" }), "quantization_config.checkpoint_format", "\"gptq\" or \"gptq_v2\""),
        (json!({ "format": "gptq_p" }), "quantization_config.format", "\"gptq_p\""),
        (json!({ "dynamic": { "+:.*q_proj": { "bits": 8 } } }), "quantization_config.dynamic", "unsupported key"),
        (json!({ "pack_dtype": "int64" }), "quantization_config.pack_dtype", "\"int64\""),
        (json!({ "desc_act": 1 }), "quantization_config.desc_act", "true or false"),
        (json!({ "quant_method": "hqq" }), "quantization_config.quant_method", "quantized by hqq, 4 bits"),
        (json!({ "quant_method": "awq", "bits": 8 }), "quantization_config.bits", "expected 4 bits, found 8"),
        (json!({ "quant_method": "awq", "version": "gemv" }), "quantization_config.version", "\"gemv\""),
        (json!({ "quant_method": "awq", "zero_point": false }), "quantization_config.zero_point", "found false"),
        (
            json!({ "quant_method": "awq", "modules_to_not_convert": ["a", 3] }),
            "quantization_config.modules_to_not_convert[1]",
            "found 3",
        ),
    ];
    for (options, path, message) in cases {
        let error = read_method(&config(options)).err().expect(path);
        assert_eq!(error.path, path);
        assert!(error.to_string().contains(message), "{error}");
    }
    for (options, path) in [
        (json!({ "weight_block_size": [128] }), "quantization_config.weight_block_size"),
        (json!({ "fmt": "e5m2" }), "quantization_config.fmt"),
        (json!({ "scale_fmt": "e5m2" }), "quantization_config.scale_fmt"),
        (json!({ "expert_dtype": "fp4" }), "quantization_config.expert_dtype"),
        (json!({ "modules_to_convert": ["embed"] }), "quantization_config.modules_to_convert"),
    ] {
        let mut config = json!({ "quantization_config": options });
        config["quantization_config"]["quant_method"] = "fp8".into();
        assert_eq!(read_method(&config).err().expect(path).path, path);
    }
    assert!(read_method(&json!({ "quantization_config": null })).unwrap().is_none());
}

#[test]
fn tensors_of_another_form_are_refused_by_their_name() {
    let without = |name: &str| {
        let mut file = gptq_matrix();
        file.entries.remove(name);
        file
    };
    let g_idx = |groups: Vec<u32>| gptq_matrix().with("a.g_idx", "I32", &[groups.len()], words(&groups));
    let cases = [
        (without("a.scales"), json!({}), "tensor `a.scales`: missing; `a.qweight` is stored with it"),
        (without("a.qzeros"), json!({}), "tensor `a.qzeros`: missing"),
        (gptq_matrix(), json!({ "desc_act": true }), "tensor `a.g_idx`: missing"),
        (g_idx(vec![0; 31]), json!({}), "tensor `a.g_idx`: expected the shape [32], found [31]"),
        (
            g_idx([vec![0; 31], vec![1]].concat()),
            json!({}),
            "`a.g_idx`: expected groups from 0 to 0, found 1 for input 31",
        ),
        (g_idx(vec![u32::MAX; 32]), json!({}), "found -1 for input 0"),
        (
            gptq_matrix(),
            json!({ "group_size": 20 }),
            "32 inputs are no multiple of quantization_config.group_size = 20",
        ),
        (gptq_matrix(), json!({ "group_size": 16 }), "tensor `a.qzeros`: expected the shape [2, 1], found [1, 1]"),
        (gptq_matrix(), json!({ "bits": 8 }), "tensor `a.qweight`"),
        (
            gptq_matrix().with("a.scales", "I32", &[1, 8], vec![0; 32]),
            json!({}),
            "tensor `a.scales`: expected the type F16 or BF16 or F32, found I32",
        ),
        (
            gptq_matrix().with("a.weight", "F16", &[8, 32], vec![0; 512]),
            json!({}),
            "tensor `a.weight`: stored both as floats and quantized (`a.qweight`)",
        ),
        (
            gptq_matrix(),
            json!({ "quant_method": "awq", "group_size": 4, "modules_to_not_convert": ["a"] }),
            "tensor `a.qweight`: quantized, but quantization_config.modules_to_not_convert[0] excludes `a`",
        ),
    ];
    for (file, options, message) in cases {
        let error = open(&config(options), Box::new(file)).err().expect(message).to_string();
        assert!(error.contains(message), "{error}\nexpected: {message}");
    }
}

#[test]
fn a_tensor_that_two_weights_claim_is_refused_and_one_that_none_claims_stays_visible() {
    /// A reader that leaves out the zero points, and one that reads the same scales for two weights.
    struct Faulty(Vec<(&'static str, Vec<&'static str>)>);
    struct Nothing;
    impl LogicalValues for Nothing {
        fn read(&self, _stored: &dyn TensorSource) -> Result<TensorData, TensorError> {
            Err(TensorError::NotFound("nothing".into()))
        }
    }
    impl QuantReader for Faulty {
        fn logical_tensors(&self, _stored: &dyn TensorSource) -> Result<Vec<LogicalTensor>, TensorError> {
            let logical = |(name, parts): &(&str, Vec<&str>)| LogicalTensor {
                name: (*name).into(),
                info: TensorInfo::f32(vec![8, 32]),
                parts: parts.iter().map(|part| (*part).into()).collect(),
                values: Box::new(Nothing),
            };
            Ok(self.0.iter().map(logical).collect())
        }
    }
    let careless = Faulty(vec![("a.weight", vec!["a.qweight", "a.scales"])]);
    let shown = LogicalTensors::new(&careless, Box::new(gptq_matrix())).unwrap();
    assert_eq!(shown.entries().keys().collect::<Vec<_>>(), ["a.qzeros", "a.weight"]);
    let twice = Faulty(vec![("a.weight", vec!["a.qweight", "a.scales"]), ("b.weight", vec!["a.scales"])]);
    let error = LogicalTensors::new(&twice, Box::new(gptq_matrix())).err().unwrap().to_string();
    assert!(error.contains("`a.scales`: part of two weights, one of them `b.weight`"), "{error}");
}
