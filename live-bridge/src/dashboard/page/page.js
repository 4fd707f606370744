// The dashboard: hears the controller's events, shows them, and asks for what a person wants done.
import { PLACES, ahead, clock, devices, drawBar, keyed, local, make, setNow, write } from "/draw.js";
import { drawMap } from "/map.js";

const byId = (id) => document.getElementById(id);
const LINES_MAX = 200;
const STALE_S = 20;
const COUNTS = ["updated", "out", "staging", "waiting", "rolling_back", "rolled_back", "failed"];
const STATES = {
  draft: "draft", waiting_for_approval: "waits for approval", ready: "ready to start", scheduled: "scheduled", running: "running", paused: "paused",
  aborting: "aborting", rolling_back: "going back", finished: "finished", rolled_back: "taken back", stopped: "stopped",
};
const REASONS = {
  "planned": "have a place in the plan", "not-compatible": "do not suit the package", "capacity-filter": "are too busy for the filter now",
  "not-requested": "have not asked for an update yet", "no-telemetry": "never reported their load", "stale-telemetry": "reported too long ago",
  "wave-not-open": "belong to a wave that is not open", "not-its-turn": "wait for their turn in the wave", "rate-limit": "the rate leaves no slot free",
  "oversize-requirement": "need more than a batch may hold", "oversize-capacity": "are more than a batch may hold", "batches-full": "every batch is full",
  "pool-capacity": "their pool cannot spare them", "pool-out-max": "as many of their pool are out as may be",
  "region-out-max": "as many of their region are out as may be", "link-busy": "their region's link is taken",
  "window-closed": "no maintenance window is long enough", "device-load": "are too busy in every open window", "retry-pause": "failed and try again later",
  "other-rollout": "another rollout has them", "rollout-paused": "the rollout is paused", "next-plan": "the next plan will say",
};
const VERBS = { approve: "Approve", start: "Start", pause: "Pause", resume: "Resume", abort: "Abort …" };

let me = { name: "", role: "", may: [], two_persons: true };
let status = null;
let heardAt = 0;
let isConnected = false;

// ---- rollouts

function createCard(one) {
  const title = make("h3", { id: `rollout-${one.number}` });
  const state = make("span", { className: "state" });
  const waits = make("details", { className: "waits" }, make("summary"), make("ul"));
  const card = make("article", { className: "card" }, make("header", {}, title, state), make("p", { className: "why soft" }),
    make("div", { className: "bar" }), make("p", { className: "words" }), make("p", { className: "next" }), waits, make("p", { className: "actions" }));
  card.setAttribute("aria-labelledby", title.id);
  return card;
}

function why(one) {
  const parts = [];
  if (one.cause && !one.is_over) parts.push(one.cause === "operator" ? "by a person" : one.cause);
  if (one.detail && one.detail !== "a person") parts.push(local(one.detail));
  const since = one.since_ms ? `since ${clock(one.since_ms)}` : "";
  const by = one.created_by ? `made by ${one.created_by}` : "";
  const signed = one.signed_off ? `signed off by ${local(one.signed_off)}` : "not signed off";
  return [parts.join(": "), since, by, signed].filter(Boolean).join(" · ");
}

function fillCard(card, one) {
  const find = (selector) => card.querySelector(selector);
  write(find("h3"), `Rollout ${one.number} · ${one.package} ${one.version}`);
  const state = find(".state");
  write(state, STATES[one.state] ?? one.state);
  state.dataset.state = one.state;
  write(find(".why"), why(one));
  const counts = Object.fromEntries(COUNTS.map((name) => [name.replace("_", "-"), one.counts[name]]));
  const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
  find(".bar").hidden = total === 0;
  drawBar(find(".bar"), counts, total);
  const words = Object.entries(counts).filter(([, n]) => n > 0).map(([at, n]) => `${n.toLocaleString("en")} ${PLACES[at].words}`);
  write(find(".words"), total ? `${words.join(" · ")} (of ${devices(total)})` : "Its devices are chosen when it starts.");
  const next = one.next_batch;
  write(find(".next"), next ? `Next batch: ${devices(next.devices)} at ${clock(next.at_ms)}, ${ahead(next.at_ms)}.` : nothingNext(one));
  fillWaits(find(".waits"), one.waiting);
  fillActions(find(".actions"), one);
}

function nothingNext(one) {
  if (one.state === "waiting_for_approval") return me.two_persons && one.created_by ? `Somebody other than ${one.created_by} must approve it.` : "";
  return one.state === "running" && one.counts.waiting > 0 ? "No batch is planned yet." : "";
}

