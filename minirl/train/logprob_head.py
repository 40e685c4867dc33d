"""Log-probabilities of chosen tokens without the whole logits, in plain torch.

TRL 1.15 computes them in a Triton kernel, which needs an NVIDIA or AMD card. This head has the
same contract (`trl.kernels.chunked_logprob`), is exact, and runs anywhere; :func:`install` puts it
in TRL's place off CUDA.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

ROWS = 256  # tokens a chunk: 256 x 49,152 fp32 logits are 50 MB


class TorchLogProb(torch.autograd.Function):
    """The fused language-model head: hidden states in, log-probabilities (and statistics) of
    targets out.

    Shapes: hidden (N, H), weight (V, H), bias (V) or None, targets (N). With z = softcap(scale ·
        (hidden Wᵀ +
    bias)) / temperature it returns log softmax(z)[target] and, where asked for, the entropy of
    softmax(z), log Σ softmax(z)², the mean of z, and whether the target is the likeliest token;
    all (N), fp32. Gradients flow from the first two to hidden, weight and bias. The logits are
    made ``ROWS`` tokens at a time, and made again in the backward pass.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        temperature: float,
        chunk_size: int,
        final_logit_softcapping: float | None = None,
        logit_scale: float = 1.0,
        outputs: tuple[str, ...] = (),
    ) -> tuple[torch.Tensor | None, ...]:
        ctx.set_materialize_grads(False)
        ctx.shape_of = (temperature, final_logit_softcapping, logit_scale)
        stats: dict[str, list[torch.Tensor]] = {"logprobs": [], **{name: [] for name in outputs}}
        for rows in _chunks(hidden.shape[0]):
            z = _logits(hidden[rows], weight, bias, *ctx.shape_of)
            target = targets[rows, None]
            logp = torch.log_softmax(z, dim=-1)
            chosen = logp.gather(1, target).squeeze(1)
            stats["logprobs"].append(chosen)
            if "entropy" in stats:
                stats["entropy"].append(-(logp.exp() * logp).sum(-1))
            if "log_sum_sq_probs" in stats:
                stats["log_sum_sq_probs"].append(torch.logsumexp(2 * logp, dim=-1))
            if "mean_logits" in stats:
                stats["mean_logits"].append(z.mean(-1))
            if "is_top1" in stats:
                stats["is_top1"].append(logp.argmax(-1) == target.squeeze(1))
        ctx.save_for_backward(hidden, weight, bias, targets)
        empty = hidden.new_empty(0, dtype=torch.float32)
        full = {k: torch.cat(v) if v else empty for k, v in stats.items()}
        extras = ("entropy", "log_sum_sq_probs", "mean_logits", "is_top1")
        ctx.mark_non_differentiable(*(full[n] for n in extras[1:] if n in full))
        return (full["logprobs"], *(full.get(name) for name in extras))

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        grad_logp, grad_entropy = grads[0], grads[1]
        hidden, weight, bias, targets = ctx.saved_tensors
        temperature, softcap, scale = ctx.shape_of
        needs = ctx.needs_input_grad
        grad_hidden = torch.zeros_like(hidden, dtype=torch.float32) if needs[0] else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if needs[1] else None
        grad_bias = torch.zeros_like(bias, dtype=torch.float32) if needs[2] else None
        dtype = _compute_dtype(hidden)
        for rows in _chunks(hidden.shape[0]):
            z = _logits(hidden[rows], weight, bias, temperature, softcap, scale)
            logp = torch.log_softmax(z, dim=-1)
            p = logp.exp()
            d = torch.zeros_like(z)
            if grad_logp is not None:  # d log p_t / dz = onehot - p
                g = grad_logp[rows, None].float()
                d -= g * p
                d.scatter_add_(1, targets[rows, None], g)
            if grad_entropy is not None:  # dH / dz = -p (log p + H)
                entropy = -(p * logp).sum(-1, keepdim=True)
                d -= grad_entropy[rows, None].float() * p * (logp + entropy)
            if softcap is not None:  # z·T = c tanh(x / c)
                d *= 1 - (z * temperature / softcap) ** 2
            d = (d * (scale / temperature)).to(dtype)
            if grad_hidden is not None:
                grad_hidden[rows] = (d @ weight.to(dtype)).float()
            if grad_weight is not None:
                grad_weight += (d.t() @ hidden[rows].to(dtype)).float()
            if grad_bias is not None:
                grad_bias += d.float().sum(0)
        return (
            None if grad_hidden is None else grad_hidden.to(hidden.dtype),
            None if grad_weight is None else grad_weight.to(weight.dtype),
            None if grad_bias is None else grad_bias.to(bias.dtype),
            *([None] * 6),
        )


