//! Floating-point numbers in the formats `%f`, `%e` and `%g`, for numbers that are not negative.

use crate::chat::jinja::value::float_repr;

/// `%f` of a number that is not negative.
pub(in super::super) fn fixed(value: f64, precision: usize) -> String {
    if value.is_finite() { format!("{value:.precision$}") } else { float_repr(value) }
}

/// `%e`.
pub(super) fn exponential(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => float_repr(value),
    }
}

/// `%g`: the shorter of both forms, without zeros at the end.
pub(super) fn general(value: f64, precision: usize) -> String {
    let precision = precision.max(1);
    if !value.is_finite() {
        return float_repr(value);
    }
    let text = exponential(value, precision - 1);
    let exponent: i32 = text.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    if exponent < -4 || exponent >= precision as i32 {
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "+00"));
        return format!("{}e{exponent}", without_zeros(digits));
    }
    without_zeros(&fixed(value, (precision as i32 - 1 - exponent).max(0) as usize)).into()
}

fn without_zeros(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}
