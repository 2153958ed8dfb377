//! The operations that build tensors: global names (GLOBAL), calls (REDUCE) and references to storages (BINPERSID).

use super::Unpickler;
use crate::pickle::{
    PickleError,
    object::{Global, Object, ObjectId, PickledTensor},
    tensor_view::{Storage, StridedView},
};

/// Maximum number of dimensions of a tensor.
const MAX_DIMS: usize = 8;

impl<'a> Unpickler<'a> {
    /// GLOBAL reads module and name as two lines, STACK_GLOBAL pops them.
    pub(super) fn push_global(&mut self, operation: u8) -> Result<(), PickleError> {
        let (module, name) = if operation == b'c' {
            (self.bytes.line()?, self.bytes.line()?)
        } else {
            let name = self.pop()?;
            let module = self.pop()?;
            (self.as_text(module)?, self.as_text(name)?)
        };
        let global = Global::from_name(module, name)?;
        self.push(Object::Global(global))
    }

    /// REDUCE: pops arguments and a global, and pushes the result of the call. Only the globals of [`Global`] can be
    /// called, and their results are built here: no code of the file runs.
    pub(super) fn reduce(&mut self) -> Result<(), PickleError> {
        let arguments = self.pop()?;
        let called = self.pop()?;
        let object = match (&self.objects[called.0], self.as_tuple(arguments)?) {
            (Object::Global(Global::OrderedDict), []) => Object::Dict(Vec::new()),
            (Object::Global(Global::OrderedDict), &[pairs]) => self.ordered_dict(pairs)?,
            (Object::Global(Global::Tensor), &[storage, offset, size, stride, ..]) => {
                self.rebuild_tensor(storage, offset, size, stride)?
            }
            (Object::Global(Global::Size), &[same]) | (Object::Global(Global::Parameter), &[same, ..]) => {
                self.stack.push(same);
                return Ok(());
            }
            _ => {
                return self.bytes.fail("a call has unexpected arguments, or its target is not a function");
            }
        };
        self.push(object)
    }

    /// `_rebuild_tensor(storage, offset, size, stride)`. The view is checked against its storage later, when the size of
    /// the storage in the file is known.
    fn rebuild_tensor(
        &self,
        storage: ObjectId,
        offset: ObjectId,
        size: ObjectId,
        stride: ObjectId,
    ) -> Result<Object<'a>, PickleError> {
        let Object::Storage(storage) = self.objects[storage.0] else {
            return self.bytes.fail("the first argument of a tensor is not a storage");
        };
        let offset = self.as_count(offset)?;
        let shape = self.as_counts(size)?;
        let stride = self.as_counts(stride)?;
        Ok(Object::Tensor(Box::new(PickledTensor { storage, view: StridedView { offset, shape, stride } })))
    }

    /// `OrderedDict(pairs)`. The list is moved, not copied, so that a pickle cannot multiply it.
    fn ordered_dict(&mut self, list: ObjectId) -> Result<Object<'a>, PickleError> {
        let Object::List(list) = &mut self.objects[list.0] else {
            return self.bytes.fail("the argument of a dictionary is not a list");
        };
        let list = std::mem::take(list);
        let pair = |id: ObjectId| match &self.objects[id.0] {
            Object::Tuple(pair) | Object::List(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => self.bytes.fail("an item of a dictionary's list is not a pair"),
        };
        list.into_iter().map(pair).collect::<Result<_, _>>().map(Object::Dict)
    }

    /// BINPERSID: the tuple `("storage", class, key, location, numel)` refers to a storage. Older files have a sixth item,
    /// which is None since PyTorch 0.4.
    pub(super) fn persistent_load(&mut self) -> Result<(), PickleError> {
        let id = self.pop()?;
        let &[tag, class, key, _location, numel, ref view @ ..] = self.as_tuple(id)? else {
            return self.bytes.fail("a persistent id does not refer to a storage");
        };
        let is_plain =
            self.as_text(tag)? == "storage" && view.iter().all(|id| matches!(self.objects[id.0], Object::Other));
        let (Object::Global(Global::Storage(dtype)), true) = (&self.objects[class.0], is_plain) else {
            return self.bytes.fail("a persistent id does not refer to a plain storage");
        };
        let storage = Storage { dtype: *dtype, key: self.as_text(key)?, numel: self.as_count(numel)? };
        self.push(Object::Storage(storage))
    }

    /// The items of a tuple.
    fn as_tuple(&self, id: ObjectId) -> Result<&[ObjectId], PickleError> {
        let Object::Tuple(items) = &self.objects[id.0] else { return self.bytes.fail("expected a tuple") };
        Ok(items)
    }

    /// The text of a string.
    fn as_text(&self, id: ObjectId) -> Result<&'a str, PickleError> {
        let Object::Str(text) = self.objects[id.0] else { return self.bytes.fail("expected a string") };
        Ok(text)
    }

    /// The sizes or strides of a tensor: a tuple of at most [`MAX_DIMS`] integers.
    fn as_counts(&self, id: ObjectId) -> Result<Vec<usize>, PickleError> {
        match self.as_tuple(id)? {
            sizes if sizes.len() <= MAX_DIMS => sizes.iter().map(|&id| self.as_count(id)).collect(),
            sizes => self.bytes.fail(format!("a tensor of {} dimensions", sizes.len())),
        }
    }

    /// A non-negative integer: a size, an offset or a stride.
    fn as_count(&self, id: ObjectId) -> Result<usize, PickleError> {
        let Object::Int(number) = self.objects[id.0] else { return self.bytes.fail("expected an integer") };
        usize::try_from(number)
            .or_else(|_| self.bytes.fail(format!("{number} is not valid as a size, an offset or a stride")))
    }
}
