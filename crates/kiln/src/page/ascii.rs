//! Pictures for a terminal: curves, and who sees whom.

use super::canvas::{Canvas, Ink};
use super::data::PatternPicture;
use super::number::{Unit, plain};
use super::scale::Scale;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Its width, in characters.
    pub columns: usize,
    /// Whether it shows more than ASCII.
    pub unicode: bool,
    /// Whether it shows colours.
    pub colour: bool,
}

/// A named line of points, in order of x. Points that are not finite interrupt it.
#[derive(Clone, Copy, Debug)]
pub struct Curve<'a> {
    /// What it shows.
    pub name: &'a str,
    /// Its points.
    pub points: &'a [(f64, f64)],
}

/// Room for a value at the left.
const LEFT: usize = 8;

/// Draws curves, `rows` characters high: values at the left, names where the lines end, the range of x below.
/// Several curves are told apart by colours, or by signs on a screen without. Empty without a finite point.
pub fn curves(curves: &[Curve], rows: usize, screen: Screen) -> String {
    let points = || curves.iter().flat_map(|curve| curve.points).filter(|p| p.0.is_finite() && p.1.is_finite());
    let (x, y) = (Scale::around(points().map(|p| p.0), false), Scale::around(points().map(|p| p.1), false));
    let Some((x, y)) = x.zip(y) else { return String::new() };
    let ink = match (screen.unicode, screen.colour, curves.len()) {
        (true, true, 2..) => Ink::Colours,
        (true, _, 0..=1) => Ink::Dots,
        _ => Ink::Signs,
    };
    let room = curves.iter().map(|curve| curve.name.chars().count()).max().unwrap_or(0).min(screen.columns / 4);
    let (columns, rows) = (screen.columns.saturating_sub(LEFT + room + 3).max(8), rows.max(2));
    let mut canvas = Canvas::new(columns, rows, ink);
    for (nth, curve) in curves.iter().enumerate() {
        canvas.line(curve.points, &x, &y, nth);
    }
    let names = ends(curves, &y, rows, room, ink);
    let line =
        |row: usize| format!("{:>7} {} {}", value(row, rows, &y), canvas.row(row), names[row]).trim_end().to_string();
    let lines: Vec<String> = (0..rows).map(line).chain([below(&x, columns)]).collect();
    lines.join("\n")
}

/// The value of the first, the middle and the last row.
fn value(row: usize, rows: usize, y: &Scale) -> String {
    let named = row == 0 || row == rows / 2 || row + 1 == rows;
    let share = row as f64 / (rows - 1) as f64;
    if named { plain(y.high - (y.high - y.low) * share) } else { String::new() }
}

fn below(x: &Scale, columns: usize) -> String {
    let (first, last) = (Unit::Count.text(x.low), Unit::Count.text(x.high));
    let gap = columns.saturating_sub(first.chars().count());
    format!("{:LEFT$}{first}{last:>gap$}", "")
}

/// The names beside the rows where their curves end; a name whose row is taken moves to the nearest free one.
fn ends(curves: &[Curve], y: &Scale, rows: usize, room: usize, ink: Ink) -> Vec<String> {
    let mut names = vec![String::new(); rows];
    for (nth, curve) in curves.iter().enumerate() {
        let Some(last) = curve.points.iter().rev().map(|p| p.1).find(|v| v.is_finite()) else { continue };
        let wanted = ((1.0 - y.at(last)) * (rows - 1) as f64).round() as usize;
        let free = (0..rows).filter(|row| names[*row].is_empty()).min_by_key(|row| row.abs_diff(wanted));
        let name: String = curve.name.chars().filter(|c| !c.is_control()).take(room).collect();
        if let Some(row) = free {
            names[row] = ink.label(nth, &name);
        }
    }
    names
}

