// Small helpers for building and finding parts of the page.

/**
 * The element with this id, of this class.
 *
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function find(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`no ${type.name} #${id}`);
  return found;
}

/**
 * A new element.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean>} [attributes] `text` is the text inside
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = String(value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/** @param {number} share from 0 to 1 */
export function percent(share) {
  if (Number.isNaN(share)) return "not a number";
  if (share > 0.999 && share < 1) return ">99.9 %";
  if (share > 0 && share < 0.001) return "<0.1 %";
  return `${(100 * share).toFixed(1)} %`;
}

/**
 * @param {number} count
 * @param {string} noun
 */
export const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** @param {number} value */
export function signed(value) {
  if (!Number.isFinite(value)) return String(value);
  const digits = Math.abs(value) < 10 ? 2 : 1;
  return value.toFixed(digits).replace(/^-(0\.0+)$/, "$1").replace("-", "−");
}

/**
 * Let the arrow keys move the focus among the buttons of a container, which is one stop for Tab.
 *
 * @param {HTMLElement} container
 */
export function moveWithArrows(container) {
  /** @type {Record<string, [number, number]>} */
  const directions = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, -1],
    ArrowDown: [0, 1],
  };
  container.addEventListener("keydown", (event) => {
    const direction = directions[event.key];
    if (!direction || !(event.target instanceof HTMLButtonElement)) return;
    event.preventDefault();
    nearest(event.target, [...container.querySelectorAll("button")], direction)?.focus();
  });
  container.addEventListener("focusin", (event) => {
    if (event.target instanceof HTMLButtonElement) stopAt(container, event.target);
  });
}

/**
 * Make one button of a container the one that Tab reaches.
 *
 * @param {HTMLElement} container
 * @param {HTMLButtonElement | null} [stop] the first one if not given
 */
export function stopAt(container, stop = container.querySelector("button")) {
  for (const button of container.querySelectorAll("button")) {
    button.tabIndex = button === stop ? 0 : -1;
  }
}

/**
 * The nearest button in a direction.
 *
 * @param {HTMLButtonElement} from
 * @param {HTMLButtonElement[]} buttons
 * @param {[number, number]} direction to the right, down
 */
function nearest(from, buttons, [right, down]) {
  /** @param {HTMLElement} element */
  const middle = (element) => {
    const { left, top, width, height } = element.getBoundingClientRect();
    return { x: left + width / 2, y: top + height / 2 };
  };
  const start = middle(from);
  let best = null;
  let shortest = Infinity;
  for (const button of buttons) {
    const { x, y } = middle(button);
    const ahead = (x - start.x) * right + (y - start.y) * down;
    const aside = Math.abs((x - start.x) * down) + Math.abs((y - start.y) * right);
    if (ahead > 1 && ahead + 3 * aside < shortest) {
      best = button;
      shortest = ahead + 3 * aside;
    }
  }
  return best;
}
