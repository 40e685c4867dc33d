"""The schemas: each domain in several shapes (columns, their order, how keys are named)."""

from __future__ import annotations

from random import Random

from minirl.envs.base import task_rng
from minirl.envs.sql.blueprints import BLUEPRINTS
from minirl.envs.sql.schema import Column, Schema, Table

SHAPES = 4  # of each domain


def _schema(domain: str, shape: int) -> Schema:
    """One shape of a domain: which extra columns there are, in which order, with which keys."""
    rng = task_rng("sql schema", domain, shape)
    long_keys, plural = bool(shape & 1), bool(shape & 2)
    tables: list[Table] = []
    for blueprint in BLUEPRINTS[domain]:
        name = blueprint.many if plural else blueprint.one
        key = Column(f"{blueprint.one}_id" if long_keys else "id", "key")
        columns = [*blueprint.categories, *blueprint.twins, *_some(blueprint.more, rng)]
        rng.shuffle(columns)
        label = [] if blueprint.label is None else [blueprint.label]
        reference: list[Column] = []
        if tables:
            above = tables[-1]
            to = above.only("key").name
            own = to if long_keys else f"{above.one}_id"
            reference = [Column(own, "reference", refers_to=f"{above.name}.{to}")]
        every = (key, *label, *reference, *columns)
        tables.append(Table(name, blueprint.one, blueprint.many, every))
    return Schema(f"{domain}/{shape}", domain, tuple(tables))


def _some(columns: tuple[Column, ...], rng: Random) -> list[Column]:
    """A column that may be empty is always there; one of the others may be missing."""
    optional = [c for c in columns if not c.is_nullable]
    left_out = rng.choice(optional) if len(optional) > 1 else None
    return [c for c in columns if c is not left_out]


SCHEMAS = {
    schema.name: schema
    for domain in BLUEPRINTS
    for schema in (_schema(domain, shape) for shape in range(SHAPES))
}
