"""Token texts and their compact form: what is packed can be unpacked, and nothing is misaligned."""

from __future__ import annotations

import math
from typing import Any

import finished_run as made
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirl.report.page.encode import (
    DIGITS,
    SCALE,
    TEXT,
    Encoder,
    digits,
    length_digits,
    units,
    written_runs,
)
from minirl.report.page.read import Reader
from minirl.report.page.tokens import Vocabulary, byte_pieces, matching
from minirl.report.text import visible


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    top = tmp_path_factory.mktemp("adapter")
    made.tokenizer(top)
    found = Vocabulary.find(Reader(top), [top / "nothing", top])
    assert found is not None
    return found


def ids_of(vocabulary: Vocabulary, text: str) -> list[int]:
    return list(vocabulary._tokenizer.encode(text, add_special_tokens=False).ids)


def unpack(turn: list[Any]) -> list[tuple[str, float]]:
    """The tokens of a turn as the page's script reads them, in UTF-16 units."""
    raw = turn[1].encode("utf-16-le", "surrogatepass")
    out, at, length = [], 0, 0
    for char in turn[4]:
        length += DIGITS.index(char)
        if char == DIGITS[-1]:
            continue
        text = raw[2 * at : 2 * (at + length)].decode("utf-16-le", "surrogatepass")
        out.append((text, -math.expm1(DIGITS.index(turn[5][len(out)]) / SCALE)))
        at, length = at + length, 0
    return out


@given(text=st.text(max_size=60))
def test_the_tokens_of_any_text_are_that_text(vocabulary, text):
    ids = ids_of(vocabulary, text)
    pieces = matching([vocabulary.pieces], ids, [-1.0] * len(ids), text)
    assert pieces is not None
    assert "".join(p.text for p in pieces) == text
    # A character that several tokens make is one piece, with the probability of them all.
    assert sum(p.logprob for p in pieces) == pytest.approx(-len(ids))


@given(text=st.text(max_size=60), seed=st.integers(0, 100))
def test_a_turn_is_unpacked_as_it_was_packed(vocabulary, text, seed):
    ids = ids_of(vocabulary, text)
    costs = [-((seed + 7 * i) % 11) / 2 for i in range(len(ids))]
    record = {
        "messages": [{"role": "assistant", "content": text}],
        "completion_ids": ids,
        "loss_mask": [1] * len(ids),
        "logprobs": costs,
    }
    (turn,) = Encoder([vocabulary.pieces]).row(0, 1, record)[10]
    assert turn[1] == visible(text)
    if not ids:
        return
    pieces = vocabulary.pieces(ids, costs)
    assert pieces is not None
    tokens = unpack(turn)
    assert [t for t, _ in tokens] == [visible(p.text) for p in pieces]
    for (_, logprob), piece in zip(tokens, pieces, strict=True):
        told = max(piece.logprob, -38.0)  # the last digit stands for all that is less
        assert logprob == pytest.approx(told, abs=0.022 * (1 - told))


def test_characters_of_several_tokens_stay_apart(vocabulary):
    ids = ids_of(vocabulary, "日本🎉")
    assert len(ids) > 3
    pieces = vocabulary.pieces(ids, [-1.0] * len(ids))
    assert pieces is not None
    assert [p.text for p in pieces] == ["日", "本", "🎉"]
    cut = vocabulary.pieces(ids[:-1], [-1.0] * (len(ids) - 1))  # the limit came within the last
    assert cut is not None
    assert [p.text for p in cut[:2]] == ["日", "本"]
    assert set(cut[2].text) == {"\ufffd"}


def test_control_tokens_are_marked_and_no_part_of_the_text(vocabulary):
    end = vocabulary._tokenizer.token_to_id("<|end|>")
    ids = [*ids_of(vocabulary, "Answer: 12"), end]
    pieces = matching([vocabulary.pieces], ids, [-0.5] * len(ids), "Answer: 12")
    assert pieces is not None
    assert [p.text for p in pieces if p.special] == ["<|end|>"]
    # The same characters written out are text: nothing that a model writes is a control token.
    written = matching([vocabulary.pieces], list(b"x"), [0.0], "x<|end|>")
    assert written is None


