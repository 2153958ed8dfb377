//! Files that are not UTF-8 text, recognized by their first bytes.

/// Bytes of a file that are needed to recognize its signature.
pub(super) const SIGNATURE_BYTES: usize = 512;

/// A file format with a fixed sequence of bytes near its start.
#[derive(Debug)]
pub(super) struct Signature {
    /// Position of the bytes in the file.
    offset: usize,
    bytes: &'static [u8],
    /// Name of the format, with an article.
    pub name: &'static str,
    /// What to do with such a file.
    pub help: &'static str,
    /// Whether the file holds text in another encoding. Such a file in a folder is an error and not skipped.
    pub is_text: bool,
}

const fn binary(offset: usize, bytes: &'static [u8], name: &'static str, help: &'static str) -> Signature {
    Signature { offset, bytes, name, help, is_text: false }
}

const fn encoding(bytes: &'static [u8], name: &'static str, help: &'static str) -> Signature {
    Signature { offset: 0, bytes, name, help, is_text: true }
}

const COMPRESS: &str = "decompress it, or compress it as .gz or .zst instead";
const EXTRACT: &str = "extract the files, and give their folder";
const TO_PARQUET: &str = "save the table as Parquet, CSV or JSON lines";
const SAVE_TEXT: &str = "save the document as text";
const ICONV_16: &str = "convert the file to UTF-8, for example with `iconv -f UTF-16 -t UTF-8`";
const ICONV_32: &str = "convert the file to UTF-8, for example with `iconv -f UTF-32 -t UTF-8`";

/// UTF-32 precedes UTF-16, whose mark is a prefix of its own.
const SIGNATURES: [Signature; 19] = [
    encoding(b"\xFF\xFE\0\0", "UTF-32 text", ICONV_32),
    encoding(b"\0\0\xFE\xFF", "UTF-32 text", ICONV_32),
    encoding(b"\xFF\xFE", "UTF-16 text", ICONV_16),
    encoding(b"\xFE\xFF", "UTF-16 text", ICONV_16),
    // The digit between `BZh` and this number is the block size.
    binary(4, b"1AY&SY", "a bzip2 archive", COMPRESS),
    binary(0, b"\xFD7zXZ\0", "an xz archive", COMPRESS),
    binary(0, b"\x04\x22\x4D\x18", "an lz4 archive", COMPRESS),
    binary(0, b"PK\x03\x04", "a zip archive or an office document", EXTRACT),
    binary(0, b"7z\xBC\xAF\x27\x1C", "a 7z archive", EXTRACT),
    binary(0, b"Rar!\x1A\x07", "a rar archive", EXTRACT),
    binary(257, b"ustar", "a tar archive", EXTRACT),
    binary(0, b"ARROW1", "an Arrow file", TO_PARQUET),
    binary(0, b"\xFF\xFF\xFF\xFF", "an Arrow stream", TO_PARQUET),
    binary(0, b"Obj\x01", "an Avro file", TO_PARQUET),
    binary(0, b"ORC", "an ORC file", TO_PARQUET),
    binary(0, b"\x89HDF\r\n\x1A\n", "an HDF5 file", TO_PARQUET),
    binary(0, b"SQLite format 3\0", "an SQLite database", TO_PARQUET),
    binary(0, b"%PDF-", "a PDF document", SAVE_TEXT),
    binary(0, b"{\\rtf", "an RTF document", SAVE_TEXT),
];

/// The format that the first bytes of a file belong to. `None` for text and for unknown formats.
pub(super) fn find_signature(start: &[u8]) -> Option<&'static Signature> {
    SIGNATURES.iter().find(|signature| {
        let is_orc_text = signature.bytes == b"ORC" && start.get(3).is_none_or(|byte| *byte >= 0x20);
        start.get(signature.offset..).is_some_and(|bytes| bytes.starts_with(signature.bytes)) && !is_orc_text
    })
}

/// Whether the start of a file that is not valid UTF-8 is likely text in another encoding, such as Latin-1: it has no
/// control characters except white space, form feed, backspace and escape.
pub(super) fn is_likely_text(start: &[u8]) -> bool {
    start.iter().all(|byte| *byte >= 0x20 || matches!(byte, b'\t' | b'\n' | b'\r' | 0x0C | 0x08 | 0x1B))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_recognized_by_their_first_bytes() {
        let name = |start: &[u8]| find_signature(start).map(|signature| signature.name);
        assert_eq!(name(b"BZh91AY&SY..."), Some("a bzip2 archive"));
        assert_eq!(name(b"\xFF\xFEa\0"), Some("UTF-16 text"));
        assert_eq!(name(b"\xFF\xFE\0\0a\0\0\0"), Some("UTF-32 text"));
        let mut tar = [b'x'; 300];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(name(&tar), Some("a tar archive"));
        assert_eq!(name(b"ORC\x08\x03"), Some("an ORC file"));
        for text in [&b"ORCHIDS are flowers"[..], b"BZh is not an archive", b"", b"{\"text\": 1}"] {
            assert_eq!(name(text), None);
        }
    }

    #[test]
    fn control_characters_distinguish_binary_files_from_other_encodings() {
        assert!(is_likely_text(b"caf\xE9 noir\r\n"));
        assert!(!is_likely_text(b"\x89PNG\r\n\x1A\n\0"));
    }
}
