// What a reader of the pages normally does: the functions that it calls are those of the first module (tools/web/split.mjs).

/**
 * One normal session: the default recipe is checked, trained, paused and resumed, its model generates, is shown from inside and is
 * compared with variants.
 *
 * `kiln`: `call(name, arguments)`, which throws the error of an answer, and `onevent`, as in bare.html. tools/web/drive.mjs
 * evaluates the text of this function inside a page: it must not refer to anything outside itself.
 */
export async function normalSession(kiln) {
  const { recipes } = await kiln.call('catalog');
  await kiln.call('runs');
  for (const { toml } of recipes) await show(toml);
  const toml = recipes.find(({ name }) => name === 'stories').toml.replace(/^tokens = .*$/m, '');
  await editRecipe();
  await trainPaused();
  await trainSmall();
  const { model } = await kiln.call('load', { run: 'normal', checkpoint: 'best' });
  await kiln.call('models');
  await generate();
  await inspect();
  await compare();
  await kiln.call('unload', { model });

  /** What the page asks for after each edit. Some recipes are refused: the error is part of the session. */
  async function show(toml, set = []) {
    await kiln.call('check', { toml, set }).catch(() => {});
    await kiln.call('pattern', { toml, set, length: 64 }).catch(() => {});
  }

  /** Choices of the form, and mistakes. */
  async function editRecipe() {
    const attention = 'model.blocks.*.sublayers.0.parts.0.attention';
    const choices = [
      `${attention}.pattern={ window = { before = 16 } }`,
      `${attention}.pattern={ strided = { stride = 8 } }`,
      `${attention}.projection.heads.heads=8`,
      'model.position=alibi',
      'model.hidden=64',
      'stages.0.steps=100',
      'stages.0.objective=prefix',
      'model.hidden=63', // refused
    ];
    for (const choice of choices) await show(toml, [choice]);
    await show(toml.replace('seed = 0', 'sed = 0'));
    await show(toml.replace('seed = 0', 'seed = '));
  }

  /** The default recipe with fewer and shorter steps; evaluation, samples and checkpoint before and after the pause. */
  async function trainPaused() {
    const set = [
      'stages.0.steps=6',
      'stages.0.batch_size=2',
      'stages.0.eval_every=3',
      'stages.0.eval_tokens=2048',
      'stages.0.num_samples=2',
      'stages.0.sample_tokens=24',
      'stages.0.checkpoint_every=3',
      'data.source.stories.megabytes=0.5',
    ];
    kiln.onevent = (event) => event.event === 'metrics' && event.row.kind === 'step' && event.row.step === 4 && kiln.call('pause', { run: 'normal' });
    await kiln.call('train', { toml, set, name: 'normal' });
    kiln.onevent = null;
    await kiln.call('runs');
    await kiln.call('metrics', { run: 'normal' });
    await kiln.call('resume', { run: 'normal' });
  }

  /** A second run of other sizes: lists and trees of other lengths take other paths. */
  async function trainSmall() {
    const set = [
      'model.hidden=64',
      'model.blocks.0.repeat=2',
      'tokenizer.bpe.vocab=512',
      'stages.0.steps=30',
      'stages.0.sequence_length=128',
      'stages.0.batch_size=4',
      'stages.0.eval_every=5',
      'stages.0.eval_tokens=2048',
      'stages.0.num_samples=4',
      'stages.0.sample_tokens=48',
      'stages.0.checkpoint_every=5',
      'data.source.stories.megabytes=0.5',
    ];
    await kiln.call('train', { toml, set, name: 'small' });
    await kiln.call('runs');
    await kiln.call('metrics', { run: 'small' });
  }

  async function generate() {
    const prompt = 'Once upon a time';
    await kiln.call('generate', { model, prompt, options: { max_new_tokens: 16, temperature: 0 }, alternatives: 5 });
    const options = { max_new_tokens: 16, temperature: 0.8, top_k: 20, top_p: 0.9, min_p: 0.02, repetition_penalty: 1.1, seed: 1 };
    await kiln.call('generate', { model, prompt, options, alternatives: 5 });
  }

  async function inspect() {
    const text = 'Mia had 3 kites.';
    const { attention } = await kiln.call('inspect', { model, text });
    await kiln.call('attention', { model, text, layer: attention[0].layer, head: 1 });
    const pair = { model, text, source_text: 'Mia had 7 kites.' };
    await kiln.call('patch_map', pair);
    await kiln.call('patch', { ...pair, path: 'blocks.0.residual', position: 3 });
  }

  async function compare() {
    const attention = 'model.blocks.*.sublayers.0.parts.0.attention';
    const sets = [['model.position=alibi'], [`${attention}.pattern={ window = { before = 16 } }`]];
    for (const [index, set] of sets.entries()) {
      const variant = await kiln.call('variant', { model, set, name: `variant ${index}` });
      const { attention } = await kiln.call('inspect', { model: variant.model, text: 'Once upon a time there was a baker.' });
      await kiln.call('attention', { model: variant.model, text: 'Once upon a time there was a baker.', layer: attention[0].layer, head: 0 });
      await kiln.call('unload', { model: variant.model });
    }
  }
}
