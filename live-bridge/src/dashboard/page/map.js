// The map of devices: a cell each where there are few, counts by region and pool where there are many.
import { PLACES, ahead, clock, devices, drawBar, keyed, make, write } from "/draw.js";

const map = document.getElementById("map");
const chosen = document.getElementById("chosen");
let chosenCell = null;

export function drawMap(news) {
  const isCells = news.kind === "cells";
  if (map.dataset.kind !== news.kind) map.replaceChildren();
  map.dataset.kind = news.kind;
  drawLegend(totals(news));
  if (isCells) drawCells(news.groups);
  else drawCounts(news);
}

function totals(news) {
  const sum = {};
  const add = (at, n) => (sum[at] = (sum[at] ?? 0) + n);
  for (const group of news.groups) {
    if (group.counts) Object.entries(group.counts).forEach(([at, n]) => add(at, n));
    else group.devices.forEach((one) => add(one.at, 1));
  }
  return sum;
}

function drawLegend(sum) {
  const create = ([at, { letter }]) => {
    const sign = make("span", { className: "letter", textContent: letter, ariaHidden: "true", data: { at } });
    return make("li", {}, sign, make("span"));
  };
  const fill = (item, [at, { words }]) => write(item.lastChild, `${(sum[at] ?? 0).toLocaleString("en")} ${words}`);
  keyed(document.getElementById("legend"), Object.entries(PLACES), ([at]) => at, create, fill);
}

// ---- a cell each

function drawCells(groups) {
  if (!chosenCell) write(chosen, "Choose a device to read about it; the arrow keys go from one to the next. The strip at the foot of a cell is its load score.");
  const create = (group) => {
    const title = make("h3");
    const cells = make("div", { className: "cells", role: "group" });
    cells.setAttribute("aria-label", `devices of ${group.pool}`);
    return make("div", { className: "group" }, title, cells);
  };
  keyed(map, groups, (group) => `${group.region}/${group.pool}`, create, (box, group) => {
    write(box.firstChild, `${group.region} · ${group.pool}: ${devices(group.devices.length)}`);
    keyed(box.lastChild, group.devices, (one) => one.id, createCell, fillCell);
  });
  if (!map.querySelector("button[tabindex='0']")) map.querySelector("button")?.setAttribute("tabindex", "0");
  if (chosenCell) tell(chosenCell);
}

function createCell() {
  return make("button", { type: "button", tabIndex: -1 }, make("span"), make("i"));
}

function fillCell(cell, one) {
  cell.one = one;
  cell.dataset.at = one.at;
  cell.classList.toggle("silent", Boolean(one.silent));
  write(cell.firstChild, PLACES[one.at].letter);
  cell.lastChild.style.width = `${one.load ?? 0}%`;
  const label = `${one.id}, ${PLACES[one.at].words}${one.silent ? ", silent" : ""}`;
  if (cell.title !== label) {
    cell.title = label;
    cell.setAttribute("aria-label", label);
  }
}

function tell(cell) {
  const { one } = cell;
  const parts = [`${one.id}: ${PLACES[one.at].words}`, `release ${one.version}`, one.load === null ? "load unknown" : `load score ${one.load} of 100`];
  if (one.silent) parts.push("not heard of lately");
  if (one.connected) parts.push("connected");
  if (one.why) parts.push(one.at === "waiting" ? `waits: ${one.why}` : `said: ${one.why}`);
  if (one.earliest_ms) parts.push(`at the earliest ${clock(one.earliest_ms)}, ${ahead(one.earliest_ms)}`);
  write(chosen, `${parts.join(" · ")}.`);
}

function choose(cell) {
  map.querySelector("button[tabindex='0']")?.setAttribute("tabindex", "-1");
  cell.tabIndex = 0;
  chosenCell = cell;
  tell(cell);
}

map.addEventListener("focusin", (event) => event.target.one && choose(event.target));
map.addEventListener("click", (event) => event.target.closest("button")?.focus());
map.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step || !event.target.one) return;
  const cells = [...map.querySelectorAll(".cells button")];
  cells[cells.indexOf(event.target) + step]?.focus();
  event.preventDefault();
});

// ---- counts

function drawCounts({ groups, groups_left_off }) {
  chosenCell = null;
  const left = groups_left_off ? ` The ${groups_left_off} quietest groups are one line at the end.` : "";
  write(chosen, `Too many devices for a cell each: here they are by region and pool.${left}`);
  if (!map.firstChild) {
    const list = make("div", { className: "counts", tabIndex: 0 });
    list.setAttribute("role", "region");
    list.setAttribute("aria-label", "devices by region and pool");
    map.append(list);
  }
  const create = () => make("div", { className: "count" }, make("strong"), make("div", { className: "bar" }), make("span", { className: "words" }));
  keyed(map.firstChild, groups, (group) => `${group.region}/${group.pool}`, create, (row, group) => {
    const [name, bar, words] = row.children;
    write(name, [group.region, group.pool].filter(Boolean).join(" · "));
    const counts = Object.fromEntries(Object.keys(PLACES).filter((at) => group.counts[at]).map((at) => [at, group.counts[at]]));
    drawBar(bar, counts, group.devices);
    const parts = Object.entries(counts).map(([at, n]) => `${n.toLocaleString("en")} ${PLACES[at].words}`);
    if (group.silent) parts.push(`${group.silent.toLocaleString("en")} silent`);
    if (group.load_mean !== null) parts.push(`mean load score ${group.load_mean} of 100`);
    write(words, parts.join(" · "));
  });
}
