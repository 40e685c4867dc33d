"""Names become models, or errors that say what to do."""

import json
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest

from minirl.errors import ModelError, UnknownNameError
from minirl.models import locate, store, tiny
from minirl.models.catalogue import cache_dir, list_models, pull_model, resolve_model


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINIRL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MINIRL_OFFLINE", raising=False)
    # What these tests are about is storing a model, not what it knows.
    monkeypatch.setattr(tiny, "_cold_start", lambda *_: None)
    return tmp_path / "cache"


def local_model(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(b"")
    return path


def test_importing_the_catalogue_leaves_torch_out() -> None:
    code = "import sys, minirl.models.catalogue; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_cache_dir_goes_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_dir() == tmp_path / "cache"
    monkeypatch.setenv("MINIRL_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "minirl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "minirl"


def test_a_directory_is_a_model(tmp_path: Path) -> None:
    path = local_model(tmp_path / "mine")
    found = resolve_model(str(path))
    assert (found.location, found.source) == (str(path), "local")


def test_a_directory_shaped_like_a_hub_id_goes_before_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_model(tmp_path / "org" / "name")
    monkeypatch.chdir(tmp_path)
    assert resolve_model("org/name").source == "local"


def test_a_directory_named_like_a_catalogue_model_does_not_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_model(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    assert resolve_model("tiny").source == "catalogue"
    assert resolve_model("./tiny").source == "local"


def test_a_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no model") as caught:
        resolve_model(str(tmp_path))
    assert "config.json" in str(caught.value)


def test_an_adapter_is_told_from_a_model(tmp_path: Path) -> None:
    config = {"base_model_name_or_path": "org/base"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"a LoRA adapter(.|\n)*org/base"):
        resolve_model(str(tmp_path))


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c", "~/no-such-model"])
def test_a_path_that_is_not_there_is_not_taken_for_a_hub_id(name: str) -> None:
    with pytest.raises(ModelError, match="no model directory"):
        resolve_model(name)


@pytest.mark.parametrize(
    ("name", "near"),
    [("smollm2", "smollm2-135m"), ("SmolLM2-135M", "smollm2-135m"), ("tinny", "tiny")],
)
def test_a_mistyped_name_gets_a_suggestion(name: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=rf"did you mean {near}\?"):
        resolve_model(name)


@pytest.mark.parametrize("name", ["", "zzz"])
def test_a_name_like_no_other_gets_the_list(name: str) -> None:
    with pytest.raises(UnknownNameError, match="one of smollm2-135m, tiny"):
        resolve_model(name)


def test_tiny_is_made_once_and_then_verified(cache: Path) -> None:
    told: list[str] = []
    first = resolve_model("tiny", progress=told.append)
    assert first.location == str(cache / "tiny")
    assert resolve_model("tiny", progress=told.append) == first
    assert told == ["making the tiny model (once)"]
    assert json.loads((cache / "tiny" / store.MANIFEST).read_text())["source"]["seed"] == 0
    assert sorted(p.name for p in cache.iterdir()) == [".tiny.lock", "tiny"]


def test_list_models_says_what_is_cached() -> None:
    assert [(m.name, m.cached, m.bytes_on_disk) for m in list_models()] == [
        ("smollm2-135m", False, 0),
        ("tiny", False, 0),
    ]
    resolve_model("tiny")
    tiny = list_models()[1]
    assert tiny.cached
    assert 3_700_000 < tiny.bytes_on_disk < 4_000_000


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "manifest", "manifest shape"])
def test_a_corrupt_cache_is_reported_and_left_alone_until_forced(cache: Path, damage: str) -> None:
    resolve_model("tiny")
    victim = cache / "tiny" / ("manifest.json" if "manifest" in damage else "model.safetensors")
    whole = victim.read_bytes()
    if damage == "flip":
        victim.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif damage == "truncate":
        victim.write_bytes(whole[:-1])
    elif damage == "manifest shape":
        victim.write_text('{"files": []}')
    else:
        victim.unlink()
    after = victim.read_bytes() if victim.exists() else None
    with pytest.raises(ModelError, match="corrupt") as caught:
        resolve_model("tiny")
    assert str(victim) in str(caught.value)
    assert "minirl models pull tiny --force" in str(caught.value)
    assert (victim.read_bytes() if victim.exists() else None) == after
    pull_model("tiny", force=True)
    assert victim.read_bytes() == whole


def test_pulling_takes_catalogue_names_only() -> None:
    with pytest.raises(UnknownNameError, match="not in the catalogue"):
        pull_model("org/name")


def test_a_hub_id_that_the_hub_knows_is_left_to_transformers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *a: None)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda self, name, timeout: None)
    found = resolve_model("org/name")
    assert (found.location, found.source) == ("org/name", "hub")


def test_an_unreachable_hub_is_one_short_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, name: str, timeout: float) -> None:
        assert timeout == locate.HUB_TIMEOUT_S
        raise ConnectionError("no route to host\n" + "more\n" * 50)

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *a: None)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    with pytest.raises(ModelError, match="hub cannot be reached") as caught:
        resolve_model("org/name")
    assert "no route to host" in str(caught.value)
    assert "model.name=PATH" in str(caught.value)
    assert len(str(caught.value).splitlines()) < 6


def test_offline_a_hub_id_is_its_cached_snapshot_or_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MINIRL_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *a: None)
    with pytest.raises(ModelError, match="MINIRL_OFFLINE is set"):
        resolve_model("org/name")
    snapshot = local_model(tmp_path / "snapshot")
    config = str(snapshot / "config.json")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *a: config)
    assert resolve_model("org/name").location == str(snapshot)
