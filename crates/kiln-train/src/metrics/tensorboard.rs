//! Event files of TensorBoard: records of `Event` messages in the framing of TFRecord.
//!
//! ```text
//! u64 length   u32 masked CRC-32C of the length   data   u32 masked CRC-32C of the data      (little-endian)
//! ```
//!
//! The first record holds the version of the format. Each row of metrics is one event: a scalar for each number
//! ([`super::scalars`]), and the generated texts as a tensor of strings with the tag `samples`. The time of an event is the
//! time of the first record plus the training time until the row: the pauses between an interruption and a resume are left
//! out. Sources: `tensorflow/core/util/event.proto`, `tensorflow/core/framework/summary.proto`, `tensorflow/core/lib/io/record_writer.h`.

use super::{
    MetricsRow, Samples,
    log_format::MetricsEncoder,
    protobuf::Message,
    scalars::{ScalarReader, Scalars},
};

/// Version of the format, in the first record.
const FILE_VERSION: &str = "brain.Event:2";

/// Fields of `Event`.
mod event {
    pub const WALL_TIME: u32 = 1;
    pub const STEP: u32 = 2;
    pub const FILE_VERSION: u32 = 3;
    pub const SUMMARY: u32 = 5;
}

/// Fields of `Summary`, `Summary.Value`, `SummaryMetadata` and `SummaryMetadata.PluginData`.
mod summary {
    pub const VALUE: u32 = 1;
    pub const TAG: u32 = 1;
    pub const SIMPLE_VALUE: u32 = 2;
    pub const TENSOR: u32 = 8;
    pub const METADATA: u32 = 9;
    pub const PLUGIN_DATA: u32 = 1;
    pub const PLUGIN_NAME: u32 = 1;
}

/// Fields of `TensorProto`, `TensorShapeProto` and `TensorShapeProto.Dim`, and the data type of a string.
mod tensor {
    pub const DTYPE: u32 = 1;
    pub const DT_STRING: u64 = 7;
    pub const SHAPE: u32 = 2;
    pub const STRING: u32 = 8;
    pub const DIM: u32 = 2;
    pub const SIZE: u32 = 1;
}

/// Encoder of the event file.
#[derive(Clone, Debug)]
pub struct EventEncoder {
    /// Unix time of the first record, in seconds.
    start_time: f64,
    reader: ScalarReader,
}

impl EventEncoder {
    /// An encoder with the start time of the file `existing`, or `now` if that has no valid first record.
    pub fn continuing(existing: &[u8], now: f64) -> Self {
        Self { start_time: read_start_time(existing).unwrap_or(now), reader: ScalarReader::default() }
    }
}

impl MetricsEncoder for EventEncoder {
    fn encode_file(&mut self, rows: &[MetricsRow]) -> Vec<u8> {
        self.reader = ScalarReader::default();
        let version = Message::default().double(event::WALL_TIME, self.start_time);
        let mut file = record(version.bytes(event::FILE_VERSION, FILE_VERSION.as_bytes()));
        rows.iter().for_each(|row| file.extend(self.encode_row(row).unwrap_or_default()));
        file
    }

    fn encode_row(&mut self, row: &MetricsRow) -> Option<Vec<u8>> {
        let Some(scalars) = self.reader.read(row) else { return Some(Vec::new()) };
        let texts = if let MetricsRow::Samples(samples) = row { text_value(samples) } else { None };
        let values: Vec<Message> = scalar_values(&scalars).chain(texts).collect();
        if values.is_empty() {
            return Some(Vec::new());
        }
        let values =
            values.into_iter().fold(Message::default(), |summary, value| summary.message(summary::VALUE, value));
        let event = Message::default()
            .double(event::WALL_TIME, self.start_time + scalars.seconds)
            .varint(event::STEP, scalars.step)
            .message(event::SUMMARY, values);
        Some(record(event))
    }
}

/// A `Summary.Value` for each number. Its type is `float`: values have 24 significant bits.
fn scalar_values(scalars: &Scalars) -> impl Iterator<Item = Message> + '_ {
    let values = scalars.values.iter();
    values.map(|(name, value)| {
        Message::default().bytes(summary::TAG, name.as_bytes()).float(summary::SIMPLE_VALUE, *value as f32)
    })
}

/// The generated texts, each with its prompt, as a `Summary.Value` for the text plugin.
fn text_value(samples: &Samples) -> Option<Message> {
    if samples.samples.is_empty() {
        return None;
    }
    let dim = Message::default().varint(tensor::SIZE, samples.samples.len() as u64);
    let tensor = Message::default()
        .varint(tensor::DTYPE, tensor::DT_STRING)
        .message(tensor::SHAPE, Message::default().message(tensor::DIM, dim));
    let tensor = samples.samples.iter().fold(tensor, |tensor, sample| {
        tensor.bytes(tensor::STRING, format!("{}{}", sample.prompt, sample.text).as_bytes())
    });
    let plugin = Message::default().bytes(summary::PLUGIN_NAME, b"text");
    let metadata = Message::default().message(summary::PLUGIN_DATA, plugin);
    let value = Message::default().bytes(summary::TAG, b"samples").message(summary::TENSOR, tensor);
    Some(value.message(summary::METADATA, metadata))
}

/// A message in the framing of TFRecord.
fn record(message: Message) -> Vec<u8> {
    let data = message.into_bytes();
    let length = (data.len() as u64).to_le_bytes();
    let checksums = [&length[..], &data].map(|bytes| masked_crc(bytes).to_le_bytes());
    [&length[..], &checksums[0], &data, &checksums[1]].concat()
}

/// CRC-32C, rotated by 15 bits and shifted by a constant: the checksum of data that themselves hold checksums.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The time of the first record of a file. `None` if the record is incomplete or its checksums do not match.
fn read_start_time(file: &[u8]) -> Option<f64> {
    let length = u64::from_le_bytes(file.get(..8)?.try_into().ok()?);
    let end = usize::try_from(length).ok()?.checked_add(12)?;
    let data = file.get(12..end)?;
    let is_intact = file[8..12] == masked_crc(&file[..8]).to_le_bytes()
        && *file.get(end..end.checked_add(4)?)? == masked_crc(data).to_le_bytes();
    let (key, rest) = data.split_first().filter(|_| is_intact)?;
    let time = f64::from_le_bytes(rest.get(..8)?.try_into().ok()?);
    (u32::from(*key) == event::WALL_TIME << 3 | 1 && time.is_finite()).then_some(time)
}

#[cfg(test)]
mod tests;
