"""The page: template, style, script and data in one file that loads nothing from anywhere."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib.resources import files
from typing import Any

# In this order, in one function: none of them is a global of the page.
SCRIPTS = (
    "dom.js",
    "format.js",
    "chart.js",
    "parts.js",
    "probe.js",
    "training.js",
    "proof.js",
    "pass_at_k.js",
    "export.js",
    "samples.js",
    "rollout.js",
    "main.js",
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


def render(data: dict[str, Any], *, watch: str | None = None) -> str:
    """The HTML text, for UTF-8.

    Nothing of the data is markup: it lies in one JSON script element, with every character escaped
    that could end it, and the page's script only ever sets it as text. A content security policy
    allows that script and style by their hashes, and nothing else.

    Args:
        watch: the data's version, where the page is served and may ask for a newer one.
    """
    style = _static("style.css")
    script = "(() => {\n" + "\n".join(_static(name) for name in SCRIPTS) + "})();\n"
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
        + ("; connect-src 'self'" if watch else "")
    )
    holes = {
        "policy": policy,
        "title": html.escape(f"{data['name']} – minirl report"),
        "watch": html.escape(watch or ""),
        "style": style,
        "script": script,
        "data": script_json(data),
    }
    parts = re.split(r"\{\{(\w+)\}\}", _static("template.html"))
    return "".join(holes[p] if i % 2 else p for i, p in enumerate(parts))


def script_json(data: Any) -> str:
    """JSON that can stand inside a script element; strict: no NaN."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text = _SURROGATE.sub(lambda m: f"\\u{ord(m[0]):04x}", text)
    for char, escape in _ESCAPED.items():
        text = text.replace(char, escape)
    return text


def _static(name: str) -> str:
    return (files("minirl.report.page") / "static" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
