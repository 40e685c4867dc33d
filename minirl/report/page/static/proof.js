// Base against tuned: the evaluation, and the proof.

function evalSection(data) {
  const e = data.eval;
  if (!e) return [absent(`Base and tuned have not been evaluated;${later(data)}`, data.commands.eval)];
  const row = (label, cls, r) => r && { label, cls, ...r, text: rate(r) };
  const lenient = e.base.lenient && e.tuned.lenient;
  return [
    el("p", null, evalSentence(e)),
    charts(forest({
      key: "eval", wide: true, title: "Held-out tasks", low: 0, high: 1, format: (v) => percent(v, 0),
      note: `${e.env}, T = ${short(e.temperature)}; 95 % intervals.`,
      rows: [
        { heading: "Solved" }, row("base", "c-base", e.base.solved), row("tuned", "c-tuned", e.tuned.solved),
        lenient && { heading: "Right answer in any form" },
        lenient && row("base", "c-base", e.base.lenient), lenient && row("tuned", "c-tuned", e.tuned.lenient),
      ].filter(Boolean),
    })),
    facts([
      ["Cut off", `base ${percent(e.base.truncated)}, tuned ${percent(e.tuned.truncated)}`],
      ["Mean tokens", `base ${short(e.base.mean_tokens)}, tuned ${short(e.tuned.mean_tokens)}`],
    ]),
  ];
}

function later(data) {
  return data.trained ? "" : " once training has finished,";
}

function evalSentence(e) {
  const d = e.difference;
  let text = `Tuned minus base: ${points(d)} points, paired over ${count(d.tasks)} tasks`;
  if (there(e.mcnemar_p)) text += `; ${count(e.gained)} tasks gained, ${count(e.lost)} lost (McNemar p\u00a0${pText(e.mcnemar_p)})`;
  return text + ".";
}

function pText(p) {
  const text = pValue(p);
  return text.startsWith("<") ? text : `=\u00a0${text}`;
}

function proofSection(data) {
  const p = data.prove;
  if (!p) return [absent(`Nothing has been proved yet;${later(data)}`, data.commands.prove)];
  const gap = p.efficiency_gap;
  return [
    el("p", null, `${count(p.samples)} samples of each of ${count(p.tasks)} held-out tasks of ${p.env} from either model, ` +
      `T = ${short(p.temperature)}, top_p = ${short(p.top_p)}.`),
    passCharts(p),
    facts([
      ["pass@1, tuned − base", `${points(p.difference)} points, paired over ${count(p.difference.tasks)} tasks`],
      ["Efficiency gap", gap ? `${points(gap)} points: pass@${gap.k} of the base minus pass@1 of the tuned` : ""],
      ["Guessing", p.guess ? rate(p.guess.solved) : ""],
      ["Coin-flip training", p.random_reward ? `${rate(p.random_reward.solved)}; ${points(p.random_reward.difference)} points against the base` : ""],
      ["Took", duration(p.seconds)],
    ]),
    policies(p),
    diversity(p.diversity),
    distance(p),
    regressions(p),
  ];
}

function coverage(c) {
  const all = c.both + c.base_only + c.tuned_only + c.neither;
  const cell = (n, kind) => el("td", { class: `cell ${kind}` }, el("b", null, count(n)), " ", el("span", null, percent(n / all, 0)));
  return el("figure", { "data-figure": "coverage" },
    el("figcaption", null, el("h3", { id: "t-coverage" }, "Coverage"),
      el("p", null, `Tasks solved at least once in ${count(c.samples)} samples. ${count(c.tuned_only)} won, ${count(c.base_only)} lost; ` +
        `McNemar p\u00a0${pText(c.mcnemar_p)} (n = ${count(all)} tasks).`)),
    el("table", { class: "coverage", "aria-labelledby": "t-coverage" },
      el("thead", null, el("tr", null, el("td"), el("th", { scope: "col" }, "tuned: solved"), el("th", { scope: "col" }, "tuned: never"))),
      el("tbody", null,
        el("tr", null, el("th", { scope: "row" }, "base: solved"), cell(c.both, "both"), cell(c.base_only, "lost")),
        el("tr", null, el("th", { scope: "row" }, "base: never"), cell(c.tuned_only, "won"), cell(c.neither, "neither")))));
}

