"""llama.cpp dies: one error that says why, and nobody is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tiny_families import add_adapter, make_family

from minirl.errors import ConfigError, MissingExtraError, ModelError
from minirl.export.llama import find_backend, serve
from minirl.export.llama.backends import is_installed
from minirl.export.lora_gguf import write_lora_gguf
from minirl.rundir import read_json

SCREEN = 14  # lines


def members(group: int) -> list[int]:
    """Living processes of a process group."""
    listed = subprocess.run(
        ["ps", "-e", "-o", "pid=,pgid=,stat="], capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in listed.stdout.splitlines()]
    return [int(pid) for pid, pgid, stat in rows if int(pgid) == group and "Z" not in stat]


def gone(group: int, seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while members(group) and time.monotonic() < until:
        time.sleep(0.05)
    return not members(group)


def refused(model: Path, lora: Path | None = None) -> str:
    before = time.monotonic()
    with pytest.raises(ModelError) as caught, serve(model, lora=lora, context=64, parallel=1):
        pass
    assert time.monotonic() - before < 30
    said = str(caught.value)
    assert len(said.splitlines()) <= SCREEN
    assert "cannot load" in said
    return said


def test_a_truncated_file(tiny_f32: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.gguf"
    short.write_bytes(tiny_f32.read_bytes()[:-100_000])
    assert "corrupted or incomplete" in refused(short)


def test_no_gguf_at_all(tiny_f32: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.gguf"
    text.write_text("once upon a time " * 100)
    assert "failed to load model" in refused(text)
    with (
        pytest.raises(ModelError, match="no such GGUF file"),
        serve(tmp_path / "none.gguf", context=64, parallel=1),
    ):
        pass


def test_an_adapter_of_another_model(tiny_f32: Path, tmp_path: Path) -> None:
    other = make_family("llama", tmp_path / "other")
    adapter = add_adapter(other, tmp_path / "adapter")
    lora = tmp_path / "lora.gguf"
    write_lora_gguf(adapter, read_json(other / "config.json"), lora)
    said = refused(tiny_f32, lora)
    assert "lora.gguf" in said
    assert "failed to load lora adapter" in said


def test_killed_while_a_request_waits(tiny_f32: Path) -> None:
    started = time.monotonic()
    with serve(tiny_f32, context=1024, parallel=1) as server:
        child = server._child._process.pid
        ids = server.tokenize("a" * 1000)

        def ask_on() -> None:
            while time.monotonic() < started + 30:
                server.complete(ids, max_tokens=20, temperature=1, seed=0)

        threading.Timer(0.3, os.kill, (child, signal.SIGKILL)).start()
        with pytest.raises(ModelError, match="died while it worked") as caught:
            ask_on()
        assert "killed by SIGKILL" in str(caught.value)
        with pytest.raises(ModelError, match="died while it worked"):
            server.tokenize("a")
    assert gone(child)


def test_the_block_ends_it(tiny_f32: Path) -> None:
    seen: list[int] = []

    def interrupted() -> None:
        with serve(tiny_f32, context=64, parallel=1) as server:
            seen.append(server._child._process.pid)
            assert len(members(seen[0])) == 2  # llama.cpp and its guard
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert gone(seen[0])


PARENT = """
import sys, time
from pathlib import Path
from minirl.export.llama import serve
with serve(Path(sys.argv[1]), context=64, parallel=1) as server:
    print(server._child._process.pid, flush=True)
    time.sleep(60)
"""


def test_it_dies_with_its_parent(tiny_f32: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tiny_f32)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert len(members(child)) == 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(child)


def test_the_key_is_wanted_and_not_shown(tiny_f32: Path) -> None:
    import httpx

    with serve(tiny_f32, context=64, parallel=1) as server:
        child = server._child
        shown = subprocess.run(
            ["ps", "-p", str(child._process.pid), "-o", "args="],
            capture_output=True,
            text=True,
            check=True,
        )
        assert child.order.key not in shown.stdout + repr(child.order)
        asked = {"prompt": [1], "n_predict": 1}
        stranger = httpx.post(f"{child.address}/completion", json=asked, trust_env=False)
        assert stranger.status_code == 401


LLAMA_SERVER = """#!{python}
import argparse, os, signal
import xllamacpp as x
parser = argparse.ArgumentParser()
for name in ("model", "host", "port", "parallel", "ctx-size", "cache-type-k", "cache-type-v",
             "flash-attn"):
    parser.add_argument("--" + name, required=True)
for name in ("jinja", "swa-full", "no-warmup"):
    parser.add_argument("--" + name, action="store_true", required=True)
given = parser.parse_args()
p = x.CommonParams()
p.model.path, p.port, p.hostnames = given.model, int(given.port), [given.host]
p.n_parallel, p.n_ctx = int(given.parallel), int(given.ctx_size)
p.api_keys, p.ui, p.warmup = [os.environ["LLAMA_API_KEY"]], False, False
server = x.Server(p)
signal.pause()
"""


@pytest.mark.skipif(not is_installed("xllamacpp"), reason="no xllamacpp to stand in for it")
def test_a_llama_server_on_the_path(
    tiny_f32: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "llama-server"
    program.write_text(LLAMA_SERVER.format(python=sys.executable))
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("MINIRL_LLAMA", "llama-server")
    with serve(tiny_f32, context=256, parallel=2) as server:
        child = server._child._process.pid
        assert server.backend == "llama-server"
        assert (server.context, server.vocabulary) == (256, 100)
        assert server.complete([1], max_tokens=2, temperature=0, seed=0).ids
        (own,) = set(members(child)) - set(guards(child))
        os.kill(own, signal.SIGKILL)
        with pytest.raises(ModelError, match="died while it worked"):
            server.tokenize("a")
    assert gone(child)
    text = tmp_path / "text.gguf"
    text.write_text("once upon a time")
    assert "failed to load model" in refused(text)


def guards(child: int) -> list[int]:
    """Members of the group that carry the child's own command line."""
    listed = subprocess.run(
        ["ps", "-e", "-o", "pid=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.strip().partition(" ") for line in listed.stdout.splitlines()]
    ours = {int(pid) for pid, _, args in rows if "minirl.export.llama.child" in args}
    return [pid for pid in members(child) if pid in ours]


def test_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    where = "minirl.export.llama.backends.is_installed"
    monkeypatch.delenv("MINIRL_LLAMA", raising=False)
    monkeypatch.setattr(where, lambda backend: backend != "xllamacpp")
    assert find_backend() == "llama-server"
    monkeypatch.setenv("MINIRL_LLAMA", "llama_cpp")
    assert find_backend() == "llama_cpp"
    monkeypatch.setattr(where, lambda _: False)
    with pytest.raises(MissingExtraError, match=r"llama_cpp, which is not installed"):
        find_backend()
    monkeypatch.delenv("MINIRL_LLAMA")
    with pytest.raises(MissingExtraError, match=r"llama.cpp is not installed[^:]*: +pip install"):
        find_backend()
    monkeypatch.setenv("MINIRL_LLAMA", "ollama")
    with pytest.raises(ConfigError, match="xllamacpp, llama-server, llama_cpp"):
        find_backend()
