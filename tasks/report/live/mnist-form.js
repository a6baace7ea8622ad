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
* Return the drawing in the form of MNIST's digits.
 *
 * @param {Surface} surface
 * @param {number} height of the field
 * @param {number} width of the field
 * @returns {Float32Array} [height, width], from 0 to 1 in steps of 1/255
 */
export function inMnistForm(surface, height, width) {
  const field = new Float32Array(height * width);
  const box = inkBox(surface);
  if (!box) return field;
  const scale = (BOX * Math.min(height, width)) / Math.max(box.width, box.height);
  const down = Math.max(1, Math.round(box.height * scale));
  const across = Math.max(1, Math.round(box.width * scale));
  const small = averages(surface, box, down, across);
  const [y, x] = centreOfMass(small, down, across);
  // In each of MNIST's test images, the centre of mass rounds to row 14 and column 14, from 0.
  const top = within(Math.round(height / 2 - y), 0, height - down);
  const left = within(Math.round(width / 2 - x), 0, width - across);
  for (let row = 0; row < down; row++) {
    for (let column = 0; column < across; column++) {
      const grey = Math.round(small[row * across + column]);
      field[(top + row) * width + left + column] = grey / 255;
    }
  }
  return field;
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
      if (ink[i] === 0) continue;
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
