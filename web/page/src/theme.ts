// Light, dark, and the colours that canvases need.

import { h, icon, text } from "./dom.ts";

export interface Colours {
  ink: string;
  muted: string;
  line: string;
  card: string;
  v1: string;
  v2: string;
  back: string;
  faint: string;
}

type Choice = "auto" | "light" | "dark";

const NAMES: (keyof Colours)[] = ["ink", "muted", "line", "card", "v1", "v2", "back", "faint"];
const listeners = new Set<() => void>();
let known: Colours | undefined;

/** Colours as a canvas understands them: what the style sheet's variables come to. */
export function colours(): Colours {
  if (known) return known;
  const probe = h("span", { class: "probe" });
  document.body.append(probe);
  const read = (name: string) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  known = Object.fromEntries(NAMES.map((name) => [name, read(name)])) as unknown as Colours;
  probe.remove();
  return known;
}

/** Calls back when colours have changed. */
export function onColours(listener: () => void): void {
  listeners.add(listener);
}

function changed(): void {
  known = undefined;
  for (const listener of listeners) listener();
}

function stored(): Choice {
  try {
    const found = localStorage.getItem("theme");
    return found === "light" || found === "dark" ? found : "auto";
  } catch {
    return "auto";
  }
}

/** The button that goes from one to the next. */
export function themeButton(): HTMLButtonElement {
  let choice = stored();
  const label = h("span", {}, "");
  const button = h("button", { type: "button", class: "quiet" }, icon("M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm0 1.500v11a5.500 5.500 0 0 1 0-11Z"), label);
  const apply = () => {
    document.documentElement.dataset.theme = choice;
    const name = { auto: "Auto", light: "Light", dark: "Dark" }[choice];
    text(label, name);
    button.setAttribute("aria-label", `Colours: ${name}`);
    button.title = choice === "auto" ? "Colours: those of the system" : `Colours: ${choice}`;
    changed();
  };
  button.addEventListener("click", () => {
    choice = choice === "auto" ? "light" : choice === "light" ? "dark" : "auto";
    try {
      localStorage.setItem("theme", choice);
    } catch {
      // Without storage the choice lasts as long as the page.
    }
    apply();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  apply();
  return button;
}

const still = matchMedia("(prefers-reduced-motion: reduce)");

/** Whether things may move by themselves. */
export const mayMove = (): boolean => !still.matches;
