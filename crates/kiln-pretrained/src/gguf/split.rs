//! What the parts of a split model say of each other: their metadata and their file names.
//!
//! | key | meaning |
//! |---|---|
//! | `split.no` | index of the part, from 0 |
//! | `split.count` | number of parts |
//! | `split.tensors.count` | number of tensors in all parts |
//!
//! `llama-gguf-split` and the `gguf` Python package write such parts as `NAME-00001-of-00003.gguf` and so on.

use super::Metadata;
use kiln_spec::ValidationError;
use std::path::PathBuf;

const INDEX_KEY: &str = "split.no";
const COUNT_KEY: &str = "split.count";
const TENSORS_KEY: &str = "split.tensors.count";

/// The metadata of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SplitInfo {
    /// Index of the part, from 0.
    pub index: usize,
    /// Number of parts, at least 2.
    pub count: usize,
    /// Number of tensors in all parts, if the file says it.
    pub num_tensors: Option<usize>,
}

impl SplitInfo {
    /// Reads the keys of a file; `None` if it is a whole model.
    ///
    /// # Errors
    /// If a key has another type, or the index is missing or not below the number of parts.
    pub fn read(metadata: &Metadata) -> Result<Option<Self>, ValidationError> {
        let Some(count) = metadata.integer(COUNT_KEY)?.filter(|count| *count > 1) else { return Ok(None) };
        let num_tensors = metadata.integer(TENSORS_KEY)?;
        match metadata.integer(INDEX_KEY)? {
            Some(index) if index < count => Ok(Some(Self { index, count, num_tensors })),
            found => {
                let found = found.map_or("nothing".into(), |index| index.to_string());
                let reason = format!("expected an index below {COUNT_KEY} = {count}, found {found}");
                Err(ValidationError::new(INDEX_KEY, reason))
            }
        }
    }
}

/// Whether two parts of one model may have different values of a key.
pub(super) fn is_key_of_part(key: &str) -> bool {
    key.starts_with("split.") || key == super::write::ALIGNMENT_KEY
}

/// Returns the file names of all parts of a split model, by the name of one (`NAME-00002-of-00003.gguf`). `None` for a name
/// of another form.
pub fn split_part_names(name: &str) -> Option<Vec<String>> {
    let (stem, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (prefix, index) = stem.rsplit_once('-')?;
    let number = |digits: &str| {
        let is_padded = digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<usize>().ok().filter(|_| is_padded)
    };
    let (index, count) = (number(index)?, number(count)?);
    let part_name = |part: usize| format!("{prefix}{}", part_suffix(part, count));
    (1..=count).contains(&index).then(|| (0..count).map(part_name).collect())
}

/// The end of the file name of a part, whose index counts from 0.
fn part_suffix(index: usize, count: usize) -> String {
    format!("-{:05}-of-{count:05}.gguf", index + 1)
}

/// Why the parts of a split model cannot be opened as one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// The name of the file does not say the names of the other parts.
    #[error(
        "part {} of {count} of a split model, whose other parts cannot be found: expected a file name that ends in \
         `{}`", index + 1, part_suffix(*index, *count)
    )]
    UnknownName {
        /// Index of the part, from 0.
        index: usize,
        /// Number of parts.
        count: usize,
    },
    /// Parts are not there.
    #[error("part {} of {count} of a split model; missing: {}", index + 1, name_some(missing))]
    Missing {
        /// Index of the part that was opened, from 0.
        index: usize,
        /// Number of parts.
        count: usize,
        /// Names of the missing parts.
        missing: Vec<String>,
    },
    /// Two parts contradict each other.
    #[error("not a part of the model of {}: `{key}` is {found}, expected {expected}", other.display())]
    Contradiction {
        /// Another part.
        other: PathBuf,
        /// The key.
        key: String,
        /// Its value in this part.
        found: String,
        /// Its value in the other part.
        expected: String,
    },
    /// A tensor is in two parts.
    #[error("duplicate tensor `{name}`: {} has it too", other.display())]
    DuplicateTensor {
        /// Name of the tensor.
        name: String,
        /// The other part.
        other: PathBuf,
    },
    /// The parts do not have the tensors that they announce.
    #[error("the {parts} parts of this model have {found} tensors, but {TENSORS_KEY} is {expected}")]
    TensorCount {
        /// Number of parts.
        parts: usize,
        /// Number of tensors in all parts.
        found: usize,
        /// The number that the metadata give.
        expected: usize,
    },
}

/// The first names of a list, and the number of the others.
fn name_some(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::split_part_names;

    #[test]
    fn the_name_of_one_part_gives_those_of_all() {
        let names = split_part_names("a-b-00002-of-00003.gguf").unwrap();
        assert_eq!(names, ["a-b-00001-of-00003.gguf", "a-b-00002-of-00003.gguf", "a-b-00003-of-00003.gguf"]);
        assert_eq!(split_part_names("Q4/x-00001-of-00001.gguf").unwrap(), ["Q4/x-00001-of-00001.gguf"]);
        for other in
            ["x.gguf", "x-1-of-2.gguf", "x-00003-of-00002.gguf", "x-00000-of-00002.gguf", "x-+0001-of-00002.gguf"]
        {
            assert_eq!(split_part_names(other), None, "{other}");
        }
    }
}