/// Draws who sees whom: a row is a query, a column a key. A picture wider than the screen is drawn with several cells
/// a character; a character of which some are visible is half filled.
pub fn pattern(picture: &PatternPicture, screen: Screen) -> String {
    let [hidden, some, visible] = if screen.unicode { ['·', '▒', '█'] } else { ['.', '+', '#'] };
    let together = picture.size.div_ceil(screen.columns.max(1)).max(1);
    let sides = picture.size.div_ceil(together);
    let wide = if 2 * sides <= screen.columns { 2 } else { 1 };
    let glyph = |row: usize, column: usize| {
        let area = |at: usize| at * together..((at + 1) * together).min(picture.size);
        let cells: Vec<bool> = area(row).flat_map(|q| area(column).map(move |k| picture.sees(q, k))).collect();
        match cells.iter().filter(|seen| **seen).count() {
            0 => hidden,
            number if number == cells.len() => visible,
            _ => some,
        }
    };
    let row = |row: usize| -> String {
        let double = |glyph: char| if glyph == hidden { [glyph, ' '] } else { [glyph; 2] };
        let line: String = (0..sides).flat_map(|column| double(glyph(row, column)).into_iter().take(wide)).collect();
        line.trim_end().to_string()
    };
    (0..sides).map(row).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Screen = Screen { columns: 40, unicode: false, colour: false };
    const RICH: Screen = Screen { columns: 40, unicode: true, colour: true };

    fn causal(size: usize) -> PatternPicture {
        let cells = (0..size * size).map(|at| u8::from(at % size <= at / size)).collect();
        PatternPicture { size, cells, title: String::new() }
    }

    #[test]
    fn a_falling_curve_falls() {
        let points: Vec<_> = (0..=4).map(|n| (n as f64, 4.0 - n as f64)).collect();
        let drawn = curves(&[Curve { name: "loss", points: &points }], 3, Screen { columns: 20, ..PLAIN });
        let want = "      4 **\n      2   ***\n      0      *** * loss\n        0      4";
        assert_eq!(drawn, want);
    }

    #[test]
    fn curves_are_told_apart() {
        let two = [
            Curve { name: "a", points: &[(0.0, 1.0), (9.0, 1.0)] },
            Curve { name: "b", points: &[(0.0, 0.0), (9.0, 1.0)] },
        ];
        let signs = curves(&two, 4, PLAIN);
        assert!(signs.contains("* a") && signs.contains("o b"), "{signs}");
        let colours = curves(&two, 4, RICH);
        assert!(colours.contains("\u{1b}[34ma\u{1b}[0m") && colours.contains("\u{1b}[33mb\u{1b}[0m"), "{colours}");
        assert!(curves(&two[..1], 4, RICH).chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)));
    }

    #[test]
    fn nothing_is_wider_than_the_screen() {
        let points = [(1.0, 1e-7), (2.0, f64::NAN), (3e9, 5e12)];
        for columns in [30, 40, 80, 200] {
            let drawn = curves(&[Curve { name: &"long ".repeat(30), points: &points }], 5, Screen { columns, ..PLAIN });
            assert!(drawn.lines().all(|line| line.chars().count() <= columns), "{drawn}");
        }
    }

    #[test]
    fn no_point_no_picture() {
        assert_eq!(curves(&[], 5, RICH), "");
        assert_eq!(curves(&[Curve { name: "a", points: &[(0.0, f64::NAN)] }], 5, RICH), "");
        assert_ne!(curves(&[Curve { name: "a", points: &[(0.0, 1.0)] }], 0, Screen { columns: 0, ..RICH }), "");
    }

    #[test]
    fn patterns_are_drawn_square() {
        assert_eq!(pattern(&causal(3), RICH), "██· ·\n████·\n██████");
        assert_eq!(pattern(&causal(3), Screen { columns: 3, ..PLAIN }), "#..\n##.\n###");
        assert_eq!(pattern(&causal(4), Screen { columns: 2, ..RICH }), "▒·\n█▒");
        assert_eq!(pattern(&causal(0), RICH), "");
    }
}
