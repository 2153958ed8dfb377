// The main choices of a recipe as fields: name, paths to assign, current value. They are read from the resolved recipe, so
// that every field shows what will run.

const FEED_FORWARD = ["mlp", "gated_mlp", "experts"];

/** Name and options of a choice: `"rotary"` and `{ rotary = {…} }` are the same. */
export function choiceOf(value) {
  if (typeof value === "string") return { name: value, options: {} };
  const name = value && typeof value === "object" ? Object.keys(value)[0] : undefined;
  return { name: name ?? "", options: (name !== undefined && value[name]) || {} };
}

/** All parts of the model with their paths: `{path, name, options}`. */
export function partsOf(recipe) {
  const blocks = recipe.model?.blocks ?? [];
  return blocks.flatMap((block, b) => (block.sublayers ?? []).flatMap((sublayer, s) => (sublayer.parts ?? []).map((part, p) =>
    ({ path: `model.blocks.${b}.sublayers.${s}.parts.${p}`, ...choiceOf(part) }))));
}

/** Paths of a key of every attention. */
export const attentionPaths = (recipe, key) =>
  partsOf(recipe).filter(part => part.name === "attention").map(part => `${part.path}.attention.${key}`);

/** The fields of a recipe by group. `families`: names of the variants by family. A field that the recipe has no place for
 * is left out. */
export function recipeFields(recipe, families, steps) {
  const parts = partsOf(recipe);
  const mixers = parts.filter(part => !FEED_FORWARD.includes(part.name));
  const networks = parts.filter(part => FEED_FORWARD.includes(part.name));
  const attention = parts.filter(part => part.name === "attention");
  const partNames = families.part ?? [];
  const stage = recipe.stages?.[0] ?? {};
  return [
    { title: "Model", fields: [
      choice("Position encoding", "position", families.position, recipe.model?.position, ["model.position"]),
      choice("Attention pattern", "pattern", families.pattern, attention[0]?.options.pattern ?? "global", attentionPaths(recipe, "pattern")),
      choice("Attention score", "score", families.score, attention[0]?.options.score ?? "softmax", attentionPaths(recipe, "score")),
      { ...choice("Mixer", "part", partNames.filter(one => !FEED_FORWARD.includes(one.name)), valueOf(mixers[0]), mixers.map(part => part.path)), key: "mixer", heads: headsOf(mixers[0]) },
      { ...choice("Feed-forward", "part", partNames.filter(one => FEED_FORWARD.includes(one.name)), valueOf(networks[0]), networks.map(part => part.path)), key: "feed-forward" },
    ] },
    { title: "Size", fields: [
      number("Hidden", recipe.model?.hidden, ["model.hidden"], { step: 16 }),
      number("Blocks", blockCount(recipe), recipe.model?.blocks?.length === 1 ? ["model.blocks.0.repeat"] : []),
      number("Heads", headsOf(mixers[0]), mixers.map(headPath).filter(Boolean)),
      number("Vocabulary", recipe.tokenizer?.bpe?.vocab, ["tokenizer.bpe.vocab"], { step: 256 }),
    ] },
    { title: "Training", fields: [
      choice("Objective", "objective", families.objective, stage.objective, ["stages.*.objective"]),
      number("Steps", stage.steps ?? steps, ["stages.*.steps"], { step: 100 }),
      number("Batch size", stage.batch_size, ["stages.*.batch_size"]),
      number("Sequence length", stage.sequence_length, ["stages.*.sequence_length"], { step: 32 }),
      number("Learning rate", choiceOf(stage.schedule).options.learning_rate, [`stages.0.schedule.${choiceOf(stage.schedule).name}.learning_rate`], { step: "any" }),
      number("Seed", recipe.seed ?? 0, ["seed"], { min: 0 }),
      number("Stories (MB)", recipe.data?.source?.stories?.megabytes, ["data.source.stories.megabytes"], { step: "any" }),
    ] },
  ].map(group => ({ ...group, fields: group.fields.filter(isPresent) })).filter(group => group.fields.length > 0);
}

const isPresent = field => field.paths.length > 0 && (field.kind === "number" ? field.value !== undefined : field.name !== "" && field.variants.length > 0);

const valueOf = part => (part ? { [part.name]: part.options } : undefined);

function choice(label, family, variants = [], value, paths) {
  const { name, options } = choiceOf(value);
  const numbers = Object.entries(options).filter(([, option]) => typeof option === "number");
  return { kind: "choice", key: family, label, family, variants, name, paths, options: Object.fromEntries(numbers) };
}

const number = (label, value, paths, limits = {}) => ({ kind: "number", key: label, label, value, paths, min: 1, step: 1, ...limits });

const blockCount = recipe => recipe.model?.blocks?.reduce((sum, block) => sum + (block.repeat ?? 1), 0);

const headsOf = part => part?.options.projection?.heads?.heads ?? part?.options.heads;

function headPath(part) {
  if (part.name === "attention") return part.options.projection?.heads && `${part.path}.attention.projection.heads.heads`;
  return part.options.heads === undefined ? null : `${part.path}.${part.name}.heads`;
}
