from __future__ import annotations

import json
from dataclasses import replace

import pytest

from minirl.endpoint.journal import Journal, Slot, digest
from minirl.endpoint.spend import Spent
from minirl.endpoint.wire import Answer, Call, Question, Sampling
from minirl.errors import RunDirError

QUESTION = Question("m", ({"role": "user", "content": "é"},), (), 3, 50, Sampling(0.5), 7)
SLOTS = [Slot(digest(QUESTION), "t/train/0", 0, k, 11) for k in range(3)]
ANSWERS = [
    Answer("a\x00\u202e\u2028é", (Call("c", "f", "{}"),), False, 4, True),
    Answer("x" * 100_000, (), True, 9, False),
    Answer("", (), False, 1, True),
]


def test_answers_come_back_as_they_were(tmp_path):
    path = tmp_path / "answers.jsonl"
    Journal(path).keep(SLOTS, ANSWERS, Spent(1, 30, 14))
    with path.open("ab") as out:
        out.write(b'{"slot": {"requ')  # a writer that was killed
    again = Journal(path)
    assert [again.find(s) for s in SLOTS] == ANSWERS
    assert again.spent == Spent(1, 30, 14)
    assert len(again) == 3
    again.keep([replace(SLOTS[0], sample=3)], [ANSWERS[2]], Spent(1, 1, 1))
    assert len(Journal(path)) == 4
    assert Journal(path).spent == Spent(2, 31, 15)


def test_without_a_path_it_remembers_for_its_own_time():
    journal = Journal(None)
    journal.keep(SLOTS[:1], ANSWERS[:1], Spent(1, 1, 1))
    assert journal.find(SLOTS[0]) == ANSWERS[0]
    assert journal.find(SLOTS[1]) is None


@pytest.mark.parametrize("line", ["{}", '{"slot": 1}', '{"slot": {"request": "x"}}', "nonsense"])
def test_another_file_is_told_apart(tmp_path, line):
    path = tmp_path / "answers.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(RunDirError, match="line 1"):
        Journal(path)


def test_the_digest_is_of_what_is_asked():
    same = [replace(QUESTION, n=1), replace(QUESTION, seed=8)]
    other = [
        replace(QUESTION, model="n"),
        replace(QUESTION, messages=({"role": "user", "content": "e"},)),
        replace(QUESTION, tools=({"x": 1},)),
        replace(QUESTION, max_tokens=51),
        replace(QUESTION, sampling=Sampling(0.6)),
    ]
    assert {digest(q) for q in same} == {digest(QUESTION)}
    assert len({digest(q) for q in [QUESTION, *other]}) == 6
    reordered = json.loads(json.dumps({"content": "é", "role": "user"}))
    assert digest(replace(QUESTION, messages=(reordered,))) == digest(QUESTION)
