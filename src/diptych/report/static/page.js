// What the page does when it is opened: scrub through training, draw the curves, open a whole
// grid, copy the command. Everything is legible without it but the curves, and their last values
// are written out.
"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // The scrubber: one moment of the budget, every film at the last frame it has until then.
  const section = document.getElementById("trained");
  const scrub = document.getElementById("scrub");
  if (scrub) {
    const moments = scrub.dataset.moments.split(",").map(Number);
    const films = all(".film", section).map((film) => all("li", film));
    const show = () => {
      const now = moments[scrub.value];
      const said = [];
      for (const frames of films) {
        const on = frames.findLast((frame) => Number(frame.dataset.at) <= now) ?? frames[0];
        const last = frames.at(-1);
        for (const frame of frames) frame.classList.toggle("on", frame === on);
        on.classList.toggle("ended", on === last && Number(last.dataset.at) < 95 && now > Number(last.dataset.at));
        said.push(`${on.closest(".film").querySelector("h3").textContent}: ${on.querySelector(".when").textContent}`);
      }
      document.getElementById("scrub-at").textContent = `${now} %`;
      scrub.setAttribute("aria-valuetext", `${now} per cent of the budget. ${said.join(". ")}`);
    };
    section.classList.add("scrubbing");
    for (const strip of all(".strip", section)) strip.removeAttribute("tabindex");
    section.querySelector(".scrubber").hidden = false;
    scrub.addEventListener("input", show);
    show();
  }

  // The curves, drawn one after the other so that the page answers meanwhile.
  const charts = JSON.parse(document.getElementById("charts").textContent);
  // `ast` lets Vega interpret its expressions, so the page's policy can forbid eval.
  const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true };
  let drawing = 0; // a later choice of axis ends an earlier drawing
  const draw = async (axis) => {
    const mine = ++drawing;
    for (const place of all("[data-chart]")) {
      if (mine !== drawing) return;
      const chart = charts[place.dataset.chart];
      if (axis) chart.spec.encoding.x = chart.axes[axis];
      try {
        await vegaEmbed(place, chart.spec, options);
      } catch (error) {
        place.textContent = `This curve could not be drawn: ${error.message}`;
      }
      await new Promise((next) => setTimeout(next));
    }
  };
  const axes = document.getElementById("axis-switch");
  if (Object.keys(charts).length) axes.hidden = false;
  axes.addEventListener("change", (event) => draw(event.target.value));
  draw();

  const viewer = document.getElementById("viewer");
  const stage = viewer.querySelector(".stage");
  for (const button of all("button.whole")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const shown = all("img", button.closest("figure")).find((image) => image.offsetParent);
      if (!shown) return;
      stage.replaceChildren(shown.cloneNode());
      viewer.showModal();
    });
  }
  viewer.addEventListener("click", (event) => {
    if (event.target === viewer) viewer.close();
  });

  const copy = document.getElementById("copy");
  if (copy && navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.querySelector(".command code").textContent);
      copy.textContent = "copied";
    });
  }
})();