function policies(p) {
  const rows = [["Solved, pass@1", rate(p.base.solved), rate(p.tuned.solved)]];
  if (p.base.lenient && p.tuned.lenient) rows.push(["In any form", rate(p.base.lenient), rate(p.tuned.lenient)]);
  rows.push(["Cut off", rate(p.base.truncated), rate(p.tuned.truncated)]);
  rows.push(["Mean tokens", span(p.base.mean_tokens, 1), span(p.tuned.mean_tokens, 1)]);
  return titledTable("policies", "The two models", null, ["", "base", "tuned"], rows);
}

const DIVERSITY = {
  distinct_answers: "Different answers a task", answer_entropy: "Entropy of answers, nats", distinct_1: "distinct-1",
  distinct_2: "distinct-2", unique: "Unique completions", token_entropy: "Entropy of tokens, nats",
};

function diversity(d) {
  if (!d) return null;
  const names = Object.keys(d.base);
  return titledTable("diversity", "Diversity", "What a task's samples have of variety; differences are paired by task, with 95 % intervals.",
    ["", "base", "tuned", "difference"],
    names.map((n) => [DIVERSITY[n] || n, span(d.base[n]), span(d.tuned[n]), signedSpan(d.difference[n])]));
}

function distance(p) {
  const rows = [], q = p.perplexity, t = p.plain_text;
  if (p.kl) {
    rows.push(["KL(tuned ‖ base), nats a token", span(p.kl.tuned_base, 3)], ["KL(base ‖ tuned), nats a token", span(p.kl.base_tuned, 3)]);
  }
  if (q) {
    rows.push(["Perplexity of tuned's answers under the base", span(q.tuned_under_base, 3)], ["… under itself", span(q.tuned_under_tuned, 3)],
      ["Perplexity of the base's answers under itself", span(q.base_under_base, 3)], ["… under the tuned", span(q.base_under_tuned, 3)]);
  }
  if (t) {
    rows.push(["Perplexity of plain text under the base", span(t.base, 2)], ["… under the tuned", span(t.tuned, 2)], ["… as a ratio, tuned : base", span(t.ratio, 3)]);
  }
  if (!rows.length) return null;
  const note = "KL and perplexities with 95 % intervals. Tuned answers that the base finds likely were there before training." +
    (t ? ` Plain text: ${count(t.tokens)} tokens of ${count(t.paragraphs)} paragraphs.` : "");
  return titledTable("distance", "Distance from the base", note, ["", "value"], rows);
}

function titledTable(key, title, note, head, rows) {
  return el("figure", { "data-figure": key, class: "tabled" },
    el("figcaption", null, el("h3", null, title), note && el("p", null, note)),
    table(head, rows, { label: title }));
}

function regressions(p) {
  const rows = p.regressions || [];
  if (!rows.length) return null;
  const list = rows.map((r) => ({
    label: `${r.env} (${r.kind})`, cls: r.difference.high < 0 ? "c-bad" : r.difference.low > 0 ? "c-good" : "c-base",
    ...r.difference, text: `${points(r.difference)}, ${count(r.difference.tasks)} tasks`,
  }));
  return charts(forest({
    key: "regressions", wide: true, title: "Regressions elsewhere", zero: true, rows: list, format: tick, unit: "points",
    note: "Tuned minus base in points on environments that were not trained, paired by task, with 95 % intervals. Left of 0, something was lost.",
    numbers: () => table(
      ["environment", "base", "tuned", "difference"],
      rows.map((r) => [r.env, rate(r.base), rate(r.tuned), `${points(r.difference)} points`]), { label: "Numbers: regressions" }),
  }));
}
