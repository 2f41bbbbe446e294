// The page: asks what models there are, and begins every section.
import { asJson } from "./ask.js";
import { between } from "./between.js";
import { classes } from "./classes.js";
import { find } from "./find.js";
import { samples } from "./samples.js";
import { traverse } from "./traverse.js";

const $ = (id) => document.getElementById(id);

function introduce(models) {
  const names = models.map((model) => model.title);
  const all = names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)}` : names[0];
  $("title").textContent = `${all}, live`;
  document.title = `${all} · Diptych explorer`;
  $("standfirst").textContent = models.map((model) => {
    const [channels, height, width] = model.shape;
    return `${model.title}: ${model.latent_dim} latents to ${height} × ${width} × ${channels}, trained on ${model.trained_on}.`;
  }).join(" ");
  const without = [...new Set(models.map((model) => model.without).filter(Boolean))];
  if (without.length) {
    $("trouble").textContent = `No held-out pictures and no classes: ${without.join("; ")}. All else works.`;
    $("trouble").hidden = false;
  }
}

try {
  const { models, steps } = await asJson("api/models");
  introduce(models);
  document.querySelector("main").hidden = false;
  const sliders = await traverse(models);
  const walk = await between(models, steps);
  await samples(models);
  classes(models, sliders);
  await find(models, sliders, walk);
  document.body.dataset.ready = "yes";
} catch (error) {
  $("title").textContent = "The models could not be opened";
  $("trouble").textContent = error.message;
  $("trouble").hidden = false;
}
