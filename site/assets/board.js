"use strict";
// The tables of a page: one task at a time, sorting, filters, folded rows, pins and languages; all of it in the address, none of
// it while it is the default.
const FIRST = 100;
const LETTERS = ["model", "origin"];
const form = document.getElementById("filters");
const notice = document.getElementById("notice");
const search = document.getElementById("q");
const unfold = document.getElementById("unfold");
const compare = document.getElementById("compare");
const facets = [...form.querySelectorAll("select")];
const langs = [...form.querySelectorAll("[data-lang]")];
const root = document.querySelector("link[rel=stylesheet]").getAttribute("href").replace("assets/style.css", "");
const panels = [...document.querySelectorAll(".panel")].map(read);
const tabs = [...document.querySelectorAll("#tabs a")];
const home = panels.find((panel) => panel.section.classList.contains("on"));
const state = { panel: home, pins: new Set(), open: new Set(), all: false, note: "", chosen: "", narrowed: new Map() };
let pressed = null, pairs = null, address = location.href, drawn = false;
const loading = new Map(), details = new Map();
let records = null;
window.clirPairs = (values) => { pairs = values; };
window.clirRows = ([task, rows]) => details.set(task, rows);
window.clirBoard = (rows) => { records = new Map(rows.map((row) => [row.folder, row])); };
start();

function read(section) {
  const table = section.querySelector("table");
  const heads = [...table.tHead.rows[0].cells];
  const bodies = [...table.tBodies];
  const rows = bodies.flatMap((body) => [...body.rows].filter((row) => row.dataset.m));
  return {
    section, table, heads, bodies, rows, task: section.dataset.task, main: table.dataset.main, sort: table.dataset.main, up: false,
    index: new Map(heads.map((head, i) => [head.dataset.key, i])), original: new Map(rows.map((row, i) => [row, i])),
    folds: Map.groupBy ? Map.groupBy(rows.filter((row) => row.dataset.of), (row) => row.dataset.of) : group(rows), saved: new Map(),
  };
}

function group(rows) {
  const made = new Map();
  for (const row of rows) if (row.dataset.of) made.set(row.dataset.of, [...(made.get(row.dataset.of) ?? []), row]);
  return made;
}

function make(name, text, attributes = {}) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (Array.isArray(text)) made.append(...text);
  else if (text !== undefined) made.textContent = text;
  return made;
}

function start() {
  for (const panel of panels) prepare(panel);
  pressed = offerLanguages(langs, update);
  if (tabs.length) {
    document.getElementById("tabs").setAttribute("role", "tablist");
    tabs.forEach((tab, i) => {
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-controls", tab.getAttribute("href").slice(1));
      tab.addEventListener("click", (event) => { event.preventDefault(); choose(i); });
      tab.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (event.key === " ") { event.preventDefault(); choose(i); }
        if (!step) return;
        event.preventDefault();
        choose((i + step + tabs.length) % tabs.length);
      });
    });
  }
  search.addEventListener("input", update);
  for (const control of [...facets, ...langs, unfold]) control.addEventListener("change", update);
  document.getElementById("clear").addEventListener("click", reset);
  document.getElementById("csv").addEventListener("click", () => exported("csv"));
  document.getElementById("json").addEventListener("click", () => exported("json"));
  document.getElementById("link").addEventListener("click", (event) => copy(location.href, event.currentTarget));
  const opener = document.getElementById("drawer-open"), drawer = document.getElementById("drawer");
  const slide = (open) => {
    opener.setAttribute("aria-expanded", open);
    drawer.classList.toggle("open", open);
    if (open) drawer.querySelector("select").focus();
    else opener.focus();
  };
  opener.addEventListener("click", () => slide(opener.getAttribute("aria-expanded") !== "true"));
  document.getElementById("drawer-close").addEventListener("click", () => slide(false));
  form.addEventListener("keydown", (event) => { if (event.key === "Escape" && drawer.classList.contains("open")) slide(false); });
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", () => {
    // A link to a place on the page is not a view: it was followed, and the address says again what is shown.
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (!target) { restore(); update(); return; }
    const panel = panels.find((one) => one.section === target);
    if (panel) { state.panel = panel; update(); }
    else history.replaceState(null, "", address);
  });
  form.hidden = false;
  const place = location.hash && document.getElementById(location.hash.slice(1));
  restore();
  update();
  if (place) place.scrollIntoView();
}

