"""Samples on disk: an interrupted sampling that goes on is one that never stopped."""

from __future__ import annotations

import json
from typing import Any

import pytest
from coin_policy import CoinPolicy, same

from minirl.envs import make_env
from minirl.errors import RunDirError
from minirl.measure.prove import samples
from minirl.measure.prove.samples import Answer, final_answer, sample
from minirl.measure.tasks import held_out
from minirl.rollout import play
from minirl.rundir import read_jsonl
from minirl.types import Message, Rollout, Score, StopReason, Task

ENV = make_env("arithmetic:2")
N = 4
TASKS = held_out(ENV, 14)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "PART", 5 * N)  # five tasks: the last part has four


class Killed(BaseException):
    """As Ctrl-C: nothing catches it on the way."""


class Coins(CoinPolicy):
    """Solves every other sample; dies in its last call where it is told to."""

    def __init__(self, calls: float = float("inf")) -> None:
        super().__init__(ENV, same(0.5))
        self.seeds: list[int] = []
        self.left = calls

    def sample(self, requests: Any, *, seed: int) -> Any:
        if not self.left:
            raise Killed
        self.left -= 1
        self.seeds.append(seed)
        return super().sample(requests, seed=seed)


def run(path, policy=None, *, n=N, tasks=TASKS, seed=0, **options):
    policy = policy or Coins()
    return sample(policy, ENV, tasks, n, path, max_tokens=100, seed=seed, **options)


def test_what_is_sampled_is_what_lies_on_disk(tmp_path):
    path = tmp_path / "deep" / "tuned.jsonl"
    progress = []
    answers = run(path, on_progress=lambda *p: progress.append(p))
    lines = read_jsonl(path)
    assert [len(task) for task in answers] == [N] * 14
    assert [line["task"] for line in lines] == [t.id for t in TASKS for _ in range(N)]
    assert {line["policy"] for line in lines} == {"tuned"}
    assert [a.solved for task in answers for a in task] == [line["solved"] for line in lines]
    assert 0 < sum(a.solved for task in answers for a in task) < 14 * N
    assert progress == [(0, 56), (20, 56), (40, 56), (56, 56)]
    (group,) = play(Coins(), ENV, TASKS[:1], N, max_tokens=100, seed=samples.SEED)
    assert [r.score.solved for r in group.rollouts] == [a.solved for a in answers[0]]


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_an_interrupted_sampling_goes_on_as_if_it_had_not_been(tmp_path, calls):
    whole, cut = tmp_path / "whole" / "base.jsonl", tmp_path / "cut" / "base.jsonl"
    expected = run(whole)
    with pytest.raises(Killed):
        run(cut, Coins(calls))
    assert len(read_jsonl(cut)) == calls * 5 * N
    again = Coins()
    assert run(cut, again) == expected
    assert len(again.seeds) == 3 - calls  # what was there is not played again
    assert cut.read_bytes() == whole.read_bytes()
    done = Coins(0)
    assert run(cut, done) == expected


