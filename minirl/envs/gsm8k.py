"""GSM8K: 8,792 grade-school word problems by Cobbe et al. (2021), arXiv:2110.14168, MIT licence.

The problems are not part of minirl: they are read through ``datasets`` from the hub
(``openai/gsm8k``, config ``main``) or from a file of yours. Where neither is there, problems told
by program (:mod:`minirl.envs.word_problems`) take their place, under another label and with a
notice.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from minirl.envs.base import EnvConfig, Environment, opening
from minirl.envs.hub import load_splits
from minirl.envs.registry import register
from minirl.envs.universe import Listed, Universe
from minirl.envs.word_problems.env import (
    EXAMPLE,
    EXAMPLE_ANSWER,
    SYSTEM,
    WordProblems,
    WordProblemsConfig,
    quantity_decoys,
    score_quantity,
)
from minirl.errors import ConfigError, MinirlError
from minirl.rewards.answer import LABEL
from minirl.rewards.quantity import parse_quantity
from minirl.types import SPLITS, Score, Split, Task

REPOSITORY, SUBSET = "openai/gsm8k", "main"
STAND_IN_LEVEL = "3"  # 3 to 4 steps; GSM8K's take 2 to 8

_ANNOTATION = re.compile(r"<<[^<>]*>>")  # GSM8K's calculator notes: 16-3-4=<<16-3-4=9>>9
_FINAL = re.compile(r"^####[ \t]*(.+?)[ \t]*$", re.MULTILINE)

Row = Mapping[str, Any]


class Gsm8kConfig(EnvConfig):
    source: str = "auto"
    """Where the problems come from. `auto`: the hub's data, cached or in reach, else problems told
    by program. `hub` and `procedural`: one of the two. Anything else: a `.jsonl` or `.parquet` file
    with the columns `question` and `answer` (which ends with `#### 18`), split by content.
    """
    procedural_level: str = Field(STAND_IN_LEVEL, pattern=r"^[1-5]$")
    """The level of `word_problems` that takes the place of GSM8K where it must."""
    worked_example: bool = True
    """Show one solved problem first. The tasks are the same without it."""


@dataclass(frozen=True, slots=True)
class WordProblem:
    """A problem in words, its solution without the final line, and its answer."""

    question: str
    solution: str
    answer: int

    @property
    def key(self) -> str:
        """The question, whatever its spaces and capitals."""
        return " ".join(self.question.split()).casefold()


class Official(Listed[WordProblem]):
    """GSM8K's own splits: what stands in its test split stands in ours, in its order."""

    def __init__(self, name: str, rows: Mapping[Split, Sequence[WordProblem]]) -> None:
        self._name = name
        test = {problem.key: problem for problem in rows["test"]}
        train = {p.key: p for p in rows["train"] if p.key not in test}
        self._split = {"train": list(train.values()), "test": list(test.values())}


@register
class Gsm8k(Environment[Gsm8kConfig]):
    """Grade-school word problems (GSM8K), from the hub, from a file, or told by program.

    The slot takes what ``word_problems`` takes: ``1234``, ``1,234``, ``$1,234`` or ``1234.00``.
    """

    name = "gsm8k"
    Config = Gsm8kConfig
    levels: ClassVar = {"procedural": {"source": "procedural"}}

    def __init__(self, config: Gsm8kConfig, *, level: str | None = None) -> None:
        super().__init__(config, level=level)
        self._stand_in: WordProblems | None = None
        self._universe: Universe[WordProblem]
        if config.source in ("auto", "hub"):
            found = read_hub()
            if isinstance(found, Missing):
                if config.source == "hub":
                    raise found.error()
                self._stand_in_for(found.reason)
            else:
                self._universe = Official(f"{self.name} of the hub", found)
        elif config.source == "procedural":
            self._stand_in_for("env.options.source asks for it")
        else:
            path = Path(config.source).expanduser()
            self._universe = Listed(f"{self.name} of a file", read_file(path), lambda p: p.key)
            self.label = f"{self.name}:file"
            self.notice = f"{self.label} holds the problems of {path}, a third of them held out"

    def _stand_in_for(self, reason: str) -> None:
        level = self.config.procedural_level
        preset = {
            **WordProblems.levels[level],
            "worked_example": self.config.worked_example,
        }
        self._stand_in = WordProblems(WordProblemsConfig.model_validate(preset), level=level)
        self.label = f"{self.name}:procedural"
        self._stand_in.label = self.label
        self.notice = (
            f"{self.label} is not GSM8K: it holds word problems told by program "
            f"(word_problems:{level}), because {reason}. Its figures compare with no GSM8K figure."
        )

    def task(self, split: Split, index: int) -> Task:
        if self._stand_in:
            return self._stand_in.task(split, index)
        problem = self._universe.pick(split, index)
        example = EXAMPLE if self.config.worked_example else None
        data = {"answer": problem.answer, "solution": problem.solution, "key": problem.key}
        return Task(self.label, split, index, opening(SYSTEM, problem.question, example), data)

    def gold(self, task: Task) -> str:
        if self._stand_in:
            return self._stand_in.gold(task)
        return f"{task.data['solution']}\n{LABEL} {task.data['answer']}".lstrip("\n")

    def decoys(self, task: Task) -> Sequence[str]:
        decoys = quantity_decoys(task, EXAMPLE[1])
        # A few of GSM8K's problems have the example's answer, and there to copy it is right.
        copied = {EXAMPLE[1]} if task.data["answer"] == EXAMPLE_ANSWER else set()
        return [text for text in decoys if text not in copied]

    def score(self, task: Task, text: str) -> Score:
        return score_quantity(task, text)

    def size(self, split: Split) -> int | None:
        return (self._stand_in or self._universe).size(split)


