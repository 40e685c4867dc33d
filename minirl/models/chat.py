"""Between messages and tokens, through the model's own chat template."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from minirl.errors import ModelError
from minirl.types import Message


class ChatCodec:
    """Encodes openings and replies, decodes turns.

    A reply is encoded as what the template adds after an assistant turn that was closed by the
    end-of-turn token, which the policy itself has written; so the token sequence of a played
    episode is the one that the template would give for the whole conversation, as long as the
    model's own text stays the ids that it sampled.
    """

    def __init__(self, tokenizer: Any) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise ModelError(
                f"{tokenizer.name_or_path}: its tokenizer has no chat template",
                fix="use an instruct model, or save a chat_template.jinja with its tokenizer",
            )
        self.tokenizer = tokenizer
        self._encode_open = lru_cache(maxsize=4096)(self._encode_open_uncached)

    @property
    def eos_ids(self) -> frozenset[int]:
        """Ids that close a turn."""
        return frozenset({self.tokenizer.eos_token_id})

    def encode_open(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()
    ) -> tuple[int, ...]:
        if tools or any(m.tool_calls for m in messages):
            return self._ids(self._render([m.as_dict() for m in messages], tools, prompt=True))
        return self._encode_open(tuple(messages))

    def _encode_open_uncached(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        return self._ids(self._render([m.as_dict() for m in messages], (), prompt=True))

    def encode_reply(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()
    ) -> tuple[int, ...]:
        opening = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
        before = self._render(opening, tools, prompt=False)
        after = self._render(opening + [m.as_dict() for m in messages], tools, prompt=True)
        if not after.startswith(before):
            raise ModelError(
                f"the chat template of {self.tokenizer.name_or_path} rewrites earlier turns when a "
                "new one is added, so a multi-turn episode cannot go on token by token",
                fix="use a single-turn environment, or a template that only appends",
            )
        eos = self.tokenizer.eos_token
        closing = before.rpartition(eos)[2] if eos in before else ""
        return self._ids(closing + after[len(before) :])

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _render(
        self, messages: list[dict[str, Any]], tools: Sequence[dict[str, Any]], *, prompt: bool
    ) -> str:
        text: str = self.tokenizer.apply_chat_template(
            messages, tools=list(tools) or None, add_generation_prompt=prompt, tokenize=False
        )
        return text

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])
