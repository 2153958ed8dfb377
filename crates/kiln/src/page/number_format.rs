//! Formatting of numbers, shares, sizes and times for people.
//!
//! Large numbers have three significant digits and an SI prefix; a space separates number and unit. Non-finite numbers
//! are a dash.

/// SI prefixes of the powers of 1000.
const SI_PREFIXES: [&str; 6] = ["", "k", "M", "G", "T", "P"];

/// Unit of an axis or a column.
///
/// The names of the units ([`Unit::name`]) are also known to `hover.js`, which formats values under the pointer with
/// more digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// A number without a unit, with three significant digits.
    #[default]
    Plain,
    /// A count: steps, tokens, parameters.
    Count,
    /// A share between 0 and 1, formatted as a percentage.
    Percent,
    /// A time in seconds.
    Seconds,
    /// A loss in nats per token.
    Loss,
}

impl Unit {
    /// `value` with its unit.
    ///
    /// For axis labels use [`Unit::format_tick`], which adapts the digits to the axis.
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

    /// `value` as a tick label of an axis whose ticks are `step` apart, with enough digits to distinguish them.
    ///
    /// Plain numbers and losses have max(0, −⌊log₁₀ step⌋) decimals, percentages the same for 100 · step. Counts from
    /// 10 000 have an SI prefix and at least three significant digits. Times are in hours or minutes if `step` is a
    /// multiple of half of one. A value below 10⁻⁶ · step is `0`.
    pub fn format_tick(self, value: f64, step: f64) -> String {
        let is_zero = value.abs() < step * 1e-6;
        match self {
            Self::Percent if is_zero => "0 %".into(),
            _ if is_zero => "0".into(),
            Self::Plain | Self::Loss if (1e-4..1e4).contains(&step) => format!("{value:.0$}", decimal_places(step)),
            Self::Plain | Self::Loss => format_plain(value),
            Self::Count if value.abs() < 9_999.5 => format_count(value),
            Self::Count => {
                let digits = 1 + (value.abs() / step * 1.000_001).log10().ceil() as i32;
                format_prefixed(value, &SI_PREFIXES, digits.max(3))
            }
            Self::Percent => format!("{:.1$} %", value * 100.0, decimal_places(step * 100.0)),
            Self::Seconds => format_time_tick(value, step),
        }
    }

