// A training step of every variant in the page (drive.mjs --variants). On WebGPU a read that blocks panics: a step that ends shows
// that the variant has none.

/** Models that hold a variant, by its family; `$` is the variant. */
const MODELS = {
  part: 'blocks = [{ sublayers = [{ parts = ["attention"] }, { parts = [$] }] }]',
  source: 'blocks = [{ sublayers = [{ parts = ["attention"] }, { parts = [{ attention = { source = $ } }] }, { parts = ["gated_mlp"] }] }]',
  projection: 'blocks = [{ repeat = 2, sublayers = [{ parts = [{ attention = { projection = $ } }] }] }]',
  expert: 'blocks = [{ sublayers = [{ parts = ["attention"] }, { parts = [{ experts = { expert = $ } }] }] }]',
  activation: 'blocks = [{ sublayers = [{ parts = ["attention"] }, { parts = [{ gated_mlp = { activation = $ } }] }] }]',
  position: 'position = $\nblocks = [{ sublayers = [{ parts = ["attention"] }, { parts = ["gated_mlp"] }] }]',
  pattern: 'blocks = [{ sublayers = [{ parts = [{ attention = { pattern = $ } }] }, { parts = ["gated_mlp"] }] }]',
  score: 'blocks = [{ sublayers = [{ parts = [{ attention = { score = $ } }] }, { parts = ["gated_mlp"] }] }]',
  norm: 'norm = $\nblocks = [{ sublayers = [{ junction = { pre = { norm = $ } }, parts = ["attention"] }, { parts = ["gated_mlp"] }] }]',
  residual_streams: 'residual_streams = $\nblocks = [{ sublayers = [{ parts = ["attention"] }, { parts = ["gated_mlp"] }] }]',
  junction: 'blocks = [{ sublayers = [{ junction = $, parts = ["attention"] }, { junction = $, parts = ["gated_mlp"] }] }]',
  depth: 'blocks = [{ sublayers = [{ parts = ["attention"] }] }, { depth = $, sublayers = [{ parts = ["attention"] }, { parts = ["gated_mlp"] }] }]',
  head: 'head = $\nblocks = [{ sublayers = [{ parts = ["attention"] }, { parts = ["gated_mlp"] }] }]',
};
/** Variants of a training stage, by their family. */
const STAGES = { optimizer: 'optimizer = $', schedule: 'schedule = $' };
const PLAIN = MODELS.activation.replace('$', '"silu"');

function recipe(family, { name, causal, example }) {
  const fill = (template) => template.replaceAll('$', () => example);
  const model = MODELS[family] ? fill(MODELS[family]) : PLAIN;
  const bidirectional = causal === 'never';
  return `name = "${family}-${name}"
seed = 1
data = { source = { stories = { megabytes = 0.02 } } }
tokenizer = "byte"
[model]
hidden = 16
${bidirectional ? 'visibility = "bidirectional"' : ''}
${model}
[[stages]]
name = "pretrain"
steps = 1
sequence_length = 32
batch_size = 2
eval_tokens = 64
num_samples = 0
${bidirectional ? 'objective = "masked"' : ''}
${STAGES[family] ? fill(STAGES[family]) : ''}
`;
}

/** `driver`: `call`, `check` and `expect` of drive.mjs. */
export async function checkVariants({ call, check, expect }) {
  await check('every variant trains one step', async () => {
    const { families } = await call('catalog');
    const cases = families.filter(({ name }) => MODELS[name] || STAGES[name]).flatMap(({ name, variants }) => variants.map((variant) => [name, variant]));
    const failed = [];
    const refused = [];
    for (const [family, variant] of cases) {
      const toml = recipe(family, variant);
      // What the recipe refuses is no step: a pooling head, for example, has no next token.
      const refusal = await call('check', { toml }).then(() => null, (error) => error);
      if (refusal) {
        refused.push(`${family}.${variant.name}: ${refusal.message.split('\n')[0]}`);
        continue;
      }
      try {
        const { run, step } = await call('train', { toml });
        const { rows } = await call('metrics', { run });
        const row = rows.find(({ kind }) => kind === 'step');
        if (step !== 1 || !Number.isFinite(row?.loss)) failed.push(`${family}.${variant.name}: step ${step}, loss ${row?.loss}`);
        await call('delete', { run });
      } catch (error) {
        failed.push(`${family}.${variant.name}: ${error.message}`);
        if (/crashed/.test(error.message)) throw new Error(failed.join('\n'));
      }
    }
    for (const line of refused) console.log(`      refused: ${line}`);
    expect(failed.length === 0, `${failed.length} of ${cases.length} variants failed:\n${failed.join('\n')}`);
    expect(refused.length < cases.length / 10, `${refused.length} of ${cases.length} variants are refused`);
    return `${cases.length - refused.length} variants`;
  });
}
