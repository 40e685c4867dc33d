"""Code with hidden tests: what counts as an answer, and what hostile programs get."""

from __future__ import annotations

from functools import cache

import pytest

from minirl.envs import Environment, make_env
from minirl.envs.code.answer import fenced, read_submission, strict_block
from minirl.envs.code.env import EXAMPLES, Code
from minirl.envs.code.problem import Problem, Step, key_of
from minirl.errors import ConfigError
from minirl.types import Task

TRIPLE = Problem((Step("times", (3,)), Step("plus", (2,))))
ABOVE = Problem((Step("keep_above", (3,)), Step("each_times", (2,))))


@cache
def level_env(level: str) -> Environment:
    return make_env(f"code:{level}")


def task_of(problem: Problem) -> Task:
    return Task("code", "train", 0, (), {"steps": problem.record(), "key": key_of(problem)})


def scores(problem: Problem, *texts: str) -> list[bool]:
    task = task_of(problem)
    return [score.solved for score in Code(Code.Config()).score_many([(task, t) for t in texts])]


RIGHT = [
    "def f(x):\n    return x * 3 + 2",
    "def f(x):\n    return 2 + 3 * x",
    "def f(x: int) -> int:\n    y = 2\n    for _ in range(3):\n        y += x\n    return y",
    "f = lambda x: 3 * x + 2",
    "import math\n\ndef f(x):\n    return math.prod([x, 3]) + 2",
    "def twice(x):\n    return x + x\n\ndef f(x):\n    return twice(x) + x + 2",
    "def f(x):\n    print('working')\n    return x * 3 + 2\n\nprint(f(1))\nassert f(1) == 5",
    "def g():\n    yield 2\n\ndef f(x):\n    return x * 3 + next(g())",  # beyond monty's subset
]

WRONG = {
    "a float": "def f(x):\n    return x * 3 + 2.0",
    "a string": "def f(x):\n    return str(x * 3 + 2)",
    "printed": "def f(x):\n    print(x * 3 + 2)",
    "off by one": "def f(x):\n    return x * 3 + 1",
    "right for small numbers": "def f(x):\n    return x * 3 + 2 if x < 30 else 0",
    "a generator": "def f(x):\n    yield x * 3 + 2",
    "an int that is not one": "class I(int):\n    pass\n\ndef f(x):\n    return I(x * 3 + 2)",
    "equal to all": (
        "class A:\n    def __eq__(self, other):\n        return True\n\ndef f(x):\n    return A()"
    ),
    "equal to all ints": (
        "class A(int):\n    def __eq__(self, other):\n        return True\n"
        "    __hash__ = int.__hash__\n\ndef f(x):\n    return A(0)"
    ),
    "exit": "import sys\n\ndef f(x):\n    sys.exit(0)",
    "hard exit": "import os\n\ndef f(x):\n    os._exit(0)",
    "exit at once": "import os\nos._exit(0)\n\ndef f(x):\n    return 3 * x + 2",
    "frames": (
        "import sys\n\ndef f(x):\n    frame = sys._getframe()\n    while frame.f_back:\n"
        "        frame = frame.f_back\n    return frame.f_locals.get('expected', 0)"
    ),
    "input": "def f(x):\n    exec(input())\n    return 0",
    "raises": "def f(x):\n    raise SystemExit(x * 3 + 2)",
    "endless": "def f(x):\n    while True:\n        pass",
    "deep": "def f(x):\n    return f(x)",
    "huge": "def f(x):\n    return 10 ** 10 ** 8",
    "nan": "def f(x):\n    return float('nan')",
    "another name": "def g(x):\n    return x * 3 + 2",
    "no Python": "def f(x) return x * 3 + 2",
    "NUL": "def f(x):\n    return x * 3 + 2\x00",
    "reads our source": (
        "def f(x):\n    from minirl.envs.code.env import EXAMPLES\n    return x * 3 + 2"
    ),
    "patches the comparison": (
        "import builtins\nbuiltins.type = lambda *a: int\nbuiltins.bool = lambda *a: True\n\n"
        "def f(x):\n    return 0"
    ),
}


def test_right_programs_of_any_make_are_solved() -> None:
    assert all(scores(TRIPLE, *map(fenced, RIGHT)))


def test_wrong_and_hostile_programs_score_zero_and_the_next_one_is_judged() -> None:
    texts = [fenced(source) for source in WRONG.values()]
    *wrong, right = scores(TRIPLE, *texts, fenced(RIGHT[0]))
    assert [name for name, solved in zip(WRONG, wrong, strict=True) if solved] == []
    assert right


def test_lists_must_be_lists_and_arguments_may_be_changed() -> None:
    right, in_place, shared, generator, tuples, bools = scores(
        ABOVE,
        fenced("def f(xs):\n    return [2 * x for x in xs if x > 3]"),
        fenced(
            "def f(xs):\n    kept = []\n    while xs:\n        x = xs.pop(0)\n        if x > 3:\n"
            "            kept.append(2 * x)\n    return kept"
        ),
        fenced(
            "seen = []\n\ndef f(xs):\n    seen.extend(2 * x for x in xs if x > 3)\n    return seen"
        ),
        fenced("def f(xs):\n    return (2 * x for x in xs if x > 3)"),
        fenced("def f(xs):\n    return tuple(2 * x for x in xs if x > 3)"),
        fenced("def f(xs):\n    xs.clear()\n    return xs"),
    )
    assert right
    assert in_place
    assert not shared
    assert not generator
    assert not tuples
    assert not bools


