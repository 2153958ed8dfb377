// The variants that the form offers, by family: from the cards of the catalog, else from the JSON schema of a recipe. In the
// schema a choice is a list of bare words and of objects with exactly one required property.

const PART = ["model", "blocks", "*", "sublayers", "*", "parts", "*"];
const PLACES = {
  position: ["model", "position"],
  part: PART,
  pattern: [...PART, "attention", "pattern"],
  score: [...PART, "attention", "score"],
  objective: ["stages", "*", "objective"],
};

/** Variants by the name of their family: objects with a name, and what is known of the card. */
export function familiesOf(catalog) {
  const fromCards = Object.fromEntries((catalog.families ?? []).map(family => [family.name, family.variants]));
  const fromSchema = Object.entries(PLACES).map(([family, path]) => [family, alternatives(catalog.schema, descend(catalog.schema, path))]);
  return { ...Object.fromEntries(fromSchema), ...fromCards };
}

function descend(root, path) {
  return path.reduce((node, key) => {
    const table = resolve(root, node);
    if (key === "*") return table?.items;
    return table?.properties?.[key] ?? forms(table).find(form => form.properties?.[key])?.properties[key];
  }, root);
}

/** Follows references, `allOf` with one member, and `anyOf` beside null. */
function resolve(root, node) {
  if (!node || typeof node !== "object") return undefined;
  if (typeof node.$ref === "string") return resolve(root, node.$ref.replace(/^#\//, "").split("/").reduce((table, key) => table?.[key], root));
  const members = node.allOf ?? node.anyOf?.filter(one => one.type !== "null");
  return members?.length === 1 ? resolve(root, members[0]) : node;
}

const forms = node => [...(node?.oneOf ?? []), ...(node?.anyOf ?? [])];

function alternatives(root, node) {
  const found = new Map();
  for (const form of forms(resolve(root, node))) {
    const names = form.required?.length === 1 ? form.required : [...(form.enum ?? []), ...("const" in form ? [form.const] : [])];
    for (const name of names) found.set(name, { name, description: found.get(name)?.description ?? form.description });
  }
  return [...found.values()];
}
