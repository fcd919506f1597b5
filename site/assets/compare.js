"use strict";
// Two to four models: paired bootstrap and randomisation tests over topics, from per-topic values that are loaded as scripts.
const SAMPLES = 1000, FLIPS = 9999, MISSING = 65535, LEVEL = 0.05;
const NAMES = { monolingual: "monolingual mAP", "cross-lingual": "cross-lingual mAP", multilingual: "multilingual mAP", bias: "rank distance" };
const form = document.getElementById("pick");
const selects = [0, 1, 2, 3].map((i) => document.getElementById("m" + i));
const task = document.getElementById("task");
const first = task.options[0]?.value ?? "";
const state = document.getElementById("state");
const out = document.getElementById("out");
const loaded = new Map();
let turn = 0, address = location.href;
form.hidden = false;
window.clirTopics = ([folder, name], record) => {
  const bytes = Uint8Array.from(atob(record.data), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const values = new Float64Array(bytes.length / 2);
  for (let i = 0; i < values.length; i++) {
    const raw = view.getUint16(2 * i, true);
    const ranks = record.columns[Math.floor(i / record.topics)][0] === "bias";
    values[i] = raw === MISSING ? NaN : ranks ? raw : raw / 65534;
  }
  loaded.set(folder + "|" + name, { ...record, values });
};
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
  try {
    await Promise.all(models.map((model) => load(model, name)));
  } catch (error) {
    if (mine === turn) state.textContent = String(error.message ?? error);
    return;
  }
  if (mine !== turn) return;
  const records = models.map((model) => loaded.get(model + "|" + name));
  for (let i = 1; i < models.length; i++) {
    const contrasts = await contrast(records[0], records[i], mine);
    if (mine !== turn) return;
    render(label(models[0]), label(models[i]), contrasts);
  }
  state.textContent = "Done: " + SAMPLES.toLocaleString("en") + " bootstrap samples and " + FLIPS.toLocaleString("en") + " sign vectors over " + records[0].topics.toLocaleString("en") + " topics.";
}

function label(model) {
  return [...selects[0].options].find((option) => option.value === model).textContent;
}

function load(model, name) {
  const key = model + "|" + name;
  if (loaded.has(key)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "data/topics/" + encodeURIComponent(model + "." + name + ".js");
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error("data/topics is missing beside this page.")));
    document.head.append(script);
  });
}

// A small seeded generator (mulberry32): the same page gives the same numbers.
function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function groups(columns) {
  const found = [];
  for (const setting of Object.keys(NAMES)) {
    const places = columns.flatMap((c, i) => (c[0] === setting ? [i] : []));
    found.push({ family: "overall", setting, places });
    const queries = [...new Set(places.map((i) => columns[i][1]))];
    for (const query of queries) found.push({ family: setting, setting, query, places: places.filter((i) => columns[i][1] === query) });
    if (setting === "cross-lingual") for (const i of places) found.push({ family: "pair", setting, query: columns[i][1], candidate: columns[i][2], places: [i] });
  }
  return found;
}

