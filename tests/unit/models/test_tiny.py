"""The tiny model: the same bytes for the same seed, and a tokenizer that loses nothing."""

import hashlib
import string
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from minirl.models import tiny
from minirl.models.catalogue import CATALOGUE
from minirl.models.tiny import build_tiny

PRINTABLE = "\n" + string.printable[:95]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    build_tiny(path)
    return path


@pytest.fixture(scope="module")
def tokenizer(built: Path) -> Any:
    return AutoTokenizer.from_pretrained(built)


def hashes(path: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in path.iterdir()}


def test_the_same_seed_gives_the_same_bytes_and_another_other_weights(
    built: Path, tmp_path: Path
) -> None:
    before = torch.get_rng_state()
    build_tiny(tmp_path / "again")
    build_tiny(tmp_path / "other", seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    again, other, first = hashes(tmp_path / "again"), hashes(tmp_path / "other"), hashes(built)
    assert again == first
    assert {name for name in first if first[name] != other[name]} == {"model.safetensors"}


def test_building_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny, "MOST_STEPS", 2)
    build_tiny(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_it_has_the_parameters_that_the_catalogue_says(built: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(built)
    assert sum(p.numel() for p in model.parameters()) == CATALOGUE["tiny"].parameters == 954_048
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert (model.config.pad_token_id, model.config.eos_token_id) == (0, 2)
    assert (model.generation_config.pad_token_id, model.generation_config.eos_token_id) == (0, 2)


def test_special_tokens_are_single_and_have_smollm2s_ids(tokenizer: Any) -> None:
    text = "<|endoftext|><|im_start|><|im_end|><unk>"
    assert tokenizer(text)["input_ids"] == [0, 1, 2, 3]
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)


def test_every_printable_character_is_one_token_and_comes_back(tokenizer: Any) -> None:
    ids = tokenizer(PRINTABLE)["input_ids"]
    assert ids == list(range(4, 100))
    assert tokenizer.decode(ids) == PRINTABLE


@given(text=st.text(st.sampled_from(PRINTABLE), max_size=80).filter(lambda t: "<" not in t))
def test_round_trip(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text)["input_ids"]
    assert len(ids) == len(text)
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_a_foreign_character_is_unknown(tokenizer: Any) -> None:
    assert tokenizer("é1")["input_ids"][0] == 3


def test_chat_is_chatml_without_a_default_system_prompt(tokenizer: Any) -> None:
    chat = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "What is 3 + 4?"},
        {"role": "assistant", "content": "add(3, 4)"},
        {"role": "tool", "content": "7"},
    ]
    want = (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nWhat is 3 + 4?<|im_end|>\n"
        "<|im_start|>assistant\nadd(3, 4)<|im_end|>\n<|im_start|>tool\n7<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    render = tokenizer.apply_chat_template
    assert render(chat, add_generation_prompt=True, tokenize=False) == want
    ids = render(chat[1:2], add_generation_prompt=True, tokenize=True, return_dict=False)
    pieces = [[1], "user\nWhat is 3 + 4?", [2], "\n", [1], "assistant\n"]
    flat = [i for p in pieces for i in (p if isinstance(p, list) else tokenizer(p)["input_ids"])]
    assert ids == flat
