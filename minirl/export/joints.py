"""A chat template taken apart into the texts between messages.

Most chat templates are nothing but the contents of the messages with a text between every two,
which depends on who speaks before and who speaks after. These texts are read off by rendering
conversations of every order of roles, and the result is compared with the template; one that does
not come apart so is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

from minirl.errors import ModelError
from minirl.models.chat import ChatCodec
from minirl.types import Message, Role

ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")
LONGEST = 5  # messages of the conversations that a template is tried with
INSTEAD = "run the GGUF with llama.cpp (llama-server --jinja), which uses the template itself"

# What may follow what, "" being the beginning: first what every model must be able to do, then
# what is left out where it cannot be said. Two messages of a role are one to Ollama.
_PLAIN = frozenset({("", "user"), ("user", "assistant"), ("assistant", "user")})
_MORE: Mapping[str, frozenset[tuple[str, str]]] = {
    "system messages": frozenset({("", "system"), ("system", "user")}),
    "tool messages": frozenset(
        {("assistant", "tool"), ("tool", "tool"), ("tool", "assistant"), ("tool", "user")}
    ),
    "system messages in the midst": frozenset(
        {("user", "system"), ("assistant", "system"), ("system", "assistant")}
    ),
}
_MARK = re.compile("zq([0-9])qz")
_CONTENTS = (
    "One line.",
    "Two lines: \"quoted\", 'so', \\n,\n<b>{{ .Role }}</b> & {% x %}.",
    "Grüße, 你好 🙂: 1 + 1 = 2",
    '{"a": [1, null, "b"]}',
)
Joint = tuple[str, str]  # the roles before and after; "" is the beginning, or the end


@dataclass(frozen=True, slots=True)
class Joints:
    """A chat template taken apart.

    Attributes:
        between: the text between two contents.
        strips: roles around whose contents blanks are removed, which a Go template cannot do.
        missing: what cannot be said in these terms, in words.
    """

    between: Mapping[Joint, str]
    strips: frozenset[Role]
    missing: tuple[str, ...] = ()

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(after for _, after in self.between if after)

    def render(self, messages: Sequence[Message]) -> str:
        """What the template writes for ``messages``, with blanks stripped.

        Raises:
            KeyError: it has no such place for a message.
        """
        out, before = "", ""
        for message in messages:
            content = message.content
            content = content.strip() if message.role in self.strips else content
            out += self.between[before, message.role] + content
            before = message.role
        return out + self.between[before, ""]


def take_apart(codec: ChatCodec) -> Joints:
    """Read off what the model's template writes between messages, and prove that this is all.

    Raises:
        ModelError: not even conversations of user and assistant come apart: it changes what stands
            before, moves messages or alters their contents.
    """
    follows, missing = _PLAIN, []
    joints = _try_with(codec, follows)
    for name, more in _MORE.items():
        try:
            joints = _try_with(codec, follows | more)
        except ModelError:
            missing.append(name)
        else:
            follows |= more
    return replace(joints, missing=tuple(missing))


def _try_with(codec: ChatCodec, follows: frozenset[Joint]) -> Joints:
    orders = list(_orders(follows))
    between: dict[Joint, str] = {}
    for roles in orders:
        for joint, text in _split(codec, roles):
            if between.setdefault(joint, text) != text:
                raise unlike(
                    codec,
                    f"writes different things {_place(joint)}, by what else is in the conversation",
                    f"{between[joint]!r}, and {text!r} in {', '.join(roles)}",
                )
    joints = Joints(between, frozenset(r for r in ROLES if _strips(codec, orders, r)))
    _prove(codec, joints, orders)
    return joints


def _orders(follows: frozenset[Joint]) -> Iterator[tuple[Role, ...]]:
    """Orders of roles that ask for an answer, short ones first."""
    for n in range(1, LONGEST + 1):
        for roles in product(ROLES, repeat=n):
            if roles[-1] in ("user", "tool") and follows.issuperset(pairwise(("", *roles))):
                yield roles


def _split(codec: ChatCodec, roles: Sequence[Role]) -> list[tuple[Joint, str]]:
    """What stands between the contents of one rendered conversation."""
    shown = codec.render([Message(role, f"zq{i}qz") for i, role in enumerate(roles)])
    texts = _MARK.split(shown)  # text, number, text, number, …, text
    found = [int(n) for n in texts[1::2]]
    if found != list(range(len(roles))):
        raise unlike(
            codec,
            "leaves out messages, repeats them or moves them",
            f"messages by {', '.join(roles)} are shown as "
            f"{', '.join(roles[i] for i in found) or 'nothing'}",
        )
    return list(zip(pairwise(("", *roles, "")), texts[::2], strict=True))


def _strips(codec: ChatCodec, orders: Sequence[Sequence[Role]], role: Role) -> bool:
    roles = next((o for o in orders if role in o), None)
    if roles is None:
        return False
    contents = (" x\n" if r == role else "x" for r in roles)
    shown = codec.render([Message(r, c) for r, c in zip(roles, contents, strict=True)])
    return " x\n" not in shown


def _prove(codec: ChatCodec, joints: Joints, orders: Sequence[Sequence[Role]]) -> None:
    """Compare with the template on texts of every kind, and on a thought."""
    for roles in orders:
        for shift in range(len(_CONTENTS)):
            contents = [_CONTENTS[(i + shift) % len(_CONTENTS)] for i in range(len(roles))]
            _compare(codec, joints, roles, contents, "alters what messages say")
    answers = joints.between["user", ""]
    if not answers.rstrip().endswith("</think>"):  # else it is told to have no more thoughts
        thought = ("x", "<think>\nx\n</think>\n\ny", "z")
        turns: tuple[Role, ...] = ("user", "assistant", "user")
        _compare(codec, joints, turns, thought, "drops the thoughts of earlier turns")


def _compare(
    codec: ChatCodec, joints: Joints, roles: Sequence[Role], contents: Sequence[str], fault: str
) -> None:
    messages = [Message(r, c) for r, c in zip(roles, contents, strict=True)]
    own, ours = codec.render(messages), joints.render(messages)
    if own != ours:
        pairs = enumerate(zip(own, ours, strict=False))
        at = next((i for i, (a, b) in pairs if a != b), min(len(own), len(ours)))
        start = max(0, at - 20)
        raise unlike(codec, fault, f"{own[start : at + 40]!r}, and not {ours[start : at + 40]!r}")


def unlike(codec: ChatCodec, what: str, got: str | None) -> ModelError:
    return ModelError(
        f"the chat template of {codec.tokenizer.name_or_path} {what}, which an Ollama TEMPLATE "
        "cannot follow",
        got=got,
        fix=INSTEAD,
    )


def _place(joint: Joint) -> str:
    before, after = joint
    start = f"after a message by {before}" if before else "at the beginning"
    return f"{start}, before {f'one by {after}' if after else 'the answer'}"
