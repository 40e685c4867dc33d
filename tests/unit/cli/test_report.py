"""`minirl report` as a command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import finished_run as made

from minirl.rundir import RunDir


def test_writes_the_page_into_the_run(minirl, tmp_path):
    made.full_run(tmp_path / "runs" / "mine")
    ended = minirl("report", "mine")
    page = tmp_path / "runs" / "mine" / "report.html"
    assert ended.code == 0
    assert ended.out == ""
    assert ended.err.startswith("runs/mine/report.html: 0.4 MB, 1,604 of 1,604 rollouts")
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "minirl prove runs/mine" in text
    assert str(tmp_path) not in text


def test_json_goes_to_stdout_and_out_names_the_file(minirl, tmp_path):
    run = made.make_run(tmp_path / "elsewhere" / "mine")
    made.add_probe(run)
    ended = minirl("report", "mine", "--runs", "elsewhere", "--out", "page.html", "--json")
    assert ended.code == 0
    record = json.loads(ended.out)
    assert record == {
        "run": "elsewhere/mine",
        "report": "page.html",
        "bytes": (tmp_path / "page.html").stat().st_size,
        "parts": ["probe", "ladder"],
        "rollouts": {"shown": 0, "of": 0},
        "notes": [],
    }
    assert not run.report.exists()


def test_a_page_is_replaced_whole(minirl, tmp_path):
    run = made.make_run(tmp_path / "runs" / "mine")
    run.report.write_text("old")
    assert minirl("report", "mine").code == 0
    assert run.report.read_text(encoding="utf-8") != "old"
    assert sorted(p.name for p in run.path.glob(".*")) == []


def test_wrong_calls_say_what_would_be_right(minirl, tmp_path):
    made.make_run(tmp_path / "runs" / "mine")
    missing = minirl("report", "yours")
    assert missing.code == 1
    assert "no run at runs/yours" in missing.err
    assert "runs there: mine" in missing.err
    assert minirl("report", "mine", "--port", "8000").code == 2
    assert "add --watch" in minirl("report", "mine", "--port", "8000").err
    assert minirl("report", "mine", "--out", str(tmp_path)).code == 1
    unwritable = minirl("report", "mine", "--out", "runs/mine/config.json/page.html")
    assert unwritable.code == 1
    assert "cannot write" in unwritable.err


def test_a_taken_port_is_told(minirl, tmp_path):
    import socket

    made.make_run(tmp_path / "runs" / "mine")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = minirl("report", "mine", "--watch", "--port", str(port))
    assert ended.code == 2
    assert f"port {port} cannot be served on" in ended.err


def test_watch_ends_with_ctrl_c_and_needs_no_torch(tmp_path):
    run = made.make_run(tmp_path / "mine")
    made.full_run(tmp_path / "whole")
    script = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(sorted({'torch', 'transformers'} & sys.modules.keys())))\n"
        "from minirl.cli.main import main\n"
        "main(['report', sys.argv[1], '--watch'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "whole")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr is not None
    first, second = process.stderr.readline(), process.stderr.readline()
    assert "1,604 of 1,604 rollouts" in first
    assert second.startswith("serving http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out == "[]\n"
    page = RunDir(tmp_path / "whole").report
    assert said == f"minirl: stopped; {page} is as it was last written\n"
    assert not run.report.exists()
