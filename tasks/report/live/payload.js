// Payload of the page: the network and the test images.

import { makeNetwork, sizeOf } from "./network.js";

/** @typedef {{first: number[], errors: number[], leastCertain: number[]}} Groups
 *  Indices into the images. */

/**
 * @typedef {object} Facts
 * @property {import("./network.js").Shape} shape of the images
 * @property {string[]} names of the classes
 * @property {import("./network.js").StepFacts[]} steps
 * @property {string} weights base64 of little-endian float32
 * @property {string} images base64 of bytes [n, height, width]
 * @property {number[]} rows of the test split
 * @property {number[]} labels
 * @property {number[]} predicted
 * @property {Groups} groups
 * @property {number[][]} confusion rows true, columns predicted
 * @property {boolean} fits whether the images have the form of MNIST's digits
 * @property {number} temperature that logits are divided by
 * @property {string} familiar base64 of int8 [n, neurons], features of training images; or empty
 * @property {number} limit largest distance of a familiar image
 */

/** @param {string} text JSON as payload.py writes it */
export function readPayload(text) {
  /** @type {Facts} */
  const facts = JSON.parse(text);
  const size = sizeOf(facts.shape);
  const pixels = bytesOf(facts.images);
  return {
    ...facts,
    // Little-endian, as is every machine that has a browser.
    network: makeNetwork(
      facts.shape,
      facts.steps,
      new Float32Array(bytesOf(facts.weights).buffer),
    ),
    familiar: new Int8Array(bytesOf(facts.familiar).buffer),
    images: facts.rows.map((_, i) => pixels.subarray(i * size, (i + 1) * size)),
  };
}

/** @typedef {ReturnType<typeof readPayload>} Payload */

/** @param {string} base64 */
function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
