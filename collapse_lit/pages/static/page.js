"use strict";
// Plotly draws the charts. This script adds the colours, the picture of a point,
// and the sliders through the epochs. Text from the data is set as text, never as HTML.

const TOUCH = matchMedia("(pointer: coarse)").matches;
const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const held = (element) => JSON.parse(element.querySelector("script").textContent);

function template() {
  const axis = {
    gridcolor: colour("--line"), linecolor: colour("--line"), zerolinecolor: colour("--line"),
    tickfont: { color: colour("--soft") }, title: { font: { color: colour("--soft") } },
  };
  const bar = { tickfont: { color: colour("--soft") }, outlinewidth: 0, title: { font: { color: colour("--soft") } } };
  return {
    layout: {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 12, color: colour("--ink") },
      xaxis: axis, yaxis: axis, legend: { bgcolor: "rgba(0,0,0,0)" },
      hoverlabel: { bgcolor: colour("--paper"), bordercolor: colour("--line"), font: { color: colour("--ink") } },
      annotationdefaults: { font: { color: colour("--soft") }, arrowcolor: colour("--soft") },
      shapedefaults: { line: { color: colour("--soft") } },
    },
    data: { heatmap: [{ colorbar: bar }] },
  };
}

const drawn = new Map(); // element → promise of its chart
const sliders = new Map(); // element → function that brings its chart to the epoch of its slider

function draw(element) {
  if (drawn.has(element)) return drawn.get(element);
  const { data, layout } = held(element);
  const plot = element.querySelector(".plot");
  const more = { template: template(), autosize: true, ...(TOUCH ? { dragmode: false } : {}) };
  const options = { responsive: true, displayModeBar: false };
  const promise = Plotly.newPlot(plot, data, { ...layout, ...more }, options).then(() => {
    if (layout.meta === "tips") showTips(plot);
    if (layout.meta === "links") plot.on("plotly_click", follow);
    sliders.get(element)?.(plot);
    return plot;
  });
  drawn.set(element, promise);
  return promise;
}

function follow(event) {
  const link = event.points[0].customdata;
  if (link) location.href = link;
}

// The picture of a point with its lines of text.
const tip = document.getElementById("tip");
const picture = tip.querySelector(".picture");
const spriteElement = document.getElementById("sprite");
const sprite = spriteElement && JSON.parse(spriteElement.textContent);

function showTips(plot) {
  const show = (event) => {
    const [tile, ...lines] = event.points[0].customdata;
    tip.querySelector("figcaption").replaceChildren(
      ...lines.map((line) => Object.assign(document.createElement("div"), { textContent: line })));
    picture.hidden = tile < 0;
    if (tile >= 0) {
      const side = picture.clientWidth || 96, columns = sprite.columns;
      picture.style.backgroundImage = `url("${sprite.uri}")`;
      picture.style.backgroundSize = `${columns * side}px auto`;
      picture.style.backgroundPosition = `${-(tile % columns) * side}px ${-Math.floor(tile / columns) * side}px`;
    }
    tip.hidden = false;
    place(plot, event.points[0]);
  };
  plot.on("plotly_hover", show);
  plot.on("plotly_click", show);
  plot.on("plotly_unhover", () => { if (!TOUCH) tip.hidden = true; });
}

function place(plot, point) {
  const box = plot.getBoundingClientRect();
  const x = box.left + point.xaxis._offset + point.xaxis.c2p(point.x);
  const y = box.top + point.yaxis._offset + point.yaxis.c2p(point.y);
  const width = tip.offsetWidth, height = tip.offsetHeight, gap = 12;
  const left = x + gap + width < document.documentElement.clientWidth ? x + gap : x - gap - width;
  const top = Math.min(Math.max(y - height / 2, 4), innerHeight - height - 4);
  tip.style.left = `${Math.max(left, 4)}px`;
  tip.style.top = `${top}px`;
}

addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
addEventListener("pointerdown", (event) => { if (!event.target.closest(".plot")) tip.hidden = true; });

// A slider moves charts through the epochs: a heat map, or the scatters of all classes.
const still = matchMedia("(prefers-reduced-motion: reduce)");
const MOTION = 350, PAUSE = 800; // milliseconds: of the points, and from one epoch to the next

// What an epoch changes in a scatter: each sample in its trace, with its shape and its tip.
function restyled({ tips, traces, clusters }, { x, y, cluster }, symbols) {
  const parts = traces ? Math.max(...traces) + 1 : clusters.length;
  const made = Array.from({ length: parts }, () => ({ x: [], y: [], customdata: [], "marker.symbol": [] }));
  tips.forEach((tip, i) => {
    if (cluster[i] < 0) return;
    const trace = made[traces ? traces[i] : cluster[i]];
    trace.x.push(x[i]);
    trace.y.push(y[i]);
    trace.customdata.push([...tip.slice(0, -1), `cluster ${clusters[cluster[i]]}`, tip.at(-1)]);
    trace["marker.symbol"].push(symbols[traces ? cluster[i] % symbols.length : 0]);
  });
  return made;
}

function moveTo(plot, made, moving) {
  const every = made.map((_, i) => i);
  const all = (...keys) => Object.fromEntries(keys.map((key) => [key, made.map((trace) => trace[key])]));
  const shape = all("customdata", "marker.symbol");
  if (!moving) return Plotly.restyle(plot, { ...all("x", "y"), ...shape }, every);
  Plotly.restyle(plot, shape, every); // at once: half-way between two shapes there is none
  const data = made.map(({ x, y }) => ({ x, y }));
  const options = { mode: "immediate", transition: { duration: MOTION }, frame: { duration: MOTION, redraw: false } };
  return Plotly.animate(plot, { data, traces: every }, options).catch(() => {}); // the next epoch came first
}

