//! PyTorch's random numbers on the CPU: the Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998,
//! doi:10.1145/272991.272995) and uniform f32 values, equal to the bit.
//!
//! PEFT draws the matrices of VeRA from a seed that an adapter folder may have in place of them.

/// Length of the state.
const STATE: usize = 624;
/// Distance of the word that is mixed into each word of the state.
const SHIFT: usize = 397;

/// A generator of 32-bit words.
pub(super) struct MersenneTwister {
    state: [u32; STATE],
    /// The next word of the state.
    next: usize,
}

impl MersenneTwister {
    /// A generator with a seed, of which the low 32 bits count.
    pub fn new(seed: u64) -> Self {
        let mut state = [0; STATE];
        state[0] = seed as u32;
        for index in 1..STATE {
            let previous: u32 = state[index - 1];
            state[index] = 1_812_433_253u32.wrapping_mul(previous ^ previous >> 30).wrapping_add(index as u32);
        }
        Self { state, next: STATE }
    }

    fn word(&mut self) -> u32 {
        if self.next == STATE {
            self.advance();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= word << 7 & 0x9d2c_5680;
        word ^= word << 15 & 0xefc6_0000;
        word ^ word >> 18
    }

    fn advance(&mut self) {
        for index in 0..STATE {
            let mixed = self.state[index] & 0x8000_0000 | self.state[(index + 1) % STATE] & 0x7fff_ffff;
            let odd = if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[index] = self.state[(index + SHIFT) % STATE] ^ mixed >> 1 ^ odd;
        }
        self.next = 0;
    }

    /// The next `count` values of `torch.empty(count).uniform_(-bound, bound)`: 24 bits of each word, scaled with one rounding.
    pub fn uniform(&mut self, bound: f64, count: usize) -> Vec<f32> {
        let [from, to] = [-bound as f32, bound as f32];
        let unit = |word: u32| (word & 0x00ff_ffff) as f32 / (1u32 << 24) as f32;
        (0..count).map(|_| unit(self.word()).mul_add(to - from, from)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_reference() {
        // torch.Generator().manual_seed(17), as raw 32-bit words.
        let mut random = MersenneTwister::new(17);
        assert_eq!([random.word(), random.word(), random.word()], [1_265_576_559, 780_729_585, 2_278_852_751]);
    }
}
