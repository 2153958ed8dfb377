//! Arrangement of an adapter's tensor in a file and in Kiln's parameter, by named axes.
//!
//! The text names the axes from the outermost one: `o r` is `[out, r]`. Axes in parentheses are one axis of the tensor: `(e r) i`
//! is `[experts · r, in]`. A file and a parameter have the same axes in another order, and axes of length 1 may be left out.
//!
//! | axis | length |
//! |---|---|
//! | `r` | rank, or the number of virtual tokens |
//! | `i` | inputs; of an embedding: tokens |
//! | `o` | outputs |
//! | `e` | experts |
//! | `1` | 1 |

use burn::tensor::TensorData;
use kiln_models::hf::binding::Slice;

/// Lengths of the axes of a tensor in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct AxisLengths {
    /// Axis `r`.
    pub rank: usize,
    /// Axis `i`.
    pub inputs: usize,
    /// Axis `o`: the outputs of the whole module.
    pub outputs: usize,
    /// Axis `e`.
    pub experts: usize,
}

impl AxisLengths {
    /// The greater length of each axis.
    pub fn max(self, other: Self) -> Self {
        Self {
            rank: self.rank.max(other.rank),
            inputs: self.inputs.max(other.inputs),
            outputs: self.outputs.max(other.outputs),
            experts: self.experts.max(other.experts),
        }
    }

    fn of(&self, axis: char) -> usize {
        match axis {
            'r' => self.rank,
            'i' => self.inputs,
            'o' => self.outputs,
            'e' => self.experts,
            _ => 1,
        }
    }
}

/// The indices along `i` and `o` of the file's tensor that belong to a parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// Number of inputs, from the first.
    pub inputs: usize,
    /// The outputs.
    pub outputs: Slice,
}

impl Window {
    fn indices(&self, axis: char, lengths: &AxisLengths) -> Vec<usize> {
        match axis {
            'i' => (0..self.inputs).collect(),
            'o' => {
                let Slice { groups, start, width, group_size, .. } = self.outputs;
                let starts = (0..groups).map(|group| group * group_size + start);
                starts.flat_map(|start| start..start + width).collect()
            }
            other => (0..lengths.of(other)).collect(),
        }
    }
}

/// Order of the axes in the file and in the parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrangement {
    /// In the file.
    pub file: &'static str,
    /// In Kiln.
    pub parameter: &'static str,
}

impl Arrangement {
    /// Whether the tensor has an axis.
    pub fn has(&self, axis: char) -> bool {
        self.file.contains(axis)
    }

    /// The shape of the tensor in the file.
    pub fn file_shape(&self, lengths: &AxisLengths) -> Vec<usize> {
        shape(self.file, |axis| lengths.of(axis))
    }

    /// The shape of the parameter.
    pub fn parameter_shape(&self, lengths: &AxisLengths, window: &Window) -> Vec<usize> {
        shape(self.parameter, |axis| window.indices(axis, lengths).len())
    }

    /// The positions in the file's tensor of the elements of the parameter, in the parameter's order.
    pub fn positions(&self, lengths: &AxisLengths, window: &Window) -> Vec<usize> {
        let mut positions = vec![0];
        for axis in axes(self.parameter) {
            let inner = axes(self.file).skip_while(|other| *other != axis).skip(1);
            let stride: usize = inner.map(|axis| lengths.of(axis)).product();
            let indices = window.indices(axis, lengths);
            let with_axis = |base: &usize| indices.iter().map(move |index| base + index * stride).collect::<Vec<_>>();
            positions = positions.iter().flat_map(with_axis).collect();
        }
        positions
    }

    /// The parameter, from a tensor of the file that has the shape [`file_shape`](Self::file_shape).
    pub fn extract(&self, tensor: TensorData, lengths: &AxisLengths, window: &Window) -> TensorData {
        let values: Vec<f32> = tensor.iter::<f32>().collect();
        let taken: Vec<f32> = self.positions(lengths, window).into_iter().map(|position| values[position]).collect();
        TensorData::new(taken, self.parameter_shape(lengths, window))
    }

    /// Writes a parameter to its positions in the values of the file's tensor.
    pub fn insert(&self, parameter: &TensorData, values: &mut [f32], lengths: &AxisLengths, window: &Window) {
        for (position, value) in self.positions(lengths, window).into_iter().zip(parameter.iter::<f32>()) {
            values[position] = value;
        }
    }

