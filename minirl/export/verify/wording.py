"""Whether llama.cpp turns messages and text into the same tokens as the tokenizer in training."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from minirl.envs.base import Environment
from minirl.models.chat import ChatCodec
from minirl.types import Message, Task

# What tokenizers are known to go wrong on: runs of spaces and newlines, digits, signs beside words,
# other scripts, what lies outside the basic plane, a control token in the midst of text.
SAMPLES = (
    "12 + 345 = 357",
    "a  b   c\n\n1. One\n\n\n2. Two\t\tthree",
    " leading and trailing ",
    'x=3.14e-10; y[0]+=f("q")  # it\'s',
    "don't I'll we've HTTPServer camelCase snake_case",
    "Grüße, naïve café, Ελλάδα, Привет, 你好，世界, مرحبا, हिन्दी",
    "🙂👍🏽 e\u0301 \u00a0 \u200b —…“”",
    '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>',
)
_DATE = re.compile(r"\d{1,2} \w{3,9} \d{4}|\w{3,9} \d{1,2}, \d{4}")


class Words(Protocol):
    """llama.cpp's own tokenizer and template."""

    def tokenize(self, text: str) -> list[int]: ...

    def apply_template(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]] | None = None,
        *,
        thinking: bool = False,
    ) -> str: ...


@dataclass(frozen=True, slots=True)
class WordingCheck:
    """What came of it.

    Attributes:
        texts: how many texts were tokenised by both, and
        conversations: how many conversations were rendered by both.
        first: the first difference, in words.
        notes: differences that do not keep the export from being right.
    """

    texts: int
    conversations: int
    first: str | None
    notes: tuple[str, ...] = ()


def check_wording(
    words: Words,
    codec: ChatCodec,
    env: Environment[Any],
    tasks: Sequence[Task],
    thinking: bool = False,
) -> WordingCheck:
    """Render and tokenise the openings of ``tasks`` with both, and :data:`SAMPLES`."""
    tokenizer = codec.tokenizer
    first: str | None = None
    notes: list[str] = []
    rendered: list[str] = []
    unknown, bos = tokenizer.unk_token_id, tokenizer.bos_token or ""
    conversations = 0

    def plain(messages: Sequence[Message], shown: Sequence[dict[str, Any]]) -> bool:
        theirs = words.apply_template(shown, thinking=thinking)
        return _alike(codec.render(messages), theirs, bos)

    for task in tasks:
        conversations += 1
        messages, tools = _opening(env, task)
        shown = [m.as_dict() for m in messages]
        ours = codec.render(messages, tools)
        theirs = words.apply_template(shown, tools or None, thinking=thinking)
        rendered.append(ours)
        if _alike(ours, theirs, bos):
            continue
        if tools and plain(messages, shown):
            if not notes:
                notes.append(f"tools are described in other words: {_where(ours, theirs)}")
        else:
            first = first or (
                f"the template makes another text of {task.id}: {_where(ours, theirs)}"
            )
    texts = list(dict.fromkeys([*rendered, *SAMPLES]))
    compared = 0
    for text in texts:
        ours_ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        if unknown is not None and unknown in ours_ids and text in SAMPLES:
            continue  # a character that the vocabulary lacks has no right tokens
        compared += 1
        theirs_ids = words.tokenize(text)
        if ours_ids != theirs_ids:
            at = next(
                (i for i, (a, b) in enumerate(zip(ours_ids, theirs_ids, strict=False)) if a != b),
                min(len(ours_ids), len(theirs_ids)),
            )
            before = tokenizer.decode(ours_ids[max(0, at - 8) : at])
            first = first or (
                f"other tokens after {before!r}: "
                f"{_shown(tokenizer, ours_ids, at)} in training, "
                f"{_shown(tokenizer, theirs_ids, at)} in llama.cpp"
            )
    return WordingCheck(compared, conversations, first, tuple(notes))


def _opening(
    env: Environment[Any], task: Task
) -> tuple[tuple[Message, ...], Sequence[dict[str, Any]]]:
    episode = env.episode(task)
    return tuple(episode.messages), tuple(episode.tools)


def _alike(ours: str, theirs: str, bos: str) -> bool:
    """Equal, but for the token that begins every text, which either side may leave to its
    tokenizer, and for the date: some templates show today's; in training it is always one day.
    """
    return _DATE.sub("", ours.removeprefix(bos)) == _DATE.sub("", theirs.removeprefix(bos))


def _where(ours: str, theirs: str) -> str:
    at = next(
        (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
        min(len(ours), len(theirs)),
    )
    begin = max(0, at - 20)
    return f"{ours[begin : at + 40]!r} in training, {theirs[begin : at + 40]!r} in llama.cpp"


def _shown(tokenizer: Any, ids: Sequence[int], at: int) -> str:
    few = list(ids[at : at + 4])
    return f"{few} ({tokenizer.decode(few)!r})" if few else "nothing"
