"""The supported versions: where they stand, what differs from them, the command that mends it."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from machines import BASE, CUDA, installed, laptop

from minirl.errors import ModelError
from minirl.models import supported
from minirl.models.supported import (
    LOOSE,
    STRICT,
    canonical,
    install_command,
    install_unsloth,
    mismatches,
    parse_pins,
    pins,
    supported_versions,
    together,
)

TOP = Path(__file__).parents[3]


@dataclass
class Installed:
    packages: dict[str, str | None]


def test_the_versions_are_those_of_the_constraints_file():
    versions = supported_versions()
    lines = (TOP / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert len(versions) == sum("==" in line and not line.startswith("#") for line in lines)
    assert f"trl=={versions['trl']}" in lines
    assert f"charset-normalizer=={versions['charset_normalizer']}" in lines
    assert {*STRICT, *LOOSE} <= versions.keys()


def test_pins_are_read_past_comments_markers_and_other_lines():
    text = "# a==1\nB.c-d==1.0+x  # why\ne==2 ; python_version < '3.12'\n-r other.txt\nf>=3\n"
    assert parse_pins(text) == {"b_c_d": "1.0+x", "e": "2"}


def test_a_name_has_one_spelling():
    assert {canonical(n) for n in ("Unsloth-Zoo", "unsloth_zoo", "unsloth.zoo")} == {"unsloth_zoo"}


def test_an_installation_that_is_not_whole_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(supported, "__file__", str(tmp_path / "minirl" / "models" / "supported.py"))
    with pytest.raises(ModelError) as caught:
        supported_versions.__wrapped__()
    assert str(tmp_path) in str(caught.value)
    assert "constraints.txt" in str(caught.value.fix)


def test_the_list_inside_the_package_comes_first(monkeypatch, tmp_path):
    package = tmp_path / "minirl"
    (package / "models").mkdir(parents=True)
    (tmp_path / "constraints.txt").write_text("trl==1\n")
    monkeypatch.setattr(supported, "__file__", str(package / "models" / "supported.py"))
    assert supported_versions.__wrapped__() == {"trl": "1"}
    (package / "constraints.txt").write_text("trl==2\n")
    assert supported_versions.__wrapped__() == {"trl": "2"}


@pytest.mark.slow
@pytest.mark.network  # building in isolation asks for hatchling
def test_the_wheel_carries_the_list(tmp_path):
    import subprocess
    import sys

    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(TOP)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    carried = zipfile.ZipFile(wheel).read("minirl/constraints.txt")
    assert carried == (TOP / "constraints.txt").read_bytes()


def test_the_supported_set_has_no_mismatch():
    assert mismatches(Installed(installed(*CUDA))) == []
    assert mismatches(laptop()) == []  # torch's +cpu is no difference


@pytest.mark.parametrize("package", STRICT)
def test_a_strict_package_may_not_differ_at_all(package):
    wanted = supported_versions()[package]
    (found,) = mismatches(Installed(installed(*CUDA, **{package: f"{wanted}.post1"})))
    assert (found.package, found.wanted, found.strict) == (package, wanted, True)
    assert str(found) == f"{package} is {wanted}.post1 (supported: {wanted})"


@pytest.mark.parametrize(
    ("package", "version", "differs"),
    [
        ("torch", "2.13.1+cu130", False),
        ("torch", "2.12.0", True),
        ("torch", "3.13.0", True),
        ("datasets", "4.8.9", False),
        ("datasets", "4.9.0", True),
        ("accelerate", "1.15", False),
        ("bitsandbytes", "0.49.2", True),
        ("torchvision", "0.27.0", True),
    ],
)
def test_a_loose_package_may_differ_in_the_third_number(package, version, differs):
    found = mismatches(Installed(installed(*CUDA, **{package: version})))
    assert [(m.package, m.strict) for m in found] == ([(package, False)] if differs else [])


def test_what_is_missing():
    found = mismatches(Installed({}))
    assert {m.package for m in found} == set(BASE) - {"bitsandbytes"}
    assert str(found[0]) == f"trl is not installed (supported: {supported_versions()['trl']})"
    assert [m.strict for m in found] == sorted((m.strict for m in found), reverse=True)


def test_commands_in_a_checkout_and_elsewhere(monkeypatch):
    assert install_command("bitsandbytes", extra="4bit") == (
        'pip install -c constraints.txt -e ".[4bit]"'
    )
    assert install_command("trl") == f"pip install trl=={supported_versions()['trl']}"
    monkeypatch.setattr(supported, "checkout", lambda: None)
    everywhere = install_unsloth()
    assert set(re.findall(r"(\w+)==", everywhere)) == {
        *STRICT,
        "torch",
        "torchvision",
        "bitsandbytes",
    }
    # The name minirl on PyPI belongs to another project.
    assert "minirl" not in everywhere


def test_pins_beside_the_constraints():
    assert pins("vllm", "flash_attn") == "vllm==0.31.0 flash_attn"
    assert together("vllm").split()[:2] == ["vllm==0.31.0", pins("torch")]
    assert all(pins(p) in together("vllm") for p in STRICT)
