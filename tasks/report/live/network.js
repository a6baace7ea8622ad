// The network's forward pass. Pure functions, without the page.
//
// Arrays are Float32Array in the order of Keras: [height, width, channels], and
// [height, width, inputs, filters] for the weights of a convolution.

/** @typedef {{height: number, width: number, channels: number}} Shape */
/** @typedef {{step: "convolution", layer: string, size: number, stride: number, filters: number,
 *             bias: boolean}} ConvolutionStep */
/** @typedef {{step: "dense", layer: string, neurons: number, bias: boolean}} DenseStep */
/** @typedef {{step: "pooling", kind: "max" | "average"}} PoolingStep */
/** @typedef {{step: "scaling"}} ScalingStep */
/** @typedef {{step: "activation", kind: "relu" | "sigmoid" | "tanh"}} ActivationStep */
/** @typedef {ConvolutionStep | DenseStep | PoolingStep | ScalingStep | ActivationStep} StepFacts */

/**
 * One operation and its latest result.
 *
 * @typedef {object} Step
 * @property {StepFacts} facts
 * @property {Shape} input
 * @property {Shape} shape of the output
 * @property {Float32Array} output the latest, overwritten by the next `forward`
 * @property {Float32Array} weights of a convolution or dense layer; else empty
 * @property {Float32Array} bias zeros where there is none
 * @property {(input: Float32Array) => Float32Array} forward
 */

/**
 * A layer with weights and the steps that follow it: pooling, normalisation, activation.
 *
 * @typedef {{name: string, steps: Step[], shape: Shape}} Layer
 */

/** @typedef {{image: Shape, steps: Step[], layers: Layer[]}} Network */

/** @param {Shape} shape */
export const sizeOf = (shape) => shape.height * shape.width * shape.channels;

/**
 * Build the network.
 *
 * @param {Shape} image
 * @param {StepFacts[]} facts in order
 * @param {Float32Array} weights of all steps, one after the other
 * @returns {Network}
 */
export function makeNetwork(image, facts, weights) {
  let used = 0;
  /** @param {number} count */
  const take = (count) => weights.subarray(used, (used += count));
  /** @type {Step[]} */
  const steps = [];
  /** @type {Layer[]} */
  const layers = [];
  let shape = image;
  for (const fact of facts) {
    const step = makeStep(fact, shape, take);
    shape = step.shape;
    if (fact.step === "convolution" || fact.step === "dense") {
      layers.push({ name: fact.layer, steps: [], shape });
    }
    const layer = layers[layers.length - 1];
    layer.steps.push(step);
    layer.shape = shape;
    steps.push(step);
  }
  if (used !== weights.length) throw new Error(`${weights.length} weights, ${used} used`);
  return { image, steps, layers };
}

/**
 * Logits, or what follows them, of an image.
 *
 * @param {Network} network
 * @param {Float32Array} image pixels from 0 to 1
 */
export function forward(network, image) {
  return network.steps.reduce((values, step) => step.forward(values), image);
}

/**
 * Probabilities from logits.
 *
 * @param {Float32Array} logits
 */