function prepare(panel) {
  for (const head of panel.heads) {
    const name = head.querySelector(".sort");
    const button = make("button", name.textContent, { type: "button", class: "sort" });
    const under = head.querySelector("small");
    if (panel.task === "overview" && under) button.setAttribute("aria-label", name.textContent + ", " + under.textContent);
    name.replaceWith(button);
    button.addEventListener("click", () => {
      const key = head.dataset.key;
      // The first click puts the best on top: high values, low ranks and distances, and names from A.
      if (panel.sort === key) panel.up = !panel.up;
      else [panel.sort, panel.up] = [key, "lower" in head.dataset || LETTERS.includes(key)];
      update();
    });
  }
  for (const row of panel.rows) {
    const name = title(row);
    const box = make("input", undefined, { type: "checkbox", class: "pin", "aria-label": "Pin " + name });
    box.addEventListener("change", () => { state.pins[box.checked ? "add" : "delete"](row.dataset.m); update(); });
    row.cells[0].prepend(box);
    if (row.dataset.of) continue;
    const opener = make("button", "", { type: "button", class: "opener", "aria-expanded": "false", "aria-label": "More of " + name });
    opener.addEventListener("click", () => { state.open[state.open.has(row.dataset.m) ? "delete" : "add"](row.dataset.m); update(); });
    row.querySelector(".model").prepend(opener);
  }
  panel.table.classList.add("ready");
  panel.more = make("button", "", { type: "button", class: "all" });
  panel.more.hidden = true;
  panel.more.addEventListener("click", () => { state.all = true; update(); });
  panel.empty = make("p", [make("span", "No row fits these filters. "), make("button", "Reset", { type: "button" })], { class: "empty" });
  panel.empty.hidden = true;
  panel.empty.querySelector("button").addEventListener("click", reset);
  panel.section.querySelector(".board-box").after(panel.empty, panel.more);
}

function title(row) {
  const tag = row.querySelector(".tag");
  return row.querySelector(".model a").textContent + (tag ? " with " + tag.textContent : "");
}

function reset() {
  form.reset();
  state.pins.clear();
  state.open.clear();
  state.all = false;
  for (const panel of panels) [panel.sort, panel.up] = [panel.main, false];
  update();
  search.focus();
}

function choose(i) {
  state.panel = panels.find((panel) => "#" + panel.section.id === tabs[i].getAttribute("href"));
  update();
  tabs[i].focus();
}

function restore() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  form.reset();
  const target = document.getElementById(location.hash.slice(1));
  state.panel = panels.find((panel) => panel.task === wanted.get("task") || panel.section === target) ?? home;
  search.value = wanted.get("q") ?? "";
  for (const select of facets) {
    const value = wanted.get(select.id.slice(2));
    if (value !== null && [...select.options].some((option) => option.value === value)) select.value = value;
  }
  unfold.checked = wanted.get("unfold") === "yes";
  languagesFromAddress(wanted.get("lang") ?? langs.map((box) => box.dataset.lang).join(","), langs);
  const known = new Set(panels.flatMap((panel) => panel.rows.map((row) => row.dataset.m)));
  state.pins = new Set((wanted.get("pin") ?? "").split(",").filter((name) => known.has(name)));
  state.open = new Set((wanted.get("open") ?? "").split(",").filter((name) => known.has(name)));
  for (const panel of panels) [panel.sort, panel.up] = [panel.main, false];
  const key = wanted.get("sort");
  if (state.panel.index.has(key)) [state.panel.sort, state.panel.up] = [key, wanted.get("dir") === "up"];
}

function remember() {
  const wanted = new URLSearchParams(), panel = state.panel;
  if (panel !== home) wanted.set("task", panel.task);
  if (search.value) wanted.set("q", search.value);
  for (const select of facets) if (select.value) wanted.set(select.id.slice(2), select.value);
  if (unfold.checked) wanted.set("unfold", "yes");
  if (langs.some((box) => !box.checked)) wanted.set("lang", languagesInAddress(langs));
  if (state.pins.size) wanted.set("pin", [...state.pins].join(","));
  if (state.open.size) wanted.set("open", [...state.open].join(","));
  if (panel.sort !== panel.main || panel.up) {
    wanted.set("sort", panel.sort);
    if (panel.up) wanted.set("dir", "up");
  }
  const text = wanted.toString();
  const place = location.hash && document.getElementById(location.hash.slice(1));
  if (place && !text && !drawn) { address = location.href.split("#")[0]; return; }
  if (location.hash.slice(1) !== text) history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
  address = location.href;
}

