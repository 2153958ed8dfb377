//! Options of Mamba-2, and their check.

use crate::{
    part::{recurrence::TimeStepRange, short_convolution},
    variant::{BuildContext, MAX_WIDTH, invalid},
};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Mamba2`](super::Mamba2).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Mamba2Config {
    /// Number of heads H.
    pub heads: usize,
    /// Width of a head, E. Absent: 2 × hidden / heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Size of the state N: the width of B and C.
    pub state_size: usize,
    /// Number of groups G of heads. The heads of a group share B and C.
    pub groups: usize,
    /// Width of the short convolution, W.
    pub conv_width: usize,
    /// Whether the short convolution has a bias.
    pub conv_bias: bool,
    /// Whether the linear maps have biases.
    pub bias: bool,
    /// Lowest and highest initial time step.
    pub time_step_range: [f64; 2],
    /// Lower bound of initial time steps.
    pub time_step_floor: f64,
    /// Lowest and highest time step. Absent: any above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_step_limit: Option<[f64; 2]>,
    /// ε of the output's norm, added to the mean square.
    pub norm_eps: f64,
    /// Number of equal parts of the output that are normalized each on its own. Absent: that of the groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm_groups: Option<usize>,
    /// Whether the output is normalized before it is multiplied by the gate, instead of after.
    pub norm_before_gate: bool,
}

impl Default for Mamba2Config {
    fn default() -> Self {
        let TimeStepRange { min, max, floor } = TimeStepRange::default();
        Self {
            heads: 4,
            head_dim: None,
            state_size: 64,
            groups: 1,
            conv_width: 4,
            conv_bias: true,
            bias: false,
            time_step_range: [min, max],
            time_step_floor: floor,
            time_step_limit: None,
            norm_eps: 1e-5,
            norm_groups: None,
            norm_before_gate: false,
        }
    }
}

impl Mamba2Config {
    /// Width E of a head, default filled in.
    pub(super) fn head_width(&self, build: &BuildContext) -> usize {
        self.head_dim.unwrap_or(2 * build.hidden / self.heads.max(1))
    }

    /// Number of parts that are normalized each on its own.
    pub(super) fn norm_parts(&self) -> usize {
        self.norm_groups.unwrap_or(self.groups)
    }

    /// Initial time steps.
    pub(super) fn time_steps(&self) -> TimeStepRange {
        let [min, max] = self.time_step_range;
        TimeStepRange { min, max, floor: self.time_step_floor }
    }

    /// Checks the options at `path`.
    pub(super) fn check(&self, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        let Self { heads, groups, .. } = *self;
        if heads == 0 {
            return invalid(path, "heads", "expected at least 1 head, found 0");
        }
        if self.head_dim.is_none() && !(2 * build.hidden).is_multiple_of(heads) {
            return invalid(
                path,
                "heads",
                format!("heads = {heads} does not divide the inner width, 2 × hidden = 2 × {}", build.hidden),
            );
        }
        if groups == 0 || !heads.is_multiple_of(groups) {
            return invalid(path, "groups", format!("expected a divisor of heads = {heads}, found {groups}"));
        }
        let sizes = [("head_dim", self.head_width(build), heads), ("state_size", self.state_size, groups)];
        for (key, width, count) in sizes {
            if width == 0 {
                return invalid(path, key, "expected at least 1, found 0");
            }
            if width.saturating_mul(count) > MAX_WIDTH {
                return invalid(
                    path,
                    key,
                    format!("{count} × {key} must be at most {MAX_WIDTH}, found {count} × {width}"),
                );
            }
        }
        let (parts, inner) = (self.norm_parts(), heads * self.head_width(build));
        if parts == 0 || !inner.is_multiple_of(parts) {
            return invalid(
                path,
                "norm_groups",
                format!("expected a divisor of the inner width, heads × head_dim = {inner}, found {parts}"),
            );
        }
        short_convolution::check_width(self.conv_width, path)?;
        if !(self.norm_eps > 0.0 && self.norm_eps.is_finite()) {
            let found = self.norm_eps;
            return invalid(path, "norm_eps", format!("ε must be a finite number above 0, found {found}"));
        }
        self.check_time_steps(path)
    }

    /// Checks the ranges of time steps.
    fn check_time_steps(&self, path: &str) -> Result<(), ValidationError> {
        let [min, max] = self.time_step_range;
        if !(min > 0.0 && min <= max && max.is_finite()) {
            return invalid(
                path,
                "time_step_range",
                format!("expected two finite numbers above 0 in ascending order, found [{min}, {max}]"),
            );
        }
        if !(self.time_step_floor > 0.0 && self.time_step_floor.is_finite()) {
            let found = self.time_step_floor;
            return invalid(path, "time_step_floor", format!("expected a finite number above 0, found {found}"));
        }
        match self.time_step_limit {
            Some([low, high]) if !(low >= 0.0 && low <= high) => invalid(
                path,
                "time_step_limit",
                format!("expected two numbers from 0 on in ascending order, found [{low}, {high}]"),
            ),
            _ => Ok(()),
        }
    }
}
