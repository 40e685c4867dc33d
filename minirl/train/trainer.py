"""TRL's GRPOTrainer with minirl's seams: checkpoints that appear whole, and, on the stock backend,
a training pass that computes nothing twice.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from trl import GRPOTrainer

from minirl.models.attention import own_attention
from minirl.models.fused_lora import fused_lora
from minirl.rundir import RunDir, disk_errors, write_json
from minirl.train.kept import KeptPrompts
from minirl.train.shared import cut, shared_logprobs, why_not
from minirl.train.stream import TaskStream

KEPT = 0.8  # of the token budget, at most, for prompts that the rollouts have computed


class Trainer(GRPOTrainer):  # type: ignore[misc]
    """What TRL trains, or Unsloth's patched TRL, which this name stands for once it is imported.

    Args:
        run: whose checkpoints these are.
        stream: saved with each checkpoint, so that a resumed run draws the same tasks.
        keep: how many checkpoints stay.
    """

    def __init__(
        self, *args: Any, run: RunDir, stream: TaskStream, keep: int, **kwargs: Any
    ) -> None:
        self._run_dir = run
        self._stream = stream
        self._keep = keep
        super().__init__(*args, **kwargs)
        base = self.accelerator.unwrap_model(self.model)
        if "ref" in getattr(base, "peft_config", {}):
            # TRL keeps a copy of the first adapter as the reference. Ours starts at zero, so the
            # base is it; and beside a copy, transformers would not load the trained one on resume.
            base.delete_adapter("ref")

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write the checkpoint under a hidden name and rename it when it is whole; then drop the
        oldest.
        """
        step = self.state.global_step
        partial = Path(self.args.output_dir)
        target = self._run_dir.checkpoint(step)
        with disk_errors(target):
            shutil.rmtree(partial, ignore_errors=True)
            super()._save_checkpoint(model, trial)
            written = partial / f"checkpoint-{step}"
            write_json(written / "stream.json", self._stream.state())
            shutil.rmtree(target, ignore_errors=True)
            written.rename(target)
            for old in self._run_dir.checkpoint_steps()[: -self._keep]:
                self._run_dir.checkpoint(old).rename(partial / f"old-{old}")
            shutil.rmtree(partial)


