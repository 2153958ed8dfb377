//! Layouts applied and reversed.

use super::{
    super::{binding::ValueMap, row_permutation::RowPermutation},
    *,
};

fn data(shape: [usize; 2], dtype: DType) -> TensorData {
    TensorData::new((0..shape[0] * shape[1]).map(|i| i as f32).collect::<Vec<_>>(), shape).convert_dtype(dtype)
}

fn values(data: &TensorData) -> Vec<f32> {
    data.iter::<f32>().collect()
}

/// Integers up to 256 are exact in all three.
const DTYPES: [DType; 3] = [DType::F32, DType::BF16, DType::F16];

#[test]
fn a_transposed_matrix_has_rows_and_columns_exchanged() {
    let layout = TensorLayout { transposed: true, ..TensorLayout::default() };
    for dtype in DTYPES {
        let transposed = layout.extract(data([5, 35], dtype));
        assert_eq!((transposed.shape().to_vec(), transposed.dtype()), (vec![35, 5], dtype));
        assert_eq!(values(&transposed)[3 * 5 + 4], (4 * 35 + 3) as f32);
        assert_eq!(layout.insert(transposed, None), data([5, 35], dtype));
    }
}

#[test]
fn slices_of_a_fused_matrix_are_put_together_again() {
    // Two heads, each with 1 row of q, 1 of k and 2 of v.
    for (axis, shape, dtype) in [(0, [8, 3], DType::F32), (0, [8, 3], DType::BF16), (1, [3, 8], DType::F16)] {
        let layouts = [(0, 1), (1, 1), (2, 2)].map(|(start, width)| TensorLayout {
            transposed: true,
            slice: Some(Slice { axis, groups: 2, start, width, group_size: 4 }),
            ..TensorLayout::default()
        });
        let parameters = layouts.map(|layout| layout.extract(data(shape, dtype)));
        if axis == 0 {
            assert_eq!(parameters[1].shape().to_vec(), [3, 2]);
            assert_eq!(values(&parameters[1]), [3.0, 15.0, 4.0, 16.0, 5.0, 17.0]);
        } else {
            assert_eq!(parameters[1].shape().to_vec(), [2, 3]);
            assert_eq!(values(&parameters[1]), [1.0, 9.0, 17.0, 5.0, 13.0, 21.0]);
        }
        let pairs = layouts.iter().zip(parameters);
        let tensor = pairs.fold(None, |tensor, (layout, parameter)| Some(layout.insert(parameter, tensor)));
        assert_eq!(tensor, Some(data(shape, dtype)));
    }
}

#[test]
fn outputs_that_alternate_in_each_matrix_of_a_stack_are_put_together_again() {
    // Two matrices with 3 inputs and the outputs of two parameters in turn, 4 of each.
    for (axis, shape, transposed) in [(2, [2, 3, 8], false), (1, [2, 8, 3], true)] {
        let at = |matrix: usize, input: usize, output: usize| match transposed {
            false => 24 * matrix + 8 * input + output,
            true => 24 * matrix + 3 * output + input,
        };
        for dtype in DTYPES {
            let file = TensorData::new((0..48).map(|i| i as f32).collect::<Vec<_>>(), shape).convert_dtype(dtype);
            let layouts = [0, 1].map(|start| TensorLayout {
                transposed,
                slice: Some(Slice { axis, groups: 4, start, width: 1, group_size: 2 }),
                ..TensorLayout::default()
            });
            let parameters = layouts.map(|layout| layout.extract(file.clone()));
            for (start, parameter) in parameters.iter().enumerate() {
                assert_eq!((parameter.shape().to_vec(), parameter.dtype()), (vec![2, 3, 4], dtype));
                let places = (0..24).map(|i| at(i / 12, i / 4 % 3, 2 * (i % 4) + start) as f32);
                assert_eq!(values(parameter), places.collect::<Vec<_>>());
            }
            let pairs = layouts.iter().zip(parameters);
            let tensor = pairs.fold(None, |tensor, (layout, parameter)| Some(layout.insert(parameter, tensor)));
            assert_eq!(tensor, Some(file));
        }
    }
}

#[test]
fn a_slice_of_columns_is_a_part_of_each_row() {
    let layout = TensorLayout { slice: Some(Slice::contiguous(1, 2, 2, 6)), ..TensorLayout::default() };
    assert_eq!(layout.file_shape(&[2, 2]), [2, 6]);
    assert_eq!(values(&layout.extract(data([2, 6], DType::F32))), [2.0, 3.0, 8.0, 9.0]);
}

