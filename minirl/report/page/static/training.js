// Training, step by step.

function trainingSection(data) {
  const t = data.training;
  if (!t) return [absent("There is no training yet;", data.commands.training)];
  const s = t.series;
  const zip = (values) => t.step.map((x, i) => ({ x, y: values[i] })).filter((p) => there(p.y));
  const pooled = (rows) => t.step.map((x, i) => rows[i] && { x, y: rows[i].value, low: rows[i].low, high: rows[i].high, n: rows[i].n })
    .filter((p) => p && there(p.y));
  const x = { label: "step", whole: true };
  const share01 = { low: 0, high: 1, format: (v) => percent(v, 0) };
  const steady = (name) => s[name] && s[name].every((v) => v === s[name][0]);
  const plain = (key, title, name, note) => s[name] && !steady(name) && lineChart({
    key, title, note, x, height: 170, y: { format: short }, series: [{ name: title, cls: "c-tuned", points: zip(s[name]) }],
  });
  const pool = `Each point pools the last ${t.window} steps, of the tasks as they were first drawn; ` +
    (t.by_group ? "the 95 % band reckons with rollouts of one task resembling each other." : "95 % band.");
  const solved = pooled(t.solved), reward = pooled(t.reward);
  const binary = solved.length === reward.length && solved.every((p, i) => p.y === reward[i].y);
  const predicted = data.probe && data.probe.signal && data.probe.signal[String(data.group_size)];
  return [
    progress(data, t),
    charts(
      lineChart({
        key: "reward", wide: true, title: binary ? "Solved rate" : "Reward and solved rate",
        note: pool + (binary ? " The reward is the same: 1 where solved, else 0." : ""), x, y: share01, height: 280,
        series: [
          { name: "Solved", cls: "c-tuned", points: solved },
          { name: "Reward", cls: "c-matched", dash: "6 4", points: binary ? [] : reward },
        ].filter((q) => q.points.length),
      }),
      lineChart({
        key: "signal", title: "Groups with signal", x, y: share01,
        note: "Share of groups whose rewards differ." + (predicted ? ` Shaded: what the probe expected at the start, ${share(predicted, 0)}.` : ""),
        zones: predicted ? [{ low: predicted.low, high: predicted.high, label: `the probe expected ${share(predicted, 0)}` }] : [],
        series: [{ name: "Signal", cls: "c-tuned", points: pooled(t.signal) }],
      }),
      lengths(data, t, zip, x),
      s["completions/clipped_ratio"] && lineChart({
        key: "truncated", title: "Cut off at the limit", x, y: { low: 0, high: Math.max(0.1, ...s["completions/clipped_ratio"].filter(there)), format: (v) => percent(v, 0) },
        note: "Share of the trained rollouts that did not end by themselves.",
        series: [{ name: "Cut off", cls: "c-random", points: zip(s["completions/clipped_ratio"]) }],
      }),
      s.entropy && lineChart({
        key: "entropy", title: "Token entropy", x, y: { low: 0, format: short },
        note: "Nats a token, under the policy. Near zero nothing new is tried any more.",
        series: [{ name: "Entropy", cls: "c-tuned", points: zip(s.entropy) }],
      }),
    ),
    charts(
      plain("lr", "Learning rate", "learning_rate"),
      plain("grad", "Gradient norm", "grad_norm"),
      plain("kl", "KL to the base", "kl", "Nats a token."),
      plain("loss", "Loss", "loss", "Of a policy gradient: its size says little."),
      plain("speed", "Sampling speed", "tokens_per_second", "Tokens a second."),
      timing(t, zip, x),
    ),
    cost(data, t, steady("learning_rate") ? s.learning_rate[0] : null),
  ];
}

function progress(data, t) {
  const of = there(t.steps) ? ` of ${count(t.steps)}` : "";
  const whole = data.trained ? `All ${count(t.done)} steps are done, and the adapter is written.` : null;
  return el("p", null, whole || [`Step ${count(t.done)}${of} is done; `, command(data.commands.resume), " goes on if nobody is training."]);
}

function lengths(data, t, zip, x) {
  const s = t.series;
  const mean = s["completions/mean_length"];
  if (!mean) return null;
  const low = s["completions/min_length"] || [], high = s["completions/max_length"] || [];
  const rows = zip(mean).map((p) => {
    const i = t.step.indexOf(p.x);
    return { ...p, low: low[i], high: high[i] };
  });
  const near = there(data.limit) && Math.max(...rows.map((p) => (there(p.high) ? p.high : p.y))) > data.limit / 3;
  return lineChart({
    key: "lengths", title: "Completion length", x, y: { low: 0, format: short },
    note: "Tokens of the trained rollouts: mean, and from shortest to longest.",
    rules: near ? [{ y: data.limit, label: "limit of a turn" }] : [],
    series: [{ name: "Mean length", cls: "c-tuned", points: rows }],
  });
}

function timing(t, zip, x) {
  const s = t.series;
  const series = [
    s.sampling && { name: "Sampling", cls: "c-tuned", points: zip(s.sampling) },
    s.training && { name: "Training", cls: "c-random", dash: "6 4", points: zip(s.training) },
  ].filter(Boolean);
  return series.length && lineChart({ key: "timing", title: "Seconds a step", x, height: 170, y: { low: 0, format: short }, series });
}

function cost(data, t, constantRate) {
  const c = t.cost;
  const halves = there(c.sampling) && there(c.training) ? ` (sampling ${duration(c.sampling)}, training ${duration(c.training)})` : "";
  return facts([
    ["Time", there(c.seconds) ? duration(c.seconds) + halves : ""],
    ["Rollouts played", count(c.rollouts)],
    ["Tokens written", there(c.tokens) ? count(c.tokens) + (there(c.sampling) && c.sampling > 0 ? `, ${count(c.tokens / c.sampling)} a second of sampling` : "") : ""],
    ["Tokens trained on, prompts included", count(c.tokens_seen)],
    ["Learning rate", there(constantRate) ? `${short(constantRate)} throughout` : ""],
    ["Peak memory", there(data.peak_memory) ? bytes(data.peak_memory) : ""],
  ]);
}
