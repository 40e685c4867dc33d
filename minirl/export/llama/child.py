"""llama.cpp in a process of its own: ``python -m minirl.export.llama.child``.

Its stdin is a line of JSON, the :class:`minirl.export.llama.process.Order`, and stays open as long
as the parent lives. Its stdout is one line, the server's address; what llama.cpp has to say goes to
stderr. The same JSON routes answer, whichever way llama.cpp is installed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

HOST = "127.0.0.1"


def main() -> None:
    order = json.loads(sys.stdin.readline())
    _end_with_the_parent()
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries that print cannot break into the answer
    start = {"xllamacpp": _xllamacpp, "llama-server": _llama_server, "llama_cpp": _llama_cpp}
    try:
        held = start[order["backend"]](order)  # kept: the server lives as long as the object
    except Exception as error:  # what llama.cpp has printed says more than a traceback
        sys.exit(f"{type(error).__name__}: {error}")
    print(held[0], file=answer, flush=True)
    answer.close()
    while True:
        signal.pause()


def _end_with_the_parent() -> None:
    """Fork a guard that kills this process group once stdin is closed.

    A thread would not do: while a model is being loaded, no other one runs.
    """
    if os.fork():
        return
    os.closerange(1, 3)
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGKILL)


def _xllamacpp(order: dict[str, Any]) -> tuple[str, Any]:
    import xllamacpp as x

    p = x.CommonParams()
    p.model.path = order["model"]
    if order["lora"]:
        p.lora_adapters = [x.CommonAdapterLoraInfo(order["lora"], 1.0)]
    p.n_parallel = order["parallel"]
    p.n_ctx = order["context"] * order["parallel"]
    p.hostnames, p.port, p.api_keys = [HOST], 0, [order["key"]]
    p.ui = p.fit_params = p.cache_idle_slots = False
    p.cache_ram_mib = 0
    p.verbosity = 1  # errors
    if order["threads"]:
        p.cpuparams.n_threads = p.cpuparams_batch.n_threads = order["threads"]
    if order["exact"]:
        p.cache_type_k = p.cache_type_v = x.ggml_type.GGML_TYPE_F32
        p.flash_attn_type = x.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        p.swa_full, p.warmup = True, False
    server = x.Server(p)
    return server.listening_address, server


def _llama_server(order: dict[str, Any]) -> tuple[str, Any]:
    program = shutil.which("llama-server")
    if program is None:
        raise SystemExit("llama-server is no longer on PATH")
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    flags = {
        "--model": order["model"],
        "--host": HOST,
        "--port": port,
        "--parallel": order["parallel"],
        "--ctx-size": order["context"] * order["parallel"],
    }
    if order["lora"]:
        flags["--lora"] = order["lora"]
    if order["threads"]:
        flags |= {"--threads": order["threads"], "--threads-batch": order["threads"]}
    switches = ["--jinja"]
    if order["exact"]:
        flags |= {"--cache-type-k": "f32", "--cache-type-v": "f32", "--flash-attn": "off"}
        switches += ["--swa-full", "--no-warmup"]
    words = [str(word) for pair in flags.items() for word in pair]
    process = subprocess.Popen(
        [program, *words, *switches],
        stdin=subprocess.DEVNULL,
        env={
            **os.environ,
            "LLAMA_API_KEY": order["key"],
            # As variables, since older builds have no such options.
            "LLAMA_ARG_FIT": "off",
            "LLAMA_ARG_CACHE_RAM": "0",
        },
    )
    address = f"http://{HOST}:{port}"
    while not _healthy(address):
        if process.poll() is not None:
            raise SystemExit(f"llama-server ended with code {process.returncode}")
        time.sleep(0.05)
    signal.signal(signal.SIGCHLD, lambda *_: sys.exit(1))
    return address, process


def _healthy(address: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{address}/health", timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _llama_cpp(order: dict[str, Any]) -> tuple[str, Any]:
    from minirl.export.llama.shim import start

    return start(order, HOST)


if __name__ == "__main__":
    main()
