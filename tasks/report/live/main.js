// Live network: connects the parts of the page.

import { answerTo } from "./answer.js";
import { makeExplorer } from "./explorer.js";
import { asDrawn, inMnistForm } from "./mnist-form.js";
import { find, percent } from "./page-parts.js";
import { paletteOf } from "./paint.js";
import { readPayload } from "./payload.js";
import { makeReason } from "./reason.js";
import { Surface } from "./surface.js";
import { makeView } from "./view.js";

/** Milliseconds without a change before the prediction is announced to screen readers. */
const QUIET = 700;
const FITTED =
  "Your drawing in the form of MNIST's digits, as the training images have it: in a box of 20 × 20" +
  " pixels, strokes of usual width, the centre of mass in the middle.";

/** @param {import("./payload.js").Payload} payload */
function start(payload) {
  const { network, names, shape, images, rows, labels, fits } = payload;
  const app = find("live-app", HTMLElement);
  const input = find("live-input", HTMLElement);
  const formNote = find("live-form-note", HTMLElement);
  const source = find("live-source", HTMLElement);
  const spoken = find("live-spoken", HTMLElement);
  const narrow = window.matchMedia("(max-width: 60rem)");
  const panel = find("live-reason", HTMLElement);
  const panelPlace = panel.parentElement;

  const { height, width } = network.layers[0].shape;

  let palette = paletteOf(app);
  /** @type {number | null} the test image on the surface, as it is or changed */
  let image = null;
  /** @type {import("./view.js").Place} */
  let place = { layer: 0, channel: 0, y: height >> 1, x: width >> 1 };
  /** @type {Float32Array} */
  let pixels = new Float32Array(shape.height * shape.width);
  let pointed = false;
  let waiting = false;
  let quiet = 0;

  const cursor = find("live-cursor", HTMLElement);
  const surface = new Surface(find("live-surface", HTMLCanvasElement), cursor, shape, () => {
    if (image !== null) source.textContent = `${imageName(image)}, changed`;
    later();
  });
  const view = makeView(payload, (found) => {
    if (narrow.matches) view.figures[found.layer].element.after(panel);
    reason.setFields(found);
    lookAt(found);
  });
  const reason = makeReason(payload, (chosen) => {
    reason.setFields(chosen);
    lookAt(chosen);
  });
  const explorer = makeExplorer(payload, (chosen) => {
    showImage(chosen);
    const fits = input.clientHeight < window.innerHeight;
    input.scrollIntoView({ block: fits ? "nearest" : "start" });
  });

  /** Update once with the next frame. */
  function later() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      update();
    });
  }

  function update() {
    const ink = surface.read();
    // The data set's own images have its form already.
    const fitted = fits && image === null;
    pixels = (fitted ? inMnistForm : asDrawn)(ink, shape.height, shape.width);
    formNote.textContent = fitted ? FITTED : `${shape.height} × ${shape.width} numbers from 0 to 1.`;
    const answer = answerTo(payload, pixels);
    if (image !== null) answer.mark = ""; // the data set's own images are familiar by definition
    view.render({ ...answer, pixels, label: image === null ? null : labels[image] }, palette);
    showReason();
    clearTimeout(quiet);
    quiet = window.setTimeout(() => {
      const { mark, winner, probabilities } = answer;
      const words = mark || `${names[winner]}, ${percent(probabilities[winner])}`;
      spoken.textContent = `${source.textContent}: ${words}`;
    }, QUIET);
  }

  /** Pixels under the filter are marked after the first selection of an output. */
  function showReason() {
    const under = reason.render(pixels, place, palette);
    view.mark(place, pointed ? under : undefined);
  }

  /** @param {import("./view.js").Place} chosen */
  function lookAt(chosen) {
    place = chosen;
    pointed = true;
    showReason();
  }

  /** @param {number} i */
  const imageName = (i) => `Test image ${rows[i]}, true class ${names[labels[i]]}`;

  /** @param {number} chosen index of an image */
  function showImage(chosen) {
    image = chosen;
    surface.show(images[chosen]);
    source.textContent = imageName(chosen);
    explorer.mark(chosen);
    later();
  }

  function clear() {
    image = null;
    surface.clear();
    source.textContent = "Your drawing";
    explorer.mark(null);
    later();
  }

  find("live-clear", HTMLButtonElement).addEventListener("click", clear);
  for (const tool of document.querySelectorAll("input[name=live-tool]")) {
    tool.addEventListener("change", () => {
      surface.erasing = find("live-erase", HTMLInputElement).checked;
    });
  }
  narrow.addEventListener("change", () => panelPlace?.append(panel));
  const recolour = () => {
    palette = paletteOf(app);
    surface.recolour(palette.ink);
    explorer.paint(palette);
    later();
  };
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);

  app.hidden = false;
  find("live-explorer", HTMLElement).hidden = false;
  find("live-off", HTMLElement).hidden = true;
  recolour();
  if (images.length > 0) showImage(0);
  else clear();
  reason.setFields(place);
}

start(readPayload(find("live-payload", HTMLScriptElement).text));
