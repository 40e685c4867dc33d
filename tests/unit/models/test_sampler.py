"""What the engine samples is what a plain ``generate`` and a full forward pass compute.

The reference is always the slowest and plainest way: one row, no padding, no cache, the adapter
not merged.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import torch
from random_models import (
    ARCHITECTURES,
    PROMPTS,
    SIZE,
    STOPS,
    TOLERANCE,
    difference,
    draw_samples,
    plain_logprobs,
    random_model,
    randomize,
    request,
    watching,
    with_adapter,
)
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from minirl.config import ModelConfig
from minirl.envs.base import Environment, Step
from minirl.errors import ModelError
from minirl.models.catalogue import resolve_model
from minirl.models.generate import GenerateSampler
from minirl.models.load import load_model
from minirl.models.merge import adapter_off, can_merge, lora_layers, merged
from minirl.models.policy import ModelPolicy
from minirl.models.sampler import SamplingParams, TorchSampler, left_pad
from minirl.models.tree import count_nodes
from minirl.rollout import play
from minirl.types import Message, Score, StopReason, Task

pytestmark = pytest.mark.usefixtures("tiny_cache")

architectures = pytest.mark.parametrize("name", ARCHITECTURES)


@cache
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(resolve_model("tiny").location)


@pytest.fixture(scope="module")
def tiny() -> Any:
    loaded = load_model(ModelConfig(name="tiny", precision="fp32", lora_r=4), seed=0)
    randomize(loaded.model)
    return loaded.model.eval()


# Log-probabilities ---------------------------------------------------------------------------


@architectures
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_equal_a_plain_forward(name, temperature):
    """Left-padded prompts, EOS at several lengths, truncation; merged, against unmerged."""
    model = random_model(name)
    requests = [request(p, n=6) for p in PROMPTS]
    drawn = draw_samples(model, requests, SamplingParams(temperature))
    worst, lengths, stops = 0.0, set(), set()
    for asked, samples in zip(requests, drawn, strict=True):
        assert len(samples) == 6
        for s in samples:
            plain = plain_logprobs(model, asked.prompt_ids, s.ids, temperature)
            worst = max(worst, difference(s.logprobs, plain))
            lengths.add(len(s.ids))
            stops.add(s.stop)
            assert not STOPS & set(s.ids[:-1])
            assert (s.ids[-1] in STOPS) == (s.stop is StopReason.EOS)
            assert s.stop is StopReason.EOS or len(s.ids) == 12
    assert stops == {StopReason.EOS, StopReason.LENGTH}
    assert len(lengths) >= 5
    print(f"max abs difference {worst:.1e}")
    assert worst < TOLERANCE


@architectures
def test_the_adapter_changes_what_is_compared(name):
    """Else the test above would pass without an adapter."""
    model = random_model(name)
    ids = tuple(range(20, 32))
    tuned = plain_logprobs(model, PROMPTS[0], ids)
    with adapter_off(model):
        base = plain_logprobs(model, PROMPTS[0], ids)
    assert difference(tuned.tolist(), base) > 100 * TOLERANCE


class Chatter(Environment[Any]):
    """Three turns; the environment's replies differ in length, and end some episodes early."""

    name = "chatter"
    max_turns = 3

    def task(self, split, index):
        return Task("chatter", split, index, (Message("user", "talk " * (index + 1)),))

    def episode(self, task):
        return _Chat(task)


class _Chat:
    tools = ()

    def __init__(self, task: Task) -> None:
        self.messages = task.prompt

    def step(self, message: Message) -> Step:
        if len(message.content) % 5 == 4:
            return Step(score=Score(1.0, True))
        return Step((Message("user", "and " * (1 + len(message.content) % 4)),))

    def give_up(self, reason: str) -> Score:
        return Score(0.0, False, reason=reason)


