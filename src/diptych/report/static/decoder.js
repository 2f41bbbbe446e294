"use strict";
/* Runs a decoder that study/evidence/portable.py wrote down: codes in, pixels out, no library.

   Values lie channels last, and an image that is convolved has a ring of zeros around it, so a
   k x k window is k runs of neighbours and no border needs a question. Weights are packed in
   blocks of four outputs: the innermost loop reads two input values and four weights and adds eight
   products, which is what makes it fast enough to drag. */
const Decoder = (() => {
  /** IEEE half precision, as 16-bit integers, to a Float32Array. */
  function fromHalves(halves) {
    const values = new Float32Array(halves.length);
    for (let i = 0; i < halves.length; i++) {
      const sign = halves[i] & 0x8000 ? -1 : 1, exponent = (halves[i] >> 10) & 31, part = halves[i] & 1023;
      values[i] = sign * (exponent === 0 ? part * 2 ** -24 : (1 + part / 1024) * 2 ** (exponent - 15));
    }
    return values;
  }

  /** Base64 of little-endian float16 to a Float32Array. */
  function unpack(base64) {
    const text = atob(base64), halves = new Uint16Array(text.length >> 1);
    for (let i = 0; i < halves.length; i++) halves[i] = text.charCodeAt(2 * i) | (text.charCodeAt(2 * i + 1) << 8);
    return fromHalves(halves);
  }

  /** Rows of `length` weights, regrouped: four outputs interleaved, short blocks filled with zeros. */
  function inBlocks(row, outputs, length) {
    const packed = new Float32Array(Math.ceil(outputs / 4) * 4 * length);
    for (let o = 0; o < outputs; o++)
      for (let i = 0; i < length; i++) packed[((o >> 2) * length + i) * 4 + (o & 3)] = row(o, i);
    return packed;
  }

  /** A model from the content of decoder.json: layers with packed weights and their own buffers. */
  function read(description) {
    const weights = unpack(description.weights);
    let place = 0;
    const take = (count) => weights.subarray(place, (place += count));
    const layers = description.layers.map((entry) => {
      if (entry.op === "linear") {
        const rows = take(entry.inputs * entry.outputs);
        const packed = inBlocks((o, i) => rows[o * entry.inputs + i], entry.outputs, entry.inputs);
        return { ...entry, packed, bias: take(entry.outputs), out: new Float32Array(entry.outputs) };
      }
      if (entry.op !== "convolution" && entry.op !== "transposed") return entry;
      const [before, after] = entry.channels, [height, width] = entry.size;
      const up = entry.op === "transposed" ? 2 : 1, kernel = entry.op === "transposed" ? 2 : 3;
      const phases = up * up, length = kernel * kernel * before;
      const all = take(after * phases * length);
      const packed = [];
      for (let phase = 0; phase < phases; phase++)
        packed.push(inBlocks((o, i) => all[(o * phases + phase) * length + i], after, length));
      const crop = entry.crop || entry.size;
      return {
        ...entry, up, kernel, crop, packed, bias: take(after),
        // One pixel more than the ring needs: the second of a pair may lie past an odd width.
        padded: new Float32Array(((height + 2) * (width + 2) + 1) * before),
        out: new Float32Array(crop[0] * crop[1] * after),
      };
    });
    return { latents: description.latent_dim, shape: description.event_shape, layers };
  }

  function linear(layer, x) {
    const { inputs, outputs, packed, bias, out } = layer;
    for (let o = 0, k = 0; o < outputs; o += 4) {
      let a = 0, b = 0, c = 0, d = 0;
      for (let i = 0; i < inputs; i++, k += 4) {
        const v = x[i];
        a += v * packed[k]; b += v * packed[k + 1]; c += v * packed[k + 2]; d += v * packed[k + 3];
      }
      // Writes past the end of a typed array, and what they would have added to, are dropped.
      out[o] = a + bias[o]; out[o + 1] = b + bias[o + 1]; out[o + 2] = c + bias[o + 2]; out[o + 3] = d + bias[o + 3];
    }
    return out;
  }

  /** Put x into the middle of the layer's zeros. */
  function pad(layer, x) {
    const [height, width] = layer.size, channels = layer.channels[0], row = width * channels;
    for (let y = 0; y < height; y++) layer.padded.set(x.subarray(y * row, (y + 1) * row), ((y + 1) * (width + 2) + 1) * channels);
    return layer.padded;
  }

  /** A 3 x 3 convolution, or a transposed one as four 2 x 2 convolutions, one for each phase. */
  function convolve(layer, x) {
    const { up, kernel, crop, packed, bias, out } = layer;
    const [before, after] = layer.channels, [height, width] = layer.size;
    const padded = pad(layer, x), pitch = (width + 2) * before, run = kernel * before;
    for (let row = 0; row < up; row++) for (let column = 0; column < up; column++) {
      const weights = packed[row * up + column];
      for (let m = 0; m < height && m * up + row < crop[0]; m++) for (let n = 0; n < width; n += 2) {
        const left = n * up + column, start = (m + row) * pitch + (n + column) * before;
        if (left >= crop[1]) break;
        const first = ((m * up + row) * crop[1] + left) * after, second = first + up * after;
        const pair = n + 1 < width && left + up < crop[1];
        for (let o = 0, k = 0; o < after; o += 4) {
          let a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
          for (let t = 0, i = start; t < kernel; t++, i += pitch - run)
            for (const end = i + run; i < end; i++, k += 4) {
              const v = padded[i], w = padded[i + before];
              const p = weights[k], q = weights[k + 1], r = weights[k + 2], s = weights[k + 3];
              a += v * p; b += v * q; c += v * r; d += v * s;
              e += w * p; f += w * q; g += w * r; h += w * s;
            }
          const left4 = after - o;
          out[first + o] = a + bias[o];
          if (left4 > 1) out[first + o + 1] = b + bias[o + 1];
          if (left4 > 2) out[first + o + 2] = c + bias[o + 2];
          if (left4 > 3) out[first + o + 3] = d + bias[o + 3];
          if (!pair) continue;
          out[second + o] = e + bias[o];
          if (left4 > 1) out[second + o + 1] = f + bias[o + 1];
          if (left4 > 2) out[second + o + 2] = g + bias[o + 2];
          if (left4 > 3) out[second + o + 3] = h + bias[o + 3];
        }
      }
    }
    return out;
  }

  /** E[x] of a continuous Bernoulli with logit l: 1 / (1 - e^-l) - 1 / l, by its series near 0. */
  function continuousBernoulli(l) {
    if (Math.abs(l) < 0.01) return 0.5 + l / 12;
    const size = Math.abs(l), upper = -1 / Math.expm1(-size) - 1 / size;
    return l < 0 ? 1 - upper : upper;
  }

  /** An operation on each value, in place. */
  function each(layer, x) {
    const { op, slope, scale, shift } = layer;
    if (op === "leaky") for (let i = 0; i < x.length; i++) { if (x[i] < 0) x[i] *= slope; }
    else if (op === "affine") for (let i = 0; i < x.length; i++) x[i] = x[i] * scale + shift;
    else if (op === "tanh") for (let i = 0; i < x.length; i++) x[i] = Math.tanh(x[i]);
    else if (op === "sigmoid") for (let i = 0; i < x.length; i++) x[i] = 1 / (1 + Math.exp(-x[i]));
    else if (op === "continuous-bernoulli") for (let i = 0; i < x.length; i++) x[i] = continuousBernoulli(x[i]);
    else throw new Error(`the page knows no operation ${op}`);
    return x;
  }

  /** A code (L values) to an image, (H, W, C) in [0, 1]; the array is used again by the next call. */
  function decode(model, code) {
    let x = Float32Array.from(code);
    for (const layer of model.layers)
      x = layer.op === "linear" ? linear(layer, x) : layer.packed ? convolve(layer, x) : each(layer, x);
    return x;
  }

  /** Write an image (H, W, C) into RGBA bytes. One or two channels are grey (the second has no
      colour of its own), and transparent pixels lie on white, as in every picture of the page. */
  function paint(x, channels, bytes) {
    const level = (v) => (v <= 0 ? 0 : v >= 1 ? 255 : Math.round(255 * v));
    for (let i = 0, p = 0; i < x.length; i += channels, p += 4) {
      const alpha = channels === 4 ? level(x[i + 3]) / 255 : 1;
      for (let c = 0; c < 3; c++) bytes[p + c] = Math.round(alpha * level(x[channels < 3 ? i : i + c]) + (1 - alpha) * 255);
      bytes[p + 3] = 255;
    }
  }

  /** The point t in [0, 1] of the way between two codes; the same formulas as models/paths.py. */
  function between(path, start, end, t) {
    const norm = (z) => Math.hypot(...z), mix = (a, b) => a + t * (b - a);
    const straight = () => start.map((value, i) => mix(value, end[i]));
    if (path !== "spherical") return straight();
    const [from, to] = [norm(start), norm(end)];
    let cosine = 0;
    for (let i = 0; i < start.length; i++) cosine += (start[i] / from) * (end[i] / to);
    const angle = Math.acos(Math.min(1, Math.max(-1, cosine))), sine = Math.sin(angle);
    if (!(sine >= 1e-4)) return straight();
    const p = Math.sin((1 - t) * angle) / sine / from, q = Math.sin(t * angle) / sine / to;
    return start.map((value, i) => (p * value + q * end[i]) * mix(from, to));
  }

  /** Numbers from a normal distribution that are the same for the same seed: mulberry32, Box-Muller. */
  function normals(seed, count) {
    let s = (seed * 0x9e3779b1) >>> 0;
    const uniform = () => {
      s = (s + 0x6d2b79f5) >>> 0;
      let t = Math.imul(s ^ (s >>> 15), s | 1);
      t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    return Float32Array.from({ length: count }, () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()));
  }

  return { read, decode, paint, between, normals, unpack };
})();
