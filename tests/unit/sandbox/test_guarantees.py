"""What is promised is tried, as root and as an ordinary user."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from minirl.sandbox import guarantees
from minirl.sandbox.confine import CALLS, filter_program
from minirl.sandbox.guarantees import ATTEMPTS

linux = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in CALLS, reason="needs the seccomp filter"
)
ROOT = Path(__file__).parents[3]
NOBODY = 65534
SCRIPT = """
import json, sys
from dataclasses import asdict
sys.path.insert(0, sys.argv[1])
from minirl.sandbox import Job, guarantees, run_jobs
steal = "def f(path):\\n    return open(path).read()"
kill = "import os\\ndef f(pid):\\n    os.kill(int(pid), 9)"
outcomes = run_jobs([Job(steal, "f", ((sys.argv[1] + "/README.md",),)),
                     Job(kill, "f", ((str(__import__("os").getpid()),),)),
                     Job("def f(x):\\n    return x + 1", "f", ((1,),))], engine="process")
print(json.dumps([asdict(guarantees()), [o[0].error or o[0].value for o in outcomes]]))
"""


@linux
def test_everything_is_refused():
    found = guarantees()
    assert found.refused == dict.fromkeys(ATTEMPTS, True)
    assert found.whole


@linux
def test_without_the_filter_less_is_refused_and_it_says_so():
    found = guarantees(filtered=False)
    assert found.process
    assert not found.whole
    assert not found.refused["other programs"]
    strong = ("reading files", "network", "new processes", "raised limits", "much memory")
    assert [found.refused[what] for what in strong] == [True] * 5


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="drops from root to an ordinary user")
def test_an_ordinary_user_has_the_same_guarantees():
    pythons = [python for python in (sys.executable, "/usr/bin/python3") if _usable(python)]
    if not pythons:
        pytest.skip("no Python 3.11 that nobody may run")
    done = _as_nobody(pythons[0], SCRIPT, str(ROOT))
    assert done.returncode == 0, done.stderr
    found, outcomes = json.loads(done.stdout)
    assert found["refused"] == dict.fromkeys(ATTEMPTS, True)
    assert outcomes == ["forbidden", "forbidden", 2]
    assert set(found) == set(asdict(guarantees()))


USABLE = "import sys; open(sys.argv[1]); sys.exit(sys.version_info < (3, 11))"


def _usable(python: str) -> bool:
    """Whether an ordinary user may run it and read the package."""
    try:
        done = _as_nobody(python, USABLE, str(ROOT / "minirl/sandbox/wire.py"))
    except OSError:
        return False
    return done.returncode == 0


def _as_nobody(python: str, code: str, argument: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-c", code, argument],
        capture_output=True, text=True, timeout=60, check=False, cwd="/",
        user=NOBODY, group=NOBODY, extra_groups=[], env={},
    )  # fmt: skip


def test_an_unknown_machine_has_no_filter():
    assert filter_program("riscv64") is None


@pytest.mark.parametrize("machine", sorted(CALLS))
def test_the_filter_allows_what_it_lists_and_refuses_the_rest(machine):
    """The BPF program, interpreted: an oracle for the jumps."""
    code = filter_program(machine)
    assert code is not None
    lines = [
        (int.from_bytes(code[i : i + 2], sys.byteorder), code[i + 2], code[i + 3],
         int.from_bytes(code[i + 4 : i + 8], sys.byteorder))
        for i in range(0, len(code), 8)
    ]  # fmt: skip

    def verdict(number: int, audit: int) -> str:
        at, loaded = 0, 0
        while True:
            operation, if_true, if_false, value = lines[at]
            if operation == 0x06:
                return {0x7FFF0000: "allow", 0x00050001: "EPERM", 0x80000000: "kill"}[value]
            if operation == 0x20:
                loaded = {0: number, 4: audit}[value]
                at += 1
            else:
                at += 1 + (if_true if loaded == value else if_false)

    listed = {name: number for name, number in CALLS[machine].items() if name != "audit"}
    audit = CALLS[machine]["audit"]
    allowed = [n for n in range(600) if verdict(n, audit) == "allow"]
    assert allowed == sorted(listed.values())
    assert verdict(listed["read"], 0x40000003) == "kill"
    assert verdict(listed["read"] | 0x40000000, audit) == "EPERM"
