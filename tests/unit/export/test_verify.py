"""Verification in real llama.cpp: what is right passes, and each way in which exports have gone
wrong is found, by the tensors where they show it and by what llama.cpp answers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from gguf_edit import Tensors, edited, fewer_layers, without_layer
from tiny_families import make_family, make_like_tiny

from minirl.config import Recipe, find_recipe, load_recipe
from minirl.envs import make_env
from minirl.export import lora_gguf
from minirl.export.converter import convert
from minirl.export.exporter import Exporter, Order
from minirl.export.families import Family, family_of
from minirl.export.verify import Target, Verifier
from minirl.export.verify import verify as verification
from minirl.models.load import LoadedModel, load_model
from minirl.rundir import RunDir

pytest.importorskip("xllamacpp", reason="no llama.cpp: pip install -c constraints.txt '.[gguf]'")

TASKS, PLACES = 12, 150


@dataclass(frozen=True)
class Setting:
    """A run of the tiny model, what was exported of it, and who checks that."""

    recipe: Recipe
    run: RunDir
    exporter: Exporter
    loaded: LoadedModel
    family: Family
    targets: dict[str, Target]
    verifier: Verifier

    def __getitem__(self, name: str) -> Target:
        return self.targets[name]


@pytest.fixture(scope="module")
def setting(converter: Path, tiny_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Setting:
    recipe = load_recipe(find_recipe("tiny"), [])
    run = RunDir.create(
        tmp_path_factory.mktemp("runs") / "tiny",
        recipe_toml=recipe.to_toml(),
        config=recipe.model_dump(mode="json"),
        force=False,
    )
    model = recipe.model.model_copy(update={"backend": "transformers"})
    loaded = load_model(model, seed=0)
    draws = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in loaded.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02, generator=draws)
    loaded.model.save_pretrained(run.adapter)
    exporter = Exporter(recipe, run, run.path / "export")
    order = Order(("adapter", "merged", "gguf-lora", "gguf"), ("f16", "q8_0", "q4_k_m"))
    targets = {t.name: t for t in exporter.write(order)}
    assert exporter.missing == []
    family = family_of(exporter.base_config())
    env = make_env(recipe.env.name, recipe.env.options)
    verifier = Verifier(recipe, loaded, env, run.adapter, family, positions=PLACES, tasks=TASKS)
    return Setting(recipe, run, exporter, loaded, family, targets, verifier)


def failures(setting: Setting, target: Target) -> str:
    record = setting.verifier.verify(target)
    assert record["passed"] is (not record["failures"])
    json.dumps(record, allow_nan=False)
    return " | ".join(record["failures"])


def without_tensors(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let llama.cpp alone judge."""
    monkeypatch.setattr(Verifier, "_check_tensors", lambda *_: None)


@pytest.mark.parametrize(
    "name",
    ["adapter", "merged", "tiny-lora.gguf", "tiny-f16.gguf", "tiny-q8_0.gguf", "tiny-q4_k_m.gguf"],
)
def test_what_minirl_exports_passes(setting: Setting, name: str) -> None:
    record = setting.verifier.verify(setting[name])
    assert record["failures"] == []
    if name == "adapter":
        return
    distributions = record["distributions"]
    assert distributions["positions"] == PLACES
    if name in ("merged", "tiny-lora.gguf", "tiny-f16.gguf"):
        assert distributions["top1"]["value"] >= 0.99
        assert distributions["kl"]["value"] < 1e-4
    assert record["answers"]["solved"]["n"] == TASKS
    if name.endswith(".gguf"):
        assert record["tensors"]["compared"] > 10
        assert record["words"]["texts"] >= 5
        assert record["engine"]


def test_the_adapter_does_something(setting: Setting) -> None:
    """Otherwise every adapter would pass."""
    base = replace(setting["tiny-f16.gguf"], path=setting["tiny-lora.gguf"].base)
    assert "likeliest token" in failures(setting, base)