function update() {
  const panel = state.panel;
  for (const one of panels) one.section.classList.toggle("on", one === panel);
  tabs.forEach((tab) => {
    const on = tab.getAttribute("href") === "#" + panel.section.id;
    tab.classList.toggle("on", on);
    tab.setAttribute("aria-selected", on);
    tab.tabIndex = on ? 0 : -1;
  });
  const chosen = langs.filter((box) => box.checked).map((box) => box.dataset.lang);
  if (langs.length && chosen.length < langs.length && !pairs) {
    load("data/pairs.js", update, () => {
      for (const box of langs) [box.checked, box.disabled] = [true, true];
      update();
      notice.textContent = "data/pairs.js is missing beside this page: languages cannot be chosen. " + notice.textContent;
    });
    return;
  }
  recompute(panel, chosen);
  pressed?.();
  arrange(panel);
  filter(panel);
  remargin(panel, chosen);
  const able = [...state.pins].slice(0, 4);
  compare.hidden = able.length < 2;
  compare.textContent = "Compare " + able.length;
  compare.href = root + "compare.html#" + new URLSearchParams({ ...(panel.task === "overview" ? {} : { task: panel.task }), models: able.join(",") });
  remember();
  drawn = true;
}

function load(path, done, failed) {
  if (loading.has(path)) return;
  loading.set(path, true);
  const script = make("script", undefined, { src: root + path });
  script.addEventListener("load", done);
  script.addEventListener("error", failed);
  document.head.append(script);
}

// Means over the chosen languages, from values by language and pair: what the multilingual pool holds stays as it is.
function recompute(panel, chosen) {
  const set = new Set(chosen), told = [], partial = new Map(), untouched = [];
  state.narrowed = new Map();
  for (const tab of panels.filter((one) => one === panel || panel.task === "overview")) {
    if (tab.task === "overview") continue;
    const values = pairs?.[tab.task];
    const label = tab.section.dataset.name;
    if (!values) { untouched.push(label); continue; }
    const own = [...new Set(Object.values(values).flatMap((one) => one.languages))].sort();
    const used = own.filter((language) => set.has(language));
    partial.set(tab.task, used.length < own.length);
    if (used.length === own.length) continue;
    told.push(label + ": " + (used.join(" ") || "none"));
    state.narrowed.set(tab.task, set);
  }
  for (const head of panel.heads) {
    const key = head.dataset.key, [task, setting, metric] = key.split(".");
    const changed = key === "mean" ? told.length > 0 : partial.get(task) ?? false;
    for (const row of panel.rows) {
      const cell = row.cells[panel.index.get(key)];
      if (!changed) {
        if (!panel.saved.has(cell)) continue;
        const [nodes, value] = panel.saved.get(cell);
        cell.replaceChildren(...nodes);
        put(cell, value);
        delete cell.dataset.low;
        delete cell.dataset.high;
        panel.saved.delete(cell);
        continue;
      }
      if (!panel.saved.has(cell)) panel.saved.set(cell, [[...cell.childNodes], cell.dataset.v]);
      const value = setting === "rank" || key === "mean" ? null : mean(pairs[task][row.dataset.m], setting, metric, set);
      fill(cell, value, setting === "bias");
    }
  }
  if (!told.length) [state.note, state.chosen] = ["", ""];
  else {
    const rest = untouched.length ? " " + untouched.join(", ") + " is not recomputed." : "";
    state.note = "Means over these question and candidate languages only, recomputed (" + told.join("; ") + "); the pool of all languages keeps them all. Margins are recomputed from topics; ranks and the mean over tasks are hidden." + rest;
    state.chosen = told.join("; ");
  }
}

