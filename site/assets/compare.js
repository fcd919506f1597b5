"use strict";
// Two to four models: paired bootstrap and randomisation tests over topics, which topics.js computes in a worker.
const SAMPLES = 1000, FLIPS = 9999;
const NAMES = { monolingual: "monolingual mAP", "cross-lingual": "cross-lingual mAP", multilingual: "multilingual mAP", bias: "rank distance" };
const form = document.getElementById("pick");
const selects = [0, 1, 2, 3].map((i) => document.getElementById("m" + i));
const task = document.getElementById("task");
const first = task.options[0]?.value ?? "";
const state = document.getElementById("state");
const out = document.getElementById("out");
const worker = new Statistics(([what, done, all]) => { state.textContent = what + ": " + done.toLocaleString("en") + " of " + all.toLocaleString("en"); });
let turn = 0, address = location.href;
form.hidden = false;
restore();
for (const select of [task, ...selects]) select.addEventListener("change", run);
addEventListener("hashchange", () => {
  // A link to a place on the page, such as the one that skips to the content, is not a choice of models.
  if (location.hash && document.getElementById(location.hash.slice(1))) history.replaceState(null, "", address);
  else { restore(); run(); }
});
run();

function restore() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  task.value = [...task.options].some((o) => o.value === wanted.get("task")) ? wanted.get("task") : first;
  const models = (wanted.get("models") ?? "").split(",").filter(Boolean);
  selects.forEach((select, i) => { select.value = models[i] ?? ""; if (select.selectedIndex < 0) select.value = ""; });
}

async function run() {
  const mine = ++turn;
  worker.stop();
  for (const select of selects) {
    for (const option of select.options) if (option.value) option.disabled = !option.dataset.tasks.split(" ").includes(task.value);
    if (select.selectedOptions[0]?.disabled) select.value = "";
  }
  const models = [...new Set(selects.map((select) => select.value).filter(Boolean))];
  const wanted = new URLSearchParams();
  if (task.value !== first) wanted.set("task", task.value);
  if (models.length) wanted.set("models", models.join(","));
  const text = wanted.toString();
  if (location.hash.slice(1) !== text) history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
  address = location.href;
  const name = task.value;
  out.replaceChildren();
  if (models.length < 2) {
    state.textContent = "Choose two models.";
    return;
  }
  state.textContent = "Loading …";
  let records;
  try {
    records = await Promise.all(models.map((model) => topicsOf("", model, name)));
  } catch (error) {
    if (mine === turn) state.textContent = String(error.message ?? error);
    return;
  }
  if (mine !== turn) return;
  for (let i = 1; i < models.length; i++) {
    const contrasts = await worker.ask("contrast", { first: records[0], second: records[i] });
    if (mine !== turn) return;
    render(label(models[0]), label(models[i]), contrasts);
  }
  state.textContent = "Done: " + SAMPLES.toLocaleString("en") + " bootstrap samples and " + FLIPS.toLocaleString("en") + " sign vectors over " + records[0].topics.toLocaleString("en") + " topics.";
}

function label(model) {
  return [...selects[0].options].find((option) => option.value === model).textContent;
}

function element(name, content, attributes = {}) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (Array.isArray(content)) made.append(...content);
  else if (content !== undefined) made.textContent = content;
  return made;
}

function shown(value, setting, sign = false) {
  const text = setting === "bias" ? Math.round(value).toLocaleString("en") : (100 * value).toFixed(1);
  // A true minus sign, and none before a zero.
  const clean = text.replace("-", /[1-9]/.test(text) ? "\u2212" : "");
  return sign && /[1-9]/.test(text) && value > 0 ? "+" + clean : clean;
}

function verdict(r, first, second) {
  // Below 5 % of the larger number, a difference that is shown is called small, as clirbench compare does.
  const small = Math.abs(r.first - r.second) < 0.05 * Math.max(Math.abs(r.first), Math.abs(r.second)) ? " (small)" : "";
  return r.better > 0 ? first + " is better" + small : r.better < 0 ? second + " is better" + small : "no difference shown";
}

function row(name, r, first, second) {
  const mark = r.better > 0 ? "better" : r.better < 0 ? "worse" : "";
  return element("tr", [
    element("th", name, { scope: "row" }),
    element("td", shown(r.first, r.setting), { class: "n" }),
    element("td", shown(r.second, r.setting), { class: "n" }),
    element("td", shown(r.difference, r.setting, true), { class: "n" }),
    element("td", shown(r.low, r.setting, true) + " to " + shown(r.high, r.setting, true), { class: "n" }),
    element("td", r.p < 0.001 ? "< 0.001" : r.p.toFixed(3), { class: "n" }),
    element("td", verdict(r, first, second), { class: mark && "shown-" + mark }),
  ]);
}

function grid(caption, heads, body) {
  const head = element("thead", [element("tr", heads.map((text, i) => element("th", text, i && text !== "verdict" ? { scope: "col", class: "n" } : { scope: "col" })))]);
  const made = element("table", [element("caption", caption), head, element("tbody", body)]);
  return element("div", [made], { class: "scroll", tabindex: "0", role: "region", "aria-label": caption });
}

function render(first, second, results) {
  const heads = ["what", first, second, "difference", "95 % interval", "corrected p", "verdict"];
  const section = element("section");
  section.append(element("h2", first + " minus " + second));
  const overall = results.filter((r) => r.family === "overall");
  section.append(grid("Settings", heads, overall.map((r) => row(NAMES[r.setting], r, first, second))));
  for (const setting of Object.keys(NAMES)) {
    const rows = results.filter((r) => r.family === setting);
    if (!rows.length) continue;
    const won = rows.filter((r) => r.better > 0).map((r) => r.query), lost = rows.filter((r) => r.better < 0).map((r) => r.query);
    const tied = rows.filter((r) => r.better === 0).map((r) => r.query);
    const said = [];
    if (won.length) said.push(first + " is better in " + won.length + " of " + rows.length + " languages (" + won.join(", ") + ")");
    if (lost.length) said.push(second + " is better in " + lost.length + " of " + rows.length + " languages (" + lost.join(", ") + ")");
    if (tied.length) said.push("no difference shown in " + tied.join(", "));
    section.append(element("h3", NAMES[setting] + " by query language"), element("p", said.join("; ") + "."));
    section.append(grid(NAMES[setting] + " by query language", heads, rows.map((r) => row(nameOfLanguage(r.query), r, first, second))));
  }
  const pairs = results.filter((r) => r.family === "pair");
  if (pairs.length) {
    const languages = [...new Set(pairs.map((r) => r.query))];
    const body = languages.map((query) => element("tr", [
      element("th", nameOfLanguage(query), { scope: "row" }),
      ...languages.map((candidate) => {
        const r = pairs.find((one) => one.query === query && one.candidate === candidate);
        if (!r) return element("td", query === candidate ? "" : "–", { class: "n" });
        const mark = r.better > 0 ? "better" : r.better < 0 ? "worse" : "";
        const sign = r.better > 0 ? "▲ " : r.better < 0 ? "▼ " : "";
        return element("td", sign + shown(r.difference, r.setting, true), { class: "n " + mark, title: verdict(r, first, second) });
      }),
    ]));
    section.append(element("h3", "Cross-lingual pairs"), grid("Difference of mAP ×100, query language down, candidate language across; ▲ first is better, ▼ second is", ["question", ...languages], body));
  }
  out.append(section);
}