class SharedPrefixTrainer(Trainer):
    """Computes what the rows of a step share once, and leaves out rows without a gradient, where
    model and settings allow it. The gradient is that of TRL's own pass.

    Unsloth's trainer has a pass of its own at this place, so this is for the stock backend.

    Args:
        token_budget: how many tokens (of the tree) one forward and backward pass holds at most.

    Attributes:
        why_not: why TRL's own pass runs instead; None where it does not.
        kept: records the prompts' passes of the rollouts, and the training pass goes on from there;
            None where a step trains on its rollouts in several goes, or activations are not kept.
    """

    def __init__(self, *args: Any, token_budget: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._token_budget = token_budget
        self._while_training = ExitStack()
        base = self.accelerator.unwrap_model(self.model)
        self._causal_lm = base.get_base_model() if hasattr(base, "get_base_model") else base
        self.why_not = (
            "the router of a mixture of experts is trained"
            if self.aux_loss_enabled
            else why_not(self._causal_lm)
        )
        self.kept: KeptPrompts | None = None
        at_once = self.args.gradient_accumulation_steps == 1
        if self.why_not is None and at_once and not self.args.gradient_checkpointing:
            self.kept = KeptPrompts(base, int(token_budget * KEPT))

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """TRL's. The backward pass attends by the tree too: it may compute activations again."""
        with self._while_training:
            loss: torch.Tensor = super().training_step(*args, **kwargs)
            if self.kept is not None:
                self.kept.backward()
        return loss

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        """TRL's loss, part by part: rows without a gradient stay out, and the backward pass of each
        part but the last is made here, so that only one part's activations are held.
        """
        if self.why_not is not None:
            whole: torch.Tensor = super()._compute_loss(model, inputs)
            return whole
        mask = inputs["completion_mask"] * inputs.get("tool_mask", 1)
        tokens = mask.sum(1)
        trained = tokens > 0
        if self.beta == 0:
            trained &= inputs["advantages"] != 0
        places = trained.nonzero().squeeze(1).tolist()
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
        seen = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
        rows, prompts = _unpadded(ids, seen), inputs["prompt_mask"].sum(1).tolist()
        first, then = self._cut(rows, prompts, places)
        parts = first + then
        loss = sum((p * 0).sum() for p in self.model.parameters() if p.requires_grad)
        assert isinstance(loss, torch.Tensor)
        self._while_training.enter_context(self._sharing())
        counts = [int(tokens[part].sum()) for part in parts]
        with _one_metric_a_step(self._metrics["train"], counts, int(tokens.sum())):
            for at, part in enumerate(parts):
                chosen = {
                    k: v[part] if torch.is_tensor(v) and v.dim() else v for k, v in inputs.items()
                }
                share = self._share(len(part) / len(mask), float(tokens[part].sum() / tokens.sum()))
                part_loss: torch.Tensor = super()._compute_loss(model, chosen)
                loss = loss + share * part_loss
                if at < len(parts) - 1:
                    self.accelerator.backward(loss)
                    loss = loss.detach()
                    if self.kept is not None and at == len(first) - 1:
                        self.kept.backward()
        return loss

    def _cut(
        self, rows: list[list[int]], prompts: list[int], places: list[int]
    ) -> tuple[list[list[int]], list[list[int]]]:
        """The rows at ``places`` in parts: first those whose prompts are kept, in what the budget
        leaves beside these, then the others.
        """
        if self.kept is None:
            return [], _parts(rows, places, self._token_budget)
        begin = [tuple(row[:count]) for row, count in zip(rows, prompts, strict=True)]
        self.kept.settle({begin[i] for i in places})
        # One node stands for a prompt that is kept; no token has its number.
        number = {p: -n for n, p in enumerate(dict.fromkeys(begin), 1) if self.kept.holds(p)}
        replies = [[number.get(p, 0), *row[len(p) :]] for row, p in zip(rows, begin, strict=True)]
        kept = [i for i in places if begin[i] in number]
        others = [i for i in places if begin[i] not in number]
        room = self._token_budget - self.kept.tokens
        return _parts(replies, kept, room), _parts(rows, others, self._token_budget)

    @contextmanager
    def _sharing(self) -> Iterator[None]:
        with own_attention(self._causal_lm), fused_lora(self._causal_lm):
            yield

    def _share(self, rows: float, tokens: float) -> float:
        """What TRL's loss of some rows counts in that of all, by what the loss divides by."""
        shares = {"grpo": rows, "dr_grpo": rows, "bnpo": tokens, "dapo": 1.0, "cispo": 1.0}
        return shares[self.loss_type]

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **multimodal: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """TRL's contract: log-probabilities and entropies (B, C) of the last C tokens, 0 where
        masked.
        """
        if self.why_not is not None:
            full: tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]
            full = super()._get_per_token_logps_and_entropies(
                model,
                input_ids,
                attention_mask,
                logits_to_keep,
                batch_size=batch_size,
                compute_entropy=compute_entropy,
                compute_aux_loss=compute_aux_loss,
                **multimodal,
            )
            return full
        rows = _unpadded(input_ids, attention_mask)
        prompts = attention_mask[:, :-logits_to_keep].sum(1).tolist()
        scored = attention_mask[:, -logits_to_keep:].bool()
        logps = input_ids.new_zeros(scored.shape, dtype=torch.float32)
        entropies = torch.zeros_like(logps)
        written = [i for i, p in enumerate(prompts) if len(rows[i]) > p]
        # Where a gradient is wanted, _compute_loss has cut the rows to the budget.
        budget = None if torch.is_grad_enabled() else self._token_budget
        kept = self.kept if torch.is_grad_enabled() else None
        for part in _parts(rows, written, budget):
            with self.accelerator.autocast(), self._sharing():
                logp, entropy = shared_logprobs(
                    self._causal_lm,
                    [rows[i] for i in part],
                    [prompts[i] for i in part],
                    temperature=self.temperature,
                    kept=kept,
                )
            places = torch.zeros_like(scored)
            places[part] = scored[part]
            logps = logps.masked_scatter(places, logp)
            entropies = entropies.masked_scatter(places, entropy)
        return logps, entropies if compute_entropy else None, None


def _unpadded(ids: torch.Tensor, mask: torch.Tensor) -> list[list[int]]:
    """The tokens of each row (B, T) that are no padding."""
    return [row[seen].tolist() for row, seen in zip(ids, mask.bool(), strict=True)]


def _parts(rows: list[list[int]], places: list[int], budget: int | None) -> list[list[int]]:
    """The rows at ``places``, in parts of at most ``budget`` tokens; all together without one."""
    if budget is None:
        return [places] if places else []
    return [[places[i] for i in part] for part in cut([rows[p] for p in places], budget)]


@contextmanager
def _one_metric_a_step(
    metrics: dict[str, list[float]], tokens: list[int], of: int
) -> Iterator[None]:
    """Within the block TRL logs each metric once a part, of so many ``tokens`` each; what stays is
    one value a step.

    That is the least or the most where the metric is called so, the share ``of`` all tokens where
    it counts clipped ones, and else the mean over the tokens that train. Rows without advantage,
    which are left out, have no clipped tokens.
    """
    before = {key: len(values) for key, values in metrics.items()}
    yield
    for key, values in metrics.items():
        new = values[before.get(key, 0) :]
        if not new:
            continue
        if key.endswith(("_min", "_max")):
            left_out = [0.0] if sum(tokens) < of else []
            one = min(new + left_out) if key.endswith("_min") else max(new)
        else:
            whole = of if "clip_ratio" in key else sum(tokens)
            one = sum(n * v for n, v in zip(tokens, new, strict=True)) / whole
        values[-len(new) :] = [one]
