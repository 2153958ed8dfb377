//! Numbers as Python prints and parses them.

/// A floating-point number as Python's `repr`: below 10⁻⁴ and from 10¹⁶ on with an exponent of at least two digits.
pub(in super::super) fn float_repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.into();
    }
    let exponential = format!("{value:e}");
    let Some((digits, exponent)) = exponential.split_once('e') else { return exponential };
    match exponent.parse::<i32>() {
        Ok(exponent) if value != 0.0 && !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => format!("{value:?}"),
    }
}

/// An integer as Python's `int(text, base)` reads it; `None` if it is not valid or has more than 127 bits.
pub(in super::super) fn int_from_text(text: &str, base: u32) -> Option<i128> {
    let text = text.trim_matches(super::super::text::is_space);
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixes = [("0b", 2), ("0o", 8), ("0x", 16)];
    let prefix = prefixes.iter().find(|(prefix, radix)| {
        (base == 0 || base == *radix) && digits.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    });
    let (digits, radix) = match prefix {
        Some((_, radix)) => (digits[2..].strip_prefix('_').unwrap_or(&digits[2..]), *radix),
        None => (digits, if base == 0 { 10 } else { base }),
    };
    let is_separated = !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
    let is_plain = digits.chars().all(|c| c == '_' || c.is_digit(radix));
    // Base 0 reads literals, which have no leading zeros.
    let is_literal = base != 0 || radix != 10 || !digits.starts_with('0') || digits.chars().all(|c| "0_".contains(c));
    if digits.is_empty() || !is_separated || !is_plain || !is_literal {
        return None;
    }
    i128::from_str_radix(&format!("{sign}{}", digits.replace('_', "")), radix).ok()
}

/// A floating-point number as Python's `float(text)` reads it.
pub(in super::super) fn float_from_text(text: &str) -> Option<f64> {
    let text = text.trim_matches(super::super::text::is_space);
    let is_separated =
        !text.contains("__") && text.split('_').skip(1).all(|part| part.starts_with(|c: char| c.is_ascii_digit()));
    let is_separated =
        is_separated && text.rsplit('_').skip(1).all(|part| part.ends_with(|c: char| c.is_ascii_digit()));
    if !text.is_ascii() || !is_separated {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// The number as an integer if it is one in the range of 127 bits.
pub(in super::super) fn float_to_int(value: f64) -> Option<i128> {
    (value.is_finite() && value.abs() < 1.7e38).then_some(value as i128)
}
