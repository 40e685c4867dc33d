"""The engines agree, limits bind, sessions keep their state, and nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from minirl.errors import EnvironmentFault, SandboxError
from minirl.sandbox import Job, Limits, Pool, open_session, process, run_jobs
from tests.unit.sandbox.conftest import HONEST, patient, right

ENGINES = ("monty", "process", "auto")
COUNTER = "seen = 0\ndef f(x):\n    global seen\n    seen += x\n    return seen"


def one(source: str, *args: object, engine: str = "auto", limits: Limits | None = None):
    return run_jobs([Job(source, "f", (args,), limits or patient())], engine=engine)[0][0]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("return x * 2", 6),
        (
            "return [x, (x, 'a'), {'k': None, (1, 2): True}]",
            [3, (3, "a"), {"k": None, (1, 2): True}],
        ),
        ("return x / 2", 1.5),
        ("return 2 ** 200", 2**200),
        ("return 'é\\n\\u2028'", "é\n\u2028"),
        ("import math\n    return math.isqrt(x)", 1),
        ("print('noise')\n    return -0.0", 0.0),
    ],
)
def test_values_come_back_exactly(engine, code, value):
    outcome = one(f"def f(x):\n    {code}", 3, engine=engine)
    assert outcome.error is None
    assert outcome.value == value
    assert repr(outcome.value).lstrip("-") == repr(value)


@pytest.mark.parametrize("engine", ENGINES)
def test_arguments_arrive_exactly_and_one_call_at_a_time(engine):
    args = ([1, 2.5, None], {"a": (True, "x"), 3: [{}]})
    source = "def f(a, b):\n    a.append(b[3])\n    return [a, b]"
    before = repr(args)
    (outcomes,) = run_jobs([Job(source, "f", (args, args), patient())], engine=engine)
    expected = [[1, 2.5, None, [{}]], args[1]]
    assert [o.value for o in outcomes] == [expected, expected]
    assert repr(args) == before


@pytest.mark.parametrize("engine", ENGINES)
def test_an_error_in_one_call_leaves_the_others(engine):
    job = Job("def f(x):\n    return 6 // x", "f", ((2,), (0,), (3,)), patient())
    ((first, second, third),) = run_jobs([job], engine=engine)
    assert (first.value, second.error, third.value) == (3, "exception", 2)
    assert "ZeroDivisionError" in second.detail


@pytest.mark.parametrize("engine", ["monty", "process"])
def test_the_time_of_a_job_is_bounded_over_all_its_calls(engine):
    source = "def f(x):\n    while True: pass"
    started = time.monotonic()
    job = Job(source, "f", ((1,),) * 50, Limits(cpu_s=0.2, wall_s=0.6))
    (outcomes,) = run_jobs([job], engine=engine)
    assert {o.error for o in outcomes} == {"time"}
    assert time.monotonic() - started < 10


def test_cpu_seconds_are_counted_and_not_only_the_wall():
    outcome = one("def f():\n    while True: pass", engine="process", limits=Limits(0.2, 60))
    assert outcome.error == "time"
    assert "CPU" in outcome.detail


@pytest.mark.parametrize("engine", ["monty", "process"])
def test_memory_is_bounded_by_the_limit_given(engine):
    source = "def f(n):\n    return len('x' * (n * 2**20))"
    small, large = (Limits(20, 20, memory_mb=mb) for mb in (64, 512))
    assert one(source, 200, engine=engine, limits=small).error == "memory"
    assert one(source, 200, engine=engine, limits=large).value == 200 * 2**20


def test_the_process_engine_is_deterministic():
    source = "import random\ndef f():\n    return [random.random(), str({*'abcdefgh'}), hash('a')]"
    pools = [Pool(1) for _ in range(2)]
    try:
        values = [pool.run([Job(source, "f", ((),), patient())], "process") for pool in pools]
    finally:
        for pool in pools:
            pool.close()
    assert values[0] == values[1]
    assert values[0][0][0].error is None


@pytest.mark.parametrize(
    "source",
    [
        "def f(x):\n    yield_ = [i for i in g(x)]\n    return yield_\ndef g(x):\n    yield x",
        "class A(dict):\n    pass\ndef f(x):\n    return len(A(a=x))",
        "import heapq\ndef f(x):\n    return heapq.nlargest(1, [x, 3])",
        "def f(x):\n    d = {1: x}\n    del d[1]\n    return d",
        "def f(x):\n    return (x).bit_length()",
        "from collections import OrderedDict\ndef f(x):\n    return list(OrderedDict(a=x))",
    ],
)
def test_auto_runs_in_cpython_what_monty_does_not_know(source):
    assert one(source, 5, engine="monty").error is not None
    assert one(source, 5) == one(source, 5, engine="process")
    assert one(source, 5).error is None


@pytest.mark.parametrize("engine", ENGINES)
def test_a_session_keeps_its_state(engine):
    with open_session(COUNTER, "f", patient(), engine=engine) as session:
        assert [session.call((n,)).value for n in (1, 2, 3)] == [1, 3, 6]


def test_a_session_that_monty_cannot_go_on_with_is_replayed_in_cpython():
    source = COUNTER.replace("return seen", "return seen if x < 3 else (seen).bit_length()")
    with open_session(source, "f", patient()) as session:
        assert [session.call((n,)).value for n in (1, 2, 3, 1)] == [1, 3, 3, 7]


@pytest.mark.parametrize("engine", ["monty", "process"])
def test_one_call_of_a_session_has_its_own_limit(engine):
    limits = Limits(cpu_s=20, wall_s=20, call_s=0.3)
    source = "def f(x):\n    while x: pass\n    return 1"
    started = time.monotonic()
    with open_session(source, "f", limits, engine=engine) as session:
        assert session.call((0,)).value == 1
        time.sleep(0.4)  # our own time is not the program's
        assert session.call((0,)).value == 1
        assert session.call((1,)).error == "time"
        assert session.call((0,)).error == "time"
    assert time.monotonic() - started < 10


def test_more_sessions_than_workers_can_be_open():
    with contextlib.ExitStack() as held:
        for engine in ("monty", "process"):
            sessions = [
                held.enter_context(open_session(COUNTER, "f", patient(), engine=engine))
                for _ in range(8)
            ]
            assert [s.call((1,)).value for s in sessions] == [1] * 8


@pytest.mark.parametrize(
    "args", [(object(),), ({1, 2},), ("\ud800",)], ids=["object", "set", "surrogate"]
)
@pytest.mark.parametrize("engine", ENGINES)
def test_arguments_that_are_no_plain_data_are_the_callers_fault(engine, args):
    with pytest.raises(EnvironmentFault, match="cannot be sent"):
        run_jobs([Job(HONEST, "solve", (args,))], engine=engine)
    assert run_jobs([Job(HONEST, "solve", ((5,),), patient())], engine=engine)[0][0].value == right(
        5
    )


@pytest.mark.parametrize("name", ["", "a b", "f()", "import", "é", "__import__('os')"])
def test_a_function_needs_a_name(name):
    with pytest.raises(EnvironmentFault, match="name of a function"):
        Job(HONEST, name, ((1,),))
    with pytest.raises(EnvironmentFault, match="name of a function"):
        open_session(HONEST, name)


@pytest.mark.parametrize("limits", [{"cpu_s": 0}, {"wall_s": float("nan")}, {"memory_mb": -1}])
def test_limits_are_positive(limits):
    with pytest.raises(EnvironmentFault, match="not a positive number"):
        Limits(**limits)


def test_an_engine_needs_a_name():
    with pytest.raises(SandboxError, match="No such sandbox engine"):
        run_jobs([], engine="docker")


def test_threads_share_a_pool():
    answers: dict[int, list[object]] = {}

    def work(start: int) -> None:
        jobs = [Job(HONEST, "solve", ((start + i,),), patient(60)) for i in range(10)]
        answers[start] = [o.value for (o,) in run_jobs(jobs, engine=ENGINES[start % 3])]

    threads = [threading.Thread(target=work, args=(start,)) for start in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {start: [right(start + i) for i in range(10)] for start in range(6)}


def test_a_zygote_that_is_killed_is_replaced():
    pool = Pool(1)
    job = Job(HONEST, "solve", ((5,),), patient())
    try:
        pool.run([job], "process")
        os.kill(pool._idle[0]._process.pid, signal.SIGKILL)
        assert pool.run([job], "process")[0][0].value == right(5)
    finally:
        pool.close()


def test_windows_is_refused_and_auto_keeps_to_monty(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SandboxError, match="Windows"):
        one("def f(): return 1", engine="process")
    assert one("def f(): return 1").value == 1
    assert one("def f():\n    yield 1").error == "exception"
    assert one("def f(): return (i for i in [])").error == "unsupported"
    with open_session("def f(): return map(int, [])", "f") as session:
        assert session.call(()).error == "unsupported"


def test_a_machine_without_a_filter_is_refused(monkeypatch):
    entry = "from minirl.sandbox.zygote import main"
    unable = "import minirl.sandbox.zygote as z\nz.confine = lambda *a, **k: False"
    monkeypatch.setattr(process, "BOOT", process.BOOT.replace(entry, f"{unable}\n{entry}"))
    pool = Pool(1)
    try:
        with pytest.raises(SandboxError, match="cannot confine"):
            pool.run([Job(HONEST, "solve", ((5,),))], "process")
    finally:
        pool.close()


PARENT = """
import os, sys, time
from minirl.errors import SandboxError
from minirl.sandbox import Job, run_jobs
def right(n): return n * 48271 % 2147483647 + 7
def check(engine):
    job = Job("def f(n):\\n    return n * 48271 % 2147483647 + 7", "f", ((5,),))
    assert run_jobs([job] * 3, engine=engine)[2][0].value == right(5)
