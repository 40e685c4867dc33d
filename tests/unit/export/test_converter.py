"""llama.cpp's converter as a child: what it makes of the tiny model, and how its failures read."""

import json
import random
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from tokenizers import Tokenizer, pre_tokenizers

from minirl.errors import ConfigError, DiskFullError, MissingExtraError, ModelError
from minirl.export import converter as conversion
from minirl.export.converter_child import byte_level, single_characters
from minirl.export.llama.backends import BACKENDS, is_installed

Stub = Callable[[str], None]

# A converter of a few lines, and a torch of none: what the child does with them is what is tested.
BASE = """
import contextlib
import logging
import sys
from types import SimpleNamespace

import gguf

logger = logging.getLogger("hf-to-gguf")


class Model:
    def __init__(self, model_dir, ftype, out):
        self.out, self.ftype, self.hparams = out, ftype, {}

    def get_vocab_base_pre(self, tokenizer):
        logger.warning("** chkhsh:  abc123")
        raise NotImplementedError("BPE pre-tokenizer was not recognized")

    def write(self):
        from tqdm import tqdm
        print("chatter on standard output")
        bar = tqdm(total=10, desc="Writing")
        self.out.write_bytes(b"half")
        bar.update(5)
        work(self)


class ModelBase:
    @staticmethod
    def load_hparams(model_dir, mistral):
        return {}


ModelType = SimpleNamespace(TEXT=0)


def get_model_architecture(hparams, kind):
    return "StrangeForCausalLM"


def get_model_class(architecture):
    return Model


"""


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """Make a converter whose work is the code given."""

    def make(code: str) -> None:
        tree = tmp_path / "tree"
        for folder in ("conversion", "gguf-py/gguf"):
            (tree / folder).mkdir(parents=True, exist_ok=True)
        (tree / "conversion/base.py").write_text("")
        (tree / "conversion/__init__.py").write_text(f"{BASE}\n{code}\n")
        (tree / "gguf-py/gguf/__init__.py").write_text(
            "class LlamaFileType:\n"
            "    ALL_F32, MOSTLY_F16, MOSTLY_BF16, MOSTLY_Q8_0 = 'f32', 'f16', 'bf16', 'q8_0'\n"
        )
        (tree / "torch.py").write_text(
            "import contextlib\n\n\ndef inference_mode():\n    return contextlib.nullcontext()\n"
        )
        monkeypatch.setenv(conversion.CHECKOUT, str(tree))

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    return make


def convert(tmp_path: Path, outtype: str = "f16") -> Path:
    out = tmp_path / "out" / "model.gguf"
    conversion.convert(tmp_path / "model", out, outtype)
    return out


def test_what_the_converter_writes_appears_whole(stub: Stub, tmp_path: Path) -> None:
    stub("def work(model):\n    model.out.write_text(model.ftype)")
    assert convert(tmp_path, "bf16").read_text() == "bf16"
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["model.gguf"]


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("def work(model): model.get_vocab_base_pre(None)", ModelError, r"got: +hash abc123"),
        (
            "def work(model): raise FileNotFoundError('File not found: m/tokenizer.model')",
            ModelError,
            "no tokenizer.model",
        ),
        (
            "def get_model_class(a): raise NotImplementedError(a)",
            ModelError,
            "architecture StrangeForCausalLM",
        ),
        (
            "import os\ndef work(model):\n    print('GGML_ASSERT(x) failed'); sys.stdout.flush(); "
            "os.abort()",
            ModelError,
            r"(?s)exit status -6.*GGML_ASSERT\(x\) failed",
        ),
        (
            "def work(model): raise ValueError('Can not map tensor lora_A')",
            ModelError,
            "Can not map tensor lora_A",
        ),
        (
            "def work(model): raise OSError(28, 'No space left on device')",
            DiskFullError,
            r"model\.gguf",
        ),
    ],
)
def test_a_failure_says_what_it_was_and_leaves_nothing(
    stub: Stub, tmp_path: Path, code: str, error: type[Exception], words: str
) -> None:
    stub(code)
    with pytest.raises(error, match=words):
        convert(tmp_path)
    assert not list((tmp_path / "out").iterdir())


def test_number_formats_and_directories_are_checked_first(stub: Stub, tmp_path: Path) -> None:
    stub("")
    with pytest.raises(ConfigError, match="q8_0"):
        convert(tmp_path, "q4_k_m")
    (tmp_path / "model" / "config.json").unlink()
    with pytest.raises(ModelError, match="holds no model"):
        convert(tmp_path)


