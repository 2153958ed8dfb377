// The first options of a choice that cannot do without options, or whose defaults suit larger models than a page trains.

const START = {
  position: { learned: "{ learned = { max_position_embeddings = 512 } }" },
  pattern: {
    window: "{ window = { before = 16 } }",
    strided: "{ strided = { stride = 8 } }",
    fixed: "{ fixed = { stride = 8 } }",
    blocks: "{ blocks = { size = 16, before = 1 } }",
    global_tokens: "{ global_tokens = { first = 4 } }",
    and: "{ and = [{ window = { before = 32 } }, { strided = { stride = 4 } }] }",
    or: "{ or = [{ window = { before = 16 } }, { global_tokens = { first = 4 } }] }",
  },
  score: { top_k: "{ top_k = { k = 8 } }" },
  part: { experts: "{ experts = { num_experts = 4, top_k = 2 } }" },
};

/** Parts of a sublayer that mix tokens and take a number of heads. */
const WITH_HEADS = ["gla", "mamba2", "gated_delta_net"];

/** The value in TOML that chooses `variant` of a family. `heads`: the number of heads of the part that it replaces. */
export function startOf(family, variant, heads) {
  if (family === "part" && variant.name === "attention") return `{ attention = { projection = { heads = { heads = ${heads ?? 4} } } } }`;
  if (family === "part" && WITH_HEADS.includes(variant.name)) return `{ ${variant.name} = { heads = ${heads ?? 4} } }`;
  return START[family]?.[variant.name] ?? variant.name;
}
