// Panel that explains one output: patch, filter, products and their sum.

import { explain } from "./explain.js";
import { find, make, signed } from "./page-parts.js";
import { largest, paintNumbers } from "./paint.js";

/** @typedef {import("./view.js").Place} Place */

/** Maximum number of input channels shown for a filter: those with the largest sums. */
const SHOWN_CHANNELS = 3;

/**
 * Prepare the panel.
 *
 * @param {import("./payload.js").Payload} payload
 * @param {(place: Place) => void} chosen called when the fields name another output
 */
export function makeReason({ network }, chosen) {
  const layers = network.layers.slice(0, -1);
  const fields = {
    layer: find("live-layer", HTMLSelectElement),
    channel: find("live-channel", HTMLInputElement),
    y: find("live-row", HTMLInputElement),
    x: find("live-column", HTMLInputElement),
  };
  const grids = find("live-grids", HTMLElement);
  const sum = find("live-sum", HTMLElement);
  const place = find("live-place", HTMLElement);
  fields.layer.append(...layers.map(({ name }, i) => make("option", { value: i, text: name })));
  for (const field of Object.values(fields)) {
    field.addEventListener("input", () => chosen(readFields()));
  }

  /** @returns {Place} */
  function readFields() {
    const layer = Number(fields.layer.value);
    const { channels, height, width } = layers[layer].shape;
    return {
      layer,
      channel: numberIn(fields.channel, channels),
      y: numberIn(fields.y, height),
      x: numberIn(fields.x, width),
    };
  }

  return {
    /** @param {Place} at */
    setFields(at) {
      const { channels, height, width } = layers[at.layer].shape;
      fields.layer.value = String(at.layer);
      setNumber(fields.channel, at.channel, channels);
      setNumber(fields.y, at.y, height);
      setNumber(fields.x, at.x, width);
      for (const field of [fields.y, fields.x]) {
        const label = field.closest("label");
        if (label) label.hidden = height * width === 1;
      }
    },

    /**
     * @param {Float32Array} pixels that the network was given
     * @param {Place} at
     * @param {import("./paint.js").Palette} palette
     * @returns {import("./view.js").Patch | undefined} what lies under the filter, of the channel
     *   that adds most
     */
    render(pixels, at, palette) {
      const found = explain(network, pixels, at.layer, at.channel, at.y, at.x);
      const from = at.layer === 0 ? "the image" : layers[at.layer - 1].name;
      place.textContent =
        found.kind === "convolution"
          ? convolutionWords(found, from)
          : `Each of the ${from === "the image" ? "pixels" : `outputs of ${from}`} times a weight:` +
            " the products, those of one place added up.";
      const rows = found.kind === "convolution" ? convolutionRows(found, from) : denseRows(found);
      showGrids(grids, rows, palette);
      sum.textContent = sumWords(found);
      const { top, left, size, parts } = found;
      return parts.length > 0 ? { channel: parts[0].channel, top, left, size } : undefined;
    },
  };
}

/** @typedef {{label: string, values: Float32Array, columns: number, kind: "ink" | "signs",
 *             limit: number}} Grid */

/**
 * @param {HTMLInputElement} field
 * @param {number} count
 */
function numberIn(field, count) {
  const value = Math.round(Number(field.value)) || 0;
  return Math.min(Math.max(value, 0), count - 1);
}

/**
 * @param {HTMLInputElement} field
 * @param {number} value
 * @param {number} count
 */
function setNumber(field, value, count) {
  field.max = String(count - 1);
  field.disabled = count === 1;
  if (Number(field.value) !== value || field.value === "") field.value = String(value);
}

/**
 * @param {import("./explain.js").Explanation} found
 * @param {string} from
 */
function convolutionWords(found, from) {
  const { top, left, size } = found;
  const where =
    size === 1
      ? `row ${top}, column ${left} of ${from}`
      : `rows ${top} to ${top + size - 1}, columns ${left} to ${left + size - 1} of ${from}`;
  const outside =
    top < 0 || left < 0 || top + size > found.input.height || left + size > found.input.width;
  return `The filter lies over ${where}${outside ? "; outside, all is 0" : ""}.`;
}

/**
 * @param {import("./explain.js").Explanation} found
 * @param {string} from
 * @returns {Grid[][]}
 */
function convolutionRows(found, from) {
  const shown = found.parts.slice(0, SHOWN_CHANNELS);
  const columns = found.size;
  const filterLimit = Math.max(...found.parts.map((part) => largest(part.filter)));
  const patchLimit = Math.max(...shown.map((part) => largest(part.patch)));
  const productLimit = Math.max(...shown.map((part) => largest(part.products)));
  return shown.map((part) => {
    const of = found.parts.length > 1 ? `${from}, output ${part.channel}` : from;
    const kind = part.patch.some((value) => value < 0) ? "signs" : "ink";
    return [
      { label: of, values: part.patch, columns, kind, limit: patchLimit },
      { label: "× filter", values: part.filter, columns, kind: "signs", limit: filterLimit },
      {
        label: `= products, sum ${signed(part.sum)}`,
        values: part.products,
        columns,
        kind: "signs",
        limit: productLimit,
      },
    ];
  });
}

/**
 * @param {import("./explain.js").Explanation} found
 * @returns {Grid[][]}
 */
function denseRows({ products, input }) {
  const columns = input.width > 1 ? input.width : Math.ceil(Math.sqrt(products.length * 2));
  const rows = Math.ceil(products.length / columns);
  const values = new Float32Array(rows * columns);
  values.set(products);
  return [[{ label: "Products", values, columns, kind: "signs", limit: largest(values) }]];
}

/**
 * @param {HTMLElement} place
 * @param {Grid[][]} rows
 * @param {import("./paint.js").Palette} palette
 */
function showGrids(place, rows, palette) {
  const wide = place.clientWidth || 320;
  const count = rows.flat().length;
  while (place.children.length > count) place.lastElementChild?.remove();
  while (place.children.length < count) {
    place.append(make("figure", {}, make("canvas", { role: "img" }), make("figcaption")));
  }
  rows.flat().forEach((grid, i) => {
    const figure = place.children[i];
    const across = rows[Math.floor(i / rows[0].length)].length;
    const [canvas, caption] = figure.children;
    if (!(canvas instanceof HTMLCanvasElement)) return;
    const side = Math.min(across === 1 ? 300 : 200, Math.floor((wide - 12 * (across - 1)) / across));
    paintNumbers(canvas, grid.values, grid.columns, grid.kind, grid.limit, palette, side);
    canvas.setAttribute("aria-label", grid.label);
    caption.textContent = grid.label;
  });
  place.dataset.across = String(rows[0].length);
}

/** @param {import("./explain.js").Explanation} found */
function sumWords(found) {
  const parts = found.parts;
  const others = parts.slice(SHOWN_CHANNELS).reduce((total, part) => total + part.sum, 0);
  const shown = parts.slice(0, SHOWN_CHANNELS).map((part) => signed(part.sum));
  if (parts.length > SHOWN_CHANNELS) {
    const count = parts.length - SHOWN_CHANNELS;
    shown.push(`${signed(others)} from ${count} more`);
  }
  const added = shown.join(" + ").replaceAll("+ −", "− ");
  const terms = parts.length > 1 ? `${added} = ${signed(found.sum)}` : signed(found.sum);
  const chain = found.after.map(({ name, value }) => `; ${name}: ${signed(value)}`).join("");
  return `Sum of the products: ${terms}; with the bias ${signed(found.bias)}: ${signed(
    found.sum + found.bias,
  )}${chain}.`;
}
