// View of the network: input pixels, outputs of every layer, probabilities.

import { lastOutput } from "./explain.js";
import { counted, find, make, percent } from "./page-parts.js";
import { contextOf, paintChannels, paintInk, tilesOf } from "./paint.js";

/** @typedef {import("./network.js").Layer} Layer */
/** @typedef {{layer: number, channel: number, y: number, x: number}} Place of one output */

/**
 * @typedef {object} State
 * @property {Float32Array} pixels that the network was given
 * @property {number[]} probabilities
 * @property {number} winner
 * @property {string} mark why there is no answer; empty if there is one
 * @property {number | null} label the true class, if it is known
 */

/** Maximum number of classes with a bar, the most probable ones. */
const BARS = 10;

/**
 * Prepare the page for a network.
 *
 * @param {import("./payload.js").Payload} payload
 * @param {(place: Place) => void} pointed called when the pointer is on an output
 */
export function makeView({ network, names, shape }, pointed) {
  const seen = fieldCanvas("live-seen", shape);
  // The last layer's outputs are the logits; the probabilities say the same.
  const shown = network.layers.slice(0, -1);
  const figures = shown.map((layer, i) => layerFigure(layer, i, pointed));
  find("live-layers", HTMLElement).append(...figures.map((figure) => figure.element));
  const bars = names.slice(0, BARS).map(makeBar);
  find("live-bars", HTMLElement).append(...bars.map((bar) => bar.element));
  const winner = find("live-winner", HTMLElement);
  const sure = find("live-sure", HTMLElement);
  const patch = find("live-patch", HTMLElement);

  return {
    figures,

    /**
     * Mark an output, and what lies under its filter in the layer before or in the image.
     *
     * @param {Place} place
     * @param {Patch | undefined} under
     */
    mark(place, under) {
      figures.forEach((figure, i) => {
        figure.mark(i === place.layer ? place : undefined);
        figure.markPatch(i === place.layer - 1 ? under : undefined);
      });
      const inImage = place.layer === 0 ? under : undefined;
      setMark(patch, shape, inImage && { ...inImage, width: inImage.size, height: inImage.size });
    },

    /**
     * @param {State} state
     * @param {import("./paint.js").Palette} palette
     */
    render(state, palette) {
      const { probabilities, pixels } = state;
      paintInk(seen, pixels, palette);
      figures.forEach(({ context }, i) => {
        paintChannels(context, lastOutput(shown[i]), shown[i].shape, palette);
      });
      winner.textContent = state.mark || names[state.winner];
      sure.textContent = state.mark ? "" : percent(probabilities[state.winner]);
      shownClasses(probabilities).forEach((c, i) => {
        const role = c === state.label ? "true" : c === state.winner ? "predicted" : "other";
        setBar(bars[i], names[c], probabilities[c], state.label === null ? "other" : role);
        bars[i].element.classList.toggle("live-best", !state.mark && c === state.winner);
      });
    },
  };
}

/**
 * @param {string} id
 * @param {import("./network.js").Shape} shape
 */
function fieldCanvas(id, shape) {
  const canvas = find(id, HTMLCanvasElement);
  canvas.width = shape.width;
  canvas.height = shape.height;
  return contextOf(canvas);
}

/** @param {number[]} probabilities */
function shownClasses(probabilities) {
  const classes = probabilities.map((_, c) => c);
  if (classes.length <= BARS) return classes;
  return classes.sort((a, b) => probabilities[b] - probabilities[a]).slice(0, BARS);
}

/** @typedef {ReturnType<typeof makeBar>} Bar */

/** @param {string} name */
function makeBar(name) {
  const label = make("span", { class: "live-name", text: name });
  const fill = make("span", { class: "live-fill" });
  const number = make("span", { class: "live-number" });
  const track = make("span", { class: "live-track" }, fill);
  return { element: make("li", {}, label, track, number), label, fill, number };
}

/**
 * @param {Bar} bar
 * @param {string} name
 * @param {number} share
 * @param {string} role true, predicted or other
 */
function setBar(bar, name, share, role) {
  bar.label.textContent = name;
  bar.fill.style.width = `${100 * (share || 0)}%`;
  bar.number.textContent = percent(share);
  bar.element.className = `live-${role}`;
}