    /// Number of elements of the parameter for one index of the axis `r` and the axes before it.
    fn inside_rank(&self, lengths: &AxisLengths, window: &Window) -> usize {
        let inner = axes(self.parameter).skip_while(|axis| *axis != 'r').skip(1);
        inner.map(|axis| window.indices(axis, lengths).len()).product()
    }

    /// The parameter, whose axis `r` has the indices that `mask` keeps, with the whole axis: 0 at the others. `lengths` are those
    /// of the file.
    pub fn spread_rank(
        &self,
        parameter: &TensorData,
        mask: &[bool],
        lengths: &AxisLengths,
        window: &Window,
    ) -> TensorData {
        let (inner, shape) = (self.inside_rank(lengths, window), {
            let whole = AxisLengths { rank: mask.len(), ..*lengths };
            self.parameter_shape(&whole, window)
        });
        let source: Vec<f32> = parameter.iter::<f32>().collect();
        let mut source = source.chunks_exact(inner);
        let mut values = vec![0.0f32; shape.iter().product()];
        for target in values.chunks_exact_mut(mask.len() * inner) {
            for (target, _) in target.chunks_exact_mut(inner).zip(mask).filter(|(_, kept)| **kept) {
                source.next().into_iter().for_each(|row| target.copy_from_slice(row));
            }
        }
        TensorData::new(values, shape)
    }

    /// The inverse of [`spread_rank`](Self::spread_rank): the parameter with the indices of the axis `r` that `mask` keeps.
    /// `lengths` are those of the parameter.
    pub fn select_rank(
        &self,
        parameter: &TensorData,
        mask: &[bool],
        lengths: &AxisLengths,
        window: &Window,
    ) -> TensorData {
        let inner = self.inside_rank(lengths, window);
        let source: Vec<f32> = parameter.iter::<f32>().collect();
        let rows = source.chunks_exact(inner).zip(mask.iter().cycle());
        let values: Vec<f32> = rows.filter(|(_, kept)| **kept).flat_map(|(row, _)| row.to_vec()).collect();
        let selected = AxisLengths { rank: mask.iter().filter(|kept| **kept).count(), ..*lengths };
        TensorData::new(values, self.parameter_shape(&selected, window))
    }

    /// The parameter, whose axis `r` has `range.0..range.1` of `rank`, with the whole axis: its values times `factor`, and 0.
    pub fn pad_rank(
        &self,
        parameter: &TensorData,
        (start, end): (usize, usize),
        factor: f64,
        lengths: &AxisLengths,
        window: &Window,
    ) -> TensorData {
        if !self.has('r') {
            return parameter.clone();
        }
        let inner = self.inside_rank(lengths, window);
        let shape = self.parameter_shape(lengths, window);
        let mut values = vec![0.0f32; shape.iter().product()];
        let scaled: Vec<f32> = parameter.iter::<f64>().map(|value| (value * factor) as f32).collect();
        let runs = scaled.chunks_exact((end - start) * inner);
        for (target, source) in values.chunks_exact_mut(lengths.rank * inner).zip(runs) {
            target[start * inner..end * inner].copy_from_slice(source);
        }
        TensorData::new(values, shape)
    }
}

/// The shape of a tensor: axes in parentheses are one axis.
fn shape(text: &str, length: impl Fn(char) -> usize) -> Vec<usize> {
    let mut shape = Vec::new();
    let mut is_grouped = false;
    for letter in text.chars() {
        match (letter, shape.last_mut()) {
            ('(', _) => {
                is_grouped = true;
                shape.push(1);
            }
            (')', _) => is_grouped = false,
            (' ', _) => {}
            (axis, Some(last)) if is_grouped => *last *= length(axis),
            (axis, _) => shape.push(length(axis)),
        }
    }
    shape
}

