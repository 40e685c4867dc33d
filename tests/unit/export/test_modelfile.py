"""Modelfiles: read as Ollama reads them, rendered by Go, and compared with the model's template."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import chat_templates
import pytest
from chat_templates import tokenizer

from minirl.errors import ModelError
from minirl.export.joints import Joints, take_apart
from minirl.export.modelfile import go_template, modelfile, write_modelfile
from minirl.models.chat import ChatCodec
from minirl.types import Message, Role

GO_SOURCE = Path(chat_templates.__file__).with_name("ollama_template.go")
FAMILIES = [n for n in dir(chat_templates) if n.isupper() and n != "CONTROL"]
TEXTS = (
    "What is 3 + 4?",
    'Say "{{ .Role }}" & <b>\\n</b>, twice:\n\n{% x %}',
    "Grüße, 你好 🙂 `$before`",
    '"""',
    "{",
)
NO_PLACE = "the template has no place for this"


def codec(name: str, *, adds_bos: bool = False, thinking: bool = False) -> ChatCodec:
    made = tokenizer(getattr(chat_templates, name), adds_bos=adds_bos)
    return ChatCodec(made, thinking=thinking)


def written(of: ChatCodec, **options: Any) -> str:
    given = {"adapter": None, "temperature": 1.0, "context": 512, "description": "d"} | options
    return modelfile(of, gguf="x.gguf", **given)


def conversation(roles: str, shift: int = 0) -> list[Message]:
    """``sua`` is a message each by system, user and assistant."""
    names: dict[str, Role] = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}
    return [Message(names[r], TEXTS[(i + shift) % len(TEXTS)]) for i, r in enumerate(roles)]


def read(text: str) -> dict[str, list[str]]:
    """A Modelfile by Ollama's rules: what cannot be printed is dropped, a value that begins with
    quotes ends with the line in which they close.
    """
    kept = "".join(c for c in text if c.isprintable() or c in "\r\n")
    commands: dict[str, list[str]] = {}
    lines = kept.split("\n")
    while lines:
        line = lines.pop(0)
        if not line.strip() or line.startswith("#"):
            continue
        name, _, value = line.partition(" ")
        if name == "PARAMETER":
            name, _, value = value.partition(" ")
        for quotes in ('"""', '"'):
            if value.startswith(quotes):
                while not (len(value) >= 2 * len(quotes) and value.strip().endswith(quotes)):
                    value += "\n" + lines.pop(0)
                value = value.strip()[len(quotes) : -len(quotes)]
                break
        commands.setdefault(name, []).append(value)
    return commands


Render = Callable[[str, Sequence[Sequence[Message]]], list[str]]


