"""What monty would get wrong goes to CPython."""

from __future__ import annotations

import time

import pytest

from minirl.sandbox import Job, run_jobs
from minirl.sandbox.lazy import may_be_lazy
from tests.unit.sandbox.conftest import patient

LAZY = [
    "return map(str, x)",
    "return (i for i in x)",
    "y = zip(x, x)\n    return y",
    "return filter(None, x)",
    "return reversed(x)",
    "return enumerate(x)",
    "m = map\n    return m(str, x)",
    "return [(i for i in x)]",
    "return next(i for i in x)",
    "import re\n    return re.finditer('a', 'a')",
]
EAGER = [
    "return list(map(str, x))",
    "return [i for i in x]",
    "return sum(i for i in x)",
    "return ','.join(str(i) for i in x)",
    "s = 0\n    for i, y in enumerate(x):\n        s += i\n    return s",
    "return [a for a, b in zip(x, x)]",
    "return [*map(str, x)]",
    "return {i: i for i in x}",
    "return '(for map(' + \"for\"  # (i for i in x)",
    "return sorted(x, key=lambda v: -v)",
    "return max((max(i, 1), 2) for i in x)",
]


@pytest.mark.parametrize("code", LAZY)
def test_lazy(code):
    assert may_be_lazy(f"def f(x):\n    {code}")


@pytest.mark.parametrize("code", EAGER)
def test_eager(code):
    assert not may_be_lazy(f"def f(x):\n    {code}")


@pytest.mark.parametrize("code", LAZY + EAGER)
def test_auto_says_what_cpython_says(code):
    job = Job(f"def f(x):\n    {code}", "f", (([1, 2, 3],), ([],)), patient())
    (auto,), (exact,) = run_jobs([job]), run_jobs([job], engine="process")
    assert [(o.value, o.error) for o in auto] == [(o.value, o.error) for o in exact]


@pytest.mark.parametrize(
    "text", ["(", "'", '"""', "'''", "\\", "'\\", "a(", "for ", "*", "\"\"\"'''"]
)
def test_linear_in_the_length(text):
    started = time.perf_counter()
    may_be_lazy(text * (200_000 // len(text)))
    assert time.perf_counter() - started < 5
