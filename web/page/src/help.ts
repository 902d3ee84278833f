// Keys, and how to read the page.

import { h } from "./dom.ts";

const KEYS: [string, string][] = [
  ["Space", "play, pause"],
  [".", "one minute further"],
  ["r", "start again"],
  [", ;", "back to the decision before, on to the next"],
  ["?", "this"],
];

export function helpDialog(): HTMLDialogElement {
  const dialog = h("dialog", { class: "help", "aria-labelledby": "help-title" });
  const close = h("button", { type: "button", class: "wide-button", onclick: () => dialog.close() }, "Close");
  dialog.append(
    h("h2", { id: "help-title" }, "A rehearsal"),
    h("p", {}, "Simulated clients call an API whose traffic moves from v1 to v2, as the plan says. The engine on this page is the one that runs in production: it routes every request, weighs the evidence, and takes v2 back when it is proven worse. Nothing leaves your browser."),
    h("p", {}, "Each square is a client, in the order of its bucket: a larger share keeps whom a smaller one had, so the move is a front. Dashed lines are what was asked for, or limits; solid lines were observed."),
    h("p", {}, "The same seed gives the same run, here and in ", h("code", {}, "crossfade simulate"), ". A link holds all of it."),
    h("h3", {}, "Keys"),
    h("dl", { class: "keys" }, ...KEYS.map(([key, does]) => h("div", {}, h("dt", {}, ...key.split(" ").map((k) => h("kbd", {}, k))), h("dd", {}, does)))),
    close,
  );
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  return dialog;
}
