//! Numbers as people read them.

/// Names of the powers of a thousand.
const SI_PREFIXES: [&str; 6] = ["", "k", "M", "G", "T", "P"];

/// How the numbers of an axis or a column are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Few significant digits.
    #[default]
    Plain,
    /// Whole things: steps, tokens, parameters.
    Count,
    /// A share from 0 to 1, written out of a hundred.
    Percent,
    /// Time.
    Seconds,
    /// Nats a token.
    Loss,
}

impl Unit {
    /// `value` with its unit.
    pub fn format(self, value: f64) -> String {
        match self {
            Self::Plain => format_plain(value),
            Self::Count => format_count(value),
            Self::Percent => format_percent(value),
            Self::Seconds => format_duration(value),
            Self::Loss if value.abs() < 100.0 => format!("{value:.2}"),
            Self::Loss => format_plain(value),
        }
    }

    /// `value` on an axis whose names are `step` apart: with enough digits to tell them apart.
    pub fn format_tick(self, value: f64, step: f64) -> String {
        let places = |step: f64| (-(step.log10() + 1e-9).floor()).max(0.0) as usize;
        match self {
            _ if value.abs() < step * 1e-6 => {
                if self == Self::Percent {
                    "0 %".into()
                } else {
                    "0".into()
                }
            }
            Self::Plain | Self::Loss if (1e-4..1e4).contains(&step) => format!("{value:.0$}", places(step)),
            Self::Plain | Self::Loss => format_plain(value),
            Self::Count if value.abs() < 9_999.5 => format_count(value),
            Self::Count => {
                format_prefixed(value, &SI_PREFIXES, 3.max(1 + (value.abs() / step * 1.000_001).log10().ceil() as i32))
            }
            Self::Percent => format!("{:.1$} %", value * 100.0, places(step * 100.0)),
            Self::Seconds => {
                match [(3_600.0, "h"), (60.0, "min")].into_iter().find(|(whole, _)| step % (whole / 2.0) == 0.0) {
                    Some((whole, name)) => format!("{} {name}", trim_zeros(format!("{:.1}", value / whole))),
                    None => format!("{} s", format_plain(value)),
                }
            }
        }
    }

    /// Name that the pages' script knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Count => "count",
            Self::Percent => "percent",
            Self::Seconds => "seconds",
            Self::Loss => "loss",
        }
    }
}

/// Without the zeros after the point that say nothing.
fn trim_zeros(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

/// `value` with so many significant digits.
fn format_significant(value: f64, digits: i32) -> String {
    let places = (digits - 1 - value.abs().log10().floor() as i32).max(0) as usize;
    trim_zeros(format!("{value:.places$}"))
}

/// Three significant digits: `0.0432`, `1.93`, `12.4 k`, `3e-4`.
pub fn format_plain(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "–".into(),
        0.0 => "0".into(),
        size if size < 1e-3 => format_scientific(value),
        size if size < 1e4 => format_significant(value, 3),
        _ => format_count(value),
    }
}

fn format_scientific(value: f64) -> String {
    let text = format!("{value:.1e}");
    text.replace(".0e", "e")
}

/// Whole things: `950`, `3072`, `12.4 k`, `2.21 M`.
pub fn format_count(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    if value.abs() < 9_999.5 {
        return trim_zeros(format!("{value:.1}"));
    }
    format_prefixed(value, &SI_PREFIXES, 3)
}

/// Sizes: `950 B`, `1.3 kB`, `2.21 MB`.
pub fn format_bytes(value: f64) -> String {
    if value.is_finite() { format_prefixed(value, &["B", "kB", "MB", "GB", "TB", "PB"], 3) } else { "–".into() }
}

fn format_prefixed(value: f64, names: &[&str], digits: i32) -> String {
    let mut value = value;
    let mut names = names.iter().peekable();
    let mut name = names.next().copied().unwrap_or_default();
    while value.abs() >= 999.5 && names.peek().is_some() {
        value /= 1000.0;
        name = names.next().copied().unwrap_or_default();
    }
    let number = if value.abs() >= 999.5 {
        format!("{value:.3e}")
    } else if value == 0.0 {
        "0".into()
    } else {
        format_significant(value, digits)
    };
    format!("{number} {name}")
}

/// A share: `18 %`, `4.2 %`, `99.7 %`.
pub fn format_percent(share: f64) -> String {
    let hundred = share * 100.0;
    let close_to_an_end = hundred.abs() < 10.0 || (99.0..100.0).contains(&hundred);
    match hundred.is_finite() {
        false => "–".into(),
        true if hundred > 0.0 && hundred < 0.05 => "< 0.1 %".into(),
        true if close_to_an_end => format!("{} %", trim_zeros(format!("{hundred:.1}"))),
        true => format!("{hundred:.0} %"),
    }
}

/// Time: `0.21 s`, `42 s`, `3 min 2 s`, `2 h 5 min`, `3 d 4 h`.
pub fn format_duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "–".into();
    }
    if seconds < 9.95 {
        return format!("{} s", if seconds > 0.0 { format_significant(seconds, 2) } else { "0".into() });
    }
    let whole = seconds.round() as u64;
    let of = |big: u64, small: u64, names: [&str; 2]| {
        let rest = whole % big / small;
        if rest == 0 {
            format!("{} {}", whole / big, names[0])
        } else {
            format!("{} {} {rest} {}", whole / big, names[0], names[1])
        }
    };
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => of(60, 1, ["min", "s"]),
        3_600..86_400 => of(3_600, 60, ["h", "min"]),
        _ => of(86_400, 3_600, ["d", "h"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let counts = [0.0, 950.0, 3072.0, 9999.6, 12_400.0, 124_000.0, 999_600.0, 2_211_840.0, 1.5e9];
        assert_eq!(counts.map(format_count), ["0", "950", "3072", "10 k", "12.4 k", "124 k", "1 M", "2.21 M", "1.5 G"]);
        assert_eq!(
            [0.0, 1.934, 0.0432, 3e-4, 2.5e-5, 123.0].map(format_plain),
            ["0", "1.93", "0.0432", "3e-4", "2.5e-5", "123"]
        );
        assert_eq!(
            [0.0, 1e-5, 0.042, 0.1834, 0.997, 1.0].map(format_percent),
            ["0 %", "< 0.1 %", "4.2 %", "18 %", "99.7 %", "100 %"]
        );
        assert_eq!([0.0, 950.0, 1300.0].map(format_bytes), ["0 B", "950 B", "1.3 kB"]);
    }

    #[test]
    fn durations_carry_into_the_next_unit() {
        let seconds = [0.0, 0.214, 42.0, 59.7, 182.0, 120.0, 7_500.0, 273_600.0];
        let read = ["0 s", "0.21 s", "42 s", "1 min", "3 min 2 s", "2 min", "2 h 5 min", "3 d 4 h"];
        assert_eq!(seconds.map(format_duration), read);
    }

    #[test]
    fn what_is_no_number_is_a_dash() {
        for value in [f64::NAN, f64::INFINITY] {
            assert_eq!(
                [
                    format_count(value),
                    format_plain(value),
                    format_percent(value),
                    format_duration(value),
                    format_bytes(value)
                ],
                ["–"; 5]
            );
        }
    }
}