# an adapter that went wrong -----------------------------------------------------------------------


@pytest.mark.parametrize("judge", ["tensors", "llama.cpp"])
def test_a_skipped_permutation_of_q_and_k_is_found(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge: str
) -> None:
    wrong = tmp_path / "wrong.gguf"
    with monkeypatch.context() as patch:
        plain = replace(setting.family, reordered=False)
        patch.setattr(lora_gguf, "family_of", lambda _: plain)
        lora_gguf.write_lora_gguf(setting.run.adapter, setting.exporter.base_config(), wrong)
    if judge == "llama.cpp":
        without_tensors(setting, monkeypatch)
    told = failures(setting, replace(setting["tiny-lora.gguf"], path=wrong))
    assert ("tensor blk.0.attn_k.weight is off" if judge == "tensors" else "KL") in told


@pytest.mark.parametrize("judge", ["tensors", "llama.cpp"])
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_wrong_alpha_is_found(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge: str, factor: float
) -> None:
    good = setting["tiny-lora.gguf"]
    alpha = gguf.GGUFReader(good.path).fields["adapter.lora.alpha"].contents()
    wrong = edited(good.path, tmp_path / "wrong.gguf", meta={"adapter.lora.alpha": alpha * factor})
    if judge == "llama.cpp":
        without_tensors(setting, monkeypatch)
    told = failures(setting, replace(good, path=wrong))
    assert ("tensor blk.0." if judge == "tensors" else "KL") in told


@pytest.mark.parametrize("judge", ["tensors", "llama.cpp"])
def test_a_dropped_layer_of_an_adapter_is_found(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge: str
) -> None:
    good = setting["tiny-lora.gguf"]
    wrong = edited(good.path, tmp_path / "wrong.gguf", tensors=without_layer(1))
    if judge == "llama.cpp":
        without_tensors(setting, monkeypatch)
    told = failures(setting, replace(good, path=wrong))
    assert ("blk.1." if judge == "tensors" else "KL") in told
    assert judge != "tensors" or "is missing" in told


