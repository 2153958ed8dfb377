//! A reading position in bytes.

use super::PickleError;

/// Bytes with a reading position. All numbers are little-endian; nothing is read beyond the end.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    /// Number of bytes that were read.
    pub position: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at the beginning of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// A cursor at `position`, which must be at most the number of bytes.
    pub fn starting_at(bytes: &'a [u8], position: usize) -> Self {
        Self { bytes, position }
    }

    /// An error at the current position.
    pub fn fail<T>(&self, reason: impl Into<String>) -> Result<T, PickleError> {
        Err(PickleError::Broken { offset: self.position, reason: reason.into() })
    }

    /// Reads `length` bytes.
    pub fn take(&mut self, length: u64) -> Result<&'a [u8], PickleError> {
        let remaining = &self.bytes[self.position..];
        match usize::try_from(length).ok().and_then(|length| remaining.get(..length)) {
            Some(taken) => {
                self.position += taken.len();
                Ok(taken)
            }
            None => self.fail(format!("expected {length} bytes, but only {} remain", remaining.len())),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        self.take(N as u64).map(|taken| taken.try_into().expect("N bytes"))
    }

    pub fn u8(&mut self) -> Result<u8, PickleError> {
        self.array().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Result<u16, PickleError> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, PickleError> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, PickleError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads UTF-8 text of `length` bytes.
    pub fn string(&mut self, length: u64) -> Result<&'a str, PickleError> {
        let taken = self.take(length)?;
        std::str::from_utf8(taken).or_else(|_| self.fail("invalid UTF-8 in a string"))
    }

    /// Reads a line, and returns it without its line feed.
    pub fn line(&mut self) -> Result<&'a str, PickleError> {
        let Some(length) = self.bytes[self.position..].iter().position(|&byte| byte == b'\n') else {
            return self.fail("expected a line break, found the end of the file");
        };
        let line = self.string(length as u64)?;
        self.position += 1;
        Ok(line)
    }

    /// Reads an integer of `length` bytes in two's complement, at most 16 bytes.
    pub fn signed_integer(&mut self, length: u8) -> Result<i128, PickleError> {
        let taken = self.take(length.into())?;
        if taken.len() > 16 {
            return self.fail("expected an integer of at most 16 bytes");
        }
        let is_negative = taken.last().is_some_and(|byte| byte >> 7 == 1);
        let mut bytes = [if is_negative { 0xff } else { 0 }; 16];
        bytes[..taken.len()].copy_from_slice(taken);
        Ok(i128::from_le_bytes(bytes))
    }
}
