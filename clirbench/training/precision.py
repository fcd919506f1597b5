"""Which numbers a transformer computes with in training: float32 or bfloat16."""

import os
import time
from typing import Any

import torch

from clirbench.support.progress import Reporter
from clirbench.training.base_model import tokenise_with
from clirbench.training.recipe import OptimizerPart

# bfloat16 must be so many times as fast, or its smaller precision is not worth it.
_WORTH = 1.1
_TEXTS, _TOKENS, _ROUNDS = 16, 32, 3


def choose_precision(model: Any, part: OptimizerPart, reporter: Reporter) -> str:
    """``float32`` or ``bfloat16``: what the recipe says; for ``auto``, what is faster on this machine.

    A GPU takes bfloat16 where it has it. A processor is measured: the same small step with either. It takes float32 where several
    processes train, because each would measure for itself, and for a model that reads more than tokens.
    """
    if part.precision != "auto" or part.name != "adamw":
        return "float32" if part.precision == "auto" else part.precision
    if torch.cuda.is_available():
        has = torch.cuda.is_bf16_supported()
        chosen = "bfloat16" if has else "float32"
        reporter.note(f"training computes in {chosen}: the GPU {'has' if has else 'lacks'} bfloat16")
        return chosen
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        reporter.note("training computes in float32: with several processes, bfloat16 is not measured")
        return "float32"
    if tokenise_with(model, "", 1) is None:
        reporter.note("training computes in float32: bfloat16 is not measured for a model that reads more than tokens")
        return "float32"
    seconds = {name: _seconds_of_a_step(model, name) for name in ("float32", "bfloat16")}
    faster = seconds["float32"] / seconds["bfloat16"]
    chosen = "bfloat16" if faster >= _WORTH else "float32"
    reporter.note(
        f"training computes in {chosen}: a small step takes {seconds['float32']:.2f} s in float32, "
        f"{seconds['bfloat16']:.2f} s in bfloat16"
    )
    return chosen


def _seconds_of_a_step(model: Any, precision: str) -> float:
    """The fastest of a few steps forward and backward; gradients are thrown away."""
    vocabulary = len(model.tokenizer)
    ids = torch.arange(_TEXTS * _TOKENS).remainder(vocabulary).reshape(_TEXTS, _TOKENS)
    fastest = float("inf")
    for _ in range(_ROUNDS):
        features = {"input_ids": ids.clone(), "attention_mask": torch.ones_like(ids)}
        begin = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            vectors = model(features)["sentence_embedding"]
        vectors.float().square().sum().backward()
        fastest = min(fastest, time.perf_counter() - begin)
    model.zero_grad(set_to_none=True)
    return fastest
