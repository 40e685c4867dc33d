"""README.md of an export, in the form of the hub's model cards: what it is, what was measured of
it, and how to run it. It states nothing that the run's records do not hold.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from minirl.models.catalogue import HUB_ID, list_models
from minirl.rundir import RunDir, read_json, write_text

CARD = "README.md"
OURS = "<!-- written by minirl export; write your own text and remove this line to keep it -->"
NONE = "–"
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#|~!&$])")

Record = Mapping[str, Any]


def write_card(run: RunDir, out: Path, verified: Record | None) -> bool:
    """Write the card of what was exported into ``out``, unless somebody else's README is there.

    Returns:
        Whether it was written.

    Raises:
        RunDirError: one of the run's files is damaged, or ``out`` cannot be written.
    """
    path = out / CARD
    if path.exists() and OURS not in path.read_text(encoding="utf-8", errors="replace"):
        return False

    def there(file: Path) -> Record | None:
        return read_json(file) if file.is_file() else None

    config = run.read_config()
    licences = {model.name: model.licence for model in list_models()}
    text = model_card(
        run.path.resolve().name,
        config,
        read_json(out / "export.json"),
        verified,
        probed=there(run.probe),
        evaluated=there(run.eval),
        proved=there(run.prove),
        licence=licences.get(config["model"]["name"]),
        modelfile=(out / "Modelfile").is_file(),
    )
    write_text(path, text)
    return True


def model_card(
    name: str,
    config: Record,
    exported: Record,
    verified: Record | None = None,
    *,
    probed: Record | None = None,
    evaluated: Record | None = None,
    proved: Record | None = None,
    licence: str | None = None,
    modelfile: bool = False,
) -> str:
    """The card's text. Names and whatever models wrote are escaped.

    Args:
        name: the run's.
        config: its config.json.
        exported, verified: export.json and verify.json.
        probed, evaluated, proved: probe.json, eval.json and prove.json, those that there are.
        licence: of the base model, where it is known.
        modelfile: whether a Modelfile for Ollama lies beside it.
    """
    kinds = {file["kind"] for file in exported["files"].values()}
    parts = [
        _header(config, kinds, licence),
        f"{OURS}\n\n# {_shown(name)}\n\n{_what(config)}",
        _results(probed, evaluated, proved),
        _files(exported, verified),
        _running(config, exported, modelfile=modelfile),
        _training(config),
        f"## Licence\n\n{_licence(config, licence)}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _header(config: Record, kinds: set[str], licence: str | None) -> str:
    base = str(config["model"]["name"])
    tags = ["minirl", "reinforcement-learning", "grpo"]
    tags += ["lora"] if kinds & {"adapter", "gguf-lora"} else []
    tags += ["gguf"] if kinds & {"gguf", "gguf-lora"} else []
    lines = ["---"]
    if HUB_ID.fullmatch(base):
        lines.append(f"base_model: {_yaml(base)}")
    library = "transformers" if "merged" in kinds else "peft" if "adapter" in kinds else None
    if library:
        lines.append(f"library_name: {library}")
    lines += ["pipeline_tag: text-generation"]
    if licence:
        lines.append(f"license: {_yaml(licence.lower())}")
    return "\n".join([*lines, "tags:", *(f"- {_yaml(tag)}" for tag in tags), "---"])


def _what(config: Record) -> str:
    train = config["train"]
    said = (
        f"{_model(config)} after {train['steps']} steps of reinforcement learning (GRPO on a LoRA "
        f"adapter of rank {config['model']['lora_r']}) on the environment "
        f"{_shown(config['env']['name'])}, made with minirl."
    )
    description = _shown(str(config.get("description") or ""))
    return f"{said}\n\n> {description}" if description else said


def _results(probed: Record | None, evaluated: Record | None, proved: Record | None) -> str:
    lines = []
    if probed:
        lines.append(f"- Probe of the base before training: solved {_rate(probed['solved'])}.")
    if evaluated:
        lines.append(f"- Held-out tasks solved, {_before_after(evaluated)}.")
    if proved:
        also = "".join(f", {_shown(a)}" for a in proved["also"])
        lines += [
            f"- Proof, {proved['samples']} samples of each of {proved['tasks']} held-out tasks: "
            f"{_before_after(proved)}.",
            f"- Verdict: **{_shown(proved['verdict'])}**{also}.",
            *(f"  - {_shown(reason)}" for reason in proved["reasons"]),
        ]
    if not lines:
        return ""
    return "\n".join(["## Measured", "", *lines, "", "Intervals are 95 %."])


def _before_after(record: Record) -> str:
    change = record["difference"]
    return (
        f"T = {record['temperature']:g}: base {_rate(record['base']['solved'])}, tuned "
        f"{_rate(record['tuned']['solved'])}, {_points(change)} points paired over "
        f"{change['tasks']} tasks"
    )


def _files(exported: Record, verified: Record | None) -> str:
    records: Record = verified["files"] if verified else {}
    rows = [
        "| file | size | top-1 | KL, nats | solved | difference, points | tokens/s | verified |"
    ]
    rows.append("|---|--:|--:|--:|--:|--:|--:|---|")
    for name, file in exported["files"].items():
        rows.append(f"| {_shown(name)} | {_bytes(file['bytes'])} | {_row(records.get(name))} |")
    lines = ["## Files", "", *rows]
    base = str(exported.get("base", "stored"))
    if base != "stored":
        lines += ["", f"Merged into the {_shown(base)} weights of the base."]
    if not verified:
        return "\n".join([*lines, "", "Not verified."])
    reference = verified["reference"]
    lines += [
        "",
        f"Compared with {_shown(_base_name(reference['model']))} and its adapter "
        f"({_shown(reference['backend'])}, {_shown(reference['dtype'])}) on "
        f"{_shown(reference['env'])}, always taking the likeliest token: solved "
        f"{_rate(reference['solved'])}. Differences are paired by task; top-1 is how often the "
        "likeliest next token is the same, KL is KL(trained ‖ exported) a token.",
    ]
    told = [
        f"- {_shown(name)}{' FAILED' if key == 'failures' else ''}: {_shown(what)}"
        for name, record in records.items()
        for key in ("failures", "notes")
        for what in record[key]
    ]
    return "\n".join([*lines, *([""] if told else []), *told])


def _row(record: Record | None) -> str:
    if record is None:
        return " | ".join([NONE] * 5 + ["no"])
    distributions, answers = record.get("distributions"), record.get("answers")
    cells = [NONE] * 5
    if distributions:
        cells[0] = f"{_percent(distributions['top1'])}, n = {distributions['positions']}"
        cells[1] = f"{_small(distributions['kl'])}, n = {distributions['positions']}"
    if answers:
        cells[2] = _rate(answers["solved"])
        cells[3] = f"{_points(answers['difference'])}, n = {answers['difference']['tasks']}"
        cells[4] = f"{answers['tokens_per_second']:.0f}"
    return " | ".join([*cells, "passed" if record["passed"] else "**failed**"])


def _running(config: Record, exported: Record, *, modelfile: bool) -> str:
    blocks = []
    for name, file in exported["files"].items():
        model, said = _argument(name), []
        if file["kind"] == "gguf":
            said = [f"llama-cli -m {model}", f"minirl chat {model}"]
        elif file["kind"] == "gguf-lora" and file["base_gguf"]:
            base = _argument(PurePath(str(file["base_gguf"])).name)
            said = [f"llama-cli -m {base} --lora {model}"]
        if said:
            blocks.append(_fenced("bash", said))
        if file["kind"] in ("merged", "adapter"):
            blocks.append(
                _fenced("python", _python(config, name, adapter=file["kind"] == "adapter"))
            )
    if modelfile:
        ollama = ["ollama create tuned -f Modelfile", "ollama run tuned"]
        blocks.append(_fenced("bash", ollama))
    return "\n\n".join(["## Running it", *blocks]) if blocks else ""


def _python(config: Record, name: str, *, adapter: bool) -> list[str]:
    base = _printable(_base_name(config["model"]["name"]))
    base = json.dumps(base if HUB_ID.fullmatch(base) else f"path/to/{base}")
    path = json.dumps(_printable(name))
    lines = ["from transformers import AutoModelForCausalLM, AutoTokenizer", ""]
    lines += [f"tokenizer = AutoTokenizer.from_pretrained({path})"]
    if not adapter:
        return [*lines, f"model = AutoModelForCausalLM.from_pretrained({path})"]
    return [
        "from peft import PeftModel",
        *lines,
        f"model = AutoModelForCausalLM.from_pretrained({base})  # what it was trained on",
        f"model = PeftModel.from_pretrained(model, {path})",
    ]


def _training(config: Record) -> str:
    train, sampling = config["train"], config["sampling"]
    rows = {
        "environment": config["env"]["name"],
        "its options": json.dumps(config["env"]["options"], ensure_ascii=False),
        "steps": train["steps"],
        "tasks a step": train["prompts_per_step"],
        "rollouts a task": train["group_size"],
        "loss": f"{train['loss_type']}, scale_rewards {train['scale_rewards']}",
        "learning rate": f"{train['learning_rate']:g}, {train['schedule']}",
        "KL coefficient": f"{train['beta']:g}",
        "sampling": f"T = {sampling['temperature']:g}, top_p = {sampling['top_p']:g}, at most "
        f"{sampling['max_tokens']} tokens",
        "LoRA": f"r = {config['model']['lora_r']}, alpha = {config['model']['lora_alpha']}",
        "seed": config["seed"],
    }
    lines = [f"| {key} | {_shown(str(value))} |" for key, value in rows.items()]
    return "\n".join(["## Training", "", "| | |", "|---|---|", *lines])


def _licence(config: Record, licence: str | None) -> str:
    if licence:
        return f"The base, {_model(config)}, is under {_shown(licence)}."
    return f"That of the base, {_model(config)}."


def _model(config: Record) -> str:
    return _shown(_base_name(str(config["model"]["name"])))


def _base_name(name: str) -> str:
    """A hub id, a catalogue name, or the last part of a path: the rest is nobody's business."""
    return name if HUB_ID.fullmatch(name) else PurePath(name).name or name


