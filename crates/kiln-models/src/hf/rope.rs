//! Rotary position embedding (RoPE) in `config.json`: `rope_parameters`, or `rope_theta` and `rope_scaling` in older files.
//!
//! | `rope_type` | scaling | keys of the table |
//! |---|---|---|
//! | `default` | none | `rope_theta`, `partial_rotary_factor` |
//! | `linear` | position interpolation (2306.15595) | `factor` |
//! | `llama3` | Llama 3.1 | `factor`, `low_freq_factor`, `high_freq_factor`, `original_max_position_embeddings` |
//! | `yarn` | YaRN (2309.00071) | `factor`, `beta_fast`, `beta_slow`, `truncate`, `attention_factor`, `mscale`, `mscale_all_dim`, `original_max_position_embeddings` |
//!
//! Older files call `rope_type` `type`, and may have `rope_theta`, `partial_rotary_factor` and
//! `original_max_position_embeddings` outside of the table. Other keys of the table have no effect: a warning names them.
//! The reference is `modeling_rope_utils.py` of transformers, and the rotary class of each family: only Phi-3's rotates a
//! part of a head, and only the others scale.

use super::{
    config_reader::ConfigReader,
    family::inexpressible,
    gguf::{GgufFields, GgufMetadata, read_rotary, write_rotary},
    keys::Convert,
    template::Holes,
};
use kiln_nn::position::{
    PositionConfig, RotaryEmbeddingConfig, RotaryScaling,
    rotary_scaling::{LinearScaling, Llama3Scaling, YarnScaling},
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value, json};

/// What the rotary class of a family implements.
#[derive(Clone, Copy)]
pub(super) enum RotaryClass {
    /// Scalings, over whole heads.
    Scaled,
    /// A part of a head, without the scalings that Kiln implements.
    Partial,
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
        original: fields.integer("original_max_position_embeddings")?,
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
    table.finish().map_err(in_table)?;
    fields.take_warnings(name, &table);
    let interleaved = rotary.interleaved;
    Ok(PositionConfig::Rotary(RotaryEmbeddingConfig { theta, scaling, partial_factor, interleaved }))
}

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
        RotaryClass::Partial => {
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

/// `rope_type` and the scaling of the table. The factor of YaRN is by default the ratio of the lengths.
fn read_scaling<'a>(
    fields: &ConfigReader<'a>,
    class: RotaryClass,
    lengths: Lengths,
) -> Result<(&'a str, RotaryScaling), ValidationError> {
    if let Some(layer_type) = fields.find_table() {
        let reason = format!("expected one table of rotary parameters for all layers, found one for `{layer_type}`");
        return Err(ValidationError::new(layer_type, reason));
    }
    let older_name = fields.string("type", "default")?;
    let rope_type = fields.string("rope_type", older_name)?;
    let scaling = match (class, rope_type) {
        (_, "default") => RotaryScaling::default(),
        (RotaryClass::Scaled, "linear") => {
            RotaryScaling::Linear(LinearScaling { factor: float(fields, "factor", None)? })
        }
        (RotaryClass::Scaled, "llama3") => RotaryScaling::Llama3(Llama3Scaling {
            factor: float(fields, "factor", None)?,
            original_max_position_embeddings: original_length(fields, lengths)?,
            low_freq_factor: float(fields, "low_freq_factor", None)?,
            high_freq_factor: float(fields, "high_freq_factor", None)?,
        }),
        (RotaryClass::Scaled, "yarn") => RotaryScaling::Yarn(read_yarn(fields, lengths)?),
        _ => return Err(unsupported_scaling(fields, class, rope_type)),
    };
    Ok((rope_type, scaling))
}

/// The error for a `rope_type`, under the name that the file has for this key.
fn unsupported_scaling(fields: &ConfigReader, class: RotaryClass, rope_type: &str) -> ValidationError {
    let key = if fields.get("rope_type").is_some() { "rope_type" } else { "type" };
    let reason = match (class, rope_type) {
        // The class of Phi-3 reads "yarn" as an older name of LongRoPE.
        (_, "longrope" | "su") | (RotaryClass::Partial, "yarn") => {
            format!("LongRoPE (\"{rope_type}\") is not supported")
        }
        (_, "dynamic") => "dynamic NTK scaling (\"dynamic\") is not supported".into(),
        _ => format!("unsupported rotary scaling \"{rope_type}\" of `{}`", fields.family()),
    };
    let supported = match class {
        RotaryClass::Scaled => "default, linear, llama3, yarn",
        RotaryClass::Partial => "default",
    };
    ValidationError::new(key, reason).with_suggestion(format!("supported: {supported}"))
}

