// A leaf: one model's panel in one section, with its caption and its tools.
import { asJson, download } from "./ask.js";

const $ = (id) => document.getElementById(id);

/**
 * Make a leaf per model in a section.
 * `recipe(model)` gives {kind: body} of api/.../command; `picture(model)` a Promise of a Blob.
 */
export function makeLeaves(section, models, recipe, picture) {
  const home = document.querySelector(`[data-leaves="${section}"]`);
  home.style.setProperty("--count", models.length);
  home.classList.toggle("few", models.length <= 2);
  return models.map((model) => {
    const node = $("leaf").content.firstElementChild.cloneNode(true);
    node.classList.add(`hue-${(model.index % 4) + 1}`);
    node.classList.toggle("large", model.shape[2] > 256);
    node.dataset.model = model.index;
    node.querySelector("strong").textContent = model.title;
    const canvas = node.querySelector("canvas"), said = node.querySelector(".said");
    const shown = node.querySelector(".command"), copy = node.querySelector(".copy");
    const say = (sentence, wrong = false) => {
      said.textContent = sentence;
      said.classList.toggle("wrong", wrong);
      canvas.setAttribute("aria-label", `${model.title}: ${sentence}`);
    };
    const failed = (error) => say(error.message, true);
    copy.setAttribute("aria-label", `Copy what made this picture of ${model.title}`);
    copy.addEventListener("click", async () => {
      try {
        const { text } = await asJson(`api/models/${model.index}/command`, recipe(model));
        shown.textContent = text;
        shown.hidden = false;
        try { await navigator.clipboard.writeText(text); copy.textContent = "Copied"; }
        catch { getSelection().selectAllChildren(shown); copy.textContent = "Selected; press Ctrl-C"; }
        setTimeout(() => { copy.textContent = "Copy what made this"; }, 2500);
      } catch (error) { failed(error); }
    });
    node.querySelector(".save").addEventListener("click", async () => {
      try { download(await picture(model), `${section}-${model.title.replace(/\W+/g, "-").toLowerCase()}.png`); }
      catch (error) { failed(error); }
    });
    home.append(node);
    return { model, node, canvas, say, failed, extra: node.querySelector(".extra"), hideCommand() { shown.hidden = true; } };
  });
}

/** The picture on a canvas as a file, each pixel repeated until it is worth looking at. */
export function canvasBlob(canvas) {
  const times = Math.max(1, Math.floor(512 / Math.max(canvas.width, canvas.height)));
  const large = new OffscreenCanvas(canvas.width * times, canvas.height * times);
  const pen = large.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.fillStyle = "white";
  pen.fillRect(0, 0, large.width, large.height);
  pen.drawImage(canvas, 0, 0, large.width, large.height);
  return large.convertToBlob();
}
