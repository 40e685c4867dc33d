// What the base model could do before training.

const KINDS = { go: "good", ease: "fair", cold_start: "bad", saturated: "fair" };
const GO = 0.3, NO = 0.1;

function probeSection(data) {
  const p = data.probe;
  const out = [];
  if (!p && !data.ladder) return [absent("The base model has not been probed;", data.commands.probe)];
  if (p) {
    out.push(
      facts([
        ["Solved", rate(p.solved)],
        ["In any form", rate(p.lenient)],
        ["By guessing", rate(p.guess)],
        ["Cut off", rate(p.truncated)],
        ["Sampled", `${count(p.samples)} rollouts of ${count(p.task_count)} train tasks in ${duration(p.seconds)}`],
        ["Lengths", p.lengths && `mean ${short(p.lengths.mean)}, half within ${short(p.lengths.p50)}, 95 % within ${short(p.lengths.p95)}, at most ${short(p.lengths.max)} tokens`],
        ["Endpoint", p.endpoint ? (typeof p.endpoint === "string" ? p.endpoint : JSON.stringify(p.endpoint)) : ""],
      ]),
      charts(distribution(p), signalBySize(p)),
      recommendations(p),
    );
  }
  if (data.ladder) out.push(ladder(data.ladder));
  return out;
}

function distribution(p) {
  return barChart({
    key: "probe-p", title: "How often the base solves a task",
    note: "Share of tasks by their chance p of being solved in one try: a Beta distribution fitted across tasks.",
    edges: p.distribution.edges.map((e) => String(Math.round(100 * e))),
    x: { label: "p, in %" }, y: { format: (v) => percent(v, 0) },
    series: [{ name: "Share of tasks", cls: "c-base", values: p.distribution.share }],
  });
}

function signalBySize(p) {
  const sizes = Object.keys(p.signal).map(Number).sort((a, b) => a - b);
  const point = (g) => ({ x: g, y: p.signal[g].value, low: p.signal[g].low, high: p.signal[g].high });
  const how = (kind) => sizes.filter((g) => (p.signal[g].how === "extrapolated") === kind);
  const played = how(false), beyond = how(true);
  const joined = beyond.length && played.length ? [played[played.length - 1], ...beyond] : beyond;
  return lineChart({
    key: "probe-signal", title: "Groups that carry signal",
    note: `Expected share of groups whose rollouts differ in reward, by group size. This recipe has G\u00a0=\u00a0${p.group_size}.`,
    x: { label: "group size G", log2: true }, y: { low: 0, high: 1, format: (v) => percent(v, 0) },
    rules: [{ y: GO, label: "30 %: go" }, { y: NO, label: "10 %: do not train" }],
    series: [
      played.length && { name: "Played", cls: "c-tuned", points: played.map(point) },
      joined.length && { name: "Extrapolated", cls: "c-matched", dash: "5 4", points: joined.map(point) },
    ].filter(Boolean),
  });
}

function recommendations(p) {
  const r = p.recommend || {}, price = p.price;
  return facts([
    ["Recommended G", r.group_size === null ? "none helps" : String(r.group_size)],
    ["Recommended max_tokens", there(r.max_tokens) ? count(r.max_tokens) : ""],
    ["Because", (r.why || []).join("; ")],
    ["Price of training here", price ? `${count(price.rollouts)} rollouts, about ${count(price.tokens)} tokens, ` +
      `${duration(price.seconds_low)} to ${duration(price.seconds_high)}` : ""],
  ]);
}

function ladder(l) {
  const own = (r) => r.signal[String(r.group_size)];
  const rows = [];
  for (const r of l.levels) {
    rows.push({ heading: `Level ${r.level}: ${r.title}${r.level === l.start ? ", start here" : ""}` });
    rows.push({ label: "solved", cls: "c-base", ...r.solved, text: share(r.solved, 0) });
    rows.push({ label: "signal", cls: "c-tuned", ...own(r), text: share(own(r), 0) });
  }
  return charts(forest({
    key: "ladder", wide: true, title: "The ladder of levels", note: l.reason, rows, low: 0, high: 1,
    format: (v) => percent(v, 0), rules: [{ x: GO, label: "30 %: go" }, { x: NO, label: "10 %" }],
  }));
}
