"use strict";
// A scope of its own: pages load other scripts too.
{
// A cell of the pair matrix leads to its hardest questions. Without a script, the page has those of all pairs.
const data = new URL("../data/", document.currentScript.src).href;
const sets = new Map(), ids = new Map(), scripts = new Map();
globalThis.clirTopicIds = ([task, topics, texts]) => ids.set(task, { topics, texts });
globalThis.clirQuestions = ([folder, task], record) => sets.set(task, record);
function load(src) {
  if (!scripts.has(src)) scripts.set(src, new Promise((resolve, reject) => {
    const script = Object.assign(document.createElement("script"), { src, onload: resolve, onerror: () => { scripts.delete(src); reject(new Error(src)); } });
    document.head.append(script);
  }));
  return scripts.get(src);
}
async function inflated(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
}
async function values(record) {
  const bytes = record.values ? null : await inflated(record.data);
  record.values ??= record.width === 2 ? new Uint16Array(bytes) : new Uint32Array(bytes);
  return record.values;
}
const shown = (number) => number.toLocaleString("en-US");
function element(tag, text, under) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (under) made.append(Object.assign(document.createElement("small"), { textContent: under }));
  return made;
}
async function open(table, query, gold) {
  const { task, folder } = table.dataset, box = document.getElementById("questions-" + task);
  await Promise.all([load(`${data}questions/${task}.js`), load(`${data}questions/${encodeURIComponent(folder)}.${task}.js`)]);
  const record = sets.get(task), { topics, texts } = ids.get(task), numbers = await values(record);
  const n = record.languages.length, q = record.languages.indexOf(query), g = record.languages.indexOf(gold);
  const all = record.counts.reduce((sum, count) => sum + count, 0);
  const start = record.counts.slice(0, q * n + g).reduce((sum, count) => sum + count, 0);
  const rows = [];
  // No line breaks within the numbers of a language.
  for (let i = start; i < start + record.counts[q * n + g]; i++) {
    const at = (column) => numbers[column * all + i], topic = at(0), row = document.createElement("tr");
    const before = record.languages.map((name, c) => [name, at(4 + c), at(4 + c) + at(4 + n + c)]).filter((one) => one[2]);
    before.sort((a, b) => b[1] + b[2] - a[1] - a[2] || (a[0] < b[0] ? -1 : 1));
    const head = element("th", topics[topic], texts[query]?.[topic]);
    head.scope = "row";
    row.append(head, element("td", query), element("td", gold), ...[at(1), at(2), at(3)].map((number) => Object.assign(element("td", shown(number)), { className: "n" })));
    row.append(element("td", before.map(([name, low, high]) => `${name}\u00a0${shown(low)}${high > low ? "\u2013\u2060" + shown(high) : ""}`).join(", ")));
    rows.push(row);
  }
  box.querySelector("tbody").replaceChildren(...rows);
  box.querySelector("summary").textContent = `The ${rows.length} questions in ${query} whose gold in ${gold} has the worst rank`;
  box.open = true;
  history.replaceState(null, "", `#questions=${task},${query},${gold}`);
  box.scrollIntoView({ block: "nearest" });
  box.querySelector("summary").focus({ preventScroll: true });
}
// Cells of a matrix as buttons. The matrix is one tab stop: arrow keys go from cell to cell.
function choosable(table, choose) {
  const cells = [...table.querySelectorAll("tbody td")], code = (cell) => cell.dataset.code ?? cell.firstChild.textContent.trim(), heads = [...table.tHead.rows[0].cells].slice(1).map(code);
  const buttons = cells.filter((cell) => cell.textContent !== "\u2013").map((cell) => {
    const button = element("button", cell.textContent), query = code(cell.parentElement.cells[0]), gold = heads[cell.cellIndex - 1];
    Object.assign(button, { type: "button", tabIndex: -1, ariaLabel: `${query} to ${gold}: ${cell.textContent}` });
    button.addEventListener("click", () => choose(query, gold));
    Object.assign(button.dataset, { query, gold });
    cell.replaceChildren(button);
    return button;
  });
  if (buttons.length) buttons[0].tabIndex = 0;
  table.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: heads.length, ArrowUp: -heads.length }[event.key];
    const next = step && cells[cells.indexOf(event.target.parentElement) + step]?.querySelector("button");
    if (!next) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
  table.closest("div.pairs").querySelector(".choose").hidden = false;
}
for (const table of document.querySelectorAll("table.matrix[data-task]")) choosable(table, (query, gold) => open(table, query, gold));

// Many languages: from a pair of scripts to its languages.
const grouped = new Map();
globalThis.clirScripts = ([folder, task], record) => grouped.set(task, record);
const colours = { pairs: (value) => "h" + Math.round(20 * value), jumps: (value) => {
  const step = Math.round(4 * Math.log2(Math.min(Math.max(value, 0.25), 4)));
  return step > 0 ? "o" + step : step < 0 ? "u" + -step : "";
} };
async function zoom(table, from, to) {
  const { scripts: task, kind, folder } = table.dataset, box = document.getElementById("zoom-" + task);
  await load(`${data}scripts/${encodeURIComponent(folder)}.${task}.js`);
  const { languages, scripts, ...packed } = grouped.get(task), step = kind === "pairs" ? 10000 : 1000;
  const numbers = new Uint16Array(await inflated(packed[kind]));
  const across = scripts[to] ?? [], made = document.createElement("table"), head = document.createElement("tr");
  made.className = "matrix";
  head.append(element("td", ""), ...(scripts[to] ? across : ["itself"]).map((name) => Object.assign(element("th", name), { scope: "col" })));
  made.createTHead().append(head);
  const body = made.createTBody();
  for (const query of scripts[from]) {
    const row = body.insertRow(), q = languages.indexOf(query);
    row.append(Object.assign(element("th", query), { scope: "row" }));
    for (const other of scripts[to] ? across : [query]) {
      const raw = numbers[q * languages.length + languages.indexOf(other)], value = raw / step;
      const text = raw === 65535 ? "\u2013" : kind === "pairs" ? (100 * value).toFixed(1) : value.toFixed(2);
      row.append(Object.assign(element("td", text), { className: `n ${raw === 65535 ? "" : colours[kind](value)}${other === query ? " own" : ""}` }));
    }
  }
  const caption = made.createCaption(), what = scripts[to] ? `${from} (down) and ${to} (across)` : `each language of ${from} and itself`;
  caption.textContent = (kind === "pairs" ? table.caption.textContent.split(":")[0] : "Queue jumps over the share of the pool") + `: ${what}`;
  box.querySelector(".legend").hidden = true;
  box.querySelector(".scroll").replaceChildren(made);
  box.querySelector("summary").textContent = `The languages of ${what}`;
  box.open = true;
  box.scrollIntoView({ block: "nearest" });
  box.querySelector("summary").focus({ preventScroll: true });
}
for (const table of document.querySelectorAll("table.matrix[data-scripts]")) choosable(table, (from, to) => zoom(table, from, to));
const wanted = new URLSearchParams(location.hash.slice(1)).get("questions")?.split(",");
if (wanted?.length === 3) {
  const cell = [...document.querySelectorAll("table.matrix[data-task] button")].find((one) => one.closest("table").dataset.task === wanted[0] && one.dataset.query === wanted[1] && one.dataset.gold === wanted[2]);
  cell?.click();
}
}
