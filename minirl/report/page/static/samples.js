// The sample browser. Its controls stay while the data behind them changes.

const PAGE = 40;
const ORDERS = {
  played: ["as played", () => 0],
  latest: ["latest first", (a, b) => b.position - a.position],
  reward: ["best reward first", (a, b) => b.value - a.value],
  poor: ["worst reward first", (a, b) => a.value - b.value],
  unlikely: ["least likely first", (a, b) => (meanLogprob(a) ?? 0) - (meanLogprob(b) ?? 0)],
  long: ["longest first", (a, b) => b.tokens - a.tokens],
};

function sampleBrowser() {
  const state = { rows: [], samples: null, found: [], upTo: PAGE };
  const words = new Map(); // row -> what a search looks at

  const choice = (id, label) => {
    const select = el("select", { id: `f-${id}`, onchange: () => show(true) });
    return { select, node: el("label", { class: "field" }, el("span", null, label), select) };
  };
  const source = choice("source", "From"), step = choice("step", "Step"), task = choice("task", "Task");
  const outcome = choice("outcome", "Outcome"), order = choice("order", "Order");
  options(outcome.select, [["", "all"], ["1", "solved"], ["0", "unsolved"]]);
  options(order.select, Object.entries(ORDERS).map(([k, [name]]) => [k, name]));
  let waiting = 0;
  const search = el("input", {
    id: "f-search", type: "search", placeholder: "in prompts, answers, reasons", autocomplete: "off", spellcheck: "false",
    oninput: () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => show(true), 150);
    },
  });
  const clear = el("button", { type: "button", id: "f-clear", onclick: reset }, "Clear");
  const status = el("p", { class: "status", role: "status", "aria-live": "polite" });
  const list = el("ol", { class: "rollouts", "aria-label": "Rollouts" });
  const more = el("button", { type: "button", id: "more", onclick: () => { state.upTo += PAGE; show(false); } }, "Show more");
  const filters = el("form", { class: "filters", role: "search", "aria-label": "Filter the rollouts", onsubmit: (e) => e.preventDefault() },
    source.node, step.node, task.node, outcome.node, order.node,
    el("label", { class: "field grow" }, el("span", null, "Search"), search), clear);
  const scale = el("p", { class: "scale", "aria-hidden": "true" }, "Token probability: ",
    [1, 0.6, 0.3, 0.1, 0.02].map((p) => el("span", { class: `tok p${shadeOf(Math.log(p))}` }, ` ${p} `)));
  const intro = el("p");
  const element = el("div", { class: "browser" }, intro, filters, scale, status, list, more);

  function reset() {
    for (const s of [source, step, task, outcome, order]) s.select.selectedIndex = 0;
    search.value = "";
    show(true);
  }

  function options(select, pairs) {
    const kept = select.value;
    select.replaceChildren(...pairs.map(([value, name]) => el("option", { value }, name)));
    if (pairs.some(([value]) => value === kept)) select.value = kept;
  }

  function update(samples, absentNode) {
    state.samples = samples;
    element.hidden = !samples;
    state.rows = samples ? samples.rows.map((row, i) => rowOf(row, samples, i)) : [];
    words.clear();
    const seen = new Map();
    for (const r of state.rows) {
      const place = `${r.source}|${r.step}|${r.task}`;
      seen.set(place, (seen.get(place) || 0) + 1);
      r.key = `r|${place}|${seen.get(place)}`;
    }
    if (!samples) return absentNode;
    const of = samples.shown < samples.of ? `${count(samples.shown)} of the run's ${count(samples.of)} rollouts are in this page. ${samples.rule}`
      : `All ${count(samples.of)} rollouts of the run are here.`;
    intro.replaceChildren(`${of} The darker a token, the less likely it was under the policy that wrote it.`);
    options(source.select, [["", "everywhere"], ...samples.sources.map((s) => [s.name, `${s.name} (${count(s.shown)})`])]);
    const steps = [...new Set(state.rows.map((r) => r.step).filter(there))].sort((a, b) => a - b);
    options(step.select, [["", "any"], ...steps.map((s) => [String(s), String(s)])]);
    options(task.select, [["", "any"], ...[...samples.tasks].sort(byNumber).map((t) => [t, t])]);
    step.node.hidden = !steps.length;
    show(false);
    return null;
  }

  function wanted(r, query) {
    if (source.select.value && r.source !== source.select.value) return false;
    if (step.select.value && String(r.step) !== step.select.value) return false;
    if (task.select.value && r.task !== task.select.value) return false;
    if (outcome.select.value && r.solved !== (outcome.select.value === "1")) return false;
    if (!query) return true;
    if (!words.has(r)) words.set(r, wordsOf(r));
    return words.get(r).includes(query);
  }

  function show(anew) {
    if (anew) state.upTo = PAGE;
    const query = search.value.trim().toLowerCase();
    const found = state.rows.filter((r) => wanted(r, query));
    const [, compare] = ORDERS[order.select.value] || ORDERS.played;
    found.sort(compare); // stable: equal ones stay as played
    const solved = found.filter((r) => r.solved).length;
    status.replaceChildren(`${count(found.length)} of ${count(state.rows.length)} rollouts, ${count(solved)} of them solved`);
    status.dataset.found = found.length;
    list.replaceChildren(...found.slice(0, state.upTo).map(item));
    more.hidden = found.length <= state.upTo;
    more.textContent = `Show ${Math.min(PAGE, found.length - state.upTo)} more`;
  }

  function item(r) {
    const key = r.key;
    const where = there(r.step) ? `step ${r.step}` : r.source;
    const heading = [
      el("span", { class: `badge ${r.solved ? "solved" : "unsolved"}` }, r.solved ? "✓ solved" : "✗ unsolved"),
      el("bdi", { class: "task" }, r.task), el("span", { class: "where" }, where),
      el("span", { class: "where" }, `reward ${short(r.value)}, ${count(r.tokens)} tokens`),
      el("bdi", { class: "preview" }, lastWords(r)),
    ];
    return el("li", null, folded(key, heading, () => rolloutBody(r, key), { class: "rollout" }));
  }

  return { element, update };
}

function byNumber(a, b) {
  return a.localeCompare(b, "en", { numeric: true });
}
