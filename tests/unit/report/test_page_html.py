"""The file itself: nothing of the data is markup, nothing is loaded, only our script may run."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirl.report.page.html import SCRIPTS, _static, render, script_json

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet=st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


class Page(HTMLParser):
    """Tags, and what stands in scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[int, str] = {}
        self._open = -1
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = len(self.tags) - 1

    def handle_endtag(self, tag: str) -> None:
        self._open = -1

    def handle_data(self, data: str) -> None:
        self.inside[self._open] = self.inside.get(self._open, "") + data

    def texts(self, tag: str) -> list[str]:
        return [self.inside.get(i, "") for i, (name, _) in enumerate(self.tags) if name == tag]


def sha256(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


@given(anything)
def test_data_comes_through_a_script_element_whole(value):
    text = script_json(value)
    assert not set(text) & set("<>&\u2028\u2029")
    text.encode("utf-8")  # a lone surrogate is an escape
    assert json.loads(text) == value


@pytest.mark.parametrize(
    "name", ["</script><script>alert(1)</script>", "<!--<script>", "]]>", "a&lt;b", "{{style}}"]
)
def test_hostile_data_changes_no_tag(name):
    plain = Page(render({"name": "quiet"}))
    page = Page(render({"name": name}))
    assert [t for t, _ in page.tags] == [t for t, _ in plain.tags]
    data, _ = page.texts("script")
    assert json.loads(data) == {"name": name}
    assert page.texts("title") == [f"{name} – minirl report"]


def test_only_our_own_script_and_style_may_run():
    page = Page(render({"name": "x"}))
    (policy,) = (
        a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"
    )
    (style,), (_, script) = page.texts("style"), page.texts("script")
    assert policy == (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src {sha256(style)}; script-src {sha256(script)}"
    )
    watched = Page(render({"name": "x"}, watch="7"))
    (policy,) = (
        a["content"] for _, a in watched.tags if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.endswith("; connect-src 'self'")


def test_the_page_names_no_address_and_reads_no_markup():
    text = render({"name": "x"})
    addresses = set(re.findall(r"https?://[^\s\"'`)]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, which nobody loads
    page = Page(text)
    assert not any({"src", "style"} & a.keys() for _, a in page.tags)
    assert [a["href"] for t, a in page.tags if t in ("a", "link")] == ["data:,", "#samples"]
    script = "".join(_static(name) for name in SCRIPTS)
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                 "new Function", "DOMParser", "</script", ".href =", "srcdoc"):  # fmt: skip
        assert word not in script, word


def test_the_script_packs_as_python_does():
    from minirl.report.page.encode import DIGITS, ROLES, SCALE

    script = _static("rollout.js")
    assert "(_, i) => String.fromCharCode(33 + i)" in script
    assert "".join(c for c in map(chr, range(33, 127)) if c not in '"\\<>&') == DIGITS
    assert f"const SCALE = {SCALE:g};" in script
    for role, letter in ROLES.items():
        assert f'{letter}: "{role}"' in script


def test_what_json_cannot_say_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        script_json({"x": float("nan")})
