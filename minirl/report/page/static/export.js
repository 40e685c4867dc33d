// What was exported, and whether it is still the model that was trained.

function exportSection(data) {
  const e = data.export;
  if (!e) return []; // it may lie elsewhere: nothing is said about it
  const [first, ...said] = e.said;
  const judged = (word) => el("span", { class: `verified ${{ passed: "good", FAILED: "bad" }[word] || ""}` }, word);
  return [
    titledTable("export", e.title, first, e.columns, e.rows.map((row) => [...row.slice(0, -1), judged(row.at(-1))])),
    said.length ? el("ul", { class: "said" }, said.map((line) => el("li", null, line))) : null,
  ];
}