function fillWaits(box, waiting) {
  box.hidden = waiting.length === 0;
  const total = waiting.reduce((sum, one) => sum + one.devices, 0);
  write(box.querySelector("summary"), `Why ${devices(total)} wait${total === 1 ? "s" : ""}`);
  keyed(box.querySelector("ul"), waiting, (one) => one.reason, () => make("li", {}, make("span"), make("div", { className: "examples" })), (item, one) => {
    const when = one.earliest_ms && one.earliest_ms > status.at_ms ? `, at the earliest ${clock(one.earliest_ms)}` : "";
    write(item.firstChild, `${one.devices.toLocaleString("en")}: ${REASONS[one.reason] ?? one.reason} (${one.reason})${when}`);
    const more = one.devices > one.examples.length ? " …" : "";
    write(item.lastChild, local(one.examples.join("; ")) + more);
  });
}

function fillActions(box, one) {
  const isOwn = me.two_persons && one.created_by === me.name;
  const verbs = one.actions.filter((verb) => me.may.includes(verb) && !(verb === "approve" && isOwn));
  const create = (verb) => {
    const button = make("button", { type: "button", className: verb === "abort" ? "grave" : "", textContent: VERBS[verb] });
    button.dataset.verb = verb;
    button.addEventListener("click", () => decide(button, verb, one.number));
    return button;
  };
  keyed(box, verbs, (verb) => verb, create, (button, verb) => button.setAttribute("aria-label", `${VERBS[verb].replace(" …", "")} rollout ${one.number}`));
}

function announce(before, now) {
  if (!before) return;
  const states = new Map(before.rollouts.map((one) => [one.number, one.state]));
  const changed = now.rollouts.filter((one) => states.get(one.number) !== one.state);
  const words = changed.map((one) => `Rollout ${one.number} is now: ${STATES[one.state] ?? one.state}.`);
  if (before.stopped !== now.stopped) words.push(now.stopped ? `Everything is stopped: ${now.stopped}.` : "The stop is released.");
  if (words.length) write(byId("news"), words.join(" "));
}

// ---- wishes

async function ask(path, body) {
  problem("");
  try {
    const headers = { "x-slacktide": "dashboard", "content-type": "application/json" };
    const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body ?? {}) });
    if (!answer.ok) {
      const { error } = await answer.json().catch(() => ({ error: { reason: String(answer.status), message: answer.statusText } }));
      problem(`Refused (${error.reason}): ${error.message}`);
    }
  } catch {
    problem("The controller could not be reached; nothing was done.");
  }
}

function problem(text) {
  const box = byId("problem");
  box.hidden = !text;
  box.replaceChildren(text);
  if (!text) return;
  const close = make("button", { type: "button", textContent: "Close" });
  close.addEventListener("click", () => problem(""));
  box.append(close);
}

async function busy(button, work) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  await work();
  button.removeAttribute("aria-disabled");
}

function decide(button, verb, number) {
  const go = () => busy(button, () => ask(`/api/rollouts/${number}/${verb}`));
  if (verb !== "abort") return go();
  const one = status.rollouts.find((rollout) => rollout.number === number);
  const { staging, out, updated } = one.counts;
  const words = `It stops for good and cannot be resumed. ${devices(staging + out)} under way come home first; the ${devices(updated)} that have the ` +
    "release keep it, unless the policy takes them back.";
  return sure(`Abort rollout ${number}, ${one.package} ${one.version}?`, words, "Abort the rollout", false, go);
}

/** Asks once more; `go` is called with the reason where one was asked for. */
function sure(title, words, yes, wantsReason, go) {
  const dialog = byId("sure");
  write(byId("sure-title"), title);
  write(byId("sure-words"), words);
  write(byId("sure-yes"), yes);
  byId("sure-reason").value = "";
  byId("sure-reason-line").hidden = !wantsReason;
  byId("sure-yes").onclick = () => {
    dialog.close();
    go(byId("sure-reason").value);
  };
  byId("sure-no").onclick = () => dialog.close();
  dialog.showModal();
  (wantsReason ? byId("sure-reason") : byId("sure-no")).focus();
}

function fillAndon() {
  const verbs = [status.stopped ? "release" : "stop"].filter((verb) => me.may.includes(verb));
  const create = (verb) => {
    const textContent = verb === "stop" ? "Stop everything …" : "Release the stop";
    const button = make("button", { type: "button", className: verb === "stop" ? "grave" : "", textContent });
    button.addEventListener("click", () => (verb === "stop" ? stopAll(button) : busy(button, () => ask("/api/release"))));
    return button;
  };
  keyed(byId("andon"), verbs, (verb) => verb, create, () => {});
}

function stopAll(button) {
  const running = status.rollouts.filter((one) => one.state === "running").length;
  const words = `${running === 1 ? "The running rollout is" : `All ${running} running rollouts are`} paused at once. Nothing starts or resumes until ` +
    "somebody releases the stop, not even after a restart of the controller. Devices that are on their way back to their old release go on.";
  sure("Stop everything?", words, "Stop everything", true, (reason) => busy(button, () => ask("/api/stop", { reason })));
}

// ---- pools and decisions