// The margins of the shown cells that were recomputed. Values by topic are of mAP and rank distance, and of measured rows alone.
function remargin(panel, chosen) {
  const cells = [];
  for (const head of panel.heads) {
    const [task, setting, metric] = head.dataset.key.split(".");
    if (metric !== "mAP" && metric !== "rank_distance") continue;
    for (const row of panel.rows) {
      const cell = row.cells[panel.index.get(head.dataset.key)];
      if (row.hidden || row.classList.contains("reported") || cell.dataset.v === undefined || !panel.saved.has(cell)) continue;
      cells.push({ folder: row.dataset.m, task, setting, take: (ends) => margin(cell, ends, setting === "bias") });
    }
  }
  if (!cells.length) { marginsTurn++; return; }
  const said = (failed) => { if (failed) notice.textContent = failed + " Margins are hidden. " + notice.textContent; };
  if (typeof Statistics !== "undefined") marginsOf(root, chosen, cells, said);
  else load("assets/topics.js", update, () => said("assets/topics.js is missing beside this page."));
}

function margin(cell, [low, high], ranks) {
  const half = (high - low) / 2, text = ranks ? Math.round(half).toLocaleString("en") : (100 * half).toFixed(1);
  [cell.dataset.low, cell.dataset.high] = [low, high];
  cell.querySelector("small.drawn")?.remove();
  const shown = make("small", " \u00b1" + text, { class: "drawn" }), bar = cell.querySelector("svg.bar");
  cell.insertBefore(shown, bar);
  if (!bar) return;
  bar.querySelector(".w")?.remove();
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("class", "w");
  line.setAttribute("d", "M" + (100 * low).toFixed(1) + " 5H" + (100 * high).toFixed(1));
  bar.append(line);
}

function mean(values, setting, metric, set) {
  const column = values?.[setting + "." + metric];
  if (!column) return null;
  const all = [];
  values.languages.forEach((query, i) => {
    if (!set.has(query)) return;
    if (setting !== "cross-lingual") all.push(column[i]);
    else values.languages.forEach((candidate, j) => { if (j !== i && set.has(candidate)) all.push(column[i][j]); });
  });
  const known = all.filter((value) => value !== null);
  return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
}

function put(cell, value) {
  if (value === undefined || value === null) delete cell.dataset.v;
  else cell.dataset.v = value;
}

function fill(cell, value, ranks) {
  put(cell, value);
  delete cell.dataset.low;
  delete cell.dataset.high;
  const pin = cell.querySelector(".pin"), text = value === null ? "–" : ranks ? Math.round(value).toLocaleString("en") : (100 * value).toFixed(1);
  if (!cell.classList.contains("bar")) { cell.replaceChildren(...(pin ? [pin] : []), text); return; }
  cell.replaceChildren(make("b", text));
  if (value === null) return;
  const space = "http://www.w3.org/2000/svg", drawing = document.createElementNS(space, "svg"), path = document.createElementNS(space, "path");
  for (const [key, one] of [["class", "bar"], ["viewBox", "0 0 100 10"], ["preserveAspectRatio", "none"], ["aria-hidden", "true"]]) drawing.setAttribute(key, one);
  path.setAttribute("class", "v");
  path.setAttribute("d", "M0 1h" + (100 * value).toFixed(1) + "v8H0z");
  drawing.append(path);
  cell.append(drawing);
}

function fits(row) {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = words.length ? (row.querySelector(".model").textContent + " " + row.dataset.k).toLowerCase() : "";
  let keep = words.every((word) => text.includes(word));
  for (const select of facets) {
    if (!select.value) continue;
    const id = select.id.slice(2);
    if (id === "size") keep &&= inRange(row.cells[state.panel.index.get("parameters")].dataset.v, select.value);
    else keep &&= (id === "origin" ? row.classList[0] : row.dataset[id === "zero_shot" ? "z" : "k"]) === select.value;
  }
  return keep;
}

