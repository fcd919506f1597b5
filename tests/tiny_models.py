"""Small random models of sentence-transformers: sparse, multi-vector and static as folders, and one to be packed."""

import numpy as np


def tiny_bert(folder, head):
    """A random BERT of two layers with a character tokenizer, as transformers saves one; returns the folder."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForMaskedLM, BertModel, PreTrainedTokenizerFast

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = specials + [chr(c) for c in range(33, 127)] + [chr(c) for c in range(0x3B1, 0x3C9)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("", "isolated")]
    )
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=64,
    )  # fmt: skip
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64,
    )  # fmt: skip
    model = (BertForMaskedLM if head else BertModel)(config)
    with torch.no_grad():
        # Random weights of the usual size make every text nearly alike.
        for parameter in model.parameters():
            parameter.mul_(8)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def sparse_model(folder):
    """A SPLADE-like SparseEncoder with random weights, saved below the folder."""
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import MLMTransformer, SpladePooling

    base = tiny_bert(folder / "mlm", head=True)
    model = SparseEncoder(modules=[MLMTransformer(str(base)), SpladePooling("max")], device="cpu")
    model.save(str(folder / "sparse"))
    return folder / "sparse"


def multi_vector_model(folder):
    """A MultiVectorEncoder with random weights, saved below the folder."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Normalize, Transformer

    base = tiny_bert(folder / "bert", head=False)
    model = MultiVectorEncoder(modules=[Transformer(str(base)), Normalize()], device="cpu")
    model.save(str(folder / "multi"))
    return folder / "multi"


def static_model(folder, dimensions=16, seed=0):
    """A static SentenceTransformer over characters with random weights, saved below the folder."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {"[UNK]": 0} | {chr(c): i + 1 for i, c in enumerate(range(33, 4000))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    weights = np.random.default_rng(seed).standard_normal((len(vocabulary), dimensions)).astype(np.float32)
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu")
    model.save(str(folder / "static"))
    return folder / "static"


def unigram_model(folder, dense=False, length=40, seed=0):
    """A random SentenceTransformer in memory: BERT of two layers x 32 with 64 positions over Unigram pieces, and two prompts."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    letters = [chr(c) for c in (*range(33, 127), *range(0x3B1, 0x3C9), 0x2581)]
    pairs = [a + b for a in "\u2581abcdefgh" for b in "aeiou"]
    # As tokenizers writes them: a float32 with the noise of a conversion behind it.
    scores = -np.random.default_rng(seed).uniform(2, 12, len(letters) + len(pairs)).astype(np.float32).astype(float)
    vocabulary = [(piece, 0.0) for piece in specials] + list(zip(letters + pairs, np.nextafter(scores, 0), strict=True))
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", None, [("<s>", 0), ("</s>", 2)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>",
        cls_token="<s>", sep_token="</s>", model_max_length=length,
    )  # fmt: skip
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, pad_token_id=1,
    )  # fmt: skip
    body = BertModel(config)
    with torch.no_grad():
        for parameter in body.parameters():
            parameter.mul_(8)
    body.save_pretrained(folder)
    fast.save_pretrained(folder)
    modules = [Transformer(str(folder)), Pooling(32, "mean"), *([Dense(32, 64)] if dense else []), Normalize()]
    prompts = {"query": "query: ", "document": "passage: "}
    return SentenceTransformer(modules=modules, prompts=prompts, device="cpu")


def toy_xlmr(folder):
    """A randomly initialised XLM-R of two layers, its tokenizer trained on the toy texts, as a hub folder holds it."""
    import toy_training as toy
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel, set_seed

    texts = [text for row in toy.toy_rows()["parallel"] for text in row["text"].values()]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    ).save_pretrained(folder)
    set_seed(0)
    config = XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=130,
        pad_token_id=1,
    )
    XLMRobertaModel(config).save_pretrained(folder)
    return folder
