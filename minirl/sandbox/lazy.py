"""Where monty 1.4 is not Python: it has lists where Python has lazy iterators."""

from __future__ import annotations

import re

from minirl.sandbox.job import MAX_SOURCE

# A string that is not closed ends with its line, or with the text if it has three quotes: no part
# of the source is then looked at twice.
TOKEN = re.compile(
    r"(?P<skip>#[^\n]*|\'\'\'(?:.*?\'\'\'|.*)|\"\"\"(?:.*?\"\"\"|.*)"
    r"|'(?:\\.|[^'\\\n])*+'?|\"(?:\\.|[^\"\\\n])*+\"?)"
    r"|(?P<name>[^\W\d]\w*)|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<other>[^\s\w])",
    re.DOTALL,
)
LAZY = frozenset({"map", "filter", "zip", "reversed", "enumerate", "finditer"})
# These take an iterator and use it up at once, so that a list serves them as well.
EATERS = frozenset({
    "list", "tuple", "set", "frozenset", "dict", "sum", "sorted", "min", "max", "any",
    "all", "join", "extend", "update", "Counter", "fromkeys", "prod", "fsum", "deque",
})  # fmt: skip
NOT_CALLED = frozenset({
    "in", "return", "and", "or", "not", "if", "else", "elif", "while", "yield", "lambda",
    "is", "await",
})  # fmt: skip


def may_be_lazy(source: str) -> bool:
    """Whether ``source`` may hand on a lazy iterator that is not used up where it is made.

    One pass over the tokens, so linear in the length. A yes costs only time: the program then
    runs in CPython. A no where yes were right would let a list stand for an iterator.
    """
    if len(source) > MAX_SOURCE:
        return False  # either engine refuses it
    stack: list[str] = []  # for each open bracket, what is called with it: a name, "" or "["
    before, before_that = "", ""
    for match in TOKEN.finditer(source):
        kind, token = match.lastgroup, match.group()
        if kind == "skip":
            token = "" if token.startswith("#") else "'"
            if not token:
                continue
        elif kind == "open":
            called = before if before.isidentifier() and before not in NOT_CALLED else ""
            stack.append(called if token == "(" else token)
        elif kind == "close" and stack:
            stack.pop()
        elif token == "for" and stack and stack[-1] not in EATERS | {"[", "{"}:
            return True
        elif token in LAZY:
            whole = before in {"(", ","} and stack and stack[-1] in EATERS
            star = before == "*"
            looped = before == "in"
            method = before == "." and before_that not in {"re", "builtins"}
            if not (whole or star or looped or method):
                return True
        before, before_that = token, before
    return False