def test_tokens_of_another_tokenizer_are_not_guessed_at(vocabulary):
    record = {
        "messages": [{"role": "assistant", "content": "Answer: 12"}],
        "completion_ids": [300, 301, 302],
        "loss_mask": [1, 1, 1],
        "logprobs": [-1.0, -2.0, -3.0],
    }
    (turn,) = Encoder([vocabulary.pieces, byte_pieces]).row(0, None, record)[10]
    assert turn[:3] == ["a", "Answer: 12", []]
    assert len(turn) == 4  # only the mean
    assert -math.expm1(DIGITS.index(turn[3]) / SCALE) == pytest.approx(-2.0, rel=0.03)


def test_a_scripted_policys_bytes_are_read():
    text = "Ja – 12"
    ids = [*text.encode(), 256]
    record = {
        "messages": [{"role": "assistant", "content": text}],
        "completion_ids": ids,
        "loss_mask": [1] * len(ids),
        "logprobs": [0.0] * len(ids),
    }
    (turn,) = Encoder([byte_pieces]).row(0, None, record)[10]
    assert [t for t, _ in unpack(turn)] == list(text)
    assert byte_pieces([0xE2, 0x80], [0.0, 0.0]) is None  # half a character
    assert byte_pieces([257], [0.0]) is None


def test_turns_share_the_tokens_between_them(vocabulary, tmp_path):
    record = made.Writer(made.tokenizer(tmp_path)).with_tool("arithmetic:2/test/1", True)
    turns = Encoder([vocabulary.pieces]).row(0, None, record)[10]
    assert [t[0] for t in turns] == ["a", "t", "a"]
    assert turns[0][2] == [["add", '{\n "a": 7,\n "b": 5\n}']]
    assert len(turns[1]) == 3
    for turn, message in ((turns[0], 0), (turns[2], 2)):
        text = "".join(t for t, _ in unpack(turn))
        assert text == record["messages"][message]["content"] + "<|end|>"


@pytest.mark.parametrize(
    "damage",
    [
        {"logprobs": [-1.0]},
        {"logprobs": None},
        {"completion_ids": ["1", "2"]},
        {"completion_ids": [-1, 2**40]},
        {"logprobs": [float("nan"), 0.0]},
        {"loss_mask": "11"},
    ],
)
def test_columns_that_do_not_fit_are_left_out(damage):
    record = {"completion_ids": [1, 2], "loss_mask": [1, 1], "logprobs": [-1.0, -2.0]}
    assert written_runs(record) == [([1, 2], [-1.0, -2.0])]
    assert written_runs(record | damage) == []
    row = Encoder([byte_pieces]).row(
        0, None, record | damage | {"messages": [{"role": "assistant", "content": "x"}, 3]}
    )
    assert row[10] == [["a", "x", [], None]]


def test_a_long_text_is_cut_with_the_number_of_what_is_left_out(vocabulary):
    text = "many of them " * 10_000
    ids = ids_of(vocabulary, text)
    record = {
        "messages": [{"role": "assistant", "content": text}],
        "completion_ids": ids,
        "loss_mask": [1] * len(ids),
        "logprobs": [-1.0] * len(ids),
    }
    (turn,) = Encoder([vocabulary.pieces]).row(0, None, record)[10]
    kept, _, note = turn[1].partition("… [")
    assert text.startswith(kept)
    assert TEXT - 20 < len(kept) <= TEXT
    assert note == f"{len(text) - len(kept):,} more characters]"
    assert sum(len(t) for t, _ in unpack(turn)) == len(kept)


@given(st.integers(0, 1000))
def test_lengths_of_any_size_have_digits(length):
    code = length_digits(length)
    assert sum(DIGITS.index(c) for c in code) == length
    assert code[-1] != DIGITS[-1]
    assert DIGITS[-1] * (len(code) - 1) == code[:-1]


def test_digits_need_no_escape_and_no_room():
    assert len(set(DIGITS)) == len(DIGITS) == 89
    assert not set(DIGITS) & set('"\\<>&')
    assert digits([0.0, 1.0, -1e9]) == DIGITS[0] + DIGITS[0] + DIGITS[-1]
    assert units("a🎉") == 3


def test_a_tokenizer_that_cannot_be_read_is_noted(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": 3}')
    reader = Reader(tmp_path)
    assert Vocabulary.find(reader, [tmp_path]) is None
    assert len(reader.notes) == 1
    assert reader.notes[0].startswith("tokenizer.json is no tokenizer")