function fillPools() {
  const tightest = status.pools.reduce((most, pool) => (!most || pool.use_percent > most.use_percent ? pool : most), null);
  const left = status.pools_left_off ? ` Shown are the tightest; ${status.pools_left_off} more are left out.` : "";
  const words = `Tightest: ${tightest?.name}, ${tightest?.use_percent} % of what is in service is used. Rollouts stop at ${status.critical_percent} %.`;
  const ahead = status.pools.some((pool) => pool.ahead_percent !== null) ? " Expected ahead is the highest that is forecast over the lookahead." : "";
  write(byId("pools-words"), tightest ? words + ahead + left : "No device has joined yet.");
  const create = () => {
    const gauge = make("div", { className: "gauge" }, make("span"), make("i"));
    const use = make("td", {}, make("div", { className: "use" }, gauge, make("span", { className: "words" })));
    const number = () => make("td", { className: "n" });
    return make("tr", {}, make("th", { scope: "row" }), number(), number(), number(), use, number());
  };
  keyed(byId("pools"), status.pools, (pool) => pool.name, create, fillPool);
}

function fillPool(row, pool) {
  const [name, members, out, silent, use, expected] = row.children;
  write(name, pool.name);
  write(members, pool.members.toLocaleString("en"));
  write(out, pool.out.toLocaleString("en"));
  write(silent, pool.silent.toLocaleString("en"));
  const gauge = use.querySelector(".gauge");
  gauge.classList.toggle("tight", pool.use_percent > status.critical_percent);
  gauge.firstChild.style.width = `${Math.min(pool.use_percent, 100)}%`;
  gauge.lastChild.style.width = `${Math.min(status.critical_percent, 100)}%`;
  const tight = pool.use_percent > status.critical_percent ? " too tight" : "";
  write(use.querySelector(".words"), `${pool.use_percent.toFixed(1)} %${tight}`);
  write(expected, pool.ahead_percent === null ? "–" : `${pool.ahead_percent.toFixed(1)} %`);
}

function tellDecisions({ whole, lines }) {
  const list = byId("decisions");
  if (whole) list.replaceChildren();
  for (const line of lines) {
    const label = line.rollout === null ? "" : `Rollout ${line.rollout}: `;
    const time = make("time", { textContent: clock(line.at_ms), dateTime: new Date(line.at_ms).toISOString() });
    // Outcomes that follow one another are one line that grows.
    if (list.firstChild?.dataset.first === String(line.first)) list.firstChild.remove();
    list.prepend(make("li", { data: { first: line.first } }, time, label + local(line.words)));
  }
  while (list.children.length > LINES_MAX) list.lastChild.remove();
}

// ---- hearing

function show(news) {
  announce(status, news);
  status = news;
  setNow(news.at_ms);
  heardAt = performance.now();
  document.title = `${news.name} · slacktide`;
  write(byId("name"), news.name);
  write(byId("sentence"), news.sentence);
  fillAndon();
  keyed(byId("rollouts"), news.rollouts, (one) => one.number, createCard, fillCard);
  const left = news.rollouts_left_off;
  write(byId("rollouts-rest"), left ? `${left} older rollouts are not shown.` : news.rollouts.length ? "" : "There is none.");
  fillPools();
  write(byId("map-words"), mapWords(news.devices));
  tellConnection();
}

function mapWords({ total, connected, absent }) {
  const missing = absent ? ` ${devices(absent)} of the fleet file never called.` : "";
  return `${devices(total)}, ${connected.toLocaleString("en")} connected by a session.${missing}`;
}

function tellConnection() {
  const box = byId("connection");
  const silent = (performance.now() - heardAt) / 1000;
  const isStale = heardAt > 0 && silent > STALE_S;
  box.classList.toggle("lost", !isConnected || isStale);
  if (!isConnected) write(box, heardAt ? `Connection lost; trying again. What is shown is from ${clock(status.at_ms)}.` : "Connecting …");
  else if (isStale) write(box, `The controller has said nothing for ${Math.round(silent)} s.`);
  else write(box, heardAt ? `Live, as of ${clock(status.at_ms)}.` : "Connected.");
}

function listen() {
  const source = new EventSource("/api/events");
  const connected = (is) => {
    isConnected = is;
    tellConnection();
  };
  source.addEventListener("open", () => connected(true));
  source.addEventListener("error", () => {
    connected(false);
    // A browser gives up where it is refused; people come back to a page that was left open.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  });
  source.addEventListener("status", (event) => show(JSON.parse(event.data)));
  source.addEventListener("map", (event) => drawMap(JSON.parse(event.data)));
  source.addEventListener("decisions", (event) => tellDecisions(JSON.parse(event.data)));
}

async function begin() {
  try {
    const answer = await fetch("/api/me");
    if (!answer.ok) throw new Error((await answer.json()).error.message);
    me = await answer.json();
    write(byId("who"), `You are ${me.name}, ${me.role}.`);
  } catch (error) {
    problem(`The controller does not say who you are: ${error.message}`);
    setTimeout(begin, 5000);
    return;
  }
  problem("");
  listen();
  setInterval(tellConnection, 1000);
}

begin();