check("monty"), check("process")
"""
FORKS = """
child = os.fork()
check("auto"), check("process")
if child == 0:
    try:
        check("monty")
    except SandboxError:
        sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
check("monty"), check("process")
"""
KILLED = """
if os.fork() == 0:
    os.close(1), os.close(2)
    time.sleep(20)  # holds the sockets of its parent
    os._exit(0)
import threading
from minirl.sandbox import Limits
job = Job("def f():\\n    while True: pass", "f", ((),), Limits(25, 25))
threading.Timer(1.0, os.kill, (os.getpid(), 9)).start()
run_jobs([job] * 2, engine="process")
"""


def marked(mark: str) -> list[str]:
    """The processes that a script has left, but for the fork that it made itself."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # a process may end while it is looked at
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            if mark.encode() in command and b"time.sleep" not in command:
                found.append(entry.name)
    return found


def run_script(body: str, mark: str, output: int = subprocess.PIPE) -> tuple[int, str | None]:
    # The zygotes carry the mark in their command line: it is in the code that starts them.
    patch = f"from minirl.sandbox import process\nprocess.BOOT += '# {mark}'\n"
    command = [sys.executable, "-c", patch + PARENT + body]
    done = subprocess.run(command, stdout=output, stderr=output, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@linux
def test_a_fork_uses_a_pool_of_its_own_and_all_is_gone_at_exit():
    mark = f"mark-{os.getpid()}-forks"
    assert run_script(FORKS, mark) == (0, "")
    assert marked(mark) == []


@linux
def test_a_parent_that_is_killed_leaves_no_process():
    mark = f"mark-{os.getpid()}-killed"
    assert run_script(KILLED, mark, subprocess.DEVNULL)[0] == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []
