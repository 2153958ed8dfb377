//! Lines drawn with the characters of a terminal.

use super::scale::Scale;

/// Signs that stand for the curves where colours do not tell them apart.
const SIGNS: [char; 8] = ['*', 'o', '+', 'x', '#', '@', '%', '='];
/// Codes of the curves' colours: blue, yellow, green, magenta, cyan, red.
const COLOURS: [u8; 6] = [34, 33, 32, 35, 36, 31];
/// Bits of a Braille character, by column and row of the dot.
const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

/// Whether a place is on the axis.
fn within(place: f64) -> bool {
    (-1e-6..=1.0 + 1e-6).contains(&place)
}

/// How curves are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// A sign for each curve, one a character.
    Signs,
    /// Dots, eight a character.
    Dots,
    /// Dots in colours.
    Colours,
}

impl Ink {
    /// What marks curve number `nth`: its sign, or `text` in its colour.
    pub fn label(self, nth: usize, text: &str) -> String {
        match self {
            Self::Signs => format!("{} {text}", SIGNS[nth % SIGNS.len()]),
            Self::Dots => text.into(),
            Self::Colours => format!("\u{1b}[{}m{text}\u{1b}[0m", COLOURS[nth % COLOURS.len()]),
        }
    }
}

/// A box of characters, each with the dots in it and the last curve that went through it.
#[derive(Clone, Debug)]
pub struct Canvas {
    ink: Ink,
    columns: usize,
    cells: Vec<(u8, usize)>,
}

impl Canvas {
    /// An empty one.
    pub fn new(columns: usize, rows: usize, ink: Ink) -> Self {
        Self { ink, columns, cells: vec![(0, 0); columns * rows] }
    }

    /// Draws curve number `nth`, from one finite point to the next.
    pub fn line(&mut self, points: &[(f64, f64)], x: &Scale, y: &Scale, nth: usize) {
        let rows = self.cells.len() / self.columns;
        let (wide, high) = if self.ink == Ink::Signs { (1, 1) } else { (2, 4) };
        let (across, down) = ((self.columns * wide - 1) as f64, (rows * high - 1) as f64);
        let place = |p: &(f64, f64)| (x.at(p.0) * across, (1.0 - y.at(p.1)) * down);
        for run in points.split(|p| !within(x.at(p.0)) || !within(y.at(p.1))) {
            let places: Vec<_> = run.iter().map(place).collect();
            places.first().into_iter().for_each(|first| self.dot(*first, (wide, high), nth));
            for pair in places.windows(2) {
                let (from, way) = (pair[0], (pair[1].0 - pair[0].0, pair[1].1 - pair[0].1));
                let steps = way.0.abs().max(way.1.abs()).ceil().max(1.0);
                for step in 1..=steps as usize {
                    let part = step as f64 / steps;
                    self.dot((from.0 + way.0 * part, from.1 + way.1 * part), (wide, high), nth);
                }
            }
        }
    }

    fn dot(&mut self, (across, down): (f64, f64), (wide, high): (usize, usize), nth: usize) {
        let (across, down) = (across.round() as usize, down.round() as usize);
        let dot = if wide == 1 { 1 } else { DOTS[across % wide][down % high] };
        if let Some(cell) = self.cells.get_mut(down / high * self.columns + across / wide) {
            *cell = (cell.0 | dot, nth);
        }
    }

    /// The characters of a row.
    pub fn row(&self, row: usize) -> String {
        let cells = &self.cells[row * self.columns..(row + 1) * self.columns];
        cells.iter().map(|(dots, nth)| self.character(*dots, *nth)).collect()
    }

    fn character(&self, dots: u8, nth: usize) -> String {
        let braille = || char::from_u32(0x2800 + u32::from(dots)).unwrap_or(' ').to_string();
        match self.ink {
            _ if dots == 0 => " ".into(),
            Ink::Signs => SIGNS[nth % SIGNS.len()].into(),
            Ink::Dots => braille(),
            Ink::Colours => self.ink.label(nth, &braille()),
        }
    }
}