export function softmax(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/**
 * @param {StepFacts} facts
 * @param {Shape} input
 * @param {(count: number) => Float32Array} take
 * @returns {Step}
 */
function makeStep(facts, input, take) {
  switch (facts.step) {
    case "convolution":
      return convolution(facts, input, take);
    case "dense":
      return dense(facts, input, take);
    case "pooling":
      return pooling(facts, input);
    case "scaling":
      return scaling(facts, input, take);
    case "activation":
      return activation(facts, input);
  }
}

/**
 * A list of products that make up a sum: `count` values, and where their weights begin.
 *
 * @param {number} most values
 */
function makeTerms(most) {
  return { values: new Float64Array(most), starts: new Int32Array(most), count: 0 };
}

/**
 * sums[j] += Σ values[i] · weights[starts[i] + j]. All the time is spent here. Four values at a
 * time: each sum is read and written a quarter as often.
 *
 * @param {Float64Array} sums
 * @param {{values: Float64Array, starts: Int32Array, count: number}} terms
 * @param {Float32Array} weights
 */
function addProducts(sums, { values, starts, count }, weights) {
  const length = sums.length;
  let i = 0;
  for (; i + 3 < count; i += 4) {
    const a = values[i];
    const b = values[i + 1];
    const c = values[i + 2];
    const d = values[i + 3];
    const p = starts[i];
    const q = starts[i + 1];
    const r = starts[i + 2];
    const s = starts[i + 3];
    for (let j = 0; j < length; j++) {
      sums[j] += a * weights[p + j] + b * weights[q + j] + c * weights[r + j] + d * weights[s + j];
    }
  }
  for (; i < count; i++) {
    const a = values[i];
    const p = starts[i];
    for (let j = 0; j < length; j++) sums[j] += a * weights[p + j];
  }
}

/**
 * Rows of zeros before the first, in a convolution with "same" padding.
 *
 * @param {number} length of the input
 * @param {number} size of the filter
 * @param {number} stride
 */
export function paddingBefore(length, size, stride) {
  const steps = Math.ceil(length / stride);
  return Math.max((steps - 1) * stride + size - length, 0) >> 1;
}

/**
 * @param {ConvolutionStep} facts
 * @param {Shape} input
 * @param {(count: number) => Float32Array} take
 * @returns {Step}
 */
function convolution(facts, input, take) {
  const { size, stride, filters } = facts;
  const { height, width, channels } = input;
  const shape = {
    height: Math.ceil(height / stride),
    width: Math.ceil(width / stride),
    channels: filters,
  };
  const weights = take(size * size * channels * filters);
  const bias = facts.bias ? take(filters) : new Float32Array(filters);
  const top = paddingBefore(height, size, stride);
  const left = paddingBefore(width, size, stride);
  const output = new Float32Array(sizeOf(shape));
  const terms = makeTerms(size * size * channels);
  const sums = new Float64Array(filters);

  return {
    facts,
    input,
    shape,
    output,
    weights,
    bias,
    forward(values) {
      for (let y = 0, at = 0; y < shape.height; y++) {
        for (let x = 0; x < shape.width; x++, at += filters) {
          sums.set(bias);
          terms.count = 0;
          for (let row = 0; row < size; row++) {
            const from = y * stride - top + row;
            if (from < 0 || from >= height) continue;
            for (let column = 0; column < size; column++) {
              const source = x * stride - left + column;
              if (source < 0 || source >= width) continue;
              const place = (row * size + column) * channels * filters;
              gather(values, (from * width + source) * channels, channels, place, filters, terms);
            }
          }
          addProducts(sums, terms, weights);
          output.set(sums, at);
        }
      }
      return output;
    },
  };
}

/**
 * Append `count` values that lie side by side to the terms, but for zeros.
 *
 * @param {Float32Array} values
 * @param {number} from index of the first
 * @param {number} count
 * @param {number} place where the weights of the first begin
 * @param {number} apart from there to those of the next
 * @param {{values: Float64Array, starts: Int32Array, count: number}} terms
 */
function gather(values, from, count, place, apart, terms) {
  let n = terms.count;
  for (let i = 0; i < count; i++) {
    const value = values[from + i];
    if (value !== 0) {
      terms.values[n] = value;
      terms.starts[n] = place + i * apart;
      n++;
    }
  }
  terms.count = n;
}

/**
 * @param {DenseStep} facts
 * @param {Shape} input taken as one row
 * @param {(count: number) => Float32Array} take
 * @returns {Step}
 */
function dense(facts, input, take) {
  const inputs = sizeOf(input);
  const neurons = facts.neurons;
  const shape = { height: 1, width: 1, channels: neurons };
  const weights = take(inputs * neurons);
  const bias = facts.bias ? take(neurons) : new Float32Array(neurons);
  const output = new Float32Array(neurons);
  const terms = makeTerms(inputs);
  const sums = new Float64Array(neurons);
  return {
    facts,
    input,
    shape,
    output,
    weights,
    bias,
    forward(values) {
      sums.set(bias);
      terms.count = 0;
      gather(values, 0, inputs, 0, neurons, terms);
      addProducts(sums, terms, weights);
      output.set(sums);
      return output;
    },
  };
}

/**
* Return the largest or the mean value of each 2 × 2 square, without an odd last row or column.
 *
 * @param {PoolingStep} facts
 * @param {Shape} input
 * @returns {Step}
 */
function pooling(facts, input) {
  const channels = input.channels;
  const shape = { height: input.height >> 1, width: input.width >> 1, channels };
  const output = new Float32Array(sizeOf(shape));
  const largestOnly = facts.kind === "max";
  const row = input.width * channels;

  /** @param {number} at index of an output @returns {number} of the first of its inputs */
  const firstOf = (at) => {
    const pixel = Math.floor(at / channels);
    const y = Math.floor(pixel / shape.width);
    return 2 * y * row + 2 * (pixel - y * shape.width) * channels + (at - pixel * channels);
  };
  return {
    facts,
    input,
    shape,
    output,
    weights: new Float32Array(0),
    bias: new Float32Array(0),
    forward(values) {
      for (let at = 0; at < output.length; at++) {
        const a = firstOf(at);
        const b = a + channels;
        const c = a + row;
        const d = c + channels;
        if (largestOnly) {
          let best = values[b] > values[a] ? b : a;
          if (values[c] > values[best]) best = c;
          if (values[d] > values[best]) best = d;
          output[at] = values[best];
        } else {
          output[at] = (values[a] + values[b] + values[c] + values[d]) / 4;
        }
      }
      return output;
    },
  };
}

/**
 * Normalisation as it is after training: each channel times a number, plus a number.
 *
 * @param {ScalingStep} facts
 * @param {Shape} input
 * @param {(count: number) => Float32Array} take
 * @returns {Step}
 */
function scaling(facts, input, take) {
  const channels = input.channels;
  const weights = take(channels);
  const bias = take(channels);
  const output = new Float32Array(sizeOf(input));
  return {
    facts,
    input,
    shape: input,
    output,
    weights,
    bias,
    forward(values) {
      for (let i = 0; i < output.length; ) {
        for (let c = 0; c < channels; c++, i++) output[i] = values[i] * weights[c] + bias[c];
      }
      return output;
    },
  };
}

/** @type {Record<string, (x: number) => number>} */
const ACTIVATIONS = {
  relu: (x) => (x < 0 ? 0 : x),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  tanh: Math.tanh,
};

/**
 * @param {ActivationStep} facts
 * @param {Shape} input
 * @returns {Step}
 */
function activation(facts, input) {
  const value = ACTIVATIONS[facts.kind];
  const output = new Float32Array(sizeOf(input));
  return {
    facts,
    input,
    shape: input,
    output,
    weights: new Float32Array(0),
    bias: new Float32Array(0),
    forward(values) {
      for (let i = 0; i < output.length; i++) output[i] = value(values[i]);
      return output;
    },
  };
}
