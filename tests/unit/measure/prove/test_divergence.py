"""KL and perplexity, against distributions that are known in full."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from proof_answers import answer
from proof_models import VOCABULARY, small_model, stir

from minirl.measure.prove.divergence import (
    PLAIN_TEXT,
    divergence,
    plain_text,
    plain_text_passages,
)
from minirl.types import Message, Task

RNG = np.random.default_rng(0)
TASKS = [Task("hand", "test", i, (Message("user", str(i)),)) for i in range(30)]
PROMPTS = [tuple(int(t) for t in RNG.integers(1, VOCABULARY, 1 + i % 6)) for i in range(30)]


class Codec:
    """Encodes the message "7" as the eighth prompt."""

    def encode_open(self, messages: Any, tools: Any = ()) -> tuple[int, ...]:
        return PROMPTS[int(messages[0].content)]


ENV: Any = SimpleNamespace(episode=lambda task: SimpleNamespace(messages=task.prompt, tools=()))


def measure(loaded, answers, *, samples=100, temperature=1.0, seed=0, **options):
    return divergence(
        loaded,
        Codec(),  # type: ignore[arg-type]
        ENV,
        TASKS,
        answers,
        samples=samples,
        temperature=temperature,
        seed=seed,
        **options,
    )


def next_token(loaded, *, temperature: float = 1.0) -> dict[str, np.ndarray]:
    """P(next token) after each prompt, under base and tuned: (tasks, V) each."""
    model, found = loaded.model.eval(), {}

    def rows() -> np.ndarray:
        logits = [model(input_ids=torch.tensor([p])).logits[0, -1].double() for p in PROMPTS]
        return torch.softmax(torch.stack(logits) / temperature, dim=-1).numpy()

    with torch.no_grad():
        found["tuned"] = rows()
        with model.disable_adapter():
            found["base"] = rows()
    return found


def one_token_answers(chances: np.ndarray, n: int, rng: np.random.Generator):
    return [
        [answer(ids=(int(token),)) for token in rng.choice(VOCABULARY, n, p=row / row.sum())]
        for row in chances
    ]


def exact_kl(p: np.ndarray, q: np.ndarray) -> float:
    return float((p * np.log(p / q)).sum(axis=1).mean())


@pytest.mark.parametrize(("temperature", "rounds"), [(1.0, 12), (2.0, 6)])
def test_kl_against_full_distributions(small, temperature, rounds):
    """Its interval holds the exact value as often as it says, and its mean meets it."""
    chances = next_token(small, temperature=temperature)
    rng = np.random.default_rng(1)
    spans: dict[str, list[dict[str, float]]] = {"tuned_base": [], "base_tuned": []}
    for seed in range(rounds):
        drawn = {name: one_token_answers(rows, 8, rng) for name, rows in chances.items()}
        found = measure(small, drawn, temperature=temperature, seed=seed)["kl"]
        for way in spans:
            spans[way].append(found[way])
    for way, found in spans.items():
        p, q = (chances[name] for name in way.split("_"))
        exact = exact_kl(p, q)
        assert exact > 0.05
        assert sum(s["low"] <= exact <= s["high"] for s in found) >= rounds - 1
        gaps = np.log(p / q)
        spread = (p * gaps**2).sum(1) - (p * gaps).sum(1) ** 2  # (tasks,) of one sample
        error = math.sqrt(spread.sum() / 8 / rounds) / len(TASKS)
        assert abs(np.mean([s["value"] for s in found]) - exact) < 3 * error


def test_perplexities_by_hand(small):
    chances = next_token(small)
    drawn = {n: one_token_answers(r, 5, np.random.default_rng(2)) for n, r in chances.items()}
    found = measure(small, drawn, temperature=0.7)["perplexity"]  # of which it is independent
    assert set(found) == {
        "tuned_under_base", "tuned_under_tuned", "base_under_base", "base_under_tuned",
    }  # fmt: skip
    for writer, reader in (name.split("_under_") for name in found):
        logs = [
            math.log(chances[reader][at, a.ids[0]])
            for at, task in enumerate(drawn[writer])
            for a in task
        ]
        span = found[f"{writer}_under_{reader}"]
        assert span["value"] == pytest.approx(math.exp(-sum(logs) / len(logs)), rel=1e-5)
        assert 1 < span["low"] < span["value"] < span["high"]


def test_equal_policies_do_not_diverge():
    loaded = small_model()
    stir(loaded.model, 0.0)
    drawn = one_token_answers(next_token(loaded)["base"], 3, np.random.default_rng(3))
    found = measure(loaded, {"base": drawn, "tuned": drawn})
    for way in ("tuned_base", "base_tuned"):
        assert found["kl"][way] == {"value": 0, "low": 0, "high": 0}
    assert len({str(span) for span in found["perplexity"].values()}) == 1


def test_longer_replies_are_counted_a_token(small):
    """Every reply of two tokens, as often as the policy gives it: the chain rule's KL."""
    first = next_token(small)
    pairs = [(a, b) for a in range(VOCABULARY) for b in range(VOCABULARY)]
    second: dict[str, list[np.ndarray]] = {"base": [], "tuned": []}
    model = small.model.eval()
    ids = torch.tensor([[*PROMPTS[0], a] for a in range(VOCABULARY)])
    with torch.no_grad():
        second["tuned"] = [torch.softmax(model(input_ids=ids).logits[:, -1].double(), -1).numpy()]
        with model.disable_adapter():
            second["base"] = [
                torch.softmax(model(input_ids=ids).logits[:, -1].double(), -1).numpy()
            ]
    exact = 0.0
    for a, b in pairs:
        p, q = (first[n][0, a] * second[n][0][a, b] for n in ("tuned", "base"))
        exact += p * math.log(p / q) / 2

    rng = np.random.default_rng(4)
    joint = (first["tuned"][0][:, None] * second["tuned"][0]).ravel()
    picks = rng.choice(len(pairs), 1500, p=joint / joint.sum())
    rows = [answer(ids=pairs[i]) for i in picks]
    found = divergence(
        small,
        Codec(),  # type: ignore[arg-type]
        ENV,
        TASKS[:1] * 30,
        {n: [rows[i : i + 50] for i in range(0, 1500, 50)] for n in ("base", "tuned")},
        samples=100,
        temperature=1.0,
        seed=0,
    )["kl"]["tuned_base"]
    assert found["low"] <= exact <= found["high"]
    assert found["value"] == pytest.approx(exact, rel=0.2)


