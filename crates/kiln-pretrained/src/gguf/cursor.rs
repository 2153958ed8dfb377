//! A place in the file, from which nothing is read that isn't there.

use super::GgufError;

pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    /// Bytes before this place.
    pub position: usize,
    /// What is being read, for errors.
    pub context: String,
    /// Arrays within arrays at this place.
    pub depth: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, context: "header".into(), depth: 0 }
    }

    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    pub fn error(&self, reason: impl Into<String>) -> GgufError {
        GgufError::Broken { offset: self.position, location: self.context.clone(), reason: reason.into() }
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], GgufError> {
        if length > self.remaining() {
            return Err(self.error(format!("{length} bytes were expected, {} are left", self.remaining())));
        }
        let taken = &self.bytes[self.position..self.position + length];
        self.position += length;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub fn u32(&mut self) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A 64-bit number that this machine can count to.
    pub fn size(&mut self) -> Result<usize, GgufError> {
        let size = u64::from_le_bytes(self.array()?);
        size.try_into().map_err(|_| self.error(format!("{size} is more than this machine can address")))
    }

    /// How many of something that takes at least `least` bytes each: no more than can be there.
    pub fn count(&mut self, of: &str, least: usize) -> Result<usize, GgufError> {
        let (count, most) = (self.size()?, self.remaining() / least);
        if count > most {
            return Err(self.error(format!("{count} {of} are announced, {} bytes are left", self.remaining())));
        }
        Ok(count)
    }

    pub fn string(&mut self) -> Result<String, GgufError> {
        let length = self.size()?;
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes);
        text.map(str::to_owned).map_err(|error| self.error(format!("text that is not UTF-8: {error}")))
    }
}
