// The page, top to bottom; and, where it is served, again whenever the run has grown.

const SECTIONS = [
  ["run", "The run", runSection],
  ["verdicts", "Verdicts", verdictSection],
  ["probe", "Before training: the probe", probeSection],
  ["training", "Training", trainingSection],
  ["eval", "Evaluation", evalSection],
  ["prove", "The proof", proofSection],
  ["export", "Export", exportSection],
  ["samples", "Samples", null],
];

const FACTS = 4; // that stand open

function runSection(data) {
  return [
    data.description && el("p", { class: "lead" }, data.description),
    facts(data.facts.slice(0, FACTS)),
    data.facts.length > FACTS && folded("machine", "The machine and the rest", () => facts(data.facts.slice(FACTS))),
    data.recipe && folded("recipe", "The recipe", () => el("pre", null, data.recipe)),
    data.notes.length ? el("ul", { class: "notes" }, data.notes.map((n) => el("li", null, n))) : null,
  ];
}

function verdictSection(data) {
  const { probe, prove, eval: e } = data, out = [];
  if (probe) out.push(verdictBox(KINDS[probe.verdict] || "fair", probe.title, "Probe", [`${probe.reason}.`, probe.decided ? null : "Not settled within probe.groups."], probe.rule));
  if (e) {
    const d = e.difference;
    const [kind, word] = d.low > 0 ? ["good", "better"] : d.high < 0 ? ["bad", "worse"] : ["fair", "no clear difference"];
    out.push(verdictBox(kind, word, "Evaluation", [evalSentence(e)], "the 95 % interval of the paired difference lies above 0, below it, or holds it."));
  }
  if (prove) {
    const kinds = { sharpened: "good", expanded: "good", narrowed: "bad", "format only": "fair", "no effect": "fair" };
    const also = prove.also && prove.also.length ? [`Also: ${prove.also.join(", ")}.`] : [];
    out.push(verdictBox(kinds[prove.verdict] || "fair", prove.verdict, "Proof", [...prove.reasons, ...also],
      prove.rules[prove.verdict] && `${prove.rules[prove.verdict]} (intervals of ${percent(prove.verdict_confidence)})`));
  }
  if (!out.length) out.push(el("p", { class: "absent" }, "No verdict yet: the probe, the evaluation and the proof give one each."));
  return [el("div", { class: "verdicts" }, out)];
}

const browser = sampleBrowser();
let drawnData = null;

function page() {
  const toggle = el("button", { type: "button", id: "theme", onclick: () => theme(isDark() ? "light" : "dark") });
  document.getElementById("top").append(
    el("div", { class: "bar" }, el("span", { class: "brand" }, "minirl report"), toggle),
    el("h1", null, el("bdi", { id: "name" })), el("p", { id: "subtitle" }),
    el("nav", { "aria-label": "Contents" }, el("ul", null, SECTIONS.map(([id, title]) => el("li", null, el("a", { href: `#${id}` }, title.split(":")[0]))))));
  document.getElementById("page").append(...SECTIONS.map(([id, title]) =>
    el("section", { id, "aria-labelledby": `h-${id}` }, el("h2", { id: `h-${id}` }, title), el("div", { class: "body" }))));
  document.querySelector("#samples .body").append(browser.element, el("div", { id: "no-samples" }));
}

function isDark() {
  const set = document.documentElement.dataset.theme;
  return set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function theme(name) {
  if (name) {
    document.documentElement.dataset.theme = name;
    try { localStorage.setItem("minirl-theme", name); } catch { /* storage is off: the choice holds for now */ }
  }
  document.getElementById("theme").textContent = isDark() ? "Light colours" : "Dark colours";
}

function render(data) {
  drawnData = data;
  const focus = document.activeElement && document.activeElement.dataset.key;
  const at = window.scrollY;
  document.getElementById("name").textContent = data.name;
  document.getElementById("subtitle").textContent = subtitle(data);
  for (const [id, , build] of SECTIONS) {
    if (!build) continue;
    const body = document.querySelector(`#${id} > .body`);
    const parts = built(id, () => build(data));
    body.replaceChildren(...parts);
    body.parentElement.hidden = !parts.length;
    document.querySelector(`nav a[href="#${id}"]`).parentElement.hidden = !parts.length;
    drawAll(body);
  }
  const none = browser.update(data.samples, el("p", { class: "absent" }, "No rollouts yet: training, the evaluation and the proof write them."));
  document.getElementById("no-samples").replaceChildren(...(none ? [none] : []));
  document.getElementById("foot").textContent = `Made ${data.made} by minirl ${data.minirl}.`;
  if (focus) document.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
  if (window.scrollY !== at) window.scrollTo(0, at);
  document.documentElement.dataset.ready = "yes";
}

function subtitle(data) {
  const fact = (name) => (data.facts.find(([k]) => k === name) || [])[1];
  return [fact("Model"), fact("Environment")].filter(Boolean).join("  ·  ");
}

// A part that cannot be drawn (another version's file, say) must not hide the others.
function built(id, build) {
  try {
    return build().flat(Infinity).filter(Boolean);
  } catch (error) {
    console.error(`${id}: ${error.stack}`);
    return [el("p", { class: "absent" }, `This part cannot be drawn: ${error.message}`)];
  }
}

async function watch(version) {
  let gone = false;
  for (;;) {
    await new Promise((done) => setTimeout(done, 1000));
    try {
      const now = (await (await fetch("version", { cache: "no-store" })).json()).version;
      if (now !== version) {
        render(await (await fetch("data", { cache: "no-store" })).json());
        version = now;
      }
      if (gone) document.getElementById("foot").textContent = `Made ${drawnData.made} by minirl ${drawnData.minirl}.`;
      gone = false;
    } catch {
      gone = true;
      document.getElementById("foot").textContent = "minirl report --watch has ended: this page is as it was then.";
    }
  }
}

try {
  const kept = localStorage.getItem("minirl-theme");
  if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
} catch { /* storage is off */ }
page();
theme();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => theme());
render(JSON.parse(document.getElementById("data").textContent));
const served = document.querySelector("meta[name=watch]").content;
if (served) watch(served);
