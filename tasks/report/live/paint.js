// Arrays as images, in the colours of the page: ink for values, red and blue for signs.

/** @typedef {[number, number, number]} Colour red, green, blue from 0 to 255 */

/** @typedef {{ink: Colour, plus: Colour, minus: Colour}} Palette */

/**
 * The colours of the page as it is now, light or dark.
 *
 * @param {HTMLElement} element
 * @returns {Palette}
 */
export function paletteOf(element) {
  const style = getComputedStyle(element);
  /** @param {string} name @returns {Colour} */
  const colour = (name) => {
    const [red, green, blue] = style.getPropertyValue(name).trim().split(/\s+/).map(Number);
    return [red, green, blue];
  };
  return { ink: colour("--live-ink"), plus: colour("--live-plus"), minus: colour("--live-minus") };
}

/** @param {Colour} colour */
export const css = ([red, green, blue]) => `rgb(${red}, ${green}, ${blue})`;

/**
* Return the range of the grey scale: from zero, or the smallest negative value, to the largest.
 *
 * @param {ArrayLike<number>} values
 * @returns {[number, number]}
 */
export function rangeOf(values) {
  let low = 0;
  let high = 0;
  for (let i = 0; i < values.length; i++) {
    if (values[i] < low) low = values[i];
    if (values[i] > high) high = values[i];
  }
  return [low, high > low ? high : low + 1];
}

/**
 * The largest magnitude; 1 if all are zero.
 *
 * @param {ArrayLike<number>} values
 */
export function largest(values) {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i]) || 0);
  return most || 1;
}

/**
* Return the place of each channel in an image of all channels, one pixel apart.
 *
 * @param {import("./network.js").Shape} shape
 */
export function tilesOf({ height, width, channels }) {
  const gap = height * width === 1 ? 0 : 1;
  const columns = Math.min(channels, Math.ceil(Math.sqrt((channels * 4 * height) / width)));
  const rows = Math.ceil(channels / columns);
  return {
    columns,
    rows,
    across: width + gap,
    down: height + gap,
    width: columns * (width + gap) - gap,
    height: rows * (height + gap) - gap,
  };
}

/**
 * Paint all channels of a layer side by side: more ink is more.
 *
 * @param {CanvasRenderingContext2D} context of a canvas as large as the tiles
 * @param {Float32Array} values [height, width, channels]
 * @param {import("./network.js").Shape} shape
 * @param {Palette} palette
 */
export function paintChannels(context, values, shape, palette) {
  const { height, width, channels } = shape;
  const tiles = tilesOf(shape);
  const [low, high] = rangeOf(values);
  const image = context.createImageData(tiles.width, tiles.height);
  for (let c = 0; c < channels; c++) {
    const left = (c % tiles.columns) * tiles.across;
    const top = Math.floor(c / tiles.columns) * tiles.down;
    for (let y = 0; y < height; y++) {
      let to = 4 * ((top + y) * tiles.width + left);
      for (let x = 0; x < width; x++, to += 4) {
        const share = (values[(y * width + x) * channels + c] - low) / (high - low);
        // Pixels between channels stay transparent.
        image.data[to] = palette.ink[0];
        image.data[to + 1] = palette.ink[1];
        image.data[to + 2] = palette.ink[2];
        image.data[to + 3] = 10 + 245 * share;
      }
    }
  }
  context.putImageData(image, 0, 0);
}

/**
 * Paint pixels as ink.
 *
 * @param {CanvasRenderingContext2D} context of a canvas of one pixel for each
 * @param {ArrayLike<number>} values from 0 to 1
 * @param {Palette} palette
 */
export function paintInk(context, values, palette) {
  paint(context, values.length, (i) => [palette.ink, values[i]]);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} count
 * @param {(i: number) => [Colour, number]} colourOf pixel i, and how much of it, from 0 to 1
 */
function paint(context, count, colourOf) {
  const image = context.createImageData(context.canvas.width, context.canvas.height);
  for (let i = 0; i < count; i++) {
    const [colour, share] = colourOf(i);
    image.data.set(colour, 4 * i);
    image.data[4 * i + 3] = 255 * share;
  }
  context.putImageData(image, 0, 0);
}

/**
 * Paint a grid of numbers, each in a cell of its colour.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array} values [rows, columns]
 * @param {number} columns
 * @param {"ink" | "signs"} kind
 * @param {number} limit the value of full colour
 * @param {Palette} palette
 * @param {number} side of the whole, in CSS pixels
 */
export function paintNumbers(canvas, values, columns, kind, limit, palette, side) {
  const rows = values.length / columns;
  const cell = Math.max(1, Math.floor(side / Math.max(rows, columns)));
  const density = window.devicePixelRatio || 1;
  canvas.width = Math.round(cell * columns * density);
  canvas.height = Math.round(cell * rows * density);
  canvas.style.width = `${cell * columns}px`;
  canvas.style.height = `${cell * rows}px`;
  const context = contextOf(canvas);
  context.scale(density, density);
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.font = `${Math.min(12, cell * 0.36)}px system-ui, sans-serif`;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    const left = (i % columns) * cell;
    const top = Math.floor(i / columns) * cell;
    const share = Math.min(1, Math.abs(value) / limit) || 0;
    context.globalAlpha = share;
    context.fillStyle = css(kind === "ink" ? palette.ink : value > 0 ? palette.plus : palette.minus);
    context.fillRect(left, top, cell - 1, cell - 1);
    context.globalAlpha = 1;
    if (cell < 24) continue;
    context.fillStyle = share > 0.55 ? css(paperOf(kind, palette)) : css(palette.ink);
    context.fillText(shortNumber(value), left + cell / 2, top + cell / 2);
  }
}

/**
 * The colour of numbers on full colour.
 *
 * @param {"ink" | "signs"} kind
 * @param {Palette} palette
 * @returns {Colour}
 */
function paperOf(kind, palette) {
  const dark = palette.ink[0] > 128;
  return kind === "ink" && dark ? [20, 24, 30] : dark ? [10, 12, 16] : [255, 255, 255];
}

/** @param {number} value */
function shortNumber(value) {
  const text = value.toFixed(Math.abs(value) < 9.95 ? 2 : 1);
  return Number(text) === 0 ? "0" : text.replace(/^(-?)0\./, "$1.").replace("-", "−");
}

/** @param {HTMLCanvasElement} canvas */
export function contextOf(canvas) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("no canvas");
  return context;
}
