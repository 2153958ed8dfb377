// Tests of the pages' modules that need no browser: `node --test tools/web/components.test.mjs`.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { downsample, nearest, smooth } from "../../crates/kiln-web/web/components/curve-points.js";
import { Overrides } from "../../crates/kiln-web/web/components/overrides.js";
import { attentionPaths, choiceOf, recipeFields } from "../../crates/kiln-web/web/components/recipe-fields.js";
import { Scale } from "../../crates/kiln-web/web/components/scale.js";
import { parseToml } from "../../crates/kiln-web/web/components/toml.js";
import { familiesOf } from "../../crates/kiln-web/web/components/variants.js";

const RECIPES = new URL("../../crates/kiln/recipes/", import.meta.url);
const recipe = name => parseToml(readFileSync(new URL(name, RECIPES), "utf8"));

/** Numbers between 0 and 1, the same in each run. */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

/** A random value that TOML can hold. */
function randomValue(random, depth) {
  const kind = Math.floor(random() * (depth > 0 ? 6 : 4));
  if (kind === 0) return Math.round((random() - 0.5) * 1e6);
  if (kind === 1) return random() * 10 ** Math.floor(random() * 20 - 10);
  if (kind === 2) return random() < 0.5;
  if (kind === 3) return [..."a\"\\\n\tä€😀#=[]{}'., "].filter(() => random() < 0.4).join("");
  const items = Array.from({ length: Math.floor(random() * 4) }, () => randomValue(random, depth - 1));
  return kind === 4 ? items : Object.fromEntries(items.map((item, index) => [`${"key with.sign"[index]}${index}`, item]));
}

function toToml(value) {
  if (Array.isArray(value)) return `[ ${value.map(toToml).join(", # comment\n ")} ]`;
  if (value && typeof value === "object") return `{ ${Object.entries(value).map(([key, item]) => `${JSON.stringify(key)} = ${toToml(item)}`).join(", ")} }`;
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

test("any value of TOML is read back", () => {
  const random = generator(1);
  for (let round = 0; round < 500; round += 1) {
    const value = randomValue(random, 3);
    assert.deepEqual(parseToml(`a.b = ${toToml(value)} # end`), { a: { b: value } });
  }
});

test("all built-in recipes are read", () => {
  for (const name of readdirSync(RECIPES)) assert.equal(recipe(name).version, 1, name);
  const stories = recipe("stories.toml");
  assert.equal(stories.stages[0].tokens, 4_200_000);
  assert.equal(choiceOf(stories.stages[0].schedule).options.learning_rate, 3e-3);
  assert.equal(stories.model.blocks[0].repeat, 4);
});

test("broken TOML is an error and never a loop", () => {
  for (const text of ["a = ", "a = [1, 2", "[a", "a = \"x", "= 1", "a = { b = 1", "a b = 1"]) assert.throws(() => parseToml(text), SyntaxError, text);
});

test("fields name the paths of their values", () => {
  const stories = recipe("stories.toml");
  const families = { position: [{ name: "rotary" }], pattern: [{ name: "global" }], score: [{ name: "softmax" }], part: [{ name: "attention" }, { name: "gated_mlp" }], objective: [{ name: "full" }] };
  const fields = recipeFields(stories, families, 1368).flatMap(group => group.fields);
  const field = key => fields.find(one => one.key === key);
  assert.deepEqual(field("pattern").paths, ["model.blocks.0.sublayers.0.parts.0.attention.pattern"]);
  assert.equal(field("mixer").heads, 4);
  assert.deepEqual([field("Heads").value, field("Hidden").value, field("Steps").value], [4, 128, 1368]);
  assert.equal(attentionPaths(recipe("hybrid.toml"), "score").length, 2);
});

test("a later assignment replaces those below its path", () => {
  const overrides = new Overrides();
  overrides.assign("model.position.alibi.scaled", "true");
  overrides.assign("model.positions", "1");
  overrides.assign("model.position", "rotary");
  assert.deepEqual(overrides.list(), ["model.positions=1", "model.position=rotary"]);
  assert.ok(overrides.has("model") && !overrides.has("model.pos"));
});

test("scales contain their values, and ticks lie inside", () => {
  const random = generator(2);
  for (let round = 0; round < 300; round += 1) {
    const values = Array.from({ length: 1 + Math.floor(random() * 5) }, () => (random() + 1e-3) * 10 ** Math.floor(random() * 8 - 4));
    const scale = new Scale(values, round % 2 === 1).rounded(5);
    for (const value of values) assert.ok(scale.position(value) >= -1e-9 && scale.position(value) <= 1 + 1e-9);
    for (const tick of scale.ticks(5)) assert.ok(scale.position(tick) >= -1e-6 && scale.position(tick) <= 1 + 1e-6);
  }
});

test("fewer points keep extremes and order; the nearest point is the nearest", () => {
  const random = generator(3);
  const points = Array.from({ length: 5000 }, (_, step) => [step, random()]);
  points[1234][1] = 50;
  const drawn = downsample(points, 100);
  assert.ok(drawn.length <= 400 && drawn.some(point => point[1] === 50));
  assert.deepEqual(drawn, [...drawn].sort((a, b) => a[0] - b[0]));
  for (const x of [-3, 0.4, 77.6, 4999, 9999]) {
    const best = points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
    assert.equal(nearest(points, x), best);
  }
});

test("smoothing keeps a constant and the start, and lowers noise", () => {
  const noisy = Array.from({ length: 1600 }, (_, step) => [step, step % 2]);
  const smoothed = smooth(noisy);
  assert.equal(smoothed[0][1], noisy[0][1]);
  assert.ok(smoothed.slice(200).every(point => Math.abs(point[1] - 0.5) < 0.1));
  assert.ok(smooth(noisy.map(([x]) => [x, 2])).every(point => Math.abs(point[1] - 2) < 1e-9));
});

test("variants are read from the schema, and cards win", () => {
  const table = (name, inner) => ({ type: "object", properties: { [name]: inner }, required: [name], description: `about ${name}` });
  const schema = {
    properties: { model: { anyOf: [{ $ref: "#/$defs/Model" }, { type: "null" }] }, stages: { type: "array", items: { properties: { objective: { oneOf: [{ enum: ["full", "masked"] }, table("masked", {})] } } } } },
    $defs: {
      Model: { properties: { position: { allOf: [{ $ref: "#/$defs/Position" }] }, blocks: { items: { properties: { sublayers: { items: { properties: { parts: { items: { $ref: "#/$defs/Part" } } } } } } } } } },
      Position: { oneOf: [{ const: "none" }, table("rotary", {})] },
      Part: { oneOf: [table("attention", { properties: { pattern: { oneOf: [table("window", {})] }, score: { oneOf: [{ enum: ["softmax"] }] } } }), { enum: ["gated_mlp"] }] },
    },
  };
  const names = family => familiesOf({ schema })[family].map(variant => variant.name);
  assert.deepEqual(["position", "part", "pattern", "score", "objective"].map(names), [["none", "rotary"], ["attention", "gated_mlp"], ["window"], ["softmax"], ["full", "masked"]]);
  assert.equal(familiesOf({ schema }).position[1].description, "about rotary");
  assert.deepEqual(familiesOf({ schema: {}, families: [{ name: "position", variants: [{ name: "alibi" }] }] }).position, [{ name: "alibi" }]);
});
