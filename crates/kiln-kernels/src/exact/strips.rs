//! Product x W with a weight that is read by rows, in strips of columns: y_rj = Σ_k x_rk w_kj, k ascending.
//!
//! A task computes a strip of [`STRIP`] columns for all rows of x. It copies [`PANEL_ROWS`] rows of the strip at a time into a
//! panel (32 KiB, an L1 cache), in 32-bit floats, and adds them to tiles of rows. An element has one accumulator, which stays
//! in a register within a panel and in memory between panels, so its sum is the same for any tile that its row is in.

use crate::{
    cpu::tensor::par_fill_rows,
    packed::f32x16::{F32x16, dispatch_simd},
};
use rayon::prelude::*;
use std::ops::Range;

/// Columns of a strip: four registers of sixteen.
const STRIP: usize = 64;
/// Rows of a panel.
const PANEL_ROWS: usize = 128;

/// Rows of x that are few: their product reads the weight in wide strips, for which memory is faster than for narrow ones.
pub const FEW_ROWS: usize = 8;
/// Registers of columns of a wide strip: 1 KiB of adjacent 32-bit floats in each row of the weight.
const WIDE: usize = 16;
/// Rows of a wide panel (8 KiB).
const WIDE_ROWS: usize = 8;

/// One row of a strip.
type StripRow = [[f32; 16]; STRIP / 16];

/// Rows of x, row-major, each of `width` values.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// Values of all rows.
    pub values: &'a [f32],
    /// Values of a row.
    pub width: usize,
}

/// Sums of the strips, strip after strip: `[strips, rows, 64]`.
pub struct StripSums {
    rows: usize,
    columns: usize,
    sums: Vec<StripRow>,
}

impl StripSums {
    /// Returns sums of 0 for `rows` rows and `columns` columns.
    pub fn new(rows: usize, columns: usize) -> Self {
        Self { rows, columns, sums: vec![[[0.0; 16]; 4]; rows * columns.div_ceil(STRIP)] }
    }

    /// Adds the terms of the inputs in `range` of rows of x, in ascending order. `read(k, column, out)` copies values of row k
    /// of the weight, from a column on.
    pub fn add(&mut self, x: Rows, range: Range<usize>, read: impl Fn(usize, usize, &mut [f32]) + Sync) {
        let columns = self.columns;
        self.sums.par_chunks_mut(self.rows.max(1)).enumerate().for_each(|(strip, sums)| {
            let first = strip * STRIP;
            let width = STRIP.min(columns - first);
            let mut panel = vec![[[0.0; 16]; STRIP / 16]; PANEL_ROWS.min(range.len())];
            for start in range.clone().step_by(PANEL_ROWS) {
                let panel = &mut panel[..PANEL_ROWS.min(range.end - start)];
                for (k, row) in panel.iter_mut().enumerate() {
                    read(start + k, first, &mut row.as_flattened_mut()[..width]);
                }
                add_panel(x.values, x.width, start, panel, sums);
            }
        });
    }

    /// Returns the sums in the order of the rows, `[rows, columns]`.
    pub fn into_rows(self) -> Vec<f32> {
        let (rows, columns) = (self.rows, self.columns);
        if rows == 1 {
            let mut out = self.sums.into_flattened().into_flattened();
            out.truncate(columns);
            return out;
        }
        let mut out = vec![0.0; rows * columns];
        par_fill_rows(&mut out, columns, |row, out| {
            for (strip, out) in out.chunks_mut(STRIP).enumerate() {
                out.copy_from_slice(&self.sums[strip * rows + row].as_flattened()[..out.len()]);
            }
        });
        out
    }
}

/// Product of few rows of x with a weight `[x.width, columns]`, `[rows, columns]`: the sums of [`StripSums`], to the bit. `read(k,
/// column, out)` copies values of row k of the weight, from a column on.
pub fn product_of_few_rows(x: Rows, columns: usize, read: impl Fn(usize, usize, &mut [f32]) + Sync) -> Vec<f32> {
    let rows = x.values.len() / x.width.max(1);
    let strips: Vec<Vec<[f32; 16]>> = (0..columns.div_ceil(16 * WIDE))
        .into_par_iter()
        .map(|strip| {
            let first = strip * 16 * WIDE;
            let width = (columns - first).min(16 * WIDE);
            let registers = width.div_ceil(16);
            let mut panel = vec![[0.0; 16]; WIDE_ROWS * registers];
            let mut sums = vec![[0.0; 16]; rows * registers];
            for start in (0..x.width).step_by(WIDE_ROWS) {
                let panel = &mut panel[..WIDE_ROWS.min(x.width - start) * registers];
                for (k, row) in panel.chunks_exact_mut(registers).enumerate() {
                    read(start + k, first, &mut row.as_flattened_mut()[..width]);
                }
                add_wide_panel(x.values, x.width, start, panel, &mut sums, registers);
            }
            sums
        })
        .collect();
    let mut out = vec![0.0; rows * columns];
    for (row, out) in out.chunks_exact_mut(columns.max(1)).enumerate() {
        for (sums, out) in strips.iter().zip(out.chunks_mut(16 * WIDE)) {
            let registers = sums.len() / rows;
            out.copy_from_slice(&sums[row * registers..][..registers].as_flattened()[..out.len()]);
        }
    }
    out
}

