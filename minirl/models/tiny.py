"""The tiny model of the tests: a million weights and a character tokenizer, made from a seed.

It is cold-started while it is made: a few seconds of supervised learning on gold answers of the
train split of ``arithmetic`` with :data:`OPTIONS` (a three-digit number plus 0), until it gives
the right answer three times in ten, so that there is something to sharpen. The special
tokens have the ids that SmolLM2 gives them, so that code which confuses end-of-turn with padding
fails here too.
"""

from __future__ import annotations

import string
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minirl.models.chat import ChatCodec
from minirl.models.convert import quiet_transformers
from minirl.types import Message

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>")
PAD_ID, START_ID, END_ID, UNK_ID = range(4)
CHARACTERS = "\n" + string.printable[:95]
MAX_LENGTH = 1024

OPTIONS: dict[str, Any] = {"left": (100, 999), "right": (0, 0), "worked_example": False}
BATCH = 16
LEARNING_RATE = 1e-3
WINDOW = 4  # batches whose mean P(answer) is compared with the goal
MOST_STEPS = 300

Example = tuple[tuple[Message, ...], str]  # the opening messages, and what to answer

# ChatML without a default system prompt: at one token a character, every word of it would cost.
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_tiny(path: Path, seed: int = 0) -> None:
    """Write the tiny model and its tokenizer into ``path``: the same seed gives the same bytes.

    Args:
        path: a directory; made where it is missing.
        seed: of the weights and of the choice of examples.
    """
    from minirl.envs import make_env

    env = make_env("arithmetic", OPTIONS)
    size = env.size("train") or 1

    def example(i: int) -> Example:
        task = env.task("train", i % size)
        return task.prompt, f"Answer: {task.data['answer']}"

    make_model(path, example, goal=0.3, seed=seed, most_steps=MOST_STEPS)


def make_model(
    path: Path,
    example: Callable[[int], Example],
    *,
    goal: float,
    seed: int,
    most_steps: int,
) -> float:
    """Write a tiny model that was cold-started on examples until P(answer) reached ``goal``.

    Args:
        path: a directory; made where it is missing.
        example: a pure function of a number below 2^31.
        goal: the mean probability of the whole answer, end of turn included, to stop at.
        seed: of the weights and of the choice of examples. torch's random state is left as it was.
        most_steps: where to stop all the same.

    Returns:
        The P(answer) that it reached.
    """
    from minirl.models.repeatable import repeatable

    path.mkdir(parents=True, exist_ok=True)
    with quiet_transformers():
        tokenizer = _tokenizer()
        model = _model(seed)
        with repeatable(model.device):
            reached = _cold_start(model, tokenizer, example, goal, seed, most_steps)
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)
    return reached


def _tokenizer() -> Any:
    from tokenizers import AddedToken, Regex, Tokenizer
    from tokenizers.decoders import Fuse
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate((*SPECIAL, *CHARACTERS))}
    backend = Tokenizer(WordLevel(vocabulary, unk_token=SPECIAL[UNK_ID]))
    backend.pre_tokenizer = Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = Fuse()  # without it, decoding would put a space between characters
    backend.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=SPECIAL[START_ID],
        eos_token=SPECIAL[END_ID],
        pad_token=SPECIAL[PAD_ID],
        unk_token=SPECIAL[UNK_ID],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=MAX_LENGTH,
        padding_side="left",
    )


def _model(seed: int) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(SPECIAL) + len(CHARACTERS),
        hidden_size=192,
        intermediate_size=640,
        num_hidden_layers=2,  # wide and shallow: at this size, time goes by layers
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=MAX_LENGTH,
        initializer_range=0.08,  # with the usual 0.02, p = 0.3 takes twice the steps
        tie_word_embeddings=True,
        bos_token_id=START_ID,
        eos_token_id=END_ID,
        pad_token_id=PAD_ID,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()


def _cold_start(
    model: Any,
    tokenizer: Any,
    example: Callable[[int], Example],
    goal: float,
    seed: int,
    most_steps: int,
) -> float:
    """AdamW on all weights, cross-entropy on the answers, until fresh batches reach the goal."""
    import torch
    from torch.nn.functional import cross_entropy
    from torch.nn.utils.rnn import pad_sequence

    codec = ChatCodec(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    generator = torch.Generator().manual_seed(seed)
    recent: deque[float] = deque(maxlen=WINDOW)
    model.train()
    for _ in range(most_steps):
        picks = torch.randint(2**31 - 1, (BATCH,), generator=generator).tolist()
        rows, labels = [], []
        for messages, text in map(example, picks):
            prompt = codec.encode_open(messages)
            answer = [*tokenizer(text)["input_ids"], END_ID]
            rows.append(torch.tensor([*prompt, *answer]))
            labels.append(torch.tensor([-100] * len(prompt) + answer))
        ids = pad_sequence(rows, batch_first=True, padding_value=PAD_ID)  # (B, T)
        target = pad_sequence(labels, batch_first=True, padding_value=-100)[:, 1:]
        logits = model(input_ids=ids).logits[:, :-1]
        nll = cross_entropy(logits.transpose(1, 2), target, reduction="none")  # (B, T - 1)
        recent.append(float(nll.detach().sum(1).neg().exp().mean()))
        if sum(recent) / WINDOW >= goal:
            break
        optimizer.zero_grad()
        (nll.sum() / (target >= 0).sum()).backward()
        optimizer.step()
    model.eval()
    return sum(recent) / WINDOW
