"use strict";
// Names of languages, choices of several at once, and margins of means over a choice, which topics.js computes in a worker.
let languageNames = {}, languageChoices = [];
window.clirLanguages = ([names, choices]) => { [languageNames, languageChoices] = [names, choices]; };
const MINE = "clirbench-languages";

// "Arabic (ar)"; a code without a name stays as it is.
function nameOfLanguage(code) {
  const name = languageNames[code];
  return name && name !== code ? name + " (" + code + ")" : code;
}

function languagesOfMine() {
  // A page opened from disk may have no storage.
  try { return (localStorage.getItem(MINE) ?? "").split(",").filter(Boolean); } catch { return []; }
}

// The boxes of a choice: those of its languages that the page has.
function boxesOf(key, boxes) {
  const languages = key === "mine" ? languagesOfMine() : languageChoices.find((choice) => choice[0] === key)?.[2] ?? [];
  return boxes.filter((box) => languages.includes(box.dataset.lang));
}

// What the address says of the chosen boxes: the key of a choice that has just these, or their codes. "mine" is nobody else's.
function languagesInAddress(boxes) {
  const codes = boxes.filter((box) => box.checked).map((box) => box.dataset.lang).join(",");
  const choice = languageChoices.find(([key]) => boxesOf(key, boxes).map((box) => box.dataset.lang).join(",") === codes && codes);
  return choice ? choice[0] : codes;
}

function languagesFromAddress(text, boxes) {
  const codes = languageChoices.some(([key]) => key === text) ? boxesOf(text, boxes).map((box) => box.dataset.lang) : text.split(",");
  for (const box of boxes) box.checked = codes.includes(box.dataset.lang);
}

// Buttons above the boxes: all of them, each choice, and the reader's own.
function offerLanguages(boxes, changed) {
  if (!boxes.length) return;
  const row = document.createElement("p"), buttons = [];
  row.className = "choices";
  const choose = (wanted) => { for (const box of boxes) box.checked = wanted.includes(box); changed(); };
  const offer = (text, key, wanted) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.addEventListener("click", () => choose(wanted()));
    row.append(button);
    buttons.push([button, key, wanted]);
    return button;
  };
  offer("all", "", () => boxes);
  for (const [key, name] of languageChoices) if (boxesOf(key, boxes).length) offer(name, key, () => boxesOf(key, boxes));
  const mine = offer("mine", "mine", () => boxesOf("mine", boxes));
  const keep = document.createElement("button");
  keep.type = "button";
  keep.textContent = "Keep these as mine";
  keep.addEventListener("click", () => {
    const codes = boxes.filter((box) => box.checked).map((box) => box.dataset.lang).join(",");
    try { localStorage.setItem(MINE, codes); } catch { /* Then they are in the address alone. */ }
    shown();
  });
  row.append(keep);
  boxes[0].closest("fieldset").querySelector("legend").after(row);
  // A choice that has just the chosen boxes is pressed.
  function shown() {
    mine.hidden = !boxesOf("mine", boxes).length;
    for (const [button, , wanted] of buttons) {
      const all = new Set(wanted());
      button.setAttribute("aria-pressed", all.size > 0 && boxes.every((box) => box.checked === all.has(box)));
    }
  }
  shown();
  return shown;
}

// The margins of cells whose means are over some languages. `cells` has for each its submission, task and setting, and what takes
// its interval; those of one submission and task are asked for together. A later call ends an earlier one.
let marginsTurn = 0, marginsWorker = null;
const marginsKnown = new Map();
async function marginsOf(root, chosen, cells, done) {
  const mine = ++marginsTurn, groups = new Map();
  for (const cell of cells) {
    const key = [cell.folder, cell.task, chosen.join(",")].join("|");
    groups.set(key, [...(groups.get(key) ?? []), cell]);
  }
  let failed = "";
  for (const [key, group] of groups) {
    if (!marginsKnown.has(key)) {
      try {
        const record = await topicsOf(root, group[0].folder, group[0].task);
        marginsWorker ??= new Statistics();
        if (mine !== marginsTurn) return;
        marginsKnown.set(key, await marginsWorker.ask("margins", { record, chosen }));
      } catch (error) {
        failed = String(error.message ?? error);
        break;
      }
    }
    if (mine !== marginsTurn) return;
    for (const cell of group) if (marginsKnown.get(key)[cell.setting]) cell.take(marginsKnown.get(key)[cell.setting]);
  }
  if (mine === marginsTurn) done(failed);
}