def test_the_converter_has_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(conversion.CHECKOUT, raising=False)
    monkeypatch.setenv("MINIRL_CACHE", str(tmp_path))
    with pytest.raises(MissingExtraError, match="minirl models pull gguf-converter"):
        conversion.find_converter()
    monkeypatch.setenv(conversion.CHECKOUT, str(tmp_path))
    with pytest.raises(ModelError, match=r"conversion/base\.py"):
        conversion.find_converter()


# the tiny model --------------------------------------------------------------------------------


def test_bytes_are_written_as_gpt2_writes_them() -> None:
    byte_pairs = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for character in map(chr, range(128)):
        assert byte_level(character) == byte_pairs.pre_tokenize_str(character)[0][0]


def test_only_a_tokenizer_of_single_ascii_characters_is_one(tmp_path: Path) -> None:
    def write(kind: str, *tokens: str) -> Path:
        vocabulary = {token: i for i, token in enumerate(["<s>", *tokens])}
        model = {"type": kind, "vocab": vocabulary}
        told = {"model": model, "added_tokens": [{"content": "<s>"}]}
        (tmp_path / "tokenizer.json").write_text(json.dumps(told))
        return tmp_path

    assert single_characters(tmp_path) == {}
    assert single_characters(write("WordLevel", "a", "\n")) == {"<s>": 0, "a": 1, "\n": 2}
    assert single_characters(write("WordLevel", "a", "bc")) == {}
    assert single_characters(write("WordLevel", "a", "é")) == {}
    assert single_characters(write("BPE", "a", "b")) == {}


def test_the_tiny_models_weights_come_through(tiny_gguf: Path, tiny_cache: Path) -> None:
    from safetensors.numpy import load_file

    reader: Any = gguf.GGUFReader(tiny_gguf)
    tensors = {t.name: t for t in reader.tensors}
    weights = load_file(tiny_cache / "tiny" / "model.safetensors")
    assert len(tensors) == len(weights) == 20
    down = weights["model.layers.1.mlp.down_proj.weight"].astype(np.float16)
    assert np.array_equal(tensors["blk.1.ffn_down.weight"].data, down)
    norm = weights["model.norm.weight"]
    assert np.array_equal(tensors["output_norm.weight"].data, norm)  # vectors stay f32
    template = (tiny_cache / "tiny" / "chat_template.jinja").read_text()
    assert reader.get_field("tokenizer.chat_template").contents() == template
    ids = [reader.get_field(f"tokenizer.ggml.{k}_token_id").contents() for k in ("bos", "eos")]
    assert ids == [1, 2]


def test_llama_cpp_tokenizes_as_the_tiny_model_does(tiny_gguf: Path, tiny_cache: Path) -> None:
    if not any(map(is_installed, BACKENDS)):
        pytest.skip("no llama.cpp: pip install -c constraints.txt '.[gguf]'")
    from minirl.export.llama import serve

    pick = random.Random(0)
    characters = "\n" + string.printable[:95]
    texts = [
        "\n\n1.",
        "12 + 345",
        "  a  b ",
        " ",
        "\n",
        characters,
        "<|im_start|>user\nI'll say 'd<|im_end|>\n<|im_start|>assistant\n",
        "<|im <unk><|endoftext|>x",
    ]
    texts += ["".join(pick.choices(characters + " \n" * 9, k=40)) for _ in range(300)]
    tokenizer = Tokenizer.from_file(str(tiny_cache / "tiny" / "tokenizer.json"))
    with serve(tiny_gguf, context=256, parallel=1) as server:
        for text in texts:
            expected = tokenizer.encode(text, add_special_tokens=False).ids
            assert server.tokenize(text) == expected, text
        a, unknown, b = tokenizer.encode("a🦙b", add_special_tokens=False).ids
        assert unknown == tokenizer.token_to_id("<unk>")
        assert server.tokenize("a🦙b") == [a, b]  # left out there: see _write_characters


def test_an_unknown_pre_tokenizer_is_named(converter: Path, tmp_path: Path) -> None:
    """The real converter, and a tokenizer of a kind that it has never met."""
    from tokenizers import decoders, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=1,
    )
    model = tmp_path / "model"
    LlamaForCausalLM(config).save_pretrained(model)
    PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(model)
    with pytest.raises(ModelError, match=r"(?s)splits words.*hash [0-9a-f]{64}"):
        conversion.convert(model, tmp_path / "out.gguf", "f16")
    assert not (tmp_path / "out.gguf").exists()
