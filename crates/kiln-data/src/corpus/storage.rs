//! Where a corpus keeps its tokens: in memory, and beyond a budget in a scratch file.

use crate::DataError;
use std::ops::Range;

/// Tokens are kept in chunks of this many bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// How much memory the tokens may take, and where the rest goes.
#[derive(Clone, Debug, Default)]
pub struct DiskSpace {
    #[cfg(feature = "files")]
    spill: Option<(usize, std::path::PathBuf)>,
}

impl DiskSpace {
    /// Everything in memory.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// At most `bytes` in memory for each side of the corpus, the rest in a scratch file in `folder`. The file has
    /// no name there or loses it at the end.
    #[cfg(feature = "files")]
    pub fn with_spill(bytes: usize, folder: impl Into<std::path::PathBuf>) -> Self {
        Self { spill: Some((bytes, folder.into())) }
    }

    #[cfg(feature = "files")]
    fn memory_budget(&self) -> usize {
        self.spill.as_ref().map_or(usize::MAX, |(bytes, _)| *bytes)
    }
}

/// A growing list of tokens.
#[derive(Debug)]
pub(crate) struct TokenStore {
    /// Bytes a token: 2 where the vocabulary allows, else 4.
    bytes_per_token: usize,
    len: u64,
    chunks: Vec<Vec<u8>>,
    /// What is not yet a whole chunk.
    partial_chunk: Vec<u8>,
    #[cfg(feature = "files")]
    space: DiskSpace,
    #[cfg(feature = "files")]
    scratch_file: Option<super::scratch_file::ScratchFile>,
}

impl TokenStore {
    pub fn new(#[cfg_attr(not(feature = "files"), expect(unused_variables))] room: &DiskSpace, vocab: usize) -> Self {
        let width = if vocab <= 1 << 16 { 2 } else { 4 };
        Self {
            bytes_per_token: width,
            len: 0,
            chunks: Vec::new(),
            partial_chunk: Vec::new(),
            #[cfg(feature = "files")]
            space: room.clone(),
            #[cfg(feature = "files")]
            scratch_file: None,
        }
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn push(&mut self, ids: &[u32]) -> Result<(), DataError> {
        self.len += ids.len() as u64;
        for id in ids {
            self.partial_chunk.extend_from_slice(&id.to_le_bytes()[..self.bytes_per_token]);
            if self.partial_chunk.len() == CHUNK_BYTES {
                self.store_chunk()?;
            }
        }
        Ok(())
    }

    /// Puts the open chunk where it belongs.
    fn store_chunk(&mut self) -> Result<(), DataError> {
        #[cfg(feature = "files")]
        if (self.chunks.len() + 1) * CHUNK_BYTES > self.space.memory_budget() {
            return self.spill_chunk();
        }
        let chunk = std::mem::replace(&mut self.partial_chunk, Vec::with_capacity(CHUNK_BYTES));
        self.chunks.push(chunk);
        Ok(())
    }

    #[cfg(feature = "files")]
    fn spill_chunk(&mut self) -> Result<(), DataError> {
        if let (None, Some((_, folder))) = (&self.scratch_file, &self.space.spill) {
            self.scratch_file = Some(super::scratch_file::ScratchFile::create(folder)?);
        }
        if let Some(file) = &mut self.scratch_file {
            file.append(&self.partial_chunk)?;
        }
        self.partial_chunk.clear();
        Ok(())
    }

    pub fn read(&self, range: Range<u64>) -> Result<Vec<u32>, DataError> {
        let width = self.bytes_per_token as u64;
        let mut bytes = vec![0; ((range.end - range.start) * width) as usize];
        let (mut at, mut filled) = (range.start * width, 0);
        while filled < bytes.len() {
            let (chunk, offset) = ((at / CHUNK_BYTES as u64) as usize, (at % CHUNK_BYTES as u64) as usize);
            let more = (CHUNK_BYTES - offset).min(bytes.len() - filled);
            self.copy_from_chunk(chunk, offset, &mut bytes[filled..filled + more])?;
            (at, filled) = (at + more as u64, filled + more);
        }
        let token = |bytes: &[u8]| bytes.iter().rev().fold(0, |id, byte| (id << 8) | u32::from(*byte));
        Ok(bytes.chunks_exact(self.bytes_per_token).map(token).collect())
    }

    /// Fills `bytes` from one chunk.
    fn copy_from_chunk(&self, chunk: usize, offset: usize, bytes: &mut [u8]) -> Result<(), DataError> {
        let end = offset + bytes.len();
        if let Some(kept) = self.chunks.get(chunk) {
            bytes.copy_from_slice(&kept[offset..end]);
            return Ok(());
        }
        #[cfg(feature = "files")]
        if let Some(file) = &self.scratch_file {
            let place = ((chunk - self.chunks.len()) * CHUNK_BYTES + offset) as u64;
            if place < file.len() {
                return file.read(place, bytes);
            }
        }
        bytes.copy_from_slice(&self.partial_chunk[offset..end]);
        Ok(())
    }
}