/// YaRN's parameters. 0 counts as absent for `beta_fast` and `beta_slow`.
fn read_yarn(fields: &ConfigReader, lengths: Lengths) -> Result<YarnScaling, ValidationError> {
    let original = original_length(fields, lengths)?;
    let factor = float(fields, "factor", Some(lengths.max as f64 / original as f64))?;
    let nonzero = |key: &str| Ok(fields.float(key)?.filter(|number| *number != 0.0));
    Ok(YarnScaling {
        factor,
        original_max_position_embeddings: original,
        beta_fast: nonzero("beta_fast")?.unwrap_or(32.0),
        beta_slow: nonzero("beta_slow")?.unwrap_or(1.0),
        // The default is for an absent key only: `null` means false.
        truncate: fields.flag("truncate", !fields.is_null("truncate"))?,
        attention_factor: attention_factor(fields, factor)?,
    })
}

/// A number, or its default; an error if there is neither.
fn float(fields: &ConfigReader, key: &str, default: Option<f64>) -> Result<f64, ValidationError> {
    fields.float(key)?.or(default).ok_or_else(|| ValidationError::new(key, "expected a number, found none"))
}

/// The sequence length before the context was extended. The value outside of the table has precedence over the one in it.
fn original_length(fields: &ConfigReader, lengths: Lengths) -> Result<usize, ValidationError> {
    let key = "original_max_position_embeddings";
    let inner = fields.integer(key)?;
    let length = lengths.original.or(inner).unwrap_or(lengths.max);
    if length == 0 { Err(ValidationError::new(key, "expected at least 1 token, found 0")) } else { Ok(length) }
}

/// Factor of cosines and sines in YaRN: `attention_factor`, or m(`mscale`) / m(`mscale_all_dim`) with
/// m(a) = 0.1 · a · ln(factor) + 1, if both are given and not 0. `None`: the default of the part, m(1).
fn attention_factor(fields: &ConfigReader, factor: f64) -> Result<Option<f64>, ValidationError> {
    let given = fields.float("attention_factor")?;
    let [scale, scale_all_dim] =
        ["mscale", "mscale_all_dim"].map(|key| Ok(fields.float(key)?.filter(|number| *number != 0.0)));
    let m = |a: f64| 0.1 * a * factor.max(1.0).ln() + 1.0;
    Ok(given.or(scale?.zip(scale_all_dim?).map(|(scale, all_dim)| m(scale) / m(all_dim))))
}

/// The table `rope_parameters` of these positions.
///
/// # Errors
/// If they are not rotary.
fn write(position: &PositionConfig, class: RotaryClass) -> Result<Value, ValidationError> {
    let PositionConfig::Rotary(rotary) = position else {
        return Err(inexpressible("model.position", "rotary positions"));
    };
    let mut table = match &rotary.scaling {
        RotaryScaling::None(_) => json!({ "rope_type": "default" }),
        RotaryScaling::Linear(c) => json!({ "rope_type": "linear", "factor": c.factor }),
        RotaryScaling::Llama3(c) => json!({
            "rope_type": "llama3", "factor": c.factor,
            "original_max_position_embeddings": c.original_max_position_embeddings,
            "low_freq_factor": c.low_freq_factor, "high_freq_factor": c.high_freq_factor,
        }),
        RotaryScaling::Yarn(c) => json!({
            "rope_type": "yarn", "factor": c.factor,
            "original_max_position_embeddings": c.original_max_position_embeddings, "truncate": c.truncate,
            "beta_fast": c.beta_fast, "beta_slow": c.beta_slow, "attention_factor": c.attention_factor,
        }),
    };
    table["rope_theta"] = rotary.theta.into();
    if matches!(class, RotaryClass::Partial) {
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
        json.insert("rope_parameters".into(), write(&position(holes)?, self.class)?);
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
