// What the page does when it is opened: draw the curves, open a whole grid, copy the command.
// Everything is legible without it but the curves, and their last values are written out.
"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  // `ast` lets Vega interpret its expressions, so the page's policy can forbid eval.
  const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true };
  for (const place of document.querySelectorAll("[data-chart]")) {
    vegaEmbed(place, charts[place.dataset.chart], options).catch((error) => {
      place.textContent = `This curve could not be drawn: ${error.message}`;
    });
  }

  const viewer = document.getElementById("viewer");
  const stage = viewer.querySelector(".stage");
  for (const button of document.querySelectorAll("button.whole")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const image = button.closest("figure").querySelector("img").cloneNode();
      stage.replaceChildren(image);
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