def test_another_rank_is_found(setting: Setting, tmp_path: Path) -> None:
    def narrower(found: Tensors) -> Tensors:
        return {
            name: (
                data[: len(data) // 2]
                if name.endswith("lora_a")
                else data[:, : data.shape[1] // 2],
                kind,
            )
            for name, (data, kind) in found.items()
        }

    good = setting["tiny-lora.gguf"]
    wrong = edited(good.path, tmp_path / "wrong.gguf", tensors=narrower)
    assert "tensor blk.0." in failures(setting, replace(good, path=wrong))


def test_a_wrong_base_is_found(setting: Setting, tmp_path: Path) -> None:
    """One of the same shape and the same tokens, with other weights."""
    convert(make_like_tiny(tmp_path / "other", seed=1), tmp_path / "other.gguf", "f16")
    told = failures(setting, replace(setting["tiny-lora.gguf"], base=tmp_path / "other.gguf"))
    assert "likeliest token" in told
    assert " in training, " in told


def test_a_base_of_another_shape_is_refused_by_llama_cpp(setting: Setting, tmp_path: Path) -> None:
    convert(make_family("llama", tmp_path / "other"), tmp_path / "other.gguf", "f16")
    told = failures(setting, replace(setting["tiny-lora.gguf"], base=tmp_path / "other.gguf"))
    assert "base" in told or "shape" in told


# a merged model that went wrong -------------------------------------------------------------------


@pytest.mark.parametrize("judge", ["tensors", "llama.cpp"])
def test_a_merged_model_without_a_layer_is_found(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge: str
) -> None:
    good = setting["tiny-f16.gguf"]
    wrong = edited(
        good.path,
        tmp_path / "wrong.gguf",
        meta={"llama.block_count": 1},
        tensors=lambda found: fewer_layers(found, dropped=0),
    )
    if judge == "llama.cpp":
        without_tensors(setting, monkeypatch)
    told = failures(setting, replace(good, path=wrong))
    assert ("tensor blk.0." if judge == "tensors" else "likeliest token") in told


@pytest.mark.parametrize("judge", ["tensors", "llama.cpp"])
def test_rows_of_q_in_the_wrong_order_are_found(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge: str
) -> None:
    def shuffled(found: Tensors) -> Tensors:
        data, kind = found["blk.1.attn_q.weight"]
        rows = setting.family.rows("model.layers.1.self_attn.q_proj", data)
        return found | {"blk.1.attn_q.weight": (rows, kind)}

    good = setting["tiny-f16.gguf"]
    wrong = edited(good.path, tmp_path / "wrong.gguf", tensors=shuffled)
    if judge == "llama.cpp":
        without_tensors(setting, monkeypatch)
    told = failures(setting, replace(good, path=wrong))
    assert ("tensor blk.1.attn_q.weight" if judge == "tensors" else "KL") in told


def test_a_swapped_template_is_found(setting: Setting, tmp_path: Path) -> None:
    good = setting["tiny-f16.gguf"]
    other = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}[assistant]"
    wrong = edited(good.path, tmp_path / "wrong.gguf", meta={"tokenizer.chat_template": other})
    told = failures(setting, replace(good, path=wrong))
    assert "the template makes another text of" in told
    assert "<|im_start|>" in told


def test_tokens_that_changed_places_are_found(setting: Setting, tmp_path: Path) -> None:
    good = setting["tiny-f16.gguf"]
    tokens = list(gguf.GGUFReader(good.path).fields["tokenizer.ggml.tokens"].contents())
    tokens[20], tokens[21] = tokens[21], tokens[20]
    wrong = edited(good.path, tmp_path / "wrong.gguf", meta={"tokenizer.ggml.tokens": tokens})
    assert "other tokens after" in failures(setting, replace(good, path=wrong))


@pytest.mark.parametrize("left", [3, 2000, 0.5, 0.999])
@pytest.mark.parametrize("name", ["tiny-lora.gguf", "tiny-f16.gguf", "tiny-q4_k_m.gguf"])
def test_a_truncated_file_is_found(
    setting: Setting, tmp_path: Path, name: str, left: float
) -> None:
    whole = setting[name].path.read_bytes()
    wrong = tmp_path / "wrong.gguf"
    wrong.write_bytes(whole[: int(left if left > 1 else left * len(whole))])
    told = failures(setting, replace(setting[name], path=wrong))
    assert "cut short" in told or "no GGUF" in told


def test_a_merged_directory_with_other_weights_is_found(setting: Setting, tmp_path: Path) -> None:
    make_like_tiny(tmp_path / "merged", seed=1)
    told = failures(setting, replace(setting["merged"], path=tmp_path / "merged"))
    assert "likeliest token" in told


def test_an_adapter_that_is_another_one_is_found(setting: Setting, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    told = failures(setting, replace(setting["adapter"], path=tmp_path / "adapter"))
    assert "differ from the run's adapter" in told


def test_a_model_that_solves_less_is_found(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The distributions of a few hundred places may agree where answers do not."""

    def nothing(*arguments: Any, **more: Any) -> Any:
        played = setting.verifier.trained
        groups = tuple(
            replace(
                g,
                rollouts=tuple(
                    replace(r, score=replace(r.score, solved=solved)) for r in g.rollouts
                ),
            )
            for g in played.groups
        )
        return replace(played, groups=groups)

    verifier = replace(setting.verifier)
    solved = True
    verifier.trained = nothing()
    solved = False
    monkeypatch.setattr(verification, "play_greedily", nothing)
    record = verifier.verify(setting["tiny-f16.gguf"])
    assert "it solves less than the trained model: -100.0 points" in " ".join(record["failures"])
