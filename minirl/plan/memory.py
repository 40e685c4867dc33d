"""Peak memory of a run, part by part: pure functions of an architecture and a workload. No torch.

A step samples, then trains; both need the weights and the adapter, and each has something of its
own. :func:`phases` adds both up, and the larger one is the run's peak. What is counted was read off
the code that runs (which tensors autograd keeps, which the head makes) and checked against that
code: `tests/unit/plan/` has the kept tensors of a real layer, published figures and measured peaks.
Four numbers and one rule (:func:`_left_over`) are fitted and not counted; each says to what.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from minirl.plan.architecture import Architecture

PARTS = (
    "weights",
    "quantisation",
    "adapter",
    "gradients",
    "optimizer",
    "sampling",
    "activations",
    "logits",
    "runtime",
)
Phases = dict[Literal["sampling", "training"], dict[str, int]]

# NF4 in blocks of 64 with double quantisation (QLoRA, arXiv 2305.14314, section 3): half a byte, a
# byte of scale for each block, and four bytes for each 256 scales.
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)

# Fitted: what the CUDA context, cuBLAS' and bitsandbytes' workspaces and compiled kernels take. It
# is what Unsloth's table of context lengths for Llama 3.1 8B leaves over at zero tokens.
CARD_RUNTIME = 1_000_000_000
# Fitted: torch's caching allocator holds more than what is in use. Unsloth publishes its summary of
# a GRPO run: 47,504 MiB reserved for 43,042 MiB (Memory Efficient RL, H100 experiments).
CARD_SLACK = 1.10
# Measured: resident memory of a process that is about to train (torch's CPU build, transformers,
# TRL, datasets), without weights and adapter; Linux, Python 3.11, torch 2.13.
CPU_RUNTIME = 672 * 2**20
# Fitted: glibc serves torch's aligned tensors from its heap and can seldom reuse the hole that one
# of them leaves for another of the same size. So what a forward pass drops stays resident, too: so
# many times what a pass keeps that keeps all, in a tree's passes and in TRL's. Tensors of 32 MiB
# and more have pages of their own (M_MMAP_THRESHOLD's greatest value), which go back.
TREE_HOLES = 0.5
CPU_HOLES = 1.2
OWN_PAGES = 32 * 2**20

ROWS = 256  # tokens that minirl's head makes logits for at once (train/logprob_head.py)
# fp32 copies of such a piece at the worst moment of the head that TRL calls, in its backward pass:
# logits, log-softmax, softmax, gradient, and one product.
HEAD_COPIES = 5
# Of the tree's head, which makes the gradient in its forward pass: logits, log-softmax, softmax,
# and the logits of the next piece.
TREE_HEAD_COPIES = 4
BLOCK, TRUNK = 128, 1024  # nodes of a tree that attend together (models/tree.py)
DRAW_COPIES = 4  # of a decoding step's logits: over the temperature, softmax, its sums in fp64
OWN_DRAW_COPIES = 2  # the same of minirl's own: over the temperature, and softmax
PACKED = 512  # FBGEMM fills the inputs of a matrix up to a multiple of so many
FIRST_ROOM = 32  # tokens that a row has room for at first (models/decoding/store.py)
RECORDED = (
    0.8  # of the token budget, for prompts whose pass training goes on from (train/trainer.py)
)
PREFILL = 4096  # tokens of the prompts that are computed together (models/decoding/rows.py)
UNSLOTH_KEEPS = 1024  # replies up to here have their logits kept for the whole micro-batch
UNSLOTH_PIECE = 5120  # tokens of the largest of the pieces that longer ones are cut into


@dataclass(frozen=True, slots=True)
class Workload:
    """All that decides the peak.

    Attributes:
        arch: the model.
        stack: whose layers compute.
        device: ``cuda`` or ``cpu``.
        number: bytes of a number that is computed with (2 or 4).
        four_bit: whether the blocks' matrices are kept in NF4.
        kept: bytes of a number of the parts that are not (embedding, head).
        residual: bytes of a number of the residual stream: ``number``, or 4 where the embedding
            was cast to fp32 (peft's ``prepare_model_for_kbit_training``, which minirl leaves out).
        lora_r, targets: the adapter.
        state: bytes of optimizer state a trained parameter.
        rows: rollouts of a micro-batch.
        distinct: different prompts among them.
        prompt, completion: tokens of the longest prompt and of the longest reply.
        checkpointing: whether a layer's activations are recomputed.
        shared_prefix: whether the rows are computed as a tree, what they share once.
        token_budget: tokens of the tree that are computed at once; a whole row at least.
        records: whether training goes on from the passes over the prompts that sampling made.
        head: how log-probabilities are made: ``chunked`` (minirl's and TRL 1.15's), ``unsloth``,
            or ``full`` (all logits at once, as transformers' and older TRL's losses do).
        engine: what writes the rollouts; ``none`` leaves sampling out.
        sampled: sequences sampled at once.
        sampled_prompts: different prompts among them.
        pool: bytes that vLLM takes for its cache.
        standby: whether that goes back while the model trains.
    """

    arch: Architecture
    stack: Literal["unsloth", "transformers"]
    device: Literal["cuda", "cpu"]
    number: int
    four_bit: bool
    kept: int
    lora_r: int
    targets: str | Sequence[str]
    state: int
    rows: int
    distinct: int
    prompt: int
    completion: int
    checkpointing: bool
    shared_prefix: bool
    head: Literal["chunked", "unsloth", "full"]
    engine: Literal["torch", "generate", "vllm", "none"]
    sampled: int = 0
    sampled_prompts: int = 0
    pool: int = 0
    standby: bool = True
    residual: int = 0
    token_budget: int = 0
    records: bool = False

    @property
    def length(self) -> int:
        """Tokens of the longest conversation."""
        return self.prompt + self.completion

    @property
    def tree(self) -> int:
        """Tokens of all rows, each prompt counted once."""
        return self.distinct * self.prompt + self.rows * self.completion

    @property
    def tokens(self) -> int:
        """Tokens that a training pass computes at once."""
        if not self.shared_prefix:
            return self.rows * self.length
        return min(self.tree, max(self.token_budget, self.length))


def peak(work: Workload) -> dict[str, int]:
    """Bytes of each part at the run's worst moment; every one of :data:`PARTS` is there."""
    return max(phases(work).values(), key=lambda parts: sum(parts.values()))


def phases(work: Workload) -> Phases:
    """Bytes of each part while sampling and while training."""
    both = static(work)
    trained = work.arch.lora_parameters(work.lora_r, work.targets)
    sampling = both | {
        "sampling": _rounded(_engine(work), work),
        "activations": _recorded(work),
    }
    activations = _activations(work)
    training = both | {
        # TRL's gradients of the adapter are fp32, as the adapter is.
        "gradients": 4 * trained,
        "activations": activations,
        "logits": _rounded(_logits(work), work),
        "sampling": _left_over(work, activations),
    }
    result: Phases = {"training": training}
    if work.engine != "none":
        result["sampling"] = sampling
    return result


def static(work: Workload) -> dict[str, int]:
    """What is there all the time; the other parts are 0."""
    arch = work.arch
    linear = arch.linear_parameters()
    trained = arch.lora_parameters(work.lora_r, work.targets)
    rest = (arch.parameters() - linear) * work.kept
    parts = dict.fromkeys(PARTS, 0)
    parts["weights"] = int(linear * (0.5 if work.four_bit else work.kept)) + rest
    if work.four_bit:
        # Scales, and the one matrix that is unpacked at a time.
        parts["quantisation"] = int(linear * (NF4_BYTES - 0.5)) + _largest(arch) * work.number
        if work.device == "cpu":
            # What was loaded in 16 bits leaves its place in the heap of each thread that packed it.
            parts["quantisation"] += 2 * linear
    parts["adapter"] = 4 * trained
    parts["optimizer"] = work.state * trained
    parts["runtime"] = CARD_RUNTIME if work.device == "cuda" else CPU_RUNTIME
    return parts


def _largest(arch: Architecture) -> int:
    shapes = arch.attention_layers() | arch.mlp_layers()
    return max(a * b for a, b in shapes.values())


def _rounded(count: float, work: Workload) -> int:
    return int(count * (CARD_SLACK if work.device == "cuda" else 1))


# sampling -----------------------------------------------------------------------------------------


def kv_bytes(arch: Architecture, tokens: int, number: int) -> int:
    """Bytes of one sequence's keys and values."""
    return arch.kv_elements(tokens) * number


def _engine(work: Workload) -> int:
    if work.engine == "vllm":
        return max(work.pool, kv_bytes(work.arch, work.length, work.number))
    arch = work.arch
    wide = (3 * arch.active_intermediate + 4 * arch.hidden) * work.number  # of a prompt's token
    if work.engine == "torch":
        return _own_engine(work, wide)
    cache = work.sampled * kv_bytes(arch, work.length, work.number)
    cache += cache // arch.layers  # it grows by a copy of each layer a token
    logits = work.sampled * arch.vocab * (work.number + 4 * DRAW_COPIES)
    return cache + max(logits, work.sampled * work.prompt * wide)


def _own_engine(work: Workload, wide: int) -> int:
    """minirl's own sampling (models/decoding): each prompt's keys and values once, and room for
    every row's own, which doubles, a layer at a time.
    """
    arch, most = work.arch, work.sampled * max(1, work.completion - 1)
    token = 2 * arch.kv_width * arch.layers * work.number
    room = work.sampled * FIRST_ROOM
    while room < most:
        room *= 2
    cache = token * (work.sampled_prompts * work.prompt + room)
    if room > work.sampled * FIRST_ROOM:
        # On a CPU what was smaller leaves holes that nothing fits in.
        cache += token * room // (1 if work.device == "cpu" else 2 * arch.layers)
    logits = work.sampled * arch.vocab * (work.number + 4 * OWN_DRAW_COPIES)
    logits += work.sampled_prompts * arch.vocab * work.number
    prefill = min(work.sampled_prompts * work.prompt, max(PREFILL, work.prompt)) * wide
    return cache + max(logits, prefill) + (packed_bytes(work) or _merged(work))


def _recorded(work: Workload) -> int:
    """What autograd keeps of the prompts while their replies are written (train/kept.py)."""
    if not (work.records and packed_bytes(work)):
        return 0
    tokens = min(work.sampled_prompts * work.prompt, int(RECORDED * work.token_budget))
    keys_and_values = 2 * work.arch.kv_width * work.number
    return tokens * work.arch.layers * (layer_bytes(work) + keys_and_values)


def packed_bytes(work: Workload) -> int:
    """Bytes of the matrices in fp16, which stay beside those in fp32 (models/decoding/halves.py).

    Counted wherever that may come to pass; weights that came in 32 bits are not packed, nor are any
    where the processor gains nothing by it.
    """
    if work.engine != "torch" or work.device != "cpu" or work.number != 4 or work.four_bit:
        return 0
    arch = work.arch
    layer = arch.attention_layers() | ({} if arch.experts else arch.mlp_layers())
    shapes = [*layer.values()] * arch.layers + [(arch.hidden, arch.vocab)]
    return sum(-(-width // PACKED) * PACKED * out * 2 for width, out in shapes)


def _merged(work: Workload) -> int:
    """The copy of the adapted matrices with the adapter in them (models/merge.py)."""
    if work.four_bit:
        return 0
    pairs = work.arch.adapted(work.targets)
    return work.arch.layers * sum(a * b for _, a, b in pairs) * work.number


def _left_over(work: Workload, activations: int) -> int:
    """What sampling holds while the model trains.

    On a card: vLLM's cache, unless it sleeps. On a CPU: the weights in fp16; and neither sampling
    nor training gives its heap back, and each leaves holes for other sizes than the other needs. As
    measured with micro-batches of two, the smaller of both comes on top of the larger, unless
    training's is so large that sampling's goes into it twice.
    """
    if work.engine == "vllm":
        return 0 if work.standby else _rounded(work.pool, work)
    if work.device == "cuda" or work.engine == "none":
        return 0
    packed = packed_bytes(work)
    engine = _engine(work) - packed
    return packed + max(0, engine + min(engine, activations) - activations)


# training -----------------------------------------------------------------------------------------


def _activations(work: Workload) -> int:
    if work.stack == "unsloth":
        return _rounded(_unsloth(work), work)
    arch, tokens = work.arch, work.tokens
    residual = work.residual or work.number
    layer = layer_bytes(work) * tokens + attended_bytes(work)
    # The gradients of one layer stand beside what it kept.
    working = tokens * (2 * arch.active_intermediate + 4 * arch.hidden) * work.number
    if work.device == "cuda":
        if not work.checkpointing:
            return _rounded(arch.layers * layer + working, work)
        # A layer is recomputed after the head has let its logits go.
        kept = arch.layers * tokens * arch.hidden * residual
        return _rounded(kept + max(0, layer + working - _logits(work)), work)
    kept = arch.layers * (tokens * arch.hidden * residual if work.checkpointing else layer)
    kept += layer if work.checkpointing else 0
    in_heap = min(tokens, OWN_PAGES // (arch.active_intermediate * work.number))
    if work.shared_prefix:
        # A pass that holds the whole step is the same every time, and leaves none.
        holes = TREE_HOLES if work.tokens < work.tree or work.checkpointing else 0
    else:
        holes = CPU_HOLES
    return int(kept + holes * arch.layers * layer_bytes(work) * in_heap)


def attended_bytes(work: Workload) -> int:
    """Bytes of keys and values that autograd keeps of one layer."""
    arch = work.arch
    if not work.shared_prefix:
        # Repeated to the query heads: padding calls for a mask, and with one torch's attention
        # takes no grouped heads.
        return work.tokens * 2 * arch.q_width * work.number
    # Once each, and a copy of those that a block of replies attends to: its own and the prompt's.
    blocks, own = _blocks(work)
    return int((work.tokens + blocks * (work.prompt + own)) * 2 * arch.kv_width * work.number)


def _blocks(work: Workload) -> tuple[float, int]:
    """In how many blocks the replies of a pass attend, and to how many tokens of replies each."""
    reply = max(1, work.completion)
    # Short ones stand together; one that is long attends piece by piece to what lies before it.
    size = BLOCK // reply * reply if reply <= BLOCK else min(reply, TRUNK)
    own = size if reply <= TRUNK else (reply + size) // 2
    return min(work.tokens, work.rows * work.completion) / size, own


def layer_bytes(work: Workload) -> int:
    """Bytes a token that autograd keeps of one layer, keys and values apart.

    transformers' Llama-like layer under LoRA. The norms keep their inputs in fp32; the MLP keeps
    its gate before and after the activation, and the up projection; an adapted matrix keeps its
    input. In peft's layer and 16 bits that is a copy of its own each (autocast casts it anew), else
    matrices that have an input in common share it. A tree's attention keeps its output by block,
    and the output's matrix a copy of the whole.
    """
    arch, b = work.arch, work.number
    names = {name: width for name, width, _ in arch.adapted(work.targets)}
    experts = max(1, arch.experts_per_token)
    kept = 3 * arch.intermediate * experts + 2 * arch.q_width  # and queries, attention's output
    fused = work.shared_prefix and not work.four_bit  # models/fused_lora.py
    if b == 2 and not fused:
        kept += sum(names.values())
    else:
        kept += arch.hidden * (bool(names.keys() & {"q_proj", "k_proj", "v_proj"}))
        kept += arch.hidden * (bool(names.keys() & {"gate_proj", "up_proj"}))
        kept += names.get("down_proj", 0)
        kept += names.get("o_proj", 0) * work.shared_prefix
    kept += work.lora_r * len(names)
    norms = arch.norms * arch.hidden + (arch.q_width + arch.kv_width if arch.qk_norm else 0)
    return kept * b + norms * 4


def _unsloth(work: Workload) -> int:
    """Unsloth's layers (models/llama.py, kernels/fast_lora.py), in widths of a token.

    While a layer is recomputed and its MLP differentiated there are ten of the residual stream's
    width (input, both norms' outputs, both sums, attention's and the MLP's result, three
    gradients), three of queries (before and after the rotation, attention's output) and of keys and
    values, and three of the MLP's (gate, up, and the gradient that goes back through both). With
    its checkpointing, what other layers need lies in the machine's memory; without, each layer
    keeps its part of those.
    """
    arch = work.arch
    tokens = work.rows * work.length
    wide = 10 * arch.hidden + 3 * (arch.q_width + arch.kv_width) + 3 * arch.active_intermediate
    if not work.checkpointing:
        kept = 4 * arch.hidden + 2 * (arch.q_width + arch.kv_width) + 2 * arch.active_intermediate
        wide += (arch.layers - 1) * kept
    return tokens * wide * work.number


def _logits(work: Workload) -> int:
    arch = work.arch
    written = work.rows * work.completion
    if work.head == "full":
        # fp32 logits, the shifted copy, log-softmax and gradient, of every position.
        return 4 * 4 * work.rows * work.length * arch.vocab
    if work.head == "chunked":
        copies = TREE_HEAD_COPIES if work.shared_prefix else HEAD_COPIES
        return min(ROWS, written) * arch.vocab * 4 * copies
    # unsloth_zoo/rl_replacements.py: logits are kept for the backward pass, of one row where
    # replies are long, and a gradient is made of a piece of them at a time: a quarter of a reply,
    # or about 4,096 tokens of a long one.
    kept = max(work.completion, work.rows * min(work.completion, UNSLOTH_KEEPS))
    piece = min(-(-work.completion // 4), UNSLOTH_PIECE)
    return arch.vocab * work.number * (kept + piece)
