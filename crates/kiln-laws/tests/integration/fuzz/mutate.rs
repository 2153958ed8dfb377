//! Mutations of files: bits, bytes and integers change; parts are removed, doubled, moved or copied from another file.

use kiln_spec::Random;

/// Seed files and the random generator of mutations.
pub struct Mutator {
    files: Vec<Vec<u8>>,
    seeds: usize,
    random: Random,
}

/// Largest number of mutated files that are kept for further mutation.
const MAX_CORPUS: usize = 256;

/// Largest size of a mutated file, in bytes.
const MAX_LENGTH: usize = 1 << 17;

impl Mutator {
    pub fn new(seeds: Vec<Vec<u8>>) -> Self {
        Self { seeds: seeds.len(), files: seeds, random: Random::new(0, "fuzz", 0, 0) }
    }

    /// A random integer below `below`.
    fn random_below(&mut self, below: usize) -> usize {
        self.random.uniform_int(below.max(1))
    }

    /// Keeps a file for further mutation.
    pub fn add(&mut self, file: Vec<u8>) {
        if self.files.len() < self.seeds + MAX_CORPUS {
            self.files.push(file);
        } else {
            let place = self.seeds + self.random_below(MAX_CORPUS);
            self.files[place] = file;
        }
    }

    /// The next mutated file.
    pub fn next(&mut self) -> Vec<u8> {
        let from = self.random_below(self.files.len());
        let mut file = self.files[from].clone();
        for _ in 0..=self.random_below(4) {
            self.mutate(&mut file);
        }
        file.truncate(MAX_LENGTH);
        file
    }

    fn mutate(&mut self, file: &mut Vec<u8>) {
        let (at, length) = (self.random_below(file.len()), 1 + self.random_below(16));
        let end = (at + length).min(file.len());
        match self.random_below(8) {
            0 => file.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (length % 8)),
            1 => file.iter_mut().skip(at).take(1).for_each(|byte| *byte = byte.wrapping_add(length as u8)),
            2 => self.mutate_number(file, at),
            3 => drop(file.drain(at..end)),
            4 => {
                let part = file[at..end].to_vec();
                let place = self.random_below(file.len());
                drop(file.splice(place..place, part));
            }
            5 => self.mutate_digits(file),
            6 => {
                let other = self.random_below(self.files.len());
                let from = self.random_below(self.files[other].len());
                let part: Vec<u8> = self.files[other].iter().skip(from).take(length * 8).copied().collect();
                drop(file.splice(at..end, part));
            }
            _ => file.truncate(file.len() - self.random_below(4.min(file.len()))),
        }
    }

    /// Writes an edge-case integer of 1, 2, 4 or 8 bytes.
    fn mutate_number(&mut self, file: &mut [u8], at: usize) {
        let numbers =
            [0, 1, 0x7f, 0xff, 0x7fff_ffff, 0xffff_ffff, 1 << 32, 1 << 62, u64::MAX >> 1, u64::MAX - 7, u64::MAX];
        let (number, size) = (numbers[self.random_below(numbers.len())], 1 << self.random_below(4));
        for (byte, new) in file.iter_mut().skip(at).zip(number.to_le_bytes()).take(size) {
            *byte = new;
        }
    }

    /// Replaces a decimal number.
    fn mutate_digits(&mut self, file: &mut Vec<u8>) {
        let starts: Vec<usize> = (0..file.len()).filter(|&i| file[i].is_ascii_digit()).collect();
        if starts.is_empty() {
            return;
        }
        let at = starts[self.random_below(starts.len())];
        let end = (at..file.len()).find(|&i| !file[i].is_ascii_digit()).unwrap_or(file.len());
        let numbers = [
            "0",
            "1",
            "-1",
            "0.5",
            "1e308",
            "-1e400",
            "2147483648",
            "18446744073709551615",
            "null",
            "[]",
            "{}",
            "\"\"",
        ];
        let number = numbers[self.random_below(numbers.len())];
        drop(file.splice(at..end, number.bytes()));
    }
}
