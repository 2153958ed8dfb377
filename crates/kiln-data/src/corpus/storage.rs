//! Token storage: chunks in memory and, beyond a memory budget, in a scratch file.
//!
//! The tokens form one byte string of 2 or 4 bytes per token, little-endian, cut into chunks of 1 MiB. The first chunks
//! stay in memory, later ones go to the scratch file, and the last, incomplete one is in memory again.

use crate::DataError;
use std::ops::Range;

/// Size of a chunk in bytes; a multiple of 2 and 4, so that no token crosses chunks.
const CHUNK_BYTES: usize = 1 << 20;

/// Memory budget for tokens, and the folder of the scratch file for the tokens beyond it.
///
/// The default keeps everything in memory.
#[derive(Clone, Debug, Default)]
pub struct DiskSpace {
    /// Memory budget in bytes and folder of the scratch file; `None`: unlimited memory.
    #[cfg(feature = "files")]
    spill: Option<(usize, std::path::PathBuf)>,
}

impl DiskSpace {
    /// Keeps all tokens in memory.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// Keeps at most `bytes` bytes of tokens in memory for each subset and writes the rest to a scratch file in `folder`.
    ///
    /// The file is anonymous where the operating system supports it, and removed when the corpus is dropped.
    #[cfg(feature = "files")]
    pub fn with_spill(bytes: usize, folder: impl Into<std::path::PathBuf>) -> Self {
        Self { spill: Some((bytes, folder.into())) }
    }

    /// Memory budget in bytes.
    #[cfg(feature = "files")]
    fn memory_budget(&self) -> usize {
        self.spill.as_ref().map_or(usize::MAX, |(bytes, _)| *bytes)
    }
}

/// Append-only list of token ids with random-access reads.
#[derive(Debug)]
pub(crate) struct TokenStore {
    /// Bytes per token: 2 for vocabularies of up to 65 536 tokens, otherwise 4.
    bytes_per_token: usize,
    /// Number of tokens.
    len: u64,
    /// Full chunks in memory: the first ones.
    chunks: Vec<Vec<u8>>,
    /// The last chunk, which is not full yet.
    partial_chunk: Vec<u8>,
    #[cfg(feature = "files")]
    space: DiskSpace,
    #[cfg(feature = "files")]
    scratch_file: Option<super::scratch_file::ScratchFile>,
}

impl TokenStore {
    /// Creates an empty store for token ids below `vocab_size`.
    pub fn new(
        #[cfg_attr(not(feature = "files"), expect(unused_variables))] disk_space: &DiskSpace,
        vocab_size: usize,
    ) -> Self {
        Self {
            bytes_per_token: if vocab_size <= 1 << 16 { 2 } else { 4 },
            len: 0,
            chunks: Vec::new(),
            partial_chunk: Vec::new(),
            #[cfg(feature = "files")]
            space: disk_space.clone(),
            #[cfg(feature = "files")]
            scratch_file: None,
        }
    }

    /// Returns the number of tokens.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Appends tokens.
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

    /// Moves the full chunk into memory, or to the scratch file if the budget is used up.
    fn store_chunk(&mut self) -> Result<(), DataError> {
        #[cfg(feature = "files")]
        if (self.chunks.len() + 1) * CHUNK_BYTES > self.space.memory_budget() {
            return self.spill_chunk();
        }
        let chunk = std::mem::replace(&mut self.partial_chunk, Vec::with_capacity(CHUNK_BYTES));
        self.chunks.push(chunk);
        Ok(())
    }

    /// Appends the full chunk to the scratch file, which is created for the first one.
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

    /// Returns the tokens `range`, which must be within the store.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<u32>, DataError> {
        let bytes_per_token = self.bytes_per_token as u64;
        let start = range.start * bytes_per_token;
        let mut bytes = vec![0; ((range.end - range.start) * bytes_per_token) as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            let position = start + filled as u64;
            let chunk = (position / CHUNK_BYTES as u64) as usize;
            let offset = (position % CHUNK_BYTES as u64) as usize;
            let count = (CHUNK_BYTES - offset).min(bytes.len() - filled);
            self.copy_from_chunk(chunk, offset, &mut bytes[filled..filled + count])?;
            filled += count;
        }
        Ok(bytes.chunks_exact(self.bytes_per_token).map(little_endian_id).collect())
    }

    /// Fills `bytes` from byte `offset` of one chunk, wherever the chunk is stored.
    fn copy_from_chunk(&self, chunk: usize, offset: usize, bytes: &mut [u8]) -> Result<(), DataError> {
        let end = offset + bytes.len();
        if let Some(in_memory) = self.chunks.get(chunk) {
            bytes.copy_from_slice(&in_memory[offset..end]);
            return Ok(());
        }
        #[cfg(feature = "files")]
        if let Some(file) = &self.scratch_file {
            let file_offset = ((chunk - self.chunks.len()) * CHUNK_BYTES + offset) as u64;
            if file_offset < file.len() {
                return file.read(file_offset, bytes);
            }
        }
        bytes.copy_from_slice(&self.partial_chunk[offset..end]);
        Ok(())
    }
}

/// Token id from 2 or 4 little-endian bytes.
fn little_endian_id(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |id, byte| (id << 8) | u32::from(*byte))
}
