"use strict";
// Figures and tables for papers: each chart as an SVG of its own, each table as LaTeX, CSV and BibTeX of what it shows.
{
  const SPACE = "http://www.w3.org/2000/svg";
  const POINT = 8;
  const base = document.querySelector("link[rel=stylesheet]").getAttribute("href").replace("assets/style.css", "");
  const date = document.querySelector(".date time")?.textContent ?? "";
  const source = () => "clirbench" + (date ? ", board of " + date : "") + (document.querySelector("meta[property='og:url']") ? ", " + document.querySelector("meta[property='og:url']").content : "");
  let cited = null, dialog = null;
  window.clirCite = (entries) => { cited = entries; };

  function html(name, text, attributes = {}) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (Array.isArray(text)) made.append(...text);
    else if (text !== undefined) made.textContent = text;
    return made;
  }

  function shape(name, attributes, parent) {
    const made = document.createElementNS(SPACE, name);
    for (const [key, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(key, value);
    parent?.append(made);
    return made;
  }

  // --- Charts ---

  // Colours as every reader of SVG knows them, and their opacity.
  function colour(text) {
    if (text === "none" || text === "transparent") return [null, 1];
    const numbers = text.match(/-?[\d.]+/g).map(Number), whole = text.startsWith("color(");
    const parts = numbers.slice(0, 3).map((part) => Math.round(Math.min(Math.max(whole ? 255 * part : part, 0), 255)));
    return ["#" + parts.map((part) => part.toString(16).padStart(2, "0")).join(""), numbers[3] ?? 1];
  }

  function painted(from) {
    const style = getComputedStyle(from), made = {};
    for (const kind of ["fill", "stroke"]) {
      const [name, opacity] = colour(style[kind]);
      const shown = opacity * Number(style[kind + "Opacity"]) * Number(style.opacity);
      made[kind] = name && shown > 0 ? name : "none";
      if (name && shown > 0 && shown < 1) made[kind + "-opacity"] = shown.toFixed(2);
    }
    if (made.stroke !== "none") {
      made["stroke-width"] = (0.6 * parseFloat(style.strokeWidth)).toFixed(2);
      if (style.strokeDasharray !== "none") made["stroke-dasharray"] = style.strokeDasharray.replaceAll("px", "").split(/[ ,]+/).map((one) => (0.6 * one).toFixed(1)).join(" ");
    }
    return made;
  }

  // Numbers of a path, each multiplied by the scale of its axis.
  function scaled(path, sx, sy) {
    const out = [];
    for (const [, letter, rest] of path.matchAll(/([a-zA-Z])([^a-zA-Z]*)/g)) {
      const numbers = (rest.match(/-?[\d.]+/g) ?? []).map(Number), flat = letter.toLowerCase();
      out.push(letter + numbers.map((one, i) => (one * (flat === "v" || (flat !== "h" && i % 2) ? sy : sx)).toFixed(2)).join(" "));
    }
    return out.join("");
  }

  const number = (element, name) => Number(element.getAttribute(name) ?? 0);

  // The places of a chart are scaled by sx and sy, the content of its groups "at" by s around their places.
  function drawn(svg, sx, sy, s) {
    const body = document.createElementNS(SPACE, "g"), keys = [];
    const walk = (from, to, x, y, sx, sy) => {
      for (const child of from.children) {
        const name = child.tagName;
        if (name === "title" || name === "desc") continue;
        if (name === "g" || name === "a") {
          const [, dx, dy] = child.getAttribute("transform")?.match(/translate\(([-\d.]+)[ ,]+([-\d.]+)\)/)?.map(Number) ?? [0, 0, 0];
          const kept = child.classList.contains("at") || child.classList.contains("key");
          const group = child.classList.contains("key") ? shape("g", {}) : to;
          if (group !== to) keys.push(group);
          if (group !== to) walk(child, group, 0, 0, s, s);
          else walk(child, to, x + dx * sx, y + dy * sy, kept ? s : sx, kept ? s : sy);
          continue;
        }
        const paint = painted(child), put = (attributes) => Object.assign(shape(name, { ...attributes, ...paint }, to), { kind: child.getAttribute("class") ?? "", at: [x, y] });
        const px = (value) => (x + value * sx).toFixed(2), py = (value) => (y + value * sy).toFixed(2);
        if (name === "rect") put({ x: px(number(child, "x")), y: py(number(child, "y")), width: (number(child, "width") * sx).toFixed(2), height: (number(child, "height") * sy).toFixed(2) });
        else if (name === "circle") put({ cx: px(number(child, "cx")), cy: py(number(child, "cy")), r: (number(child, "r") * s).toFixed(2) });
        else if (name === "line") put({ x1: px(number(child, "x1")), y1: py(number(child, "y1")), x2: px(number(child, "x2")), y2: py(number(child, "y2")) });
        else if (name === "path") {
          const d = scaled(child.getAttribute("d"), sx, sy);
          put({ d, ...(x || y ? { transform: "translate(" + x.toFixed(2) + " " + y.toFixed(2) + ")" } : {}) });
        } else if (name === "text") {
          const bold = Number(getComputedStyle(child).fontWeight) > 550;
          const text = put({ x: px(number(child, "x")), y: py(number(child, "y")), "text-anchor": child.getAttribute("text-anchor") ?? getComputedStyle(child).textAnchor, ...(bold ? { "font-weight": "bold" } : {}) });
          for (const one of ["stroke", "stroke-width", "stroke-opacity"]) text.removeAttribute(one);
          text.textContent = child.textContent;
        }
      }
    };
    walk(svg, body, 0, 0, sx, sy);
    return [body, keys];
  }

  const over = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y + 1 < b.y + b.height && b.y + 1 < a.y + a.height;

  // No text covers another, and no name a mark: a name goes to the other side of its mark, or is left out, as a tick is; the name
  // of an axis moves down.
  function untangle(body, wide) {
    const kept = [], marks = [...body.querySelectorAll("*")].filter((one) => one.kind?.includes("mark")).map((one) => one.getBBox());
    const texts = [...body.querySelectorAll("text")], named = (text) => text.kind.includes("name");
    const ordered = [...texts.filter((one) => !one.kind), ...texts.filter(named).reverse(), ...texts.filter((one) => one.kind && !named(one))];
    for (const text of ordered) {
      let box = text.getBBox();
      const clash = () => kept.some((other) => over(box, other));
      const astray = () => box.x < 0 || box.x + box.width > wide || clash() || marks.some((mark) => over(box, mark));
      if (named(text)) {
        const x = number(text, "x"), [u, v] = text.at;
        const other = text.getAttribute("text-anchor") === "end" ? "start" : "end";
        const spots = [[other, 2 * u - x, v + 3], ["middle", u, v - 5], ["middle", u, v + POINT + 4]];
        while (astray() && spots.length) {
          const [anchor, left, base] = spots.shift();
          for (const [key, value] of [["text-anchor", anchor], ["x", left.toFixed(2)], ["y", base.toFixed(2)]]) text.setAttribute(key, value);
          box = text.getBBox();
        }
        if (astray()) { text.remove(); continue; }
      } else if (text.kind) {
        for (let i = 0; i < 4 && clash(); i++) { text.setAttribute("y", number(text, "y") + POINT + 2); box = text.getBBox(); }
      } else if (clash()) { text.remove(); continue; }
      kept.push(box);
    }
  }

  // Keys stand in rows above the chart, from its left.
  function legend(keys, body, out, wide) {
    if (!keys.length) return;
    const left = body.getBBox().x, group = shape("g", {}, out);
    let x = 0, y = 0;
    for (const key of keys) {
      group.append(key);
      const box = key.getBBox();
      if (x && x + box.width > wide) [x, y] = [0, y + POINT + 5];
      key.setAttribute("transform", "translate(" + (x - box.x).toFixed(2) + " " + y.toFixed(2) + ")");
      x += box.width + 12;
    }
    group.setAttribute("transform", "translate(" + left.toFixed(2) + " " + (body.getBBox().y - y - 6).toFixed(2) + ")");
  }

  function paper(svg, inches, place) {
    const [, , wide, tall] = svg.getAttribute("viewBox").split(/[ ,]+/).map(Number), width = 72 * inches;
    const before = document.documentElement.dataset.theme;
    // A figure on paper is dark on white, whatever the page is.
    document.documentElement.dataset.theme = "light";
    let room = width, out, box;
    for (let i = 0; i < 3; i++) {
      out?.remove();
      out = shape("svg", { xmlns: SPACE, "font-family": "Helvetica, Arial, Liberation Sans, sans-serif", "font-size": POINT, role: "img" }, place);
      const sx = room / wide, sy = Math.min(Math.max(sx, 0.62), 1);
      const [body, keys] = drawn(svg, sx, sy, Math.min(Math.max(sx, 0.45), 0.8));
      out.append(body);
      untangle(body, room);
      legend(keys, body, out, width);
      box = out.getBBox();
      // What stands out at the sides, such as a tick, takes room from the rest.
      room = Math.max(room - (box.width + 4 - width), width / 2);
    }
    const view = [box.x - 2, box.y - 2, box.width + 4, box.height + 4];
    const back = shape("rect", { x: view[0].toFixed(2), y: view[1].toFixed(2), width: view[2].toFixed(2), height: view[3].toFixed(2), fill: "#ffffff" });
    out.prepend(shape("title", {}), shape("desc", {}), back);
    out.querySelector("title").textContent = svg.querySelector("title").textContent;
    out.querySelector("desc").textContent = svg.querySelector("desc").textContent + " Source: " + source() + ".";
    out.setAttribute("viewBox", view.map((one) => one.toFixed(2)).join(" "));
    out.setAttribute("width", inches + "in");
    out.setAttribute("height", (inches * view[3] / view[2]).toFixed(3) + "in");
    if (before) document.documentElement.dataset.theme = before;
    else delete document.documentElement.dataset.theme;
    return out;
  }

  // --- Tables ---

  const said = (cell) => {
    const copied = cell.cloneNode(true);
    for (const one of copied.querySelectorAll("button.sort")) one.replaceWith(one.textContent);
    for (const one of copied.querySelectorAll("button, input, svg, script, .best, [aria-hidden=true]")) one.remove();
    const name = cell.classList.contains("model") && copied.querySelector("a");
    if (name) {
      const tag = copied.querySelector(".tag");
      return name.textContent.trim() + (tag ? " with " + tag.textContent.trim() : "");
    }
    for (const one of copied.querySelectorAll("small")) one.prepend(" ");
    return copied.textContent.replace(/\s+/g, " ").trim();
  };

  // A caption stands alone in a paper: on a model's page it names the model.
  const headed = (table) => {
    const model = /\/models\/[^/]+\.html$/.test(location.pathname) ? document.querySelector("h1").textContent : "";
    const parts = [model, table.closest("[aria-label]")?.getAttribute("aria-label"), table.caption?.textContent.trim()].filter(Boolean);
    return [...new Set(parts.length ? parts : [document.title])].join(". ");
  };

  // What a table shows: its caption, and rows of [text, columns, whether it is a number].
  function grid(table) {
    const visible = (row) => !row.hidden && row.getClientRects().length > 0 && !row.classList.contains("more");
    const line = (row) => [...row.cells].filter((cell) => !cell.hidden).map((cell) => [said(cell), cell.colSpan, cell.matches(".n, .rank, .bar")]);
    const body = [...table.tBodies].flatMap((part) => [...part.rows]).filter(visible);
    return { caption: headed(table), head: table.tHead ? [...table.tHead.rows].map(line) : [], rows: body.map(line), body };
  }

  const TEX = { "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", $: "\\$", "&": "\\&", "#": "\\#", _: "\\_", "%": "\\%", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "$<$", ">": "$>$",
    "–": "--", "—": "---", "−": "$-$", "±": "$\\pm$", "×": "$\\times$", "†": "$\\dagger$", "·": "$\\cdot$", "→": "$\\rightarrow$", "≠": "$\\neq$", "“": "``", "”": "''", "’": "'", "…": "\\ldots{}", "✓": "yes", "✗": "no", "●": "", "■": "", "◇": "" };
  const tex = (text) => [...text].map((one) => TEX[one] ?? one).join("").trim();

  function latex({ caption, head, rows }) {
    const count = Math.max(...[...head, ...rows].map((row) => row.reduce((sum, [, span]) => sum + span, 0)));
    const model = rows.find((row) => row.length === count) ?? [];
    const columns = Array.from({ length: count }, (_, i) => (model[i]?.[2] ? "r" : "l")).join("");
    const line = (row) => row.map(([text, span, right]) => (span > 1 ? "\\multicolumn{" + span + "}{" + (right ? "r" : "l") + "}{" + tex(text) + "}" : tex(text))).join(" & ") + " \\\\";
    return ["% " + source(), "% needs \\usepackage{booktabs}; names in other scripts need XeLaTeX or LuaLaTeX", "\\begin{table}", "\\centering",
      "\\caption{" + tex(caption) + "}", "\\begin{tabular}{" + columns + "}", "\\toprule", ...head.map(line), "\\midrule", ...rows.map(line), "\\bottomrule", "\\end{tabular}", "\\end{table}", ""].join("\n");
  }

  function commas({ head, rows }) {
    const quote = (text) => {
      // A spreadsheet must not run what a name says.
      const safe = /^[\t\r]|^\s*[=+\-@]/.test(text.normalize("NFKC")) && !/^[+-]?[\d.,]+$/.test(text) ? "'" + text : text;
      return /[",\n\r]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe;
    };
    const wide = (row) => row.flatMap(([text, span]) => [text, ...Array(span - 1).fill("")]);
    // The title of a group of rows is no row of data.
    const data = rows.filter((row) => row.length > 1 || row[0]?.[1] === 1);
    return [...head, ...data].map((row) => wide(row).map(quote).join(",")).join("\n") + "\n";
  }

  function bibtex(table, { body }) {
    if (!cited) return "";
    const page = location.pathname.match(/\/(models|tasks)\/([^/]+)\.html$/), wanted = new Set(Object.values(cited.board));
    const task = table.closest("[data-task]")?.dataset.task ?? table.closest("section")?.getAttribute("aria-labelledby")?.slice(2) ?? (page?.[1] === "tasks" ? decodeURIComponent(page[2]) : "");
    for (const text of task in cited.tasks ? [cited.tasks[task]] : Object.values(cited.tasks)) wanted.add(text);
    const folders = body.flatMap((row) => [...row.querySelectorAll("a")]).map((link) => link.getAttribute("href").match(/models\/([^/]+)\.html/)?.[1]);
    for (const folder of page?.[1] === "models" ? [page[2], ...folders] : folders) if (folder && decodeURIComponent(folder) in cited.rows) wanted.add(cited.rows[decodeURIComponent(folder)]);
    return [...wanted].filter(Boolean).join("\n\n") + "\n";
  }

  // --- The dialog ---

  function saved(name, type, content) {
    const link = html("a", "", { download: name, href: URL.createObjectURL(new Blob([content], { type })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  function opened(title, choices) {
    if (!dialog) {
      dialog = html("dialog", undefined, { id: "paper", "aria-labelledby": "paper-title" });
      document.body.append(dialog);
    }
    const row = html("div", undefined, { class: "row" }), sheet = html("div", undefined, { class: "sheet", tabindex: "0", role: "region", "aria-label": "As it is saved" });
    const save = html("button", "Save", { type: "button" }), copied = html("button", "Copy", { type: "button" }), close = html("button", "Close", { type: "button" });
    let current = null;
    const pick = (button, choice) => {
      for (const one of row.children) one.setAttribute("aria-pressed", one === button);
      current = choice.make(sheet);
    };
    for (const choice of choices) {
      const button = html("button", choice.label, { type: "button", "aria-pressed": "false" });
      button.addEventListener("click", () => pick(button, choice));
      row.append(button);
    }
    save.addEventListener("click", () => saved(current.name, current.type, current.text));
    copied.addEventListener("click", () => copy(current.text, copied));
    close.addEventListener("click", () => dialog.close());
    dialog.replaceChildren(html("h2", title, { id: "paper-title" }), row, sheet, html("div", [save, copied, close], { class: "row" }));
    dialog.showModal();
    row.firstChild.click();
  }

  const named = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60) || "clirbench";

  function chart(svg) {
    const title = svg.querySelector("title").textContent;
    opened(title, [3.3, 7].map((inches) => ({
      label: inches + " in",
      make: (sheet) => {
        // What is not on the page has no colours.
        sheet.replaceChildren(...(svg.closest("main") ? [] : [svg]));
        const made = paper(svg, inches, sheet);
        if (!svg.closest("main")) svg.remove();
        const text = '<?xml version="1.0" encoding="UTF-8"?>\n' + new XMLSerializer().serializeToString(made) + "\n";
        return { name: named(title) + "-" + inches + "in.svg", type: "image/svg+xml", text };
      },
    })));
  }

  // --- Bars in the cells of a table ---

  // Columns of bars that share a scale: the first of each has colour 0.
  function scales(table) {
    const made = [];
    for (const head of [...table.tHead.rows[0].cells].slice(1)) {
      const columns = [...table.tBodies[0].rows].map((row) => row.cells[head.cellIndex]);
      if (!made.length || columns.some((cell) => cell.querySelector(".s0"))) made.push([]);
      made.at(-1).push(head);
    }
    return made.filter((heads) => heads.some((head) => [...table.tBodies[0].rows].some((row) => row.cells[head.cellIndex].querySelector(".s0, .s1"))));
  }

  const barsTitle = (table, heads) => table.closest("[aria-label]").getAttribute("aria-label") + ": " + heads.map((head) => head.textContent.replace(/\s+/g, " ").trim()).join("; ");

  // The columns as one chart with absolute places, as charts have: a row of bars for each language, each with its number.
  function barChart(table, heads) {
    const rows = [...table.tBodies[0].rows], pitch = 17, gap = 5, step = pitch * heads.length + gap, tall = step * rows.length;
    const svg = shape("svg", { viewBox: "0 0 600 " + tall, class: "chart" });
    shape("title", {}, svg).textContent = barsTitle(table, heads);
    shape("desc", {}, svg).textContent = "By query language: " + headed(table) + ".";
    heads.forEach((head, i) => {
      const key = shape("g", { class: "key" }, svg);
      shape("rect", { x: 0, y: -9, width: 10, height: 10, class: "bar s" + i }, key);
      shape("text", { x: 16, y: 0 }, key).textContent = said(head);
    });
    rows.forEach((row, r) => {
      shape("text", { x: -6, y: (r * step + pitch * heads.length / 2 + 4).toFixed(1), "text-anchor": "end" }, svg).textContent = said(row.cells[0]);
      heads.forEach((head, i) => {
        const cell = row.cells[head.cellIndex], top = r * step + i * pitch, middle = top + pitch / 2;
        const numbers = (name) => (cell.querySelector(name)?.getAttribute("d").match(/-?[\d.]+/g) ?? []).map(Number);
        const [start, , length] = numbers(".s0, .s1"), whisker = numbers(".whisker");
        if (start === undefined) return;
        shape("rect", { x: start, y: top + 2, width: length, height: pitch - 4, class: "bar s" + i }, svg);
        const [low, high] = [whisker[0], whisker[4]];
        if (low !== undefined) shape("path", { d: "M" + low + " " + middle + "L" + high + " " + middle, class: "whisker" }, svg);
        shape("text", { x: Math.max(start + length, high ?? 0) + 8, y: middle + 4 }, svg).textContent = cell.querySelector("b").firstChild.textContent.trim();
      });
      const zero = row.querySelector("td:nth-child(" + (heads[0].cellIndex + 1) + ") .zero")?.getAttribute("d").match(/[\d.]+/)[0];
      if (zero) shape("path", { d: "M" + zero + " " + r * step + "L" + zero + " " + (r + 1) * step, class: "grid" }, svg);
    });
    return svg;
  }

  function tabled(table) {
    const shown = grid(table), name = named(shown.caption);
    const written = (label, ending, type, make) => ({
      label,
      make: (sheet) => {
        const text = make();
        sheet.replaceChildren(html("pre", text));
        return { name: name + "." + ending, type, text };
      },
    });
    const missing = "data/cite.js is missing beside this page: there is no BibTeX.\n";
    const show = () => opened(shown.caption, [
      written("LaTeX", "tex", "application/x-tex", () => latex(shown)),
      written("CSV", "csv", "text/csv", () => commas(shown)),
      written("BibTeX", "bib", "application/x-bibtex", () => bibtex(table, shown) || missing),
    ]);
    if (cited) { show(); return; }
    const script = html("script", undefined, { src: base + "data/cite.js" });
    script.addEventListener("load", show);
    script.addEventListener("error", show);
    document.head.append(script);
  }

  function button(text, about, act) {
    const made = html("button", text, { type: "button", class: "paper-open", "aria-label": text + ": " + about });
    made.addEventListener("click", act);
    return made;
  }

  if (!document.querySelector("link[href$='more.css']")) document.querySelector("link[rel=stylesheet]").after(html("link", undefined, { rel: "stylesheet", href: base + "assets/more.css" }));
  for (const svg of document.querySelectorAll("main svg.chart")) {
    (svg.closest(".chart-box") ?? svg).after(button("Figure for papers", svg.querySelector("title").textContent, () => chart(svg)));
  }
  for (const table of document.querySelectorAll("main table")) {
    const box = table.closest(".scroll") ?? table;
    if (table.matches(".bars")) for (const heads of scales(table).reverse()) box.after(button("Figure for papers", barsTitle(table, heads), () => chart(barChart(table, heads))));
    box.after(button("Table for papers", headed(table), () => tabled(table)));
  }
}
