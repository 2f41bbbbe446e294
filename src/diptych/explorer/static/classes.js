// Arithmetic on classes: code + s (mean code of B - mean code of A).
import { asBitmap, asJson, follow, lane, lay } from "./ask.js";
import { canvasBlob, makeLeaves } from "./leaves.js";

const $ = (id) => document.getElementById(id);

export function classes(models, { codes, onChange }) {
  const able = models.filter((model) => model.classes.length > 1);
  if (!able.length) {
    const why = models.map((model) => model.without).find(Boolean);
    $("no-classes").textContent = `There are no classes to go between: ${why || "the data have no labels"}.`;
    $("no-classes").hidden = false;
    $("classes-begin").hidden = true;
    return;
  }
  const means = {};
  const leaves = makeLeaves("classes", able,
    ({ index }) => ({ decode: { codes: [codes[index], moved(index)] } }),
    ({ index }) => canvasBlob(leaves.find((leaf) => leaf.model.index === index).canvas));

  function moved(index) {
    const of = means[index], strength = Number($("strength").value);
    const from = of?.[$("class-from").value], to = of?.[$("class-to").value];
    return from && to ? codes[index].map((value, latent) => value + strength * (to[latent] - from[latent])) : null;
  }
  const lanes = leaves.map((leaf) => lane(async () => {
    const { index, shape } = leaf.model;
    if (!means[index]) return;
    leaf.hideCommand();
    const code = moved(index);
    const gone = [$("class-from").value, $("class-to").value].filter((name) => !means[index][name]);
    const bitmap = await asBitmap(`api/models/${index}/decode`, { codes: code ? [codes[index], code] : [codes[index]] });
    lay(leaf.canvas, shape, code ? [[bitmap, 0, 0, 0], [bitmap, 1, 1, 0]] : [[bitmap, 0, 0, 0]]);
    if (code) leaf.say("before and after");
    else leaf.say(`it has no mean code of ${gone.join(" and ")}: too few of its samples were that`, true);
  }, leaf.failed));
  const show = () => {
    $("strength-value").textContent = Number($("strength").value).toFixed(2);
    lanes.forEach((go) => go());
  };
  for (const id of ["class-from", "class-to"]) $(id).addEventListener("change", show);
  $("strength").addEventListener("input", show);
  onChange((index) => { if (means[index]) lanes[leaves.findIndex((leaf) => leaf.model.index === index)](); });

  $("classes-find").addEventListener("click", async () => {
    $("classes-find").disabled = true;
    $("classes-state").classList.remove("wrong");
    await Promise.all(leaves.map(async (leaf) => {
      const { index, title } = leaf.model;
      try {
        const { job } = await asJson(`api/models/${index}/classes`, {});
        const seen = await follow(job, ({ state, passes, seconds }) => {
          $("classes-state").textContent = state === "waiting" ? `${title} waits for its turn` : `${title}: ${passes} passes, ${seconds.toFixed(1)} s`;
        });
        means[index] = seen.result.means;
        const said = document.createElement("p");
        said.className = "aside";
        said.textContent = seen.result.sentence;
        leaf.extra.replaceChildren(said);
      } catch (error) { leaf.failed(error); }
    }));
    $("classes-state").textContent = "";
    document.querySelector('[data-leaves="classes"]').hidden = false;
    if (!Object.keys(means).length) { $("classes-find").disabled = false; return; }
    const names = [...new Set(able.flatMap((model) => model.classes))];
    const known = names.filter((name) => Object.values(means).some((of) => of[name]));
    for (const [id, chosen] of [["class-from", 0], ["class-to", 1]]) {
      $(id).replaceChildren(...known.map((name) => new Option(name, name)));
      $(id).selectedIndex = Math.min(chosen, known.length - 1);
    }
    $("classes-begin").hidden = true;
    $("arithmetic").hidden = false;
    show();
  });
}
