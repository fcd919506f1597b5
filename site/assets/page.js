"use strict";
// What every page has: the theme, which is set before the page is drawn, and buttons that copy.
const THEMES = ["system", "light", "dark"];
function theme() {
  // A page opened from disk may have no storage.
  try { return THEMES.includes(localStorage.getItem("clirbench-theme")) ? localStorage.getItem("clirbench-theme") : "system"; } catch { return "system"; }
}
function paint(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}
paint(theme());
async function copy(text, button) {
  const said = button.textContent;
  try { await navigator.clipboard.writeText(text); } catch {
    const area = document.createElement("textarea");
    area.value = text;
    button.after(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = said; }, 2000);
}
addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("theme");
  let name = theme();
  const say = () => { button.textContent = "Theme: " + name; };
  say();
  button.addEventListener("click", () => {
    name = THEMES[(THEMES.indexOf(name) + 1) % THEMES.length];
    try { localStorage.setItem("clirbench-theme", name); } catch { /* It holds for this page alone. */ }
    paint(name);
    say();
  });
  for (const one of document.querySelectorAll(".copy")) {
    one.hidden = false;
    one.addEventListener("click", () => copy(document.getElementById(one.dataset.copy).textContent, one));
  }
  // A plot is one tab stop: arrow keys go from point to point.
  for (const plot of document.querySelectorAll(".plot svg")) {
    const points = [...plot.querySelectorAll("a")].sort((a, b) => a.dataset.x - b.dataset.x);
    const stop = (chosen) => { for (const point of points) point.setAttribute("tabindex", point === chosen ? "0" : "-1"); };
    stop(points[0]);
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const place = points.indexOf(document.activeElement);
      if (!step || place < 0) return;
      event.preventDefault();
      const next = points[(place + step + points.length) % points.length];
      stop(next);
      next.focus();
    });
  }
});