function filter(panel) {
  const narrowed = search.value || facets.some((select) => select.value);
  let count = 0, shown = 0, cut = 0;
  const lines = panel.bodies.flatMap((body) => [...body.rows]);
  for (const row of lines) {
    if (!row.dataset.m) continue;
    const keep = fits(row), head = row.dataset.of;
    count += keep ? 1 : 0;
    // A folded row is shown while its model is open, or where a search is for it.
    const folded = head && !unfold.checked && !state.open.has(head) && !(narrowed && keep);
    let visible = state.pins.has(row.dataset.m) || (keep && !folded);
    if (visible && !state.all && shown >= FIRST && !state.pins.has(row.dataset.m)) [visible, cut] = [false, cut + 1];
    // Writing what stands there already costs a layout.
    if (row.hidden === visible) row.hidden = !visible;
    shown += visible ? 1 : 0;
  }
  for (const body of panel.bodies) {
    for (const row of [...body.querySelectorAll("tr.more")]) row.remove();
    for (const row of panel.rows) if (row.parentElement === body && !row.hidden && state.open.has(row.dataset.m)) open(panel, row);
    const heading = body.querySelector("tr.title");
    if (heading) heading.hidden = ![...body.rows].some((row) => row.dataset.m && !row.hidden);
  }
  for (const row of panel.rows) {
    const opener = row.querySelector(".opener"), open = String(state.open.has(row.dataset.m));
    if (opener && opener.getAttribute("aria-expanded") !== open) opener.setAttribute("aria-expanded", open);
  }
  panel.empty.hidden = shown > 0;
  panel.more.hidden = cut === 0;
  panel.more.textContent = "Show all " + (shown + cut) + " rows";
  notice.textContent = (count === panel.rows.length ? "" : count + " of " + panel.rows.length + " rows. ") + state.note;
}

function inRange(parameters, range) {
  if (parameters === undefined) return false;
  const [low, high] = range.split("-").map((part) => (part ? 1e6 * Number(part) : Infinity));
  return Number(parameters) > (low || -1) && Number(parameters) <= high;
}

function value(panel, row, key) {
  if (key === "model") return title(row);
  if (key === "origin") return row.classList[0];
  const cell = row.cells[panel.index.get(key)];
  return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
}

