//! The interpreter of pickles: the operations of protocols 2 to 5 that data needs (Python's `pickletools` documents them).
//!
//! | operations | effect |
//! |---|---|
//! | PROTO, FRAME | ignored |
//! | NONE, NEWTRUE, NEWFALSE, BINFLOAT, BINBYTES | push an object that tensors do not need |
//! | BININT, BININT1, BININT2, LONG1 | push an integer |
//! | BINUNICODE, SHORT_BINUNICODE, BINSTRING, … | push a string |
//! | EMPTY_TUPLE, EMPTY_LIST, EMPTY_DICT, MARK | push an empty collection, or a mark |
//! | TUPLE, TUPLE1 – TUPLE3 | pop items, push a tuple |
//! | APPEND(S), SETITEM(S), BUILD | pop items, add them to the collection below |
//! | GLOBAL, STACK_GLOBAL, REDUCE, BINPERSID | names, calls, storages (`rebuild`) |
//! | BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET | store the top object, or push a stored one |
//! | STOP | end |
//!
//! An operation creates at most one object, of a size that its bytes bound, and a pickle at most [`MAX_OBJECTS`].

mod rebuild;

use super::{
    PickleError,
    cursor::Cursor,
    object::{Object, ObjectId},
};
use std::collections::HashMap;

/// Maximum number of objects of a pickle. Ten thousand tensors take a quarter of a million.
const MAX_OBJECTS: usize = 1 << 22;

/// The state of the stack machine.
struct Unpickler<'a> {
    bytes: Cursor<'a>,
    objects: Vec<Object<'a>>,
    stack: Vec<ObjectId>,
    /// Heights of the stack at the operations MARK.
    marks: Vec<usize>,
    /// Objects that the pickle refers to again, by its numbers for them.
    memo: HashMap<usize, ObjectId>,
}

/// The result of a pickle.
pub(super) struct Unpickled<'a> {
    /// All objects that the pickle created.
    pub objects: Vec<Object<'a>>,
    /// The object that the pickle returns.
    pub root: ObjectId,
    /// Length of the pickle in bytes. Other data may follow.
    pub length: usize,
}

/// Runs a pickle up to its operation STOP.
///
/// # Errors
/// If the pickle is damaged, uses an operation or a global name that is not supported, or exceeds a limit.
pub(super) fn run(pickle: &[u8]) -> Result<Unpickled<'_>, PickleError> {
    let mut machine = Unpickler {
        bytes: Cursor::new(pickle),
        objects: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
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
    /// Executes one operation other than STOP.
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

    /// Reads the operand of an operation that pushes a constant or an empty collection.
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
            _ => return bytes.fail(format!("unsupported operation {:?}", char::from(operation))),
        })
    }

    /// Creates an object and pushes it.
    fn push(&mut self, object: Object<'a>) -> Result<(), PickleError> {
        if self.objects.len() == MAX_OBJECTS {
            return self.bytes.fail(format!("more than {MAX_OBJECTS} objects"));
        }
        self.stack.push(ObjectId(self.objects.len()));
        self.objects.push(object);
        Ok(())
    }

    /// Pops the top object, which must be above the last mark.
    fn pop(&mut self) -> Result<ObjectId, PickleError> {
        if self.stack.len() <= self.marks.last().copied().unwrap_or(0) {
            return self.bytes.fail("an operation needs an object, but the stack is empty");
        }
        Ok(self.stack.pop().expect("not empty"))
    }

    /// Pops the objects above the last mark, and the mark.
    fn pop_to_mark(&mut self) -> Result<Vec<ObjectId>, PickleError> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => self.bytes.fail("an operation needs a mark, but there is none"),
        }
    }

    /// PUT and MEMOIZE store the top object under a number, GET pushes it again.
    fn access_memo(&mut self, operation: u8) -> Result<(), PickleError> {
        let key = match operation {
            b'q' | b'h' => self.bytes.u8()?.into(),
            b'r' | b'j' => self.bytes.u32()? as usize,
            _ => self.memo.len(),
        };
        if matches!(operation, b'h' | b'j') {
            let Some(&id) = self.memo.get(&key) else {
                return self.bytes.fail(format!("the memo has no object {key}"));
            };
            self.stack.push(id);
        } else {
            let id = self.pop()?;
            self.stack.push(id);
            self.memo.insert(key, id);
        }
        if self.memo.len() > self.objects.len() {
            return self.bytes.fail("the memo has more entries than there are objects");
        }
        Ok(())
    }

    /// TUPLE takes the items above the mark, TUPLE1 to TUPLE3 as many as they say.
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

    /// APPEND(S) extends a list, SETITEM(S) a dictionary; BUILD sets attributes, which are ignored.
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
            // Attributes of a state dictionary: the versions of its modules.
            (Object::Dict(_), b'b') => {}
            _ => return self.bytes.fail("items are added to an object that is neither a list nor a dictionary"),
        }
        Ok(())
    }
}
