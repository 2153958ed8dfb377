//! Where a corpus keeps its tokens: in memory, and beyond a budget in a scratch file.

use crate::DataError;
use std::ops::Range;

/// Tokens are kept in chunks of this many bytes.
const CHUNK: usize = 1 << 20;

/// How much memory the tokens may take, and where the rest goes.
#[derive(Clone, Debug, Default)]
pub struct Room {
    #[cfg(feature = "files")]
    scratch: Option<(usize, std::path::PathBuf)>,
}

impl Room {
    /// Everything in memory.
    pub fn memory() -> Self {
        Self::default()
    }

    /// At most `bytes` in memory for each side of the corpus, the rest in a scratch file in `folder`. The file has
    /// no name there or loses it at the end.
    #[cfg(feature = "files")]
    pub fn spilling(bytes: usize, folder: impl Into<std::path::PathBuf>) -> Self {
        Self { scratch: Some((bytes, folder.into())) }
    }

    #[cfg(feature = "files")]
    fn budget(&self) -> usize {
        self.scratch.as_ref().map_or(usize::MAX, |(bytes, _)| *bytes)
    }
}

/// A growing list of tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// Bytes a token: 2 where the vocabulary allows, else 4.
    width: usize,
    len: u64,
    memory: Vec<Vec<u8>>,
    /// What is not yet a whole chunk.
    open: Vec<u8>,
    #[cfg(feature = "files")]
    room: Room,
    #[cfg(feature = "files")]
    file: Option<super::scratch::Scratch>,
}

impl Tokens {
    pub fn new(#[cfg_attr(not(feature = "files"), expect(unused_variables))] room: &Room, vocab: usize) -> Self {
        let width = if vocab <= 1 << 16 { 2 } else { 4 };
        Self {
            width,
            len: 0,
            memory: Vec::new(),
            open: Vec::new(),
            #[cfg(feature = "files")]
            room: room.clone(),
            #[cfg(feature = "files")]
            file: None,
        }
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn push(&mut self, ids: &[u32]) -> Result<(), DataError> {
        self.len += ids.len() as u64;
        for id in ids {
            self.open.extend_from_slice(&id.to_le_bytes()[..self.width]);
            if self.open.len() == CHUNK {
                self.close()?;
            }
        }
        Ok(())
    }

    /// Puts the open chunk where it belongs.
    fn close(&mut self) -> Result<(), DataError> {
        #[cfg(feature = "files")]
        if (self.memory.len() + 1) * CHUNK > self.room.budget() {
            return self.spill();
        }
        let chunk = std::mem::replace(&mut self.open, Vec::with_capacity(CHUNK));
        self.memory.push(chunk);
        Ok(())
    }

    #[cfg(feature = "files")]
    fn spill(&mut self) -> Result<(), DataError> {
        if let (None, Some((_, folder))) = (&self.file, &self.room.scratch) {
            self.file = Some(super::scratch::Scratch::create(folder)?);
        }
        if let Some(file) = &mut self.file {
            file.append(&self.open)?;
        }
        self.open.clear();
        Ok(())
    }

    pub fn read(&self, range: Range<u64>) -> Result<Vec<u32>, DataError> {
        let width = self.width as u64;
        let mut bytes = vec![0; ((range.end - range.start) * width) as usize];
        let (mut at, mut filled) = (range.start * width, 0);
        while filled < bytes.len() {
            let (chunk, offset) = ((at / CHUNK as u64) as usize, (at % CHUNK as u64) as usize);
            let more = (CHUNK - offset).min(bytes.len() - filled);
            self.copy(chunk, offset, &mut bytes[filled..filled + more])?;
            (at, filled) = (at + more as u64, filled + more);
        }
        let token = |bytes: &[u8]| bytes.iter().rev().fold(0, |id, byte| (id << 8) | u32::from(*byte));
        Ok(bytes.chunks_exact(self.width).map(token).collect())
    }

    /// Fills `bytes` from one chunk.
    fn copy(&self, chunk: usize, offset: usize, bytes: &mut [u8]) -> Result<(), DataError> {
        let end = offset + bytes.len();
        if let Some(kept) = self.memory.get(chunk) {
            bytes.copy_from_slice(&kept[offset..end]);
            return Ok(());
        }
        #[cfg(feature = "files")]
        if let Some(file) = &self.file {
            let place = ((chunk - self.memory.len()) * CHUNK + offset) as u64;
            if place < file.len() {
                return file.read(place, bytes);
            }
        }
        bytes.copy_from_slice(&self.open[offset..end]);
        Ok(())
    }
}
