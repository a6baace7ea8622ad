// Conversion of ink on a surface to input pixels of the network. Pure functions, without the page.
//
// MNIST's digits were scaled to fit a box of 20 × 20 pixels, their proportions kept, and put into
// a field of 28 × 28 so that their centre of mass is its centre (LeCun, Bottou, Bengio, Haffner,
// "Gradient-based learning applied to document recognition", 1998).

/** @typedef {{left: number, top: number, width: number, height: number}} Box */
/** @typedef {{ink: Uint8ClampedArray, width: number, height: number}} Surface
 *  `ink` is [height, width], from 0 to 255. */

/** The box's share of the field, 20 of 28 pixels. */
const BOX = 20 / 28;
/** Pixels for each of the field, while strokes are evened. */
const FINE = 4;
/** Usual widths of strokes, in pixels of 28. */
const THIN = 3;
const THICK = 4.5;
/** Ink that counts as ground where ink begins and ends. */
const FAINT = 64;

/**
* Return the whole surface, reduced to the size of the field.
 *
 * @param {Surface} surface
 * @param {number} height of the field
 * @param {number} width of the field
 * @returns {Float32Array} [height, width], from 0 to 1 in steps of 1/255
 */
export function asDrawn(surface, height, width) {
  const whole = { left: 0, top: 0, width: surface.width, height: surface.height };
  return averages(surface, whole, height, width).map((grey) => Math.round(grey) / 255);
}

/**
 * Return the drawing in the form of MNIST's digits, as tasks/images/fit.py does it in scoring.
 *
 * @param {Surface} surface
 * @param {number} height of the field
 * @param {number} width of the field
 * @returns {Float32Array} [height, width], from 0 to 1 in steps of 1/255
 */
export function inMnistForm(surface, height, width) {
  const field = new Float32Array(height * width);
  if (!inkBox(surface)) return field;
  const side = Math.min(height, width);
  const box = Math.round(BOX * side);
  const { ink: fine, ...size } = scaledTo(evenStrokes(surface, box * FINE, (side / 28) * FINE), box * FINE);
  const down = Math.max(1, Math.round(size.height / FINE));
  const across = Math.max(1, Math.round(size.width / FINE));
  const whole = { left: 0, top: 0, width: size.width, height: size.height };
  const small = averages({ ink: fine, ...size }, whole, down, across);
  const peak = small.reduce((a, b) => Math.max(a, b), 1);
  const [y, x] = centreOfMass(small, down, across);
  // In each of MNIST's test images, the centre of mass rounds to row 14 and column 14, from 0.
  const top = within(Math.round(height / 2 - y), 0, height - down);
  const left = within(Math.round(width / 2 - x), 0, width - across);
  for (let row = 0; row < down; row++) {
    for (let column = 0; column < across; column++) {
      const grey = Math.round((255 * small[row * across + column]) / peak);
      field[(top + row) * width + left + column] = grey / 255;
    }
  }
  return field;
}

/**
 * Return the ink, its longer side so many pixels, with strokes no thinner and no wider than usual.
 *
 * @param {Surface} surface with ink
 * @param {number} side
 * @param {number} unit pixels of the result for each of 28
 */
function evenStrokes(surface, side, unit) {
  const drawn = scaledTo(surface, side);
  const width = strokeWidth(drawn) / unit;
  const grow = ((within(width, THIN, THICK) - width) / 2) * unit;
  if (Math.abs(grow) <= 0.1 * unit) return drawn;
  return moveOutline(scaledTo(surface, Math.round(side - 2 * grow)), grow);
}

/**
 * The ink's box in other pixels, its longer side so many.
 *
 * @param {Surface} surface with ink
 * @param {number} side
 * @returns {Surface}
 */
function scaledTo(surface, side) {
  const box = inkBox(surface) ?? { left: 0, top: 0, width: surface.width, height: surface.height };
  const scale = side / Math.max(box.width, box.height);
  const height = Math.max(1, Math.round(box.height * scale));
  const width = Math.max(1, Math.round(box.width * scale));
  return { ink: Uint8ClampedArray.from(averages(surface, box, height, width)), height, width };
}

/**
 * The mean width of strokes: across a stroke, the distance to its edge is a quarter of the width.
 *
 * @param {Surface} surface
 */
function strokeWidth(surface) {
  const inside = distances(surface, 0).filter((distance) => distance > 0);
  return inside.length ? 4 * (inside.reduce((a, b) => a + b, 0) / inside.length - 0.5) : 0;
}

