"""Looking at a machine: drivers, cards, limits and packages that are not here are played."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from nvidia_driver import IDS, L4, MIB, T4, Driver

from minirl.models import machine as module
from minirl.models import nvidia
from minirl.models.machine import (
    PACKAGES,
    Card,
    available_cores,
    available_memory,
    cgroup_dirs,
    inspect,
    unmet_requirements,
)


def play(
    monkeypatch: pytest.MonkeyPatch,
    *cards: tuple[str, int, tuple[int, int]],
    cuda: str | None = "13.0",
    hip: str | None = None,
    sees: bool = True,
    initialized: bool = False,
) -> None:
    """A driver with these cards, and a torch of that build."""
    monkeypatch.setattr(
        nvidia, "cuda_devices", lambda found=nvidia.cuda_devices: found(Driver(*cards))
    )
    torch = types.ModuleType("torch")
    torch.version = types.SimpleNamespace(cuda=cuda, hip=hip)  # type: ignore[attr-defined]
    torch.cuda = types.SimpleNamespace(  # type: ignore[attr-defined]
        is_available=lambda: sees,
        is_initialized=lambda: initialized,
        memory_reserved=lambda index: 100 * MIB,
        get_arch_list=lambda: ["sm_75", "sm_80"],
        device_count=lambda: 1,
        get_device_properties=lambda index: types.SimpleNamespace(
            name="AMD Instinct MI300X", total_memory=192 * 10**9, major=9, minor=4
        ),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)


# The machine --------------------------------------------------------------------------------------


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What nvidia-smi answers; the machine that the tests run on shows nothing of its own."""
    monkeypatch.setattr(nvidia, "cards_on_the_bus", lambda: ())
    monkeypatch.setattr(nvidia, "kernel_driver", lambda: None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def set_answer(**answer: Any) -> None:
        monkeypatch.setattr(nvidia, "ask_smi", lambda: nvidia.Smi(**answer))

    set_answer()
    return set_answer


def test_cards_come_from_the_driver_and_free_memory_from_nvidia_smi(monkeypatch, answers):
    play(monkeypatch, L4, T4)
    answers(driver="580.95.05", names=("Tesla T4", "NVIDIA L4"), free=((f"GPU-{IDS[0]}", 5 * MIB),))
    found = inspect()
    assert found.cards == (
        Card("NVIDIA L4", 23_034 * MIB, 5 * MIB, (8, 9)),
        Card("Tesla T4", 15_800 * MIB, 15_800 * MIB, (7, 5)),  # nobody tells its free memory
    )
    assert [c.bf16 for c in found.cards] == [True, False]
    assert str(found.cards[1]) == "Tesla T4 (17 GB, compute capability 7.5)"
    assert (found.driver, found.torch_cuda, found.torch_hip) == ("580.95.05", "13.0", None)
    assert found.kernels == ("sm_75", "sm_80")
    assert found.present == ("Tesla T4", "NVIDIA L4")


def test_what_this_process_holds_itself_counts_as_free(monkeypatch, answers):
    play(monkeypatch, L4, initialized=True)
    answers(driver="580.95.05", free=((f"GPU-{IDS[0]}", 5 * MIB),))
    assert inspect().cards[0].free == 105 * MIB


@pytest.mark.parametrize("torch", [{"cuda": None}, {"sees": False}])
def test_a_card_that_torch_does_not_see_is_present_and_no_more(monkeypatch, answers, torch):
    play(monkeypatch, L4, **torch)
    answers(driver="580.95.05", names=("NVIDIA L4",))
    found = inspect()
    assert found.cards == ()
    assert found.present == ("NVIDIA L4",)
    assert found.driver == "580.95.05"


def test_without_nvidia_smi_the_kernel_is_asked(monkeypatch, answers):
    play(monkeypatch, cuda="13.0", sees=False)
    monkeypatch.setattr(nvidia, "kernel_driver", lambda: "550.54.14")
    monkeypatch.setattr(nvidia, "cards_on_the_bus", lambda: ("NVIDIA L4",))
    answers(error="NVIDIA-SMI has failed")
    found = inspect()
    assert (found.driver, found.present) == ("550.54.14", ("NVIDIA L4",))
    assert found.driver_error == "NVIDIA-SMI has failed"


def test_amds_cards_come_from_torch(monkeypatch, answers):
    play(monkeypatch, cuda=None, hip="6.4")
    found = inspect()
    assert found.torch_hip == "6.4"
    assert found.cards == (Card("AMD Instinct MI300X", 192 * 10**9, 192 * 10**9, (9, 4)),)


def test_a_mask_is_reported(monkeypatch, answers):
    play(monkeypatch, sees=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert inspect().visible == "-1"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert inspect().visible is None


@pytest.mark.parametrize("failure", [OSError("libcudart.so.13: no such file"), RuntimeError("no")])
def test_a_torch_that_cannot_be_imported_is_told(monkeypatch, answers, failure):
    class Broken:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name == "torch":
                raise failure

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    found = inspect()
    assert str(failure) in (found.torch_error or "")
    assert found.torch_cuda is None


@pytest.mark.parametrize(
    ("text", "cuda", "hip"),
    [
        ("cuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n", "13.0", None),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '6.4.43482'\n", None, "6.4.43482"),
        ("cuda = None\n", None, None),
    ],
)
def test_torchs_build_is_read_from_its_files(monkeypatch, answers, tmp_path, text, cuda, hip):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise AssertionError('imported')")
    (tmp_path / "torch" / "version.py").write_text(text)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(nvidia, "cuda_devices", lambda ask=nvidia.cuda_devices: ask(Driver(L4)))
    found = inspect(with_torch=False)
    assert (found.torch_cuda, found.torch_hip) == (cuda, hip)
    assert [c.name for c in found.cards] == (["NVIDIA L4"] if cuda else [])


def test_this_machine_is_looked_at_without_torch_and_without_a_word():
    code = (
        "import json, sys; from minirl.models.machine import inspect\n"
        "m = inspect(with_torch=False)\n"
        "print(json.dumps([m.packages, m.cores, m.ram, 'torch' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    packages, cores, ram, imported = json.loads(done.stdout)
    assert packages.keys() == PACKAGES.keys()
    assert packages["trl"] is not None
    assert 1 <= cores <= (os.cpu_count() or 1)
    assert ram > 100 * MIB
    assert imported is False
    assert done.stderr == ""


# Packages -----------------------------------------------------------------------------------------


def test_installed_versions(monkeypatch, answers):
    here = {"torch": "2.13.0+cu130", "triton-windows": "3.4.0", "flash-attn": "2.8.3"}

    def version(name: str) -> str:
        if name not in here:
            raise module.importlib.metadata.PackageNotFoundError(name)
        return here[name]

    monkeypatch.setattr(module.importlib.metadata, "version", version)
    play(monkeypatch)
    found = inspect().packages
    assert {p: v for p, v in found.items() if v} == {
        "torch": "2.13.0+cu130",
        "triton": "3.4.0",
        "flash_attn": "2.8.3",
    }


def test_requirements_that_are_not_met(monkeypatch):
    asked = [
        "torch==2.14.0",
        "transformers<5.18,>=5.10",
        "torchvision==0.28.0; extra == 'vision'",
        "peft>=0.30; python_version < '3'",
        "unknown==1",
        "not a requirement at all",
    ]
    monkeypatch.setattr(module.importlib.metadata, "requires", lambda name: asked)
    here = {"torch": "2.13.0+cu130", "transformers": "5.17.0", "torchvision": "0.1", "peft": "0.21"}
    unmet = unmet_requirements("vllm", here)
    assert unmet == ("torch==2.14.0, and finds 2.13.0+cu130",)
    assert unmet_requirements("vllm", {**here, "torch": "2.14.0+cu130"}) == ()  # +cu130 fits


# Limits -------------------------------------------------------------------------------------------


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_container_with_cgroup_v2(tmp_path, monkeypatch):
    write(tmp_path / "table", "0::/user/job\n")
    write(tmp_path / "fs/memory.max", "max\n")
    write(tmp_path / "fs/user/memory.max", f"{3 * MIB}\n")
    write(tmp_path / "fs/user/job/memory.max", f"{5 * MIB}\n")
    write(tmp_path / "fs/user/job/cpu.max", "150000 100000\n")
    dirs = cgroup_dirs("memory", tmp_path / "table", tmp_path / "fs")
    assert [d.name for d in dirs] == ["job", "user", "fs"]
    monkeypatch.setattr(module, "cgroup_dirs", lambda controller: dirs)
    assert available_memory() == 3 * MIB  # the tightest of those above
    assert available_cores() == 1


def test_a_container_with_cgroup_v1(tmp_path, monkeypatch):
    write(tmp_path / "table", "4:memory:/box\n3:cpu,cpuacct:/box\n0::/elsewhere\n")
    write(tmp_path / "fs/memory/memory.limit_in_bytes", "9223372036854771712\n")
    write(tmp_path / "fs/memory/box/memory.limit_in_bytes", f"{7 * MIB}\n")
    write(tmp_path / "fs/cpu,cpuacct/box/cpu.cfs_quota_us", "-1\n")
    write(tmp_path / "fs/cpu,cpuacct/box/cpu.cfs_period_us", "100000\n")
    write(tmp_path / "fs/cpu,cpuacct/cpu.cfs_quota_us", "100000\n")
    write(tmp_path / "fs/cpu,cpuacct/cpu.cfs_period_us", "100000\n")

    def dirs(controller: str) -> tuple[Path, ...]:
        return cgroup_dirs(controller, tmp_path / "table", tmp_path / "fs")

    assert [d.name for d in dirs("memory")] == ["box", "memory", "fs"]
    monkeypatch.setattr(module, "cgroup_dirs", dirs)
    assert available_memory() == 7 * MIB
    assert available_cores() == 1


def test_a_container_that_shows_the_hosts_path(tmp_path):
    write(tmp_path / "table", "0::/docker/1234\n")
    write(tmp_path / "fs/memory.max", "1\n")
    assert cgroup_dirs("memory", tmp_path / "table", tmp_path / "fs") == (tmp_path / "fs",)


def test_no_limits(tmp_path, monkeypatch):
    assert cgroup_dirs("memory", tmp_path / "missing", tmp_path) == ()
    monkeypatch.setattr(module, "cgroup_dirs", lambda controller: ())
    monkeypatch.setattr(module, "_physical_memory", lambda: 64 * MIB)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    assert available_memory() == 64 * MIB
    assert available_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1
