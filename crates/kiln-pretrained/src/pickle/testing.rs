//! Files made by hand, right and wrong ones.

/// A zip of stored entries.
pub(super) fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let start = file.len() as u32;
        let sizes = [data.len() as u32, data.len() as u32].map(u32::to_le_bytes).concat();
        let lengths = [name.len() as u16, 0].map(u16::to_le_bytes).concat();
        // Version, flags, method, time, date and checksum, which nobody looks at.
        file.extend([b"PK\x03\x04", &[0; 14][..], &sizes, &lengths, name.as_bytes(), data].concat());
        let places = [&[0; 10][..], &start.to_le_bytes()].concat();
        directory.extend([b"PK\x01\x02", &[0; 16][..], &sizes, &lengths, &places, name.as_bytes()].concat());
    }
    let counts = [entries.len() as u16; 2].map(u16::to_le_bytes).concat();
    let place = [directory.len() as u32, file.len() as u32].map(u32::to_le_bytes).concat();
    [&file[..], &directory, b"PK\x05\x06", &[0; 4], &counts, &place, &[0; 2]].concat()
}

/// A file with this pickle and six bytes of storage `0`.
pub(super) fn file(pickle: &[u8]) -> Vec<u8> {
    zip(&[("a/data.pkl", pickle), ("a/data/0", &[1, 2, 3, 4, 5, 6])])
}

/// A whole number.
fn whole(number: i64) -> Vec<u8> {
    [&[0x8a, 8][..], &number.to_le_bytes()].concat()
}

fn tuple(numbers: &[i64]) -> Vec<u8> {
    let items: Vec<u8> = numbers.iter().flat_map(|&number| whole(number)).collect();
    [b"(", &items[..], b"t"].concat()
}

/// A text of less than 256 bytes.
pub(super) fn text(text: &str) -> Vec<u8> {
    [&[0x8c, text.len() as u8], text.as_bytes()].concat()
}

/// Operations that push a tensor of bytes over storage `key`, said to hold `numel`.
pub(super) fn tensor(key: &str, numel: i64, offset: i64, shape: &[i64], stride: &[i64]) -> Vec<u8> {
    let storage =
        [b"(", &text("storage")[..], b"ctorch\nByteStorage\n", &text(key), &text("cpu"), &whole(numel)].concat();
    let view = [whole(offset), tuple(shape), tuple(stride)].concat();
    [b"ctorch._utils\n_rebuild_tensor_v2\n(", &storage[..], b"tQ", &view, b"\x89)tR"].concat()
}

/// A pickle of a dictionary of one entry.
pub(super) fn dictionary(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02}", &text("w")[..], value, b"s."].concat()
}