@dataclass(frozen=True, slots=True)
class Missing:
    """The hub's data cannot be had, and why."""

    reason: str

    def error(self) -> MinirlError:
        return ConfigError(
            f"GSM8K cannot be read: {self.reason}",
            fix="connect once, name a file (env.options.source = PATH.jsonl), or practise on "
            "problems told by program (env.options.source = 'procedural')",
        )


@functools.cache  # one process, one answer: a hub that comes and goes must not mix two data sets
def read_hub() -> Mapping[Split, list[WordProblem]] | Missing:
    """The two splits of GSM8K from the hub or from its cache, or why there are none.

    :mod:`minirl.envs.hub` tells how long the hub is waited for.
    """
    found = load_splits(REPOSITORY, SUBSET)
    if isinstance(found, str):
        return Missing(f"the hub's {REPOSITORY} cannot be had ({found})")
    if lacking := [split for split in SPLITS if split not in found]:
        return Missing(f"the hub's {REPOSITORY} has no split {lacking[0]!r}")
    return {
        split: [
            parse_row(row, f"{REPOSITORY}, {split}, row {i}") for i, row in enumerate(found[split])
        ]
        for split in SPLITS
    }


def read_file(path: Path) -> list[WordProblem]:
    """The problems of a ``.jsonl`` or ``.parquet`` file in GSM8K's form.

    Raises:
        ConfigError: no such file, another format, or a row that is not in that form.
    """
    readers = {".jsonl": _jsonl, ".parquet": _parquet}
    if path.suffix not in readers:
        raise ConfigError(
            f"gsm8k has no source {str(path)!r}",
            expected="auto, hub, procedural, or a path that ends with .jsonl or .parquet",
            got=str(path),
        )
    if not path.is_file():
        raise ConfigError(
            f"there is no file {path}", fix="check env.options.source, relative to where you are"
        )
    problems = [parse_row(row, where) for where, row in readers[path.suffix](path)]
    if not problems:
        raise ConfigError(f"{path} holds no problem", expected="rows with question and answer")
    return problems


def _jsonl(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if line.strip():
                yield f"{path}:{number}", json.loads(line)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: {error}") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{number} is not JSON: {error}") from None


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        rows = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{path} is not a parquet file: {error}") from None
    for number, row in enumerate(rows):
        yield f"{path}, row {number}", row


def parse_row(row: Any, where: str) -> WordProblem:
    """One row in GSM8K's form: ``question``, and an ``answer`` whose last line is ``#### 18``.

    Raises:
        ConfigError: it has another form; the message says where.
    """
    told: Mapping[str, Any] = row if isinstance(row, Mapping) else {}
    question, answer = told.get("question"), told.get("answer")
    if not (isinstance(question, str) and question.strip() and isinstance(answer, str)):
        raise ConfigError(
            f"{where}: not a word problem",
            expected="the columns question and answer, both texts",
            got=f"{row!r:.120}",
        )
    finals = list(_FINAL.finditer(answer))
    value = parse_quantity(finals[0][1]) if len(finals) == 1 else None
    if value is None or answer[finals[0].end() :].strip():
        raise ConfigError(
            f"{where}: no final answer",
            expected="an answer whose last line is '#### 18', with a whole number",
            got=f"...{answer[-80:]!r}",
        )
    solution = _ANNOTATION.sub("", answer[: finals[0].start()]).strip()
    if LABEL in solution:
        raise ConfigError(
            f"{where}: the solution holds {LABEL!r}, which minirl keeps for the final line",
            fix="leave that row out, or write it differently",
        )
    return WordProblem(question.strip(), solution, value)
