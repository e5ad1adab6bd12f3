"use strict";
// Reads two JSON files beside this page and draws what they say. All text is set as text, so that nothing in a name or
// in an error is read as HTML.

const WIDTH = 360, HEIGHT = 170, LEFT = 58, RIGHT = 12, TOP = 22, BOTTOM = 34;
const ACTIVITIES_EVERY = 1000, JOBS_EVERY = 2000;
const SVG = "http://www.w3.org/2000/svg";

function element(name, options = {}, ...children) {
  const made = document.createElement(name);
  Object.assign(made, options);
  made.append(...children);
  return made;
}

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function number(value) {
  if (value === null || value === undefined) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  const size = Math.abs(value);
  return size >= 1e6 || size < 1e-4 ? value.toExponential(3) : value.toLocaleString("en-US", { maximumSignificantDigits: 4 });
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function percent(share) {
  return `${(100 * share).toFixed(0)} %`;
}

function facts(pairs) {
  const list = element("dl");
  for (const [name, value] of pairs) {
    if (value !== undefined) list.append(element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value })));
  }
  return list;
}

// The range of an axis, and round values in it.
function ticks(low, high, wanted, whole) {
  if (low === high) return [low];
  const rough = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(rough));
  let step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  if (whole) step = Math.max(1, Math.round(step));
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high + step * 1e-9; at += 1) found.push(at * step);
  return found;
}

function frame(title, horizontal, vertical) {
  const drawn = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}, by ${horizontal}` });
  drawn.append(shape("text", { x: LEFT, y: 12, class: "title" }, title));
  drawn.append(shape("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, horizontal));
  if (vertical) {
    const middle = (TOP + HEIGHT - BOTTOM) / 2;
    drawn.append(shape("text", { x: 10, y: middle, "text-anchor": "middle", transform: `rotate(-90 10 ${middle})` }, vertical));
  }
  return drawn;
}

function axes(drawn, x, y, xTicks, yTicks) {
  for (const at of yTicks) {
    drawn.append(shape("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(at), y2: y(at), class: "grid" }));
    drawn.append(shape("text", { x: LEFT - 4, y: y(at) + 4, "text-anchor": "end" }, number(Number(at.toPrecision(6)))));
  }
  for (const at of xTicks) {
    drawn.append(shape("line", { x1: x(at), x2: x(at), y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM + 4, class: "axis" }));
    drawn.append(shape("text", { x: x(at), y: HEIGHT - BOTTOM + 15, "text-anchor": "middle" }, number(Number(at.toPrecision(6)))));
  }
  drawn.append(shape("path", { d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}`, class: "axis" }));
}

function scale(low, high, from, to) {
  return (value) => (high === low ? (from + to) / 2 : from + ((value - low) / (high - low)) * (to - from));
}

// Curves of one quantity: solid with dots, then dashed with circles, so that they tell without color.
function curves(title, horizontal, series) {
  const shown = series.filter((one) => one.points.length);
  const points = shown.flatMap((one) => one.points);
  const drawn = frame(title, horizontal);
  const xs = points.map((point) => point[0]), ys = points.map((point) => point[1]);
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const x = scale(left, right, LEFT + 8, WIDTH - RIGHT - 6), y = scale(low, high, HEIGHT - BOTTOM - 6, TOP + 6);
  axes(drawn, x, y, ticks(left, right, 6, true), ticks(low, high, 4, false));
  shown.forEach((one, place) => {
    const line = one.points.map((point) => `${x(point[0]).toFixed(1)} ${y(point[1]).toFixed(1)}`).join("L");
    drawn.append(shape("path", { d: `M${line}`, class: place ? "curve second" : "curve" }));
    const few = one.points.length <= 40 ? one.points : one.points.slice(-1);
    for (const point of few) {
      drawn.append(shape("circle", { cx: x(point[0]).toFixed(1), cy: y(point[1]).toFixed(1), r: 2.5, class: place ? "hollow" : "dot" }));
    }
    if (shown.length > 1) {
      const at = WIDTH - RIGHT - 170 + 95 * place;
      drawn.append(shape("path", { d: `M${at - 26} 8H${at - 4}`, class: place ? "curve second" : "curve" }));
      drawn.append(shape("text", { x: at, y: 12 }, one.name));
    }
  });
  return drawn;
}

function columns(title, horizontal, vertical, pairs) {
  const drawn = frame(title, horizontal, vertical);
  const most = Math.max(...pairs.map((pair) => pair[1])), last = Math.max(...pairs.map((pair) => pair[0]));
  const x = scale(-0.5, last + 0.5, LEFT, WIDTH - RIGHT), y = scale(0, most, HEIGHT - BOTTOM, TOP + 6);
  const wide = Math.max(1, 0.7 * Math.min(60, x(1) - x(0)));
  axes(drawn, x, y, ticks(0, last, 6, true), ticks(0, most, 4, true));
  for (const [at, height] of pairs) {
    drawn.append(shape("rect", { x: x(at) - wide / 2, y: y(height), width: wide, height: HEIGHT - BOTTOM - y(height), class: "bar" }));
  }
  return drawn;
}

