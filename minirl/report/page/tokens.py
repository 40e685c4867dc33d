"""The texts of single tokens, so that a page can shade each by its log-probability."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from minirl.report.page.read import Reader

BROKEN = "\ufffd"  # what stands for a piece of a character
END_OF_BYTES = 256  # scripted policies write UTF-8 bytes, and close a turn with this


class Piece(NamedTuple):
    """One token, or the tokens that make one character between them.

    Attributes:
        text: what it reads.
        logprob: log-probability of all of it, in nats.
        special: a control token, which is no part of the message.
    """

    text: str
    logprob: float
    special: bool = False


Decoder = Callable[[Sequence[int], Sequence[float]], list[Piece] | None]


class Vocabulary:
    """The tokenizer.json that training leaves beside its adapter."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._texts: dict[int, str] = {}

    @classmethod
    def find(cls, reader: Reader, folders: Sequence[Path]) -> Vocabulary | None:
        """The first folder's that has one; None, with a note, where it cannot be used."""
        path = next(
            (f / "tokenizer.json" for f in folders if (f / "tokenizer.json").exists()), None
        )
        if path is None:
            return None
        from tokenizers import Tokenizer

        try:
            return cls(Tokenizer.from_file(str(path)))
        except Exception as error:  # tokenizers raises nothing narrower
            name = path.relative_to(reader.root)
            reader.notes.append(f"{name} is no tokenizer ({error}); turns are shaded whole.")
            return None

    def pieces(self, ids: Sequence[int], logprobs: Sequence[float]) -> list[Piece] | None:
        """A piece for each token, whole characters only."""
        special = self._special
        texts = [self._text(i) for i in ids]
        if BROKEN not in "".join(texts):
            return [
                Piece(special.get(i) or text, cost, i in special)
                for i, text, cost in zip(ids, texts, logprobs, strict=True)
            ]
        out: list[Piece] = []
        held: list[int] = []  # tokens of a character that is not whole yet
        cost = 0.0
        for token, text, logprob in zip(ids, texts, logprobs, strict=True):
            if not held and (token in special or BROKEN not in text):
                out.append(Piece(special.get(token) or text, logprob, token in special))
                continue
            held.append(token)
            cost += logprob
            text = self._decode(held)
            if BROKEN not in text:
                out.append(Piece(text, cost))
                held, cost = [], 0.0
        return [*out, Piece(self._decode(held), cost)] if held else out

    @cached_property
    def _special(self) -> dict[int, str]:
        added = self._tokenizer.get_added_tokens_decoder()
        return {i: token.content for i, token in added.items() if token.special}

    @cached_property
    def _anchor(self) -> tuple[list[int], str]:
        """A token to decode others after: the first of a text may lose its space."""
        ids = self._tokenizer.encode("a", add_special_tokens=False).ids
        return ids, self._decode(ids)

    def _text(self, token: int) -> str:
        text = self._texts.get(token)
        if text is None:
            ids, before = self._anchor
            text = self._texts[token] = self._decode([*ids, token]).removeprefix(before)
        return text

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


def byte_pieces(ids: Sequence[int], logprobs: Sequence[float]) -> list[Piece] | None:
    """A scripted policy's tokens; None where they are not bytes of a text."""
    if any(not 0 <= i <= END_OF_BYTES for i in ids):
        return None
    out: list[Piece] = []
    held, cost = b"", 0.0
    for token, logprob in zip(ids, logprobs, strict=True):
        if token == END_OF_BYTES:
            continue
        held, cost = held + bytes([token]), cost + logprob
        try:
            out.append(Piece(held.decode(), cost))
        except UnicodeDecodeError:
            continue
        held, cost = b"", 0.0
    return None if held else out


def matching(
    decoders: Sequence[Decoder], ids: Sequence[int], logprobs: Sequence[float], content: str
) -> list[Piece] | None:
    """The pieces of a turn by the first decoder whose text is the turn's own; None where there is
    none: then nobody can say which token stands where.
    """
    for decode in decoders:
        pieces = decode(ids, logprobs)
        if pieces is None:
            continue
        text = "".join(p.text for p in pieces if not p.special)
        if text == content:
            return pieces
        if text == " " + content:  # the space that a sentencepiece text loses at its start
            first = next(i for i, p in enumerate(pieces) if p.text and not p.special)
            cut = Piece(pieces[first].text[1:], pieces[first].logprob)
            return [*pieces[:first], cut, *pieces[first + 1 :]]
    return None
