// The network's answer as scoring gives it: calibrated, and none to what is no picture of a class.

import { lastOutput } from "./explain.js";
import { forward, softmax } from "./network.js";

/**
 * @param {import("./payload.js").Payload} payload
 * @param {Float32Array} pixels
 * @returns {{probabilities: number[], winner: number, mark: string}} `mark` is empty, "blank" or
 *   "unfamiliar"
 */
export function answerTo({ network, temperature, familiar, limit }, pixels) {
  const logits = forward(network, pixels);
  const probabilities = softmax(logits.map((logit) => logit / temperature));
  const winner = Math.max(0, probabilities.indexOf(Math.max(...probabilities)));
  if (!pixels.some((value) => value > 0)) return { probabilities, winner, mark: "blank" };
  const hidden = network.layers[network.layers.length - 2];
  const far = distance(hidden ? lastOutput(hidden) : pixels, familiar) > limit;
  return { probabilities, winner, mark: far ? "unfamiliar" : "" };
}

/**
 * Return the distance to the nearest row, 1 minus the cosine; 0 if there are no rows.
 *
 * @param {Float32Array} features
 * @param {Int8Array} rows [n, features]
 */
export function distance(features, rows) {
  const size = features.length;
  let best = rows.length ? -1 : 1;
  for (let start = 0; start < rows.length; start += size) {
    let product = 0;
    let length = 0;
    for (let i = 0; i < size; i++) {
      product += features[i] * rows[start + i];
      length += rows[start + i] ** 2;
    }
    best = Math.max(best, product / Math.sqrt(length || 1));
  }
  return rows.length ? 1 - best / (Math.hypot(...features) || 1e-9) : 0;
}