@pytest.mark.parametrize(
    "text",
    [
        fenced(RIGHT[0]),
        f"Sure.\n\n{fenced(RIGHT[0])}\n\nIt triples.",
        f"```python  \n{RIGHT[0]}\n```  \n",
    ],
)
def test_one_closed_python_block_is_the_slot(text: str) -> None:
    block = strict_block(text)
    assert block is not None
    assert block.strip() == RIGHT[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        RIGHT[0],
        f"```\n{RIGHT[0]}\n```",
        f"```py\n{RIGHT[0]}\n```",
        f"```Python\n{RIGHT[0]}\n```",
        f"```python\n{RIGHT[0]}",
        f"```python {RIGHT[0]}```",
        f"```python\n{RIGHT[0]}```",
        f"```python\n{RIGHT[0]}\n``` and more",
        f"Here: ```python\n{RIGHT[0]}\n```",
        f"````python\n{RIGHT[0]}\n````",
        f"{fenced(RIGHT[0])}\n{fenced(RIGHT[0])}",
        f"{fenced(RIGHT[0])}\n```",
        "```python\n```",
        "```python\n \n```",
        fenced("#" * 20_000),
    ],
)
def test_no_other_form_is(text: str) -> None:
    assert strict_block(text) is None
    assert not scores(TRIPLE, text)[0]


@pytest.mark.parametrize(
    "text",
    [
        RIGHT[0],
        f"```\n{RIGHT[0]}\n```",
        f"The function is\n{RIGHT[0]}\n\nand that is all.",
        f"{fenced('def f(x):' + chr(10) + '    return 0')}\nNo:\n{fenced(RIGHT[0])}",
        fenced(WRONG["another name"]),
        f"```python\n{RIGHT[0]}",
    ],
)
def test_the_right_function_in_another_form_is_lenient(text: str) -> None:
    score = Code(Code.Config()).score(task_of(TRIPLE), text)
    assert (score.value, score.parts["strict"], score.parts["lenient"]) == (0.0, 0.0, 1.0)


def test_a_wrong_function_is_not_lenient_and_its_share_of_tests_is_a_part() -> None:
    score = Code(Code.Config()).score(
        task_of(TRIPLE), fenced("def f(x):\n    return x * 3 + 2 if x < 0 else 0")
    )
    assert (score.value, score.parts["format"], score.parts["lenient"]) == (0.0, 1.0, 0.0)
    assert 0 < score.parts["passed"] < 1
    assert "hidden tests fail; f(" in score.reason


def test_the_inputs_depend_on_the_program_and_on_nothing_else() -> None:
    env = Code(Code.Config())
    task = task_of(ABOVE)
    one, again, other = (
        env._prepared(task, fenced(source))
        for source in ("def f(x): pass", "def f(x): pass", "def f(x): pass  # 2")
    )
    assert one is not None
    assert again is not None
    assert other is not None
    assert one.inputs == again.inputs != other.inputs


def test_reading_a_submission_is_quick_on_hostile_text() -> None:
    for text in (
        "`" * 10**6,
        "def f(" * 10**5,
        "```python\n" * 10**5,
        "\ud800```python\n\ud800\n```",
    ):
        found = read_submission(text, "f")
        assert found is None or len(found.source) <= 20_000
    assert scores(TRIPLE, fenced("def f(x):\n    return '\ud800'"), "def f(x):\n" * 9999) == [
        False,
        False,
    ]


def test_the_worked_examples_are_right_and_never_a_task() -> None:
    for style, problem in EXAMPLES.items():
        assert scores(problem, fenced(problem.source())) == [True], style
    for level in Code.levels:
        env = level_env(level)
        banned = key_of(EXAMPLES[env.config.style])
        assert all(env.task("train", i).data["key"] != banned for i in range(100))


@pytest.mark.parametrize("level", list(Code.levels))
def test_gold_and_alternatives_pass_and_cheats_do_not(level: str) -> None:
    env = level_env(level)
    tasks = [env.task(split, i) for split in ("train", "test") for i in range(6)]
    right = [(t, text) for t in tasks for text in (env.gold(t), *env.alternatives(t))]
    for (task, text), score in zip(right, env.score_many(right), strict=True):
        assert (score.value, score.solved) == (1.0, True), (task.data, text, score)
        assert score.parts == dict.fromkeys(("strict", "format", "lenient", "passed"), 1.0)
    wrong = [(t, text) for t in tasks[::4] for text in env.decoys(t)]
    for (task, text), score in zip(wrong, env.score_many(wrong), strict=True):
        assert (score.value, score.solved) == (0.0, False), (task.data, text, score)


@pytest.mark.parametrize("level", list(Code.levels))
def test_each_level_has_thousands_of_problems(level: str) -> None:
    env = level_env(level)
    assert env.size("train") is None
    assert env.size("test") is None


@pytest.mark.parametrize("options", [{"steps": 1}, {"tests": 2}, {"style": "poem"}])
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        make_env("code", options)
