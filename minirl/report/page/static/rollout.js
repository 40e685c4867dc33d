// One rollout: read from its compact row (see encode.py), and shown.

const DIGITS = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i)).filter((c) => !'"\\<>&'.includes(c)).join("");
const LAST = DIGITS.length - 1;
const SCALE = 24;
const ROLES = { s: "system", u: "user", a: "assistant", t: "tool" };
const SHADES = 7;

const logprobOf = (char) => -Math.expm1(DIGITS.indexOf(char) / SCALE);

function rowOf(row, samples, position) {
  const [source, step, task, prompt, solved, value, stop, tokens, parts, reason, turns] = row;
  return {
    position, step, value, stop, tokens, turns, source: samples.sources[source].name, solved: solved === 1, task: samples.tasks[task],
    prompt: samples.prompts[prompt], reason: samples.reasons[reason], parts: parts.map(([i, v]) => [samples.parts[i], v]),
  };
}

function wordsOf(r) {
  const said = (m) => [m[1], ...m[2].flat()];
  return [r.task, r.reason, r.stop, ...r.prompt.flatMap(said), ...r.turns.flatMap(said)].join("\n").toLowerCase();
}

function lastWords(r) {
  const written = r.turns.filter((t) => t[0] === "a");
  if (!written.length) return "";
  const pieces = segments(written[written.length - 1]);
  return pieces.filter((p) => !p.special).map((p) => p.text).join("").replace(/\s+/g, " ").slice(0, 160);
}

// Mean log-probability of the tokens that the policy wrote, by turn.
function meanLogprob(r) {
  const means = r.turns.filter((t) => t[0] === "a" && t[3]).map((t) => logprobOf(t[3]));
  return means.length ? means.reduce((a, b) => a + b, 0) / means.length : null;
}

function shadeOf(logprob) {
  return Math.min(SHADES, Math.round(2.2 * Math.log1p(-logprob) * 2));
}

function probability(logprob) {
  const p = Math.exp(logprob);
  return p >= 0.001 ? p.toPrecision(p > 0.1 ? 2 : 1) : p.toExponential(0);
}

// A turn's text token by token; all of it in one piece where nobody knows which token stands where.
function segments(turn) {
  const [, text, , mean, lengths, digits, special] = turn;
  if (lengths === undefined) return [{ text, logprob: mean ? logprobOf(mean) : null, whole: true }];
  const out = [];
  let at = 0, length = 0;
  for (const char of lengths) {
    const value = DIGITS.indexOf(char);
    length += value;
    if (value === LAST) continue;
    out.push({ text: text.slice(at, at + length), logprob: logprobOf(digits[out.length]), special: special.includes(out.length) });
    at += length;
    length = 0;
  }
  if (at < text.length) out.push({ text: text.slice(at), logprob: null });
  return out;
}

function shaded(turn) {
  return segments(turn).map((s) => {
    if (s.logprob === null) return el("span", null, s.text);
    const kind = `tok p${shadeOf(s.logprob)}${s.special ? " special" : ""}`;
    return el("span", { class: kind, title: `${s.whole ? "mean " : ""}p = ${probability(s.logprob)}` }, s.text);
  });
}

function message(m, key) {
  const role = ROLES[m[0]] || m[0];
  const text = el("div", { class: "text", dir: "auto" }, m[0] === "a" ? shaded(m) : m[1]);
  const calls = m[2].map(([name, args], i) =>
    folded(`${key}-c${i}`, ["Tool call: ", el("bdi", null, name)], () => el("pre", { dir: "auto" }, args), { class: "call" }));
  const body = m[0] === "t" ? folded(`${key}-r`, "Tool result", () => text, { class: "call" }) : text;
  return el("div", { class: `message ${role}` }, el("span", { class: "role" }, role), el("div", null, body, calls));
}

const STOPS = { eos: "ended by itself", length: "cut off at the token limit", turns: "out of turns" };

function rolloutBody(r, key) {
  const mean = meanLogprob(r);
  return el("div", { class: "conversation" },
    r.prompt.map((m, i) => message(m, `${key}-p${i}`)),
    r.turns.map((m, i) => message(m, `${key}-${i}`)),
    el("dl", { class: "facts score" },
      [["Reward", short(r.value)], ["Why", r.reason], ...r.parts.map(([k, v]) => [k, short(v)]),
        ["Tokens", count(r.tokens)], ["Stop", STOPS[r.stop] || r.stop],
        ["Mean log-probability", mean === null ? "" : `${fixed(mean, 2)} nats a token`]]
        .filter(([, v]) => v !== "").map(([k, v]) => el("div", null, el("dt", null, el("bdi", null, k)), el("dd", null, el("bdi", null, v))))));
}
