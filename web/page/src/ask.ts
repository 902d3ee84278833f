// Dialogs that ask for one line: a reason, or a token.

import { h, text } from "./dom.ts";

export interface Question {
  title: string;
  about: string;
  label: string;
  act: string;
  /** Nobody looks over a shoulder at this. */
  secret?: boolean;
  /** A box to tick. */
  also?: string;
  /** What an empty line is told; without it one is taken. */
  empty?: string;
  /** Said when nobody knows whether it was done. The same is asked again then, or nothing. */
  unknown?: string;
}

/** Asks, and stays open until `answer` has no sentence about what is wrong. */
export function ask(question: Question, answer: (line: string, also: boolean) => Promise<string | undefined>): void {
  const wrong = h("p", { role: "alert" });
  const line = h("input", { type: question.secret ? "password" : "text", id: "ask-line", autocomplete: "off", maxLength: 1_000 });
  const also = h("input", { type: "checkbox" });
  const act = h("button", { type: "button", class: "wide-button" }, question.act);
  const cancel = h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Cancel");
  const dialog = h("dialog", { class: "help ask", "aria-labelledby": "ask-title", "aria-describedby": "ask-about" },
    h("h2", { id: "ask-title" }, question.title), h("p", { id: "ask-about" }, question.about),
    h("label", { for: "ask-line" }, question.label), line,
    question.also && h("label", { class: "check" }, also, question.also), wrong, h("div", { class: "buttons" }, cancel, act));
  const done = async () => {
    if (act.disabled) return;
    const given = line.value.trim();
    if (!given && question.empty) return text(wrong, question.empty);
    act.disabled = true;
    const problem = await answer(given, also.checked).catch(() => {
      if (question.unknown) line.readOnly = also.disabled = true;
      return question.unknown ?? "The server cannot be reached.";
    });
    act.disabled = false;
    if (problem) text(wrong, problem);
    else dialog.close();
  };
  act.addEventListener("click", () => void done());
  line.addEventListener("keydown", (event) => {
    if (event.key === "Enter") void done();
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  line.focus();
}
