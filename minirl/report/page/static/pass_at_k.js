// pass@k: what k samples are worth, to the base and to the tuned model.

function passCharts(p) {
  const c = p.pass_at_k;
  const curve = (ks, spans) => ks.map((k, i) => spans[i] && { x: k, y: spans[i].value, low: spans[i].low, high: spans[i].high }).filter(Boolean);
  const matched = p.matched, random = p.random_reward;
  const series = [
    { name: "Base", cls: "c-base", points: curve(c.k, c.base) },
    { name: "Tuned", cls: "c-tuned", points: curve(c.k, c.tuned) },
    matched && { name: `Tuned at T = ${short(matched.temperature)}, the base's entropy`, cls: "c-matched", dash: "6 4", whiskers: true, points: curve(matched.pass_at_k.k, matched.pass_at_k.tuned) },
    random && { name: "Trained on coin flips", cls: "c-random", dash: "2 4", whiskers: true, points: curve(random.pass_at_k.k, random.pass_at_k.tuned) },
    p.guess && { name: "Guessing", cls: "c-guess", dash: "1 4", points: curve(c.k, p.guess.pass_at_k) },
  ].filter(Boolean);
  const crossed = c.crossover;
  const marks = crossed && there(crossed.k) ? [{ x: crossed.k, label: `crossover at k = ${crossed.k}` }] : [];
  const k = { label: "k, samples a task", log2: true };
  return charts(
    lineChart({
      key: "pass-at-k", wide: true, title: "pass@k", height: 320, marks, series, x: k,
      note: "The chance that at least one of k samples solves a task, with 95 % intervals over tasks. " + crossoverText(c),
      y: { low: 0, high: 1, format: (v) => percent(v, 0) },
    }),
    lineChart({
      key: "pass-difference", title: "Difference in pass@k", x: k, rules: [{ y: 0, label: "" }],
      note: "Tuned minus base in points, paired by task, with 95 % intervals.",
      y: { format: tick },
      series: [{ name: "Tuned − base", cls: "c-tuned", points: curve(c.k, c.difference) }],
    }),
    checkpoints(p),
    histogram(p),
    coverage(p.coverage),
  );
}

function crossoverText(c) {
  const most = c.k[c.k.length - 1];
  const at = c.crossover;
  if (!at) return "Tuned does not start above the base, so there is no crossover.";
  const bound = (v) => (there(v) ? String(v) : `beyond ${most}`);
  const between = ` (95 % interval: ${bound(at.low)} to ${bound(at.high)})`;
  return there(at.k) ? `The base overtakes the tuned model at k = ${at.k}${between}.` : `The curves do not cross up to k = ${most}${between}.`;
}

function histogram(p) {
  const h = p.histogram;
  return barChart({
    key: "histogram", title: "How often each task is solved",
    note: `Tasks by their solved share. Never solved: ${h.never.base} by the base, ${h.never.tuned} by the tuned; ` +
      `always: ${h.always.base} and ${h.always.tuned}.`,
    edges: h.edges.map((e) => String(Math.round(100 * e))), x: { label: "solved, in % of a task's samples" },
    y: { whole: true, format: count },
    series: [
      { name: "Base", cls: "c-base", values: h.base },
      { name: "Tuned", cls: "c-tuned", values: h.tuned },
    ],
  });
}

function checkpoints(p) {
  const rows = p.checkpoints || [];
  if (!rows.length) return null;
  const points = (key) => rows.map((r) => ({ x: r.step, y: r[key].value, low: r[key].low, high: r[key].high }));
  return lineChart({
    key: "checkpoints", title: "Checkpoint by checkpoint", x: { label: "step", whole: true },
    note: `From ${rows[0].samples} samples a task, with 95 % intervals.`, y: { low: 0, high: 1, format: (v) => percent(v, 0) },
    series: [
      { name: `pass@${rows[0].k}`, cls: "c-matched", dash: "6 4", points: points("pass_at_k") },
      { name: "pass@1", cls: "c-tuned", points: points("pass_at_1") },
    ],
  });
}
