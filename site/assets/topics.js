"use strict";
// Values by topic, which a page loads as scripts, and a worker that computes intervals and tests from them. A page that is opened
// from disk may start no worker from a file, so the worker is made of the text of a function.
const topicScripts = new Map(), topicWaiting = new Map();
window.clirTopics = ([folder, task], record) => topicWaiting.get(folder + "|" + task)?.(decoded(record));

// The values of one submission on one task: columns of [setting, query language, candidate language], and for each column its
// topics one after the other, NaN where a topic has no such query.
function topicsOf(root, folder, task) {
  const key = folder + "|" + task;
  if (!topicScripts.has(key)) {
    topicScripts.set(key, new Promise((resolve, reject) => {
      topicWaiting.set(key, resolve);
      const script = document.createElement("script");
      script.src = root + "data/topics/" + encodeURIComponent(folder + "." + task + ".js");
      script.addEventListener("error", () => { topicScripts.delete(key); reject(new Error("data/topics is missing beside this page.")); });
      document.head.append(script);
    }));
  }
  return topicScripts.get(key);
}

async function decoded(record) {
  const packed = Uint8Array.from(atob(record.data), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const languages = record.languages, n = record.topics, columns = [];
  for (const [setting] of record.blocks) {
    if (setting === "cross-lingual") for (const q of languages) for (const c of languages) { if (c !== q) columns.push([setting, q, c]); }
    if (setting !== "cross-lingual") for (const q of languages) columns.push([setting, q, setting === "monolingual" ? q : "all"]);
  }
  const values = new Float64Array(columns.length * n);
  let place = 0, at = 0;
  for (const [setting, kind, size] of record.blocks) {
    const count = n * columns.filter((column) => column[0] === setting).length, missing = 256 ** size - 1;
    for (let i = 0; i < count; i++) {
      let raw = 0;
      for (let b = size - 1; b >= 0; b--) raw = 256 * raw + bytes[place + b * count + i];
      values[at++] = raw === missing ? NaN : kind === "reciprocals" ? 1 / raw : kind === "shares" ? raw / 65534 : raw;
    }
    place += size * count;
  }
  return { columns, languages, topics: n, values };
}

// A worker with the functions below. It answers each request by its number; `said` receives what it says on the way.
class Statistics {
  constructor(said = () => {}) {
    this.said = said;
    this.waiting = new Map();
    this.number = 0;
  }

  ask(what, request) {
    this.worker ??= this.started();
    const number = ++this.number;
    return new Promise((resolve) => {
      this.waiting.set(number, resolve);
      this.worker.postMessage({ number, what, request });
    });
  }

  started() {
    const address = URL.createObjectURL(new Blob(["(" + statistics + ")()"], { type: "text/javascript" }));
    const worker = new Worker(address);
    URL.revokeObjectURL(address);
    worker.addEventListener("message", ({ data }) => {
      if (data.said) { this.said(data.said); return; }
      this.waiting.get(data.number)(data.answer);
      this.waiting.delete(data.number);
    });
    return worker;
  }

  // What was asked is no longer wanted.
  stop() {
    this.worker?.terminate();
    this.worker = undefined;
    this.waiting.clear();
  }
}

function statistics() {
  "use strict";
  const SAMPLES = 1000, FLIPS = 9999, LEVEL = 0.05, SEED = 20240810;
  // Topics whose signs are drawn together, and sign vectors that are added up together: this decides the time and no number.
  const BLOCK = 8, CHUNK = 1250;
  const drawnFor = new Map();
  self.onmessage = ({ data: { number, what, request } }) => {
    self.postMessage({ number, answer: what === "contrast" ? contrast(request) : margins(request) });
  };

  // A small seeded generator of 32 bits (mulberry32): the same page gives the same numbers.
  function generator(seed) {
    return () => {
      seed = (seed + 0x6d2b79f5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return (t ^ (t >>> 14)) >>> 0;
    };
  }

  // How often each topic is drawn, by sample: the same for all models of a task, so that differences are paired.
  function drawn(n) {
    if (!drawnFor.has(n)) {
      const random = generator(SEED), times = new Uint8Array(SAMPLES * n);
      for (let s = 0; s < SAMPLES; s++) for (let k = 0; k < n; k++) times[s * n + Math.floor((random() / 4294967296) * n)]++;
      drawnFor.set(n, times);
    }
    return drawnFor.get(n);
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

  // What is compared: each setting as a whole, each query language in it, and each pair of languages.
  function groups(columns) {
    const listed = [];
    for (const setting of new Set(columns.map((column) => column[0]))) {
      const places = columns.flatMap((c, i) => (c[0] === setting ? [i] : []));
      listed.push({ family: "overall", setting, places });
      const queries = [...new Set(places.map((i) => columns[i][1]))];
      for (const query of queries) listed.push({ family: setting, setting, query, places: places.filter((i) => columns[i][1] === query) });
      if (setting === "cross-lingual") for (const i of places) listed.push({ family: "pair", setting, query: columns[i][1], candidate: columns[i][2], places: [i] });
    }
    return listed;
  }

  // Samples of the mean over the places of each group of the means over drawn topics; by topic, `values` has the columns.
  function sampled(values, present, counts, n, width, list) {
    const complete = counts.every((count) => count === n), times = drawn(n);
    const samples = list.map(() => new Float64Array(SAMPLES));
    const sums = new Float64Array(width), seen = new Float64Array(width);
    for (let s = 0; s < SAMPLES; s++) {
      sums.fill(0);
      seen.fill(complete ? n : 0);
      for (let t = 0; t < n; t++) {
        const often = times[s * n + t], row = t * width;
        if (!often) continue;
        for (let c = 0; c < width; c++) sums[c] += often * values[row + c];
        if (!complete) for (let c = 0; c < width; c++) seen[c] += often * present[row + c];
      }
      for (let i = 0; i < list.length; i++) {
        let sum = 0, known = 0;
        for (const c of list[i].places) if (seen[c]) { sum += sums[c] / seen[c]; known++; }
        samples[i][s] = known ? sum / known : NaN;
      }
      if (s % 250 === 249) self.postMessage({ said: ["Bootstrap", s + 1, SAMPLES] });
    }
    return samples;
  }

  // How many of the sign vectors give a sum at least as far from 0 as the true one, for each column of `share`. Eight topics have
  // 256 choices of signs: their sums are computed once, and every vector picks one of them. Two blocks are added at a time.
  function extreme(share, n, width, totals) {
    const random = generator(SEED + 1), hits = new Float64Array(width);
    const blocks = Math.ceil(n / BLOCK), tables = [0, 1].map(() => new Float64Array(width << BLOCK));
    const least = totals.map((total) => Math.abs(total) * (1 - 1e-9));
    for (let first = 0; first < FLIPS; first += CHUNK) {
      const many = Math.min(CHUNK, FLIPS - first), sums = new Float64Array(many * width), picks = new Uint8Array(many * blocks);
      for (let i = 0, bits = 0; i < picks.length; i++) { bits = i % 4 ? bits >>> 8 : random(); picks[i] = bits & 255; }
      for (let b = 0; b < blocks; b += 2) {
        const masks = tables.map((table, i) => filled(table, share, n, width, b + i)), [one, other] = tables;
        for (let f = 0; f < many; f++) {
          const to = f * width, first = (picks[f * blocks + b] & masks[0]) * width, second = (picks[f * blocks + b + 1] & masks[1]) * width;
          for (let c = 0; c < width; c++) sums[to + c] += one[first + c] + other[second + c];
        }
      }
      for (let f = 0; f < many; f++) for (let c = 0; c < width; c++) if (Math.abs(sums[f * width + c]) >= least[c]) hits[c]++;
      self.postMessage({ said: ["Tests", first + many, FLIPS] });
    }
    return hits;
  }

  // Fill a table with the sums of a block of topics for each choice of their signs; the mask of a choice. Behind the last block
  // there is one choice, and its sums are 0.
  function filled(table, share, n, width, block) {
    const here = Math.max(0, Math.min(BLOCK, n - block * BLOCK)), start = block * BLOCK;
    for (let c = 0; c < width; c++) {
      let sum = 0;
      for (let k = 0; k < here; k++) sum -= share[(start + k) * width + c];
      table[c] = sum;
    }
    // Each choice is an earlier one with the sign of one more topic turned.
    for (let k = 0; k < here; k++) {
      const row = (start + k) * width, half = 1 << k;
      for (let m = 0; m < half; m++) for (let c = 0; c < width; c++) table[(half + m) * width + c] = table[m * width + c] + 2 * share[row + c];
    }
    return (1 << here) - 1;
  }

  // Samples of each group whose interval is shown; pairs of languages, which come in great number, are shown without one. Where all
  // topics have all columns, a group is one column: what each topic adds to it.
  function intervalsOf(list, { diff, present, counts, share, n, width }) {
    const chosen = list.flatMap((g, i) => (g.family === "pair" ? [] : [i])), samples = [];
    if (counts.some((count) => count !== n)) {
      sampled(diff, present, counts, n, width, chosen.map((i) => list[i])).forEach((one, k) => { samples[chosen[k]] = one; });
      return samples;
    }
    const values = new Float64Array(n * chosen.length);
    for (let t = 0; t < n; t++) chosen.forEach((i, k) => { values[t * chosen.length + k] = n * share[t * list.length + i]; });
    const whole = new Float64Array(chosen.length).fill(n), single = chosen.map((_, k) => ({ places: [k] }));
    sampled(values, present, whole, n, chosen.length, single).forEach((one, k) => { samples[chosen[k]] = one; });
    return samples;
  }

  // Paired bootstrap (percentile intervals) and paired randomisation tests of two models, corrected by Holm over each family.
  function contrast({ first: a, second: b }) {
    const n = a.topics, width = a.columns.length;
    const diff = new Float64Array(n * width), present = new Uint8Array(n * width), counts = new Float64Array(width);
    const means = [new Float64Array(width), new Float64Array(width)];
    for (let c = 0; c < width; c++) {
      for (let t = 0; t < n; t++) {
        const x = a.values[c * n + t], y = b.values[c * n + t];
        if (Number.isNaN(x) || Number.isNaN(y)) continue;
        present[t * width + c] = 1;
        counts[c]++;
        diff[t * width + c] = x - y;
        means[0][c] += x;
        means[1][c] += y;
      }
      if (counts[c]) { means[0][c] /= counts[c]; means[1][c] /= counts[c]; }
    }
    const list = groups(a.columns).map((g) => ({ ...g, places: g.places.filter((c) => counts[c]) })).filter((g) => g.places.length);
    const share = new Float64Array(n * list.length), totals = new Float64Array(list.length);
    list.forEach((g, i) => {
      for (let t = 0; t < n; t++) {
        let sum = 0;
        for (const c of g.places) sum += diff[t * width + c] / counts[c];
        share[t * list.length + i] = sum / g.places.length;
        totals[i] += sum / g.places.length;
      }
    });
    const samples = intervalsOf(list, { diff, present, counts, share, n, width });
    const hits = extreme(share, n, list.length, totals);
    const results = list.map((g, i) => {
      const sorted = samples[i]?.sort() ?? [];
      const average = (values) => g.places.reduce((sum, c) => sum + values[c], 0) / g.places.length;
      return { ...g, first: average(means[0]), second: average(means[1]), difference: totals[i], low: quantile(sorted, 0.025), high: quantile(sorted, 0.975), raw: (1 + hits[i]) / (1 + FLIPS) };
    });
    for (const family of new Set(results.map((r) => r.family))) holm(results.filter((r) => r.family === family));
    for (const r of results) r.better = r.p < LEVEL ? Math.sign(r.difference) * (r.setting === "bias" ? -1 : 1) : 0;
    return results;
  }

  // The 95 % intervals of the means over some languages, by setting: [low, high]. A mean over many columns that all topics have is
  // the mean over topics of their mean, which is one column.
  function margins({ record, chosen }) {
    const n = record.topics, answer = {};
    for (const setting of new Set(record.columns.map((column) => column[0]))) {
      const places = record.columns.flatMap(([one, query, candidate], i) =>
        one === setting && chosen.includes(query) && (setting !== "cross-lingual" || chosen.includes(candidate)) ? [i] : []);
      const value = (c, t) => record.values[c * n + t];
      const counts = places.map((c) => { let count = 0; for (let t = 0; t < n; t++) count += Number.isNaN(value(c, t)) ? 0 : 1; return count; });
      const kept = places.filter((_, i) => counts[i]);
      if (!kept.length) continue;
      const whole = counts.every((count) => count === n), width = whole ? 1 : kept.length;
      const values = new Float64Array(n * width), present = new Uint8Array(n * width).fill(whole ? 1 : 0);
      for (let t = 0; t < n; t++) kept.forEach((c, i) => {
        if (whole) values[t] += value(c, t) / kept.length;
        else if (!Number.isNaN(value(c, t))) [values[t * width + i], present[t * width + i]] = [value(c, t), 1];
      });
      const [samples] = sampled(values, present, whole ? [n] : counts.filter(Boolean), n, width, [{ places: [...Array(width).keys()] }]);
      const sorted = samples.sort();
      answer[setting] = [quantile(sorted, 0.025), quantile(sorted, 0.975)];
    }
    return answer;
  }
}
