// Lines with bands, on SVG drawn at the width that there is: text keeps its size on a phone.

const redraws = new Map(); // holder -> its drawing

const watcher = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const draw = redraws.get(target);
    if (draw && Math.abs(contentRect.width - draw.width) > 1) redraw(target);
  }
});

function redraw(holder) {
  const drawing = redraws.get(holder);
  drawing.width = holder.clientWidth || 600;
  holder.replaceChildren(drawing(drawing.width));
}

function drawn(draw) {
  const holder = el("div", { class: "plot" });
  redraws.set(holder, draw);
  draw.width = -1;
  return holder;
}

// Called when the figures stand in the page, for only then they have a width.
function drawAll(root) {
  for (const holder of redraws.keys()) {
    if (!holder.isConnected) {
      watcher.unobserve(holder);
      redraws.delete(holder);
    } else if (root.contains(holder)) {
      redraw(holder);
      watcher.observe(holder);
    }
  }
}

function niceStep(span, most) {
  const rough = span / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((m) => m * power >= rough * 0.999);
}

function ticksBetween(low, high, most) {
  const step = niceStep(high - low || 1, most);
  const out = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) out.push(Number((i * step).toPrecision(12)));
  return out;
}

function figure(options, plot, numbers) {
  const key = options.key;
  return el(
    "figure",
    { class: options.wide ? "wide" : null, "data-figure": key },
    el("figcaption", null, el("h3", { id: `t-${key}` }, options.title), options.note && el("p", null, options.note)),
    options.series && options.series.length > 1 ? legend(options.series) : null,
    plot,
    numbers && folded(`n-${key}`, "The numbers", numbers, { class: "numbers" }),
  );
}

function legend(series) {
  return el(
    "ul",
    { class: "legend" },
    series.map((s) =>
      el("li", null,
        svg("svg", { width: 28, height: 12, "aria-hidden": "true", class: s.cls },
          s.bar
            ? svg("rect", { class: "bar", x: 8, y: 1, width: 12, height: 10 })
            : svg("line", { class: "line", x1: 1, x2: 27, y1: 6, y2: 6, "stroke-dasharray": s.dash }),
          s.bar || s.bare ? null : svg("circle", { class: "dot", cx: 14, cy: 6, r: 2.6 })),
        s.name)),
  );
}

// options: key, title, note, x {label, log2, format}, y {low, high, format}, series [{name, cls, dash,
// bare, points [{x, y, low, high}]}], rules [{y, label}], zones [{low, high, label}], marks [{x, label}]
function lineChart(options) {
  const height = options.height || 250;
  const plot = drawn((width) => drawLines(options, width, height));
  return figure(options, plot, () => lineNumbers(options));
}

function lineNumbers(options) {
  const xs = [...new Set(options.series.flatMap((s) => s.points.map((p) => p.x)))].sort((a, b) => a - b);
  const found = options.series.map((s) => new Map(s.points.map((p) => [p.x, p])));
  const cell = (p) => {
    if (!p) return DASH;
    const bounds = there(p.low) ? ` [${options.y.format(p.low)}, ${options.y.format(p.high)}]` : "";
    return options.y.format(p.y) + bounds + (there(p.n) ? ` (n = ${count(p.n)})` : "");
  };
  return table(
    [options.x.label, ...options.series.map((s) => s.name)],
    xs.map((x) => [String(x), ...found.map((f) => cell(f.get(x)))]),
    { label: `Numbers: ${options.title}` },
  );
}

function scaleOf(options, series) {
  const all = series.flatMap((s) => s.points);
  const xs = all.map((p) => p.x);
  const tops = all.flatMap((p) => [p.y, p.high, p.low]).filter(there);
  for (const r of options.rules || []) tops.push(r.y);
  const low = options.y.low ?? Math.min(...tops);
  let high = options.y.high ?? Math.max(...tops);
  if (!(high > low)) high = low + (Math.abs(low) || 1) * 0.1;
  const pad = options.y.high === undefined ? (high - low) * 0.06 : 0;
  return { left: Math.min(...xs), right: Math.max(...xs), low: options.y.low ?? low - pad, high: high + pad };
}