@pytest.fixture(scope="session")
def ollama(tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Go's own template engine, behind Ollama's way of joining messages."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("no Go compiler: `apt-get install golang-go` brings the engine that Ollama has")
    made = tmp_path_factory.mktemp("go")
    env = {**os.environ, "GOCACHE": str(made / "cache"), "GO111MODULE": "off"}
    subprocess.run([go, "build", "-o", made / "ollama", GO_SOURCE], check=True, env=env)

    def render(template: str, conversations: Sequence[Sequence[Message]]) -> list[str]:
        said = [[{"Role": m.role, "Content": m.content} for m in c] for c in conversations]
        given = json.dumps({"template": template, "conversations": said})
        done = subprocess.run([made / "ollama"], input=given.encode(), capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        out: list[str] = json.loads(done.stdout)
        return out

    return render


# In Go -----------------------------------------------------------------------------------------

PLAIN = ("u", "uau", "uauauau")
WITH_SYSTEM = ("su", "suau", "suauau")
WITH_TOOLS = ("uat", "uatt", "uatau", "suattau", "uattauatt")
NO_SYSTEM = {"GEMMA", "MISTRAL", "MISTRAL_3"}
NO_TOOLS = {"GEMMA", "GEMMA_3", "MISTRAL", "MISTRAL_3", "PHI_3", "LLAMA_3_1"}


@pytest.mark.parametrize("name", FAMILIES)
def test_go_writes_what_the_model_s_own_template_writes(name: str, ollama: Render) -> None:
    of = codec(name)
    template = read(written(of))["TEMPLATE"][0]
    orders = [*PLAIN]
    orders += [] if name in NO_SYSTEM else WITH_SYSTEM
    orders += [] if name in NO_TOOLS else WITH_TOOLS
    said = [conversation(roles, shift) for roles in orders for shift in range(len(TEXTS))]
    assert ollama(template, said) == [f"ok:{of.render(messages)}" for messages in said]


@pytest.mark.parametrize(
    ("name", "roles"), [("GEMMA", "su"), ("MISTRAL_3", "su"), ("PHI_3", "uat"), ("GEMMA_3", "uasu")]
)
def test_go_refuses_what_the_template_has_no_place_for(
    name: str, roles: str, ollama: Render
) -> None:
    [said] = ollama(read(written(codec(name)))["TEMPLATE"][0], [conversation(roles)])
    assert said.startswith("error:")
    assert NO_PLACE in said


def test_a_conversation_whose_beginning_was_dropped_goes_on(ollama: Render) -> None:
    """Ollama cuts the oldest messages where the context is full, be they questions or not."""
    of = codec("MISTRAL")
    template = read(written(of))["TEMPLATE"][0]
    [said] = ollama(template, [conversation("auau")])
    assert said == f"ok:{of.render(conversation('uau', 1))}"


def test_an_answer_that_has_begun_is_left_open(ollama: Render) -> None:
    of = codec("CHATML")
    [said] = ollama(read(written(of))["TEMPLATE"][0], [conversation("ua")])
    assert said.endswith(f"<|im_start|>assistant\n{TEXTS[1]}")


@pytest.mark.parametrize(
    "text", ['{{ x }} {{{ {"{', 'a"""b""""', "a\u00a0{\u00a0\r\t\ufeff\U000e0001", "{{-", '"', "}}"]
)
def test_no_text_of_a_template_breaks_out(text: str, ollama: Render) -> None:
    between = {("", "user"): text, ("user", ""): text}
    file = f'TEMPLATE """{go_template(Joints(between, frozenset()))}"""\n'
    assert ollama(read(file)["TEMPLATE"][0], [conversation("u")]) == [f"ok:{text}{TEXTS[0]}{text}"]


# Without Go ------------------------------------------------------------------------------------


def test_the_whole_file() -> None:
    file = written(codec("CHATML"), adapter="lora.gguf", temperature=0.25, description="a\nFROM b")
    said = read(file)
    assert file.startswith("# a\n# FROM b\nFROM ./x.gguf\nADAPTER ./lora.gguf\n")
    assert said["FROM"] == ["./x.gguf"]
    assert said["stop"] == ["<|im_end|>", "</s>"]
    assert (said["temperature"], said["num_ctx"]) == (["0.25"], ["512"])
    assert (said["top_k"], said["top_p"], said["repeat_penalty"]) == (["0"], ["1"], ["1"])


def test_joints_are_read_off() -> None:
    joints = take_apart(codec("QWEN_2_5"))
    assert joints.missing == ()
    assert joints.between["", "system"] == "<|im_start|>system\n"
    assert "You are Qwen" in joints.between["", "user"]
    assert joints.between["tool", "tool"] == "\n</tool_response>\n<tool_response>\n"
    assert joints.between["user", ""] == "<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("GEMMA", {"system messages", "system messages in the midst", "tool messages"}),
        ("GEMMA_3", {"system messages in the midst", "tool messages"}),
        ("MISTRAL_3", {"system messages", "system messages in the midst", "tool messages"}),
        ("LLAMA_3_1", {"tool messages"}),
    ],
)
def test_what_cannot_be_said_is_told(name: str, missing: set[str]) -> None:
    of = codec(name)
    assert set(take_apart(of).missing) == missing
    assert "# This TEMPLATE has no place for " in written(of)
    if "system messages" in missing:
        with pytest.raises(ModelError, match="no plain place for messages by system"):
            written(of, roles=("system", "user"))


