//! The pickle machine: the operations of protocols 2 to 5 that data needs.
//!
//! An operation makes at most one object, of a size that the file can't choose, and no more are made than `OBJECTS`.

mod rebuild;

use super::{
    PickleError,
    cursor::Cursor,
    object::{Object, ObjectId},
};
use std::collections::HashMap;

/// How many objects a pickle may make. Ten thousand tensors take a quarter of a million.
const MAX_OBJECTS: usize = 1 << 22;

struct Unpickler<'a> {
    bytes: Cursor<'a>,
    objects: Vec<Object<'a>>,
    stack: Vec<ObjectId>,
    marks: Vec<usize>,
    memo: HashMap<usize, ObjectId>,
}

/// What a pickle came to.
pub(super) struct Unpickled<'a> {
    /// All objects that it made.
    pub objects: Vec<Object<'a>>,
    /// Which of them is the result.
    pub root: ObjectId,
    /// How many bytes it took.
    pub length: usize,
}

/// Runs a pickle to its end.
pub(super) fn run(pickle: &[u8]) -> Result<Unpickled<'_>, PickleError> {
    let (bytes, empty) = (Cursor::new(pickle), Vec::new());
    let mut machine = Unpickler { bytes, objects: empty, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    loop {
        let operation = machine.bytes.u8()?;
        if operation == b'.' {
            let root = machine.pop()?;
            return Ok(Unpickled { objects: machine.objects, root, length: machine.bytes.position });
        }
        machine.execute(operation)?;
    }
}

impl<'a> Unpickler<'a> {
    fn execute(&mut self, operation: u8) -> Result<(), PickleError> {
        match operation {
            0x80 => self.bytes.u8().map(|_protocol| ()),
            0x95 => self.bytes.u64().map(|_frame| ()),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.access_memo(operation),
            b'c' | 0x93 => self.push_global(operation),
            b'R' => self.reduce(),
            b'Q' => self.persistent_load(),
            b'a' | b'e' | b's' | b'u' | b'b' => self.append_items(operation),
            b't' | 0x85..=0x87 => self.push_tuple(operation),
            _ => {
                let object = self.read_literal(operation)?;
                self.push(object)
            }
        }
    }

    /// Operations that push what stands in the pickle.
    fn read_literal(&mut self, operation: u8) -> Result<Object<'a>, PickleError> {
        let bytes = &mut self.bytes;
        Ok(match operation {
            b'N' | 0x88 | 0x89 => Object::Other,
            b'G' => bytes.take(8).map(|_float| Object::Other)?,
            b'J' => Object::Int((bytes.u32()? as i32).into()),
            b'K' => Object::Int(bytes.u8()?.into()),
            b'M' => Object::Int(bytes.u16()?.into()),
            0x8a => Object::Int(bytes.u8().and_then(|length| bytes.signed_integer(length))?),
            b'X' | b'T' => Object::Str(bytes.u32().and_then(|length| bytes.string(length.into()))?),
            b'U' | 0x8c => Object::Str(bytes.u8().and_then(|length| bytes.string(length.into()))?),
            0x8d => Object::Str(bytes.u64().and_then(|length| bytes.string(length))?),
            b'C' => bytes.u8().and_then(|length| bytes.take(length.into())).map(|_| Object::Other)?,
            b'B' => bytes.u32().and_then(|length| bytes.take(length.into())).map(|_| Object::Other)?,
            b')' => Object::Tuple(Vec::new()),
            b']' => Object::List(Vec::new()),
            b'}' => Object::Dict(Vec::new()),
            _ => return bytes.fail(format!("operation {:?} is none that tensors need", char::from(operation))),
        })
    }

    fn push(&mut self, object: Object<'a>) -> Result<(), PickleError> {
        if self.objects.len() == MAX_OBJECTS {
            return self.bytes.fail(format!("more than {MAX_OBJECTS} objects"));
        }
        self.stack.push(ObjectId(self.objects.len()));
        self.objects.push(object);
        Ok(())
    }

    /// Takes the top, which doesn't lie below the last mark.
    fn pop(&mut self) -> Result<ObjectId, PickleError> {
        if self.stack.len() <= self.marks.last().copied().unwrap_or(0) {
            return self.bytes.fail("an operation finds nothing to work on");
        }
        Ok(self.stack.pop().expect("not empty"))
    }

    /// Takes what lies above the last mark, and the mark.
    fn pop_to_mark(&mut self) -> Result<Vec<ObjectId>, PickleError> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => self.bytes.fail("an operation finds no mark"),
        }
    }

    fn access_memo(&mut self, operation: u8) -> Result<(), PickleError> {
        let place = match operation {
            b'q' | b'h' => self.bytes.u8()?.into(),
            b'r' | b'j' => self.bytes.u32()? as usize,
            _ => self.memo.len(),
        };
        if matches!(operation, b'h' | b'j') {
            let Some(&id) = self.memo.get(&place) else {
                return self.bytes.fail(format!("nothing was remembered as {place}"));
            };
            self.stack.push(id);
        } else {
            let id = self.pop()?;
            self.stack.push(id);
            self.memo.insert(place, id);
        }
        if self.memo.len() > self.objects.len() {
            return self.bytes.fail("more is remembered than there is");
        }
        Ok(())
    }

    fn push_tuple(&mut self, operation: u8) -> Result<(), PickleError> {
        let items = if operation == b't' {
            self.pop_to_mark()?
        } else {
            let mut items = (0x85..=operation).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
            items.reverse();
            items
        };
        self.push(Object::Tuple(items))
    }

    fn append_items(&mut self, operation: u8) -> Result<(), PickleError> {
        let items = match operation {
            b'e' | b'u' => self.pop_to_mark()?,
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => vec![self.pop()?],
        };
        let target = self.pop()?;
        self.stack.push(target);
        match (&mut self.objects[target.0], operation) {
            (Object::List(list), b'a' | b'e') => list.extend(items),
            (Object::Dict(dict), b's' | b'u') if items.len() % 2 == 0 => {
                dict.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            }
            // The versions of a state dictionary's modules.
            (Object::Dict(_), b'b') => {}
            _ => return self.bytes.fail("something is filled that is neither a list nor a dictionary"),
        }
        Ok(())
    }
}
