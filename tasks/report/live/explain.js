// Explanation of one value of a layer's output. Pure functions, without the page.

import { paddingBefore } from "./network.js";

/** @typedef {import("./network.js").Network} Network */
/** @typedef {import("./network.js").Step} Step */
/** @typedef {import("./network.js").Layer} Layer */

/**
* Part of a sum from one input channel.
 *
 * @typedef {object} ChannelPart
 * @property {number} channel
 * @property {Float32Array} patch [size, size] values under the filter, 0 outside the image
 * @property {Float32Array} filter [size, size] weights
 * @property {Float32Array} products [size, size]
 * @property {number} sum of the products
 */

/**
 * @typedef {object} Explanation
 * @property {"convolution" | "dense"} kind
 * @property {ChannelPart[]} parts of a convolution, the largest sums first; else empty
 * @property {Float32Array} products of a dense layer [height, width], summed over the channels
 * @property {{height: number, width: number}} input
 * @property {number} size of the filter
 * @property {number} top row of the patch in the input
 * @property {number} left column of the patch in the input
 * @property {number} sum of all products
 * @property {number} bias
 * @property {{name: string, value: number}[]} after each step that follows
 */

/** Names of the steps after the sum. */
const STEP_NAMES = {
  max: "largest of 2 × 2 neighbours",
  average: "mean of 2 × 2 neighbours",
  relu: "ReLU",
  sigmoid: "sigmoid",
  tanh: "tanh",
};

/**
 * Explain an output, after `forward`.
 *
 * @param {Network} network
 * @param {Float32Array} image the one that `forward` was given
 * @param {number} index of the layer
 * @param {number} channel filter or neuron
 * @param {number} y row of the layer's output
 * @param {number} x column of the layer's output
 * @returns {Explanation}
 */
export function explain(network, image, index, channel, y, x) {
  const [first, ...others] = network.layers[index].steps;
  const input = index === 0 ? image : lastOutput(network.layers[index - 1]);
  const place = placeBeforePooling(network.layers[index], channel, y, x);
  const facts = first.facts;
  if (facts.step === "convolution") {
    const top = place.y * facts.stride - paddingBefore(first.input.height, facts.size, facts.stride);
    const left = place.x * facts.stride - paddingBefore(first.input.width, facts.size, facts.stride);
    const parts = convolutionParts(first, facts.size, input, channel, top, left);
    return {
      kind: "convolution",
      parts: parts.sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum)),
      products: new Float32Array(0),
      input: first.input,
      size: facts.size,
      top,
      left,
      sum: parts.reduce((total, part) => total + part.sum, 0),
      bias: first.bias[channel],
      after: valuesAfter(others, channel, place, { y, x }),
    };
  }
  const products = denseProducts(first, input, channel);
  return {
    kind: "dense",
    parts: [],
    products,
    input: first.input,
    size: 0,
    top: 0,
    left: 0,
    sum: products.reduce((a, b) => a + b, 0),
    bias: first.bias[channel],
    after: valuesAfter(others, channel, place, { y, x }),
  };
}

/** @param {Layer} layer */
export const lastOutput = (layer) => layer.steps[layer.steps.length - 1].output;

/**
* Return the place in the convolution's output to explain: of the four places in the pooling
 * window, the one with the largest value.
 *
 * @param {Layer} layer
 * @param {number} channel
 * @param {number} y
 * @param {number} x
 */
function placeBeforePooling(layer, channel, y, x) {
  const at = layer.steps.findIndex((step) => step.facts.step === "pooling");
  if (at < 0) return { y, x };
  const { shape, output } = layer.steps[at - 1];
  const places = [0, 1, 2, 3].map((k) => ({ y: 2 * y + (k >> 1), x: 2 * x + (k & 1) }));
  /** @param {{y: number, x: number}} place */
  const value = (place) => output[(place.y * shape.width + place.x) * shape.channels + channel];
  return places.reduce((best, place) => (value(place) > value(best) ? place : best));
}

/**
 * @param {Step} step a convolution
 * @param {number} size
 * @param {Float32Array} input
 * @param {number} filter
 * @param {number} top
 * @param {number} left
 * @returns {ChannelPart[]}
 */
function convolutionParts(step, size, input, filter, top, left) {
  const { height, width, channels } = step.input;
  const filters = step.shape.channels;
  return Array.from({ length: channels }, (_, channel) => {
    const patch = new Float32Array(size * size);
    const weights = new Float32Array(size * size);
    for (let i = 0; i < size * size; i++) {
      const y = top + Math.floor(i / size);
      const x = left + (i % size);
      const inside = y >= 0 && y < height && x >= 0 && x < width;
      patch[i] = inside ? input[(y * width + x) * channels + channel] : 0;
      weights[i] = step.weights[(i * channels + channel) * filters + filter];
    }
    const products = patch.map((value, i) => value * weights[i]);
    const sum = products.reduce((a, b) => a + b, 0);
    return { channel, patch, filter: weights, products, sum };
  });
}

/**
 * @param {Step} step a dense layer
 * @param {Float32Array} input
 * @param {number} neuron
 */
function denseProducts(step, input, neuron) {
  const { height, width, channels } = step.input;
  const neurons = step.shape.channels;
  // The output of another dense layer has one place; each of its neurons is shown.
  const shown = height * width === 1 ? 1 : channels;
  const products = new Float32Array((height * width * channels) / shown);
  for (let i = 0; i < input.length; i++) {
    products[Math.floor(i / shown)] += input[i] * step.weights[i * neurons + neuron];
  }
  return products;
}

/**
 * @param {Step[]} steps that follow the sum
 * @param {number} channel
 * @param {{y: number, x: number}} before pooling
 * @param {{y: number, x: number}} after pooling
 */
function valuesAfter(steps, channel, before, after) {
  let place = before;
  return steps.map(({ facts, shape, output }) => {
    if (facts.step === "pooling") place = after;
    const value = output[(place.y * shape.width + place.x) * shape.channels + channel];
    return { name: "kind" in facts ? STEP_NAMES[facts.kind] : "normalised", value };
  });
}