def test_blanks_that_the_template_strips_are_told() -> None:
    assert "strips blanks around messages (system, user, assistant, tool)" in written(
        codec("LLAMA_3")
    )
    assert "strips" not in written(codec("CHATML"))


def test_the_bos_is_left_to_llama_cpp_where_it_adds_it() -> None:
    assert "<s><|start_header_id|>" in written(codec("LLAMA_3"))
    assert "<s>" not in written(codec("LLAMA_3", adds_bos=True))
    assert "# llama.cpp begins with <s>" in written(codec("CHATML", adds_bos=True))


def test_a_template_that_forgets_thoughts_is_refused_where_there_may_be_some() -> None:
    assert "<think>\n\n</think>" in written(codec("QWEN_3"))
    with pytest.raises(ModelError, match="drops the thoughts of earlier turns"):
        written(codec("QWEN_3", thinking=True))


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("{{ messages | length }}" + chat_templates.CHATML, "writes different things"),
        ("{% set messages = messages | reverse | list %}" + chat_templates.CHATML, "moves them"),
        ("{% set messages = messages[-1:] %}" + chat_templates.CHATML, "leaves out"),
        (
            chat_templates.CHATML.replace("m['content']", "m['content'] | upper"),
            "leaves out|alters",
        ),
        (chat_templates.CHATML.replace("m['content']", "m['content'] | e"), "alters what messages"),
    ],
)
def test_other_templates_are_refused(template: str, what: str) -> None:
    with pytest.raises(ModelError, match=what) as caught:
        written(ChatCodec(tokenizer(template)))
    assert "llama-server --jinja" in str(caught.value)


def test_names_and_descriptions_cannot_add_lines() -> None:
    file = written(codec("CHATML"), description="a\rFROM evil\u2028FROM evil\x1b[2J")
    assert read(file)["FROM"] == ["./x.gguf"]
    assert "\x1b" not in file
    for name in ("a\nFROM b", 'a"b', " a", "a\u202eb"):
        with pytest.raises(ModelError, match="cannot read the file name"):
            written(codec("CHATML"), adapter=name)
    assert "ADAPTER ../base/l.gguf\n" in written(codec("CHATML"), adapter="../base/l.gguf")


def test_beside_a_gguf_or_an_adapter_with_its_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment opens with a system prompt or it does not; the template has to fit."""
    from minirl.config import Recipe
    from minirl.export.verify import Target
    from minirl.models import stock

    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).touch()
    monkeypatch.setattr(stock, "load_tokenizer", lambda *_: codec("QWEN_2_5").tokenizer)
    recipe = Recipe.model_validate(
        {"env": {"name": "arithmetic"}, "model": {"name": str(tmp_path)}}
    )
    into, base = tmp_path / "Modelfile", tmp_path / "base.gguf"
    write_modelfile(recipe, Target(tmp_path / "a-f16.gguf", "gguf", "f16"), into)
    assert read(into.read_text())["FROM"] == ["./a-f16.gguf"]
    lora = Target(tmp_path / "a-lora.gguf", "gguf-lora", "f32", base=base)
    write_modelfile(recipe, lora, into)
    said = read(into.read_text())
    assert (said["FROM"], said["ADAPTER"]) == ([str(base.resolve())], ["./a-lora.gguf"])
    with pytest.raises(ModelError, match="needs the GGUF of its base"):
        write_modelfile(recipe, Target(lora.path, "gguf-lora", "f32"), into)


@pytest.mark.slow
def test_the_real_smollm2() -> None:
    """Where it is in the user's cache; its template is the one above."""
    home = Path.home() / ".cache" / "minirl" / "smollm2-135m"
    if not (home / "tokenizer.json").is_file():
        pytest.skip("SmolLM2 is not in the model cache: `minirl models pull smollm2-135m`")
    from transformers import AutoTokenizer

    real = written(ChatCodec(AutoTokenizer.from_pretrained(home)))
    assert read(real)["TEMPLATE"] == read(written(codec("SMOLLM2")))["TEMPLATE"]
    assert read(real)["stop"] == ["<|im_end|>"]
