// The bar at the top (on a phone its controls are at the bottom): what state it is in,
// play, speed, the clock, the link.

import { h, icon, text } from "./dom.ts";
import { clock, compact, speed } from "./format.ts";
import { themeButton } from "./theme.ts";
import { pill } from "./verdict.ts";

export interface BarActions {
  restart: () => void;
  play: () => void;
  step: () => void;
  speed: (value: number) => void;
  link: () => Promise<void>;
  help: () => void;
}

const ICONS = {
  restart: "M3 2h2v12H3zM14 2v12L6 8z",
  play: "M4 2l10 6-10 6z",
  pause: "M4 2h3v12H4zM9 2h3v12H9z",
  step: "M2 2l8 6-8 6zM11 2h2v12h-2z",
};

const SLIDER_MAX = 400;

/** 1 to 10,000, so that each quarter of the slider is ten times as fast. */
const toSpeed = (slider: number): number => {
  const value = 10 ** (slider / 100);
  return value < 10 ? Math.round(value * 10) / 10 : value < 100 ? Math.round(value) : Math.round(value / 10) * 10;
};
const toSlider = (value: number): number => Math.round(Math.log10(value) * 100);

export class Bar {
  readonly root: HTMLElement;
  private pill = pill();
  private time = h("output", { class: "clock num", "aria-label": "Simulated time" }, "00:00:00");
  private rate = h("span", { class: "reached num" }, "");
  private playing = false;
  private playButton: HTMLButtonElement;
  private slider: HTMLInputElement;
  private asked = h("output", { class: "asked num" }, "");
  private copied = h("span", { class: "offscreen", role: "status" });

  constructor(private actions: BarActions, initial: number) {
    const button = (label: string, picture: string, act: () => void, key: string) =>
      h("button", { type: "button", class: "round", title: `${label} (${key})`, "aria-label": label, onclick: act }, icon(picture));
    this.playButton = button("Play", ICONS.play, actions.play, "Space");
    this.playButton.classList.add("primary");
    this.slider = h("input", { type: "range", min: "0", max: String(SLIDER_MAX), step: "5", value: String(toSlider(initial)), "aria-label": "Speed" });
    this.slider.addEventListener("input", () => this.speedChanged());
    const link = h("button", { type: "button", class: "quiet link", onclick: () => this.copy(link) }, "Copy link");
    const help = h("button", { type: "button", class: "quiet square", "aria-label": "Keys and help", title: "Keys and help (?)", onclick: actions.help }, "?");
    const transport = h("div", { class: "transport", role: "group", "aria-label": "Playing" },
      button("Start again", ICONS.restart, actions.restart, "r"), this.playButton, button("One minute further", ICONS.step, actions.step, "."),
      h("label", { class: "speed" }, this.slider, this.asked));
    this.root = h("header", { class: "bar" },
      h("div", { class: "name" }, h("strong", {}, "Crossfade"), h("span", { class: "sub" }, "rehearsal")), this.pill.root, transport,
      h("div", { class: "now" }, this.time, this.rate), h("div", { class: "tools" }, link, themeButton(), help, this.copied));
    this.set(initial);
    this.state("idle");
  }

  /** The speed that is asked for. */
  get speed(): number {
    return toSpeed(Number(this.slider.value));
  }

  private set(value: number): void {
    text(this.asked, speed(value));
    this.slider.setAttribute("aria-valuetext", `${speed(value)} as fast as real time`);
  }

  private speedChanged(): void {
    this.set(this.speed);
    this.actions.speed(this.speed);
  }

  private async copy(button: HTMLButtonElement): Promise<void> {
    try {
      await this.actions.link();
      text(button, "Copied");
      text(this.copied, "The link to this run was copied.");
    } catch {
      text(button, "In the address bar");
      text(this.copied, "The link to this run is in the address bar.");
    }
    setTimeout(() => text(button, "Copy link"), 2_500);
  }

  state(phase: string): void {
    this.pill.state(phase);
    this.root.dataset.phase = phase;
  }

  update(now: number, playing: boolean, reached: number, rps: number): void {
    text(this.time, clock(now));
    if (playing !== this.playing) {
      this.playing = playing;
      const [label, picture] = playing ? ["Pause", ICONS.pause] : ["Play", ICONS.play];
      this.playButton.setAttribute("aria-label", label);
      this.playButton.title = `${label} (Space)`;
      this.playButton.querySelector("path")?.setAttribute("d", picture);
    }
    const behind = playing && reached > 0 && reached < this.speed * 0.93;
    const rate = `${compact(reached * rps)} requests a second`;
    text(this.rate, playing && reached > 0 ? (behind ? `${speed(Math.round(reached))} reached` : rate) : "paused");
    this.rate.title = rate;
  }
}
