"""Fewer pieces and fewer layers of a transformer: on tokenizers trained here, of each kind that is supported."""

import json
from functools import cache, partial

import numpy as np
import pytest
import torch
import toy_training as toy
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tiny_models import static_model, tiny_bert
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AlbertConfig,
    AlbertModel,
    BertConfig,
    BertModel,
    BertTokenizerFast,
    DistilBertConfig,
    DistilBertModel,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3Model,
    RobertaConfig,
    RobertaModel,
    RobertaTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaModel,
    XLMRobertaTokenizerFast,
)

from clirbench.support.errors import ClirbenchError
from clirbench.training import shrink
from clirbench.training.shrink import keep_layers, keep_pieces

SIZES = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WHOLE, SMALLER = 420, 200


def texts(rows=60):
    """English has ten times the text of the others."""
    rng = np.random.default_rng(0)
    return {
        language: [
            toy.sentence(language, rng.integers(0, 120, 6)) for _ in range(10 * rows if language == "en" else rows)
        ]
        for language in toy.LANGUAGES
    }


def every_text():
    return [text for rows in texts().values() for text in rows]


@cache
def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=WHOLE, special_tokens=ROBERTA, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(every_text(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", None, [("<s>", 0), ("</s>", 2)])
    return tokenizer


@cache
def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=ROBERTA, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(every_text(), trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


@cache
def merges():
    """BPE of characters, marked at the end of a word."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=WHOLE, special_tokens=ROBERTA, end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator(every_text(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", None, [("<s>", 0), ("</s>", 2)])
    return tokenizer


@cache
def wordpiece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=WHOLE, special_tokens=BERT, show_progress=False)
    tokenizer.train_from_iterator(every_text(), trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def wrapped(tokenizer):
    names = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "mask_token": "<mask>",
    }
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, cls_token="<s>", sep_token="</s>", **names)


def roberta(tokenizer):
    pairs = [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    return RobertaTokenizerFast(vocab=tokenizer.get_vocab(), merges=pairs)


def xlm_roberta(tokenizer):
    return XLMRobertaTokenizerFast(vocab=[tuple(piece) for piece in json.loads(tokenizer.to_str())["model"]["vocab"]])


def bert(tokenizer):
    return BertTokenizerFast(vocab=tokenizer.get_vocab())


def model_of(folder, tokenizer, config, body):
    torch.manual_seed(0)
    network = body(config(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **SIZES))
    with torch.no_grad():
        # Random weights of the usual size make every text nearly alike.
        for parameter in network.parameters():
            parameter.mul_(8)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    part = Transformer(str(folder), max_seq_length=48)
    return SentenceTransformer(modules=[part, Pooling(16, "mean")], device="cpu")


KINDS = {
    "unigram": lambda: (wrapped(unigram()), XLMRobertaConfig, XLMRobertaModel),
    "xlm-roberta": lambda: (xlm_roberta(unigram()), XLMRobertaConfig, XLMRobertaModel),
    "byte-level": lambda: (wrapped(byte_level()), RobertaConfig, RobertaModel),
    "roberta": lambda: (roberta(byte_level()), RobertaConfig, RobertaModel),
    "merges": lambda: (wrapped(merges()), XLMRobertaConfig, XLMRobertaModel),
    "wordpiece": lambda: (bert(wordpiece()), BertConfig, BertModel),
}


@pytest.fixture(params=KINDS)
def model(request, tmp_path):
    return model_of(tmp_path / "base", *KINDS[request.param]())


@pytest.fixture
def xlm_r(tmp_path):
    return model_of(tmp_path / "base", *KINDS["unigram"]())


def tokens(model, rows):
    return [model.tokenizer.tokenize(row) for row in rows]


def size_of(model):
    return 340 if len(model.tokenizer) > WHOLE else SMALLER


def test_a_smaller_vocabulary_gives_the_same_vectors_where_tokens_are_kept(model, tmp_path):
    rows = every_text()
    before, vectors, whole = tokens(model, rows), model.encode(rows), len(model.tokenizer)
    size = size_of(model)
    kept = keep_pieces(model, texts(), size)
    after = tokens(model, rows)
    same = [number for number, row in enumerate(before) if row == after[number]]
    assert (kept.before, kept.after, len(model.tokenizer)) == (whole, size, size)
    assert 0 < len(same) < len(rows)
    np.testing.assert_allclose(model.encode(rows)[same], vectors[same], atol=1e-4)
    body = model[0].model
    assert body.get_input_embeddings().weight.shape[0] == body.config.vocab_size == size
    assert body.config.pad_token_id == model.tokenizer.pad_token_id
    model.save(str(tmp_path / "saved"))
    loaded = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    assert loaded.tokenizer.get_vocab() == model.tokenizer.get_vocab()
    np.testing.assert_allclose(loaded.encode(rows), model.encode(rows), atol=1e-4)


def test_no_text_gets_a_new_unknown_token(model):
    unknown = model.tokenizer.unk_token
    assert not any(unknown in row for row in tokens(model, every_text()))
    keep_pieces(model, texts(), size_of(model))
    assert not any(unknown in row for row in tokens(model, every_text()))


def test_characters_of_texts_that_are_not_counted_are_kept(monkeypatch, model):
    monkeypatch.setattr(shrink, "_COUNTED", 1)
    keep_pieces(model, texts(), size_of(model))
    assert not any(model.tokenizer.unk_token in row for row in tokens(model, every_text()))


@pytest.mark.parametrize("kind", ["byte-level", "merges"])
def test_every_kept_piece_can_still_be_merged(kind, tmp_path):
    model = model_of(tmp_path / "base", *KINDS[kind]())
    keep_pieces(model, texts(), 340 if kind == "byte-level" else SMALLER)
    specials = set(model.tokenizer.all_special_tokens)
    bpe = model.tokenizer.backend_tokenizer.model
    reached = {
        token.value
        for piece in model.tokenizer.get_vocab()
        if piece not in specials
        for token in bpe.tokenize(piece.removesuffix("</w>"))
    }
    missing = {piece for piece in model.tokenizer.get_vocab() if len(piece) > 1} - reached - specials
    # What does not end a word is reached only inside one.
    assert not {piece for piece in missing if kind == "byte-level" or piece.endswith("</w>")}


def test_more_text_of_one_language_takes_no_piece_from_another(tmp_path):
    vocabularies = []
    for times in (1, 7):
        model = model_of(tmp_path / str(times), *KINDS["unigram"]())
        rows = texts()
        kept = keep_pieces(model, rows | {"en": rows["en"] * times}, SMALLER)
        assert set(kept.coverage) == set(toy.LANGUAGES)
        vocabularies.append(model.tokenizer.get_vocab())
    assert vocabularies[0] == vocabularies[1]


def test_coverage_counts_the_tokens_that_stay(xlm_r):
    rows = texts()
    before = {language: tokens(xlm_r, part) for language, part in rows.items()}
    kept = keep_pieces(xlm_r, rows, SMALLER)
    pieces = xlm_r.tokenizer.get_vocab()
    for language, part in before.items():
        still = [piece in pieces for row in part for piece in row]
        # A piece that is kept may still be cut elsewhere, next to one that is dropped.
        assert kept.coverage[language] <= np.mean(still) < 1


def test_pieces_of_prompts_are_kept(xlm_r):
    rare = max(xlm_r.tokenizer.get_vocab(), key=len)
    xlm_r.prompts = {"query": rare.removeprefix("▁") + " ", "document": ""}
    prompt = xlm_r.tokenizer.tokenize(xlm_r.prompts["query"])
    keep_pieces(xlm_r, {"th": texts()["th"]}, 100)
    assert xlm_r.tokenizer.tokenize(xlm_r.prompts["query"]) == prompt


def test_a_small_vocabulary_stays_as_it_is(xlm_r):
    vocabulary = xlm_r.tokenizer.get_vocab()
    kept = keep_pieces(xlm_r, texts(), 10_000)
    assert (kept.before, kept.after, set(kept.coverage.values())) == (len(vocabulary), len(vocabulary), {1.0})
    assert xlm_r.tokenizer.get_vocab() == vocabulary


def test_special_tokens_beyond_the_model_keep_their_rows(tmp_path):
    tokenizer = wrapped(unigram())
    tokenizer.add_special_tokens({"additional_special_tokens": ["<q>"]})
    model = model_of(tmp_path / "base", tokenizer, XLMRobertaConfig, XLMRobertaModel)
    row = model[0].model.get_input_embeddings().weight[-1].tolist()
    keep_pieces(model, texts(), SMALLER)
    assert model.tokenizer.convert_tokens_to_ids("<q>") == SMALLER - 1
    assert model[0].model.get_input_embeddings().weight[-1].tolist() == row


def test_too_few_pieces(xlm_r):
    with pytest.raises(ClirbenchError, match=r"^'vocabulary' is 20, but \d+ pieces must be kept .*: correct it$"):
        keep_pieces(xlm_r, texts(), 20)


def test_a_tokenizer_of_another_kind(tmp_path):
    part = Transformer(str(tiny_bert(tmp_path, head=False)))
    model = SentenceTransformer(modules=[part, Pooling(16, "mean")], device="cpu")
    with pytest.raises(ClirbenchError, match="Unigram, BPE, WordPiece, but the base model's is WordLevel"):
        keep_pieces(model, texts(), 50)


def test_a_slow_tokenizer(xlm_r):
    class Slow(PreTrainedTokenizerFast):
        is_fast = False

    xlm_r[0].processor = Slow(tokenizer_object=xlm_r.tokenizer.backend_tokenizer)
    with pytest.raises(ClirbenchError, match="needs a fast tokenizer of transformers, but the base model has a Slow"):
        keep_pieces(xlm_r, texts(), 50)


def test_a_model_without_a_transformer(tmp_path):
    model = SentenceTransformer(str(static_model(tmp_path)), device="cpu")
    with pytest.raises(ClirbenchError, match="is not a transformer: leave 'vocabulary' and 'layers' out"):
        keep_layers(model, 1)


@pytest.mark.parametrize(
    ("config", "body"),
    [
        (BertConfig, BertModel),
        (XLMRobertaConfig, XLMRobertaModel),
        (DistilBertConfig, DistilBertModel),
        (partial(Qwen3Config, head_dim=8, num_key_value_heads=2), Qwen3Model),
    ],
)
@pytest.mark.parametrize(("layers", "expected"), [(2, [1, 3]), (3, [0, 1, 3]), (1, [3])])
def test_evenly_spaced_layers_are_kept(config, body, layers, expected, tmp_path):
    model = model_of(tmp_path / "base", wrapped(unigram()), config, body)
    before = {name: value.clone() for name, value in model[0].model.state_dict().items()}
    vectors = model.encode(["bada kugo"])
    assert keep_layers(model, layers) == expected
    after = model[0].model.state_dict()
    assert model[0].model.config.num_hidden_layers == layers
    for new, old in enumerate(expected):
        names = [name for name in after if f".{new}." in name and "layer" in name]
        assert names
        for name in names:
            assert torch.equal(after[name], before[name.replace(f".{new}.", f".{old}.", 1)])
    assert not np.allclose(model.encode(["bada kugo"]), vectors)
    model.save(str(tmp_path / "saved"))
    loaded = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    np.testing.assert_allclose(loaded.encode(["bada kugo"]), model.encode(["bada kugo"]), atol=1e-6)


@pytest.mark.parametrize(("config", "body"), [(AlbertConfig, AlbertModel), (ModernBertConfig, ModernBertModel)])
def test_layers_that_are_shared_or_unlike(config, body, tmp_path):
    model = model_of(tmp_path / "base", wrapped(unigram()), config, body)
    with pytest.raises(ClirbenchError, match=f"{body.__name__} is not one list of 4 like layers: leave it out"):
        keep_layers(model, 2)


def test_more_layers_than_there_are(xlm_r):
    with pytest.raises(ClirbenchError, match=r"^'layers' is 5, but the base model has 4: correct it$"):
        keep_layers(xlm_r, 5)