#[test]
fn an_axis_of_length_1_is_left_out_and_put_back() {
    // Channels 1 and 2 of 3, filters of width 2: `[channels, 1, width]` in the file, `[width, channels]` here.
    let slice = Some(Slice::contiguous(0, 1, 2, 3));
    let layout = TensorLayout { transposed: true, slice, unit_axis: Some(1), ..TensorLayout::default() };
    let tensor = TensorData::new((0..6).map(|i| i as f32).collect::<Vec<_>>(), [3, 1, 2]);
    let parameter = layout.extract(tensor.clone());
    assert_eq!(parameter.shape().to_vec(), [2, 2]);
    assert_eq!(values(&parameter), [2.0, 4.0, 3.0, 5.0]);
    assert_eq!(layout.file_shape(&[2, 2]), [3, 1, 2]);
    assert_eq!(layout.insert(parameter, Some(tensor.clone())), tensor);
}

#[test]
fn matrices_of_heads_are_put_side_by_side_and_apart() {
    // Two heads of two rows and three columns.
    let file = TensorData::new((0..12).map(|i| i as f32).collect::<Vec<_>>(), [2, 2, 3]);
    let columns = [0.0, 1.0, 2.0, 6.0, 7.0, 8.0, 3.0, 4.0, 5.0, 9.0, 10.0, 11.0];
    let rows = [0.0, 3.0, 6.0, 9.0, 1.0, 4.0, 7.0, 10.0, 2.0, 5.0, 8.0, 11.0];
    let transposed_columns = [0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 6.0, 9.0, 7.0, 10.0, 8.0, 11.0];
    for (heads, transposed, shape, expected) in [
        (HeadAxis::Columns(2), false, [2, 6], columns),
        (HeadAxis::Rows(2), true, [3, 4], rows),
        (HeadAxis::Columns(2), true, [6, 2], transposed_columns),
    ] {
        let layout = TensorLayout { heads: Some(heads), transposed, ..TensorLayout::default() };
        assert_eq!(layout.file_shape(&shape), [2, 2, 3]);
        let parameter = layout.extract(file.clone());
        assert_eq!((parameter.shape().to_vec(), values(&parameter)), (shape.to_vec(), expected.to_vec()));
        assert_eq!(layout.insert(parameter, None), file);
    }
}

#[test]
fn rows_in_the_order_of_interleaved_pairs_are_put_in_order_and_back() {
    // Two heads of four rows behind two other rows, and the bias of the heads.
    let (slice, row_order) = (Some(Slice::contiguous(0, 2, 8, 10)), Some(RowPermutation { heads: 2 }));
    let layout = TensorLayout { transposed: true, slice, row_order, ..TensorLayout::default() };
    for dtype in DTYPES {
        let parameter = layout.extract(data([10, 3], dtype));
        let first: Vec<f32> = values(&parameter)[..8].to_vec();
        assert_eq!(first, [2, 4, 3, 5, 6, 8, 7, 9].map(|row| 3.0 * row as f32));
        let rest = TensorLayout { slice: Some(Slice::contiguous(0, 0, 2, 10)), ..layout };
        let rest = TensorLayout { row_order: None, ..rest };
        let others = rest.insert(rest.extract(data([10, 3], dtype)), None);
        assert_eq!(layout.insert(parameter, Some(others)), data([10, 3], dtype));
    }
    let bias = TensorLayout { row_order, ..TensorLayout::default() };
    let file = TensorData::new((0..8).map(|i| i as f32).collect::<Vec<_>>(), [8]);
    let parameter = bias.extract(file.clone());
    assert_eq!(values(&parameter), [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    assert_eq!(bias.insert(parameter, None), file);
}

#[test]
fn parts_of_different_types_make_a_tensor_of_f32() {
    let layout = |start| TensorLayout { slice: Some(Slice::contiguous(0, start, 1, 2)), ..TensorLayout::default() };
    let first = layout(0).insert(data([1, 3], DType::BF16), None);
    assert_eq!(first.dtype(), DType::BF16);
    let both = layout(1).insert(data([1, 3], DType::F16), Some(first));
    assert_eq!((values(&both), both.dtype()), (vec![0.0, 1.0, 2.0, 0.0, 1.0, 2.0], DType::F32));
}

#[test]
fn a_mapped_value_is_of_f32_and_comes_back_within_one_rounding() {
    let file: Vec<f32> = (0..200).map(|i| -0.001 * (i as f32 + 0.3)).collect();
    for (map, dtype) in
        [ValueMap::AddOne, ValueMap::SubtractOne, ValueMap::LogNeg].into_iter().flat_map(|map| DTYPES.map(|d| (map, d)))
    {
        let layout = TensorLayout { map: Some(map), ..TensorLayout::default() };
        let file = TensorData::from(&file[..]).convert_dtype(dtype);
        let parameter = layout.extract(file.clone());
        assert_eq!(parameter.dtype(), DType::F32);
        let again = layout.insert(parameter, None);
        assert_eq!(again.dtype(), DType::F32);
        let unit = if dtype == DType::F32 { 0.0 } else { 2f32.powi(if dtype == DType::F16 { -10 } else { -7 }) };
        for (again, file) in values(&again.convert_dtype(dtype)).into_iter().zip(values(&file)) {
            assert!((again - file).abs() <= unit * file.abs() + 2e-7, "{map:?} {dtype:?}: {file} {again}");
        }
    }
}
