"use strict";
/* The live latents: two ends, one slider, and every model decoding what lies between. Nothing is
   asked of the network: codes, decoders and pictures are in the script tag with the id "latents". */
(() => {
  const tag = document.getElementById("latents"), section = document.getElementById("live");
  if (!tag || !section) return;
  const page = JSON.parse(tag.textContent);
  const [height, width] = page.cell, live = section.querySelector(".live"), slider = section.querySelector("#way");
  const find = (selector, within = section) => within.querySelector(selector);
  const all = (selector, within = section) => [...within.querySelectorAll(selector)];
  const nameOf = (label) => (label === null ? "" : page.classes[label] ?? "");
  const PATIENCE = 40; // milliseconds of decoding before the page gets its turn
  const ENDS = ["A", "B"];
  const state = { A: { kind: "image", index: 0 }, B: { kind: "image", index: Math.min(1, page.queries.count - 1) }, draws: 0, only: null };
  let sprite = null; // the held-out images, in one row

  /* ---- models ---- */

  /** Rows of a block of codes. */
  function rows(text, length) {
    const block = Decoder.unpack(text);
    return Array.from({ length: block.length / length }, (_, i) => block.subarray(i * length, (i + 1) * length));
  }

  const models = page.models.map((entry, index) => {
    const root = find(`[data-model="${index}"]`), below = find(`[data-map="${index}"]`);
    const decoder = entry.decoder && Decoder.read(entry.decoder);
    const canvases = { now: find(".now", root), A: find('[data-at="A"]', root), B: find('[data-at="B"]', root), peek: find(".peek", below) };
    const size = entry.atlas && !decoder ? entry.atlas.cell : page.cell;
    for (const canvas of Object.values(canvases)) if (canvas) [canvas.height, canvas.width] = size;
    return {
      ...entry, root, below, decoder, canvases, chart: find(".map", below), said: find(".dot-said", below),
      codes: rows(entry.queries.codes, entry.latents), dots: rows(entry.map.codes, entry.latents), places: entry.map.xy,
      pixels: new ImageData(size[1], size[0]), own: { A: null, B: null }, stale: new Set(["now", "A", "B"]), at: null, sheet: null,
    };
  });

  const staged = models.filter((model) => model.canvases.now); // the others have a map and a sentence

  const endOf = (model, end) => model.own[end] ?? state[end];

  function codeOf(model, end) {
    const chosen = endOf(model, end);
    if (chosen.kind === "dot") return model.dots[chosen.index];
    if (chosen.kind === "image") return model.codes[chosen.index];
    return Decoder.normals(chosen.index, model.latents);
  }

  /** What an end is, in words; for a held-out image with the way its code was found, and its error. */
  function say(model, end) {
    const chosen = endOf(model, end);
    if (chosen.kind === "random") return "a random code";
    if (chosen.kind === "dot") {
      const name = nameOf(model.map.labels[chosen.index]);
      return `dot ${chosen.index + 1} of the map${name && `, ${name}`}`;
    }
    const error = model.queries.errors?.[chosen.index];
    return `${model.search ? "searched for" : "encoded"}${error === undefined ? "" : `, error ${error.toFixed(4)}`}`;
  }

  function name(end) {
    const chosen = state[end];
    if (chosen.kind === "random") return "a random code of each model";
    const label = nameOf(page.queries.labels[chosen.index]);
    return `held-out image ${chosen.index + 1}${label && `, ${label}`}`;
  }

  /* ---- drawing ---- */

  function drawDecoded(model, canvas, code) {
    Decoder.paint(Decoder.decode(model.decoder, code), model.decoder.shape[0], model.pixels.data);
    canvas.getContext("2d").putImageData(model.pixels, 0, 0);
    window.diptych.decoded++;
  }

  /** The place of an end in a model's atlas: images come first, then codes from its prior. */
  function inAtlas(model, end) {
    const chosen = state[end], count = page.queries.count;
    if (chosen.kind === "image") return chosen.index;
    const prior = [...new Set(model.atlas.pairs.flat())].filter((i) => i >= count);
    return prior.length ? prior[chosen.index % prior.length] : -1;
  }

  /** Row and column of the atlas for the point t of the way; null where it has no such pair. */
  function inSheet(model, t) {
    const [a, b] = ENDS.map((end) => inAtlas(model, end)), { pairs, steps } = model.atlas;
    if (a === b) t = 0;
    const row = pairs.findIndex(([i, j]) => (a === b ? i === a || j === a : (i === a && j === b) || (i === b && j === a)));
    if (row < 0) return null;
    const column = Math.round((pairs[row][0] === a ? t : 1 - t) * (steps - 1));
    return [row, column];
  }

  function drawFromAtlas(model, canvas, t) {
    const context = canvas.getContext("2d"), place = model.sheet && inSheet(model, t);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!place) return;
    const [h, w] = model.atlas.cell;
    context.drawImage(model.sheet, place[1] * (w + 2), place[0] * (h + 2), w, h, 0, 0, w, h);
  }

  const way = () => slider.value / slider.max;
  const middle = (model) => Decoder.between(model.path, codeOf(model, "A"), codeOf(model, "B"), way());

  function draw(model, what) {
    const canvas = model.canvases[what];
    if (model.decoder) drawDecoded(model, canvas, what === "now" ? middle(model) : codeOf(model, what));
    else if (model.atlas) drawFromAtlas(model, canvas, what === "now" ? way() : what === "A" ? 0 : 1);
    if (what === "now") drawMap(model);
  }

  let asked = false;
  /** Draw what is stale, once per frame and for no longer than the patience. */
  function frame() {
    asked = false;
    const end = performance.now() + PATIENCE;
    for (const what of ["now", "A", "B"]) for (const model of [...models]) {
      if (!model.stale.has(what)) continue;
      if (performance.now() > end) return ask();
      model.stale.delete(what);
      draw(model, what);
      models.push(...models.splice(models.indexOf(model), 1)); // who was served goes last
    }
  }

  function ask() {
    if (!asked) requestAnimationFrame(frame);
    asked = true;
  }

  /* ---- the map ---- */

  const style = (name) => getComputedStyle(section).getPropertyValue(name).trim();
  const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;
  function colourOf(label) {
    const classes = Math.max(page.classes.length, 1), hue = (360 * label) / Math.min(classes, 12);
    return `hsl(${hue % 360} 62% ${(isDark() ? 62 : 44) + (label % 2 ? 6 : -4)}%)`;
  }

  function project(model, code) {
    return model.map.directions.map((row) => row.reduce((sum, value, i) => sum + value * (code[i] - model.map.origin[i]), 0));
  }

  /** From places on the map to pixels of its canvas; both axes on one scale. */
  function lens(model) {
    const side = model.side, places = [...model.places, ...model.codes.map((code) => project(model, code))];
    const middles = [0, 1].map((axis) => {
      const values = places.map((p) => p[axis]);
      return [Math.min(...values), Math.max(...values)];
    });
    const span = Math.max(...middles.map(([low, high]) => high - low)) || 1, factor = (side - 24) / span;
    return ([x, y]) => [side / 2 + (x - (middles[0][0] + middles[0][1]) / 2) * factor, side / 2 - (y - (middles[1][0] + middles[1][1]) / 2) * factor];
  }

  /** The dots, which stay: drawn once for a size, a theme and a choice of class. */
  function drawDots(model) {
    const canvas = model.chart, ratio = window.devicePixelRatio || 1, side = canvas.clientWidth || 300;
    model.side = side;
    canvas.width = canvas.height = Math.round(side * ratio);
    const dots = document.createElement("canvas");
    dots.width = dots.height = canvas.width;
    const context = dots.getContext("2d"), toPixels = lens(model);
    context.scale(ratio, ratio);
    model.pixelsOf = model.places.map(toPixels);
    model.toPixels = toPixels;
    const { labels, values } = model.map, plain = style("--ink-soft");
    model.pixelsOf.forEach(([x, y], i) => {
      const label = labels[i];
      context.globalAlpha = state.only === null || label === state.only ? 0.9 : 0.12;
      context.fillStyle = label !== null ? colourOf(label) : values ? `hsl(38 55% ${(isDark() ? 25 : 20) + 60 * values[i]}%)` : plain;
      context.beginPath();
      context.arc(x, y, 2.6, 0, 7);
      context.fill();
    });
    model.dotLayer = dots;
  }

  function drawMap(model) {
    if (!model.dotLayer) drawDots(model);
    const canvas = model.chart, context = canvas.getContext("2d"), ratio = window.devicePixelRatio || 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(model.dotLayer, 0, 0);
    context.scale(ratio, ratio);
    const ink = style("--ink"), well = style("--well");
    if (model.decoder) {
      const [a, b] = ENDS.map((end) => codeOf(model, end));
      context.strokeStyle = ink;
      context.lineWidth = 1.5;
      context.beginPath();
      for (let i = 0; i <= 20; i++) context.lineTo(...model.toPixels(project(model, Decoder.between(model.path, a, b, i / 20))));
      context.stroke();
      mark(context, model.toPixels(project(model, a)), "A", ink, well);
      mark(context, model.toPixels(project(model, b)), "B", ink, well);
      const [x, y] = model.toPixels(project(model, middle(model)));
      context.fillStyle = well;
      ring(context, x, y, 5);
      context.fill();
      context.stroke();
    }
    if (model.at !== null) {
      context.strokeStyle = ink;
      context.lineWidth = 2;
      ring(context, ...model.pixelsOf[model.at], 7);
      context.stroke();
    }
  }

  function ring(context, x, y, radius) {
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
  }

  function mark(context, [x, y], letter, ink, well) {
    context.fillStyle = ink;
    ring(context, x, y, 8);
    context.fill();
    context.fillStyle = well;
    context.font = "600 11px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(letter, x, y + 0.5);
  }

  function point(model, index) {
    if (index === null || index === model.at) return;
    model.at = index;
    const label = nameOf(model.map.labels[index]);
    model.said.textContent = `Dot ${index + 1} of ${model.places.length}${label && `: ${label}`}`;
    all("[data-to]", model.below).forEach((button) => (button.disabled = false));
    if (model.decoder) {
      drawDecoded(model, model.canvases.peek, model.dots[index]);
      model.canvases.peek.classList.add("shown");
    }
    drawMap(model);
  }

  /** Whether the dot can be seen: one class may be shown alone. */
  const shows = (model, i) => state.only === null || model.map.labels[i] === state.only;

  function nearest(model, x, y) {
    let best = null, least = Infinity;
    model.pixelsOf.forEach(([px, py], i) => {
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least && shows(model, i)) [best, least] = [i, distance];
    });
    return best;
  }

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  /** The next dot that way: near, and rather straight on than aside. */
  function step(model, [dx, dy]) {
    if (model.at === null) return nearest(model, model.side / 2, model.side / 2);
    const [x, y] = model.pixelsOf[model.at];
    let best = null, least = Infinity;
    model.pixelsOf.forEach(([px, py], i) => {
      const ahead = (px - x) * dx + (py - y) * dy, aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
      const cost = ahead + 2 * aside;
      if (i !== model.at && ahead > 0.5 && cost < least && shows(model, i)) [best, least] = [i, cost];
    });
    return best;
  }

  function makeEnd(model, end) {
    if (model.at === null || !model.decoder) return;
    model.own[end] = { kind: "dot", index: model.at };
    refresh(`${model.title}: ${end} is ${say(model, end)}.`);
  }

  /* ---- what is chosen ---- */

  function choose(end, chosen) {
    state[end] = chosen;
    models.forEach((model) => (model.own[end] = null));
    refresh(`A is ${name("A")}; B is ${name("B")}.`);
  }

  function refresh(sentence) {
    if (!staged.length) return;
    find(".status").textContent = sentence;
    for (const end of ENDS) {
      all(`.thumbs[data-end="${end}"] button`).forEach((button, i) => button.setAttribute("aria-pressed", state[end].kind === "image" && state[end].index === i));
      find(`.draw[data-end="${end}"]`).setAttribute("aria-pressed", state[end].kind === "random");
    }
    for (const model of staged) {
      for (const end of ENDS) {
        find(`[data-said="${end}"]`, model.root).textContent = say(model, end);
        model.canvases[end].setAttribute("aria-label", `${model.title} at ${end}: ${say(model, end)}`);
      }
      if (!model.decoder && model.atlas && !inSheet(model, 0)) find('[data-said="B"]', model.root).textContent = "no pictures were made for this pair: take one of the first images";
      model.stale = new Set(["now", "A", "B"]);
    }
    tellWay();
    ask();
  }

  function tellWay() {
    const percent = Math.round(100 * way());
    slider.setAttribute("aria-valuetext", `${percent} % of the way from A to B`);
    staged.forEach((model) => model.canvases.now.setAttribute("aria-label", `${model.title}, ${percent} % of the way from A to B`));
  }

  function thumb(index) {
    const canvas = document.createElement("canvas");
    [canvas.height, canvas.width] = page.cell;
    canvas.getContext("2d").drawImage(sprite, index * (width + 2), 0, width, height, 0, 0, width, height);
    return canvas;
  }

  function buildPicker() {
    for (const row of all(".thumbs")) for (let i = 0; i < page.queries.count; i++) {
      const button = document.createElement("button"), label = nameOf(page.queries.labels[i]);
      button.type = "button";
      button.title = label || `image ${i + 1}`;
      button.setAttribute("aria-label", `${row.dataset.end}: held-out image ${i + 1}${label && `, ${label}`}`);
      button.append(thumb(i));
      button.addEventListener("click", () => choose(row.dataset.end, { kind: "image", index: i }));
      row.append(button);
    }
    for (const button of all(".draw")) button.addEventListener("click", () => choose(button.dataset.end, { kind: "random", index: ++state.draws }));
  }

  function buildLegend() {
    const legend = find(".legend");
    if (!legend) return;
    page.classes.forEach((text, label) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => {
        state.only = state.only === label ? null : label;
        all("button", legend).forEach((other, i) => other.setAttribute("aria-pressed", i === state.only));
        redrawMaps();
      });
      legend.append(button);
    });
  }

  function redrawMaps() {
    all(".legend button").forEach((button, label) => button.style.setProperty("--dot", colourOf(label)));
    models.forEach((model) => { drawDots(model); drawMap(model); });
  }

  function listen() {
    slider?.addEventListener("input", () => {
      tellWay();
      staged.forEach((model) => model.stale.add("now"));
      ask();
    });
    for (const model of models) {
      const canvas = model.chart;
      const at = (event) => {
        const box = canvas.getBoundingClientRect(), border = (box.width - canvas.clientWidth) / 2;
        point(model, nearest(model, event.clientX - box.left - border, event.clientY - box.top - border));
      };
      canvas.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") at(event); });
      canvas.addEventListener("pointerdown", at);
      canvas.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        const end = event.key.toUpperCase();
        if (ARROWS[event.key]) point(model, step(model, ARROWS[event.key]));
        else if (ENDS.includes(end)) makeEnd(model, end);
        else return;
        event.preventDefault();
      });
      all("[data-to]", model.below).forEach((button) => button.addEventListener("click", () => makeEnd(model, button.dataset.to)));
    }
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawMaps);
    new ResizeObserver(() => { if (models.some((model) => model.chart.clientWidth !== model.side)) redrawMaps(); }).observe(live);
  }

  async function picture(uri) {
    const image = new Image();
    image.src = uri;
    await image.decode();
    return image;
  }

  async function start() {
    window.diptych = { decoded: 0 }; // pictures decoded so far, for benchmarks/sliders.py
    sprite = await picture(page.queries.uri);
    for (const model of models) if (model.atlas) model.sheet = await picture(model.atlas.uri);
    live.hidden = false;
    buildPicker();
    buildLegend();
    redrawMaps();
    listen();
    refresh(`A is ${name("A")}; B is ${name("B")}.`);
  }
  start();
})();
