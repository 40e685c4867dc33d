"""For the tests of environments: one line puts one to the proof.

::

    from minirl.testing import assert_audited

    def test_my_env_proves_itself():
        assert_audited("./my_env.py:MyEnv")
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def assert_audited(
    env: str, options: Mapping[str, Any] | None = None, *, tasks: int = 200, seed: int = 0
) -> None:
    """Audit an environment, at the level that ``env`` names or else at every level.

    Args:
        env: as ``minirl envs check`` takes it: ``NAME``, ``NAME:LEVEL`` or ``PATH.py:Class``.
        options: fields of its Config.
        tasks: how many tasks of each split.

    Raises:
        AssertionError: a check failed; the message shows each with its first failure in full.
        ConfigError: the spec or an option cannot be used.
    """
    from minirl.envs.audit import AuditSettings, audit
    from minirl.report.audit_table import audit_summary, example_text

    records = [r.as_record() for r in audit(env, options, AuditSettings(tasks=tasks, seed=seed))]
    failed = [record for record in records if not record["passed"]]
    told = []
    for record in failed:
        told.append(audit_summary(record))
        told += [example_text(c) for c in record["checks"] if c["outcome"] == "FAILED"]
    if told:
        raise AssertionError("\n\n".join(told))
