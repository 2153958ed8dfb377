//! Every packing and every type of value, against the `gguf` package.

use crate::{bits, bits_of, bytes, gguf, safetensors};
use kiln_kernels::packed::{GGML_TYPES, GgmlType, quantize::quantize};
use kiln_models::tensors::TensorSource;
use kiln_pretrained::gguf::{Array, Value};
use safetensors::SafeTensors;

#[test]
fn every_quantization_is_dequantized_like_the_gguf_package() {
    let (file, want) = (gguf("packings"), safetensors("packings"));
    assert_eq!(file.entries().len(), GGML_TYPES.len());
    for (name, shape, found) in bits(&file) {
        assert_eq!(file.entries()[&name].dtype, name);
        assert_eq!((name.clone(), shape, found), bits_of(name.clone(), &want[&name]), "{name}");
    }
}

#[test]
fn q8_0_is_quantized_like_the_gguf_package() {
    let file = bytes("packings.safetensors");
    let file = SafeTensors::deserialize(&file).unwrap();
    let want = file.tensor("plain.Q8_0").unwrap();
    let plain = safetensors("packings").remove("plain").unwrap();
    let eight = GgmlType::from_name("Q8_0").unwrap();
    assert_eq!(quantize(eight, plain.as_slice::<f32>().unwrap()).unwrap(), want.data());
    assert_eq!(quantize(eight, &[f32::INFINITY; 32]), None);
    assert_eq!(quantize(eight, &[f32::NAN; 32]), None);
    assert_eq!(quantize(GgmlType::from_name("F16").unwrap(), &[7e4]), None);
}

#[test]
fn every_metadata_type_is_read() {
    let file = gguf("packings");
    let value = |name: &str| &file.metadata().0[&format!("test.{name}")];
    assert_eq!(file.version(), 3);
    assert_eq!(value("uint8"), &Value::U8(200));
    assert_eq!(value("int8"), &Value::I8(-100));
    assert_eq!(value("uint16"), &Value::U16(60_000));
    assert_eq!(value("int16"), &Value::I16(-30_000));
    assert_eq!(value("uint32"), &Value::U32(1 << 31));
    assert_eq!(value("int32"), &Value::I32(-7));
    assert_eq!(value("uint64"), &Value::U64(1 << 63));
    assert_eq!(value("int64"), &Value::I64(-(1 << 62)));
    assert_eq!(value("float32"), &Value::F32(0.1));
    assert_eq!(value("float32").as_float(), Some(0.1));
    assert_eq!(value("float64"), &Value::F64(0.1));
    assert_eq!(value("bool"), &Value::Bool(true));
    assert_eq!(value("string"), &Value::String("Straße".into()));
    assert_eq!(value("texts").as_strings().unwrap(), ["a", "", "é"]);
    let nested = [vec![1, 2, 3], vec![4], vec![5, 6]].map(Array::I32);
    assert_eq!(value("nested"), &Value::Array(Array::Array(nested.into())));
}
