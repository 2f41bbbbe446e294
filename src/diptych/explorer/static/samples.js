// Samples of every model on a grid: one seed for all, a truncation or a temperature for each.
import { asBitmap, asBlob, lane, lay } from "./ask.js";
import { makeLeaves } from "./leaves.js";

const $ = (id) => document.getElementById(id);

export async function samples(models) {
  const spreads = models.map(() => 1);
  const asked = (index) => ({ n: Number($("sample-count").value), seed: Number($("sample-seed").value), spread: spreads[index] });
  const leaves = makeLeaves("samples", models,
    ({ index }) => ({ sample: asked(index) }),
    ({ index }) => asBlob(`api/models/${index}/sample`, { ...asked(index), form: "picture" }));
  const lanes = leaves.map((leaf) => lane(async () => {
    const { index, shape, family } = leaf.model, now = asked(index), side = Math.round(Math.sqrt(now.n));
    leaf.hideCommand();
    const bitmap = await asBitmap(`api/models/${index}/sample`, now);
    lay(leaf.canvas, shape, Array.from({ length: now.n }, (_, n) => [bitmap, n, n % side, Math.floor(n / side)]));
    const spread = now.spread === 1 ? "" : `, ${family === "gan" ? "truncation" : "temperature"} ${now.spread.toFixed(2)}`;
    leaf.say(`${now.n} samples, seed ${now.seed}${spread}`);
  }, leaf.failed));
  leaves.forEach((leaf, place) => {
    const { index, family, most_spread: most, title } = leaf.model;
    const name = family === "gan" ? "truncation" : "temperature";
    const label = document.createElement("label"), slider = document.createElement("input"), value = document.createElement("output");
    label.className = "long";
    const words = document.createElement("span");
    words.textContent = name;
    Object.assign(slider, { type: "range", min: 0.05, max: most, step: 0.05, value: 1 });
    slider.setAttribute("aria-label", `${name} of ${title}`);
    value.textContent = "1.00";
    slider.addEventListener("input", () => {
      spreads[index] = Number(slider.value);
      value.textContent = spreads[index].toFixed(2);
      lanes[place]();
    });
    label.append(words, slider, value);
    leaf.extra.append(label);
  });
  const all = () => lanes.forEach((go) => go());
  for (const id of ["sample-seed", "sample-count"]) $(id).addEventListener("change", all);
  await Promise.all(lanes.map((go) => go()));
}
