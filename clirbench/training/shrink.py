"""A smaller transformer to train: fewer pieces in its vocabulary, fewer layers.

No kept library does this for transformers 5: vocabtrimmer, hf-trim and TextPruner rank pieces over one pile of texts (so that a
language with few texts loses its pieces), and each knows a few classes of slow tokenizers. Here ``tokenizer.json`` is edited.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, pre_tokenizers
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from clirbench.support.errors import ClirbenchError

_CHUNK = 2_000
# Pieces are counted in this many texts of a language, evenly spaced, and coverage is measured on this many.
_COUNTED, _COMPARED = 20_000, 5_000


@dataclass(frozen=True)
class Kept:
    """What :func:`keep_pieces` did.

    Attributes:
        before: Number of pieces of the tokenizer before, added tokens included.
        after: Number of pieces after.
        coverage: By language, the share of the texts' tokens that the smaller tokenizer also has at the same place, 0 to 1.
    """

    before: int
    after: int
    coverage: dict[str, float]


def keep_pieces(model: SentenceTransformer, texts: Mapping[str, Sequence[str]], size: int) -> Kept:
    """Reduce the vocabulary of a model's transformer, in place, to the ``size`` pieces that the texts use most.

    Every language has the same weight. Always kept are special and added tokens, the pieces of the model's prompts, and the
    pieces of single characters (or bytes) that the texts use, so that no text gets an unknown token that it lacked before. A
    piece that BPE merges from others is kept with all of them. The vector of a text whose tokens stay is the same.
    The model is left as it is if it has no more than ``size`` pieces.

    Args:
        model: A model whose first module is a transformer with a fast tokenizer of the kind unigram, BPE or WordPiece.
        texts: Texts by language.
        size: Number of pieces to keep, added tokens included.

    Raises:
        ClirbenchError: The tokenizer is of another kind, or more than ``size`` pieces must be kept.
    """
    tokenizer, body = _fast_tokenizer(model), _transformer(model)
    whole = _Vocabulary(tokenizer.backend_tokenizer)
    if size >= len(whole.pieces):
        return Kept(len(whole.pieces), len(whole.pieces), {language: 1.0 for language, rows in texts.items() if rows})
    usage = whole.usage({language: _spaced(rows, _COUNTED) for language, rows in texts.items()})
    characters = set[str]().union(*chain.from_iterable(texts.values()))
    required = {
        *whole.always(),
        *tokenizer.all_special_ids,
        *whole.smallest(np.flatnonzero(usage).tolist(), characters),
    }
    for prompt in model.prompts.values():
        required |= whole.closed(whole.encode([prompt])[0].ids)
    if len(required) > size:
        raise ClirbenchError(
            f"'vocabulary' is {size:,}, but {len(required):,} pieces must be kept (special tokens, and every character "
            "of the texts): correct it"
        )
    order = whole.ordered(whole.most_used(usage, required, size), tokenizer.pad_token_id)
    state = whole.reduced(order)
    smaller = _Vocabulary(Tokenizer.from_str(json.dumps(state)))
    model[0].processor = _reloaded(tokenizer, state, smaller.pieces)
    _keep_rows(body, order)
    return Kept(len(whole.pieces), len(order), _coverage(whole, smaller, np.array(order), texts))


def keep_layers(model: SentenceTransformer, layers: int) -> list[int]:
    """Keep ``layers`` layers of a model's transformer, in place: evenly spaced ones, the last always among them.

    The transformer's layers are its one list of ``config.num_hidden_layers`` modules of the same shape, as in BERT, XLM-R and
    DistilBERT.

    Returns:
        The numbers of the layers that are kept, from 0.

    Raises:
        ClirbenchError: The transformer has fewer layers, or is not built like that.
    """
    body = _transformer(model)
    before = body.config.num_hidden_layers
    if not 1 <= layers <= before:
        raise ClirbenchError(f"'layers' is {layers:,}, but the base model has {before:,}: correct it")
    stacks = [m for m in body.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == before]
    shapes = [{name: part.shape for name, part in layer.state_dict().items()} for layer in stacks[0]] if stacks else []
    if len(stacks) != 1 or any(shape != shapes[0] for shape in shapes):
        raise ClirbenchError(
            f"'layers' cannot be used: {type(body).__name__} is not one list of {before:,} like layers: leave it out"
        )
    kept = [(number + 1) * before // layers - 1 for number in range(layers)]
    modules = [stacks[0][number] for number in kept]
    del stacks[0][layers:]
    for place, module in enumerate(modules):
        stacks[0][place] = module
    body.config.num_hidden_layers = layers
    # Some transformers state the kind of each layer, such as ModernBERT.
    if kinds := getattr(body.config, "layer_types", None):
        body.config.layer_types = [kinds[number] for number in kept]
    return kept


def _transformer(model: SentenceTransformer) -> PreTrainedModel:
    body = getattr(model[0], "model", None)
    if not isinstance(body, PreTrainedModel):
        raise ClirbenchError(
            "the first module of the base model is not a transformer: leave 'vocabulary' and 'layers' out of the recipe"
        )
    return body


def _fast_tokenizer(model: SentenceTransformer) -> Any:
    tokenizer = getattr(model[0], "processor", None)
    if not isinstance(tokenizer, PreTrainedTokenizerBase) or not tokenizer.is_fast:
        raise ClirbenchError(
            f"'vocabulary' needs a fast tokenizer of transformers, but the base model has a {type(tokenizer).__name__}: "
            "leave it out"
        )
    return tokenizer


class _Vocabulary:
    """The pieces of a tokenizer, and which of them need which others.

    Attributes:
        pieces: By identifier, each piece and added token.
    """

    def __init__(self, backend: Tokenizer) -> None:
        self._state: dict[str, Any] = json.loads(backend.to_str())
        model = self._state["model"]
        kinds: dict[str, Callable[[str], Sequence[str]]] = {
            "Unigram": list,
            "BPE": self._bpe_letters,
            "WordPiece": self._wordpiece_letters,
        }
        if model["type"] not in kinds:
            raise ClirbenchError(
                f"'vocabulary' needs a tokenizer of the kind {', '.join(kinds)}, but the base model's is {model['type']}: "
                "leave it out"
            )
        self._letters = kinds[model["type"]]
        vocabulary = model["vocab"]
        if isinstance(vocabulary, list):
            vocabulary = {piece: number for number, (piece, _) in enumerate(vocabulary)}
        self._in_model = frozenset(vocabulary.values())
        self._ids: dict[str, int] = vocabulary | {
            added["content"]: added["id"] for added in self._state["added_tokens"]
        }
        self.pieces = {number: piece for piece, number in sorted(self._ids.items(), key=lambda item: item[1])}
        self._ranks = {_pair(merge): rank for rank, merge in enumerate(model.get("merges", ()))}
        self._backend = Tokenizer.from_str(backend.to_str())
        self._backend.no_truncation()
        self._backend.no_padding()
        self._parts = cache(self._merged_parts)

    def encode(self, texts: Sequence[str], *, places: bool = False) -> list[Any]:
        """Encode texts without special tokens; with their places in the text if wanted."""
        encode = self._backend.encode_batch if places else self._backend.encode_batch_fast
        return list(encode(list(texts), add_special_tokens=False))

    def usage(self, texts: Mapping[str, Sequence[str]]) -> NDArray[np.float64]:
        """By identifier, the piece's share of a language's tokens, added up over languages."""
        total = np.zeros(max(self.pieces) + 1)
        for rows in texts.values():
            counts = np.zeros(len(total))
            for start in range(0, len(rows), _CHUNK):
                ids = chain.from_iterable(encoding.ids for encoding in self.encode(rows[start : start + _CHUNK]))
                counts += np.bincount(np.fromiter(ids, dtype=np.int64), minlength=len(total))
            total += counts / max(counts.sum(), 1)
        return total

    def always(self) -> set[int]:
        """Identifiers of the unknown piece, of added tokens, and of bytes where a text is taken as bytes."""
        model = self._state["model"]
        unknown = model.get("unk_token") if model.get("unk_id") is None else self.pieces[model["unk_id"]]
        names = [unknown, *(added["content"] for added in self._state["added_tokens"])]
        if model.get("byte_fallback"):
            names += [f"<0x{byte:02X}>" for byte in range(256)]
        if '"ByteLevel"' in json.dumps([self._state["normalizer"], self._state["pre_tokenizer"]]):
            names += pre_tokenizers.ByteLevel.alphabet()
        return {self._ids[name] for name in names if name in self._ids}

    def smallest(self, used: Sequence[int], characters: set[str]) -> set[int]:
        """The pieces of single characters, and used pieces with a character that is no piece."""
        letters: set[int] = set()
        # Doubled, a character stands both at the start of a word and after it.
        alone = chain.from_iterable(encoding.ids for encoding in self.encode([2 * x for x in sorted(characters)]))
        for number in {*used, *alone}:
            own = [self._ids.get(letter) for letter in self._letters(self.pieces[number])]
            letters.update(self.closed([number]) if None in own else (x for x in own if x is not None))
        return letters

    def closed(self, numbers: Sequence[int]) -> set[int]:
        """Pieces with all pieces that they are merged from."""
        return {*numbers, *chain.from_iterable(self._parts(number) for number in numbers)}

    def most_used(self, usage: NDArray[np.float64], required: set[int], size: int) -> set[int]:
        """``required``, and the pieces of the largest usage, each with its parts, up to ``size`` pieces."""
        # A piece is used wherever a piece that needs it is used.
        needed = usage.copy()
        for number in np.flatnonzero(usage).tolist():
            needed[list(self._parts(number))] += usage[number]
        kept = set(required)
        for number in np.argsort(-needed, kind="stable").tolist():
            if len(kept) == size:
                break
            if number in self.pieces and len(kept) + len(more := self.closed([number]) - kept) <= size:
                kept |= more
        return kept

    def ordered(self, kept: set[int], pad: int | None) -> list[int]:
        """Identifiers of kept pieces in the order of their new ones: first the model's pieces, then added tokens beyond them."""
        pieces = sorted(kept & self._in_model)
        # The padding token keeps its number where it can, because RoBERTa and XLM-R count positions from it.
        if pad in pieces:
            pieces.remove(pad)
            pieces.insert(pad, pad)
        return pieces + sorted(kept - self._in_model)

    def reduced(self, order: Sequence[int]) -> dict[str, Any]:
        """The tokenizer's state with the pieces of ``order`` alone; their new identifiers are their places in it."""
        state: dict[str, Any] = json.loads(json.dumps(self._state))
        new = {old: place for place, old in enumerate(order)}
        names = {self.pieces[old]: place for old, place in new.items()}
        model = state["model"]
        if isinstance(model["vocab"], list):
            model["vocab"] = [self._state["model"]["vocab"][old] for old in order if old in self._in_model]
            model["unk_id"] = new.get(model["unk_id"])
        else:
            model["vocab"] = {piece: new[old] for piece, old in model["vocab"].items() if old in new}
        if "merges" in model:
            model["merges"] = [
                list(pair) for pair in self._ranks if {*pair, self._joined(*pair)} <= model["vocab"].keys()
            ]
        for added in state["added_tokens"]:
            added["id"] = new[added["id"]]
        state["added_tokens"].sort(key=lambda added: added["id"])
        if state["padding"]:
            state["padding"]["pad_id"] = names[state["padding"]["pad_token"]]
        _renumber(state["post_processor"], names)
        return state

    def _wordpiece_letters(self, piece: str) -> list[str]:
        prefix = self._state["model"]["continuing_subword_prefix"]
        inside = piece.removeprefix(prefix)
        letters = [prefix + letter for letter in inside]
        return letters if piece.startswith(prefix) and inside else [piece[:1], *(prefix + x for x in piece[1:])]

    def _bpe_letters(self, piece: str) -> list[str]:
        """The symbols that BPE begins with: characters, marked inside and at the end of a word where the model does so."""
        prefix = self._state["model"]["continuing_subword_prefix"] or ""
        suffix = self._state["model"]["end_of_word_suffix"] or ""
        inside = bool(prefix) and piece.startswith(prefix)
        text = piece.removeprefix(prefix).removesuffix(suffix)
        letters = [(prefix if place or inside else "") + letter for place, letter in enumerate(text)]
        if letters and suffix and piece.endswith(suffix):
            letters[-1] += suffix
        return letters

    def _joined(self, left: str, right: str) -> str:
        return left + right.removeprefix(self._state["model"]["continuing_subword_prefix"] or "")

    def _merged_parts(self, number: int) -> frozenset[int]:
        """The pieces from which BPE merges this piece, from single characters on."""
        piece = self.pieces[number]
        if not self._ranks or number not in self._in_model:
            return frozenset()
        symbols, parts = self._bpe_letters(piece), set[str]()
        while len(symbols) > 1:
            parts.update(symbols)
            pairs = list(pairwise(symbols))
            best = min(range(len(pairs)), key=lambda place: self._ranks.get(pairs[place], len(self._ranks)))
            if pairs[best] not in self._ranks:
                # No merges lead to this piece: a special token, or a word that is looked up whole.
                return frozenset()
            symbols[best : best + 2] = [self._joined(*pairs[best])]
        return frozenset(self._ids[part] for part in parts if part in self._ids)


