"use strict";
// The page reads status.json (all workers, out of the store), metrics and readyz (this worker), and
// never writes. Every text of theirs gets in as text.

const EVERY_MS = 3000;
const OLD_MS = 15000;
const POINTS = 60;
const LANES_SHOWN = 500;
const rates = new Map();
const opened = new Set();
let goodAt = 0;

function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  for (const child of children) if (child !== null && child !== undefined) element.append(child);
  return element;
}

function span(seconds) {
  if (!(seconds >= 0)) return "–";
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds % 3600 / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds % 86400 / 3600)} h`;
}

function time(ms) {
  return ms > 0 ? `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} UTC` : "–";
}

function number(n) {
  return n >= 100 ? Math.round(n).toLocaleString("en") : Number(n.toPrecision(2)).toString();
}

// {name: [[labels, value], …]} of a Prometheus page.
function parseMetrics(text) {
  const found = {};
  for (const line of text.split("\n")) {
    const parts = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!parts) continue;
    const labels = {};
    for (const [, key, value] of (parts[2] || "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g))
      labels[key] = value.replace(/\\(.)/g, (all, c) => (c === "n" ? "\n" : c));
    (found[parts[1]] ??= []).push([labels, Number(parts[3])]);
  }
  return found;
}

function sum(metrics, name, labels) {
  let total, rows = metrics[name] || [];
  for (const [has, value] of rows)
    if (Object.entries(labels).every(([key, wanted]) => has[key] === wanted)) total = (total ?? 0) + value;
  return total;
}

// Records a second since the last look, and those before it.
function rate(key, total, now) {
  const seen = rates.get(key) || { total, at: now, points: [] };
  if (now > seen.at && total >= seen.total) seen.points.push((total - seen.total) / (now - seen.at) * 1000);
  if (seen.points.length > POINTS) seen.points.shift();
  rates.set(key, Object.assign(seen, { total, at: now }));
  return seen.points;
}

function sparkline(points) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg"), line = document.createElementNS(space, "polyline");
  const most = Math.max(...points, 1);
  svg.setAttribute("viewBox", `0 0 ${POINTS} 20`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "records a second, the last minutes");
  line.setAttribute("points", points.map((p, i) =>
    `${POINTS - points.length + i},${(19 - p / most * 18).toFixed(1)}`).join(" "));
  svg.append(line);
  return svg;
}

function figure(name, value, kind) {
  return make("div", {}, make("dt", {}, name), make("dd", kind ? { class: kind } : {}, value));
}

function fold(key, title, content) {
  const element = make("details", {}, make("summary", {}, title));
  const fill = () => { if (element.open && element.children.length === 1) element.append(content()); };
  element.open = opened.has(key);
  element.addEventListener("toggle", () => {
    element.open ? opened.add(key) : opened.delete(key);
    fill();
  });
  fill();
  return element;
}

function lane(shard, owners) {
  const place = shard.state === "done" ? "done"
    : shard.event_ms ? time(shard.event_ms) : "before its first record";
  return make("span", {}, make("code", {}, shard.shard), ` ${shard.state}`,
    shard.owner ? ` · ${owners.get(shard.owner) || shard.owner}` : "", ` · ${place}`);
}

// Children below their parents; what is done and has nothing open below it is left out.
function tree(stream, owners) {
  const byParent = new Map(), known = new Set(stream.shards.map((s) => s.shard)), keep = new Set();
  for (const shard of stream.shards) {
    const parent = known.has(shard.parent) ? shard.parent : "";
    (byParent.get(parent) ?? byParent.set(parent, []).get(parent)).push(shard);
  }
  const parents = new Map(stream.shards.map((s) => [s.shard, s.parent]));
  for (const shard of stream.shards)
    if (shard.state !== "done")
      for (let up = shard.shard; up && !keep.has(up); up = parents.get(up)) keep.add(up);
  let left = LANES_SHOWN;
  const list = (of) => {
    const items = (byParent.get(of) || []).filter((s) => keep.has(s.shard) && left-- > 0)
      .map((s) => make("li", {}, lane(s, owners), list(s.shard)));
    return items.length ? make("ul", {}, ...items) : null;
  };
  const box = make("div", { class: "tree" }, list(""));
  if (left < 0) box.append(make("p", { class: "said" }, `and ${-left} more: sluice status lists all`));
  if (keep.size === 0) box.append(make("p", { class: "said" }, "none is open"));
  return box;
}

function gaps(stream) {
  return make("ul", {}, ...stream.gaps.map((gap) => make("li", { class: gap.state === "open" ? "bad" : "" },
    `${gap.shard || "the whole stream"}: ${gap.kind}, ${gap.state}${gap.how ? ` by ${gap.how}` : ""}, ` +
    `after ${time(gap.from_ms)}, found ${time(gap.found_ms)}`)));
}

function streamCard(stream, metrics, owners, now) {
  const here = { stream: stream.stream };
  const lag = sum(metrics, "sluice_lag_seconds", here);
  const cost = sum(metrics, "sluice_poll_cost_dollars_month", here);
  const points = rate(`s ${stream.stream}`, sum(metrics, "sluice_records_total", here) ?? 0, now);
  const loss = stream.time_to_loss_seconds;
  const states = {};
  for (const shard of stream.shards) states[shard.state] = (states[shard.state] || 0) + 1;
  const open = stream.gaps.filter((gap) => gap.state === "open");
  const card = make("article", { class: "card" }, make("h3", {}, stream.stream),
    make("div", { class: "arn" }, stream.arn));
  if (stream.hold)
    card.append(make("p", { class: "said warn" }, `held for a ${stream.hold.why} since ` +
      `${time(stream.hold.since_ms)} by ${stream.hold.who}${stream.hold.said ? `, ${stream.hold.said}` : ""}`));
  if (open.length)
    card.append(make("p", { class: "said bad" }, `${open.length} gaps are open: what is behind them stands still`));
  card.append(make("dl", {},
    figure("lag here", lag === undefined ? "–" : span(lag), lag > 60 ? "warn" : ""),
    figure("time to loss at least", span(loss), loss < 3600 ? "bad" : loss < 21600 ? "warn" : ""),
    figure("last event", time(stream.last_event_ms)),
    figure("shards", Object.entries(states).sort().map(([k, n]) => `${n} ${k}`).join(", ") || "none yet"),
    figure("generation", String(stream.generation)),
    figure("reads here, a month", cost === undefined ? "–" : `$${cost.toFixed(2)}`),
    figure("records a second here", points.length ? number(points[points.length - 1]) : "–"),
    make("div", {}, make("dt", {}, "the last minutes"), make("dd", {}, sparkline(points)))));
  card.append(fold(`t ${stream.arn}`, "shards that are open", () => tree(stream, owners)));
  if (stream.gaps.length)
    card.append(fold(`g ${stream.arn}`, `gaps (${stream.gaps.length})`, () => gaps(stream)));
  return card;
}

function rows(table, head, lines) {
  table.replaceChildren(make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name))),
    ...lines.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell)))));
}

function showSinks(metrics, now) {
  const names = [...new Set((metrics.sluice_delivered_total || []).map(([labels]) => labels.sink))];
  document.getElementById("sinks").hidden = names.length === 0;
  rows(document.querySelector("#sinks table"), ["sink", "delivered", "a second", "letters"], names.map((sink) => {
    const total = sum(metrics, "sluice_delivered_total", { sink }), points = rate(`k ${sink}`, total, now);
    return [sink, total.toLocaleString("en"), points.length ? number(points[points.length - 1]) : "–",
      String(sum(metrics, "sluice_dead_letters_total", { sink }) ?? 0)];
  }));
}

function showExports(exports) {
  document.getElementById("exports").hidden = exports.length === 0;
  rows(document.querySelector("#exports table"), ["table", "export", "status", "files", "left", "error"],
    exports.map((e) => {
      const what = e.from_ms ? `${time(e.from_ms)} to ${time(e.to_ms)}` : `full at ${time(e.to_ms)}`;
      const bar = e.files ? make("span", {}, make("progress", { max: e.files, value: e.files_completed }),
        ` ${e.files_completed} of ${e.files}${e.files_failed ? `, ${e.files_failed} failed` : ""}`) : "–";
      return [e.name || e.table_arn, what, make("span", { class: e.status === "failed" ? "bad" : "" }, e.status),
        bar, e.left_seconds === null ? "–" : span(e.left_seconds), e.error];
    }));
}

function show(status, metrics, ready, now) {
  const owners = new Map(status.workers.map((w) => [w.session, w.worker]));
  const ill = ready.parts.filter((part) => !part.ok);
  document.getElementById("about").textContent = status.store;
  document.getElementById("health").hidden = ill.length === 0;
  document.querySelector("#health ul").replaceChildren(...ill.map((part) =>
    make("li", { class: "warn" }, `${part.part}: ${part.reason}`)));
  document.querySelector("#streams div").replaceChildren(...(status.streams.length
    ? status.streams.map((stream) => streamCard(stream, metrics, owners, now))
    : [make("p", {}, "none is read yet")]));
  showSinks(metrics, now);
  showExports(status.exports);
  rows(document.querySelector("#workers table"), ["worker", "state", "session"],
    status.workers.map((w) => [w.worker, make("span", { class: w.state === "live" ? "good" : "bad" }, w.state),
      make("code", {}, w.session)]));
  const letters = document.querySelector("#letters p");
  letters.textContent = status.dead_letters ? `${status.dead_letters}: sluice deadletter list shows them` : "none";
  letters.className = status.dead_letters ? "warn" : "";
}

async function look() {
  try {
    const [status, metrics, ready] = await Promise.all(["status.json", "metrics", "readyz"].map(
      (path) => fetch(path, { cache: "no-store" })));
    const answer = await status.json();
    if (!status.ok) throw new Error(answer.error);
    show(answer, parseMetrics(await metrics.text()), await ready.json(), performance.now());
    goodAt = Date.now();
    document.getElementById("fresh").textContent = `as of ${time(goodAt)}`;
  } catch (error) {
    document.getElementById("fresh").textContent = `not to be had: ${error.message}`;
  }
  document.getElementById("fresh").classList.toggle("old", Date.now() - goodAt > OLD_MS);
  setTimeout(look, EVERY_MS);
}

look();
