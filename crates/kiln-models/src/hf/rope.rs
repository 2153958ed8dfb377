//! Rotary position embedding (RoPE) in `config.json`: `rope_parameters`, or `rope_theta` and `rope_scaling` in older files.
//!
//! | `rope_type` | scaling | keys of the table |
//! |---|---|---|
//! | `default` | none | `rope_theta`, `partial_rotary_factor` |
//! | `linear` | position interpolation (2306.15595) | `factor` |
//! | `llama3` | Llama 3.1 | `factor`, `low_freq_factor`, `high_freq_factor`, `original_max_position_embeddings` |
//! | `dynamic` | dynamic NTK (2309.00071, appendix B.1) | `factor`; the original context is `max_position_embeddings` |
//! | `longrope` | LongRoPE (2402.13753) | `short_factor`, `long_factor`, `factor`, `attention_factor`, `original_max_position_embeddings` |
//! | `yarn` | YaRN (2309.00071) | `factor`, `beta_fast`, `beta_slow`, `truncate`, `attention_factor`, `mscale`, `mscale_all_dim`, `original_max_position_embeddings` |
//!
//! Older files call `rope_type` `type`, and may have `rope_theta`, `partial_rotary_factor` and
//! `original_max_position_embeddings` outside of the table. Other keys of the table have no effect: a warning names them. The
//! reference is `modeling_rope_utils.py` of transformers, and the rotary class of each family: some rotate a part of a head,
//! and only the others have all scalings. Phi-3's rotates a part and has LongRoPE, which older files call `su` or `yarn`.

mod scaling;

use super::{
    config_reader::ConfigReader,
    family::inexpressible,
    gguf::{GgufFields, GgufMetadata, read_rotary, write_rotary},
    keys::Convert,
    template::Holes,
};
use kiln_nn::position::{PositionConfig, RotaryEmbeddingConfig};
use kiln_spec::ValidationError;
use scaling::{check_factor_lists, read_scaling, write_lengths, write_scaling};
use serde_json::{Map, Value, json};

/// What the rotary class of a family implements.
#[derive(Clone, Copy)]
pub(super) enum RotaryClass {
    /// Scalings, over whole heads.
    Scaled,
    /// A part of a head, without the scalings that Kiln implements.
    Partial,
    /// A part of a head, with LongRoPE: Phi-3's class.
    LongRope,
}

/// Lengths outside of the table.
#[derive(Clone, Copy)]
struct Lengths {
    /// `max_position_embeddings`: the longest sequence.
    max: usize,
    /// `original_max_position_embeddings`: the longest sequence before the context was extended.
    original: Option<usize>,
}

/// The rotary positions of a `config.json`.
fn read(fields: &ConfigReader, rotary: &Rotary, head_dim: usize) -> Result<PositionConfig, ValidationError> {
    let class = rotary.class;
    let [outer_theta, outer_factor] = [rotary.theta_key, rotary.factor_key].map(|key| fields.float(key));
    let lengths = Lengths {
        max: fields.integer("max_position_embeddings")?.unwrap_or(rotary.max_length),
        original: fields.integer(ORIGINAL_KEY)?.or(rotary.original_length),
    };
    let empty = json!({});
    let (name, table) = find_table(fields).unwrap_or(("rope_parameters", &empty));
    warn_of_second_table(fields, name, table);
    let in_table = |error: ValidationError| error.with_path_prefix(name);
    let table = fields.for_table(table).map_err(in_table)?;
    let theta = table.float("rope_theta").map_err(in_table)?.or(outer_theta?).unwrap_or(rotary.theta);
    let (rope_type, scaling) = read_scaling(&table, class, lengths).map_err(in_table)?;
    let partial_factor = match table.float(PARTIAL_KEY).map_err(in_table)? {
        Some(factor) => check_partial_factor(&table, class, rope_type, head_dim, factor).map_err(in_table)?,
        None => {
            check_partial_factor(fields, class, rope_type, head_dim, outer_factor?.unwrap_or(rotary.partial_factor))?
        }
    };
    check_factor_lists(&scaling, (head_dim as f64 * partial_factor) as usize / 2).map_err(in_table)?;
    table.finish().map_err(in_table)?;
    fields.take_warnings(name, &table);
    let interleaved = rotary.interleaved;
    Ok(PositionConfig::Rotary(RotaryEmbeddingConfig { theta, scaling, partial_factor, interleaved }))
}

/// Key of the longest sequence before the context was extended.
const ORIGINAL_KEY: &str = "original_max_position_embeddings";

/// Key of the fraction of a head's dimensions that are rotated.
const PARTIAL_KEY: &str = "partial_rotary_factor";

/// Name and value of the table. Of two tables, the reference takes the one with the older name. An empty table counts as
/// absent.
pub(super) fn find_table<'a>(fields: &ConfigReader<'a>) -> Option<(&'static str, &'a Value)> {
    let tables = ["rope_scaling", "rope_parameters"].map(|key| Some((key, fields.get(key)?)));
    let is_empty = |table: &Value| table.as_object().is_some_and(Map::is_empty);
    tables.into_iter().flatten().find(|(_, table)| !is_empty(table))
}

/// Warns of a table that differs from the one that is read.
fn warn_of_second_table(fields: &ConfigReader, name: &str, table: &Value) {
    let second = fields.get("rope_parameters").filter(|second| name != "rope_parameters" && *second != table);
    if second.is_some_and(|second| second.as_object().is_none_or(|second| !second.is_empty())) {
        fields.warn("rope_parameters", format!("ignored, because `{name}` has precedence"));
    }
}

