"""Turn what is told about a person into one JSON object that fits a JSON schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from minirl.envs.base import EnvConfig, Environment, opening, task_rng
from minirl.envs.registry import register
from minirl.envs.universe import Drawn, Universe
from minirl.rewards.answer import LABEL, score_answer, slot_decoys, strict_answer
from minirl.rewards.json_value import parse_object, same_json
from minirl.types import Score, Split, Task

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

SYSTEM = (
    "Write what is told as one JSON object with exactly the keys of the schema. "
    f"Give it on the last line as '{LABEL} {{...}}'."
)

# No name is a part of another word in a question: `shifted` exchanges it. The example's is none.
EXAMPLE_NAME = "Gustav"
NAMES = tuple(
    """
    Abena Adriana Ahmed Aiko Alberto Amina Anika Antonia Arturo Astrid Beatriz Benedikt Bogdan
    Camille Catalina Chiara Dagmar Daniela Dimitri Eduardo Eleni Emeka Esteban Fatima Felipe
    Fiona Francesca Frederik Gabriela Giovanni Hamza Haruto Helena Hiroshi Ibrahim Ignacio Ingrid
    Isabel Ivana Jakob Jasmin Joaquin Johanna Kamal Katarina Kenji Khadija Kwame Lakshmi Leonie
    Lorenzo Lucia Ludmila Magnus Malik Marcela Mateus Matilda Mehmet Miguel Mirela Nadia Natasha
    Nikolai Noemi Olga Oscar Paolo Patricia Pavel Petra Priya Rafael Ravi Renata Rosa Samira
    Sandro Selma Sergei Simone Sofia Stefan Svetlana Tamar Teresa Thabo Tomasz Valentina Vikram
    Viktor Wanjiru Xavier Yara Yusuf Zainab Zofia """.split()  # noqa: SIM905
)
CITIES = tuple(
    """
    Accra Athens Bergen Bogota Boston Cairo Chicago Cork Dakar Delhi Denver Dublin Genoa Ghent
    Hanoi Havana Kyoto Lagos Leeds Lima Lisbon Lyon Madrid Malmo Manila Milan Nairobi Osaka Oslo
    Paris Porto Prague Quito Riga Rome Seattle Seoul Tampa Tokyo Turin Vienna Warsaw Zagreb
    """.split()  # noqa: SIM905
)
JOBS = ("baker", "cook", "driver", "nurse", "painter", "pilot", "teacher", "writer")
STREETS = ("Bridge Road", "Canal Street", "Garden Lane", "Harbour Road", "Mill Street", "Oak Lane")
PETS = ("canary", "cat", "dog", "goat", "hamster", "parrot", "rabbit", "turtle")
RELATIVES = ("aunt", "boss", "brother", "cousin", "neighbour", "sister", "uncle")


@dataclass(frozen=True, slots=True)
class Fact:
    """One key of a record.

    Attributes:
        schema: the JSON schema of its value.
        draw: a value.
        tell: the value of ``who`` in a sentence.
        example: the value in the worked example.
    """

    schema: Mapping[str, Any]
    draw: Callable[[Random], Any]
    tell: Callable[[str, Any], str]
    example: Any


def _pets(who: str, pets: Sequence[str]) -> str:
    *most, last = (f"a {pet}" for pet in pets) if pets else ("no pets",)
    return f"{who} keeps {', '.join(most)}{' and ' if most else ''}{last}."


def _email(who: str, address: str | None) -> str:
    return f"{who} has no email." if address is None else f"The email of {who} is {address}."


STRING: Mapping[str, Any] = {"type": "string"}
FACTS = {
    "age": Fact(
        {"type": "integer"},
        lambda rng: rng.randint(18, 90),
        lambda who, v: f"{who} is {v} years old.",
        41,
    ),
    "city": Fact(
        STRING, lambda rng: rng.choice(CITIES), lambda who, v: f"{who} lives in {v}.", "Bonn"
    ),
    "job": Fact(
        {"enum": list(JOBS)},
        lambda rng: rng.choice(JOBS),
        lambda who, v: f"{who} works as a {v}.",
        "cook",
    ),
    "children": Fact(
        {"type": "integer"},
        lambda rng: rng.randint(2, 7),
        lambda who, v: f"{who} has {v} children.",
        3,
    ),
    "married": Fact(
        {"type": "boolean"},
        lambda rng: rng.random() < 0.5,
        lambda who, v: f"{who} is {'' if v else 'not '}married.",
        True,
    ),
    "height": Fact(
        {"type": "number"},
        lambda rng: rng.randint(150, 199) / 100,
        lambda who, v: f"{who} is {v} metres tall.",
        1.68,
    ),
    "pets": Fact(
        {"type": "array", "items": STRING},
        lambda rng: rng.sample(PETS, rng.randint(0, 3)),
        _pets,
        ["dog", "cat"],
    ),
    "email": Fact(
        {"type": ["string", "null"]},
        lambda rng: f"mail{rng.randint(10, 999)}@example.org" if rng.random() < 0.6 else None,
        _email,
        None,
    ),
    "address": Fact(
        {
            "type": "object",
            "properties": {"street": STRING, "number": {"type": "integer"}},
        },
        lambda rng: {"street": rng.choice(STREETS), "number": rng.randint(1, 99)},
        lambda who, v: f"The door of {who} is number {v['number']} in {v['street']}.",
        {"street": "Station Road", "number": 8},
    ),
}
TOLD_ASIDE = ("age", "city", "job")  # what is told of a relative, too


class JsonExtractionConfig(EnvConfig):
    facts: tuple[str, ...] = tuple(FACTS)
    """What may be told besides the name: any of age, city, job, children, married, height, pets,
    email, address.
    """
    keys: int = Field(4, ge=1, le=9)
    """How many of the facts one record has, besides the name."""
    asides: int = Field(0, ge=0, le=3)
    """Sentences about relatives, which do not belong into the record."""
    worked_example: bool = True
    """Show one solved problem first. The tasks are the same without it."""

    @model_validator(mode="after")
    def _possible(self) -> JsonExtractionConfig:
        unknown = sorted(set(self.facts) - set(FACTS))
        if unknown:
            raise ValueError(f"facts are any of {', '.join(FACTS)}; got {unknown}")
        if len(set(self.facts)) < self.keys:
            raise ValueError(f"keys: {self.keys} need as many facts, got {list(self.facts)}")
        return self


@register
class JsonExtraction(Environment[JsonExtractionConfig]):
    """Extract a record as one JSON object that fits a schema.

    Right is what equals the record, types included: ``34``, ``34.0`` and ``"34"`` differ. The order
    of keys does not count. The part ``format`` says whether the object fits the schema.
    """

    name = "json_extraction"
    Config = JsonExtractionConfig
    levels: ClassVar = {
        "1": {"keys": 1, "facts": ["age", "city"]},
        "2": {"keys": 2, "facts": ["age", "city", "job", "children"]},
        "3": {"keys": 3, "facts": ["age", "city", "children", "married", "height"]},
        "4": {"keys": 5},
        "5": {"keys": 7, "asides": 2},
    }

    def task(self, split: Split, index: int) -> Task:
        record = json.loads(json.dumps(self._universe.pick(split, index)))  # the task's own copy
        key = _key(record)
        told = tell(record, self.config.asides, task_rng(self.name, key))
        return self._task(split, index, told, record)

    def gold(self, task: Task) -> str:
        return _answer(task.data["record"])

    def alternatives(self, task: Task) -> Sequence[str]:
        record = task.data["record"]
        name = record["name"]
        gold = _answer(record)
        return (
            _answer(dict(reversed(record.items()))),
            f"{LABEL} {json.dumps(record, separators=(',', ':'))}",
            gold.replace(f'"{name}"', f'"\\u{ord(name[0]):04x}{name[1:]}"'),
        )

    def decoys(self, task: Task) -> Sequence[str]:
        record = task.data["record"]
        name, key = record["name"], next(k for k in record if k != "name")
        gold, value = json.dumps(record, ensure_ascii=False), record[key]
        other = {**record, "name": next(n for n in NAMES if n != name)}
        records: tuple[object, ...] = (
            {k: v for k, v in record.items() if k != key},
            {**record, "comment": "done"},
            {(k.upper() if k == key else k): v for k, v in record.items()},
            {**record, key: None if value is not None else "null"},
            {**record, key: [value]},
            {**record, key: str(value) if not isinstance(value, str) else [*value]},
            {**record, key: {"value": value}},
            {**record, "name": name.upper()},
            {**record, "name": f"{name} "},
            dict.fromkeys(record, "string"),
            schema_of(record),
            {"record": record},
            [record],
            list(record.values()),
            dict(zip(record, [*list(record.values())[1:], name], strict=True)),
        )
        return (
            *slot_decoys(gold, json.dumps(other, ensure_ascii=False)),
            "\n".join(m.content for m in task.prompt),  # the prompt, echoed
            self._example[1],  # the example, copied
            *(f"{LABEL} {json.dumps(r, ensure_ascii=False)}" for r in records),
            f"{LABEL} {gold} {gold}",
            f"{LABEL} {gold[:-1]},}}",
            f'{LABEL} {gold[:-1]}, "name": "{name}"}}',  # one key twice
            f'{LABEL} {{"name": "nobody", {gold[1:]}',
            f"{LABEL} {record!r}",  # a Python dict
            f"{LABEL} `{gold}`",
            f"{LABEL} {gold} // as told",
            f'{LABEL} {gold[:-1]}, "{key}": NaN}}',
            f"```json\n{gold}\n```",
        )

    def shifted(self, task: Task, rng: Random) -> tuple[Task, str]:
        """The same is told of somebody else."""
        record = task.data["record"]
        name = rng.choice([n for n in NAMES if n != record["name"]])
        told = task.data["told"].replace(record["name"], name)
        changed = self._task(task.split, task.index, told, {**record, "name": name})
        return changed, self.gold(task).replace(record["name"], name)

    def score(self, task: Task, text: str) -> Score:
        record = task.data["record"]

        def right(written: str) -> bool:
            return same_json(parse_object(written), record)

        def lenient(whole: str) -> bool:
            return right(whole[whole.find("{") : whole.rfind("}") + 1])

        score = score_answer(text, right, lenient=lenient)
        slot = None if score.solved else strict_answer(text)
        if slot is None:
            return score
        found = parse_object(slot)
        # The validator compares the keys, too, but takes its time.
        keys_fit = found is not None and found.keys() == record.keys()
        fits = keys_fit and _validator(tuple(record)).is_valid(found)
        return replace(score, parts={**score.parts, "format": float(fits)})

    def size(self, split: Split) -> int | None:
        return self._universe.size(split)

    def _task(self, split: Split, index: int, told: str, record: dict[str, Any]) -> Task:
        data = {"told": told, "record": record, "key": _key(record)}
        example = self._example if self.config.worked_example else None
        return Task(
            self.label, split, index, opening(SYSTEM, _question(record, told), example), data
        )

    @cached_property
    def _example(self) -> tuple[str, str]:
        keys = sorted(set(self.config.facts), key=list(FACTS).index)[: self.config.keys]
        record = {"name": EXAMPLE_NAME, **{key: FACTS[key].example for key in keys}}
        told = tell(record, self.config.asides, task_rng(self.name, "example"))
        return _question(record, told), _answer(record)

    @cached_property
    def _universe(self) -> Universe[dict[str, Any]]:
        facts, count = sorted(set(self.config.facts)), self.config.keys

        def draw(rng: Random) -> dict[str, Any]:
            keys = rng.sample(facts, count)
            return {"name": rng.choice(NAMES), **{key: FACTS[key].draw(rng) for key in keys}}

        return Drawn(f"{self.name} of {count} keys", draw, _key)


def tell(record: Mapping[str, Any], asides: int, rng: Random) -> str:
    """The record in sentences in any order, with some about relatives among them."""
    name = record["name"]
    told = [FACTS[key].tell(name, value) for key, value in record.items() if key != "name"]
    for relative in rng.sample(RELATIVES, asides):
        fact = FACTS[rng.choice(TOLD_ASIDE)]
        told.append(fact.tell(f"The {relative} of {name}", fact.draw(rng)))
    rng.shuffle(told)
    return " ".join(told)


def schema_of(record: Iterable[str]) -> dict[str, Any]:
    """The JSON schema of a record with these keys, as the prompt shows it.

    The prompt says in words that exactly these keys are meant; :func:`closed` says it in JSON.
    """
    properties = {key: STRING if key == "name" else FACTS[key].schema for key in record}
    return {"type": "object", "properties": properties}


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """``schema`` where every object needs all its properties and takes no other."""
    if "properties" not in schema:
        return dict(schema)
    properties = {key: closed(value) for key, value in schema["properties"].items()}
    required = list(properties)
    return {**schema, "properties": properties, "required": required, "additionalProperties": False}


@lru_cache(maxsize=256)
def _validator(keys: tuple[str, ...]) -> Validator:
    from jsonschema import Draft202012Validator  # a slow import, which making tasks can do without

    return Draft202012Validator(closed(schema_of(keys)))


@lru_cache(maxsize=256)
def _shown_schema(keys: tuple[str, ...]) -> str:
    return json.dumps(schema_of(keys), separators=(",", ":"))


def _question(record: Iterable[str], told: str) -> str:
    return f"Schema: {_shown_schema(tuple(record))}\n{told}"


def _answer(record: Mapping[str, Any]) -> str:
    return f"{LABEL} {json.dumps(record, ensure_ascii=False)}"


def _key(record: Mapping[str, Any]) -> str:
    return json.dumps(record, sort_keys=True)
