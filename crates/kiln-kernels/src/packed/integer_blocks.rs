//! Blocks of Q4_0, Q5_0 and Q8_0 from integers and scales that are given: no value is rounded.
//!
//! The three formats hold value = d q with a signed q of 4, 5 or 8 bits and d in f16. Quantized weights of other programs have
//! the form s (q − z) with unsigned q and z of 4 or 8 bits. If s is an f16, the block of d = s and q − z has the same values.

use super::GgmlType;
use burn::tensor::f16;

/// Number of values in a block.
pub const BLOCK_SIZE: usize = 32;

/// The format with the fewest bits whose q has all integers from `min` to `max`; `None` if there is none.
pub fn format_of_range(min: i32, max: i32) -> Option<&'static GgmlType> {
    let formats = [("Q4_0", -8, 7), ("Q5_0", -16, 15), ("Q8_0", -128, 127)];
    let fitting = formats.into_iter().find(|(_, low, high)| *low <= min && max <= *high);
    fitting.and_then(|(name, ..)| GgmlType::from_name(name))
}

/// Writes one block of `format`, one of those of [`format_of_range`]: 32 integers within its range, and their scale.
///
/// # Panics
/// If `block` doesn't have the length of the format's blocks.
pub fn write_block(format: &GgmlType, scale: f16, integers: &[i16; BLOCK_SIZE], block: &mut [u8]) {
    assert_eq!(block.len(), format.block_bytes, "length of a block of {}", format.name);
    let (head, values) = block.split_at_mut(2);
    head.copy_from_slice(&scale.to_le_bytes());
    match format.name {
        "Q4_0" => write_nibbles(|i| (integers[i] + 8) as u8, values),
        "Q5_0" => {
            let quant = |i: usize| (integers[i] + 16) as u8;
            let (fifth_bits, nibbles) = values.split_at_mut(4);
            let bits = (0..BLOCK_SIZE).fold(0u32, |bits, i| bits | u32::from(quant(i) >> 4 & 1) << i);
            fifth_bits.copy_from_slice(&bits.to_le_bytes());
            write_nibbles(quant, nibbles);
        }
        _ => values.iter_mut().zip(integers).for_each(|(byte, integer)| *byte = *integer as u8),
    }
}

/// Sixteen bytes: the low nibbles are values 0–15, the high ones 16–31.
fn write_nibbles(quant: impl Fn(usize) -> u8, bytes: &mut [u8]) {
    bytes.iter_mut().enumerate().for_each(|(i, byte)| *byte = quant(i) & 15 | (quant(i + 16) & 15) << 4);
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_spec::Random;

    #[test]
    fn dequantized_blocks_are_the_products_to_the_bit() {
        let mut random = Random::new(3, "blocks", 0, 0);
        for (min, max, name) in [(-8, 7, "Q4_0"), (-16, 15, "Q5_0"), (-12, 3, "Q5_0"), (-128, 127, "Q8_0")] {
            let format = format_of_range(min, max).unwrap();
            assert_eq!(format.name, name);
            for _ in 0..20 {
                let scale = f16::from_f32(random.normal() as f32);
                let span = (max - min + 1) as usize;
                let mut integers = [0i16; BLOCK_SIZE].map(|_| (min + random.uniform_int(span as _) as i32) as i16);
                (integers[0], integers[31]) = (min as i16, max as i16);
                let mut block = vec![0; format.block_bytes];
                write_block(format, scale, &integers, &mut block);
                let mut values = [0.0f32; BLOCK_SIZE];
                format.dequantize(&block, &mut values);
                for (value, integer) in values.iter().zip(integers) {
                    assert_eq!(*value, scale.to_f32() * f32::from(integer), "{name}: {integer}");
                }
            }
        }
        assert!(format_of_range(-129, 0).is_none() && format_of_range(0, 255).is_none());
    }
}
