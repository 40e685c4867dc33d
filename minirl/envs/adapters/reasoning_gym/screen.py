"""What may be handed to the nine scorers of reasoning-gym that evaluate the answer as Python.

Four call ``eval`` on it, five sympy's ``parse_expr``, which does the same with sympy's names about.
An answer that could do more than be a value or a formula is kept from them and scores 0.
"""

from __future__ import annotations

import ast
import math
import re

EVAL = frozenset({"binary_matrix", "n_queens", "spiral_matrix", "string_insertion"})
SYMPY = frozenset(
    {
        "countdown",
        "intermediate_integration",
        "polynomial_multiplication",
        "puzzle24",
        "simple_integration",
    }
)
MAX_ANSWER = 20_000  # characters; reasoning-gym's own answers have fewer
MAX_FORMULA = 2_000

_FORMULA = re.compile(r"[0-9A-Za-z+*/^(). \t-]*")
_NAMES = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_KNOWN = frozenset(
    """
    Abs acos acosh asin asinh atan atanh cos cosh cot csc erf exp ln log pi sec sin sinh sqrt tan
    tanh """.split()  # noqa: SIM905
)
_ATTRIBUTE = re.compile(r"\.[ \t]*[A-Za-z(]|[A-Za-z)][ \t]*\.")
_LONG_NUMBER = re.compile(r"[0-9]{16}")
_POWER = re.compile(r"(?:\*\*|\^)[ \t]*\(?[ \t]*-?[ \t]*([0-9.]*)")
_TOWER = re.compile(r"(?:\*\*|\^)[ \t(-]*[0-9A-Za-z.]*[ \t]*(?:\*\*|\^)")
_NOT_A_NUMBER = re.compile(r"(?i)\b[+-]?(?:nan|inf|infinity)j?\b|[0-9]e[+-]?[0-9]{3}")

_PLAIN = (ast.Expression, ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.Load)
_SIGNED = (ast.UnaryOp, ast.USub, ast.UAdd)


def refusal(name: str, answer: str, gold: str | None) -> str | None:
    """Why ``answer`` is not handed to the scorer of task ``name``; None where it may be."""
    if gold is not None and answer == gold:
        return None
    if len(answer) > MAX_ANSWER:
        return f"an answer of {len(answer)} characters"
    if _NOT_A_NUMBER.search(answer) and not (gold and _NOT_A_NUMBER.search(gold)):
        return "not a finite number"
    if name in EVAL and not _is_harmless(answer):
        return "code instead of an answer"
    if name in SYMPY and not _is_formula(answer):
        return "not a plain formula"
    return None


def _is_harmless(text: str) -> bool:
    """Whether ``eval`` would fail on it at once, or find only literals or one name in capitals."""
    if len(text) > MAX_FORMULA:
        return False
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError:
        return True
    except (ValueError, MemoryError, RecursionError):
        return False
    if isinstance(tree.body, ast.Name):
        return re.fullmatch(r"[A-Z]+", tree.body.id) is not None
    return all(isinstance(node, (*_PLAIN, *_SIGNED)) for node in ast.walk(tree))


def _is_formula(text: str) -> bool:
    """Digits, letters, functions of one argument, and powers whose exponent is a small number."""
    if len(text) > MAX_FORMULA or not _FORMULA.fullmatch(text):
        return False
    if _ATTRIBUTE.search(text) or _LONG_NUMBER.search(text) or _TOWER.search(text):
        return False
    if any(len(name) > 1 and name not in _KNOWN for name in _NAMES.findall(text)):
        return False
    exponents = (match[1] for match in _POWER.finditer(text))
    return all(_small(exponent) for exponent in exponents)


def _small(number: str) -> bool:
    if not number:  # a name, or another formula: no tower of numbers
        return True
    try:
        return math.fabs(float(number)) <= 100
    except ValueError:
        return False
