// Every control that a page shows, and whether each was used to its success.

import assert from 'node:assert/strict';

/** What can be pressed, filled, chosen or reached with the keyboard now, as `kind name`;
 *  numbers in names are `#`. While a dialog is open nothing else can be reached. */
export const controls = (page) => page.evaluate(() => {
  const dialog = document.querySelector('dialog[open]');
  const within = dialog ?? document;
  const kinds = 'a[href], button, input, select, textarea, summary, [contenteditable], [tabindex]:not([tabindex="-1"]), .u-over';
  const named = (element) => {
    const label = element.getAttribute('aria-label') ?? element.labels?.[0]?.querySelector('span')?.firstChild?.textContent ?? element.labels?.[0]?.textContent;
    return (label ?? element.textContent).trim().replace(/\s+/g, ' ');
  };
  const kind = (element) => {
    if (element.matches('.entry')) return 'entry';
    if (element.matches('.u-over')) return 'chart';
    const tag = element.tagName.toLowerCase();
    if (tag === 'input') return element.type;
    return ['a', 'button', 'select', 'textarea', 'summary'].includes(tag) ? tag : 'region';
  };
  const shown = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !element.disabled && !element.closest('[inert]');
  // What only receives the focus of a link within the page is as good as not there.
  const all = [...within.querySelectorAll(kinds)].filter((element) => shown(element) && !element.matches('.skip:not(:focus)'));
  return all.map((element) => {
    const is = kind(element);
    return is === 'entry' || is === 'chart' ? is : `${dialog ? 'dialog: ' : ''}${is} ${named(element).replace(/\d[\d,.]*/g, '#')}`;
  });
});

/** What each control does: patterns of `kind name`, and how it is used. */
export class Inventory {
  /** Each `use` ends only when what it is for has happened. */
  constructor(known) {
    this.known = known;
    this.used = new Set();
    this.seen = new Map();
  }

  /** Uses what is seen in a state and was not used in another one; `reach` gives a page in
   *  that state, each time it is called. */
  async state(name, reach) {
    const page = await reach();
    const found = [...new Set(await controls(page))];
    const unknown = found.filter((control) => !this.known.some(([pattern]) => pattern.test(control)));
    assert.deepEqual(unknown, [], `${name}: what these do is not known to the test`);
    let fresh = true;
    for (const control of found) {
      this.seen.set(control, name);
      if (this.used.has(control)) continue;
      const [, use] = this.known.find(([pattern]) => pattern.test(control));
      const at = fresh ? page : await reach();
      fresh = false;
      await use(at, control).catch((error) => { throw new Error(`${name}: ${control}: ${error.message}`, { cause: error }); });
      this.used.add(control);
    }
  }

  /** Every control that was seen was used, and nothing is known that is nowhere. */
  complete() {
    const left = [...this.seen].filter(([control]) => !this.used.has(control));
    assert.deepEqual(left, [], 'seen and not used');
    const idle = this.known.filter(([pattern]) => ![...this.used].some((control) => pattern.test(control)));
    assert.deepEqual(idle.map(([pattern]) => String(pattern)), [], 'known and never seen');
  }
}
