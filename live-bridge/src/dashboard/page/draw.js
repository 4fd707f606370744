// What page and map draw with.

/** A letter and words for every place a device can be at; colours and patterns are in look.css. */
export const PLACES = {
  "updated": { letter: "U", words: "updated" },
  "out": { letter: "O", words: "out of service" },
  "staging": { letter: "P", words: "preparing" },
  "waiting": { letter: "W", words: "waiting" },
  "rolling-back": { letter: "B", words: "going back" },
  "rolled-back": { letter: "R", words: "taken back" },
  "failed": { letter: "F", words: "failed" },
  "idle": { letter: "·", words: "nothing to do" },
  "absent": { letter: "–", words: "never heard of" },
};

/** The controller's time: its clock and the browser's may differ. */
let now = 0;

export function setNow(ms) {
  now = ms;
}

/** Writes only what differs, so that nothing jumps and no selection is lost. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  const { data, ...plain } = properties;
  Object.assign(element, plain);
  Object.assign(element.dataset, data ?? {});
  element.append(...children);
  return element;
}

/** Makes the children of `parent` those of `items`, by key, each made once and filled every time. */
export function keyed(parent, items, keyOf, create, fill) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let before = null;
  for (const item of items) {
    const key = String(keyOf(item));
    const child = known.get(key) ?? create(item);
    known.delete(key);
    child.dataset.key = key;
    const place = before ? before.nextSibling : parent.firstChild;
    if (place !== child) parent.insertBefore(child, place);
    fill(child, item);
    before = child;
  }
  known.forEach((child) => child.remove());
}

export const devices = (n) => (n === 1 ? "1 device" : `${n.toLocaleString("en")} devices`);

export function clock(ms) {
  const at = new Date(ms);
  const isToday = at.toDateString() === new Date(now || ms).toDateString();
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return isToday ? time : `${at.toLocaleDateString()} ${time}`;
}

/** Moments within a sentence of the controller, by the browser's clock and calendar. */
export const local = (words) => words.replace(/\d{4}-\d\d-\d\dT[\d:]+Z/g, (moment) => clock(Date.parse(moment)));

export function ahead(ms) {
  const minutes = Math.round((ms - now) / 60000);
  if (minutes < 1) return "now";
  if (minutes < 90) return `in ${minutes} min`;
  return minutes < 2880 ? `in ${Math.round(minutes / 60)} h` : `in ${Math.round(minutes / 1440)} days`;
}

/** A bar of counts: widths, letters and, for those who do not see it, words. */
export function drawBar(bar, counts, total) {
  const parts = Object.entries(counts).filter(([, n]) => n > 0);
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", parts.map(([at, n]) => `${n} ${PLACES[at].words}`).join(", ") || "no devices");
  keyed(bar, parts, ([at]) => at, ([at]) => make("span", { data: { at } }), (span, [at, n]) => {
    const share = (n / Math.max(total, 1)) * 100;
    span.style.width = `${share}%`;
    write(span, share > 4 ? PLACES[at].letter : "");
  });
}