@pytest.mark.parametrize("batch", [64, 5])
@pytest.mark.parametrize("name", [*ARCHITECTURES, "tiny"])
def test_episodes_of_several_turns_equal_a_plain_forward(name, batch, tiny):
    """The engine, the policy and the sampler together, over whole conversations."""
    model = tiny if name == "tiny" else random_model(name)
    env = Chatter(Chatter.Config())
    policy = ModelPolicy(model, tokenizer(), batch=batch)
    tasks = [env.task("train", i) for i in range(4)]
    groups = play(policy, env, tasks, 4, max_tokens=12, seed=11)
    worst, turns, stops = 0.0, set(), set()
    for rollout in (r for g in groups for r in g.rollouts):
        plain = plain_logprobs(model, rollout.prompt_ids, rollout.completion_ids)
        mask = torch.tensor(rollout.loss_mask)
        worst = max(worst, difference(rollout.logprobs, plain * mask))
        assert len(rollout.logprobs) == len(rollout.completion_ids) == len(rollout.loss_mask)
        turns.add(sum(m.role == "assistant" for m in rollout.messages))
        stops.add(rollout.stop)
    assert turns == {1, 2, 3} or name == "tiny"
    assert {StopReason.TURNS, StopReason.LENGTH} <= stops or name == "tiny"
    print(f"max abs difference {worst:.1e}")
    assert worst < TOLERANCE


class Forgetful(ModelPolicy):
    """Keeps nothing between the turns."""

    @contextmanager
    def session(self) -> Iterator[None]:
        yield


@pytest.mark.parametrize("sampler", [TorchSampler, GenerateSampler])
def test_a_session_changes_nothing_but_what_is_computed(sampler):
    model = random_model("gemma3")
    env = Chatter(Chatter.Config())
    tasks = [env.task("train", i) for i in range(4)]
    before = weights(model)
    played, computed = [], []
    for kind in (ModelPolicy, Forgetful):
        policy = kind(model, tokenizer(), batch=64, sampler=sampler())
        policy.sample([request(PROMPTS[0])], seed=0)  # the model is tried once
        with watching(model) as shapes:
            played.append(play(policy, env, tasks, 4, max_tokens=12, seed=11))
        computed.append(sum(rows * columns for rows, columns in shapes))
        assert same_weights(model, before)
        assert not any(layer.disable_adapters for layer in lora_layers(model))
    ids = [[r.completion_ids for g in groups for r in g.rollouts] for groups in played]
    assert ids[0] == ids[1]
    assert (computed[0] < computed[1]) == (sampler is TorchSampler)
    if sampler is TorchSampler:  # every token of every rollout once, but the last of each
        rollouts = [r for g in played[0] for r in g.rollouts]
        shared = count_nodes([g.rollouts[0].prompt_ids for g in played[0]])
        assert computed[0] == shared + sum(len(r.completion_ids) - 1 for r in rollouts)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("turn", [0, 1])
def test_a_failure_in_the_middle_of_a_session_puts_everything_back(error, turn):
    model = random_model("llama")
    model.train()
    before, plain = weights(model), logits_of(model)
    attention = model.config._attn_implementation

    class Failing(Chatter):
        def episode(self, task):
            chat = _Chat(task)
            chat.step = lambda message: Step((Message("user", "and"),))
            return chat

    env = Failing(Failing.Config())
    policy = ModelPolicy(model, tokenizer(), batch=8)
    policy.sample([request(PROMPTS[0])], seed=0)
    calls = []

    def fail(*_: Any) -> None:
        calls.append(1)
        if len(calls) == (3 if turn == 0 else 14):
            raise error

    hook = model.get_base_model().model.layers[1].register_forward_pre_hook(fail)
    with pytest.raises(error):
        play(policy, env, [env.task("train", i) for i in range(3)], 3, max_tokens=12, seed=11)
    hook.remove()
    assert same_weights(model, before)
    assert model.training
    assert model.config._attn_implementation == attention
    assert not any(layer.disable_adapters for layer in lora_layers(model))
    assert not any("forward" in m.__dict__ for m in model.modules())
    assert torch.equal(logits_of(model), plain)
    model.eval()


def test_log_probabilities_are_those_before_the_tail_is_cut():
    model = random_model("llama")
    ((drawn,),) = draw_samples(model, [request(PROMPTS[0])], SamplingParams(0.8, 0.5, 4))
    assert difference(drawn.logprobs, plain_logprobs(model, PROMPTS[0], drawn.ids, 0.8)) < TOLERANCE


# Greedy --------------------------------------------------------------------------------------


@architectures
def test_greedy_is_generate_token_for_token(name):
    model = random_model(name)
    requests = [request([*p, 50 + i]) for i in range(3) for p in PROMPTS]
    ids, mask = left_pad([r.prompt_ids for r in requests], 0, torch.device("cpu"))
    with torch.no_grad():
        generated = model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=12,
            eos_token_id=sorted(STOPS),
            pad_token_id=0,
        )[:, ids.shape[1] :].tolist()
    stops = set()
    for (s,), row in zip(
        draw_samples(model, requests, SamplingParams(0.0)), generated, strict=True
    ):
        assert list(s.ids) == row[: len(s.ids)]
        assert set(row[len(s.ids) :]) <= {0}
        stops.add(s.stop)
    assert stops == {StopReason.EOS, StopReason.LENGTH}


