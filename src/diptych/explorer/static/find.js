// Pictures found again: held-out ones or an upload, by encoder or by search.
import { asJson, bitmapOf, follow, lay } from "./ask.js";
import { canvasBlob, makeLeaves } from "./leaves.js";

const $ = (id) => document.getElementById(id);

export async function find(models, { setCode }, { setEnds, tell }) {
  const found = models.map(() => null); // what each model found last
  let page = 0, upload = null, round = 0, jobs = [];
  const leaves = makeLeaves("find", models,
    ({ index }) => {
      const decode = found[index] ? { codes: found[index].codes } : null;
      return upload === null ? { page, decode } : { decode };
    },
    ({ index }) => canvasBlob(leaves[index].canvas));
  const note = (sentence, wrong = false) => {
    $("find-notes").textContent = sentence;
    $("find-notes").classList.toggle("wrong", wrong);
  };

  function forget() {
    round += 1;
    for (const job of jobs) asJson(`api/jobs/${job}/cancel`, {}).catch((error) => note(error.message, true));
    jobs = [];
    found.fill(null);
    $("found").hidden = true;
    $("find-cancel").hidden = true;
  }

  function offer(count, labels) {
    $("found-which").replaceChildren(...Array.from({ length: count }, (_, number) => {
      const option = document.createElement("option");
      option.value = number;
      option.textContent = labels[number] ? `${number + 1}: ${labels[number]}` : `${number + 1}`;
      return option;
    }));
    $("found").hidden = false;
  }

  /** Show the page of held-out pictures, not yet found. */
  async function choose(next) {
    forget();
    page = next;
    upload = null;
    note("");
    await Promise.all(leaves.map(async (leaf) => {
      leaf.hideCommand();
      if (leaf.model.data === null) { leaf.node.hidden = true; return; }
      try {
        const held = await asJson(`api/models/${leaf.model.index}/pictures/${page}`);
        const bitmap = await bitmapOf(held.picture);
        leaf.labels = held.labels;
        lay(leaf.canvas, leaf.model.shape, Array.from({ length: held.count }, (_, n) => [bitmap, n, n, 0]));
        leaf.say(`${held.count} ${leaf.model.held_out ? "held-out " : ""}pictures of ${leaf.model.data}`);
      } catch (error) { leaf.failed(error); }
    }));
  }

  async function search(body, labels) {
    forget();
    const mine = round;
    $("find-cancel").hidden = false;
    await Promise.all(leaves.map(async (leaf) => {
      const { index, shape, encodes } = leaf.model;
      if (leaf.node.hidden) return;
      leaf.hideCommand();
      try {
        leaf.say(encodes ? "encoding …" : "searching …");
        const { job } = await asJson(`api/models/${index}/find`, body);
        if (mine !== round) { await asJson(`api/jobs/${job}/cancel`, {}); return; }
        jobs.push(job);
        const seen = await follow(job, ({ state, passes, seconds }) => {
          if (mine === round) leaf.say(state === "waiting" ? "waits for its turn" : `${encodes ? "encoding" : "searching"} … ${passes} passes, ${seconds.toFixed(1)} s`);
        });
        if (mine !== round) return;
        const { codes, errors, pictures, again } = seen.result;
        found[index] = { codes };
        const [above, below] = await Promise.all([bitmapOf(pictures), bitmapOf(again)]);
        const single = codes.length === 1; // side by side, or it would be twice as high as a phone
        lay(leaf.canvas, shape, codes.flatMap((_, n) => [[above, n, n, 0], single ? [below, n, 1, 0] : [below, n, n, 1]]));
        const error = errors.reduce((sum, value) => sum + value, 0) / errors.length;
        leaf.say(`${single ? "right" : "below"}, ${encodes ? "encoded and decoded" : `found by search (${seen.passes} passes, ${seen.seconds.toFixed(1)} s)`}: mean squared error ${error.toFixed(4)}`);
        offer(codes.length, labels ?? leaf.labels ?? []);
      } catch (error) { if (mine === round) leaf.failed(error); }
    }));
    if (mine === round) { $("find-cancel").hidden = true; jobs = []; }
  }

  async function take(file) {
    forget();
    if (file.size > 5 * 2 ** 20) { note("The file has more than 5 MiB; choose a smaller one.", true); return; }
    const form = new FormData();
    form.append("picture", file);
    try {
      const answer = await asJson("api/uploads", form);
      upload = answer.upload;
      await Promise.all(leaves.map(async (leaf, index) => {
        leaf.node.hidden = false;
        lay(leaf.canvas, leaf.model.shape, [[await bitmapOf(answer.models[index].picture), 0, 0, 0]]);
      }));
      const notes = [...new Set(answer.models.flatMap((model) => model.notes))];
      note(notes.length ? `Your picture: ${notes.join("; ")}.` : "Your picture was taken as it is.");
      await search({ upload }, ["your picture"]);
    } catch (error) { note(error.message, true); }
  }

  const held = models.some((model) => model.data !== null);
  $("find-held").hidden = $("find-other").hidden = !held;
  $("find-held").addEventListener("click", async () => {
    if (upload !== null) await choose(page);
    await search({ page });
  });
  $("find-other").addEventListener("click", () => choose(page + 1));
  $("find-file").addEventListener("change", (event) => { if (event.target.files.length) take(event.target.files[0]); });
  $("find-cancel").addEventListener("click", () => {
    const searching = found.map((result) => result === null);
    forget();
    leaves.forEach((leaf, index) => { if (searching[index]) leaf.say("cancelled"); });
  });
  for (const button of document.querySelectorAll("[data-found]")) {
    button.addEventListener("click", () => {
      const number = Number($("found-which").value);
      const name = upload === null ? `picture ${$("found-which").selectedOptions[0].textContent}` : "your picture";
      found.forEach((result, index) => {
        if (!result) return;
        const code = result.codes[number];
        if (button.dataset.found === "sliders") setCode(index, code, `code of ${name}`);
        else setEnds(index, { [button.dataset.found]: code });
      });
      if (button.dataset.found !== "sliders") tell({ [button.dataset.found]: name });
    });
  }
  if (held) await choose(0);
  else {
    leaves.forEach((leaf) => { leaf.node.hidden = true; });
    note("There are no held-out pictures to choose from; bring a picture of your own.");
  }
}
