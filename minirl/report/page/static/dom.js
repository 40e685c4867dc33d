"use strict";
// Elements. Text only ever becomes a text node: no markup is ever read from data.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// Which foldable parts stand open outlives a refresh.
const opened = new Set();

function folded(key, summary, build, attributes) {
  const body = el("div", { class: "folded" });
  const make = () => body.childNodes.length || body.append(...[build()].flat().filter(Boolean));
  const toggled = () => {
    node.open ? opened.add(key) : opened.delete(key);
    if (node.open) make();
  };
  const node = el("details", { ...attributes, ontoggle: toggled }, el("summary", { "data-key": key }, summary), body);
  if (opened.has(key)) {
    make(); // now, and not when the event comes: the page must not jump
    node.open = true;
  }
  return node;
}

function table(head, rows, attributes) {
  const cell = (value, i) => (i ? el("td", { class: "figure" }, value) : el("th", { scope: "row" }, value));
  return el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": (attributes || {}).label || "table" },
    el(
      "table",
      null,
      el("thead", null, el("tr", null, head.map((h, i) => el("th", { scope: "col", class: i ? "figure" : null }, h)))),
      el("tbody", null, rows.map((row) => el("tr", null, row.map(cell)))),
    ),
  );
}

function command(text) {
  return el("code", { class: "command" }, text);
}