    /// Name of the unit in `hover.js`.
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

/// Decimal places that distinguish multiples of `step`: 2 for 0.05, 0 from 1 on.
fn decimal_places(step: f64) -> usize {
    (-(step.log10() + 1e-9).floor()).max(0.0) as usize
}

/// A time in hours or minutes if `step` is a multiple of half of one, else in seconds.
fn format_time_tick(value: f64, step: f64) -> String {
    match [(3_600.0, "h"), (60.0, "min")].into_iter().find(|(unit, _)| step % (unit / 2.0) == 0.0) {
        Some((unit, name)) => format!("{} {name}", trim_zeros(format!("{:.1}", value / unit))),
        None => format!("{} s", format_plain(value)),
    }
}

/// Removes trailing zeros after the decimal point.
fn trim_zeros(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

/// `value` with `digits` significant digits.
///
/// `digits` is at least 1. Trailing zeros after the decimal point are removed.
fn format_significant(value: f64, digits: i32) -> String {
    let places = (digits - 1 - value.abs().log10().floor() as i32).max(0) as usize;
    trim_zeros(format!("{value:.places$}"))
}

/// Number with three significant digits: `0.0432`, `1.93`, `12.4 k`, `3e-4`.
pub fn format_plain(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "–".into(),
        0.0 => "0".into(),
        size if size < 1e-3 => format_scientific(value),
        size if size < 1e4 => format_significant(value, 3),
        _ => format_count(value),
    }
}

/// Value of a metric of an objective with its unit: `1.430 nats`; a fraction, whose unit is empty, as `92.5 %`.
pub fn format_metric(value: f64, unit: &str) -> String {
    match (value.is_finite(), unit) {
        (false, _) => "–".into(),
        (true, "") => format!("{:.1} %", 100.0 * value),
        (true, unit) if value.abs() < 1e4 => format!("{value:.3} {unit}"),
        (true, unit) => format!("{} {unit}", format_plain(value)),
    }
}

/// Abbreviations in the names of metrics, which stay in capitals.
const ABBREVIATIONS: [&str; 3] = ["kl", "mrr", "ndcg"];

/// Name of a metric as a title: `Chosen reward` for `chosen_reward`, `KL divergence` for `kl_divergence`.
pub fn metric_title(name: &str) -> String {
    let mut words: Vec<String> = name.split('_').map(str::to_string).collect();
    for (index, word) in words.iter_mut().enumerate() {
        if ABBREVIATIONS.contains(&word.as_str()) {
            *word = word.to_uppercase();
        } else if let Some(first) = word.chars().next().filter(|_| index == 0) {
            *word = first.to_uppercase().chain(word.chars().skip(1)).collect();
        }
    }
    words.join(" ")
}

/// `nats per token`, or `nats per pair` for the unit `pair`. Empty: tokens.
pub fn loss_label(unit: &str) -> String {
    format!("nats per {}", if unit.is_empty() { "token" } else { unit })
}

/// `2.5e-5`, `3e-4`.
fn format_scientific(value: f64) -> String {
    format!("{value:.1e}").replace(".0e", "e")
}

/// Count: `950`, `3072`, `12.4 k`, `2.21 M`.
///
/// Below 10 000 without a prefix, with at most one decimal.
pub fn format_count(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    if value.abs() < 9_999.5 {
        return trim_zeros(format!("{value:.1}"));
    }
    format_prefixed(value, &SI_PREFIXES, 3)
}

/// Size in bytes: `950 B`, `1.3 kB`, `2.21 MB`.
///
/// Decimal prefixes: 1 kB is 1000 bytes.
pub fn format_bytes(value: f64) -> String {
    if value.is_finite() { format_prefixed(value, &["B", "kB", "MB", "GB", "TB", "PB"], 3) } else { "–".into() }
}

/// `value` with `digits` significant digits and one of `prefixes`, the names of the powers of 1000.
fn format_prefixed(mut value: f64, prefixes: &[&str], digits: i32) -> String {
    let mut power = 0;
    while value.abs() >= 999.5 && power + 1 < prefixes.len() {
        value /= 1000.0;
        power += 1;
    }
    let number = match value {
        _ if value.abs() >= 999.5 => format!("{value:.3e}"),
        0.0 => "0".into(),
        _ => format_significant(value, digits),
    };
    format!("{number} {}", prefixes[power])
}

/// Share as a percentage, with one decimal below 10 % and above 99 %: `18 %`, `4.2 %`, `99.7 %`.
pub fn format_percent(share: f64) -> String {
    let percent = share * 100.0;
    let needs_decimal = percent.abs() < 10.0 || (99.0..100.0).contains(&percent);
    match percent {
        _ if !percent.is_finite() => "–".into(),
        _ if percent > 0.0 && percent < 0.05 => "< 0.1 %".into(),
        _ if needs_decimal => format!("{} %", trim_zeros(format!("{percent:.1}"))),
        _ => format!("{percent:.0} %"),
    }
}

/// Time, in the two largest units: `0.21 s`, `42 s`, `3 min 2 s`, `2 h 5 min`, `3 d 4 h`.
///
/// Below ten seconds with two significant digits. Negative times are `0 s`.
pub fn format_duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "–".into();
    }
    if seconds < 9.95 {
        return format!("{} s", if seconds > 0.0 { format_significant(seconds, 2) } else { "0".into() });
    }
    let seconds = seconds.round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format_two_units(seconds, (60, "min"), (1, "s")),
        3_600..86_400 => format_two_units(seconds, (3_600, "h"), (60, "min")),
        _ => format_two_units(seconds, (86_400, "d"), (3_600, "h")),
    }
}

/// `3 min 2 s`, or `3 min` if there is no rest. A unit is its length in seconds and its name.
fn format_two_units(seconds: u64, large: (u64, &str), small: (u64, &str)) -> String {
    let whole = seconds / large.0;
    match seconds % large.0 / small.0 {
        0 => format!("{whole} {}", large.1),
        rest => format!("{whole} {} {rest} {}", large.1, small.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_significant_digits() {
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
    fn durations_have_two_units() {
        let seconds = [0.0, 0.214, 42.0, 59.7, 182.0, 120.0, 7_500.0, 273_600.0];
        let expected = ["0 s", "0.21 s", "42 s", "1 min", "3 min 2 s", "2 min", "2 h 5 min", "3 d 4 h"];
        assert_eq!(seconds.map(format_duration), expected);
    }

    #[test]
    fn non_finite_numbers_are_a_dash() {
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
