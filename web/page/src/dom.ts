// Building elements without a framework.

type Child = Node | string | null | undefined | false;
type Props = Record<string, unknown>;

/** An element with its properties and children. `class`, `for` and names with a dash are
 *  attributes, `on…` are listeners, the rest are properties. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value as EventListener);
    else if (name === "class" || name === "for" || name === "role" || name.includes("-") || name === "list")
      element.setAttribute(name, String(value));
    else (element as unknown as Props)[name] = value;
  }
  element.append(...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== false));
  return element;
}

/** Sets text only when it differs: a screen reader speaks up, and layout runs, only then. */
export function text(element: HTMLElement, value: string): void {
  if (element.textContent !== value) element.textContent = value;
}

/** A section with a heading, as all parts of the page are. */
export function card(id: string, title: string, note: HTMLElement | string = ""): { root: HTMLElement; body: HTMLElement } {
  const heading = h("h2", { id: `${id}-title` }, title);
  const root = h("section", { class: `card ${id}`, id, "aria-labelledby": `${id}-title` });
  const beside = typeof note !== "string" ? note : note === "" ? null : h("p", { class: "note" }, note);
  root.append(h("header", {}, heading, beside));
  const body = h("div", { class: "body" });
  root.append(body);
  return { root, body };
}

const SVG = "http://www.w3.org/2000/svg";

/** A picture of one path on a grid of 16. */
export function icon(path: string): SVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const shape = document.createElementNS(SVG, "path");
  shape.setAttribute("d", path);
  svg.append(shape);
  return svg;
}

const CONTROLS = "button, input, select, textarea, summary";

/** Renders anew what is in a box, and leaves the focus on the control in the same place. */
export function keepingFocus(box: HTMLElement, render: () => void): void {
  const controls = () => [...box.querySelectorAll<HTMLElement>(CONTROLS)];
  const place = controls().indexOf(document.activeElement as HTMLElement);
  render();
  if (place < 0) return;
  const now = controls();
  now[Math.min(place, now.length - 1)]?.focus({ preventScroll: true });
}

/** A canvas that fills its box, sharp on every screen; `draw` is called when its size or
 *  the colours change. */
export function canvas(box: HTMLElement, draw: () => void): { element: HTMLCanvasElement; size: () => { w: number; h: number }; context: CanvasRenderingContext2D } {
  const element = h("canvas");
  box.append(element);
  const context = element.getContext("2d", { alpha: true });
  if (!context) throw new Error("this browser has no canvas");
  let w = 0;
  let height = 0;
  const fit = () => {
    const ratio = Math.min(devicePixelRatio || 1, 2);
    w = box.clientWidth;
    height = box.clientHeight;
    element.width = Math.max(1, Math.round(w * ratio));
    element.height = Math.max(1, Math.round(height * ratio));
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (w > 0 && height > 0) draw();
  };
  new ResizeObserver(fit).observe(box);
  return { element, size: () => ({ w, h: height }), context };
}
