"""Asking the NVIDIA driver, which is played here: a library, a program, files of the kernel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from nvidia_driver import IDS, L4, MIB, T4, Driver

from minirl.models import nvidia


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``smi("line", ...)`` puts an nvidia-smi on the PATH that prints these lines."""

    def write(*lines: str, code: int = 0) -> None:
        program = tmp_path / "nvidia-smi"
        asked = tmp_path / "asked"
        text = "\n".join(lines)
        program.write_text(
            f"#!/bin/sh\necho \"$@\" > '{asked}'\ncat <<'END'\n{text}\nEND\nexit {code}\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    return write


# nvidia-smi and the kernel's own files ------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="the played nvidia-smi is a shell script")
def test_nvidia_smi_names_driver_cards_and_free_memory(smi, tmp_path):
    smi(
        f"GPU-{IDS[0]}, Tesla T4, 15360, 14900, 580.95.05",
        f"GPU-{IDS[1]}, NVIDIA GB10, [N/A], [N/A], 580.95.05",
    )
    answer = nvidia.ask_smi()
    assert answer.driver == "580.95.05"
    assert answer.names == ("Tesla T4", "NVIDIA GB10")
    assert answer.free == ((f"GPU-{IDS[0]}", 14900 * MIB),)
    assert answer.error is None
    assert "--format=csv,noheader,nounits" in (tmp_path / "asked").read_text()


@pytest.mark.skipif(os.name == "nt", reason="the played nvidia-smi is a shell script")
@pytest.mark.parametrize(
    ("lines", "code", "error"),
    [
        (
            ["Failed to initialize NVML: Driver/library version mismatch", "more"],
            18,
            "Failed to in",
        ),
        ([], 9, "names no card"),
        (["No devices were found"], 0, "No devices were found"),
    ],
)
def test_an_nvidia_smi_that_fails_is_quoted(smi, lines, code, error):
    smi(*lines, code=code)
    answer = nvidia.ask_smi()
    assert answer.driver is None
    assert answer.names == ()
    assert error in (answer.error or "")


@pytest.mark.skipif(os.name == "nt", reason="the played nvidia-smi is a shell script")
def test_an_nvidia_smi_that_hangs_is_left(smi, tmp_path, monkeypatch):
    smi()
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexec sleep 30\n")
    monkeypatch.setattr(nvidia, "_SMI_TIMEOUT_S", 0.1)
    assert "timed out" in (nvidia.ask_smi().error or "")


def test_no_nvidia_smi_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nvidia.ask_smi() == nvidia.Smi()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19", "535.129.03"),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.14  Release",
            "550.54.14",
        ),
        ("nothing", None),
    ],
)
def test_the_kernel_names_its_driver(tmp_path, text, version):
    (tmp_path / "version").write_text(text)
    assert nvidia.kernel_driver(tmp_path) == version
    assert nvidia.kernel_driver(tmp_path / "missing") is None


def test_cards_on_the_bus(tmp_path):
    def device(address: str, vendor: str, kind: str) -> None:
        (tmp_path / address).mkdir()
        (tmp_path / address / "vendor").write_text(f"{vendor}\n")
        (tmp_path / address / "class").write_text(f"{kind}\n")

    device("0000:01:00.0", "0x10de", "0x030000")  # a card
    device("0000:01:00.1", "0x10de", "0x040300")  # its sound
    device("0000:00:02.0", "0x8086", "0x030000")  # Intel's
    device("0000:02:00.0", "0x10de", "0x030200")  # a card without a plug for a monitor
    none = tmp_path / "none"
    found = nvidia.cards_on_the_bus(none, tmp_path)
    assert [f[-12:] for f in found] == ["0000:01:00.0", "0000:02:00.0"]
    known = tmp_path / "gpus" / "0000:01:00.0"
    known.mkdir(parents=True)
    (known / "information").write_text("Model: \t\t NVIDIA L4\nIRQ: 5\n")
    assert nvidia.cards_on_the_bus(tmp_path / "gpus", tmp_path) == ("NVIDIA L4",)
    assert nvidia.cards_on_the_bus(none, none) == ()


# The driver's library -----------------------------------------------------------------------------


def test_the_driver_describes_its_cards_in_cudas_order():
    assert nvidia.cuda_devices(Driver(L4, T4)) == (
        nvidia.Device("NVIDIA L4", 23_034 * MIB, (8, 9), f"GPU-{IDS[0]}"),
        nvidia.Device("Tesla T4", 15_800 * MIB, (7, 5), f"GPU-{IDS[1]}"),
    )
    assert nvidia.cuda_devices(Driver()) == ()
    assert nvidia.cuda_devices(Driver(L4, broken=True)) is None


def test_a_card_that_does_not_answer_is_left_out():
    driver = Driver(L4, T4)
    driver.cuDeviceTotalMem_v2 = lambda size, device: 2  # type: ignore[method-assign]
    assert nvidia.cuda_devices(driver) == ()