def test_greedy_is_generate_on_the_tiny_model(tiny):
    policy = ModelPolicy(tiny, tokenizer(), SamplingParams(0.0))
    prompts = [
        policy.encode_open([Message("user", f"What is {n} + 0?")]) for n in (101, 7, 55555, 999)
    ]
    ids, mask = left_pad(prompts, 0, torch.device("cpu"))
    with torch.no_grad():
        generated = tiny.generate(
            input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=40
        )[:, ids.shape[1] :].tolist()
    drawn = policy.sample([request(p, max_tokens=40) for p in prompts], seed=0)
    assert [
        [*s.ids, *[0] * (len(row) - len(s.ids))] for (s,), row in zip(drawn, generated, strict=True)
    ] == generated


def test_greedy_reports_the_log_probability_at_temperature_1():
    model = random_model("llama")
    ((drawn,),) = draw_samples(model, [request(PROMPTS[0])], SamplingParams(0.0))
    assert difference(drawn.logprobs, plain_logprobs(model, PROMPTS[0], drawn.ids)) < TOLERANCE


@contextmanager
def ready(model: Any) -> Iterator[Any]:
    """A session, and the shapes of the ids that are computed in it."""
    with (
        TorchSampler().session(model, use_adapter=True, batch=64) as go,
        watching(model) as shapes,
    ):
        options = {"seed": 0, "eos_ids": STOPS, "pad_id": 0}
        yield lambda requests, rows: go(requests, rows, SamplingParams(), **options), shapes


# Work that is not done twice -----------------------------------------------------------------


def test_equal_prompts_are_computed_once_and_finished_rows_leave():
    model = random_model("llama")
    requests = [request(PROMPTS[0], 3), request(PROMPTS[3], 2), request(PROMPTS[0], 4)]
    draw_samples(model, requests)
    with ready(model) as (go, shapes):
        drawn = go(requests, (0, 3, 5))
    lengths = [len(s.ids) for samples in drawn for s in samples]
    assert [len(samples) for samples in drawn] == [3, 2, 4]
    # Without padding, and what the prompts begin with alike once.
    assert shapes[0] == (1, count_nodes([PROMPTS[0], PROMPTS[3]]))
    # A row is computed until its last token is drawn: that one needs no pass of its own. Samples
    # of a prompt are one row as long as they are alike.
    written = [(r.prompt_ids, s.ids) for r, g in zip(requests, drawn, strict=True) for s in g]
    steps = [
        (1, len({(prompt, ids[:t]) for prompt, ids in written if len(ids) > t}))
        for t in range(1, max(lengths))
    ]
    assert shapes[1:] == steps
    assert steps[-1][1] < steps[0][1]


def test_limits_are_each_request_s_own():
    model = random_model("qwen3")
    limits = [1, 2, 5, 30]
    drawn = draw_samples(model, [request(PROMPTS[0], 8, limit) for limit in limits])
    for limit, samples in zip(limits, drawn, strict=True):
        for s in samples:
            assert len(s.ids) <= limit
            assert (s.stop is StopReason.LENGTH) == (s.ids[-1] not in STOPS)
            assert s.stop is StopReason.EOS or len(s.ids) == limit


def test_one_token_needs_no_pass_after_the_prefill():
    model = random_model("llama")
    with ready(model) as (go, shapes):
        go([request(p, 2, 1) for p in PROMPTS], (0, 2, 4, 6))
    assert shapes == [(1, count_nodes(PROMPTS))]


def test_the_head_sees_one_token_a_row():
    """And they lie together: of a strided slice, torch's CPU matmul copies the whole head."""
    model = random_model("llama")
    seen = []
    with ready(model) as (go, shapes):
        watch = model.get_output_embeddings().register_forward_hook(
            lambda _, args, out: seen.append((args[0].is_contiguous(), args[0].shape[1]))
        )
        go([request(p, 2) for p in PROMPTS], (0, 2, 4, 6))
        watch.remove()
    assert all(contiguous for contiguous, _ in seen)
    assert [tokens for _, tokens in seen] == [4, *(n for _, n in shapes[1:])]