function arrange(panel) {
  const sign = panel.up ? 1 : -1;
  // Attributes are read once a row, not once a comparison.
  const keys = new Map(panel.rows.map((row) => {
    return [row, { pinned: state.pins.has(row.dataset.m), value: value(panel, row, panel.sort), place: panel.original.get(row) }];
  }));
  const order = (first, second) => {
    // Pinned first, in their group; missing last, whichever way.
    const [a, b] = [keys.get(first), keys.get(second)];
    const kind = b.pinned - a.pinned;
    const [x, y] = [a.value, b.value];
    if (kind) return kind;
    if (x === null || y === null) return (x === null) - (y === null) || a.place - b.place;
    return sign * (typeof x === "string" ? x.localeCompare(y, "en") : x - y) || a.place - b.place;
  };
  const active = document.activeElement;
  for (const body of panel.bodies) {
    const own = panel.rows.filter((row) => row.parentElement === body);
    const free = own.filter((row) => !row.dataset.of || state.pins.has(row.dataset.m)).sort(order);
    const under = (row) => (panel.folds.get(row.dataset.m) ?? []).filter((one) => !state.pins.has(one.dataset.m)).sort(order);
    const wanted = free.flatMap((row) => (row.dataset.of ? [row] : [row, ...under(row)]));
    const now = [...body.rows].filter((row) => row.dataset.m);
    if (wanted.some((row, i) => row !== now[i])) body.append(...wanted);
  }
  if (active && panel.table.contains(active)) active.focus({ preventScroll: true });
  for (const row of panel.rows) {
    const { pinned } = keys.get(row);
    row.classList.toggle("pinned", pinned);
    row.querySelector(".pin").checked = pinned;
  }
  for (const head of panel.heads) {
    if (head.dataset.key === panel.sort) head.setAttribute("aria-sort", panel.up ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  }
}

// All metrics of a row and its languages, below it. Over all tasks, those of the first task that it has.
function open(panel, row) {
  const tasks = panel.task === "overview" ? panels.filter((one) => one.task !== "overview").map((one) => one.task) : [panel.task];
  const missing = tasks.find((task) => !details.has(task));
  const cell = make("td", undefined, { colspan: panel.heads.length });
  const line = make("tr", [cell], { class: "more" });
  row.after(line);
  if (missing) {
    cell.textContent = "Loading …";
    const failed = () => { details.set(missing, {}); update(); };
    load("data/rows/" + encodeURIComponent(missing) + ".js", update, failed);
    return;
  }
  const task = tasks.find((one) => details.get(one)[row.dataset.m]);
  const one = task && details.get(task)[row.dataset.m];
  if (!one?.settings) { cell.textContent = "data/rows is missing beside this page: the model's page has all numbers."; return; }
  const numbers = make("table", [
    make("caption", "×100"),
    make("thead", [make("tr", [make("th", "metric", { scope: "col" }), ...one.settings.map((name) => make("th", name, { scope: "col", class: "n" }))])]),
    make("tbody", one.metrics.map(([name, ...cells]) => make("tr", [make("th", name, { scope: "row" }), ...cells.map((text) => make("td", text, { class: "n" }))]))),
  ]);
  const said = make("dl", [...one.bias, ...one.facts].flatMap(([name, text]) => [make("dt", name), make("dd", text)]), { class: "facts" });
  const [what, languages] = one.languages;
  const strip = make("ul", languages.map(([language, share]) => {
    const bar = make("meter", undefined, { min: 0, max: 1, value: share, "aria-label": nameOfLanguage(language) });
    return make("li", [make("span", nameOfLanguage(language)), bar, make("b", (100 * share).toFixed(1))]);
  }), { class: "strip" });
  const link = make("a", "All of " + title(row), { href: row.querySelector(".model a").getAttribute("href") });
  const by = languages.length ? [make("h3", what + " by question language, ×100"), strip] : [];
  cell.append(make("div", [make("div", [numbers]), make("div", [said, make("p", [link])]), make("div", by)], { class: "opened" }));
}

// The columns of data/board.csv that this view is of, as they stand there; with languages chosen, which.
function exported(kind) {
  if (!records) { load("data/board.js", () => exported(kind), () => { notice.textContent = "data/board.js is missing beside this page: nothing can be exported."; }); return; }
  const panel = state.panel;
  const heads = ["model", "name", "organisation", "origin", "verified", "evidence", "released", "licence", "parameters"];
  const tasks = panels.filter((one) => one.task !== "overview" && (one === panel || panel.task === "overview")).map((one) => one.task);
  const all = Object.keys(records.values().next().value);
  const keys = all.filter((key) => heads.includes(key) || (panel.task === "overview" && key === "mean") || tasks.some((task) => key.startsWith(task + " ")));
  const rows = panel.bodies.flatMap((body) => [...body.rows]).filter((row) => row.dataset.m && !row.hidden);
  const lines = rows.map((row) => {
    const line = Object.fromEntries(keys.map((key) => [key, records.get(row.dataset.m)[key]]));
    if (!state.chosen) return line;
    for (const key of keys) {
      const task = tasks.find((one) => key.startsWith(one + " "));
      if (key === "mean") line.mean = null;
      else if (state.narrowed.has(task)) line[key] = narrowed(panel, row, task, key.slice(task.length + 1), line[key]);
    }
    return { ...line, "means over": state.chosen };
  });
  save(kind, kind === "csv" ? csv(lines) : JSON.stringify(lines, null, 1) + "\n");
}

// A value of data/board.csv over the chosen languages alone; null where nothing of it can be recomputed. A column that the table does
// not show has no margin.
function narrowed(panel, row, task, column, whole) {
  const [setting, metric, end] = column.split(" "), set = state.narrowed.get(task), values = pairs[task][row.dataset.m];
  if (setting === "rank") return null;
  if (setting === "languages") return whole === null || !values ? null : values.languages.filter((one) => set.has(one)).length;
  if (setting === "zero-shot" || setting === "not") return whole;
  if (!end) return mean(values, setting, metric, set);
  const cell = row.cells[panel.index.get([task, setting, metric].join("."))];
  return cell?.dataset[end] === undefined ? null : Number(cell.dataset[end]);
}

function csv(lines) {
  const quote = (one) => {
    let out = one === null || one === undefined ? "" : String(one);
    if (typeof one === "string" && /^[\t\r]|^\s*[=+\-@]/.test(out.normalize("NFKC"))) out = "'" + out;
    return /[",\n\r]/.test(out) ? '"' + out.replaceAll('"', '""') + '"' : out;
  };
  const keys = Object.keys(lines[0] ?? {});
  return [keys, ...lines.map((line) => keys.map((key) => line[key]))].map((line) => line.map(quote).join(",")).join("\n") + "\n";
}

function save(kind, content) {
  const link = make("a", "", { download: "clirbench." + kind, href: URL.createObjectURL(new Blob([content], { type: kind === "csv" ? "text/csv" : "application/json" })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
