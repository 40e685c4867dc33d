"""Something to talk to: a model in llama.cpp or in this process, a piece of text at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from minirl.errors import ModelError
from minirl.types import Message

if TYPE_CHECKING:
    from minirl.export.llama import LlamaServer
    from minirl.models.load import LoadedModel


class Speaker(Protocol):
    """Answers a conversation; ``say`` gets the answer as it is being written.

    Raises:
        ModelError: the conversation is too long, or the template refuses it.
    """

    def answer(
        self,
        messages: Sequence[Message],
        say: Callable[[str], None],
        *,
        max_tokens: int,
        temperature: float,
        seed: int,
    ) -> None: ...


class LlamaSpeaker:
    """A GGUF file in llama.cpp, through the template that stands in the file."""

    def __init__(self, server: LlamaServer) -> None:
        self.server = server

    def answer(
        self,
        messages: Sequence[Message],
        say: Callable[[str], None],
        *,
        max_tokens: int,
        temperature: float,
        seed: int,
    ) -> None:
        pieces = self.server.chat(
            [m.as_dict() for m in messages],
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
        )
        for piece in pieces:
            say(piece)


class ModelSpeaker:
    """A model of transformers, with its adapter or without it."""

    def __init__(self, loaded: LoadedModel, *, use_adapter: bool) -> None:
        from minirl.models.policy import ModelPolicy
        from minirl.models.sampler import SamplingParams

        self.policy = ModelPolicy.of(loaded, SamplingParams(), batch=1, use_adapter=use_adapter)

    def answer(
        self,
        messages: Sequence[Message],
        say: Callable[[str], None],
        *,
        max_tokens: int,
        temperature: float,
        seed: int,
    ) -> None:
        import torch
        from transformers import GenerationConfig

        from minirl.models.load import stop_ids
        from minirl.models.merge import adapter_off
        from minirl.models.sampler import evaluating

        policy = self.policy
        model, tokenizer = policy.model, policy.codec.tokenizer
        ids = policy.encode_open(messages)
        room = policy.context - len(ids)
        if room < 1:
            raise ModelError(
                "the conversation fills the model's whole context",
                expected=f"fewer than {policy.context} tokens",
                got=f"{len(ids)} tokens",
            )
        drawn = {"temperature": temperature, "top_p": 1.0, "top_k": 0} if temperature > 0 else {}
        config = GenerationConfig(
            max_new_tokens=int(min(max_tokens, room)),
            do_sample=temperature > 0,
            num_beams=1,
            repetition_penalty=1.0,
            eos_token_id=sorted(policy.codec.eos_ids | stop_ids(model)),
            pad_token_id=tokenizer.pad_token_id,
            **drawn,
        )
        prompt = torch.tensor([ids], device=model.device)  # (1, S)
        torch.manual_seed(seed)
        with torch.inference_mode(), evaluating(model), _chosen(policy, adapter_off):
            model.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                generation_config=config,
                streamer=_streamer(tokenizer, say),
            )


def _chosen(policy: Any, adapter_off: Callable[[Any], Any]) -> Any:
    from contextlib import nullcontext

    return nullcontext() if policy.use_adapter else adapter_off(policy.model)


def _streamer(tokenizer: Any, say: Callable[[str], None]) -> Any:
    """Gives ``say`` what ``generate`` writes, as soon as no later token can change it."""
    from transformers import TextStreamer

    class Streamer(TextStreamer):  # type: ignore[misc]  # transformers is not typed
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            if text:
                say(text)

    return Streamer(
        tokenizer,
        skip_prompt=True,
        skip_special_tokens=True,
        clean_up_tokenization_spaces=False,
    )
