"""What may reach the scorers of reasoning-gym that evaluate an answer."""

from __future__ import annotations

import pytest

from minirl.envs.adapters.reasoning_gym.screen import MAX_ANSWER, refusal


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("countdown", "(25 + 7) * 3 - 1"),
        ("puzzle24", "6*4+1-1"),
        ("simple_integration", "3*x**4/2 + 7*X + C"),
        ("intermediate_integration", "x*exp(2*x)/2 - exp(2*x)/4 + sin(x)**2 + C"),
        ("polynomial_multiplication", "12*x**4 - 3.5*x*y + 1"),
        ("binary_matrix", "0 1\n2 3"),
        ("binary_matrix", "[[0, 1], [-2, 3]]"),
        ("n_queens", "_ Q\nQ _"),
        ("string_insertion", "ABCDE"),
        ("string_insertion", "['A', 'B']"),
        ("gcd", "import os; os.system('x')"),  # only compared
        ("family_relationships", "Nancy"),
    ],
)
def test_answers_pass(name: str, answer: str) -> None:
    assert refusal(name, answer, None) is None


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("countdown", "__import__('os')"),
        ("countdown", "().__class__"),
        ("countdown", "x.diff"),
        ("countdown", "(1).real"),
        ("countdown", "factorial(99999)"),
        ("countdown", "9**9**9**9"),
        ("countdown", "2**(9999)"),
        ("countdown", "9" * 16),
        ("countdown", "1 if x else 2"),
        ("countdown", "x[0]"),
        ("countdown", "１+1"),
        ("simple_integration", "eval('1')"),
        ("simple_integration", "lambda"),
        ("simple_integration", "1+" * 2000 + "1"),
        ("binary_matrix", "[exit()]"),
        ("binary_matrix", "self"),
        ("binary_matrix", "9**9**9"),
        ("binary_matrix", "[0]*10**9"),
        ("binary_matrix", "[x for x in entry]"),
        ("binary_matrix", "f'{1}'"),
        ("string_insertion", "answer"),
        ("gcd", "nan"),
        ("gcd", "-Infinity"),
        ("gcd", "1e400"),
        ("gcd", "7" * (MAX_ANSWER + 1)),
    ],
)
def test_what_could_do_more_is_refused(name: str, answer: str) -> None:
    assert refusal(name, answer, None) is not None


def test_the_right_answer_always_passes() -> None:
    assert refusal("countdown", "weird()", "weird()") is None
    assert refusal("letter_jumble", "Inf and more", "inf or so") is None