def _shown(text: str) -> str:
    """Text from outside as Markdown that shows it, on one line."""
    return _MARKDOWN.sub(r"\\\1", _printable(text))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(str(text).split()))


def _argument(name: str) -> str:
    """A file name as an argument of a shell command, which cannot be read as an option."""
    quoted = shlex.quote(_printable(name))
    return f"./{quoted}" if quoted.startswith(("-", "'-")) else quoted


def _fenced(language: str, lines: Sequence[str]) -> str:
    return "\n".join([f"```{language}", *lines, "```"])


def _yaml(text: str) -> str:
    return json.dumps(_printable(text), ensure_ascii=False)


def _bytes(n: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= size:
            return f"{n / size:.1f} {unit}"
    return f"{n} B"


def _rate(s: Record) -> str:
    return f"{_percent(s)}, n = {s['n']}"


def _percent(s: Record) -> str:
    return f"{100 * s['value']:.1f} % [{100 * s['low']:.1f}, {100 * s['high']:.1f}]"


def _points(s: Record) -> str:
    return f"{100 * s['value']:+.1f} [{100 * s['low']:+.1f}, {100 * s['high']:+.1f}]"


def _small(s: Record) -> str:
    value, low, high = ("∞" if s[k] is None else f"{s[k]:.2g}" for k in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