def test_what_the_environment_wrote_is_read_and_not_counted(small):
    """Two turns around a reply of the environment: three tokens of five count."""
    task = [answer(ids=(1, 2, 7, 7, 3), mask=(True, True, False, False, True))]
    plain = [answer(ids=(1, 2, 7, 7, 3))]
    turns, whole = (
        measure(small, {"base": [t] * 30, "tuned": [t] * 30})["perplexity"]["base_under_base"]
        for t in (task, plain)
    )
    ids = torch.tensor([[*PROMPTS[0], 1, 2, 7, 7, 3]])
    assert turns["value"] != pytest.approx(whole["value"], rel=1e-3)
    one = divergence(
        small, Codec(), ENV, TASKS[:1], {"base": [task], "tuned": [task]},  # type: ignore[arg-type]
        samples=1, temperature=1.0, seed=0,
    )["perplexity"]["base_under_base"]  # fmt: skip
    with torch.no_grad(), small.model.disable_adapter():
        logp = torch.log_softmax(small.model.eval()(input_ids=ids).logits[0], -1)
    at = len(PROMPTS[0])
    mean = (logp[at - 1, 1] + logp[at, 2] + logp[at + 3, 3]) / 3
    assert one["value"] == pytest.approx(math.exp(-float(mean)), rel=1e-4)