// Shares of a whole by name, the largest first where there are many.
function shares(title, pairs) {
  const MOST = 6;
  const drawn = frame(pairs.length > MOST ? `${title}: ${MOST} of ${pairs.length}, the most waiting` : title, "% of the time");
  const chosen = pairs.length > MOST ? [...pairs].sort((a, b) => b[1] - a[1]).slice(0, MOST) : pairs;
  const left = LEFT + 74, x = scale(0, 1, left, WIDTH - RIGHT - 8), step = Math.min(26, (HEIGHT - BOTTOM - TOP) / chosen.length);
  chosen.forEach(([name, share], row) => {
    const top = TOP + 2 + row * step;
    drawn.append(shape("rect", { x: left, y: top, width: x(1) - left, height: step * 0.7, class: "rest" }));
    drawn.append(shape("rect", { x: left, y: top, width: x(share) - left, height: step * 0.7, class: "bar" }));
    const label = name.replace(/^\w+:\/\//, "");
    drawn.append(shape("text", { x: left - 4, y: top + step * 0.35 + 4, "text-anchor": "end" }, label.length > 20 ? `…${label.slice(-19)}` : label));
  });
  for (const at of [0, 0.5, 1]) {
    drawn.append(shape("text", { x: x(at), y: HEIGHT - BOTTOM + 15, "text-anchor": "middle" }, String(100 * at)));
  }
  return drawn;
}

function card(activity) {
  const running = activity.status === "running";
  const made = element("article", { className: activity.status });
  const state = running ? `running: ${activity.stage}` : activity.status;
  made.append(element("h3", { textContent: activity.name }));
  const started = new Date(1000 * activity.started).toLocaleTimeString("en-GB");
  made.append(element("div", { className: "dim", textContent: `${state}, started ${started}` }));
  if (activity.error) made.append(element("p", { className: "error", textContent: activity.error }));
  const { search, training } = activity;
  const shown = [["time", duration(activity.seconds)], ["passes", number(activity.passes)]];
  if (search) {
    const tried = search.splits ? ` (${number(search.of / search.splits)} candidates × ${search.splits} splits)` : "";
    shown.push(["fits done", search.of === null ? number(search.fits) : `${number(search.fits)} of ${number(search.of)}${tried}`]);
    shown.push(["best score", number(search.best)]);
    if (running && search.of !== null) shown.push(["time left", search.seconds_left === null ? "not known yet" : duration(search.seconds_left)]);
  }
  if (training) {
    const last = (points) => (points.length ? number(points[points.length - 1][1]) : undefined);
    shown.push(["epochs", `${training.loss.length ? number(training.loss[training.loss.length - 1][0]) : 0} of ${number(training.epochs)}`]);
    shown.push(["loss", last(training.loss)], ["validation loss", last(training.validation)]);
    shown.push(["rows visited", number(training.rows)], ["pushes", number(training.pushes)]);
  } else if (activity.overhead !== undefined) {
    shown.push(["overhead", percent(activity.overhead)]);
  }
  if (activity.threads !== undefined) shown.push(["threads", number(activity.threads)], ["where", activity.where]);
  made.append(facts(shown));
  if (search && search.of !== null) made.append(element("progress", { max: search.of, value: search.fits, ariaLabel: "fits done" }));
  const charts = element("div", { className: "charts" });
  if (!search && activity.loss.points.length) charts.append(curves(activity.loss.name, "pass", [{ points: activity.loss.points }]));
  if (!search && training) {
    if (training.loss.length) {
      const series = [{ name: "training", points: training.loss }, { name: "validation", points: training.validation }];
      charts.append(curves("loss", "epoch", series));
    }
    if (training.staleness.some((pair) => pair[0] > 0)) {
      charts.append(columns("staleness of pushes", "updates missed", "pushes", training.staleness));
    }
    if (training.waiting.length) charts.append(shares("workers waiting", training.waiting));
  }
  if (charts.childElementCount) made.append(charts);
  return made;
}

function fill(id, nodes) {
  const section = document.getElementById(id);
  section.hidden = !nodes.length;
  section.querySelector(".content").replaceChildren(...nodes);
}

function showActivities(found) {
  const newest = found.activities.reverse(), running = (one) => one.status === "running";
  const sorted = [...newest.filter(running), ...newest.filter((one) => !running(one))];
  const kind = (one) => (one.search ? "searches" : one.training ? "trainings" : "fits");
  for (const id of ["searches", "trainings", "fits"]) fill(id, sorted.filter((one) => kind(one) === id).map(card));
  document.getElementById("nothing").hidden = sorted.length > 0;
  const n = newest.filter(running).length;
  document.title = n ? `(${n}) daskml_kit dashboard` : "daskml_kit dashboard";
}

function showJobs(found) {
  const link = document.getElementById("dask");
  link.hidden = !/^https?:|^\//.test(found.dask || "");
  if (!link.hidden) link.href = found.dask;
  if (found.error) {
    fill("jobs", [element("p", { className: "error", textContent: found.error })]);
    return;
  }
  const cell = (name, text) => element(name, { textContent: text });
  const head = element("tr", {}, ...["job", "status", "fits done", "passes", "best score"].map((name) => cell("th", name)));
  const rows = found.jobs.map((job) => {
    const done = job.of === null || job.of === undefined ? (job.fits ? number(job.fits) : "–") : `${number(job.fits)} of ${number(job.of)}`;
    return element("tr", {}, ...[job.name, job.status, done, number(job.passes), number(job.best)].map((text) => cell("td", text)));
  });
  fill("jobs", rows.length ? [element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows))] : []);
}

// One question at a time: where an answer takes long, the next is asked after it.
async function poll(name, every, show) {
  let found = null;
  try {
    const answer = await fetch(name, { cache: "no-store" });
    if (answer.ok) found = await answer.json();
  } catch (error) {
    console.warn(error);
  }
  document.getElementById("connection").textContent = found ? "live" : "not connected: the process has ended, or its page was closed";
  setTimeout(() => poll(name, every, show), every);
  if (found) show(found);
}

poll("activities.json", ACTIVITIES_EVERY, showActivities);
poll("jobs.json", JOBS_EVERY, showJobs);
