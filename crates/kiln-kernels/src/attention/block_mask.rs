//! Block mask: which keys each query sees, in the forms that kernels read.
//!
//! A mask has two forms, each computed at most once and only if a kernel reads it:
//!
//! * **dense** ([`DenseMask`]): a boolean tensor `[B, 1, T, S]` on the device, for the reference and Burn's attention;
//! * **tiles** ([`TilePlan`], one per sequence): tiles of 64 × 64 pairs on the host, each fully visible, fully hidden or with
//!   its own small table. The fused kernel skips hidden tiles.
//!
//! Layers with the same pattern share one mask, so the cost is paid once per call. Convention: in formulas and tile plans true
//! means visible; in [`DenseMask`] true means hidden, as Burn's operations expect. This is the only place of the inversion.

use burn::tensor::{Bool, Device, Int, Tensor};
use kiln_spec::plan::TilePlan;
use std::sync::{Arc, OnceLock};

/// Number of queries and of keys in a tile.
///
/// 64 rows are enough for an efficient product, and 64 × 64 scores (16 KiB) fit into the L1 cache. Smaller tiles skip more
/// hidden pairs, but multiply smaller matrices.
pub const TILE_SIZE: usize = 64;

/// Dense mask on the device. True means hidden.
#[derive(Clone, Debug)]
pub struct DenseMask {
    /// `[B, 1, T, S]`, true where the query must not see the key.
    pub mask: Tensor<4, Bool>,
    /// `[B, 1, T, 1]`, 1 for a query with a visible key, otherwise 0. Absent if every query has one.
    pub has_visible_key: Option<Tensor<4>>,
}

/// Function that computes a value when it is first read.
type InitFn<T> = Arc<dyn Fn() -> T + Send + Sync>;

/// Value that is computed at most once. Clones share it.
#[derive(Clone)]
struct Lazy<T> {
    cell: Arc<OnceLock<T>>,
    init: InitFn<T>,
}

impl<T> Lazy<T> {
    fn new(init: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self { cell: Arc::default(), init: Arc::new(init) }
    }

    fn get(&self) -> &T {
        self.cell.get_or_init(|| (self.init)())
    }
}

/// Visible keys of the queries of one call, computed lazily. Clones share what is computed.
#[derive(Clone)]
pub struct BlockMask {
    /// Whether the mask is causal: each query sees exactly the keys up to itself, and the last query is the last key. Burn's
    /// attention then needs no mask.
    pub is_causal: bool,
    /// Positions of the queries `[B, T]` and keys `[B, S]`, for a position bias. Absent if the caller has none.
    pub positions: Option<[Tensor<2, Int>; 2]>,
    dense: Lazy<DenseMask>,
    tiles: Option<Lazy<Arc<Vec<TilePlan>>>>,
}

impl BlockMask {
    /// Returns a mask whose dense form is computed by `dense` when it is first read. No tiles, no positions, not causal.
    pub fn new(dense: impl Fn() -> DenseMask + Send + Sync + 'static) -> Self {
        Self { is_causal: false, positions: None, dense: Lazy::new(dense), tiles: None }
    }

    /// Returns a mask with the given dense form. The fused kernel reads it back to the host to find its tiles.
    pub fn from_dense(dense: DenseMask) -> Self {
        Self::new(move || dense.clone())
    }

    /// Adds tile plans computed by `tiles`: one for each sequence of the batch, with tiles of [`TILE_SIZE`].
    pub fn with_tiles(self, tiles: impl Fn() -> Vec<TilePlan> + Send + Sync + 'static) -> Self {
        Self { tiles: Some(Lazy::new(move || Arc::new(tiles()))), ..self }
    }

    /// Returns a mask in which every query sees every key, `[B, T, S]`, without positions. For a trained prefix.
    pub fn all_visible([b, t, s]: [usize; 3], device: &Device) -> Self {
        let device = device.clone();
        Self::new(move || DenseMask {
            mask: Tensor::<4, Int>::zeros([b, 1, t, s], &device).equal_elem(1),
            has_visible_key: None,
        })
        .with_tiles(move || vec![TilePlan::from_dense(|_| true, [t, s], TILE_SIZE); b])
    }

    /// Whether the mask has tile plans: the host knows the visible keys.
    pub fn has_tiles(&self) -> bool {
        self.tiles.is_some()
    }

    /// Returns the dense form; computes it on the first call.
    pub fn dense(&self) -> &DenseMask {
        self.dense.get()
    }

    /// Returns the tile plan of each sequence, or `None` if the host doesn't know the visible keys.
    pub fn tiles(&self) -> Option<Arc<Vec<TilePlan>>> {
        self.tiles.as_ref().map(|tiles| tiles.get().clone())
    }
}

impl std::fmt::Debug for BlockMask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockMask")
            .field("is_causal", &self.is_causal)
            .field("has_tiles", &self.has_tiles())
            .finish_non_exhaustive()
    }
}