function drawLines(options, width, height) {
  const series = options.series.map((s) => ({ ...s, points: s.points.filter((p) => there(p.x) && there(p.y)) }));
  const box = scaleOf(options, series);
  const yTicks = ticksBetween(box.low, box.high, height < 200 ? 3 : 5);
  const labels = yTicks.map(options.y.format);
  const left = 12 + 6.6 * Math.max(...labels.map((t) => t.length));
  const frame = { left, right: width - 14, top: 12, bottom: height - 38 };
  const log = options.x.log2 ? Math.log2 : (x) => x;
  const wide = log(box.right) - log(box.left) || 1;
  const x = (v) => frame.left + ((log(v) - log(box.left)) / wide) * (frame.right - frame.left) * (box.right > box.left ? 1 : 0)
    + (box.right > box.left ? 0 : (frame.right - frame.left) / 2);
  const y = (v) => frame.bottom - ((v - box.low) / (box.high - box.low)) * (frame.bottom - frame.top);
  const at = { x, y, frame, box };
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-labelledby": `t-${options.key}`, class: "chart" },
    (options.zones || []).map((z) => zone(z, at)),
    yTicks.map((t, i) => [
      svg("line", { class: "grid", x1: frame.left, x2: frame.right, y1: y(t), y2: y(t) }),
      svg("text", { class: "tick", x: frame.left - 7, y: y(t) + 4, "text-anchor": "end" }, labels[i]),
    ]),
    xTicks(options, series, box, frame).map((t) => [
      svg("line", { class: "axis", x1: x(t), x2: x(t), y1: frame.bottom, y2: frame.bottom + 4 }),
      svg("text", { class: "tick", x: x(t), y: frame.bottom + 17, "text-anchor": "middle" }, options.x.format ? options.x.format(t) : String(t)),
    ]),
    svg("line", { class: "axis", x1: frame.left, x2: frame.right, y1: frame.bottom, y2: frame.bottom }),
    svg("text", { class: "label", x: frame.right, y: height - 4, "text-anchor": "end" }, options.x.label),
    (options.rules || []).map((r) => rule(r, at)),
    (options.marks || []).map((m) => mark(m, at)),
    series.map((s) => band(s, at)),
    series.map((s) => line(s, at, options)),
  );
}

function xTicks(options, series, box, frame) {
  const room = Math.floor((frame.right - frame.left) / 44);
  if (options.x.log2) {
    const powers = [];
    for (let v = 1; v <= box.right; v *= 2) if (v >= box.left) powers.push(v);
    const every = Math.ceil(powers.length / Math.max(1, room));
    return powers.filter((_, i) => i % every === 0);
  }
  const own = [...new Set(series.flatMap((s) => s.points.map((p) => p.x)))].sort((a, b) => a - b);
  const each = (frame.right - frame.left) / (box.right - box.left || 1);
  if (own.length <= 6 && own.every((v, i) => !i || (v - own[i - 1]) * each > 32)) return own;
  return ticksBetween(box.left, box.right, Math.min(10, room)).filter((t) => !options.x.whole || Number.isInteger(t));
}

function zone(z, { y, frame }) {
  const top = y(z.high), bottom = y(z.low);
  return svg("g", { class: `zone ${z.cls || ""}` },
    svg("rect", { x: frame.left, width: frame.right - frame.left, y: top, height: Math.max(1, bottom - top) }),
    svg("title", null, z.label));
}

function rule(r, { y, frame }) {
  const below = y(r.y) - 16 < frame.top;
  return svg("g", { class: "rule" },
    svg("line", { x1: frame.left, x2: frame.right, y1: y(r.y), y2: y(r.y) }),
    svg("text", { x: frame.right - 4, y: y(r.y) + (below ? 13 : -5), "text-anchor": "end" }, r.label));
}

function mark(m, { x, frame }) {
  const right = x(m.x) > (frame.left + frame.right) / 2;
  return svg("g", { class: "mark" },
    svg("line", { x1: x(m.x), x2: x(m.x), y1: frame.top, y2: frame.bottom }),
    svg("text", { x: x(m.x) + (right ? -5 : 5), y: frame.bottom - 7, "text-anchor": right ? "end" : "start" }, m.label));
}

const xy = (px, py) => `${px.toFixed(1)},${py.toFixed(1)}`;

function band(s, { x, y, box }) {
  const inside = (v) => Math.min(Math.max(v, box.low), box.high);
  const held = s.points.filter((p) => there(p.low) && there(p.high));
  if (held.length < 2 || s.whiskers) {
    return held.map((p) => svg("line", { class: `whisker thin ${s.cls}`, x1: x(p.x), x2: x(p.x), y1: y(inside(p.low)), y2: y(inside(p.high)) }));
  }
  const up = held.map((p) => xy(x(p.x), y(inside(p.high))));
  const down = held.map((p) => xy(x(p.x), y(inside(p.low)))).reverse();
  return svg("path", { class: `band ${s.cls}`, d: `M${up.join("L")}L${down.join("L")}Z` });
}

function line(s, { x, y }, options) {
  const at = s.points.map((p) => xy(x(p.x), y(p.y)));
  const dots = s.points.length <= 40 && !s.bare;
  return svg("g", { class: s.cls, "data-series": s.name },
    svg("path", { class: "line", d: `M${at.join("L")}`, "stroke-dasharray": s.dash }),
    s.points.map((p) => svg("circle", { class: dots ? "dot" : "dot hidden", cx: x(p.x).toFixed(1), cy: y(p.y).toFixed(1), r: dots ? 2.6 : 5 },
      svg("title", null, `${s.name}, ${options.x.label} ${p.x}: ${options.y.format(p.y)}` +
        (there(p.low) ? ` [${options.y.format(p.low)}, ${options.y.format(p.high)}]` : "") + (there(p.n) ? ` (n = ${p.n})` : "")))));
}