/// The fraction of a head that is rotated. A class that rotates whole heads ignores the key, unless the positions are
/// scaled: then the reference fails.
fn check_partial_factor(
    fields: &ConfigReader,
    class: RotaryClass,
    rope_type: &str,
    head_dim: usize,
    factor: f64,
) -> Result<f64, ValidationError> {
    let family = fields.family();
    match class {
        _ if factor == 1.0 => Ok(1.0),
        RotaryClass::Scaled if rope_type == "default" => {
            let reason = format!("{factor} is ignored, because `{family}` always rotates all dimensions of a head");
            fields.warn(PARTIAL_KEY, reason);
            Ok(1.0)
        }
        RotaryClass::Scaled => {
            let reason = format!("`{family}` with rope_type \"{rope_type}\" rotates whole heads only, found {factor}");
            Err(ValidationError::new(PARTIAL_KEY, reason).with_suggestion("remove the key or the scaling"))
        }
        RotaryClass::Partial | RotaryClass::LongRope => {
            // The reference truncates. With an odd number, its frequencies are those of no other model.
            let rotary_dim = (head_dim as f64 * factor) as usize;
            if factor > 0.0 && factor < 1.0 && rotary_dim > 0 && rotary_dim.is_multiple_of(2) {
                return Ok(factor);
            }
            let reason = format!(
                "expected a fraction that gives an even number of the {head_dim} dimensions of a head, found {factor}, \
                 which gives {rotary_dim}"
            );
            Err(ValidationError::new(PARTIAL_KEY, reason))
        }
    }
}

/// The table `rope_parameters` of these positions.
///
/// # Errors
/// If they are not rotary.
fn write(position: &PositionConfig, class: RotaryClass) -> Result<Value, ValidationError> {
    let PositionConfig::Rotary(rotary) = position else {
        return Err(inexpressible("model.position", "rotary positions"));
    };
    let mut table = write_scaling(&rotary.scaling);
    table["rope_theta"] = rotary.theta.into();
    if !matches!(class, RotaryClass::Scaled) {
        table["partial_rotary_factor"] = rotary.partial_factor.into();
    }
    Ok(table)
}

/// The keys of rotary positions. Hole: `position`. Reads the holes `head_dim`, `hidden` and `heads`.
pub(super) struct Rotary {
    /// What the family's rotary class implements.
    pub class: RotaryClass,
    /// `max_position_embeddings` of the reference's class.
    pub max_length: usize,
    /// `original_max_position_embeddings` of the reference's class, which overrules that of the table.
    pub original_length: Option<usize>,
    /// `rope_theta` of the reference's class.
    pub theta: f64,
    /// Fraction of a head that the reference's class rotates.
    pub partial_factor: f64,
    /// Name of `rope_theta` outside of the table.
    pub theta_key: &'static str,
    /// Name of `partial_rotary_factor` outside of the table.
    pub factor_key: &'static str,
    /// Whether neighboring dimensions are rotated together.
    pub interleaved: bool,
}

impl Rotary {
    /// Whole heads, with scalings.
    pub const fn scaled(max_length: usize) -> Self {
        Self {
            class: RotaryClass::Scaled,
            max_length,
            original_length: None,
            theta: 10_000.0,
            partial_factor: 1.0,
            theta_key: "rope_theta",
            factor_key: PARTIAL_KEY,
            interleaved: false,
        }
    }

    /// A part of a head, without scalings. `partial_factor` is the default.
    pub const fn partial(max_length: usize, partial_factor: f64) -> Self {
        Self { class: RotaryClass::Partial, partial_factor, ..Self::scaled(max_length) }
    }
}

/// The width of a head.
pub(super) fn head_dim(holes: &Holes) -> usize {
    match holes.integer("head_dim") {
        0 => holes.integer("hidden") / holes.integer("heads").max(1),
        head_dim => head_dim,
    }
}

/// The positions in the hole.
fn position(holes: &Holes) -> Result<PositionConfig, ValidationError> {
    let position = serde_json::from_value(holes.get("position").clone());
    position.map_err(|_| inexpressible("model.position", "rotary positions"))
}

impl Convert for Rotary {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let position = read(fields, self, head_dim(holes))?;
        holes.set("position", serde_json::to_value(position).unwrap_or_default());
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let position = position(holes)?;
        json.insert("rope_parameters".into(), write(&position, self.class)?);
        write_lengths(&position, json);
        Ok(())
    }

    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        let rotary = read_rotary(fields, self.class, head_dim(holes))?;
        let position = PositionConfig::Rotary(RotaryEmbeddingConfig { interleaved: self.interleaved, ..rotary });
        holes.set("position", serde_json::to_value(position).unwrap_or_default());
        Ok(())
    }

    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        match position(holes)? {
            PositionConfig::Rotary(rotary) => write_rotary(&rotary, head_dim(holes), out),
            _ => Err(inexpressible("model.position", "rotary positions")),
        }
    }
}

/// `rotary_dim`: the number of rotated dimensions of a head. Hole: `partial_factor`. Reads the holes `hidden` and `heads`.
pub(super) struct RotaryDim;

impl RotaryDim {
    fn head_dim(holes: &Holes) -> usize {
        holes.integer("hidden") / holes.integer("heads").max(1)
    }
}

impl Convert for RotaryDim {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let (head_dim, rotated) = (Self::head_dim(holes), fields.size("rotary_dim", 64)?);
        if rotated > head_dim || !rotated.is_multiple_of(2) {
            let reason = format!(
                "expected an even number of at most {head_dim} dimensions, the width of a head, found {rotated}"
            );
            return Err(ValidationError::new("rotary_dim", reason));
        }
        holes.set("partial_factor", rotated as f64 / head_dim as f64);
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let rotated = (holes.float("partial_factor") * Self::head_dim(holes) as f64).round();
        json.insert("rotary_dim".into(), (rotated as u64).into());
        Ok(())
    }
}
