// Asking the server, and showing what it answers.

/** POST JSON (or GET, without a body) and give the response; an error carries the server's sentence. */
async function ask(path, body) {
  const options = body === undefined ? {}
    : body instanceof FormData ? { method: "POST", body }
    : { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The explorer does not answer; was it stopped in the terminal?");
  }
  if (!response.ok) {
    let sentence = `The explorer answered ${response.status}.`;
    try { sentence = (await response.json()).error; } catch { /* no JSON: the number has to do */ }
    throw new Error(sentence);
  }
  return response;
}

export const asJson = async (path, body) => (await ask(path, body)).json();
export const asBlob = async (path, body) => (await ask(path, body)).blob();
export const asBitmap = async (path, body) => createImageBitmap(await asBlob(path, body));

export async function bitmapOf(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type: "image/png" }));
}

/** One request at a time, in order; of those that come meanwhile only the last is made. */
export function lane(work, failed) {
  let busy = false, next = null;
  return async function go(...what) {
    if (busy) { next = what; return; }
    busy = true;
    try { await work(...what); } catch (error) { failed(error); }
    busy = false;
    if (next) { const last = next; next = null; go(...last); }
  };
}

/** Follow a job until it is over; `told` hears of every look at it. */
export async function follow(job, told) {
  for (;;) {
    const seen = await asJson(`api/jobs/${job}`);
    if (seen.state === "done") return seen;
    if (seen.error) throw new Error(seen.error);
    told(seen);
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
}

const PER_ROW = 8; // pictures in a row of the server's cells
const WIDEST = 340; // pixels of the screen for one picture

/** Lay pictures out on a canvas, a pixel to a pixel: `places` are [bitmap, number, column, row]. */
export function lay(canvas, [, height, width], places, gap = 2) {
  const columns = 1 + Math.max(...places.map((place) => place[2]));
  const rows = 1 + Math.max(...places.map((place) => place[3]));
  const wide = columns * (width + gap) - gap, high = rows * (height + gap) - gap;
  if (canvas.width !== wide || canvas.height !== high) { canvas.width = wide; canvas.height = high; }
  canvas.style.setProperty("--w", wide);
  canvas.style.setProperty("--cap", `${columns * WIDEST}px`);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.imageSmoothingEnabled = false;
  pen.clearRect(0, 0, wide, high);
  for (const [bitmap, number, column, row] of places) {
    pen.drawImage(bitmap, (number % PER_ROW) * width, Math.floor(number / PER_ROW) * height, width, height,
      column * (width + gap), row * (height + gap), width, height);
  }
}

export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