/// The axes of an arrangement, from the outermost.
fn axes(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|letter| letter.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: AxisLengths = AxisLengths { rank: 2, inputs: 3, outputs: 4, experts: 2 };

    fn numbers(shape: &[usize]) -> TensorData {
        TensorData::new((0..shape.iter().product::<usize>()).map(|i| i as f32).collect(), shape.to_vec())
    }

    fn all() -> Window {
        Window { inputs: 3, outputs: Slice::contiguous(0, 0, 4, 4) }
    }

    /// Element of a tensor.
    fn at(tensor: &TensorData, index: &[usize]) -> f32 {
        let position = index.iter().zip(tensor.shape().iter()).fold(0, |position, (i, length)| position * length + i);
        tensor.iter::<f32>().nth(position).unwrap()
    }

    #[test]
    fn stacked_matrices_are_taken_apart_as_peft_does() {
        // lora_A.reshape(E, r, in) and lora_B.reshape(out, r, E).
        let a = Arrangement { file: "(e r) i", parameter: "(e i) r" };
        let b = Arrangement { file: "o (r e)", parameter: "(e r) o" };
        assert_eq!((a.file_shape(&LENGTHS), b.file_shape(&LENGTHS)), (vec![4, 3], vec![4, 4]));
        let (file_a, file_b) = (numbers(&[4, 3]), numbers(&[4, 4]));
        let (found_a, found_b) =
            (a.extract(file_a.clone(), &LENGTHS, &all()), b.extract(file_b.clone(), &LENGTHS, &all()));
        for (e, r) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            assert_eq!(at(&found_a, &[e * 3 + 2, r]), at(&file_a, &[e * 2 + r, 2]));
            assert_eq!(at(&found_b, &[e * 2 + r, 3]), at(&file_b, &[3, r * 2 + e]));
        }
    }

    #[test]
    fn a_part_is_written_where_it_was_read() {
        let row = Arrangement { file: "o r", parameter: "r o" };
        // Every second pair of outputs.
        let window = Window { inputs: 3, outputs: Slice { axis: 0, groups: 2, start: 1, width: 1, group_size: 2 } };
        let file = numbers(&[4, 2]);
        let part = row.extract(file.clone(), &LENGTHS, &window);
        assert_eq!((part.shape().to_vec(), at(&part, &[1, 0]), at(&part, &[0, 1])), (vec![2, 2], 3.0, 6.0));
        let mut values = vec![-1.0; 8];
        row.insert(&part, &mut values, &LENGTHS, &window);
        assert_eq!(values, [-1.0, -1.0, 2.0, 3.0, -1.0, -1.0, 6.0, 7.0]);
    }

    #[test]
    fn indices_of_the_rank_are_left_out_and_filled_with_zeros() {
        let mask = [true, false, true];
        let lengths = AxisLengths { rank: 3, ..LENGTHS };
        let in_file = AxisLengths { rank: 2, ..LENGTHS };
        for (row, kept, back) in [
            ("r", vec![0.0, 2.0], vec![0.0, 0.0, 2.0]),
            ("i r", vec![0.0, 2.0, 3.0, 5.0, 6.0, 8.0], vec![0.0, 0.0, 2.0, 3.0, 0.0, 5.0, 6.0, 0.0, 8.0]),
            ("r i", vec![0.0, 1.0, 2.0, 6.0, 7.0, 8.0], vec![0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 6.0, 7.0, 8.0]),
        ] {
            let axes = Arrangement { file: "r i", parameter: row };
            let whole = numbers(&axes.parameter_shape(&lengths, &all()));
            let selected = axes.select_rank(&whole, &mask, &lengths, &all());
            assert_eq!(selected.iter::<f32>().collect::<Vec<_>>(), kept, "{row}");
            let spread = axes.spread_rank(&selected, &mask, &in_file, &all());
            assert_eq!(spread.iter::<f32>().collect::<Vec<_>>(), back, "{row}");
            assert_eq!(spread.shape(), whole.shape());
        }
    }

    #[test]
    fn a_longer_rank_is_padded_with_zeros() {
        let row = Arrangement { file: "o (r e)", parameter: "(e r) o" };
        let lengths = AxisLengths { rank: 3, inputs: 3, outputs: 1, experts: 2 };
        let window = Window { inputs: 3, outputs: Slice::contiguous(0, 0, 1, 1) };
        let padded = row.pad_rank(&numbers(&[4, 1]), (1, 3), 2.0, &lengths, &window);
        assert_eq!(padded.iter::<f32>().collect::<Vec<_>>(), [0.0, 0.0, 2.0, 0.0, 4.0, 6.0]);
        let vector = Arrangement { file: "o 1", parameter: "o" };
        assert_eq!(vector.file_shape(&lengths), [1, 1]);
        assert_eq!(vector.pad_rank(&numbers(&[1]), (1, 3), 2.0, &lengths, &window), numbers(&[1]));
    }
}
