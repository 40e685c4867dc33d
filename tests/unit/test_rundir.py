from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirl.errors import DiskFullError, ModelError, RunDirError
from minirl.rundir import (
    RunDir,
    append_jsonl,
    disk_errors,
    keep_steps,
    read_json,
    read_jsonl,
    write_json,
    write_text,
)
from minirl.types import json_line

RECORDS = st.lists(st.dictionaries(st.text(), st.integers() | st.text()), max_size=5)


def new(path: Path, *, force: bool = False) -> RunDir:
    return RunDir.create(path, recipe_toml="a = 1\n", config={"a": 1}, force=force)


# Whole files --------------------------------------------------------------------------------------


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "file.json"
    write_text(path, "old")

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DiskFullError, match=str(path)):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_nan_is_no_json(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", [None, "", "{", "[1]", "\xff"])
def test_a_damaged_json_file_is_told(tmp_path, text):
    path = tmp_path / "x.json"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RunDirError, match=r"x\.json"):
        read_json(path)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
        Exception("SafetensorError: I/O error: No space left on device (os error 28)"),
    ],
)
def test_every_writers_way_to_say_that_the_disk_is_full(error):
    with pytest.raises(DiskFullError, match="while writing there"), disk_errors(Path("there")):
        raise error
    wrapped = RunDirError("the checkpoint could not be written")
    wrapped.__cause__ = error
    with pytest.raises(DiskFullError), disk_errors(Path("there")):
        raise wrapped


def test_other_errors_keep_their_kind():
    with (
        pytest.raises(ModelError, match="cannot write there: no"),
        disk_errors(Path("there"), kind=ModelError),
    ):
        raise OSError(errno.EACCES, "no")
    with pytest.raises(KeyError), disk_errors(Path("there")):
        raise KeyError("a bug")


# JSONL --------------------------------------------------------------------------------------------


@given(records=RECORDS, more=RECORDS, torn=st.binary(max_size=30).filter(lambda b: b"\n" not in b))
def test_a_torn_last_line_is_never_read_and_goes_with_the_next_append(
    tmp_path_factory, records, more, torn
):
    path = tmp_path_factory.mktemp("jsonl") / "x.jsonl"
    append_jsonl(path, records)
    with path.open("ab") as out:
        out.write(torn)
    assert read_jsonl(path) == records
    append_jsonl(path, more)
    assert read_jsonl(path) == records + more


@given(record=st.dictionaries(st.text(min_size=1), st.text(), min_size=1), data=st.data())
def test_every_cut_of_a_file_reads_as_its_whole_lines(tmp_path_factory, record, data):
    path = tmp_path_factory.mktemp("jsonl") / "x.jsonl"
    whole = (json_line(record) + "\n").encode()
    cut = data.draw(st.integers(0, 3 * len(whole)))
    path.write_bytes((3 * whole)[:cut])
    assert read_jsonl(path) == [record] * (cut // len(whole))


def test_a_torn_line_longer_than_a_block_goes_too(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a":1}\n' + b"x" * 200_000)
    append_jsonl(path, [{"a": 2}])
    assert path.read_bytes() == b'{"a":1}\n{"a":2}\n'


@pytest.mark.parametrize("line", [b"{", b"", b"3", b"\xff"])
def test_a_damaged_line_inside_is_told_with_its_number(tmp_path, line):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"{}\n" + line + b"\n{}\n")
    with pytest.raises(RunDirError, match="line 2 is damaged"):
        read_jsonl(path)


def test_an_append_that_fails_half_way_is_taken_back(tmp_path, monkeypatch):
    path = tmp_path / "x.jsonl"
    append_jsonl(path, [{"a": 1}])

    class Full(io.FileIO):
        def write(self, data):
            if self.tell() >= 100:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(bytes(data[:60]))

    monkeypatch.setattr(Path, "open", lambda self, *_, **__: Full(self, "ab+"))
    with pytest.raises(DiskFullError):
        append_jsonl(path, [{"a": n} for n in range(100)])
    monkeypatch.undo()
    assert path.read_bytes() == b'{"a":1}\n'


def test_keep_steps_drops_what_will_be_repeated(tmp_path):
    path = tmp_path / "x.jsonl"
    keep_steps(path, 3)
    assert not path.exists()
    append_jsonl(path, [{"step": s, "i": i} for s in range(1, 6) for i in range(2)])
    keep_steps(path, 3)
    assert [r["step"] for r in read_jsonl(path)] == [1, 1, 2, 2, 3, 3]


# Runs ---------------------------------------------------------------------------------------------


def test_a_new_run_may_take_an_empty_directory_and_no_other(tmp_path):
    (tmp_path / "empty").mkdir()
    run = new(tmp_path / "empty")
    assert run.exists
    assert run.read_config() == {"a": 1}
    with pytest.raises(RunDirError, match="exists already"):
        new(run.path)


@pytest.mark.parametrize("name", ["config.json", "recipe.toml", "notes.txt"])
def test_force_leaves_what_is_not_a_run(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunDirError, match="is not a run"):
        new(tmp_path, force=True)
    assert (tmp_path / name).read_text() == "mine"


def test_force_leaves_nothing_of_the_old_run(tmp_path):
    run = new(tmp_path / "r")
    append_jsonl(run.metrics, [{"step": 1}])
    again = RunDir.create(run.path, recipe_toml="", config={"b": 2}, force=True)
    assert again.read_config() == {"b": 2}
    assert sorted(p.name for p in run.path.iterdir()) == ["config.json", "recipe.toml"]
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


def test_a_run_that_cannot_be_written_leaves_the_name_free(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        RunDir.create(tmp_path / "r", recipe_toml="", config={"a": float("inf")}, force=False)
    assert new(tmp_path / "r").exists


def test_a_missing_run_names_its_neighbours(tmp_path):
    new(tmp_path / "one")
    (tmp_path / "no_run").mkdir()
    with pytest.raises(RunDirError) as caught:
        RunDir.open(tmp_path / "two")
    assert caught.value.got == "runs there: one"


def test_one_writer_at_a_time_also_across_force(tmp_path):
    run = RunDir(tmp_path / "runs" / "r")
    with run.locked():
        new(run.path)
        new(run.path, force=True)
        with pytest.raises(RunDirError, match="another minirl process"), RunDir(run.path).locked():
            pass
    with RunDir(run.path).locked():
        assert json.loads(run.config.read_text()) == {"a": 1}


def test_checkpoints_are_counted_by_number_and_only_whole(tmp_path):
    run = RunDir(tmp_path)
    for name in ("step-9", "step-10", ".partial", "step-x"):
        (run.checkpoints / name).mkdir(parents=True)
    assert run.checkpoint_steps() == [9, 10]
    assert run.checkpoint(10).is_dir()
