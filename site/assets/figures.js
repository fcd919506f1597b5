"use strict";
// One plot at a time; the choice is in the address.
{
  const parts = [...document.querySelectorAll(".against")];
  const task = document.getElementById("p-task"), axis = document.getElementById("p-axis");
  const offered = () => {
    const before = axis.value;
    axis.replaceChildren(...parts.filter((one) => one.dataset.task === task.value).map((one) => new Option(one.dataset.name, one.dataset.name)));
    if ([...axis.options].some((option) => option.value === before)) axis.value = before;
  };
  const show = (remember) => {
    const shown = parts.find((one) => one.dataset.task === task.value && one.dataset.name === axis.value);
    for (const one of parts) one.hidden = one !== shown;
    if (remember) history.replaceState(null, "", "#" + new URLSearchParams({ at: shown.id }));
  };
  const restore = () => {
    const wanted = new URLSearchParams(location.hash.slice(1)).get("at") ?? location.hash.slice(1);
    const part = parts.find((one) => one.id === wanted) ?? parts[0];
    task.value = part.dataset.task;
    offered();
    axis.value = part.dataset.name;
    show(false);
  };
  if (parts.length) {
    task.addEventListener("change", () => { offered(); show(true); });
    axis.addEventListener("change", () => show(true));
    document.getElementById("choose").addEventListener("submit", (event) => event.preventDefault());
    addEventListener("hashchange", restore);
    restore();
    document.getElementById("choose").hidden = false;
  }
}
