"""TRL's GRPOTrainer with minirl's seams: checkpoints that appear whole, and, on the stock backend,
the forward pass over shared prompts.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from trl import GRPOTrainer

from minirl.rundir import RunDir, disk_errors, write_json
from minirl.train.logprob_head import token_logprobs
from minirl.train.stream import TaskStream

# Heads that do more than softcap(hidden Wᵀ) take TRL's own pass.
_SCALED_HEADS = ("logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling")


class Trainer(GRPOTrainer):  # type: ignore[misc]
    """What TRL trains, or Unsloth's patched TRL, which this name stands for once it is imported.

    Args:
        run: whose checkpoints these are.
        stream: saved with each checkpoint, so that a resumed run draws the same tasks.
        keep: how many checkpoints stay.
    """

    shares_prefix = False

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
    """Computes each distinct prompt once a micro-batch, where model and settings allow it.

    Unsloth's trainer has a pass of its own at this place, so this is for the stock backend.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        base = self.accelerator.unwrap_model(self.model)
        self._causal_lm = base.get_base_model() if hasattr(base, "get_base_model") else base
        text_config = self._causal_lm.config.get_text_config()
        self.shares_prefix = not self.args.gradient_checkpointing and not any(
            getattr(text_config, name, None) is not None for name in _SCALED_HEADS
        )

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
        plain = not compute_aux_loss and all(v is None for v in multimodal.values())
        if not (self.shares_prefix and plain):
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
        rows = batch_size or input_ids.size(0)
        parts = [
            self._shared_prefix_pass(ids, mask, logits_to_keep)
            for ids, mask in zip(input_ids.split(rows), attention_mask.split(rows), strict=True)
        ]
        logps = torch.cat([p[0] for p in parts])
        entropies = torch.cat([p[1] for p in parts]) if compute_entropy else None
        return logps, entropies, None

    def _shared_prefix_pass(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, c: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One forward over the distinct prompts, one over the completions that attend to their
        keys and values.

        The gradient flows through the cache, so it is the gradient of the plain pass over (B, P +
        C) tokens.
        """
        from transformers import DynamicCache

        prompt_mask, mask = attention_mask[:, :-c], attention_mask[:, -c:].bool()
        used = int(prompt_mask.sum(1).max()), int(mask.sum(1).max())
        # Padding on the far sides is not computed. One column of the completion stays where all
        # are masked.
        prompts = input_ids[:, :-c][:, -used[0] :].masked_fill(prompt_mask[:, -used[0] :] == 0, -1)
        completions = input_ids[:, -c:][:, : max(used[1], 1)]
        distinct, inverse = prompts.unique(dim=0, return_inverse=True)  # (K, P), (B,)
        distinct_mask = (distinct >= 0).long()
        backbone = self._causal_lm.base_model
        with self.accelerator.autocast():
            cache = DynamicCache()
            prefix = backbone(
                input_ids=distinct.clamp(min=0),
                attention_mask=distinct_mask,
                position_ids=(distinct_mask.cumsum(1) - 1).clamp(min=0),
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state[:, -1:]  # (K, 1, H): predicts the first completion token
            hidden = prefix[inverse]
            if completions.size(1) > 1:
                cache.batch_select_indices(inverse)
                lengths = distinct_mask.sum(1)[inverse]
                inner = completions[:, :-1]
                rest = backbone(
                    input_ids=inner,
                    attention_mask=torch.cat(
                        [distinct_mask[inverse], mask[:, : inner.size(1)].long()], dim=1
                    ),
                    position_ids=lengths[:, None]
                    + torch.arange(inner.size(1), device=inner.device),
                    past_key_values=cache,
                    use_cache=True,
                ).last_hidden_state
                hidden = torch.cat([hidden, rest], dim=1)  # (B, C', H)
            head = self._causal_lm.get_output_embeddings()
            scored = mask[:, : completions.size(1)]
            softcap = getattr(
                self._causal_lm.config.get_text_config(), "final_logit_softcapping", None
            )
            logp, entropy = token_logprobs(
                hidden[scored],
                head.weight,
                head.bias,
                completions[scored],
                temperature=self.temperature,
                softcap=softcap,
            )
        full = torch.zeros_like(mask, dtype=torch.float32)
        return full.masked_scatter(mask, logp), full.masked_scatter(mask, entropy)
