"""Model cards: every figure from the run's records, nothing that breaks out of its place."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from finished_export import exported, verified
from finished_run import full_run

from minirl.export.card import OURS, model_card, write_card
from minirl.rundir import RunDir, read_json, write_json


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    found = full_run(tmp_path_factory.mktemp("runs") / "sums")
    config = found.read_config()
    config["model"]["load_in_4bit"] = False
    write_json(found.config, config)
    return found


def card(run: RunDir, **changes: Any) -> str:
    records = {
        "probed": read_json(run.probe),
        "evaluated": read_json(run.eval),
        "proved": read_json(run.prove),
        "licence": "Apache-2.0",
    } | changes
    config = records.pop("config", run.read_config())
    exports, checks = records.pop("exports", exported()), records.pop("checks", verified())
    return model_card("sums", config, exports, checks, **records)


def header(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def test_the_header_is_what_the_hub_reads(run: RunDir) -> None:
    found = header(card(run))
    assert found == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "license": "apache-2.0",
        "tags": ["minirl", "reinforcement-learning", "grpo", "lora", "gguf"],
    }
    config = run.read_config()
    config["model"]["name"] = "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert header(card(run, config=config))["base_model"] == config["model"]["name"]


def test_every_figure_has_n_and_interval(run: RunDir) -> None:
    text = card(run)
    proof, evaluation = read_json(run.prove), read_json(run.eval)
    for record in (proof, evaluation):
        for side in ("base", "tuned"):
            s = record[side]["solved"]
            low, high = 100 * s["low"], 100 * s["high"]
            assert f"{100 * s['value']:.1f} % [{low:.1f}, {high:.1f}], n = {s['n']}" in text
    assert f"Verdict: **{proof['verdict']}**" in text
    assert proof["reasons"][0] in re.sub(r"\\(.)", r"\1", text)
    row = next(line for line in text.splitlines() if line.startswith("| sums-f16.gguf"))
    assert "| 271.0 MB | 100.0 % [" in row
    assert row.count("n = 2000") == 2
    assert row.count("n = 200 ") == 2
    assert row.endswith("| 198 | passed |")


def test_nothing_is_said_of_what_was_not_measured(run: RunDir) -> None:
    text = card(run, probed=None, evaluated=None, proved=None, licence=None, checks=None)
    assert not re.search(r"% \[|Verdict|Probe|license", text)
    assert "Not verified." in text
    assert "That of the base, smollm2-135m." in text


def test_how_to_run_each(run: RunDir) -> None:
    text = card(run, modelfile=True)
    assert "llama-cli -m sums-f16.gguf" in text
    assert "llama-cli -m base-f16.gguf --lora sums-lora.gguf" in text
    assert "/home/me" not in text
    assert 'PeftModel.from_pretrained(model, "adapter")' in text
    assert "ollama create tuned -f Modelfile" in text
    assert "ollama" not in card(run)


def test_a_failed_verification_is_told(run: RunDir) -> None:
    text = card(run)
    row = next(line for line in text.splitlines() if line.startswith("| sums-q4\\_k\\_m.gguf"))
    assert row.endswith("**failed** |")
    assert "- sums-q4\\_k\\_m.gguf FAILED: first at token 7" in text


def test_text_from_outside_stays_text(run: RunDir) -> None:
    bad = 'x"\n---\n# Owned\n| <script>alert(1)</script> `rm` [a](javascript:b)\x1b[31m\u202e'
    config = run.read_config() | {"description": bad}
    config["env"]["name"] = bad
    config["model"]["name"] = "/home/me/models/" + bad
    files = {bad: exported()["files"]["sums-f16.gguf"]}
    text = card(run, config=config, exports=exported(files=files, base=bad), licence=bad)
    lines = text.splitlines()
    assert header(text)["license"].startswith('x" --- # owned | <script>')
    assert [i for i, line in enumerate(lines) if line == "---"] == [0, lines.index("---", 1)]
    outside = "".join(re.split(r"```[\s\S]*?\n```", text.partition("\n---\n")[2]))
    assert "<script" not in outside.replace("\\<script", "")
    assert "](javascript" not in outside
    assert not any(line.startswith("# Owned") for line in lines)
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", text)
    assert "/home/me" not in text
    row = next(line for line in lines if line.startswith('| x"'))
    assert len(re.findall(r"(?<!\\)\|", row)) == 9


def test_written_beside_the_files_unless_someone_else_s_is_there(
    run: RunDir, tmp_path: Path
) -> None:
    write_json(tmp_path / "export.json", exported())
    assert write_card(run, tmp_path, verified())
    readme = tmp_path / "README.md"
    assert OURS in readme.read_text()
    assert 'license: "apache-2.0"' in readme.read_text()
    assert write_card(run, tmp_path, None)
    assert "Not verified." in readme.read_text()
    readme.write_text("mine")
    assert not write_card(run, tmp_path, verified())
    assert readme.read_text() == "mine"
    assert json.loads((tmp_path / "export.json").read_text()) == exported()