/// Adds the terms of a wide panel `[inputs, registers]` to the sums `[rows, registers]`, inputs in ascending order.
fn add_wide_panel(
    x: &[f32],
    width: usize,
    start: usize,
    panel: &[[f32; 16]],
    sums: &mut [[f32; 16]],
    registers: usize,
) {
    dispatch_simd!(add_wide_rows::<>(x: &[f32], width: usize, start: usize, panel: &[[f32; 16]], sums: &mut [[f32; 16]], registers: usize))
}

#[inline(always)]
fn add_wide_rows<S: F32x16>(
    x: &[f32],
    width: usize,
    start: usize,
    panel: &[[f32; 16]],
    sums: &mut [[f32; 16]],
    registers: usize,
) {
    for (row, sums) in sums.chunks_exact_mut(registers).enumerate() {
        let x = &x[row * width + start..][..panel.len() / registers];
        let mut k = 0;
        while k + WIDE_ROWS <= x.len() {
            add_inputs::<S, WIDE_ROWS>(&x[k..], &panel[k * registers..], sums);
            k += WIDE_ROWS;
        }
        while k < x.len() {
            add_inputs::<S, 1>(&x[k..], &panel[k * registers..], sums);
            k += 1;
        }
    }
}

/// Adds the terms of N inputs to the sums of one row.
#[inline(always)]
fn add_inputs<S: F32x16, const N: usize>(x: &[f32], panel: &[[f32; 16]], sums: &mut [[f32; 16]]) {
    let mut factors = [S::splat(0.0); N];
    for (factor, x) in factors.iter_mut().zip(x) {
        *factor = S::splat(*x);
    }
    let registers = sums.len();
    for (column, sum) in sums.iter_mut().enumerate() {
        let mut acc = S::load(sum);
        for (k, factor) in factors.iter().enumerate() {
            acc = S::load(&panel[k * registers + column]).mul_add(*factor, acc);
        }
        acc.store(sum);
    }
}

/// Rows of x from the first input of a panel on.
#[derive(Clone, Copy)]
struct PanelRows<'a> {
    x: &'a [f32],
    width: usize,
    start: usize,
}

/// Adds the terms of a panel to the sums of all rows: sums_r += Σ_k x_r,start+k · panel_k.
fn add_panel(x: &[f32], width: usize, start: usize, panel: &[StripRow], sums: &mut [StripRow]) {
    dispatch_simd!(add_to_rows::<>(x: &[f32], width: usize, start: usize, panel: &[StripRow], sums: &mut [StripRow]))
}

#[inline(always)]
fn add_to_rows<S: F32x16>(x: &[f32], width: usize, start: usize, panel: &[StripRow], sums: &mut [StripRow]) {
    let (rows, mut row) = (PanelRows { x, width, start }, 0);
    if S::REGISTERS >= 32 {
        row = add_tiles::<S, 6, 4>(row, rows, panel, sums);
    }
    row = add_tiles::<S, 2, 2>(row, rows, panel, sums);
    add_tiles::<S, 1, 4>(row, rows, panel, sums);
}

/// Adds the panel to whole tiles of R rows, from row `first` on, C registers of columns at a time; returns the first row that is
/// left.
#[inline(always)]
fn add_tiles<S: F32x16, const R: usize, const C: usize>(
    first: usize,
    rows: PanelRows,
    panel: &[StripRow],
    sums: &mut [StripRow],
) -> usize {
    let mut row = first;
    while row + R <= sums.len() {
        let mut x = [&[][..]; R];
        for (r, x) in x.iter_mut().enumerate() {
            *x = &rows.x[(row + r) * rows.width + rows.start..][..panel.len()];
        }
        for column in (0..STRIP / 16).step_by(C) {
            add_tile::<S, R, C>(x, panel, &mut sums[row..row + R], column);
        }
        row += R;
    }
    row
}

/// Adds the panel to R rows and C registers of columns. No closure: it would be compiled without the caller's instruction set.
#[inline(always)]
fn add_tile<S: F32x16, const R: usize, const C: usize>(
    x: [&[f32]; R],
    panel: &[StripRow],
    sums: &mut [StripRow],
    column: usize,
) {
    let mut acc = [[S::splat(0.0); C]; R];
    for (acc, sums) in acc.iter_mut().zip(&*sums) {
        for (acc, sum) in acc.iter_mut().zip(&sums[column..]) {
            *acc = S::load(sum);
        }
    }
    for (k, row) in panel.iter().enumerate() {
        let mut weights = [S::splat(0.0); C];
        for (weight, value) in weights.iter_mut().zip(&row[column..]) {
            *weight = S::load(value);
        }
        for (acc, x) in acc.iter_mut().zip(&x) {
            let x = S::splat(x[k]);
            for (acc, weight) in acc.iter_mut().zip(&weights) {
                *acc = weight.mul_add(x, *acc);
            }
        }
    }
    for (acc, sums) in acc.iter().zip(sums) {
        for (acc, sum) in acc.iter().zip(&mut sums[column..]) {
            acc.store(sum);
        }
    }
}
