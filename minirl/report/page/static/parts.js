// Bars, intervals in rows (forest plots), and what sections are made of.

// options: key, title, note, edges (labels between the bars), x.label, y.format, series [{name, cls, values}]
function barChart(options) {
  const series = options.series.map((s) => ({ ...s, bar: true }));
  const plot = drawn((width) => drawBars({ ...options, series }, width, options.height || 220));
  const { edges } = options;
  return figure({ ...options, series }, plot, () =>
    table(
      [options.x.label, ...series.map((s) => s.name)],
      series[0].values.map((_, i) => [`${edges[i]} to ${edges[i + 1]}`, ...series.map((s) => options.y.format(s.values[i]))]),
      { label: `Numbers: ${options.title}` },
    ));
}

function drawBars(options, width, height) {
  const { series, edges } = options;
  const bins = series[0].values.length;
  const most = Math.max(...series.flatMap((s) => s.values)) || 1;
  const yTicks = ticksBetween(0, most, 4).filter((t) => !options.y.whole || Number.isInteger(t));
  const labels = yTicks.map(options.y.format);
  const left = 12 + 6.6 * Math.max(...labels.map((t) => t.length));
  const frame = { left, right: width - 14, top: 12, bottom: height - 38 };
  const each = (frame.right - frame.left) / bins;
  const y = (v) => frame.bottom - (v / most) * (frame.bottom - frame.top);
  const bar = ((each * 0.84) / series.length);
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-labelledby": `t-${options.key}`, class: "chart" },
    yTicks.map((t, i) => [
      svg("line", { class: "grid", x1: frame.left, x2: frame.right, y1: y(t), y2: y(t) }),
      svg("text", { class: "tick", x: frame.left - 7, y: y(t) + 4, "text-anchor": "end" }, labels[i]),
    ]),
    edges.map((e, i) => svg("text", { class: "tick", x: frame.left + i * each, y: frame.bottom + 17, "text-anchor": "middle" }, e)),
    series.map((s, j) =>
      svg("g", { class: s.cls, "data-series": s.name },
        s.values.map((v, i) =>
          svg("rect", {
            class: "bar",
            x: (frame.left + i * each + each * 0.08 + j * bar).toFixed(1),
            width: Math.max(1, bar - 1).toFixed(1),
            y: y(v).toFixed(1),
            height: (frame.bottom - y(v)).toFixed(1),
          }, svg("title", null, `${s.name}, ${edges[i]} to ${edges[i + 1]}: ${options.y.format(v)}`))))),
    svg("line", { class: "axis", x1: frame.left, x2: frame.right, y1: frame.bottom, y2: frame.bottom }),
    svg("text", { class: "label", x: frame.right, y: height - 4, "text-anchor": "end" }, options.x.label),
  );
}

// options: key, title, note, rows [{label, cls, value, low, high, text, heading}], zero, format, rules, low, high,
// numbers (what makes their table, where the rows do not say it all)
function forest(options) {
  const marks = options.rows.filter((r) => there(r.value));
  const ends = marks.flatMap((r) => [r.value, r.low, r.high]).filter(there);
  if (options.zero) ends.push(0);
  let low = options.low ?? Math.min(...ends), high = options.high ?? Math.max(...ends);
  const pad = (high - low || 1) * 0.05;
  if (options.low === undefined) low -= pad;
  if (options.high === undefined) high += pad;
  const at = (v) => `${((100 * (Math.min(Math.max(v, low), high) - low)) / (high - low)).toFixed(2)}%`;
  const ticks = ticksBetween(low, high, 4);
  const lines = (height) => [
    ticks.map((t) => svg("line", { class: "grid", x1: at(t), x2: at(t), y1: 0, y2: height })),
    options.zero ? svg("line", { class: "zero", x1: at(0), x2: at(0), y1: 0, y2: height }) : null,
    (options.rules || []).map((r) => svg("g", { class: "rule" }, svg("line", { x1: at(r.x), x2: at(r.x), y1: 0, y2: height }, svg("title", null, r.label)))),
  ];
  const row = (r) => r.heading
    ? el("div", { class: "row heading" }, r.heading)
    : el("div", { class: `row ${r.cls || ""}` },
        el("span", { class: "name" }, r.label),
        svg("svg", { class: "strip", width: "100%", height: 24, "aria-hidden": "true" },
          lines(24),
          there(r.low) ? svg("line", { class: "whisker", x1: at(r.low), x2: at(r.high), y1: 12, y2: 12 }) : null,
          there(r.value) ? svg("circle", { class: "dot", cx: at(r.value), cy: 12, r: 4.5 }) : null),
        el("span", { class: "text" }, r.text));
  const axis = el("div", { class: "row ticks", "aria-hidden": "true" },
    el("span", { class: "name" }),
    svg("svg", { class: "strip", width: "100%", height: 18 },
      ticks.map((t) => svg("text", { class: "tick", x: at(t), y: 13, "text-anchor": t === low ? "start" : t === high ? "end" : "middle" }, options.format(t)))),
    el("span", { class: "text" }, options.unit || ""));
  return figure({ ...options, series: null }, el("div", { class: "forest", role: "group", "aria-labelledby": `t-${options.key}` }, options.rows.map(row), axis), options.numbers);
}

function charts(...figures) {
  return el("div", { class: "charts" }, figures.flat().filter(Boolean));
}

function verdictBox(kind, word, what, sentences, rule) {
  return el("div", { class: `verdict ${kind}` },
    el("p", { class: "word" }, el("span", { class: "what" }, what), " ", el("strong", null, word)),
    sentences.filter(Boolean).map((s) => el("p", null, s)),
    rule && el("p", { class: "by" }, `The rule: ${rule}`));
}

function facts(rows) {
  return el("dl", { class: "facts" }, rows.filter((r) => r && r[1] !== DASH && r[1] !== "").map(([k, v]) => el("div", null, el("dt", null, k), el("dd", null, v))));
}

function absent(what, commandText) {
  return el("p", { class: "absent" }, `${what} this does it: `, command(commandText));
}
