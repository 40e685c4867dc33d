"""Whether an export is the model that was trained: its tensors, its tokens, its distributions and
its answers.
"""

from minirl.export.verify.limits import Limits, limits_for
from minirl.export.verify.verify import Target, Verifier

__all__ = ["Limits", "Target", "Verifier", "limits_for"]
