"""Environments that prove themselves: what is right passes, what is wrong does not, tasks are pure.

Every check is in :data:`CHECKS`; it tries a fixed list of tricks, so a pass is evidence and no
proof. It loads no model and no torch. The environment's own code runs with the user's rights.
"""

from minirl.envs.audit.checks import CHECKS, Check, audit_here
from minirl.envs.audit.levels import audit
from minirl.envs.audit.report import AuditReport, CheckResult, Example
from minirl.envs.audit.settings import AuditSettings
from minirl.envs.audit.subject import Subject

__all__ = [
    "CHECKS",
    "AuditReport",
    "AuditSettings",
    "Check",
    "CheckResult",
    "Example",
    "Subject",
    "audit",
    "audit_here",
]