# The policy ----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 64])
def test_any_batch_size_gives_every_sample(batch):
    model = random_model("llama")
    policy = ModelPolicy(model, tokenizer(), SamplingParams(0.0), batch=batch)
    requests = [request(p, n, 10) for p, n in zip(PROMPTS, (5, 1, 4, 2), strict=True)]
    drawn = policy.sample(requests, seed=0)
    assert [len(samples) for samples in drawn] == [5, 1, 4, 2]
    # Greedy, so that a sample in the wrong place would show.
    expected = draw_samples(model, requests, SamplingParams(0.0))
    assert [[s.ids for s in g] for g in drawn] == [[s.ids for s in g] for g in expected]


@pytest.mark.parametrize("sampler", [None, GenerateSampler()])
def test_samples_do_not_depend_on_what_is_sampled_beside_them(sampler):
    """Neither the batch nor the end of other rows changes a row: its numbers are its own."""
    requests = [request(p, n, 10) for p, n in zip(PROMPTS, (5, 1, 4, 2), strict=True)]
    model = random_model("llama")
    drawn = [
        ModelPolicy(model, tokenizer(), batch=batch, sampler=s).sample(requests, seed=3)
        for batch, s in ((64, None), (3, sampler), (1, None))
    ]
    ids = [[s.ids for g in groups for s in g] for groups in drawn]
    assert ids[0] == ids[1] == ids[2]
    assert len({len(i) for i in ids[0]}) > 1  # some rows end before others
    assert len(set(ids[0])) > 6


def test_seeds_repeat_and_samples_of_a_request_differ():
    policy = ModelPolicy(random_model("llama"), tokenizer(), batch=4)
    requests = [request(p, 6) for p in PROMPTS]
    first, again, other = (policy.sample(requests, seed=s) for s in (1, 1, 2))
    assert first == again
    assert first != other
    assert len({s.ids for s in first[0]}) > 3


def test_sampling_leaves_the_global_random_state_and_the_mode_alone():
    model = random_model("llama")
    state = torch.get_rng_state()
    model.train()
    ModelPolicy(model, tokenizer()).sample([request(PROMPTS[0], 3)], seed=0)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    model.eval()


def test_a_turn_ends_where_generate_would_stop():
    model = random_model("llama")
    policy = ModelPolicy(model, tokenizer())
    drawn = policy.sample([request(PROMPTS[0], 40)], seed=0)[0]
    assert {s.ids[-1] for s in drawn if s.stop is StopReason.EOS} - {tokenizer().eos_token_id}


def test_a_turn_stays_within_the_models_context(monkeypatch):
    model = random_model("llama")
    policy = ModelPolicy(model, tokenizer())
    monkeypatch.setattr(model.config, "max_position_embeddings", len(PROMPTS[0]) + 3)
    drawn = policy.sample([request(PROMPTS[0], 40)], seed=0)[0]
    assert max(len(s.ids) for s in drawn) == 3
    assert {s.stop for s in drawn if len(s.ids) == 3} >= {StopReason.LENGTH}
    with pytest.raises(ModelError, match="whole context"):
        policy.sample([request(PROMPTS[1], 1)], seed=0)


def test_the_base_is_sampled_with_the_adapter_off(tiny):
    requests = [request(PROMPTS[0], 4)]
    base = ModelPolicy(tiny, tokenizer(), use_adapter=False).sample(requests, seed=0)[0]
    with adapter_off(tiny):
        worst = max(difference(s.logprobs, plain_logprobs(tiny, PROMPTS[0], s.ids)) for s in base)
    assert worst < TOLERANCE
    assert base != ModelPolicy(tiny, tokenizer()).sample(requests, seed=0)[0]


def test_an_adapter_that_is_zero_samples_as_the_base():
    model = load_model(ModelConfig(name="tiny", precision="fp32"), seed=0).model
    requests = [request(PROMPTS[0], 8)]
    tuned, base = (
        ModelPolicy(model, tokenizer(), use_adapter=on).sample(requests, seed=0)
        for on in (True, False)
    )
    assert tuned == base  # to the last bit: evaluation starts at a difference of exactly 0


# Merging -------------------------------------------------------------------------------------


def weights(model: Any) -> list[tuple[int, torch.Tensor]]:
    return [(p.data_ptr(), p.detach().clone()) for p in model.parameters()]


def same_weights(model: Any, before: Any) -> bool:
    """The same bits, in the same storage."""
    return all(
        p.data_ptr() == at and torch.equal(p, value)
        for p, (at, value) in zip(model.parameters(), before, strict=True)
    )


