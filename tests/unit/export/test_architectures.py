"""Each family that minirl exports, in real llama.cpp: base with an adapter GGUF, and merged, give
the distributions that transformers and peft give.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from tiny_families import MAKERS, VOCABULARY, add_adapter, make_family

from minirl.config import ModelConfig
from minirl.export.converter import convert
from minirl.export.families import family_of
from minirl.export.llama import LlamaServer, Next, serve
from minirl.export.lora_gguf import write_lora_gguf
from minirl.export.merged import write_merged
from minirl.export.verify.agreement import ModelNextTokens, Text
from minirl.export.verify.gguf_file import open_gguf
from minirl.export.verify.tensors import check_merged
from minirl.rundir import read_json

pytest.importorskip("xllamacpp", reason="no llama.cpp: pip install -c constraints.txt '.[gguf]'")

# Largest difference of a log-probability, in fp32 throughout: two orders of adding up.
TOLERANCE = 2e-3
# The same against matrices in f16.
TOLERANCE_F16 = 0.05


def texts() -> list[Text]:
    """Random token ids, special ones left out; longer than a sliding window of 64."""
    draws = torch.Generator().manual_seed(0)
    rows = torch.randint(4, VOCABULARY, (2, 80), generator=draws).tolist()
    return [Text((1, *row), (1, 2, 3, 10, 40, 70, 80)) for row in rows]


def apart(trained: ModelNextTokens, served: LlamaServer) -> tuple[float, bool]:
    """The largest difference of log-probabilities, and whether the likeliest tokens are equal."""
    worst, same = 0.0, True
    for text in texts():
        rows = trained.logprobs(text)
        found: Sequence[Next] = served.next_tokens([text.ids[:n] for n in text.lengths], VOCABULARY)
        for row, got in zip(rows, found, strict=True):
            assert len(got.ids) == VOCABULARY
            ids = torch.tensor(got.ids)
            worst = max(worst, float((row[ids] - torch.tensor(got.logprobs)).abs().max()))
            same &= int(row.argmax()) == got.ids[0]
    return worst, same


@pytest.fixture(scope="module", params=list(MAKERS))
def family(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, converter: Path
) -> Path:
    """A folder with base/ and adapter/ of one family."""
    where = tmp_path_factory.mktemp(request.param)
    base = make_family(request.param, where / "base")
    add_adapter(base, where / "adapter", use_rslora=request.param == "llama")
    return where


@pytest.fixture(scope="module")
def tuned(family: Path) -> ModelNextTokens:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(family / "base", dtype=torch.float32)
    peft_model = PeftModel.from_pretrained(model, family / "adapter").eval()
    return ModelNextTokens(peft_model, torch.device("cpu"))


def test_base_with_an_adapter(family: Path, tuned: ModelNextTokens, tmp_path: Path) -> None:
    base, lora = tmp_path / "base.gguf", tmp_path / "lora.gguf"
    convert(family / "base", base, "f32")
    write_lora_gguf(family / "adapter", read_json(family / "base" / "config.json"), lora)
    shape = {"context": 256, "parallel": 2, "threads": 1}
    with serve(base, lora=lora, exact=True, **shape) as served:
        worst, same = apart(tuned, served)
    assert same
    assert worst < TOLERANCE
    with serve(base, exact=True, **shape) as served:
        assert apart(tuned, served)[0] > 0.5, "the adapter changes what the base says"


def test_merged(family: Path, tuned: ModelNextTokens, tmp_path: Path) -> None:
    config = ModelConfig(name=str(family / "base"))
    merged, out = tmp_path / "merged", tmp_path / "merged.gguf"
    write_merged(config, family / "adapter", merged, dtype="fp16")
    convert(merged, out, "f16")
    check = check_merged(open_gguf(out), tuned.model, family_of(read_json(merged / "config.json")))
    assert check.first is None
    assert check.worst < 1e-3
    with serve(out, context=256, parallel=2, threads=1, exact=True) as served:
        worst, _ = apart(tuned, served)
    assert worst < TOLERANCE_F16
