"""What the engine samples is what a plain ``generate`` and a full forward pass compute.

The reference is always the slowest and plainest way: one row, no padding, no cache, the adapter
not merged.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from scipy.stats import chisquare
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)
from transformers.generation.logits_process import TopKLogitsWarper, TopPLogitsWarper

from minirl.config import ModelConfig
from minirl.envs.base import Environment, Step
from minirl.errors import ModelError
from minirl.models.catalogue import resolve_model
from minirl.models.generate import GenerateSampler
from minirl.models.load import load_model
from minirl.models.merge import adapter_off, can_merge, lora_layers, merged
from minirl.models.policy import ModelPolicy
from minirl.models.sampler import SamplingParams, _cut_tail, draw, evaluating, left_pad, sample
from minirl.rollout import play
from minirl.types import Message, Request, Score, StopReason, Task

pytestmark = pytest.mark.usefixtures("tiny_cache")

TOLERANCE = 1e-4  # of log-probabilities, in fp32
VOCABULARY = 100  # of the tiny model's tokenizer
STOPS = frozenset(range(2, 14))  # many ids that close a turn, so that random models write some
SIZE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 1024,
    "initializer_range": 0.15,  # logits that differ
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
WINDOW = 8  # shorter than every prompt
LAYERS = ["sliding_attention", "full_attention", "sliding_attention"]
ARCHITECTURES = {
    "llama": lambda: LlamaConfig(**SIZE),
    "qwen2": lambda: Qwen2Config(**{k: v for k, v in SIZE.items() if k != "head_dim"}),
    "qwen3": lambda: Qwen3Config(**SIZE),
    "gemma3": lambda: Gemma3TextConfig(**SIZE, sliding_window=WINDOW, layer_types=LAYERS),
    "mistral": lambda: MistralConfig(**SIZE, sliding_window=WINDOW),
}
architectures = pytest.mark.parametrize("name", ARCHITECTURES)

PROMPTS = [[1, 30 + n, *range(40, 40 + n), 7] for n in (9, 25, 10, 14)]  # ragged


@cache
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(resolve_model("tiny").location)


@cache
def random_model(name: str) -> Any:
    """A random model with a random adapter that changes it."""
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(ARCHITECTURES[name](), dtype=torch.float32)
    return with_adapter(model)


def with_adapter(model: Any, **options: Any) -> Any:
    targets = options.pop("target_modules", "all-linear")
    model = get_peft_model(
        model,
        LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=targets, **options),
    )
    randomize(model)
    model.generation_config.eos_token_id = sorted(STOPS)
    return model.eval()


def randomize(model: Any) -> None:
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)


@pytest.fixture(scope="module")
def tiny() -> Any:
    loaded = load_model(ModelConfig(name="tiny", precision="fp32", lora_r=4), seed=0)
    randomize(loaded.model)
    return loaded.model.eval()


def plain_logprobs(model: Any, prompt: Any, completion: Any, temperature: float = 1.0) -> Any:
    """log π of each id of ``completion``: one row, one pass, no cache."""
    ids = torch.tensor([[*prompt, *completion]])
    with torch.no_grad(), evaluating(model):
        logits = model(input_ids=ids, use_cache=False).logits[0].float() / temperature
    logp = torch.log_softmax(logits, dim=-1)[len(prompt) - 1 : -1]
    return logp.gather(1, ids[0, len(prompt) :, None]).squeeze(1)


def difference(told: Any, plain: Any) -> float:
    gap = (torch.tensor(told) - plain).abs().max()
    assert torch.isfinite(gap)
    return float(gap)


def request(prompt: Any, n: int = 1, max_tokens: int = 12) -> Request:
    return Request(tuple(prompt), n, max_tokens, Task("none", "train", 0, ()))


def draw_samples(model: Any, requests: Any, params: Any = None, seed: int = 0) -> Any:
    return sample(
        model,
        requests,
        params or SamplingParams(),
        eos_ids=STOPS,
        pad_id=0,
        seed=seed,
    )


@contextmanager
def watching(model: Any) -> Iterator[list[tuple[int, int]]]:
    """The (rows, columns) of the input ids of every forward pass within the block."""
    shapes: list[tuple[int, int]] = []
    hook = model.get_base_model().register_forward_pre_hook(
        lambda _, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    try:
        yield shapes
    finally:
        hook.remove()


# Log-probabilities ---------------------------------------------------------------------------


@architectures
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_equal_a_plain_forward(name, temperature):
    """Left-padded prompts, EOS at several lengths, truncation; merged, against unmerged."""
    model = random_model(name)
    requests = [request(p, n=6) for p in PROMPTS]
    with merged(model):
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


# The distribution ----------------------------------------------------------------------------

DRAWS = 20_000


def p_value(ids: Any, probs: np.ndarray) -> float:
    """Chi-square of drawn ids against probabilities; rare ids are counted together."""
    counts = np.bincount(np.asarray(ids), minlength=len(probs)).astype(float)
    expected = probs / probs.sum() * counts.sum()
    common = expected >= 10
    if (rest := expected[~common].sum()) > 0:
        counts = np.append(counts[common], counts[~common].sum())
        expected = np.append(expected[common], rest)
    else:
        assert counts[~common].sum() == 0  # never what has probability 0
        counts, expected = counts[common], expected[common]
    return float(chisquare(counts, expected).pvalue)


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(),
        SamplingParams(0.5),
        SamplingParams(2.0),
        SamplingParams(top_k=5),
        SamplingParams(top_p=0.6),
        SamplingParams(1.5, top_p=0.8, top_k=10),
    ],
)
def test_first_tokens_are_drawn_from_the_softmax(params):
    model = random_model("llama")
    prompt = PROMPTS[2]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt])).logits[0, -1].double()
    order = logits.argsort(descending=True)
    probs = torch.softmax(logits / params.temperature, 0)
    if params.top_k:
        probs[order[params.top_k :]] = 0
        probs /= probs.sum()
    if params.top_p < 1:
        before = probs[order].cumsum(0) - probs[order]
        probs[order[before >= params.top_p]] = 0
    (samples,) = draw_samples(model, [request(prompt, DRAWS, 1)], params, seed=5)
    ids = [s.ids[0] for s in samples]
    allowed = set(torch.nonzero(probs).flatten().tolist())
    assert set(ids) <= allowed
    assert len(allowed) > 2
    assert p_value(ids, probs.numpy()) > 1e-3


def test_the_chi_square_would_notice():
    probs = np.array([0.5, 0.3, 0.2])
    ids = np.random.default_rng(0).choice(3, DRAWS, p=[0.53, 0.28, 0.19])
    assert p_value(ids, probs) < 1e-6


@pytest.mark.parametrize("top_k", [0, 1, 3, 50, 1000])
@pytest.mark.parametrize("top_p", [1.0, 0.95, 0.5, 1e-6])
def test_the_tail_is_cut_where_transformers_cuts_it(top_k, top_p):
    logits = 3 * torch.randn(200, 100, generator=torch.Generator().manual_seed(1))
    wanted = logits
    if top_k:
        wanted = TopKLogitsWarper(top_k)(None, wanted)
    if top_p < 1:
        wanted = TopPLogitsWarper(top_p)(None, wanted)
    cut = _cut_tail(torch.softmax(logits, -1), SamplingParams(1.0, top_p, top_k))
    assert torch.equal(cut > 0, wanted > -torch.inf)
    torch.testing.assert_close(cut / cut.sum(-1, keepdim=True), torch.softmax(wanted, -1))


def test_draw_takes_half_precision_logits():
    logits = torch.tensor([[0.0, 30.0, 0.0]], dtype=torch.bfloat16)
    ids, logp = draw(logits, SamplingParams(), torch.tensor([0.5], dtype=torch.float64))
    assert (ids.item(), logp.dtype) == (1, torch.float32)


# Work that is not done twice -----------------------------------------------------------------


def test_equal_prompts_share_one_prefill_and_finished_rows_leave():
    model = random_model("llama")
    requests = [request(PROMPTS[0], 3), request(PROMPTS[3], 2), request(PROMPTS[0], 4)]
    with watching(model) as shapes:
        drawn = draw_samples(model, requests)
    lengths = [len(s.ids) for samples in drawn for s in samples]
    assert [len(samples) for samples in drawn] == [3, 2, 4]
    assert shapes[0] == (2, len(PROMPTS[3]))
    # A row is computed until its last token is drawn: that one needs no pass of its own.
    steps = [(sum(n > t for n in lengths), 1) for t in range(1, max(lengths))]
    assert shapes[1:] == steps
    assert steps[-1][0] < steps[0][0]


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
    with watching(model) as shapes:
        draw_samples(model, [request(p, 2, 1) for p in PROMPTS])
    assert shapes == [(4, max(map(len, PROMPTS)))]


def test_the_head_sees_contiguous_rows_and_its_hook_is_removed():
    model = random_model("llama")
    head = model.get_output_embeddings()
    seen = []
    watch = head.register_forward_hook(lambda _, args, out: seen.append(args[0].is_contiguous()))
    before = dict(head._forward_pre_hooks)
    try:
        draw_samples(model, [request(p, 2) for p in PROMPTS])
        assert dict(head._forward_pre_hooks) == before
        with pytest.raises(IndexError):
            draw_samples(model, [request([VOCABULARY + 1])])
        assert dict(head._forward_pre_hooks) == before
    finally:
        watch.remove()
    assert seen
    assert all(seen)


# The policy ----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 64])
def test_any_batch_size_gives_every_sample(batch):
    model = random_model("llama")
    policy = ModelPolicy(model, tokenizer(), SamplingParams(0.0), batch=batch)
    requests = [request(p, n, 10) for p, n in zip(PROMPTS, (5, 1, 4, 2), strict=True)]
    with watching(model) as shapes:
        drawn = policy.sample(requests, seed=0)
    assert [len(samples) for samples in drawn] == [5, 1, 4, 2]
    assert max(rows for rows, _ in shapes) <= batch
    # Greedy, so that a sample in the wrong place would show.
    with merged(model):
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


def test_every_number_picks_a_token_that_can_be():
    logits = torch.tensor([[-torch.inf, 1.0, -torch.inf, 0.0, -torch.inf]]).expand(3, -1)
    thrown = torch.tensor([0.0, 0.7310585, 1 - 2**-53], dtype=torch.float64)  # softmax: .731, .269
    ids, _ = draw(logits, SamplingParams(), thrown)
    assert ids.tolist() == [1, 1, 3]
    ids, _ = draw(logits, SamplingParams(), thrown + torch.tensor([0.0, 1e-5, 0.0]))
    assert ids.tolist() == [1, 3, 3]


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