def test_only_the_first_samples_are_looked_at(small):
    rng = np.random.default_rng(5)
    drawn = {n: one_token_answers(r, 6, rng) for n, r in next_token(small).items()}
    fewer = {name: [task[:2] for task in answers] for name, answers in drawn.items()}
    progress: list[tuple[int, int]] = []
    found = measure(small, drawn, samples=2, on_progress=lambda *p: progress.append(p))
    assert found == measure(small, fewer)
    assert found["kl"]["samples"] == 60
    assert found["kl"]["unit"] == "nats per token"
    assert progress[-1] == (240, 240)  # two writers, two readers, 60 samples
    assert progress == sorted(progress)


def test_empty_completions_give_numbers(small):
    nothing = [[answer(ids=())] * 2] * 30
    found = measure(small, {"base": nothing, "tuned": nothing})
    assert found["kl"]["tuned_base"]["value"] == 0
    assert found["perplexity"]["tuned_under_base"]["value"] == 1


# Plain text ----------------------------------------------------------------------------------


def paragraphs() -> list[str]:
    text = files("minirl.measure.prove").joinpath(PLAIN_TEXT).read_text(encoding="utf-8")
    return [" ".join(p.split()) for p in text.split("\n\n")]


def test_the_prose_ships_with_the_package():
    found = paragraphs()
    assert 10 <= len(found) == len(set(found)) <= 12
    assert all(35 <= len(p.split()) <= 80 for p in found)
    assert all(p[-1] == "." and p.isascii() for p in found)


def test_plain_text_against_a_forward_pass_a_paragraph(tiny):
    found = plain_text(tiny, seed=0)
    model, sums, tokens = tiny.model.eval(), {"base": 0.0, "tuned": 0.0}, 0
    for paragraph in paragraphs():
        ids = torch.tensor([tiny.tokenizer(paragraph)["input_ids"]])
        tokens += ids.size(1) - 1
        with torch.no_grad():
            for name in sums:
                if name == "base":
                    with model.disable_adapter():
                        logits = model(input_ids=ids).logits
                else:
                    logits = model(input_ids=ids).logits
                sums[name] += float(
                    torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:], reduction="sum")
                )
    assert (found["paragraphs"], found["tokens"]) == (len(paragraphs()), tokens)
    for name, total in sums.items():
        assert found[name]["value"] == pytest.approx(math.exp(total / tokens), rel=1e-4)
        assert found[name]["low"] < found[name]["value"] < found[name]["high"]
    ratio = found["tuned"]["value"] / found["base"]["value"]
    assert found["ratio"]["value"] == pytest.approx(ratio, rel=1e-6)
    assert found["ratio"]["low"] < ratio < found["ratio"]["high"]
    # Paired by paragraph: narrower than the two taken apart.
    apart = found["tuned"]["high"] / found["base"]["low"]
    assert found["ratio"]["high"] < apart


def spelling(bos: list[int]) -> Any:
    return SimpleNamespace(pad_token_id=0, encode=lambda text: [*bos, *text.encode()])


def test_a_text_begins_as_the_tokenizer_begins_it(small):
    """With a start-of-text token every token of the text is scored, else all but the first."""
    wide = replace(small, model=SimpleNamespace(config=SimpleNamespace()))
    text = paragraphs()[0].encode()
    marked = plain_text_passages(replace(wide, tokenizer=spelling([2])))[0]
    bare = plain_text_passages(replace(wide, tokenizer=spelling([])))[0]
    assert (marked.prompt_ids, marked.ids) == ((2,), tuple(text))
    assert (bare.prompt_ids, bare.ids) == (tuple(text[:1]), tuple(text[1:]))
    assert all(marked.mask)


def test_a_paragraph_longer_than_the_context_is_cut(small):
    for loaded, most in ((small, 40), (replace(small, max_seq_length=16), 16)):
        passages = plain_text_passages(replace(loaded, tokenizer=spelling([2])))
        assert {1 + len(p.ids) for p in passages} == {most}
