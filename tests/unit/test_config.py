from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirl.config import (
    Recipe,
    apply_override,
    describe_fields,
    find_recipe,
    list_recipes,
    load_recipe,
    parse_recipe,
)
from minirl.errors import ConfigError, UnknownNameError

ENV = {"env": {"name": "arithmetic"}}


@pytest.mark.parametrize("name", list_recipes())
def test_every_shipped_recipe_is_valid_and_says_what_it_does(name):
    recipe = load_recipe(find_recipe(name))
    assert len(recipe.description) > 20


def test_a_recipe_survives_toml_and_json():
    recipe = parse_recipe(
        {
            **ENV,
            "model": {"lora_targets": ["q_proj", "v_proj"]},
            "train": {"report_to": ["wandb"], "micro_batch": 8, "learning_rate": 1},
        },
        source="test",
    )
    assert recipe.model.lora_targets == ("q_proj", "v_proj")
    assert parse_recipe(tomllib.loads(recipe.to_toml()), source="toml") == recipe
    assert parse_recipe(recipe.model_dump(mode="json"), source="json") == recipe


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("train.steps=3", 3),
        ("train.steps = 3", 3),
        ("train.learning_rate=1e-3", 1e-3),
        ("env.name=arithmetic:2", "arithmetic:2"),
        ('env.name="a = b"', "a = b"),
        ("env.options.left=[1, 2]", [1, 2]),
        ("model.load_in_4bit=true", True),
        ("model.name=", ""),
    ],
)
def test_overrides_are_read_as_toml_else_as_text(override, value):
    raw: dict = {}
    apply_override(raw, override)
    for part in override.partition("=")[0].strip().split("."):
        raw = raw[part]
    assert raw == value


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20))
def test_no_value_breaks_an_override(value):
    raw: dict = {}
    apply_override(raw, f"a.b={value}")
    assert list(raw) == ["a"]
    assert list(raw["a"]) == ["b"]


@pytest.mark.parametrize("override", ["steps", "=3", "train.=3", ".steps=3", "train..steps=3"])
def test_an_override_without_a_key_is_refused(override):
    with pytest.raises(ConfigError, match=r"--set section\.key=value"):
        apply_override({}, override)


def test_an_override_cannot_open_a_value():
    with pytest.raises(ConfigError, match="seed is a value and not a section"):
        apply_override({"seed": 3}, "seed.x=1")


def test_every_wrong_key_is_told_at_once():
    raw = {**ENV, "trian": {}, "train": {"stepz": 3, "group_size": 1}, "seed": -1}
    with pytest.raises(ConfigError) as caught:
        parse_recipe(raw, source="mine.toml")
    text = str(caught.value)
    assert text.startswith("mine.toml cannot be used:")
    for key, hint in (("trian", "'train'"), ("train.stepz", "'train.steps'")):
        assert f"{key}: no such key; did you mean {hint}?" in text
    assert "train.group_size: must be greater than or equal to 2, got 1" in text
    assert "seed: must be greater than or equal to 0, got -1" in text


def test_a_missing_environment_is_told():
    with pytest.raises(ConfigError, match="env: missing"):
        parse_recipe({}, source="test")


@pytest.mark.parametrize(("micro", "fits"), [(7, 4), (63, 32), (1000, 64)])
def test_a_micro_batch_that_does_not_divide_names_one_that_does(micro, fits):
    train = {"prompts_per_step": 8, "group_size": 8, "micro_batch": micro}
    with pytest.raises(ConfigError, match=f"next smaller that does: {fits}\n"):
        parse_recipe({**ENV, "train": train}, source="test")


def test_the_byte_order_mark_of_windows_editors_is_no_error(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text('\ufeff[env]\nname = "arithmetic"\n', encoding="utf-8")
    assert load_recipe(path).env.name == "arithmetic"


def test_a_file_goes_by_its_path_and_a_shipped_recipe_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text('env = { name = "countdown" }')
    assert load_recipe(find_recipe("tiny.toml")).env.name == "countdown"
    assert load_recipe(find_recipe("tiny")).env.name == "arithmetic"
    with pytest.raises(UnknownNameError, match="did you mean 'quickstart'"):
        find_recipe("quikstart")


def test_every_key_has_a_help_text():
    rows = {key: (default, text) for key, default, text in describe_fields()}
    assert [key for key, (_, text) in rows.items() if not text] == []
    assert rows["env.name"][0] == "required"
    assert rows["train.group_size"][0] == str(Recipe.model_validate(ENV).train.group_size)
