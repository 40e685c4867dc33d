"""GSM8K from the hub, from a file, or told by program; and what is said in each case.

The problems in this file are our own, in GSM8K's form.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from minirl.envs import gsm8k, make_env
from minirl.envs.hub import TIMEOUT_S
from minirl.errors import ConfigError
from minirl.types import SPLITS

Row = dict[str, str]


def row(n: int, what: str = "owl") -> Row:
    return {
        "question": f"A barn has {n} {what}s with 1,000 feathers each. How many feathers is that?",
        "answer": f"{n} {what}s have {n}*1000=<<{n}*1000={n * 1000}>>{n * 1000:,} feathers.\n"
        f"#### {n * 1000:,}",
    }


ROWS = [row(n) for n in range(2, 62)]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    gsm8k.read_hub.cache_clear()
    yield
    gsm8k.read_hub.cache_clear()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Pretend a hub: ``hub(train, test)`` answers, ``hub(error=...)`` does not; gives the calls."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("MINIRL_OFFLINE", raising=False)

    def pretend(
        train: list[Row] | None = None,
        test: list[Row] | None = None,
        *,
        error: Exception | None = None,
        cached: bool = False,
    ) -> list[Any]:
        calls: list[Any] = []

        def dataset_info(self: object, repository: str, *, timeout: float) -> None:
            calls.append(("ask", repository, timeout))
            if error:
                raise error

        def load_dataset(*args: str, revision: str | None) -> dict[str, list[Row]]:
            offline = datasets.config.HF_HUB_OFFLINE
            calls.append(("load", *args, "offline" if offline else "online"))
            if offline and not cached:
                raise ConnectionError("not in the cache")
            return {"train": train or [], "test": test or []}

        monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", dataset_info)
        monkeypatch.setattr("datasets.load_dataset", load_dataset)
        monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
        return calls

    return pretend


def test_the_hubs_splits_are_ours_and_in_order(hub: Callable[..., list[Any]]) -> None:
    calls = hub(ROWS[:40], ROWS[40:])
    env = make_env("gsm8k")
    assert (env.label, env.notice) == ("gsm8k", None)
    assert (env.size("train"), env.size("test")) == (40, 20)
    for split, rows in (("train", ROWS[:40]), ("test", ROWS[40:])):
        tasks = [env.task(split, i) for i in range(len(rows))]  # type: ignore[arg-type]
        assert [t.prompt[-1].content for t in tasks] == [r["question"] for r in rows]
    assert calls == [
        ("ask", "openai/gsm8k", TIMEOUT_S),
        ("load", "openai/gsm8k", "main", "online"),
    ]
    assert env.task("train", 40).prompt == env.task("train", 0).prompt
    with pytest.raises(ConfigError, match="only 20 different"):
        env.task("test", 20)


def test_a_task_of_the_hub_keeps_the_contract(hub: Callable[..., list[Any]]) -> None:
    hub(ROWS[:40], ROWS[40:])
    env = make_env("gsm8k")
    for i in range(20):
        task = env.task("test", i)
        n = 42 + i
        assert task.data["answer"] == n * 1000
        assert (
            env.gold(task) == f"{n} owls have {n}*1000={n * 1000:,} feathers.\nAnswer: {n * 1000}"
        )
        score = env.score(task, str(env.gold(task)))
        assert score.solved
        assert score.parts == {"strict": 1.0, "format": 1.0, "lenient": 1.0}
        for slot in (f"{n},000", f"${n},000", f"{n}000.00"):
            assert env.score(task, f"Answer: {slot}").solved
        decoys = env.decoys(task)
        assert len(set(decoys)) >= 15
        assert not any(env.score(task, text).solved for text in decoys)
        assert not env.score(task, task.prompt[2].content).solved
        assert not env.score(task, "\n".join(m.content for m in task.prompt)).solved


def test_to_copy_the_example_is_no_decoy_where_it_is_right(hub: Callable[..., list[Any]]) -> None:
    same = {"question": "What is 60 plus 5?", "answer": "It is 65.\n#### 65"}
    hub([ROWS[0]], [same, ROWS[1]])
    env = make_env("gsm8k")
    lucky, other = env.task("test", 0), env.task("test", 1)
    assert not any(env.score(lucky, text).solved for text in env.decoys(lucky))
    assert len(env.decoys(other)) == len(env.decoys(lucky)) + 1


def test_duplicates_are_dropped_and_never_stand_in_both_splits(
    hub: Callable[..., list[Any]],
) -> None:
    loud = {**ROWS[3], "question": "  " + ROWS[3]["question"].upper().replace(" ", "\n ")}
    hub([ROWS[0], ROWS[1], ROWS[0], loud], [ROWS[2], ROWS[3], ROWS[2]])
    env = make_env("gsm8k")
    assert (env.size("train"), env.size("test")) == (2, 2)
    keys = {s: {env.task(s, i).data["key"] for i in range(2)} for s in SPLITS}
    assert not keys["train"] & keys["test"]


def test_an_unreachable_hub_is_told_and_given_up_quickly(hub: Callable[..., list[Any]]) -> None:
    calls = hub(error=OSError("name not known"))
    env = make_env("gsm8k")
    assert env.label == "gsm8k:procedural"
    assert env.task("train", 0).id == "gsm8k:procedural/train/0"
    assert env.notice is not None
    assert "is not GSM8K" in env.notice
    assert "OSError: name not known, and it is not in the cache" in env.notice
    assert [c[0] for c in calls] == ["ask", "load"]
    assert calls[1][-1] == "offline"  # else datasets would try for half a minute
    assert datasets.config.HF_HUB_OFFLINE is False


def test_without_a_hub_the_cache_serves(hub: Callable[..., list[Any]]) -> None:
    hub(ROWS[:40], ROWS[40:], error=OSError("name not known"), cached=True)
    env = make_env("gsm8k")
    assert (env.label, env.notice, env.size("test")) == ("gsm8k", None, 20)


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "MINIRL_OFFLINE"])
def test_offline_is_honoured(
    hub: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    calls = hub(ROWS[:40], ROWS[40:])
    monkeypatch.setenv(variable, "1")
    env = make_env("gsm8k")
    assert env.label == "gsm8k:procedural"
    assert f"{variable} is set, and it is not in the cache" in str(env.notice)
    assert calls == [("load", "openai/gsm8k", "main", "offline")]


def test_one_process_does_not_mix_two_data_sets(hub: Callable[..., list[Any]]) -> None:
    hub(error=OSError("down"))
    first = make_env("gsm8k")
    hub(ROWS[:40], ROWS[40:])  # it comes back
    assert make_env("gsm8k").label == first.label == "gsm8k:procedural"


def test_asked_for_the_hub_nothing_else_will_do(hub: Callable[..., list[Any]]) -> None:
    hub(error=OSError("name not known"))
    with pytest.raises(ConfigError, match="name not known") as caught:
        make_env("gsm8k", {"source": "hub"})
    assert "procedural" in str(caught.value.fix)


def test_broken_rows_of_the_hub_are_an_error_and_no_reason_to_fall_back(
    hub: Callable[..., list[Any]],
) -> None:
    hub([ROWS[0], {"question": "How many?", "answer": "Five."}], ROWS[2:4])
    with pytest.raises(ConfigError, match=r"openai/gsm8k, train, row 1: no final answer"):
        make_env("gsm8k")


@pytest.mark.parametrize("level", ["1", "3"])
def test_procedural_is_word_problems_under_another_label(level: str) -> None:
    env = make_env("gsm8k", {"source": "procedural", "procedural_level": level})
    words = make_env(f"word_problems:{level}")
    assert env.label == make_env("gsm8k:procedural").label == "gsm8k:procedural"
    assert f"word_problems:{level}" in str(env.notice)
    for split in SPLITS:
        ours, theirs = env.task(split, 5), words.task(split, 5)
        assert (ours.prompt, ours.data) == (theirs.prompt, theirs.data)
        assert env.gold(ours) == words.gold(theirs)
    assert env.size("train") is None


def write_jsonl(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def test_a_file_is_split_by_content(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "mine.jsonl", ROWS)
    env = make_env("gsm8k", {"source": str(path)})
    assert env.label == "gsm8k:file"
    assert str(path) in str(env.notice)
    train, test = env.size("train"), env.size("test")
    assert train is not None
    assert test is not None
    assert train + test == len(ROWS)
    assert 0.15 < test / len(ROWS) < 0.45
    shuffled = make_env(
        "gsm8k", {"source": str(write_jsonl(tmp_path / "again.jsonl", [*ROWS[::-1], *ROWS]))}
    )
    for split, n in (("train", train), ("test", test)):
        keys, again = ({e.task(split, i).data["key"] for i in range(n)} for e in (env, shuffled))  # type: ignore[arg-type]
        assert keys == again, "a row's place in the file must not decide its split"


def test_parquet_reads_as_jsonl_does(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "mine.parquet")
    jsonl = write_jsonl(tmp_path / "mine.jsonl", ROWS)
    assert gsm8k.read_file(tmp_path / "mine.parquet") == gsm8k.read_file(jsonl)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"question": "How many?"}', "mine.jsonl:1: not a word problem"),
        ('{"question": "How many?", "answer": 5}', "mine.jsonl:1: not a word problem"),
        ('{"question": " ", "answer": "#### 5"}', "mine.jsonl:1: not a word problem"),
        ("[1, 2]", "mine.jsonl:1: not a word problem"),
        ('\n{"question": "How many?", "answer": "5"}', "mine.jsonl:2: no final answer"),
        ('{"question": "How many?", "answer": "#### five"}', "no final answer"),
        ('{"question": "How many?", "answer": "#### 1.5"}', "no final answer"),
        ('{"question": "How many?", "answer": "#### 5\\n#### 6"}', "no final answer"),
        ('{"question": "How many?", "answer": "#### 5\\nor so"}', "no final answer"),
        ('{"question": "How?", "answer": "Answer: 4\\n#### 5"}', "the solution holds 'Answer:'"),
        ("{", "mine.jsonl:1 is not JSON"),
        ("", "holds no problem"),
    ],
)
def test_broken_files_say_where(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=complaint):
        make_env("gsm8k", {"source": str(path)})


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "latin.jsonl").write_bytes(b"\xe9\n")
    (tmp_path / "no.parquet").write_bytes(b"PAR1 not")
    for name, complaint in (
        ("latin.jsonl", "not UTF-8"),
        ("no.parquet", "is not a parquet file"),
        ("absent.jsonl", "there is no file"),
        ("table.csv", "ends with .jsonl or .parquet"),
        ("huub", "auto, hub, procedural"),
    ):
        with pytest.raises(ConfigError) as caught:
            make_env("gsm8k", {"source": str(tmp_path / name)})
        assert complaint in str(caught.value)


def test_missing_columns_of_a_parquet_file(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([{"prompt": "x"}]), tmp_path / "mine.parquet")
    with pytest.raises(ConfigError, match=r"mine.parquet, row 0: not a word problem"):
        make_env("gsm8k", {"source": str(tmp_path / "mine.parquet")})
