"""Which parameters a server takes. Found out by asking: a refusal that names one changes the
dialect, once each.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from minirl.endpoint.wire import JsonObject, Question

# Quoted, or before what a sentence says of it; never the n of an escaped newline.
_NAMES_N = re.compile(r"[\"'`]n[\"'`]|(?<![\\\w])n (?:=|>|is|must|can)")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How to put a question to a server.

    Attributes:
        single: one choice a request, since it takes no ``n``.
        limit: its name of the token limit.
        tools_as_text: it parses no tool calls; the model is shown the tools and writes text.
        left_out: parameters that it refuses.
    """

    single: bool = False
    limit: str = "max_tokens"
    tools_as_text: bool = False
    left_out: frozenset[str] = frozenset()

    def body(self, question: Question) -> JsonObject:
        """The JSON of a request."""
        sampling = question.sampling
        body: dict[str, Any] = {
            "model": question.model,
            "messages": list(question.messages),
            "temperature": sampling.temperature,
            self.limit: question.max_tokens,
            "seed": question.seed,
        }
        if question.n > 1 and not self.single:
            body["n"] = question.n
        if sampling.top_p != 1:
            body["top_p"] = sampling.top_p
        if sampling.top_k:
            body["top_k"] = sampling.top_k
        if question.tools:
            body["tools"] = list(question.tools)
            if self.tools_as_text:
                body["tool_choice"] = "none"
        return {key: value for key, value in body.items() if key not in self.left_out}


def adapted(dialect: Dialect, question: Question, refusal: str) -> tuple[Dialect, str] | None:
    """The dialect after a refusal (the body of a 400 or 422), and what to say about it; None where
    nothing in it can be changed.

    A temperature other than 1 is never left out: the figures would be of another one.
    """

    def names(word: str) -> bool:
        return param == word or re.search(rf"\b{word}\b", refusal) is not None

    param = _param(refusal)
    if (
        dialect.limit == "max_tokens"
        and names("max_tokens")
        and (
            "max_completion_tokens" in refusal
            or re.search(r"support|recogni|unknown|unexpected|extra", refusal, re.IGNORECASE)
        )
    ):
        said = "the server wants max_completion_tokens in place of max_tokens"
        return replace(dialect, limit="max_completion_tokens"), said
    sent = dialect.body(question)
    refusable = {"seed", "top_k"} | (
        {"temperature"} if question.sampling.temperature == 1 else set()
    )
    for word in sorted(refusable & sent.keys()):
        if names(word):
            why = {
                "seed": "asked again, it will answer otherwise",
                "top_k": f"it samples without top_k = {question.sampling.top_k}",
                "temperature": "it samples at its own, which should be 1",
            }[word]
            said = f"the server refuses {word}: {why}"
            return replace(dialect, left_out=dialect.left_out | {word}), said
    if "n" in sent and (param == "n" or _NAMES_N.search(refusal)):
        said = "the server does not take that many choices: one completion a request"
        return replace(dialect, single=True), said
    wants_parser = re.search(r"tool[ _-]choice|tool-call-parser", refusal)
    if "tools" in sent and not dialect.tools_as_text and wants_parser:
        said = "the server parses no tool calls: they are read out of the model's text"
        return replace(dialect, tools_as_text=True), said
    return None


def _param(refusal: str) -> str | None:
    """The parameter that OpenAI's form of an error names."""
    try:
        error = json.loads(refusal)["error"]
        return str(error["param"]) if error.get("param") else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
