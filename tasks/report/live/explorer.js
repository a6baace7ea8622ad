// Interactive confusion matrix: a cell shows its images, a click on an image feeds the network.

import { find, make, moveWithArrows, stopAt } from "./page-parts.js";
import { contextOf, paintInk } from "./paint.js";

/** @typedef {import("./payload.js").Payload} Payload */
/** @typedef {import("./paint.js").Palette} Palette */

/**
 * Prepare matrix and gallery.
 *
 * @param {Payload} payload
 * @param {(image: number) => void} chosen called with the index of an image
 */
export function makeExplorer(payload, chosen) {
  const gallery = makeGallery(payload, chosen);
  const table = find("live-matrix", HTMLTableElement);
  const counts = new Map(cellsOf(payload));
  fillMatrix(table, payload, counts);
  moveWithArrows(table);
  stopAt(table);

  const choices = find("live-groups", HTMLElement);
  const groups = groupsOf(payload);
  choices.append(
    ...groups.map(({ title }, i) => make("button", { type: "button", "data-group": i, text: title })),
  );

  /** @param {HTMLElement} button */
  const press = (button) => {
    for (const other of [...choices.children, ...table.querySelectorAll("button")]) {
      other.setAttribute("aria-pressed", String(other === button));
    }
  };
  choices.addEventListener("click", ({ target }) => {
    if (!(target instanceof HTMLButtonElement)) return;
    press(target);
    const { title, images } = groups[Number(target.dataset.group)];
    gallery.show(`${title}: ${images.length}`, images);
  });
  table.addEventListener("click", ({ target }) => {
    if (!(target instanceof HTMLButtonElement)) return;
    press(target);
    const { cell = "", label = "" } = target.dataset;
    gallery.show(label, counts.get(cell) ?? []);
  });
  const [start] = choices.children;
  if (start instanceof HTMLElement) start.click();
  return { mark: gallery.mark, paint: gallery.paint };
}

/** @param {Payload} payload */
function groupsOf({ groups }) {
  return [
    { title: "First test images", images: groups.first },
    { title: "Errors", images: groups.errors },
    { title: "Least certain", images: groups.leastCertain },
  ].filter(({ images }) => images.length > 0);
}

/**
* Return the images of each cell of the matrix.
 *
 * @param {Payload} payload
 * @returns {[string, number[]][]}
 */
function cellsOf({ labels, predicted }) {
  /** @type {Record<string, number[]>} */
  const cells = {};
  labels.forEach((label, i) => (cells[`${label},${predicted[i]}`] ??= []).push(i));
  return Object.entries(cells);
}

/**
 * @param {HTMLTableElement} table
 * @param {Payload} payload
 * @param {Map<string, number[]>} cells
 */
function fillMatrix(table, { names, confusion }, cells) {
  const head = make(
    "tr",
    {},
    make("th", { scope: "col", text: "True" }),
    ...names.map((name) => make("th", { scope: "col", text: name, title: name })),
  );
  const axis = make(
    "tr",
    {},
    make("td"),
    make("th", { scope: "colgroup", colspan: names.length, class: "axis", text: "Predicted" }),
  );
  const rows = confusion.map((row, label) =>
    make(
      "tr",
      {},
      make("th", { scope: "row", text: names[label], title: names[label] }),
      ...row.map((count, predicted) => {
        const images = cells.get(`${label},${predicted}`) ?? [];
        const kind = label === predicted ? "right" : count === 0 ? "none" : "wrong";
        const words =
          label === predicted
            ? `${names[label]}, recognised`
            : `${names[label]} taken for ${names[predicted]}`;
        return make("td", { class: kind }, matrixCell(count, images, `${label},${predicted}`, words));
      }),
    ),
  );
  table.append(make("thead", {}, axis, head), make("tbody", {}, ...rows));
}

/**
 * @param {number} count
 * @param {number[]} images
 * @param {string} cell
 * @param {string} words
 */
function matrixCell(count, images, cell, words) {
  const number = count.toLocaleString("en");
  if (images.length === 0) return number;
  const here = images.length < count ? `, ${images.length} of them here` : "";
  return make("button", {
    type: "button",
    "aria-pressed": "false",
    "aria-label": `${words}: ${number}${here}`,
    "data-cell": cell,
    "data-label": `${words}: ${number}${here}`,
    text: number,
  });
}

/**
 * @param {Payload} payload
 * @param {(image: number) => void} chosen
 */
function makeGallery({ names, rows, labels, predicted, images, shape }, chosen) {
  const place = find("live-gallery", HTMLElement);
  const title = find("live-gallery-title", HTMLElement);
  /** @type {Palette | null} */
  let colours = null;
  /** @type {number | null} */
  let current = null;
  moveWithArrows(place);
  place.addEventListener("click", ({ target }) => {
    if (target instanceof HTMLButtonElement) chosen(Number(target.dataset.image));
  });

  /** @param {number} i */
  const thumbnail = (i) => {
    const wrong = labels[i] !== predicted[i];
    const words = wrong
      ? `${names[labels[i]]} taken for ${names[predicted[i]]}`
      : `${names[labels[i]]}, recognised`;
    const canvas = make("canvas", { width: shape.width, height: shape.height });
    const button = make(
      "button",
      {
        type: "button",
        class: wrong ? "live-wrong" : "live-right",
        "aria-label": `Test image ${rows[i]}: ${words}`,
        title: `Test image ${rows[i]}: ${words}`,
        "aria-pressed": String(i === current),
        "data-image": i,
      },
      canvas,
    );
    return button;
  };
  const paint = () => {
    for (const button of place.querySelectorAll("button")) {
      const canvas = button.querySelector("canvas");
      if (!canvas || !colours) continue;
      const pixels = images[Number(button.dataset.image)];
      paintInk(contextOf(canvas), Array.from(pixels, (value) => value / 255), colours);
    }
  };

  return {
    /**
     * @param {string} words
     * @param {number[]} shown
     */
    show(words, shown) {
      title.textContent = words;
      place.replaceChildren(...shown.map(thumbnail));
      stopAt(place);
      paint();
    },

    /** @param {number | null} image the one that the network has */
    mark(image) {
      current = image;
      for (const button of place.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", String(Number(button.dataset.image) === image));
      }
    },

    /** @param {Palette} palette */
    paint(palette) {
      colours = palette;
      paint();
    },
  };
}
