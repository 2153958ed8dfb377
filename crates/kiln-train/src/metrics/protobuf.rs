//! The parts of the Protocol Buffers wire format that TensorBoard events need.
//!
//! A field is a key, `number · 8 + wire type`, and a value: wire type 0 is a varint, 1 are eight bytes, 2 is a length and
//! bytes, 5 are four bytes. Numbers are little-endian. See <https://protobuf.dev/programming-guides/encoding>.

/// A message in the wire format. Fields are written in the order of the calls.
#[derive(Clone, Debug, Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// Adds an unsigned number. Zero, the default of every number, is not written.
    pub fn varint(mut self, field: u32, value: u64) -> Self {
        if value == 0 {
            return self;
        }
        self.push_varint(u64::from(field) << 3);
        self.push_varint(value);
        self
    }

    /// Adds a number of eight bytes.
    pub fn double(mut self, field: u32, value: f64) -> Self {
        self.push_varint(u64::from(field) << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Adds a number of four bytes.
    pub fn float(mut self, field: u32, value: f32) -> Self {
        self.push_varint(u64::from(field) << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Adds a text or bytes.
    pub fn bytes(mut self, field: u32, value: &[u8]) -> Self {
        self.push_varint(u64::from(field) << 3 | 2);
        self.push_varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    /// Adds a message.
    pub fn message(self, field: u32, value: Self) -> Self {
        self.bytes(field, &value.0)
    }

    /// The bytes of the message.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Seven bits a byte, the lowest first. The highest bit marks all bytes but the last.
    fn push_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
