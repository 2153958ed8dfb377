//! From values to places on an axis, and the round values that an axis names.

use super::number_format::Unit;

/// Greater values have no place on an axis.
const MAX_VALUE: f64 = 1e150;

/// An axis: the values at its two ends and how those between are spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Value at the beginning.
    pub low: f64,
    /// Value at the end, greater than `low`.
    pub high: f64,
    /// Whether equal ratios, not equal differences, are equally far apart.
    pub is_log: bool,
}

impl Scale {
    /// An axis around `values`; those that are not finite or too great to be told apart, or not positive on a
    /// logarithmic axis, are left out.
    /// `None` if nothing is left.
    pub fn from_values(values: impl Iterator<Item = f64>, log: bool) -> Option<Self> {
        let ends =
            values.filter(|v| v.abs() < MAX_VALUE && (!log || *v > 0.0)).fold(None, |ends: Option<(f64, f64)>, v| {
                let (low, high) = ends.unwrap_or((v, v));
                Some((low.min(v), high.max(v)))
            });
        ends.map(|(low, high)| Self { low, high, is_log: log }.with_min_width())
    }

    /// Never of no length: one value alone gets room on both sides.
    fn with_min_width(self) -> Self {
        let length = self.high - self.low;
        if length > self.high.abs().max(self.low.abs()) * 1e-9 && length.is_finite() {
            return self;
        }
        let room = if self.low == 0.0 { 1.0 } else { self.low.abs() * if self.is_log { 0.5 } else { 0.1 } };
        Self { low: self.low - room, high: self.low + room, is_log: self.is_log }
    }

    /// Moves both ends outwards, linear ones to round values.
    pub fn round_ends(self, unit: Unit, wanted: usize) -> Self {
        if self.is_log {
            let room = (self.high / self.low).powf(0.04);
            return Self { low: self.low / room, high: self.high * room, is_log: true };
        }
        let step = self.tick_step(unit, 3 * wanted);
        Self {
            low: (self.low / step + 1e-9).floor() * step,
            high: (self.high / step - 1e-9).ceil() * step,
            is_log: false,
        }
    }

