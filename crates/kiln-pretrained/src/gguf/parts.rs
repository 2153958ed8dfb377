//! The files of a model as one: a single GGUF file, or the parts of a split model.

use super::{
    GgufReader, Metadata, Value,
    split::{SplitError, SplitInfo, is_key_of_part},
};
use crate::files::{LoadError, ModelBytes};
use burn::tensor::TensorData;
use kiln_kernels::packed::PackedMatrix;
use kiln_models::tensors::{StoredTensor, TensorError, TensorInfo, TensorSource};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// An opened file of a model.
#[derive(Debug)]
pub(super) struct Part<B> {
    pub location: PathBuf,
    pub reader: GgufReader<B>,
    /// `None` for a whole model.
    pub split: Option<SplitInfo>,
}

/// All files of a model, with the metadata of the first.
#[derive(Debug)]
pub(super) struct GgufParts<B> {
    parts: Vec<Part<B>>,
    entries: BTreeMap<String, TensorInfo>,
    /// For each tensor, the index of its part.
    part_of_tensor: BTreeMap<String, usize>,
}

impl<B: ModelBytes> Part<B> {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// If the bytes are not a GGUF file that Kiln reads.
    pub fn open(location: &Path, bytes: B) -> Result<Self, LoadError> {
        let broken = |source| LoadError::Gguf { file: location.into(), source };
        let reader = GgufReader::open(bytes).map_err(broken)?;
        let split = SplitInfo::read(reader.metadata());
        let split = split.map_err(|error| LoadError::Config { file: location.into(), error })?;
        Ok(Self { location: location.into(), reader, split })
    }

    fn error(&self, error: SplitError) -> LoadError {
        LoadError::Split { file: self.location.clone(), error }
    }

    /// Checks that no key has another value than in the first part.
    fn check_metadata(&self, first: &Self) -> Result<(), LoadError> {
        let describe = |value: Option<&Value>| value.map_or("absent".into(), Value::describe);
        for (key, value) in &self.reader.metadata().0 {
            let expected = first.reader.metadata().0.get(key);
            // Descriptions that the first part does not have change nothing.
            let is_description = expected.is_none() && key.starts_with("general.");
            if !is_key_of_part(key) && expected != Some(value) && !is_description {
                return Err(self.error(SplitError::Contradiction {
                    other: first.location.clone(),
                    key: key.clone(),
                    found: describe(Some(value)),
                    expected: describe(expected),
                }));
            }
        }
        Ok(())
    }
}

impl<B: ModelBytes> GgufParts<B> {
    /// Combines the files of a model, in any order.
    ///
    /// # Errors
    /// If there is none, parts are missing or contradict each other, or a tensor is in two of them.
    pub fn new(mut parts: Vec<Part<B>>) -> Result<Self, LoadError> {
        parts.sort_by_key(|part| part.split.map(|split| split.index));
        check_split(&parts)?;
        let mut all = Self { parts: Vec::new(), entries: BTreeMap::new(), part_of_tensor: BTreeMap::new() };
        for part in parts {
            if let Some(first) = all.parts.first() {
                part.check_metadata(first)?;
            }
            for (name, entry) in part.reader.entries() {
                all.entries.insert(name.clone(), entry.clone());
                if let Some(other) = all.part_of_tensor.insert(name.clone(), all.parts.len()) {
                    let other = all.parts[other].location.clone();
                    return Err(part.error(SplitError::DuplicateTensor { name: name.clone(), other }));
                }
            }
            all.parts.push(part);
        }
        all.check_tensor_count()?;
        Ok(all)
    }

    /// Checks that the parts have the number of tensors that each of them announces.
    fn check_tensor_count(&self) -> Result<(), LoadError> {
        let found = self.entries.len();
        for part in &self.parts {
            if let Some(expected) = part.split.and_then(|split| split.num_tensors).filter(|count| *count != found) {
                return Err(part.error(SplitError::TensorCount { parts: self.parts.len(), found, expected }));
            }
        }
        Ok(())
    }

    /// The metadata of the model: those of the first part.
    pub fn metadata(&self) -> &Metadata {
        self.parts[0].reader.metadata()
    }

    /// The part with a tensor.
    fn part(&self, name: &str) -> Option<&GgufReader<B>> {
        self.part_of_tensor.get(name).map(|index| &self.parts[*index].reader)
    }
}

/// Checks that sorted parts are all parts of one split, or one whole model.
fn check_split<B: ModelBytes>(parts: &[Part<B>]) -> Result<(), LoadError> {
    let Some(first) = parts.first() else {
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, "no GGUF file");
        return Err(LoadError::Io { file: PathBuf::new(), source });
    };
    let count = first.split.map_or(1, |split| split.count);
    for (part, other) in parts.iter().skip(1).zip(parts) {
        let contradiction = |key: &str, found: String, expected: String| {
            let other = other.location.clone();
            Err(part.error(SplitError::Contradiction { other, key: key.into(), found, expected }))
        };
        match part.split {
            None => return contradiction("split.count", "absent".into(), parts.len().to_string()),
            Some(split) if split.count != count => {
                return contradiction("split.count", split.count.to_string(), count.to_string());
            }
            Some(split) if other.split.is_some_and(|other| other.index == split.index) => {
                return contradiction("split.no", split.index.to_string(), "another index".into());
            }
            Some(_) => {}
        }
    }
    let is_there = |index: usize| parts.iter().any(|part| part.split.is_none_or(|split| split.index == index));
    let missing: Vec<usize> = (0..count).filter(|index| !is_there(*index)).collect();
    match (first.split, &missing[..]) {
        (Some(SplitInfo { index, .. }), [_, ..]) => {
            let missing = missing.iter().map(|index| format!("part {}", index + 1)).collect();
            Err(first.error(SplitError::Missing { index, count, missing }))
        }
        _ => Ok(()),
    }
}

impl<B: ModelBytes> TensorSource for GgufParts<B> {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let part = self.part(name).ok_or_else(|| TensorError::NotFound(name.into()))?;
        let data = part.read(name)?;
        self.release(name);
        Ok(data)
    }

    fn read_stored(&self, name: &str) -> Result<StoredTensor<'_>, TensorError> {
        self.part(name).ok_or_else(|| TensorError::NotFound(name.into()))?.read_stored(name)
    }

    fn release(&self, name: &str) {
        if let Some((part, range)) = self.part(name).and_then(|part| Some((part, part.byte_range(name)?))) {
            part.bytes().release(range);
        }
    }

    fn read_packed(&self, name: &str) -> Option<PackedMatrix> {
        let packed = self.part(name)?.read_packed(name)?;
        self.release(name);
        Some(packed)
    }
}
