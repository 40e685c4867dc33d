"""Between messages and tokens, through the model's own chat template."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from functools import cached_property, lru_cache
from typing import Any

import jinja2

from minirl.errors import ModelError
from minirl.types import Message

# Private-use characters, for places in a rendered conversation.
_QUOTE = "\ue000"  # stands around the number of a quoted control token
_TURN = "\ue001"  # stands for what the policy wrote
_QUOTED = re.compile(f"{_QUOTE}([0-9]+){_QUOTE}")
# Templates of thinking models put an empty thought before a last turn that has none of its own.
_TURNS = (_TURN, f"<think>\n{_TURN}\n</think>\n\n{_TURN}")


class CodecPolicy:
    """The half of a policy that a :class:`ChatCodec` answers; the other half draws samples."""

    codec: ChatCodec

    def encode_open(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()
    ) -> tuple[int, ...]:
        return self.codec.encode_open(messages, tools)

    def encode_reply(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()
    ) -> tuple[int, ...]:
        return self.codec.encode_reply(messages, tools)

    def decode(self, ids: Sequence[int]) -> str:
        return self.codec.decode(ids)


def _one_day(form: str) -> str:
    """The date that some templates show (Llama 3.2, SmolLM3): always the same one, or a run that is
    resumed tomorrow would go on with other prompts. It is the one that Llama's falls back on.
    """
    return date(2024, 7, 26).strftime(form)


class ChatCodec:
    """Encodes openings and replies, decodes turns.

    A reply is encoded as what the template adds after an assistant turn that was closed by the
    end-of-turn token, which the policy itself has written; so the token sequence of a played
    episode is the one that the template would give for the whole conversation, as long as the
    model's own text stays the ids that it sampled.

    Only the template writes control tokens. Where the content of a message spells one
    (``<|im_end|>`` in a tool's result, say), it is encoded as ordinary characters, so that text
    from outside cannot close a turn or open another.

    Args:
        tokenizer: the model's.
        thinking: whether a model that can think aloud before it answers shall; others ignore it.
    """

    def __init__(self, tokenizer: Any, *, thinking: bool = False) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise ModelError(
                f"{tokenizer.name_or_path}: its tokenizer has no chat template",
                fix="use an instruct model, or save a chat_template.jinja with its tokenizer",
            )
        self.tokenizer = tokenizer
        self._thinking = thinking
        self._encode_open = lru_cache(maxsize=4096)(self._encode_open_uncached)
        control = {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
        longest_first = sorted({_QUOTE, _TURN, *control}, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, longest_first)))

    @cached_property
    def eos_ids(self) -> frozenset[int]:
        """Ids that close a turn: the tokenizer's, and what the template closes a turn with.

        They differ in Gemma, for one, where ``<eos>`` ends a text and ``<end_of_turn>`` a turn.
        """
        turn = [{"role": "user", "content": "x"}, {"role": "assistant", "content": _TURN}]
        after = self._render(turn, (), prompt=False).rpartition(_TURN)[2]
        match = self._control.match(after.lstrip())
        closing = self.tokenizer.convert_tokens_to_ids([match[0]] if match else [])
        return frozenset({self.tokenizer.eos_token_id, *closing})

    def encode_open(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()
    ) -> tuple[int, ...]:
        """Raises ModelError where the template refuses the messages (a system prompt, say)."""
        if tools or any(m.tool_calls for m in messages):  # unhashable
            return self._encode_open_uncached(tuple(messages), tools)
        return self._encode_open(tuple(messages))

    def _encode_open_uncached(
        self, messages: tuple[Message, ...], tools: Sequence[dict[str, Any]] = ()
    ) -> tuple[int, ...]:
        quoted: list[str] = []
        shown = [self._quote(m, quoted) for m in messages]
        return self._ids(self._render(shown, tools, prompt=True), quoted)

    def encode_reply(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()
    ) -> tuple[int, ...]:
        """Raises ModelError where the template refuses the messages, or rewrites what the policy
        wrote before them.
        """
        quoted: list[str] = []
        shown = [self._quote(m, quoted) for m in messages]
        for turn in _TURNS:
            opening = [{"role": "user", "content": "x"}, {"role": "assistant", "content": turn}]
            before = self._render(opening, tools, prompt=False).rpartition(_TURN)[0]
            after = self._render(opening + shown, tools, prompt=True)
            earlier, found, added = after.rpartition(_TURN)
            if found and earlier == before:
                break
        else:
            raise ModelError(
                f"the chat template of {self.tokenizer.name_or_path} rewrites earlier turns when a "
                "new one is added, so a multi-turn episode cannot go on token by token",
                fix="use a single-turn environment, or a template that only appends",
            )
        # ``added`` closes the turn, holds the reply, and opens the next turn.
        if added == self._render(opening, tools, prompt=True).rpartition(_TURN)[2]:
            raise ModelError(
                f"the chat template of {self.tokenizer.name_or_path} leaves out the environment's "
                "reply",
                got=f"messages by {', '.join(m.role for m in messages)}",
                fix="reply with user messages, or use a model whose template shows tool messages",
            )
        closed = self._control.match(added)
        return self._ids(added[closed.end() :] if closed else added, quoted)

    def render(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()) -> str:
        """The opening as text. Its tokens are :meth:`encode_open`'s, unless the content of a
        message spells a control token.
        """
        return self._render([m.as_dict() for m in messages], tools, prompt=True)

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _quote(self, message: Message, quoted: list[str]) -> dict[str, Any]:
        """The message for the template, each control token in its content replaced by a number."""

        def replace(match: re.Match[str]) -> str:
            quoted.append(match[0])
            return f"{_QUOTE}{len(quoted) - 1}{_QUOTE}"

        return {**message.as_dict(), "content": self._control.sub(replace, message.content)}

    def _render(
        self, messages: list[dict[str, Any]], tools: Sequence[dict[str, Any]], *, prompt: bool
    ) -> str:
        try:
            text: str = self.tokenizer.apply_chat_template(
                messages,
                tools=list(tools) or None,
                add_generation_prompt=prompt,
                tokenize=False,
                enable_thinking=self._thinking,
                strftime_now=_one_day,
            )
        except jinja2.TemplateError as error:
            roles = ", ".join(m["role"] for m in messages)
            raise ModelError(
                f"the chat template of {self.tokenizer.name_or_path} refuses the conversation: "
                f"{error}",
                got=f"messages by {roles}",
                fix="change the environment's messages to what the model was trained for",
            ) from error
        return text

    def _ids(self, text: str, quoted: Sequence[str]) -> tuple[int, ...]:
        ids: list[int] = []
        for at, part in enumerate(_QUOTED.split(text)):  # text, number, text, number, …, text
            if at % 2:
                ids += self._tokenize(quoted[int(part)], split_special_tokens=True)
            elif part:
                ids += self._tokenize(part)
        return tuple(ids)

    def _tokenize(self, text: str, **options: bool) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, **options)["input_ids"]
        return ids
