"""Playing episodes: the engine, the policy protocol, and scripted policies."""

from minirl.rollout.engine import play
from minirl.rollout.policy import Policy, Sessionless
from minirl.rollout.scripted import ScriptedPolicy

__all__ = ["Policy", "ScriptedPolicy", "Sessionless", "play"]