async function contrast(a, b, mine) {
  const n = a.topics, width = a.columns.length;
  // By topic: sums and counts of the differences.
  const diff = new Float64Array(n * width), count = new Float64Array(width), present = new Uint8Array(n * width);
  const means = [new Float64Array(width), new Float64Array(width)];
  for (let c = 0; c < width; c++) {
    for (let t = 0; t < n; t++) {
      const x = a.values[c * n + t], y = b.values[c * n + t];
      if (Number.isNaN(x)) continue;
      present[t * width + c] = 1;
      count[c]++;
      diff[t * width + c] = x - y;
      means[0][c] += x;
      means[1][c] += y;
    }
  }
  for (let c = 0; c < width; c++) if (count[c]) { means[0][c] /= count[c]; means[1][c] /= count[c]; }
  const list = groups(a.columns).map((g) => ({ ...g, places: g.places.filter((c) => count[c]) })).filter((g) => g.places.length);
  const share = new Float64Array(n * list.length);
  list.forEach((g, i) => {
    for (let t = 0; t < n; t++) {
      let sum = 0;
      for (const c of g.places) sum += diff[t * width + c] / count[c];
      share[t * list.length + i] = sum / g.places.length;
    }
  });
  const random = generator(20240810);
  const samples = list.map(() => new Float64Array(SAMPLES));
  const sums = new Float64Array(width), counts = new Float64Array(width);
  for (let s = 0; s < SAMPLES; s++) {
    sums.fill(0);
    counts.fill(0);
    for (let k = 0; k < n; k++) {
      const row = Math.floor(random() * n) * width;
      for (let c = 0; c < width; c++) { sums[c] += diff[row + c]; counts[c] += present[row + c]; }
    }
    list.forEach((g, i) => {
      let sum = 0, known = 0;
      for (const c of g.places) if (counts[c]) { sum += sums[c] / counts[c]; known++; }
      samples[i][s] = known ? sum / known : NaN;
    });
    if (s % 200 === 199 && (await breathe("Bootstrap", s + 1, SAMPLES, mine))) return [];
  }
  const totals = new Float64Array(list.length), hits = new Float64Array(list.length), flipped = new Float64Array(list.length);
  for (let t = 0; t < n; t++) for (let i = 0; i < list.length; i++) totals[i] += share[t * list.length + i];
  for (let f = 0; f < FLIPS; f++) {
    flipped.fill(0);
    for (let t = 0; t < n; t++) {
      const row = t * list.length;
      if (random() < 0.5) for (let i = 0; i < list.length; i++) flipped[i] += share[row + i];
      else for (let i = 0; i < list.length; i++) flipped[i] -= share[row + i];
    }
    for (let i = 0; i < list.length; i++) if (Math.abs(flipped[i]) >= Math.abs(totals[i]) * (1 - 1e-9)) hits[i]++;
    if (f % 500 === 499 && (await breathe("Tests", f + 1, FLIPS, mine))) return [];
  }
  const results = list.map((g, i) => {
    const sorted = samples[i].slice().sort();
    const average = (values) => g.places.reduce((sum, c) => sum + values[c], 0) / g.places.length;
    return { ...g, first: average(means[0]), second: average(means[1]), difference: totals[i], low: quantile(sorted, 0.025), high: quantile(sorted, 0.975), raw: (1 + hits[i]) / (1 + FLIPS) };
  });
  for (const family of new Set(results.map((r) => r.family))) holm(results.filter((r) => r.family === family));
  for (const r of results) {
    const sign = Math.sign(r.difference) * (r.setting === "bias" ? -1 : 1);
    r.better = r.p < LEVEL ? sign : 0;
  }
  return results;
}

async function breathe(what, done, all, mine) {
  state.textContent = what + ": " + done.toLocaleString("en") + " of " + all.toLocaleString("en");
  await new Promise((resolve) => setTimeout(resolve));
  return mine !== turn;
}

function quantile(sorted, q) {
  const place = q * (sorted.length - 1), low = Math.floor(place);
  return sorted[low] + (place - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

function holm(family) {
  let running = 0;
  [...family].sort((a, b) => a.raw - b.raw).forEach((r, i) => {
    running = Math.max(running, Math.min(1, r.raw * (family.length - i)));
    r.p = running;
  });
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
    section.append(grid(NAMES[setting] + " by query language", heads, rows.map((r) => row(r.query, r, first, second))));
  }
  const pairs = results.filter((r) => r.family === "pair");
  if (pairs.length) {
    const languages = [...new Set(pairs.map((r) => r.query))];
    const body = languages.map((query) => element("tr", [
      element("th", query, { scope: "row" }),
      ...languages.map((candidate) => {
        const r = pairs.find((one) => one.query === query && one.candidate === candidate);
        if (!r) return element("td", query === candidate ? "" : "–", { class: "n" });
        const mark = r.better > 0 ? "better" : r.better < 0 ? "worse" : "";
        const sign = r.better > 0 ? "▲ " : r.better < 0 ? "▼ " : "";
        return element("td", sign + shown(r.difference, r.setting, true), { class: "n " + mark, title: verdict(r, first, second) });
      }),
    ]));
    section.append(element("h3", "Cross-lingual pairs"), grid("Difference of mAP x100, query language down, candidate language across; ▲ first is better, ▼ second is", ["question", ...languages], body));
  }
  out.append(section);
}
