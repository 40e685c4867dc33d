"""One function from a recipe to TRL's config, with every GRPO field explicit.

Libraries change their defaults, and Unsloth's patched config changes more (learning rate,
optimiser, warm-up, even `mask_truncated_completions` with the loss type), so nothing is left to a
default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from minirl.config import LossType, Recipe

_EPSILON_HIGH: dict[LossType, float] = {"dapo": 0.28, "cispo": 5.0}

# What minirl does not offer, switched off by name.
UNUSED: dict[str, Any] = {
    "model_init_kwargs": None,
    "trust_remote_code": False,
    "router_aux_loss_coef": None,
    "cast_lm_head_to_fp32": False,
    "num_generations_eval": None,
    "ds3_gather_for_generation": True,
    "pad_to_multiple_of": None,
    "min_p": None,
    "generation_kwargs": None,
    "chat_template_kwargs": None,
    "repetition_penalty": 1.0,
    "cache_implementation": None,
    "use_vllm": False,
    "vllm_mode": "colocate",
    "vllm_model_impl": "vllm",
    "vllm_enable_sleep_mode": False,
    "vllm_structured_outputs_regex": None,
    "vllm_server_base_url": None,
    "vllm_server_host": "127.0.0.1",
    "vllm_server_port": 8000,
    "vllm_server_timeout": 240.0,
    "vllm_group_port": 51216,
    "vllm_gpu_memory_utilization": 0.3,
    "vllm_max_model_length": None,
    "vllm_tensor_parallel_size": 1,
    "vllm_importance_sampling_mode": "token_truncate",
    "vllm_importance_sampling_clip_max": 3.0,
    "vllm_importance_sampling_clip_min": None,
    "delta": None,
    "sapo_temperature_neg": 1.05,
    "sapo_temperature_pos": 1.0,
    "vespo_k_pos": 2.0,
    "vespo_lambda_pos": 3.0,
    "vespo_k_neg": 3.0,
    "vespo_lambda_neg": 2.0,
    "reward_weights": None,
    "multi_objective_aggregation": "sum_then_normalize",
    "sync_ref_model": False,
    "ref_model_mixup_alpha": 0.6,
    "ref_model_sync_steps": 512,
    "top_entropy_quantile": 1.0,
    "entropy_coef": 0.0,
    "use_adaptive_entropy": False,
    "entropy_coef_min": 0.0,
    "entropy_coef_max": 1.0,
    "entropy_coef_delta": 0.005,
    "entropy_target": 0.2,
    "max_tool_calling_iterations": None,
    "off_policy_mask_threshold": None,
    "use_bias_correction_kl": True,
    "log_completions": False,
    "log_multimodal": False,
    "num_completions_to_print": None,
    "log_unique_prompts": False,
    "log_completions_hub_repo": None,
    "use_transformers_continuous_batching": False,
    "transformers_continuous_batching_config": None,
}

# Deprecated in TRL 1.15: naming them warns, so a test pins that these alone are left out.
DEPRECATED = {"use_transformers_paged", "vllm_importance_sampling_cap"}


def grpo_settings(
    recipe: Recipe,
    *,
    output_dir: Path,
    device: torch.device,
    dtype: torch.dtype,
    max_turns: int = 1,
    vllm: bool = False,
) -> dict[str, Any]:
    """Keyword arguments for ``trl.GRPOConfig``.

    Args:
        recipe: what the user asked for.
        output_dir: where TRL writes checkpoints (the trainer renames them when they are whole).
        device: cpu or cuda.
        dtype: of the base weights. fp16 needs loss scaling, which only CUDA has.
        max_turns: turns of an episode; the longest completion is ``max_tokens`` times this.
        vllm: the rollouts come from vLLM, whose log-probabilities differ from the trainer's; the
            loss then weights each token by their truncated ratio (truncated importance sampling,
            TRL's default).
    """
    t = recipe.train
    rows = t.prompts_per_step * t.group_size
    micro = t.micro_batch or rows
    return {
        **UNUSED,
        "output_dir": str(output_dir),
        "run_name": output_dir.parent.parent.parent.name,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        # batches: one generation batch per optimiser window
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": rows // micro,
        "steps_per_generation": rows // micro,
        "generation_batch_size": None,
        "num_generations": t.group_size,
        "num_iterations": t.iterations,
        "max_steps": t.steps,
        "shuffle_dataset": False,
        "remove_unused_columns": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": device.type == "cuda",
        # optimiser
        "optim": t.optim,
        "learning_rate": t.learning_rate,
        "lr_scheduler_type": t.schedule,
        "warmup_steps": t.warmup_steps,
        "weight_decay": t.weight_decay,
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "adam_epsilon": 1e-8,
        "max_grad_norm": t.max_grad_norm,
        # loss
        "loss_type": t.loss_type,
        "scale_rewards": t.scale_rewards,
        "beta": t.beta,
        "epsilon": t.epsilon,
        "epsilon_high": t.epsilon_high or _EPSILON_HIGH.get(t.loss_type, t.epsilon),
        "importance_sampling_level": t.importance_sampling_level,
        "mask_truncated_completions": t.mask_truncated,
        "disable_dropout": True,
        # sampling: the engine samples, TRL needs the temperature for the same softmax
        "temperature": recipe.sampling.temperature,
        "top_p": recipe.sampling.top_p,
        "top_k": recipe.sampling.top_k,
        "max_completion_length": recipe.sampling.max_tokens * max_turns,
        "vllm_importance_sampling_correction": vllm,
        # numbers
        "use_cpu": device.type == "cpu",
        "bf16": dtype == torch.bfloat16,  # the adapter stays fp32, and is multiplied in bf16
        "fp16": device.type == "cuda" and dtype == torch.float16,
        "gradient_checkpointing": t.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False}
        if t.gradient_checkpointing
        else None,
        # logs and checkpoints
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "include_num_input_tokens_seen": "no",
        "disable_tqdm": True,
        "report_to": list(t.report_to) or "none",
        "save_strategy": "steps",
        "save_steps": t.save_every,
        "save_total_limit": None,
        "save_only_model": False,
        "push_to_hub": False,
        "eval_strategy": "no",
    }


def grpo_config(settings: dict[str, Any]) -> Any:
    """``trl.GRPOConfig`` that holds what was asked for, under Unsloth too.

    Unsloth's takes the same fields and overrides one that was given: `dr_grpo` forces
    ``scale_rewards`` to "none". `tests/cuda` compares every field for every loss.
    """
    from trl import GRPOConfig

    config = GRPOConfig(**settings)
    config.scale_rewards = settings["scale_rewards"]
    if config.n_gpu > 1:  # transformers would split each batch among all cards (DataParallel)
        config._n_gpu = 1
    return config
