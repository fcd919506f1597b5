"use strict";
// Sorting, filtering, pins, columns and languages of one table; all of it in the address, none of it while it is the default.
const table = document.getElementById("board");
if (table) start();
for (const button of document.querySelectorAll(".copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy).textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const range = document.createRange();
      range.selectNodeContents(document.getElementById(button.dataset.copy));
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
  });
}

function start() {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[1].cells];
  const rows = [...body.rows];
  const original = new Map(rows.map((row, i) => [row, i]));
  const byModel = new Map(rows.map((row) => [row.dataset.m, row]));
  const index = new Map(heads.map((head, i) => [head.dataset.key, i]));
  const main = table.dataset.main;
  const form = document.getElementById("filters");
  const notice = document.getElementById("notice");
  const langs = [...form.querySelectorAll("[data-lang]")];
  const cols = [...form.querySelectorAll("[data-col]")];
  const facets = [...form.querySelectorAll("select")];
  const search = document.getElementById("q");
  const saved = new Map();
  const state = { sort: main, up: false, pins: new Set(), note: "", chosen: "" };
  const groups = new Map([...table.tHead.rows[0].cells].map((cell) => [cell.dataset.c, cell.textContent]));
  let pairs = null, loading = false, address = location.href;
  form.hidden = false;

  for (const head of heads) {
    // Speeds are of other machines, and nobody can recompute them.
    if (!head.dataset.key || "unsorted" in head.dataset) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    if (groups.has(head.dataset.c)) button.setAttribute("aria-label", groups.get(head.dataset.c) + " " + head.textContent);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const key = head.dataset.key;
      // The first click puts the best on top: high values, low ranks and distances, and names from A.
      if (state.sort === key) state.up = !state.up;
      else [state.sort, state.up] = [key, rising(head)];
      sort();
      remember();
    });
  }
  for (const row of rows) {
    const box = document.createElement("input");
    box.type = "checkbox";
    box.setAttribute("aria-label", "Pin " + row.querySelector(".model a").textContent);
    box.addEventListener("change", () => {
      state.pins[box.checked ? "add" : "delete"](row.dataset.m);
      update();
    });
    row.cells[0].append(box);
  }
  search.addEventListener("input", update);
  for (const control of [...facets, ...cols]) control.addEventListener("change", update);
  for (const control of langs) control.addEventListener("change", update);
  document.getElementById("clear").addEventListener("click", () => {
    form.reset();
    state.pins.clear();
    [state.sort, state.up] = [main, false];
    update();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("csv").addEventListener("click", () => save("csv", csv(shown())));
  document.getElementById("json").addEventListener("click", () => save("json", json(shown())));
  addEventListener("hashchange", () => {
    // A link to a place on the page is not a view: it was followed, and the address says again what is shown.
    if (location.hash && document.getElementById(location.hash.slice(1))) history.replaceState(null, "", address);
    else { restore(); update(); }
  });
  restore();
  update();

  function rising(head) {
    const key = head.dataset.key;
    return "lower" in head.dataset || key.endsWith(".rank") || ["model", "licence", "origin", "zero_shot"].includes(key);
  }

  function restore() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    form.reset();
    search.value = wanted.get("q") ?? "";
    for (const select of facets) {
      const value = wanted.get(select.id.slice(2));
      if (value !== null && [...select.options].some((option) => option.value === value)) select.value = value;
    }
    const off = new Set((wanted.get("hide") ?? "").split(","));
    for (const box of cols) box.checked = !off.has(box.dataset.col);
    const only = wanted.get("lang")?.split(",");
    for (const box of langs) box.checked = !only || only.includes(box.dataset.lang);
    state.pins = new Set((wanted.get("pin") ?? "").split(",").filter((name) => byModel.has(name)));
    const key = wanted.get("sort");
    [state.sort, state.up] = index.has(key) && !("unsorted" in heads[index.get(key)].dataset) ? [key, wanted.get("dir") === "up"] : [main, false];
  }

  function remember() {
    const wanted = new URLSearchParams();
    if (search.value) wanted.set("q", search.value);
    for (const select of facets) if (select.value) wanted.set(select.id.slice(2), select.value);
    const off = cols.filter((box) => !box.checked).map((box) => box.dataset.col);
    if (off.length) wanted.set("hide", off.join(","));
    if (langs.some((box) => !box.checked)) wanted.set("lang", langs.filter((box) => box.checked).map((box) => box.dataset.lang).join(","));
    if (state.pins.size) wanted.set("pin", [...state.pins].join(","));
    if (state.sort !== main || state.up) {
      wanted.set("sort", state.sort);
      if (state.up) wanted.set("dir", "up");
    }
    const text = wanted.toString();
    if (location.hash.slice(1) !== text) history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
    address = location.href;
  }

  function update() {
    const chosen = langs.filter((box) => box.checked).map((box) => box.dataset.lang);
    if (langs.length && chosen.length < langs.length && !pairs) {
      load();
      return;
    }
    recompute(chosen);
    filter();
    sort();
    for (const box of cols) show(box.dataset.col, box.checked);
    remember();
  }

  function load() {
    if (loading) return;
    loading = true;
    window.clirPairs = (values) => { pairs = values; };
    const script = document.createElement("script");
    script.src = document.querySelector("link[rel=stylesheet]").getAttribute("href").replace("assets/style.css", "data/pairs.js");
    script.addEventListener("load", update);
    script.addEventListener("error", () => {
      for (const box of langs) [box.checked, box.disabled] = [true, true];
      update();
      notice.textContent = "data/pairs.js is missing beside this page: languages cannot be chosen. " + notice.textContent;
    });
    document.head.append(script);
  }

  // Means over the chosen languages, from values by language and pair: what the multilingual pool holds stays as it is.
  function recompute(chosen) {
    const set = new Set(chosen);
    const told = [];
    const partial = new Map();
    for (const task of Object.keys(pairs ?? {})) {
      if (!index.has(task + ".rank")) continue;
      const own = [...new Set(Object.values(pairs[task]).flatMap((values) => values.languages))].sort();
      const used = own.filter((language) => set.has(language));
      partial.set(task, used.length < own.length);
      if (used.length < own.length) told.push((groups.get(task) ?? task) + ": " + (used.join(" ") || "none"));
    }
    for (const head of heads) {
      const key = head.dataset.key;
      if (!key) continue;
      const [task, setting, metric] = key.split(".");
      const changed = key === "mean" ? told.length > 0 : partial.get(task) ?? false;
      const place = index.get(key);
      for (const row of rows) {
        const cell = row.cells[place];
        if (!changed) {
          if (!saved.has(cell)) continue;
          const [nodes, value] = saved.get(cell);
          cell.replaceChildren(...nodes.map((node) => node.cloneNode(true)));
          put(cell, value);
          continue;
        }
        if (!saved.has(cell)) saved.set(cell, [[...cell.childNodes].map((node) => node.cloneNode(true)), cell.dataset.v]);
        if (setting === "rank" || key === "mean") fill(cell, null, "");
        else fill(cell, mean(pairs[task][row.dataset.m], setting, metric, set), setting === "bias" ? "rank" : "share");
      }
    }
    if (!told.length) [state.note, state.chosen] = ["", ""];
    else {
      const rest = [...groups.keys()].filter((task) => index.has(task + ".rank") && !partial.has(task)).map((task) => groups.get(task));
      const untouched = rest.length ? " " + rest.join(", ") + " is not recomputed." : "";
      state.note = "Means over these query and candidate languages only, recomputed from the values by language and pair (" + told.join("; ") + "); the multilingual pool keeps all languages. Margins, ranks and the mean over tasks are hidden." + untouched;
      state.chosen = told.join("; ");
    }
  }

  function mean(values, setting, metric, set) {
    const column = values?.[setting + "." + metric];
    if (!column) return null;
    const found = [];
    values.languages.forEach((query, i) => {
      if (!set.has(query)) return;
      if (setting !== "cross-lingual") found.push(column[i]);
      else values.languages.forEach((candidate, j) => { if (j !== i && set.has(candidate)) found.push(column[i][j]); });
    });
    const known = found.filter((value) => value !== null);
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
  }

  function put(cell, value) {
    if (value === undefined || value === null) delete cell.dataset.v;
    else cell.dataset.v = value;
  }

  function fill(cell, value, kind) {
    put(cell, value);
    cell.textContent = value === null ? "–" : kind === "rank" ? Math.round(value).toLocaleString("en") : (100 * value).toFixed(1);
  }

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const text = (value(row, "model") + " " + value(row, "licence")).toLowerCase();
      let keep = words.every((word) => text.includes(word));
      for (const select of facets) {
        if (!select.value) continue;
        const id = select.id.slice(2);
        if (id === "size") keep &&= inRange(row.cells[index.get("parameters")].dataset.v, select.value);
        else if (id === "task") keep &&= row.dataset.tasks.split(" ").includes(select.value);
        else keep &&= (row.dataset[id] ?? value(row, id)) === select.value;
      }
      row.hidden = !(keep || state.pins.has(row.dataset.m));
      count += row.hidden ? 0 : 1;
    }
    const part = count === rows.length ? "" : count + " of " + rows.length + " models. ";
    notice.textContent = part + state.note;
  }

  function inRange(parameters, range) {
    if (parameters === undefined) return false;
    const [low, high] = range.split("-").map((part) => (part ? 1e6 * Number(part) : Infinity));
    return Number(parameters) > (low || -1) && Number(parameters) <= high;
  }

  function value(row, key) {
    const cell = row.cells[index.get(key)];
    if (key === "model") return cell.querySelector("a").textContent;
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    if (cell.classList.contains("n")) return null;
    const mark = cell.querySelector("[aria-hidden]");
    const text = (mark ? mark.parentElement : cell).textContent.trim();
    return mark ? text.slice(mark.textContent.length).trim() : text;
  }

  function sort() {
    const sign = state.up ? 1 : -1;
    const keyed = rows.map((row) => [row, value(row, state.sort)]);
    keyed.sort(([a, x], [b, y]) => {
      // Pinned first; then by evidence, verified rows before all others; missing last, whichever way.
      const kind = state.pins.has(b.dataset.m) - state.pins.has(a.dataset.m) || a.dataset.standing - b.dataset.standing;
      if (kind) return kind;
      if (x === null || y === null) return (x === null) - (y === null) || original.get(a) - original.get(b);
      const order = typeof x === "string" ? x.localeCompare(y, "en") : x - y;
      return sign * order || original.get(a) - original.get(b);
    });
    const active = document.activeElement;
    body.append(...keyed.map(([row]) => row));
    if (active && body.contains(active)) active.focus({ preventScroll: true });
    for (const row of rows) {
      const pinned = state.pins.has(row.dataset.m);
      row.classList.toggle("pinned", pinned);
      row.cells[0].firstChild.checked = pinned;
    }
    for (const head of heads) {
      if (head.dataset.key === state.sort) head.setAttribute("aria-sort", state.up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
  }

  function show(column, visible) {
    const places = heads.flatMap((head, i) => (head.dataset.c === column ? [i] : []));
    for (const i of places) {
      heads[i].hidden = !visible;
      for (const row of rows) row.cells[i].hidden = !visible;
    }
    for (const cell of table.tHead.rows[0].cells) if (cell.dataset.c === column) cell.hidden = !visible;
    const rest = table.tHead.rows[0].lastElementChild;
    const left = heads.filter((head) => head.dataset.key && !groups.get(head.dataset.c) && head.dataset.key !== "model" && !head.hidden).length;
    rest.hidden = left === 0;
    rest.colSpan = Math.max(1, left);
  }

  // The columns of data/board.csv, as far as they are shown; with languages chosen, which.
  function shown() {
    const keys = heads.filter((head) => head.dataset.key && !head.hidden).map((head) => head.dataset.key);
    const names = keys.flatMap((key) => (key.endsWith(".rank") ? [key.replace(".", " ") + " low", key.replace(".", " ") + " high"] : [key.replace(".", " ").replace(".", " ")]));
    const lines = [...body.rows].filter((row) => !row.hidden).map((row) => keys.flatMap((key) => (key.endsWith(".rank") ? bounds(row, key) : [value(row, key)])));
    if (!state.chosen) return [names, lines];
    return [[...names, "means over"], lines.map((line) => [...line, state.chosen])];
  }

  function bounds(row, key) {
    const found = row.cells[index.get(key)].textContent.trim().split("–").filter(Boolean).map(Number);
    return found.length ? [found[0], found[found.length - 1]] : [null, null];
  }

  function csv([keys, lines]) {
    const quote = (one) => {
      let out = one === null ? "" : String(one);
      if (typeof one === "string" && /^[\t\r]|^\s*[=+\-@]/.test(out.normalize("NFKC"))) out = "'" + out;
      return /[",\n\r]/.test(out) ? '"' + out.replaceAll('"', '""') + '"' : out;
    };
    return [keys, ...lines].map((line) => line.map(quote).join(",")).join("\n") + "\n";
  }

  function json([keys, lines]) {
    return JSON.stringify(lines.map((line) => Object.fromEntries(keys.map((key, i) => [key, line[i]]))), null, 1) + "\n";
  }

  function save(kind, content) {
    const link = document.createElement("a");
    link.download = "clirbench." + kind;
    link.href = URL.createObjectURL(new Blob([content], { type: kind === "csv" ? "text/csv" : "application/json" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
}
