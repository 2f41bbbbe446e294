// Latents on sliders: every model's code, one model's latents at a time.
import { asBitmap, asJson, lane, lay } from "./ask.js";
import { canvasBlob, makeLeaves } from "./leaves.js";

const AT_ONCE = 8;
const $ = (id) => document.getElementById(id);

/** Begin; gives `codes` (one per model), `setCode`, and `onChange` to hear of moves. */
export async function traverse(models) {
  const codes = models.map((model) => new Array(model.latent_dim).fill(0));
  const from = models.map(() => "code 0");
  const listeners = [];
  const leaves = makeLeaves("traverse", models,
    (model) => ({ decode: { codes: [codes[model.index]] } }),
    (model) => canvasBlob(leaves[model.index].canvas));
  const lanes = leaves.map((leaf) => lane(async () => {
    const { index, shape } = leaf.model;
    const bitmap = await asBitmap(`api/models/${index}/decode`, { codes: [codes[index]] });
    lay(leaf.canvas, shape, [[bitmap, 0, 0, 0]]);
    leaf.say(from[index]);
    leaf.hideCommand();
  }, leaf.failed));

  let whose = 0, first = 0;
  const rows = [];
  for (let place = 0; place < AT_ONCE; place += 1) {
    const row = document.createElement("label");
    row.className = "latent";
    const name = document.createElement("b"), used = document.createElement("span"), words = document.createElement("div");
    const slider = document.createElement("input"), value = document.createElement("output");
    Object.assign(slider, { type: "range", min: -3, max: 3, step: 0.05 });
    name.style.fontWeight = "400";
    words.append(name, used);
    row.append(words, slider, value);
    slider.addEventListener("input", () => {
      const latent = models[whose].order[first + place];
      codes[whose][latent] = Number(slider.value);
      value.textContent = Number(slider.value).toFixed(2);
      if (!from[whose].endsWith("moved")) from[whose] += ", moved";
      changed(whose);
    });
    $("sliders").append(row);
    rows.push({ row, name, used, slider, value });
  }

  function changed(index) {
    lanes[index]();
    for (const listener of listeners) listener(index);
  }

  function showSliders() {
    const model = models[whose];
    $("sliders").className = `hue-${(whose % 4) + 1}`;
    rows.forEach(({ row, name, used, slider, value }, place) => {
      const latent = model.order[first + place];
      row.hidden = latent === undefined;
      if (row.hidden) return;
      const amount = model.amounts[latent];
      name.textContent = `latent ${latent}`;
      used.textContent = `${amount < 0.01 ? amount.toPrecision(1) : amount.toFixed(2)} ${model.unit}`;
      slider.setAttribute("aria-label", `latent ${latent} of ${model.title}`);
      slider.value = codes[whose][latent];
      value.textContent = codes[whose][latent].toFixed(2);
    });
    const last = Math.min(first + AT_ONCE, model.latent_dim);
    $("which-latents").textContent = `${first + 1}–${last} of ${model.latent_dim}`;
    $("earlier").disabled = first === 0;
    $("later").disabled = last === model.latent_dim;
    $("usage").textContent = `The most used come first: ${model.usage}.`;
  }

  models.forEach((model, index) => {
    const label = document.createElement("label"), input = document.createElement("input");
    label.className = `hue-${(index % 4) + 1}`;
    Object.assign(input, { type: "radio", name: "whose", value: index, checked: index === 0 });
    input.addEventListener("change", () => { whose = index; first = 0; showSliders(); });
    label.append(input, model.title);
    $("whose").append(label);
  });
  $("whose").hidden = models.length === 1;
  $("earlier").addEventListener("click", () => { first -= AT_ONCE; showSliders(); });
  $("later").addEventListener("click", () => { first += AT_ONCE; showSliders(); });

  function setCode(index, code, name) {
    codes[index] = [...code];
    from[index] = name;
    if (index === whose) showSliders();
    changed(index);
  }
  async function draw() {
    const seed = Number($("code-seed").value);
    await Promise.all(models.map(async (model, index) => {
      try {
        const drawn = await asJson(`api/models/${index}/codes`, { n: 1, seed });
        setCode(index, drawn.codes[0], `code of seed ${seed}`);
      } catch (error) { leaves[index].failed(error); }
    }));
  }
  $("code-draw").addEventListener("click", draw);
  $("code-seed").addEventListener("change", draw);
  $("code-centre").addEventListener("click", () => models.forEach((model, index) =>
    setCode(index, new Array(model.latent_dim).fill(0), "code 0")));
  showSliders();
  await draw();
  return { codes, setCode, onChange: (listener) => listeners.push(listener) };
}
