//! The names that a pickle may ask for.

use super::{PickleError, storage::StorageDtype};

/// What a name stands for. None of them runs anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`: storage, offset, size, stride, ….
    Tensor,
    /// `torch._utils._rebuild_parameter`: a tensor, ….
    Parameter,
    /// `torch.Size`: a tuple.
    Size,
    /// `torch.FloatStorage` and its like.
    Storage(StorageDtype),
}

impl Global {
    pub fn from_name(module: &str, name: &str) -> Result<Self, PickleError> {
        match (module, name) {
            ("collections", "OrderedDict") => return Ok(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => return Ok(Self::Tensor),
            ("torch._utils", "_rebuild_parameter") => return Ok(Self::Parameter),
            ("torch", "Size") => return Ok(Self::Size),
            _ => {}
        }
        let storage = name.strip_suffix("Storage").filter(|_| matches!(module, "torch" | "torch.storage"));
        let unknown = || PickleError::UnsupportedGlobal(format!("{module}.{name}").escape_debug().to_string());
        storage.and_then(StorageDtype::from_storage_class).map(Self::Storage).ok_or_else(unknown)
    }
}
