//! Bytes taken from the front, never past the end.

use super::PickleError;

/// Bytes and how many of them are read.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    pub position: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(all: &'a [u8]) -> Self {
        Self { bytes: all, position: 0 }
    }

    /// From a place on that lies within.
    pub fn starting_at(all: &'a [u8], at: usize) -> Self {
        Self { bytes: all, position: at }
    }

    pub fn fail<T>(&self, reason: impl Into<String>) -> Result<T, PickleError> {
        Err(PickleError::Broken { offset: self.position, reason: reason.into() })
    }

    pub fn take(&mut self, length: u64) -> Result<&'a [u8], PickleError> {
        let rest = &self.bytes[self.position..];
        match usize::try_from(length).ok().and_then(|length| rest.get(..length)) {
            Some(taken) => {
                self.position += taken.len();
                Ok(taken)
            }
            None => self.fail(format!("{length} bytes are announced, {} are left", rest.len())),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        self.take(N as u64).map(|taken| taken.try_into().expect("as many as asked for"))
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

    pub fn string(&mut self, length: u64) -> Result<&'a str, PickleError> {
        let taken = self.take(length)?;
        std::str::from_utf8(taken).or_else(|_| self.fail("a text that isn't UTF-8"))
    }

    /// Up to the end of the line, without it.
    pub fn line(&mut self) -> Result<&'a str, PickleError> {
        let Some(length) = self.bytes[self.position..].iter().position(|&byte| byte == b'\n') else {
            return self.fail("a line without an end");
        };
        let line = self.string(length as u64);
        self.position += 1;
        line
    }

    /// A whole number in two's complement, lowest byte first.
    pub fn signed_integer(&mut self, length: u8) -> Result<i128, PickleError> {
        let taken = self.take(length.into())?;
        if taken.len() > 16 {
            return self.fail("a whole number of more than 16 bytes");
        }
        let negative = taken.last().is_some_and(|byte| byte >> 7 == 1);
        let mut bytes = [if negative { 0xff } else { 0 }; 16];
        bytes[..taken.len()].copy_from_slice(taken);
        Ok(i128::from_le_bytes(bytes))
    }
}
