// Two codes and a slider between them, for all models at once: each goes its own way.
import { asBitmap, asBlob, asJson, lane, lay } from "./ask.js";
import { makeLeaves } from "./leaves.js";

const $ = (id) => document.getElementById(id);

export async function between(models, steps) {
  const ends = models.map(() => ({ start: null, end: null, seed: null }));
  const names = { start: "", end: "" };
  const strips = [];
  const leaves = makeLeaves("between", models,
    ({ index }) => {
      const { start, end, seed } = ends[index];
      return seed === null ? { path: { start, end, steps } } : { walk_seed: seed };
    },
    ({ index }) => asBlob(`api/models/${index}/path`, { start: ends[index].start, end: ends[index].end, steps, form: "picture" }));
  const straight = models.filter((model) => model.straight).map((model) => model.title);
  const round = models.filter((model) => !model.straight).map((model) => model.title);
  const ways = [
    straight.length ? `${straight.join(", ")} along the straight line` : "",
    round.length ? `${round.join(", ")} along the sphere, where its training codes lay` : "",
  ].filter(Boolean).join("; ");
  $("paths").textContent = `Every model goes from A to B in its own way: ${ways}.`;
  $("walk").max = steps - 1;
  $("walk").value = (steps - 1) / 2;

  function show(index) {
    if (!strips[index]) return;
    const step = Number($("walk").value), leaf = leaves[index];
    lay(leaf.canvas, leaf.model.shape, [[strips[index], step, 0, 0]]);
    leaf.say(step === 0 ? "A" : step === steps - 1 ? "B" : `${Math.round((100 * step) / (steps - 1))} % of the way`);
  }
  const lanes = leaves.map((leaf, index) => lane(async () => {
    const { start, end } = ends[index];
    leaf.hideCommand();
    strips[index] = await asBitmap(`api/models/${index}/path`, { start, end, steps });
    show(index);
  }, leaf.failed));
  $("walk").addEventListener("input", () => models.forEach((_, index) => show(index)));

  function setEnds(index, parts) {
    Object.assign(ends[index], { seed: null }, parts);
    lanes[index]();
  }
  const tell = (name) => { Object.assign(names, name); $("walk-ends").textContent = `A: ${names.start} · B: ${names.end}`; };
  async function draw() {
    const seed = Number($("walk-seed").value);
    await Promise.all(models.map(async (_, index) => {
      try {
        const [start, end] = (await asJson(`api/models/${index}/codes`, { n: 2, seed })).codes;
        setEnds(index, { start, end, seed });
        tell({ start: `first code of seed ${seed}`, end: "second" });
      } catch (error) { leaves[index].failed(error); }
    }));
  }
  $("walk-draw").addEventListener("click", draw);
  $("walk-seed").addEventListener("change", draw);
  await draw();
  return { setEnds, tell };
}