class AdapterLogProb(torch.autograd.Function):
    """:class:`TorchLogProb` where only the hidden states get a gradient, and from the
    log-probabilities alone: what training an adapter needs.

    The gradient of log softmax(z)[target] by its hidden state depends on nothing that comes later,
    so the forward pass makes it from the same logits, and the backward pass multiplies.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        temperature: float,
        softcap: float | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.set_materialize_grads(False)
        dtype = _compute_dtype(hidden)
        logps, entropies, units = [], [], []
        for rows in _chunks(hidden.shape[0]):
            z = _logits(hidden[rows], weight, bias, temperature, softcap, 1.0)
            target = targets[rows, None]
            logp = torch.log_softmax(z, dim=-1)
            p = logp.exp()
            logps.append(logp.gather(1, target).squeeze(1))
            entropies.append(-torch.linalg.vecdot(p, logp))
            if ctx.needs_input_grad[0]:
                d = p.neg_().scatter_add_(1, target, torch.ones_like(p[:, :1]))  # onehot - p
                if softcap is not None:
                    d *= 1 - (z * temperature / softcap) ** 2
                units.append((d.to(dtype) @ weight.to(dtype)).float() / temperature)
        if units:
            ctx.save_for_backward(torch.cat(units))
            ctx.dtype = hidden.dtype
        empty = hidden.new_empty(0, dtype=torch.float32)
        entropy = torch.cat(entropies) if entropies else empty
        ctx.mark_non_differentiable(entropy)
        return torch.cat(logps) if logps else empty, entropy

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        if grads[0] is None:
            return (None,) * 6
        (unit,) = ctx.saved_tensors
        return (grads[0][:, None] * unit).to(ctx.dtype), *([None] * 5)


def token_logprobs(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    *,
    temperature: float = 1.0,
    softcap: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and entropies (N), fp32, of ``targets`` (N) from ``hidden`` (N, H).

    Gradients flow from the log-probabilities to all three; from the entropies only where the head
    is trained.
    """
    if weight.requires_grad or (bias is not None and bias.requires_grad):
        apply: Any = TorchLogProb.apply
        logp, entropy, *_ = apply(
            hidden, weight, bias, targets, temperature, 0, softcap, 1.0, ("entropy",)
        )
        return logp, entropy
    apply = AdapterLogProb.apply
    logp, entropy = apply(hidden, weight, bias, targets, temperature, softcap)
    return logp, entropy


def _chunks(n: int) -> Iterator[slice]:
    return (slice(start, start + ROWS) for start in range(0, n, ROWS))


def _compute_dtype(hidden: torch.Tensor) -> torch.dtype:
    device = hidden.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype


def _logits(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    temperature: float,
    softcap: float | None,
    scale: float,
) -> torch.Tensor:
    dtype = _compute_dtype(hidden)
    x = (hidden.to(dtype) @ weight.to(dtype).t()).float()
    if bias is not None:
        x = x + bias.float()
    if scale != 1.0:
        x = x * scale
    if softcap is not None:
        x = softcap * torch.tanh(x / softcap)
    return x / temperature if temperature != 1.0 else x


def install(device: torch.device) -> None:
    """Make TRL use this head, unless ``device`` is one that runs Triton. Calling it again changes
    nothing.
    """
    import trl.trainer.utils as trl_utils

    if device.type != "cuda":
        trl_utils._ChunkedLogProbFunction = TorchLogProb