function say(around, { space, spread }) {
  around.querySelector(".beside span").textContent = space;
  const number = around.querySelector(".beside b");
  if (!number) return;
  number.textContent = spread;
  around.querySelector(".gauge div").style.width = `${100 * spread}%`;
}

for (const element of document.querySelectorAll(".slider")) {
  const { epochs, chosen, frames, classes, symbols } = held(element);
  const [range, output, play] = ["input", "output", "button"].map((name) => element.querySelector(name));
  const charts = [...document.querySelectorAll(element.dataset.for)];
  let playing = 0, before = range.value;
  const bring = (plot, place, moving) => {
    const frame = frames[range.value];
    if (!classes) Plotly.restyle(plot, { z: [frame] });
    else moveTo(plot, restyled(classes[place], frame[place], symbols), moving && classes[place].traces);
  };
  const show = (moving) => {
    if (range.value === before) return;
    before = range.value;
    const epoch = epochs[range.value];
    output.textContent = `epoch ${epoch}${epoch === chosen ? ", chosen" : ""}`;
    range.setAttribute("aria-valuetext", output.textContent);
    tip.hidden = true;
    charts.forEach((chart, place) => {
      drawn.get(chart)?.then((plot) => bring(plot, place, moving && !still.matches));
      if (classes) say(chart.parentElement, frames[range.value][place]);
    });
  };
  const pause = () => {
    playing = clearInterval(playing);
    if (play) play.textContent = "Play";
  };
  charts.forEach((chart, place) => sliders.set(chart, (plot) => {
    if (range.value !== range.defaultValue) bring(plot, place, false);
  }));
  range.setAttribute("aria-valuetext", output.textContent);
  range.addEventListener("input", () => { pause(); show(true); });
  play?.addEventListener("click", () => {
    if (playing) return pause();
    const step = (to) => { range.value = to; show(true); if (range.value === range.max) pause(); };
    play.textContent = "Pause";
    playing = setInterval(() => step(+range.value + 1), PAUSE);
    step(range.value === range.max ? 0 : +range.value + 1);
  });
  // On paper is the epoch that the page shows first.
  let left = null;
  addEventListener("beforeprint", () => {
    pause();
    left = range.value;
    range.value = range.defaultValue;
    show(false);
  });
  addEventListener("afterprint", () => { if (left !== null) range.value = left; show(false); });
}

// A chart is drawn when it comes near the window, because a page may have many.
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) {
      near.unobserve(entry.target);
      draw(entry.target);
    }
  }
}, { rootMargin: "400px" });
for (const element of document.querySelectorAll(".chart")) near.observe(element);

dark.addEventListener("change", () => {
  for (const promise of drawn.values()) promise.then((plot) => Plotly.relayout(plot, { template: template() }));
});

// On paper charts have another width. Those that were never near the window are drawn too.
function fit(paper) {
  document.documentElement.classList.toggle("paper", paper);
  for (const element of document.querySelectorAll(".chart")) {
    const plot = element.querySelector(".plot");
    if (plot._fullLayout) Plotly.relayout(plot, { autosize: true });
    else if (paper) draw(element);
  }
}
addEventListener("beforeprint", () => fit(true));
addEventListener("afterprint", () => fit(false));

// Names of clusters: the browser keeps them until they are saved as names.csv.
const fields = [...document.querySelectorAll("input.name")];
const keep = document.getElementById("names")?.dataset.keep;
const quoted = (text) => `"${text.replaceAll('"', '""')}"`;

function namesTable() {
  const rows = fields.map(({ dataset, value }) =>
    [dataset.cluster, quoted(dataset.coarse), dataset.size, quoted(value.trim())].join(","));
  return ["cluster,coarse,size,name", ...rows, ""].join("\n");
}

function countNames() {
  const named = fields.filter((field) => field.value.trim()).length;
  document.querySelector("#names output").textContent = `${named} of ${fields.length} clusters named`;
}

function stored(change) {
  try { return change(localStorage); } catch { return null; } // a browser may forbid storage for local files
}

if (fields.length) {
  const before = JSON.parse(stored((store) => store.getItem(keep)) || "{}");
  for (const field of fields) field.value = before[field.dataset.cluster] || field.value;
  countNames();
  addEventListener("input", (event) => {
    if (!event.target.matches("input.name")) return;
    countNames();
    const typed = Object.fromEntries(fields.map((field) => [field.dataset.cluster, field.value]));
    stored((store) => store.setItem(keep, JSON.stringify(typed)));
  });
  document.querySelector("#names button").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([namesTable()], { type: "text/csv" }));
    link.download = "names.csv";
    link.click();
    URL.revokeObjectURL(link.href);
  });
}

// Search: show classes with the words in their name, or in a name of their samples or clusters.
const search = document.getElementById("search");
search?.addEventListener("input", () => {
  const wanted = search.value.trim().toLowerCase();
  for (const section of document.querySelectorAll("section[id^='class-']")) {
    const words = [section.querySelector("h3").textContent,
      ...[...section.querySelectorAll("[title]")].map((shown) => shown.title),
      ...[...section.querySelectorAll("details p > *")].map((sample) => sample.textContent),
      ...[...section.querySelectorAll("input.name")].map((field) => field.value)];
    section.hidden = !words.some((word) => word.toLowerCase().includes(wanted));
  }
});