/**
 * A layer's outputs side by side.
 *
 * @param {Layer} layer
 * @param {number} index
 * @param {(place: Place) => void} pointed
 */
function layerFigure({ name, shape }, index, pointed) {
  const { height, width, channels } = shape;
  const tiles = tilesOf(shape);
  const isMap = height * width > 1;
  const words = isMap
    ? `${counted(channels, "output")} of ${height} × ${width} pixels`
    : counted(channels, "neuron");
  const canvas = make("canvas", {
    width: tiles.width,
    height: tiles.height,
    role: "img",
    "aria-label": `${name}: ${words}`,
  });
  // Whole multiples keep pixels square; what is wider than the page becomes as wide as the page.
  canvas.style.width = `${tiles.width * Math.max(1, Math.min(12, Math.floor(620 / tiles.width)))}px`;
  const mark = make("span", { class: "live-mark", hidden: true });
  const patch = make("span", { class: "live-mark live-patch", hidden: true });
  const box = make("div", { class: "live-tiles" }, canvas, mark, patch);
  const title = make("figcaption", {}, make("strong", { text: name }), `: ${words}`);
  const element = make("figure", { class: "live-layer" }, title, box);

  /** @param {PointerEvent} event */
  const point = (event) => {
    const place = placeAt(event, canvas, shape);
    if (place) pointed({ layer: index, ...place });
  };
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerdown", point);
  return {
    element,
    context: contextOf(canvas),

    /**
     * Mark one output; none if not given.
     *
     * @param {Place} [place]
     */
    mark(place) {
      setMark(mark, tiles, place && boxOf(tiles, place.channel, place.y, place.x, 1));
    },

    /**
     * Mark what lies under the filter of the next layer; nothing if not given.
     *
     * @param {Patch} [under]
     */
    markPatch(under) {
      const { channel, top, left, size } = under ?? { channel: 0, top: 0, left: 0, size: 0 };
      setMark(patch, tiles, under && boxOf(tiles, channel, top, left, size));
    },
  };
}

/** @typedef {{channel: number, top: number, left: number, size: number}} Patch */
/** @typedef {import("./mnist-form.js").Box} Box */

/**
 * @param {ReturnType<typeof tilesOf>} tiles
 * @param {number} channel
 * @param {number} top
 * @param {number} left
 * @param {number} size
 * @returns {Box}
 */
function boxOf(tiles, channel, top, left, size) {
  return {
    left: (channel % tiles.columns) * tiles.across + left,
    top: Math.floor(channel / tiles.columns) * tiles.down + top,
    width: size,
    height: size,
  };
}

/**
 * Lay a mark over a part of an image; hide it if there is none.
 *
 * @param {HTMLElement} mark
 * @param {{width: number, height: number}} image
 * @param {Box} [box]
 */
function setMark(mark, image, box) {
  mark.hidden = !box;
  if (!box) return;
  mark.style.left = `${(100 * box.left) / image.width}%`;
  mark.style.top = `${(100 * box.top) / image.height}%`;
  mark.style.width = `${(100 * box.width) / image.width}%`;
  mark.style.height = `${(100 * box.height) / image.height}%`;
}

/**
 * The output under the pointer; null between the tiles.
 *
 * @param {PointerEvent} event
 * @param {HTMLCanvasElement} canvas
 * @param {import("./network.js").Shape} shape
 */
function placeAt(event, canvas, shape) {
  const tiles = tilesOf(shape);
  const box = canvas.getBoundingClientRect();
  const across = Math.floor(((event.clientX - box.left) / box.width) * tiles.width);
  const down = Math.floor(((event.clientY - box.top) / box.height) * tiles.height);
  const column = Math.floor(across / tiles.across);
  const x = across - column * tiles.across;
  const row = Math.floor(down / tiles.down);
  const y = down - row * tiles.down;
  const channel = row * tiles.columns + column;
  const inside = x >= 0 && x < shape.width && y >= 0 && y < shape.height;
  return inside && column < tiles.columns && channel >= 0 && channel < shape.channels
    ? { channel, y, x }
    : null;
}
