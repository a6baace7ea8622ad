// Drawing surface for mouse, finger, pen or keys. Ink is the canvas's alpha, so
// that it takes any colour.

import { contextOf, css } from "./paint.js";

/** Width of a stroke and of the eraser, as shares of the surface. */
const PEN = 0.085;
const ERASER = 0.13;

/** @typedef {{x: number, y: number}} Point in pixels of the surface */

export class Surface {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} cursor shows where the keys have moved to
   * @param {import("./network.js").Shape} field of the network
   * @param {() => void} changed called after each stroke
   */
  constructor(canvas, cursor, field, changed) {
    this.canvas = canvas;
    this.cursor = cursor;
    this.field = field;
    this.changed = changed;
    this.erasing = false;
    /** Pixels of the surface for each of the field. */
    this.scale = Math.max(1, Math.round(280 / Math.max(field.height, field.width)));
    canvas.width = field.width * this.scale;
    canvas.height = field.height * this.scale;
    this.context = contextOf(canvas);
    /** @type {import("./paint.js").Colour} */
    this.colour = [0, 0, 0];
    /** @type {Point | null} where the pointer was last, while it is down */
    this.last = null;
    /** @type {Point} */
    this.keyPlace = { x: canvas.width / 2, y: canvas.height / 2 };
    this.keyDown = false;
    this.listen();
  }

  /** Ink, from 0 to 255. */
  read() {
    const { width, height } = this.canvas;
    const { data } = this.context.getImageData(0, 0, width, height);
    const ink = new Uint8ClampedArray(width * height);
    for (let i = 0; i < ink.length; i++) ink[i] = data[4 * i + 3];
    return { ink, width, height };
  }

  clear() {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  /**
   * Put an image onto the surface, each pixel as a square.
   *
   * @param {Uint8Array} pixels [height, width], from 0 to 255
   */
  show(pixels) {
    const { width, height } = this.canvas;
    const image = this.context.createImageData(width, height);
    for (let y = 0, i = 0; y < height; y++) {
      const row = Math.floor(y / this.scale) * this.field.width;
      for (let x = 0; x < width; x++, i += 4) {
        image.data.set(this.colour, i);
        image.data[i + 3] = pixels[row + Math.floor(x / this.scale)];
      }
    }
    this.context.putImageData(image, 0, 0);
  }

  /**
   * Change the colour of all ink.
   *
   * @param {import("./paint.js").Colour} colour
   */
  recolour(colour) {
    this.colour = colour;
    const { width, height } = this.canvas;
    const image = this.context.getImageData(0, 0, width, height);
    for (let i = 0; i < image.data.length; i += 4) image.data.set(colour, i);
    this.context.putImageData(image, 0, 0);
  }

  /**
   * @param {Point} from
   * @param {Point} to
   * @param {boolean} erase
   */
  line(from, to, erase) {
    const { context } = this;
    context.globalCompositeOperation = erase ? "destination-out" : "source-over";
    context.lineWidth = (erase ? ERASER : PEN) * Math.max(this.canvas.width, this.canvas.height);
    context.lineCap = "round";
    context.lineJoin = "round";
    context.strokeStyle = css(this.colour);
    context.beginPath();
    context.moveTo(from.x, from.y);
    // A line of no length draws nothing in some browsers.
    context.lineTo(to.x + (from.x === to.x && from.y === to.y ? 0.01 : 0), to.y);
    context.stroke();
    context.globalCompositeOperation = "source-over";
    this.changed();
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 && event.button !== 5) return;
      canvas.setPointerCapture(event.pointerId);
      this.cursor.hidden = true;
      this.last = this.pointOf(event);
      this.line(this.last, this.last, this.erases(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.last || !canvas.hasPointerCapture(event.pointerId)) return;
      const events = event.getCoalescedEvents?.() ?? [];
      for (const part of events.length ? events : [event]) {
        const point = this.pointOf(part);
        this.line(this.last, point, this.erases(event));
        this.last = point;
      }
    });
    for (const end of /** @type {const} */ (["pointerup", "pointercancel"])) {
      canvas.addEventListener(end, () => {
        this.last = null;
      });
    }
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => {
      this.cursor.hidden = true;
      this.keyDown = false;
    });
  }

  /**
  * Return whether a pointer erases: by the checkbox, or with the eraser of a pen.
   *
   * @param {PointerEvent} event
   */
  erases(event) {
    return this.erasing || (event.buttons & 32) !== 0;
  }

  /**
   * @param {PointerEvent} event
   * @returns {Point}
   */
  pointOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * this.canvas.width,
      y: ((event.clientY - box.top) / box.height) * this.canvas.height,
    };
  }

  /**
   * Arrow keys move the pen, the space bar puts it down and lifts it.
   *
   * @param {KeyboardEvent} event
   */
  key(event) {
    /** @type {Record<string, [number, number]>} */
    const moves = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    };
    const move = moves[event.key];
    if (!move && event.key !== " ") return;
    event.preventDefault();
    if (event.key === " ") this.keyDown = !this.keyDown;
    const from = this.keyPlace;
    const [right, down] = move ?? [0, 0];
    this.keyPlace = {
      x: Math.min(Math.max(from.x + right * this.scale, 0), this.canvas.width),
      y: Math.min(Math.max(from.y + down * this.scale, 0), this.canvas.height),
    };
    if (this.keyDown) this.line(from, this.keyPlace, this.erasing);
    this.cursor.hidden = false;
    this.cursor.classList.toggle("live-down", this.keyDown);
    this.cursor.style.left = `${(100 * this.keyPlace.x) / this.canvas.width}%`;
    this.cursor.style.top = `${(100 * this.keyPlace.y) / this.canvas.height}%`;
  }
}
