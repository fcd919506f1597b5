"""How many tokens of a text a model of sentence-transformers reads, for each role, and how many tokens the texts have."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from clirbench.support.errors import ClirbenchError, first_line

# sentence-transformers calls candidates documents.
_TASK = {"query": "query", "candidate": "document"}
# Longer than any model reads. Tokenizers write "no limit" as a larger number.
_LONGEST = 1_000_000
_TEXTS = 1024


class TokenCounts(NamedTuple):
    """How many tokens each of some texts has, and how many of them are the unknown token, which stands for pieces of no entry."""

    tokens: list[int]
    unknown: list[int]

    @classmethod
    def of(cls, ids: Iterable[Sequence[int]], unknown: int | None) -> "TokenCounts":
        """Count the tokens of each list of ids; ``unknown`` is the id of the unknown token, None without one."""
        counts = [(len(one), one.count(unknown) if unknown is not None else 0) for one in ids]
        return cls([tokens for tokens, _ in counts], [unknown for _, unknown in counts])


@dataclass(frozen=True)
class Reader:
    """How a model reads the texts of one role.

    ``module`` is the module that turns texts into tokens. ``limit`` is the number of tokens that it reads, None for all.
    ``positions`` is the number of rows of its position table, None without one.
    """

    role: str
    module: Any
    prompt: str
    limit: int | None
    positions: int | None

    @property
    def too_far(self) -> bool:
        """Whether the model's own settings let it read more tokens than it has positions for, which fails."""
        return self.positions is not None and (self.limit is None or self.limit > self.positions)

    def count(self, texts: Sequence[str]) -> TokenCounts | None:
        """Count the tokens of each text before it is cut, with prompt and special tokens; None where the model does not say."""
        tokenizer: Any = getattr(self.module, "tokenizer", None)
        prompted = [self.prompt + text for text in texts]
        # A chat template adds tokens that only the model's own processor knows.
        if "message" in (getattr(self.module, "modality_config", None) or {}):
            return None
        if hasattr(tokenizer, "encode_batch_fast"):
            cut = tokenizer.truncation
            tokenizer.no_truncation()
            try:
                encodings = tokenizer.encode_batch_fast(prompted, add_special_tokens=False)
                return TokenCounts.of((one.ids for one in encodings), unknown_id(tokenizer))
            finally:
                if cut:
                    tokenizer.enable_truncation(**cut)
        if not callable(tokenizer):
            return None
        special = type(self.module).__name__ != "SparseStaticEmbedding"
        ids: list[list[int]] = []
        for start in range(0, len(prompted), _TEXTS):
            part = prompted[start : start + _TEXTS]
            # A call of its own resets the truncation that an earlier call has set; verbose warns of every long text.
            tokens = tokenizer(
                part, add_special_tokens=special, truncation=False, return_attention_mask=False, verbose=False
            )
            ids += tokens["input_ids"]
        return TokenCounts.of(ids, getattr(tokenizer, "unk_token_id", None))


def unknown_id(tokenizer: Any) -> int | None:
    """The id of the unknown token of a tokenizer of the package tokenizers; None without one."""
    model = json.loads(tokenizer.to_str())["model"]
    token = model.get("unk_token")
    number: int | None = model.get("unk_id") if token is None else tokenizer.token_to_id(token)
    return number


def readers(model: Any, query_prompt: str, candidate_prompt: str) -> dict[str, Reader]:
    """How a model reads queries and candidates, by role. Empty for a model that is none of sentence-transformers."""
    if not hasattr(model, "_modules") or not hasattr(model, "__getitem__"):
        return {}
    prompts = {"query": query_prompt, "candidate": candidate_prompt}
    by_role = {}
    for role, prompt in prompts.items():
        module = _input_module(model, role)
        by_role[role] = Reader(role, module, prompt, _limit(module, role), _positions(module))
    return by_role


