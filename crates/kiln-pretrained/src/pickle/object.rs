//! The objects that a pickle builds, and the global names that it may use.

use super::{
    PickleError,
    tensor_view::{Storage, StorageDtype, StridedView},
};

/// The index of an object among all objects of a pickle. Objects refer to each other by index, so that shared objects
/// cost nothing and cycles do no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ObjectId(pub usize);

/// A tensor as a pickle describes it, not yet checked against its storage.
#[derive(Clone, Debug)]
pub(super) struct PickledTensor<'a> {
    pub storage: Storage<'a>,
    pub view: StridedView,
}

/// An object of a pickle. Strings are slices of the pickle.
#[derive(Debug)]
pub(super) enum Object<'a> {
    /// None, booleans, floats and bytes, which tensors do not need.
    Other,
    Int(i128),
    Str(&'a str),
    Global(Global),
    Tuple(Vec<ObjectId>),
    List(Vec<ObjectId>),
    Dict(Vec<(ObjectId, ObjectId)>),
    Storage(Storage<'a>),
    Tensor(Box<PickledTensor<'a>>),
}

/// A Python name that a pickle may use. Kiln interprets these names itself and runs no Python code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`, called with storage, offset, size, stride, ….
    Tensor,
    /// `torch._utils._rebuild_parameter`, called with a tensor, ….
    Parameter,
    /// `torch.Size`, called with a tuple.
    Size,
    /// `torch.FloatStorage` and the other storage classes.
    Storage(StorageDtype),
}

impl Global {
    /// Returns the meaning of `module.name`.
    ///
    /// # Errors
    /// [`PickleError::UnsupportedGlobal`] for any other name.
    pub fn from_name(module: &str, name: &str) -> Result<Self, PickleError> {
        match (module, name) {
            ("collections", "OrderedDict") => return Ok(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => return Ok(Self::Tensor),
            ("torch._utils", "_rebuild_parameter") => return Ok(Self::Parameter),
            ("torch", "Size") => return Ok(Self::Size),
            _ => {}
        }
        let prefix = name.strip_suffix("Storage").filter(|_| matches!(module, "torch" | "torch.storage"));
        match prefix.and_then(StorageDtype::from_storage_class) {
            Some(dtype) => Ok(Self::Storage(dtype)),
            None => Err(PickleError::UnsupportedGlobal(format!("{module}.{name}").escape_debug().to_string())),
        }
    }
}