@pytest.mark.parametrize("lines", [1, 3, 19, 20, 21, 24, 39, 40, 55])
@pytest.mark.parametrize("torn", [b"", b'{"policy":"base","task":"arit', b"\xff\xfe\x00"])
def test_half_a_part_and_a_torn_line_are_played_again(tmp_path, lines, torn):
    whole, cut = tmp_path / "whole" / "base.jsonl", tmp_path / "cut" / "base.jsonl"
    expected = run(whole)
    cut.parent.mkdir()
    cut.write_bytes(b"".join(whole.read_bytes().splitlines(keepends=True)[:lines]) + torn)
    progress = []
    assert run(cut, on_progress=lambda *p: progress.append(p)) == expected
    assert cut.read_bytes() == whole.read_bytes()
    assert progress[0] == (lines // 20 * 20, 56)


def test_other_samples_than_expected_are_refused_and_kept(tmp_path):
    path = tmp_path / "base.jsonl"
    run(path)
    before = path.read_bytes()
    other = held_out(make_env("arithmetic:3"), 14)
    for options in (
        {"tasks": other},
        {"tasks": TASKS[::-1]},
        {"tasks": TASKS[1:]},
        {"tasks": TASKS[:10]},
        {"n": N + 1},
        {"n": N - 1},
        {"n": 2 * N},
    ):
        policy = Coins(0)
        with pytest.raises(RunDirError, match="other samples than expected") as caught:
            run(path, policy, **options)
        assert "--force" in str(caught.value)
        assert path.read_bytes() == before


@pytest.mark.parametrize(
    "line",
    [
        {"solved": True},
        {"messages": None},
        {"parts": {"lenient": "yes"}},
        {"logprobs": []},
        {"tokens": "many"},
    ],
)
def test_a_line_that_is_no_rollout_is_refused(tmp_path, line):
    path = tmp_path / "base.jsonl"
    run(path)
    first, *rest = path.read_text().splitlines(keepends=True)
    record = json.loads(first)
    record = {"task": record["task"], **line} if "solved" in line else record | line
    path.write_text(json.dumps(record) + "\n" + "".join(rest))
    with pytest.raises(RunDirError, match="no rollout"):
        run(path)


def test_seeds_of_parts_and_runs_differ(tmp_path):
    used = []
    for seed in (0, 1):
        policy = Coins()
        run(tmp_path / f"{seed}.jsonl", policy, seed=seed)
        used += policy.seeds
    assert len(set(used)) == len(used) == 6


def test_turns_of_neighbouring_parts_do_not_share_a_seed(tmp_path, monkeypatch):
    """Turn t of a part is sampled with its seed plus t."""
    monkeypatch.setattr(type(ENV), "max_turns", 7)
    policy = Coins()
    run(tmp_path / "base.jsonl", policy)
    gaps = [b - a for a, b in zip(policy.seeds, policy.seeds[1:], strict=False)]
    assert min(gaps) >= 7


def test_more_samples_than_a_part_holds(tmp_path):
    """A part is then one task."""
    n = 6 * N
    cut = tmp_path / "cut.jsonl"
    expected = run(tmp_path / "whole.jsonl", n=n, tasks=TASKS[:3])
    with pytest.raises(Killed):
        run(cut, Coins(2), n=n, tasks=TASKS[:3])
    assert len(read_jsonl(cut)) == 2 * n
    assert run(cut, n=n, tasks=TASKS[:3]) == expected


# One answer ----------------------------------------------------------------------------------


def rollout(**changes: Any) -> dict[str, Any]:
    made = Rollout(
        task=Task("hand", "test", 0, ()),
        prompt_ids=(9,),
        completion_ids=(1, 2, 8, 8, 3),
        loss_mask=(True, True, False, False, True),
        logprobs=(-0.5, -0.25, 0.0, 0.0, -1.0),
        messages=(
            Message("assistant", "Answer: 1"),
            Message("tool", "no\nAnswer: 5"),
            Message("assistant", "So it is\nAnswer: 2"),
        ),
        stop=StopReason.LENGTH,
        score=Score(1.0, True, {"lenient": 1.0}),
    )
    return made.as_record() | changes


def test_an_answer_is_read_from_its_line():
    found = Answer.of(json.loads(json.dumps(rollout())))
    assert (found.solved, found.lenient, found.truncated, found.tokens) == (True, True, True, 3)
    assert (found.ids, found.written) == ((1, 2, 8, 8, 3), (1, 2, 3))
    assert found.surprise == 1.75
    assert (found.text, found.final) == ("So it is\nAnswer: 2", "2")


def test_what_is_missing():
    bare = Answer.of(rollout(parts={}, messages=[], stop="eos", completion_ids=[], loss_mask=[],
                             logprobs=[], tokens=0, solved=False))  # fmt: skip
    assert (bare.lenient, bare.truncated, bare.text, bare.final) == (None, False, "", "")
    assert (bare.surprise, bare.written) == (0.0, ())
    assert Answer.of(rollout(parts={"lenient": 0.0})).lenient is False


@pytest.mark.parametrize(
    ("text", "final"),
    [
        ("Answer: 12", "12"),
        ("thinking\nAnswer: a, b \n", "a, b"),
        ("7 + 5 = 12.", "7 + 5 = 12."),
        ("one\n\n  two  \n \n", "two"),
        ("Answer: 1\nAnswer: 2", "Answer: 2"),  # no slot, for there are two
        ("", ""),
        (" \n\t", ""),
        ("\x00\u202e", "\x00\u202e"),
    ],
)
def test_the_final_answer(text, final):
    assert final_answer(text) == final