    /// Where `value` stands: 0 at the beginning, 1 at the end, not a number where it has no place.
    pub fn position(&self, value: f64) -> f64 {
        if self.is_log {
            if value > 0.0 { (value / self.low).ln() / (self.high / self.low).ln() } else { f64::NAN }
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// About as many round values as are `wanted`, and how they are written.
    pub fn ticks(&self, unit: Unit, wanted: usize) -> Vec<(f64, String)> {
        if self.is_log && self.high / self.low > 12.0 {
            return self.log_ticks(wanted).into_iter().map(|v| (v, unit.format(v))).collect();
        }
        let step = self.tick_step(unit, wanted);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let all = (first..).map(|n| n as f64 * step).take_while(|v| *v <= self.high + step * 1e-6);
        all.take(50).map(|v| (v, unit.format_tick(v, step))).collect()
    }

    fn log_ticks(&self, wanted: usize) -> Vec<f64> {
        let (low, high) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let number = (high - low) as usize;
        let factors: &[f64] = match number {
            0..=2 => &[1.0, 2.0, 5.0],
            3 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let stride = number.div_ceil(wanted.max(1)).max(1);
        let all = (low..=high).step_by(stride).flat_map(|n| factors.iter().map(move |f| f * 10f64.powi(n)));
        all.filter(|v| (self.low * 0.999..=self.high * 1.001).contains(v)).collect()
    }

    fn tick_step(&self, unit: Unit, wanted: usize) -> f64 {
        let rough = (self.high - self.low) / wanted.max(1) as f64;
        let ten = 10f64.powi(rough.log10().floor() as i32);
        let decimal = [1.0, 2.0, 5.0, 10.0].map(|f| f * ten);
        let clock =
            [10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 21600.0, 43200.0];
        let steps: &[f64] = if unit == Unit::Seconds && (5.0..43_200.0).contains(&rough) { &clock } else { &decimal };
        let step = steps.iter().copied().find(|s| *s >= rough * 0.999).unwrap_or(ten * 10.0);
        if unit == Unit::Count { step.max(1.0) } else { step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(low: f64, high: f64, log: bool, unit: Unit) -> Vec<String> {
        Scale { low, high, is_log: log }.ticks(unit, 5).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(1.0, 720.0, false, Unit::Count), ["200", "400", "600"]);
        assert_eq!(ticks(0.0, 2.3e6, false, Unit::Count), ["0", "500 k", "1 M", "1.5 M", "2 M"]);
        assert_eq!(ticks(1.5, 7.0, false, Unit::Plain), ["2", "4", "6"]);
        assert_eq!(ticks(0.0, 1.0, false, Unit::Percent), ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]);
        assert_eq!(ticks(0.0, 182.0, false, Unit::Seconds), ["0", "1 min", "2 min", "3 min"]);
        assert_eq!(ticks(1.0, 1e5, true, Unit::Count), ["1", "10", "100", "1000", "10 k", "100 k"]);
        assert_eq!(ticks(1.0, 720.0, true, Unit::Count), ["1", "3", "10", "30", "100", "300"]);
        assert_eq!(ticks(0.3, 20.0, true, Unit::Plain), ["0.3", "1", "3", "10"]);
        assert_eq!(ticks(1.62, 6.9, true, Unit::Plain), ["2", "4", "6"]);
    }

    #[test]
    fn neighbouring_ticks_are_told_apart() {
        assert_eq!(ticks(1.945, 1.975, false, Unit::Plain), ["1.95", "1.96", "1.97"]);
        assert_eq!(ticks(1.945, 1.960, false, Unit::Plain), ["1.945", "1.950", "1.955", "1.960"]);
        assert_eq!(
            ticks(1e6, 1.01e6, false, Unit::Count),
            ["1 M", "1.002 M", "1.004 M", "1.006 M", "1.008 M", "1.01 M"]
        );
        assert_eq!(
            ticks(0.98, 0.9825, false, Unit::Percent),
            ["98.00 %", "98.05 %", "98.10 %", "98.15 %", "98.20 %", "98.25 %"]
        );
        assert_eq!(ticks(90.0, 214.0, false, Unit::Seconds), ["1.5 min", "2 min", "2.5 min", "3 min", "3.5 min"]);
        assert_eq!(ticks(200.0, 230.0, false, Unit::Seconds), ["200 s", "210 s", "220 s", "230 s"]);
        assert_eq!(ticks(0.0, 4e4, false, Unit::Seconds), ["0", "4 h", "8 h"]);
        assert_eq!(ticks(0.0, 3e-5, false, Unit::Plain), ["0", "1e-5", "2e-5", "3e-5"]);
    }

    #[test]
    fn places_run_from_0_to_1() {
        let linear = Scale { low: 2.0, high: 6.0, is_log: false };
        assert_eq!([2.0, 3.0, 6.0].map(|v| linear.position(v)), [0.0, 0.25, 1.0]);
        let log = Scale { low: 1.0, high: 100.0, is_log: true };
        assert_eq!([1.0, 10.0, 100.0].map(|v| log.position(v)), [0.0, 0.5, 1.0]);
        assert!(log.position(0.0).is_nan() && log.position(-1.0).is_nan());
    }

    #[test]
    fn an_axis_has_length_whatever_it_is_around() {
        assert_eq!(Scale::from_values([f64::NAN, f64::INFINITY].into_iter(), false), None);
        assert_eq!(Scale::from_values([-1.0, 0.0].into_iter(), true), None);
        for (value, log) in [(0.0, false), (5.0, false), (5.0, true), (1e100, false), (-3.0, false)] {
            let scale = Scale::from_values([value].into_iter(), log).expect("a value");
            assert!(scale.low < scale.high && (scale.position(value) - 0.5).abs() < 0.2, "{value} {scale:?}");
            assert!(scale.ticks(Unit::Plain, 5).len() < 50);
        }
    }

    #[test]
    fn ends_are_round() {
        let scale = Scale { low: 1.61, high: 6.9, is_log: false }.round_ends(Unit::Plain, 5);
        assert_eq!((scale.low, scale.high), (1.5, 7.0));
    }
}
