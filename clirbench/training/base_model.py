"""The transformer that training starts from, made as a recipe's ``[model]`` says."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import PreTrainedModel

from clirbench.encoders.bundled import BUNDLED
from clirbench.encoders.packed import is_packed, to_sentence_transformer
from clirbench.support.errors import ClirbenchError, first_line
from clirbench.support.progress import Reporter
from clirbench.training.corpus import Corpus
from clirbench.training.recipe import TransformerPart
from clirbench.training.shrink import keep_layers, keep_pieces

_EMBEDDINGS = "embeddings"


def base_model(part: TransformerPart) -> Any:
    """The whole base model: a SentenceTransformer with the recipe's pooling, length and prompts.

    Raises:
        ClirbenchError: The base model cannot be loaded.
    """
    try:
        if part.pooling == "model":
            packed = _packed_folder(part.base)
            model = (
                to_sentence_transformer(packed) if packed else SentenceTransformer(part.base, revision=part.revision)
            )
            model.max_seq_length = part.max_length
        else:
            kinds = ("model_kwargs", "processor_kwargs", "config_kwargs")
            revision = {kind: {"revision": part.revision} for kind in kinds}
            body = Transformer(part.base, max_seq_length=part.max_length, **revision)
            model = SentenceTransformer(modules=[body, Pooling(body.get_embedding_dimension(), part.pooling)])
    # A folder can fail in any way (broken safetensors, a module without a length), and only the user can mend it.
    except Exception as error:
        raise ClirbenchError(
            f"cannot load base model '{part.base}' ({first_line(error)}): correct 'model.base' or --base"
        ) from error
    model.prompts = {"query": part.query_prompt, "document": part.candidate_prompt}
    return model


def _packed_folder(name: str) -> Path | None:
    """The folder of a bundled model, or of a packed model; None for other names."""
    if name in BUNDLED:
        return BUNDLED[name].folder
    return Path(name) if is_packed(name) else None


def shrink(model: Any, part: TransformerPart, corpus: Corpus, reporter: Reporter) -> dict[str, Any]:
    """Take pieces and layers away, in place, as ``vocabulary`` and ``layers`` say. Return what was kept, for the record.

    Raises:
        ClirbenchError: The model has no tokenizer or no layers that can be made smaller.
    """
    kept: dict[str, Any] = {}
    if part.vocabulary is not None:
        texts = {
            language: [corpus.texts[i] for i in corpus.running_texts(number).tolist()]
            for number, language in enumerate(corpus.languages)
        }
        pieces = keep_pieces(model, {language: own for language, own in texts.items() if own}, part.vocabulary)
        kept["pieces"] = {"before": pieces.before, "after": pieces.after, "coverage": pieces.coverage}
        shares = ", ".join(f"{language} {100 * share:.1f}" for language, share in pieces.coverage.items())
        reporter.note(f"kept {pieces.after:,} of {pieces.before:,} pieces; % of tokens that stay the same: {shares}")
    if part.layers is not None:
        keep_layers(model, part.layers)
        kept["layers"] = part.layers
    return kept


def freeze(model: Any, part: TransformerPart) -> None:
    """Keep the parts that ``freeze`` names from training.

    Raises:
        ClirbenchError: The model has no part of that name.
    """
    for name in part.freeze:
        frozen = [weight for key, weight in model.named_parameters() if name in key.split(".")]
        if not frozen:
            raise ClirbenchError(f"'model.freeze' names {name}, but the base model has none: leave it out")
        for weight in frozen:
            weight.requires_grad = False


def save_activations(model: Any, reporter: Reporter) -> None:
    """Let a GPU compute activations a second time instead of keeping them. A processor, which it would only slow, keeps them."""
    if not torch.cuda.is_available():
        reporter.note("gradient_checkpointing is left out: there is no GPU, and a processor would only be slower")
        return
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            module.gradient_checkpointing_enable({"use_reentrant": False})


def tokenise_with(model: Any, prompt: str, length: int) -> Callable[[Sequence[str]], list[list[int]]] | None:
    """A function that tokenises texts with a prompt as the model does, and cuts them to ``length`` tokens.

    It is None if the model reads texts in a way of its own.
    """
    tokenizer: Any = getattr(model, "tokenizer", None)
    if not isinstance(model[0], Transformer) or not getattr(tokenizer, "is_fast", False):
        return None
    if any(getattr(module, "include_prompt", True) is False for module in model):
        return None

    def tokenise(texts: Sequence[str]) -> list[list[int]]:
        whole = [(prompt + text).strip() for text in texts]
        encoded = tokenizer(whole, truncation=True, max_length=length, return_attention_mask=False)
        return encoded["input_ids"]  # type: ignore[no-any-return]

    return tokenise
