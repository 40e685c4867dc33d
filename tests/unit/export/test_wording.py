"""llama.cpp's words against ours: conversations with tools, dates, and other tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from gguf_edit import edited

from minirl.envs import make_env
from minirl.envs.tool_calls import parse_tool_calls
from minirl.export.llama import LlamaServer, serve
from minirl.export.verify.wording import check_wording
from minirl.models.chat import ChatCodec

pytest.importorskip("xllamacpp", reason="no llama.cpp: pip install -c constraints.txt '.[gguf]'")

# Of the form that Qwen2.5 and Hermes have: tools as JSON in the system prompt, calls between tags.
WITH_TOOLS = (
    "{% if tools %}<|im_start|>system\n{% if messages[0]['role'] == 'system' %}"
    "{{ messages[0]['content'] }}{% endif %}\n\n# Tools\n<tools>{% for t in tools %}\n"
    "{{ t | tojson }}{% endfor %}\n</tools><|im_end|>\n{% endif %}"
    "{% for m in messages %}{% if not (loop.first and tools and m['role'] == 'system') %}"
    "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}{% if m['tool_calls'] %}"
    "{% for c in m['tool_calls'] %}\n<tool_call>\n"
    '{"name": "{{ c[\'function\'][\'name\'] }}", "arguments": '
    "{{ c['function']['arguments'] | tojson }}}\n</tool_call>{% endfor %}{% endif %}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEMPLATES = {
    "tools": WITH_TOOLS,
    "dated": "<|im_start|>system\nToday is {{ strftime_now('%d %b %Y') }}<|im_end|>\n" + WITH_TOOLS,
}


def codec_of(template: str) -> ChatCodec:
    from minirl.models.tiny import _tokenizer

    tokenizer = _tokenizer()
    tokenizer.chat_template = template
    return ChatCodec(tokenizer)


@pytest.fixture(scope="module", params=TEMPLATES)
def pair(
    request: pytest.FixtureRequest, tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ChatCodec, LlamaServer]]:
    """The tiny model with a template, as codec and in llama.cpp."""
    template = TEMPLATES[request.param]
    file = tmp_path_factory.mktemp("template") / "model.gguf"
    edited(tiny_gguf, file, meta={"tokenizer.chat_template": template})
    with serve(file, context=128, parallel=1, threads=1) as server:
        yield codec_of(template), server


@pytest.mark.parametrize("env", ["calculator", "mastermind", "arithmetic"])
def test_openings_are_the_same(pair: tuple[ChatCodec, LlamaServer], env: str) -> None:
    """Tools that the template writes, with a worked example that calls them, and without."""
    codec, server = pair
    native = {"tool_format": "template"} if env == "calculator" else {}
    made = make_env(env, native)
    tasks = [made.task("test", i) for i in range(4)]
    check = check_wording(server, codec, made, tasks)
    assert check.first is None
    assert check.notes == ()
    assert check.conversations == 4
    assert check.texts >= 4
    if native:
        assert "<tools>" in codec.render(
            made.episode(tasks[0]).messages, made.episode(tasks[0]).tools
        )


def test_a_call_in_a_conversation_can_be_read(pair: tuple[ChatCodec, LlamaServer]) -> None:
    """What the template in the GGUF writes of a call is what minirl reads as one."""
    _, server = pair
    arguments = '{"expression": "17 * 23"}'
    call = {
        "type": "function",
        "id": "1",
        "function": {"name": "calculate", "arguments": arguments},
    }
    said = server.apply_template(
        [
            {"role": "user", "content": "17 * 23?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "391", "tool_call_id": "1"},
        ]
    )
    (found,) = parse_tool_calls(
        said.partition("<|im_start|>assistant")[2].partition("<|im_end|>")[0]
    )
    assert (found.name, dict(found.arguments)) == ("calculate", {"expression": "17 * 23"})


class Mumbling:
    """Words that differ from the trained model's in one way."""

    def __init__(self, codec: ChatCodec, *, tools: str = "", text: str = "") -> None:
        self.codec, self.tools, self.text = codec, tools, text

    def tokenize(self, text: str) -> list[int]:
        return list(self.codec.tokenizer(text + self.text, add_special_tokens=False)["input_ids"])

    def apply_template(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]] | None = None,
        *,
        thinking: bool = False,
    ) -> str:
        return self.codec._render(list(messages), tools or (), prompt=True) + (
            self.tools if tools else ""
        )


def test_tools_in_other_words_are_noted_and_no_failure() -> None:
    codec = codec_of(WITH_TOOLS)
    env = make_env("calculator", {"tool_format": "template"})
    check = check_wording(Mumbling(codec, tools="!"), codec, env, [env.task("test", 0)])
    assert check.first is None
    assert "tools are described in other words" in check.notes[0]


def test_other_tokens_are_shown() -> None:
    codec = codec_of(WITH_TOOLS)
    env = make_env("arithmetic")
    check = check_wording(Mumbling(codec, text=" "), codec, env, [env.task("test", 0)])
    assert check.first is not None
    assert check.first.startswith("other tokens after")
    assert "nothing in training" in check.first