def _spaced(rows: Sequence[str], most: int) -> Sequence[str]:
    """At most so many of the texts, evenly spaced."""
    return rows[:: -(-len(rows) // most) or 1]


def _pair(merge: str | list[str]) -> tuple[str, str]:
    """A merge as older files write it ("a b"), or newer ones (["a", "b"])."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _renumber(part: Any, names: Mapping[str, int]) -> None:
    """Give the special tokens of a post-processor their new identifiers: templates, and pairs of a token with its number."""
    if isinstance(part, dict):
        if isinstance(part.get("ids"), list) and isinstance(part.get("tokens"), list):
            part["ids"] = [names[token] for token in part["tokens"]]
        for key, value in part.items():
            if key in ("sep", "cls") and isinstance(value, list):
                part[key] = [value[0], names[value[0]]]
            _renumber(value, names)
    elif isinstance(part, list):
        for value in part:
            _renumber(value, names)


def _reloaded(tokenizer: Any, state: Mapping[str, Any], pieces: Mapping[int, str]) -> Any:
    """The tokenizer as it is when a model with this state is loaded again.

    Raises:
        ClirbenchError: The tokenizer's class makes another vocabulary of it.
    """
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        for path in Path(folder).iterdir():
            # Other files hold the old vocabulary again.
            if path.name not in ("tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"):
                path.unlink()
        (Path(folder) / "tokenizer.json").write_text(json.dumps(state, ensure_ascii=False), encoding="utf-8")
        config = Path(folder) / "tokenizer_config.json"
        settings = json.loads(config.read_text(encoding="utf-8"))
        settings.pop("added_tokens_decoder", None)
        config.write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")
        smaller = type(tokenizer).from_pretrained(folder)
    if smaller.get_vocab() != {piece: number for number, piece in pieces.items()}:
        raise ClirbenchError(
            f"'vocabulary' cannot be used: a {type(tokenizer).__name__} does not take a smaller vocabulary: leave it out"
        )
    return smaller


def _keep_rows(body: Any, order: Sequence[int]) -> None:
    """Keep the rows of the embedding matrix in this order, and let the config's identifiers follow."""
    new = {old: place for place, old in enumerate(order)}
    embedding, config = body.get_input_embeddings(), body.config
    rows = embedding.weight.detach()[list(order)].clone()
    embedding.weight = torch.nn.Parameter(rows, requires_grad=embedding.weight.requires_grad)
    embedding.num_embeddings, config.vocab_size = len(order), len(order)
    embedding.padding_idx = new.get(embedding.padding_idx)
    for key, value in config.to_dict().items():
        if key.endswith("_token_id"):
            setattr(config, key, [new[x] for x in value if x in new] if isinstance(value, list) else new.get(value))


def _coverage(
    whole: _Vocabulary, smaller: _Vocabulary, order: NDArray[np.int64], texts: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """See :attr:`Kept.coverage`; a language without any token is left out."""
    shares = {}
    for language, rows in texts.items():
        compared = _spaced(rows, _COMPARED)
        counts = Counter[str]()
        for old, new in zip(_tokens(whole, compared, None), _tokens(smaller, compared, order), strict=True):
            counts.update(before=len(old), same=len(old & new))
        if counts["before"]:
            shares[language] = counts["same"] / counts["before"]
    return shares


def _tokens(
    vocabulary: _Vocabulary, texts: Sequence[str], order: NDArray[np.int64] | None
) -> Iterator[set[tuple[int, tuple[int, int]]]]:
    """Of each text, its tokens, each an identifier of the whole vocabulary with its place in the text."""
    for start in range(0, len(texts), _CHUNK):
        for encoding in vocabulary.encode(texts[start : start + _CHUNK], places=True):
            ids = encoding.ids if order is None else order[encoding.ids].tolist()
            yield set(zip(ids, encoding.offsets, strict=True))
