"""The problems behind ``code``: right references, telling inputs, no two problems alike."""

from __future__ import annotations

from itertools import combinations, pairwise, product
from random import Random
from typing import Any

import pytest

from minirl.envs.base import task_rng
from minirl.envs.code import algorithms, dynamic
from minirl.envs.code.draws import Style, draw_problem
from minirl.envs.code.env import EXAMPLES
from minirl.envs.code.inputs import ARGUMENTS, EDGES, draw
from minirl.envs.code.numbers import LIST, NUMBER
from minirl.envs.code.problem import (
    OPS,
    Problem,
    Step,
    from_record,
    hidden_inputs,
    is_sound,
    key_of,
    mutants,
)
from minirl.envs.code.statement import statement
from minirl.envs.code.step import Kind
from minirl.envs.code.text import TEXT, WORDS
from minirl.sandbox import Job, run_jobs, same_value

STYLES: list[tuple[Style, int]] = [
    ("arithmetic", 2),
    ("chain", 2),
    ("chain", 4),
    ("algorithm", 3),
    ("dynamic", 3),
]


def some(style: Style, steps: int, count: int) -> list[Problem]:
    rng = task_rng("test", style, steps)
    found: list[Problem] = []
    while len(found) < count:
        problem = draw_problem(style, steps, rng)
        if problem is not None and is_sound(problem):
            found.append(problem)
    return found


def inputs(kind: Kind, count: int = 60) -> list[tuple[Any, ...]]:
    rng = task_rng("test inputs", kind)
    return [*EDGES[kind], *(draw(kind, rng) for _ in range(count))]


