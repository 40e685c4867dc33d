"""Reading and verifying answers: pure functions that never raise on model output. No torch."""

from minirl.rewards.answer import (
    lenient_answer,
    parse_integer,
    score_answer,
    slot_decoys,
    strict_answer,
)
from minirl.rewards.expression import BadExpression, Expression, parse_expression

__all__ = [
    "BadExpression",
    "Expression",
    "lenient_answer",
    "parse_expression",
    "parse_integer",
    "score_answer",
    "slot_decoys",
    "strict_answer",
]
