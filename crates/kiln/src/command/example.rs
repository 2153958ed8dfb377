//! What an objective makes of one piece of held-out text.

use crate::page::{Example, ExampleToken};
use kiln_data::{DataConfig, Packed, Sequence, Side, Tokenizer};
use kiln_infer::block_on;
use kiln_spec::Random;
use kiln_train::{Failure, Models, StageConfig, run};

/// Tokens that are shown.
const LENGTH: usize = 24;

/// The example of a stage; none if no held-out text can be read (any more).
pub fn of(data: &DataConfig, stage: &StageConfig, models: &Models, tokenizer: &Tokenizer) -> Option<Example> {
    let text = held_out(data).ok().flatten()?;
    let mut tokens = vec![tokenizer.specials().bos];
    tokens.extend(tokenizer.encode(&text).into_iter().take(LENGTH));
    let width = tokens.len();
    let sequence = Sequence { tokens, document: 0, start: 0, ends: false };
    let packed = Packed { rows: vec![vec![sequence]], width, pad: tokenizer.specials().pad };
    let objective = stage.objective.build();
    let batch = block_on(objective.batch(&packed, models, Random::new(0, "example", 0, 0))).ok()?;
    let places = batch.inputs.iter().zip(&batch.targets).zip(&batch.weights);
    let token = |((input, target), weight): ((&i32, &i32), &f32)| ExampleToken {
        input: tokenizer.token(*input as u32),
        target: (*weight > 0.0).then(|| tokenizer.token(*target as u32)),
        hidden: hides(tokenizer, *input as u32),
    };
    let title = format!("What the objective `{}` gives, and what it asks for.", stage.objective.name());
    Some(Example { title, tokens: places.map(token).collect() })
}

fn held_out(data: &DataConfig) -> Result<Option<String>, Failure> {
    let (source, split) = run::open(data)?;
    let mut texts = split.texts(&*source, Side::Validation)?;
    Ok(texts.next().transpose()?)
}

/// Whether a token stands for text that is left out.
fn hides(tokenizer: &Tokenizer, id: u32) -> bool {
    let specials = tokenizer.specials();
    id == specials.mask || specials.sentinels.contains(&id)
}