/**
 * Move the outline of strokes outwards, or inwards if the distance is negative.
 *
 * @param {Surface} surface
 * @param {number} distance in pixels
 * @returns {Surface}
 */
function moveOutline(surface, distance) {
  const margin = Math.max(0, Math.ceil(distance)) + 1;
  const wide = { width: surface.width + 2 * margin, height: surface.height + 2 * margin };
  const ink = new Uint8ClampedArray(wide.width * wide.height);
  for (let y = 0; y < surface.height; y++) {
    const row = surface.ink.subarray(y * surface.width, (y + 1) * surface.width);
    ink.set(row, (y + margin) * wide.width + margin);
  }
  const inner = distances({ ink, ...wide }, 0);
  const outer = distances({ ink, ...wide }, 1);
  const moved = ink.map((value, i) => {
    const edge = inner[i] - outer[i] + distance + (value > 127 ? 0 : 1);
    const other = 255 * within(edge, 0, 1);
    return distance > 0 ? Math.max(value, other) : Math.min(value, other);
  });
  return { ink: moved.some((value) => value > 0) ? moved : ink, ...wide };
}

/**
 * Each pixel's distance to the nearest one on the ground, or to the nearest one in the ink.
 *
 * @param {Surface} surface
 * @param {0 | 1} wanted 0 for the ground, 1 for the ink
 */
function distances({ ink, height, width }, wanted) {
  const far = height + width;
  const down = new Float32Array(height * width);
  for (const step of [1, -1]) {
    for (let n = 0; n < height * width; n++) {
      const i = step > 0 ? n : height * width - 1 - n;
      const before = i - step * width;
      const next = before >= 0 && before < down.length ? down[before] + 1 : far;
      const here = Number(ink[i] > 127) === wanted ? 0 : far;
      down[i] = Math.min(step > 0 ? here : down[i], next);
    }
  }
  return down.map((_, i) => {
    const start = i - (i % width);
    let best = far * far;
    for (let x = 0; x < width; x++) best = Math.min(best, (start + x - i) ** 2 + down[start + x] ** 2);
    return Math.sqrt(best);
  });
}

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
const within = (value, low, high) => Math.min(Math.max(value, low), high);

/**
 * The smallest box that holds all ink; null if there is none.
 *
 * @param {Surface} surface
 * @returns {Box | null}
 */
export function inkBox({ ink, width, height }) {
  let left = width;
  let right = -1;
  let top = height;
  let bottom = -1;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (ink[i] < FAINT) continue;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      bottom = y;
    }
  }
  return right < 0 ? null : { left, top, width: right - left + 1, height: bottom - top + 1 };
}

/**
 * A part of the surface in other pixels: each the mean of what it covers.
 *
 * @param {Surface} surface
 * @param {Box} box
 * @param {number} height
 * @param {number} width
 * @returns {Float32Array} [height, width], from 0 to 255
 */
function averages(surface, box, height, width) {
  const rows = covered(box.top, box.height, height);
  const columns = covered(box.left, box.width, width);
  const result = new Float32Array(height * width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (const [row, high] of rows[y]) {
        const start = row * surface.width;
        for (const [column, wide] of columns[x]) sum += high * wide * surface.ink[start + column];
      }
      result[y * width + x] = sum;
    }
  }
  return result;
}

/**
* Return the old pixels that each new pixel of a row or column covers, with their shares.
 *
 * @param {number} start first old pixel
 * @param {number} length old pixels
 * @param {number} count new pixels
 * @returns {[number, number][][]}
 */
function covered(start, length, count) {
  const step = length / count;
  return Array.from({ length: count }, (_, i) => {
    const from = i * step;
    const to = from + step;
    /** @type {[number, number][]} */
    const parts = [];
    for (let k = Math.floor(from + 1e-9); k < Math.min(to - 1e-9, length); k++) {
      parts.push([start + k, (Math.min(to, k + 1) - Math.max(from, k)) / step]);
    }
    return parts;
  });
}

/**
 * @param {Float32Array} values [height, width], not all 0
 * @param {number} height
 * @param {number} width
 * @returns {[number, number]} row and column
 */
function centreOfMass(values, height, width) {
  let mass = 0;
  let rows = 0;
  let columns = 0;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      mass += values[i];
      rows += values[i] * y;
      columns += values[i] * x;
    }
  }
  return [rows / mass, columns / mass];
}