def set_length(model: Any, length: int) -> None:
    """Make a model read so many tokens of each query and each candidate.

    Raises:
        ClirbenchError: A part of the model reads whole texts, or cannot read so many or so few tokens.
    """
    for role, task in _TASK.items():
        module = _input_module(model, role)
        if _limit(module, role) == length:
            continue
        setter = getattr(type(module), "max_seq_length", None)
        if (isinstance(setter, property) and setter.fset is None) or not hasattr(module, "max_seq_length"):
            raise ClirbenchError("--max-length does not apply to a static model: leave it out")
        positions = _positions(module)
        if positions is not None and length > positions:
            raise ClirbenchError(f"--max-length is {length}, but the model has {positions} positions: lower it")
        if length > _LONGEST:
            raise ClirbenchError(f"--max-length is {length}: use at most {_LONGEST:,}")
        module.max_seq_length = length
        if hasattr(module.tokenizer, "model_max_length"):
            module.tokenizer.model_max_length = length
        if getattr(module, f"{task}_length", None) is not None:
            setattr(module, f"{task}_length", length)
    for role in _TASK:
        effective = _limit(_input_module(model, role), role)
        if effective != length:
            raise ClirbenchError(
                f"--max-length does not reach this model, which reads {effective} tokens of a {role} by a setting of its own: "
                "leave it out"
            )


def check_lengths(by_role: dict[str, Reader]) -> list[str]:
    """Refuse a length that leaves no token of a text, and note one that the model cannot read.

    Raises:
        ClirbenchError: The prompt and the special tokens of a role are as long as the longest input.
    """
    for role, reader in by_role.items():
        taken = reader.count([""]) if reader.limit is not None else None
        if taken is not None and reader.limit is not None and taken.tokens[0] >= reader.limit:
            what = "the prompt and the special tokens" if reader.prompt else "the special tokens"
            raise ClirbenchError(
                f"a longest input of {reader.limit} tokens leaves no token of a {role}, because {what} take {taken.tokens[0]}: "
                f"pass a larger --max-length"
            )
    limits = {(reader.limit, reader.positions) for reader in by_role.values() if reader.too_far}
    return [
        f"the model's configuration allows {'any length' if limit is None else f'{limit} tokens'}, but the model has {positions} "
        f"positions: a longer text stops the run (--max-length {positions} cuts it)"
        for limit, positions in sorted(limits, key=str)
    ]


@contextmanager
def within_positions(reader: Reader) -> Iterator[None]:
    """Turn what torch says of a text that is longer than the table of positions into a line that helps.

    Raises:
        ClirbenchError: The model has no position for a token of a text.
    """
    try:
        yield
    except (IndexError, RuntimeError) as error:
        if not reader.too_far or type(error).__name__ == "OutOfMemoryError":
            raise
        raise ClirbenchError(
            f"a {reader.role} is longer than the model can read ({first_line(error)}): pass --max-length {reader.positions}, "
            f"because the model has {reader.positions} positions"
        ) from error


def _input_module(model: Any, role: str) -> Any:
    """The module that turns the texts of a role into tokens: the first one, or the first one of a Router's route."""
    module, task = model[0], _TASK[role]
    while hasattr(module, "sub_modules") and hasattr(module, "default_route"):
        mappings = getattr(module, "route_mappings", None) or {}
        route = next(
            (mappings[key] for key in ((task, "text"), (task, None), (None, "text"), (None, None)) if key in mappings),
            None,
        )
        route = route or next(
            (name for name in (task, "text", module.default_route) if name in module.sub_modules), None
        )
        if route is None:
            break
        module = module.sub_modules[route][0]
    return module


def _limit(module: Any, role: str) -> int | None:
    """The number of tokens that a module reads of a text; None for all."""
    tokenizer: Any = getattr(module, "tokenizer", None)
    if hasattr(tokenizer, "encode_batch_fast"):
        return int(tokenizer.truncation["max_length"]) if tokenizer.truncation else None
    limit = getattr(tokenizer, "model_max_length", getattr(module, "max_seq_length", None))
    own = getattr(module, f"{_TASK[role]}_length", None)
    given = (getattr(module, "processing_kwargs", None) or {}).get("text") or {}
    if given.get("truncation") in (False, "do_not_truncate"):
        return None
    expansion = getattr(module, "query_expansion", None) if role == "query" else None
    if expansion and expansion["strategy"] == "fixed":
        limit = expansion["length"]
    elif "max_length" in given:
        limit = given["max_length"]
    elif own is not None:
        limit = max(own, expansion["length"]) if expansion else own
    return limit if isinstance(limit, int) and limit <= _LONGEST else None


def _positions(module: Any) -> int | None:
    """The number of tokens that a model with a table of positions has room for; None without such a table."""
    import torch

    body: Any = getattr(module, "auto_model", None)
    # A model of another backend has no modules.
    for part in body.modules() if hasattr(body, "modules") else ():
        for name in ("position_embeddings", "embed_positions", "wpe"):
            table = getattr(part, name, None)
            if isinstance(table, torch.nn.Embedding):
                # RoBERTa and its kin count positions from the padding token on.
                return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
    return None
