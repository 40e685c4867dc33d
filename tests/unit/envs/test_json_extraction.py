"""JSON extraction: what is told is what is asked, and only that."""

from __future__ import annotations

import json
from random import Random

import pytest
from jsonschema import Draft202012Validator

from minirl.envs import make_env
from minirl.envs.json_extraction import (
    CITIES,
    EXAMPLE_NAME,
    FACTS,
    JOBS,
    NAMES,
    PETS,
    STREETS,
    JsonExtraction,
    closed,
    schema_of,
    tell,
)
from minirl.errors import ConfigError
from minirl.types import Task

LEVELS = list(JsonExtraction.levels)
RECORD = {"name": "Olga", "age": 34, "height": 1.7, "married": True, "pets": ["cat", "dog"]}
TASK = Task("json_extraction", "train", 0, (), {"record": RECORD})
GOLD = json.dumps(RECORD)


def test_each_fact_in_words() -> None:
    told = {
        ("age", 34): "Olga is 34 years old.",
        ("married", False): "Olga is not married.",
        ("height", 1.7): "Olga is 1.7 metres tall.",
        ("pets", ()): "Olga keeps no pets.",
        ("pets", ("cat",)): "Olga keeps a cat.",
        ("pets", ("cat", "dog", "goat")): "Olga keeps a cat, a dog and a goat.",
        ("email", None): "Olga has no email.",
        ("email", "a@b.org"): "The email of Olga is a@b.org.",
    }
    for (key, value), sentence in told.items():
        assert FACTS[key].tell("Olga", value) == sentence


@pytest.mark.parametrize("level", LEVELS)
def test_the_record_is_told_whole_and_fits_the_shown_schema(level: str) -> None:
    env = make_env(f"json_extraction:{level}")
    for i in range(60):
        task = env.task("train", i)
        schema_line, told = task.prompt[-1].content.split("\n")
        record, schema = task.data["record"], json.loads(schema_line.removeprefix("Schema: "))
        assert schema == schema_of(record)
        assert Draft202012Validator(closed(schema)).is_valid(record)
        assert len(record) == env.config.keys + 1
        sentences = [s + "." for s in told.removesuffix(".").split(". ")]
        own = [FACTS[k].tell(record["name"], v) for k, v in record.items() if k != "name"]
        assert sorted(s for s in sentences if s in own) == sorted(own)
        assert len(sentences) == len(own) + env.config.asides
        assert all(f" of {record['name']} " in s for s in sentences if s not in own)


def test_a_name_is_no_part_of_another_word() -> None:
    words = [*CITIES, *JOBS, *PETS, *STREETS, *FACTS, EXAMPLE_NAME]
    everything = " ".join(words) + tell(
        {"name": "", **{k: f.example for k, f in FACTS.items()}}, 3, Random(1)
    )
    for name in NAMES:
        assert name not in everything
        assert not any(name in other for other in NAMES if other != name)
    assert len(set(NAMES)) == len(NAMES) >= 80


@pytest.mark.parametrize(
    "slot",
    [
        GOLD,
        json.dumps(dict(reversed(RECORD.items())), separators=(",", ":")),
        GOLD.replace("Olga", "\\u004flga"),
        GOLD.replace("1.7", "1.70"),
        GOLD.replace("1.7", "17e-1"),
    ],
)
def test_the_same_object_counts_however_it_is_written(slot: str) -> None:
    assert make_env("json_extraction").score(TASK, f"Answer: {slot}").solved


@pytest.mark.parametrize(
    ("old", "new", "fits"),
    [
        ("34", "35", True),
        ('["cat", "dog"]', '["dog", "cat"]', True),
        ("Olga", "olga", True),
        ("34", "34.0", True),  # an integer to JSON schema, but not what was asked
        ("34", '"34"', False),
        ("true", '"true"', False),
        ("true", "1", False),
        ("1.7", '"1.7 m"', False),
        ('["cat", "dog"]', '"cat, dog"', False),
        (', "pets": ["cat", "dog"]', "", False),
        ('"age": 34', '"age": 34, "city": null', False),
        ('"age": 34', '"age": 34, "age": 34', False),
        ('"age": 34', '"age": 34, "age": 99', False),
        ("34", "NaN", False),
        ("34", "9" * 5000, False),
        ("34", "[" * 900 + "]" * 900, False),
    ],
)
def test_other_objects_do_not(old: str, new: str, fits: bool) -> None:
    assert old in GOLD
    score = make_env("json_extraction").score(TASK, f"Answer: {GOLD.replace(old, new)}")
    assert score.value == 0.0
    assert score.parts["format"] == float(fits)


def test_a_right_object_elsewhere_is_lenient() -> None:
    for text in (GOLD, f"```json\n{json.dumps(RECORD, indent=2)}\n```", f"{GOLD} Done."):
        score = make_env("json_extraction").score(TASK, text)
        assert (score.value, score.parts["lenient"], score.parts["format"]) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize("level", LEVELS)
def test_somebody_elses_name_changes_the_record(level: str) -> None:
    env = make_env(f"json_extraction:{level}")
    for i in range(30):
        task = env.task("test", i)
        shifted = env.shifted(task, Random(i))
        assert shifted is not None
        changed, answer = shifted
        assert task.data["record"]["name"] not in changed.prompt[-1].content
        assert env.score(changed, str(answer)).solved
        assert not env.score(changed, str(env.gold(task))).solved


def test_closed_goes_into_nested_objects() -> None:
    validator = Draft202012Validator(closed(schema_of(["name", "address"])))
    address = {"street": "Mill Street", "number": 3}
    assert validator.is_valid({"name": "Olga", "address": address})
    for wrong in ({**address, "flat": 1}, {"street": "Mill Street"}, {**address, "number": "3"}):
        assert not validator.is_valid({"name": "Olga", "address": wrong})


def test_facts_and_keys_are_checked() -> None:
    with pytest.raises(ConfigError, match="weight"):
        make_env("json_extraction", {"facts": ["weight"], "keys": 1})
    with pytest.raises(ConfigError, match="keys"):
        make_env("json_extraction", {"facts": ["age"], "keys": 2})
