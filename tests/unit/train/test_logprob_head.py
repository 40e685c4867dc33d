"""The torch head against dense autograd, and against the signature of the one it stands in for."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import trl.trainer.utils as trl_utils

from minirl.train import logprob_head
from minirl.train.logprob_head import TorchLogProb, install

N, H, V = 3 * logprob_head.ROWS // 2, 24, 301  # more than one chunk, and a ragged last one


def _inputs(*, bias: bool) -> dict[str, Any]:
    g = torch.Generator().manual_seed(0)
    return {
        "hidden": torch.randn(N, H, generator=g).requires_grad_(),
        "weight": torch.randn(V, H, generator=g).requires_grad_(),
        "bias": torch.randn(V, generator=g).requires_grad_() if bias else None,
        "targets": torch.randint(V, (N,), generator=g),
    }


def _dense(x: dict[str, Any], temperature: float, softcap: float | None, scale: float) -> Any:
    z = x["hidden"] @ x["weight"].t()
    if x["bias"] is not None:
        z = z + x["bias"]
    z = z * scale
    if softcap is not None:
        z = softcap * torch.tanh(z / softcap)
    z = z / temperature
    logp = torch.log_softmax(z, -1)
    p = logp.exp()
    return (
        logp.gather(1, x["targets"][:, None]).squeeze(1),
        -(p * logp).sum(-1),
        p.square().sum(-1).log(),
        z.mean(-1),
        logp.argmax(-1) == x["targets"],
    )


@pytest.mark.parametrize(
    ("temperature", "softcap", "scale", "bias"),
    [
        (1.0, None, 1.0, False),
        (0.7, None, 1.0, True),
        (1.3, 5.0, 1.0, False),
        (0.9, 4.0, 0.5, True),
    ],
)
def test_values_and_gradients_equal_dense_autograd(
    temperature: float, softcap: float | None, scale: float, bias: bool
) -> None:
    outputs = ("entropy", "log_sum_sq_probs", "mean_logits", "is_top1")
    mine, dense = _inputs(bias=bias), _inputs(bias=bias)
    got = TorchLogProb.apply(*mine.values(), temperature, 7, softcap, scale, outputs)
    want = _dense(dense, temperature, softcap, scale)
    for a, b in zip(got[:4], want[:4], strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)
    assert (got[4] == want[4]).all()
    weights = torch.linspace(-1, 1, N)
    for logp, entropy in ((got[0], got[1]), (want[0], want[1])):
        (weights * logp + weights.flip(0) * entropy).sum().backward()
    for name in ("hidden", "weight", "bias"):
        if mine[name] is not None:
            torch.testing.assert_close(mine[name].grad, dense[name].grad, atol=1e-4, rtol=1e-4)


def test_no_tokens_give_no_numbers_and_a_zero_gradient() -> None:
    x = _inputs(bias=False)
    hidden = x["hidden"][:0]
    logp, entropy, *_ = TorchLogProb.apply(
        hidden, x["weight"], None, x["targets"][:0], 1.0, 0, None, 1.0, ("entropy",)
    )
    assert logp.shape == entropy.shape == (0,)
    logp.sum().backward()
    assert x["hidden"].grad.abs().max() == 0


def test_it_takes_what_trls_head_takes() -> None:
    """The contract that a TRL release may change: arguments, their order, and the outputs' names.

    Read from the source, since the module itself needs Triton to be imported.
    """
    source = Path(trl_utils.__file__).parents[1] / "kernels" / "chunked_logprob.py"
    tree = ast.parse(source.read_text())
    head = next(n for n in tree.body if getattr(n, "name", "") == "ChunkedLogProbFunction")
    forward = next(n for n in head.body if getattr(n, "name", "") == "forward")
    theirs = [a.arg for a in forward.args.args]
    assert list(inspect.signature(TorchLogProb.forward).parameters) == theirs
    names = next(
        n.value
        for n in tree.body
        if isinstance(n, ast.Assign) and n.targets[0].id == "OPTIONAL_OUTPUTS"
    )
    assert ast.literal_eval(names) == ("entropy", "log_sum_sq_probs", "mean_logits", "is_top1")
    assert hasattr(trl_utils, "_ChunkedLogProbFunction")


def test_install_replaces_trls_head_off_cuda_only(monkeypatch: pytest.MonkeyPatch) -> None:
    marker = object()
    monkeypatch.setattr(trl_utils, "_ChunkedLogProbFunction", marker)
    install(torch.device("cuda"))
    assert trl_utils._ChunkedLogProbFunction is marker
    install(torch.device("cpu"))
    assert trl_utils._ChunkedLogProbFunction is TorchLogProb