def logits_of(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([PROMPTS[1]]), use_cache=False).logits.float()


@architectures
def test_merged_equals_unmerged_and_is_undone(name):
    model = random_model(name)
    assert can_merge(model)
    before, plain = weights(model), logits_of(model)
    with merged(model):
        assert not same_weights(model, before)
        torch.testing.assert_close(logits_of(model), plain, atol=1e-5, rtol=1e-5)
        assert all(layer.disable_adapters for layer in lora_layers(model))
    assert same_weights(model, before)
    assert torch.equal(logits_of(model), plain)


def test_an_exception_undoes_the_merge():
    model = random_model("llama")
    before, plain = weights(model), logits_of(model)
    with pytest.raises(KeyError), merged(model):
        raise KeyError
    assert same_weights(model, before)
    assert torch.equal(logits_of(model), plain)


def test_a_merge_within_a_merge_adds_once():
    model = random_model("llama")
    before, plain = weights(model), logits_of(model)
    with merged(model):
        with merged(model):
            torch.testing.assert_close(logits_of(model), plain, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(logits_of(model), plain, atol=1e-5, rtol=1e-5)
    assert same_weights(model, before)


def test_adapter_off_wins_over_merged():
    model = random_model("llama")
    with adapter_off(model):
        base = logits_of(model)
        with merged(model):
            assert torch.equal(logits_of(model), base)
        assert torch.equal(logits_of(model), base)
    assert not torch.equal(logits_of(model), base)


def test_bf16_is_merged_and_restored_to_the_bit():
    torch.manual_seed(7)
    base = AutoModelForCausalLM.from_config(ARCHITECTURES["llama"](), dtype=torch.bfloat16)
    model = with_adapter(base)
    before, plain = weights(model), logits_of(model)
    with adapter_off(model):
        off = logits_of(model)
    with merged(model):
        gap = (logits_of(model) - plain).abs().max()
    assert gap < 0.1 * (plain - off).abs().max()  # rounding, against what the adapter does
    assert same_weights(model, before)
    assert torch.equal(logits_of(model), plain)


def test_adapter_off_equals_the_base():
    torch.manual_seed(7)
    base = AutoModelForCausalLM.from_config(ARCHITECTURES["qwen3"](), dtype=torch.float32).eval()
    plain = logits_of(base)
    model = with_adapter(base)
    assert not torch.equal(logits_of(model), plain)
    with adapter_off(model):
        assert torch.equal(logits_of(model), plain)


def test_a_model_without_an_adapter_runs_as_it_is():
    torch.manual_seed(7)
    base = AutoModelForCausalLM.from_config(ARCHITECTURES["llama"](), dtype=torch.float32).eval()
    before = weights(base)
    assert not can_merge(base)
    with merged(base), adapter_off(base):
        assert same_weights(base, before)


def test_a_head_tied_to_the_embeddings_is_not_merged():
    """Merging into the shared matrix would change the embeddings, too."""
    torch.manual_seed(7)
    config = LlamaConfig(**SIZE, tie_word_embeddings=True)
    base = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model = with_adapter(base, target_modules=["lm_head", "q_proj"])
    plain = logits_of(model)
    assert not can_merge(model)
    with merged(model):
        torch.testing.assert_close(logits_of(model), plain, atol=1e-5, rtol=1e-5)
        (drawn,) = draw_samples(model, [request(PROMPTS[0], 2)])[0:1]
    for s in drawn:
        assert difference(s.logprobs, plain_logprobs(model, PROMPTS[0], s.ids)) < TOLERANCE


def test_nf4_is_not_merged_and_samples_right():
    pytest.importorskip("bitsandbytes")
    config = ModelConfig(name="tiny", precision="fp32", load_in_4bit=True, lora_r=4)
    model = load_model(config, seed=0).model
    randomize(model)
    assert not can_merge(model)
    prompts = [tokenizer()(t)["input_ids"] for t in ("What is 7?", "Say 123 + 0 now, please.")]
    drawn = ModelPolicy(model, tokenizer()).sample([request(p, 4) for p in prompts], seed=0)
    worst = max(
        difference(s.logprobs, plain_logprobs(model, p, s.ids))
        for p, samples in zip(prompts, drawn, strict=True)
        for s in samples
    )
    print(f"max abs difference {worst:.1e}")
    assert worst < TOLERANCE
