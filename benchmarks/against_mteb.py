"""clirbench.evaluate against mteb.evaluate: same data, same static encoder, one process each."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def build_model(folder):
    """A near-free encoder: 256-d static embeddings with random weights over a vocabulary of characters and pairs."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    letters = [chr(c) for c in (*range(33, 0x600), *range(0x600, 0x700), *range(0x900, 0x980), *range(0xE00, 0xE80))]
    letters += [chr(c) for c in range(0x4E00, 0x9FA6)]
    vocabulary = {"[UNK]": 0} | {piece: i + 1 for i, piece in enumerate(letters)}
    vocabulary |= {f"##{piece}": len(vocabulary) + i for i, piece in enumerate(letters)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=1000))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    weights = np.random.default_rng(0).standard_normal((len(vocabulary), 256)).astype(np.float32)
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)]).save(str(folder))


def load_counting(folder):
    """The model, and a list that collects how many texts each batch has."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    counts = []
    original = StaticEmbedding.forward

    def forward(self, features, **kwargs):
        counts.append(len(features["offsets"]))
        return original(self, features, **kwargs)

    StaticEmbedding.forward = forward
    return SentenceTransformer(str(folder), device="cpu"), counts


def run_clirbench(folder, languages):
    import clirbench
    from clirbench.encoders.load import as_loaded
    from clirbench.evaluation.evaluate import evaluate

    model, counts = load_counting(folder)
    loaded = as_loaded(model)
    begin = time.perf_counter()
    document = evaluate(loaded, clirbench.load_task("xquad-r"), languages=languages, allow_zero_vectors=True).document
    seconds = time.perf_counter() - begin
    scores = {f"{a}-{b}": numbers["nDCG@10"] for a, row in document.per_pair.items() for b, numbers in row.items()}
    scores |= {f"{a}-{a}": row["monolingual"]["nDCG@10"] for a, row in document.per_language.items()}
    scores["all"] = document.micro["multilingual"]["nDCG@10"]
    return seconds, sum(counts), scores


def run_mteb(folder, languages):
    import mteb
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    import clirbench
    from clirbench.tasks.collection import load_collection

    subsets = [f"{a}-{b}" for a in languages for b in languages] + ["all"]

    class XQuADR(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="XQuADRPairs",
            description="XQuAD-R as language pairs and as one pool.",
            dataset={"path": "local/xquad-r", "revision": "1"},
            type="Retrieval",
            category="t2t",
            eval_splits=["test"],
            eval_langs={subset: ["eng-Latn"] for subset in subsets},
            main_score="ndcg_at_10",
            bibtex_citation="",
        )

        def load_data(self, num_proc=None, **kwargs):
            collection = load_collection(clirbench.load_task("xquad-r"), languages)
            query_language, candidate_language = collection.query_language, collection.candidate_language
            self.dataset = {}
            for subset in subsets:
                source, _, target = subset.partition("-")
                everything = subset == "all"
                queries = np.flatnonzero(everything | (query_language == _index(languages, source)))
                candidates = np.flatnonzero(everything | (candidate_language == _index(languages, target)))
                inside = np.isin(collection.gold_query, queries) & np.isin(collection.gold_candidate, candidates)
                relevant = {}
                pairs = zip(collection.gold_query[inside], collection.gold_candidate[inside], strict=True)
                for q, c in pairs:
                    relevant.setdefault(f"q{q}", {})[f"c{c}"] = 1
                self.dataset[subset] = {
                    "test": {
                        "corpus": Dataset.from_dict(
                            {
                                "id": [f"c{c}" for c in candidates],
                                "text": [collection.candidates[c] for c in candidates],
                            }
                        ),
                        "queries": Dataset.from_dict(
                            {"id": [f"q{q}" for q in queries], "text": [collection.queries[q] for q in queries]}
                        ),
                        "relevant_docs": relevant,
                        "top_ranked": None,
                    }
                }
            self.data_loaded = True

    model, counts = load_counting(folder)
    begin = time.perf_counter()
    result = mteb.evaluate(model, XQuADR(), cache=None, show_progress_bar=False)
    seconds = time.perf_counter() - begin
    scores = {entry["hf_subset"]: entry["ndcg_at_10"] for entry in result.task_results[0].scores["test"]}
    return seconds, sum(counts), scores


def _index(languages, name):
    return languages.index(name) if name in languages else -1


def child(contender, folder, languages):
    from clirbench.results.build import peak_memory

    seconds, texts, scores = {"clirbench": run_clirbench, "mteb": run_mteb}[contender](folder, languages)
    peak = peak_memory() / 2**20
    print("RESULT " + json.dumps({"seconds": seconds, "texts": texts, "peak_mib": peak, "scores": scores}))


def compare(full):
    """Both contenders, each in a fresh process."""
    languages = ["ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh"] if full else ["en", "ru", "zh"]
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        build_model(folder)
        for contender in ("clirbench", "mteb"):
            command = [sys.executable, __file__, "--child", contender, str(folder), ",".join(languages)]
            environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
            ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
            lines = [line for line in ran.stdout.splitlines() if line.startswith("RESULT ")]
            if not lines:
                sys.exit(ran.stderr)
            found[contender] = json.loads(lines[0].removeprefix("RESULT "))
    ours, theirs = found["clirbench"]["scores"], found["mteb"]["scores"]
    assert ours.keys() == theirs.keys()
    found["largest_difference"] = max(abs(ours[key] - theirs[key]) for key in ours)
    found["languages"] = len(languages)
    return found


def table(found):
    """Markdown rows."""
    ours, theirs = found["clirbench"], found["mteb"]
    n = found["languages"]
    title = f"XQuAD-R, {n} languages: {n * n} pairs and the pool"
    return "\n".join(
        [
            f"| {title} | clirbench | mteb | ratio |",
            "|---|---|---|---|",
            f"| seconds | {ours['seconds']:.1f} | {theirs['seconds']:.1f} | {theirs['seconds'] / ours['seconds']:.0f} x faster |",
            f"| peak memory, MiB | {ours['peak_mib']:,.0f} | {theirs['peak_mib']:,.0f} "
            f"| {ours['peak_mib'] / theirs['peak_mib']:.2f} of it |",
            f"| texts encoded | {ours['texts']:,} | {theirs['texts']:,} | {theirs['texts'] / ours['texts']:.1f} x fewer |",
            f"| largest difference of nDCG@10 | | | {found['largest_difference']:.1e} |",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="all eleven languages")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child[0], arguments.child[1], arguments.child[2].split(","))
    else:
        print(table(compare(arguments.full)))