def test_every_operation_does_in_the_sandbox_what_its_reference_does() -> None:
    jobs, wanted = [], []
    for name, op in OPS.items():
        params = tuple(values[len(values) // 2] for values in op.params)
        problem = Problem((Step(name, params),))
        given = tuple(inputs(op.takes, 12))
        for source in (problem.source(), problem.loops()):
            jobs.append(Job(source, "f", given))
            wanted.append((name, [problem.solve(arguments) for arguments in given]))
    for (name, right), outcomes in zip(wanted, run_jobs(jobs), strict=True):
        assert all(
            outcome.error is None and same_value(outcome.value, value)
            for outcome, value in zip(outcomes, right, strict=True)
        ), (name, right, outcomes)


def test_operations_have_one_name_each_and_take_what_is_described() -> None:
    tables = (NUMBER, LIST, TEXT, WORDS, algorithms.ALGORITHM, dynamic.DYNAMIC)
    assert len(OPS) == sum(map(len, tables))
    for op in OPS.values():
        assert op.takes in ARGUMENTS
        assert op.gives in ARGUMENTS or op.gives == "other"
        assert all(OPS[near].takes == op.takes for near in op.near)
        assert all(len(OPS[near].params) == len(op.params) for near in op.near)


def oracle(name: str, *arguments: Any) -> Any:
    """What a dynamic programme must give, by trying everything."""
    if name == "rise":
        numbers, step = arguments
        chains = (c for k in range(len(numbers) + 1) for c in combinations(numbers, k))
        return max(len(c) for c in chains if all(y - x >= step for x, y in pairwise(c)))
    if name == "apart":
        numbers, gap = arguments
        places = range(len(numbers))
        chosen = (c for k in range(len(numbers) + 1) for c in combinations(places, k))
        apart = (c for c in chosen if all(y - x > gap for x, y in pairwise(c)))
        return max(sum(numbers[i] for i in c) for c in apart)
    if name == "stretch":
        (numbers,) = arguments
        ends = range(len(numbers) + 1)
        return max(sum(numbers[i:j]) for i in ends for j in ends if i <= j)
    if name == "balance":
        (numbers,) = arguments
        signs = product((1, -1), repeat=len(numbers))
        return min(abs(sum(s * x for s, x in zip(c, numbers, strict=True))) for c in signs)
    if name == "trades":
        prices, fee = arguments
        best = 0
        for k in range(0, len(prices) + 1, 2):
            for days in combinations(range(len(prices)), k):
                gains = (
                    prices[b] - prices[a] - fee for a, b in zip(days[::2], days[1::2], strict=False)
                )
                best = max(best, sum(gains))
        return best
    if name == "coins":
        amount, small, large = arguments
        counts = ((a, b) for a in range(amount + 1) for b in range(amount + 1))
        fits = ((a, b) for a, b in counts if a * small + b * large <= amount)
        return min(a + b + amount - a * small - b * large for a, b in fits)
    if name == "payments":
        amount, small, large = arguments
        counts = ((a, b) for a in range(amount + 1) for b in range(amount + 1))
        return sum(a * small + b * large <= amount for a, b in counts)
    if name == "stairs":
        steps, stride = arguments
        if steps == 0:
            return 1
        return sum(oracle("stairs", steps - s, stride) for s in range(1, min(stride, steps) + 1))
    if name == "edit":
        a, b, swap = arguments
        if not a or not b:
            return len(a) + len(b)
        return min(
            oracle("edit", a[1:], b, swap) + 1,
            oracle("edit", a, b[1:], swap) + 1,
            oracle("edit", a[1:], b[1:], swap) + swap * (a[0] != b[0]),
        )
    if name in ("common", "piece"):
        a, b = arguments
        if name == "piece":
            pieces = {a[i:j] for i in range(len(a) + 1) for j in range(i, len(a) + 1)}
            return max(len(p) for p in pieces if p in b)
        subs = {c for k in range(len(a) + 1) for c in combinations(a, k)}
        return max(len(c) for c in subs if c in set(combinations(b, len(c))))
    if name == "palindrome":
        (text,) = arguments
        subs = (c for k in range(len(text) + 1) for c in combinations(text, k))
        return max(len(c) for c in subs if c == c[::-1])
    if name in ("bag", "meetings"):
        pairs, limit = arguments
        sets = [c for k in range(len(pairs) + 1) for c in combinations(sorted(pairs), k)]
        if name == "bag":
            return max(sum(v for _, v in c) for c in sets if sum(w for w, _ in c) <= limit)
        return max(len(c) for c in sets if all(y[0] >= x[1] + limit for x, y in pairwise(c)))
    grid = arguments[0]
    height, width = len(grid), len(grid[0])
    if name == "square_block":
        sides = (
            k
            for k in range(1, min(height, width) + 1)
            for i in range(height - k + 1)
            for j in range(width - k + 1)
            if min(min(row[j : j + k]) for row in grid[i : i + k]) >= arguments[1]
        )
        return max(sides, default=0)
    paths = []
    for downs in combinations(range(height + width - 2), height - 1):
        cells, i, j = [grid[0][0]], 0, 0
        for step in range(height + width - 2):
            i, j = (i + 1, j) if step in downs else (i, j + 1)
            cells.append(grid[i][j])
        paths.append(cells)
    if name == "paths":
        return sum(max(cells) <= arguments[1] for cells in paths)
    return min(map(sum, paths))


@pytest.mark.parametrize("name", list(dynamic.DYNAMIC))
def test_dynamic_programmes_agree_with_trying_everything(name: str) -> None:
    op = OPS[name]
    rng = Random(5)
    small = [
        a
        for a in inputs(op.takes, 60)
        if sum(len(x) if isinstance(x, list | str) else x for x in a) <= 11
    ]
    assert len(small) >= 8
    for arguments in small[:40]:
        params = tuple(rng.choice(values) for values in op.params)
        assert Problem((Step(name, params),)).solve(arguments) == oracle(
            name, *arguments, *params
        ), (arguments, params)


@pytest.mark.parametrize(
    ("name", "params", "argument", "right"),
    [
        ("run_lengths", (), "aabccc", "a2b1c3"),
        ("merge", (0,), [[5, 7], [1, 3], [3, 4]], [[1, 4], [5, 7]]),
        ("merge", (1,), [[5, 7], [1, 3], [3, 4]], [[1, 7]]),
        ("covered", (), [[1, 3], [2, 5], [9, 9]], 6),
        ("most_at_once", (), [[1, 3], [3, 5], [2, 3], [7, 7]], 3),
        ("anagrams", (), ["tea", "on", "eat", "no"], [["tea", "eat"], ["on", "no"]]),
        ("shift_letters", (3,), "xyz a", "abc d"),
        ("pairs_apart", (2,), [1, 3, 3, 5], 4),
        ("plateau", (), [1, 1, 2, 2, 2, 1], 3),
        ("window", (2,), [1, -2, 5, 4, -9], 9),
        ("inversions", (), [3, 1, 2], 2),
        ("next_greater", (-1,), [2, 1, 3, 3], [3, 3, -1, -1]),
        ("prime_factors", (), 60, [2, 2, 3, 5]),
        ("primes", (), 12, [2, 3, 5, 7, 11]),
        ("base", (2,), 10, [1, 0, 1, 0]),
        ("roman", (), 49, "XLIX"),
        ("collatz", (), 6, [6, 3, 10, 5, 16, 8, 4, 2, 1]),
        ("balanced", (), "()[(])", 2),
        ("deepest", (), "([])(", 2),
        ("spiral", (), [[1, 2, 3], [4, 5, 6], [7, 8, 9]], [1, 2, 3, 6, 9, 8, 7, 4, 5]),
        ("columns", (), [[1, 2], [3, 4]], [4, 6]),
        ("diagonals", (), [[1, 2], [3, 4]], [1, 5, 4]),
    ],
)
def test_algorithms_on_cases_worked_by_hand(
    name: str, params: tuple[int, ...], argument: Any, right: Any
) -> None:
    assert Problem((Step(name, params),)).solve((argument,)) == right


def test_references_leave_their_arguments_alone() -> None:
    for name, op in OPS.items():
        params = tuple(values[0] for values in op.params)
        for arguments in inputs(op.takes, 6):
            before = repr(arguments)
            Problem((Step(name, params),)).solve(arguments)
            assert repr(arguments) == before, name


@pytest.mark.parametrize(("style", "steps"), STYLES)
def test_hidden_inputs_tell_every_mutant_and_every_constant(style: Style, steps: int) -> None:
    for problem in some(style, steps, 12):
        for seed in range(4):
            given = hidden_inputs(problem, Random(seed), 12)
            right = [problem.solve(arguments) for arguments in given]
            assert len(given) >= 12
            assert len(set(map(repr, right))) >= 3
            for mutant, _ in mutants(problem):
                answers = [mutant.solve(arguments) for arguments in given]
                assert not all(map(same_value, answers, right)), (problem, mutant)


def test_mutants_are_one_mistake_away() -> None:
    problem = Problem((Step("keep_above", (3,)), Step("reverse"), Step("sum"), Step("plus", (7,))))
    wrong = {mutant.steps for mutant, _ in mutants(problem)}
    assert (Step("keep_from", (3,)), *problem.steps[1:]) in wrong
    assert (Step("keep_above", (4,)), *problem.steps[1:]) in wrong
    assert (*problem.steps[:3], Step("plus", (6,))) in wrong
    assert problem.steps[:3] in wrong
    assert (problem.steps[0], *problem.steps[2:]) not in wrong  # the order does not change the sum


def test_a_step_that_changes_nothing_makes_a_problem_unsound() -> None:
    assert is_sound(Problem((Step("keep_above", (3,)), Step("sum"))))
    assert not is_sound(Problem((Step("reverse"), Step("sum"))))
    assert not is_sound(Problem((Step("ascending"), Step("largest"))))


def test_two_ways_to_say_the_same_function_are_one_problem() -> None:
    one = Problem((Step("times", (3,)), Step("plus", (6,))))
    two = Problem((Step("plus", (2,)), Step("times", (3,))))
    assert key_of(one) == key_of(two) != key_of(Problem((Step("times", (3,)), Step("plus", (7,)))))


@pytest.mark.parametrize(("style", "steps"), STYLES)
def test_a_record_gives_the_problem_back(style: Style, steps: int) -> None:
    for problem in some(style, steps, 10):
        assert from_record(problem.record()) == problem


def test_arithmetic_is_said_and_written_in_one_line() -> None:
    problem = Problem((Step("plus", (3,)), Step("times", (2,))))
    assert statement(problem, 1).splitlines()[0] == (
        "Write a Python function f(x) that returns (x plus 3) times 2."
    )
    assert problem.source() == "def f(x):\n    return (x + 3) * 2"


def test_each_step_is_a_line_of_the_statement_and_examples_are_right() -> None:
    problem = EXAMPLES["chain"]
    lines = statement(problem, 2).splitlines()
    assert lines[1:3] == [
        "1. keep only the numbers greater than 4",
        "2. take the sum (0 if the list is empty)",
    ]
    for line in lines[-2:]:
        call, _, result = line.partition(" == ")
        numbers = [int(n) for n in call.removeprefix("f([").removesuffix("])").split(", ")]
        assert int(result) == sum(n for n in numbers if n > 4)
