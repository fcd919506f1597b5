"use strict";
// The win matrix: one table at a time, in the address; a cell says in a sentence what it shows.
const parts = [...document.querySelectorAll(".wins")];
const task = document.getElementById("w-task"), number = document.getElementById("w-number"), plainly = document.getElementById("w-plain");
const said = document.getElementById("said");
const WORDS = { b: "is shown to be better than", w: "is shown to be worse than", "": "and" };
let shown = null, at = null;

function offered() {
  const before = number.value;
  number.replaceChildren(...parts.filter((one) => one.dataset.task === task.value).map((one) => new Option(one.dataset.name, one.dataset.name)));
  if ([...number.options].some((option) => option.value === before)) number.value = before;
}

function show(remember) {
  shown = parts.find((one) => one.dataset.task === task.value && one.dataset.name === number.value) ?? parts[0];
  for (const one of parts) one.hidden = one !== shown;
  const rows = [...shown.querySelectorAll("tbody tr")];
  const away = rows.map((row) => plainly.checked && "of" in row.dataset);
  for (const row of shown.querySelectorAll("tr")) {
    [...row.cells].slice(3).forEach((cell, i) => { cell.hidden = away[i]; });
  }
  rows.forEach((row, i) => { row.hidden = away[i]; });
  say(null);
  const first = [...shown.querySelectorAll("tbody td:not(.n)")].find((cell) => !cell.hidden && !cell.parentElement.hidden);
  for (const cell of shown.querySelectorAll("tbody td:not(.n)")) cell.tabIndex = cell === first ? 0 : -1;
  if (!remember) return;
  const wanted = new URLSearchParams({ at: shown.id });
  if (plainly.checked) wanted.set("plain", "yes");
  history.replaceState(null, "", "#" + wanted);
}

function name(row) { return row.querySelector(".who a").textContent; }

function say(cell) {
  for (const one of shown.querySelectorAll(".at")) one.classList.remove("at");
  at = cell;
  said.textContent = "";
  if (!cell) return;
  const row = cell.parentElement, place = cell.cellIndex - 3, other = shown.querySelectorAll("tbody tr")[place];
  cell.classList.add("at");
  row.classList.add("at");
  shown.querySelector("thead tr").cells[cell.cellIndex].classList.add("at");
  const values = " (" + row.cells[1].textContent + " against " + other.cells[1].textContent + ")";
  if (row === other) { said.textContent = name(row) + "."; return; }
  const kind = cell.classList.contains("b") ? "b" : cell.classList.contains("w") ? "w" : "";
  const text = name(row) + " " + WORDS[kind] + " " + name(other) + values + (kind ? cell.classList.contains("s") ? ", by a small difference. " : ". " : ": no difference shown. ");
  const link = document.createElement("a");
  link.href = "compare.html#" + new URLSearchParams({ task: shown.dataset.task, models: row.dataset.m + "," + other.dataset.m });
  link.textContent = "Compare the two";
  said.append(text, link);
}

for (const part of parts) {
  part.addEventListener("click", (event) => {
    const cell = event.target.closest("tbody td:not(.n)");
    if (cell) go(cell);
  });
  part.addEventListener("keydown", (event) => {
    const cell = event.target.closest("tbody td:not(.n)");
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    if (!cell || !step) return;
    event.preventDefault();
    const rows = [...part.querySelectorAll("tbody tr")].filter((row) => !row.hidden);
    const cells = [...rows[(rows.indexOf(cell.parentElement) + step[1] + rows.length) % rows.length].cells].slice(3).filter((one) => !one.hidden);
    const across = [...cell.parentElement.cells].slice(3).filter((one) => !one.hidden).indexOf(cell);
    go(cells[(across + step[0] + cells.length) % cells.length]);
  });
}

function go(cell) {
  for (const one of shown.querySelectorAll("td[tabindex='0']")) one.tabIndex = -1;
  cell.tabIndex = 0;
  cell.focus();
  say(cell);
}

function restore() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const part = parts.find((one) => one.id === (wanted.get("at") ?? location.hash.slice(1))) ?? parts[0];
  task.value = part.dataset.task;
  offered();
  number.value = part.dataset.name;
  plainly.checked = wanted.get("plain") === "yes";
  show(false);
}

if (parts.length) {
  task.addEventListener("change", () => { offered(); show(true); });
  number.addEventListener("change", () => show(true));
  plainly.addEventListener("change", () => show(true));
  document.getElementById("choose").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", restore);
  restore();
  document.getElementById("choose").hidden = false;
}
