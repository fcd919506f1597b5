"""clirbench.evaluate against mteb.evaluate: same data, same static encoder, one process each."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
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
    from clirbench.support.memory import peak_memory

    seconds, texts, scores = {"clirbench": run_clirbench, "mteb": run_mteb}[contender](folder, languages)
    peak = peak_memory() / 2**20
    print("RESULT " + json.dumps({"seconds": seconds, "texts": texts, "peak_mib": peak, "scores": scores}))


def forget(folder):
    """Let the kernel forget what it keeps in memory of the installed packages and of clirbench, as after an installation."""
    import clirbench

    for place in (sysconfig.get_paths()["purelib"], Path(clirbench.__file__).parent, folder):
        for file in Path(place).rglob("*"):
            if file.is_file() and not file.is_symlink():
                with file.open("rb") as opened:
                    os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run(contender, folder, languages, **variables):
    """One contender in a fresh process."""
    command = [sys.executable, __file__, "--child", contender, str(folder), ",".join(languages)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", **variables}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    lines = [line for line in ran.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        sys.exit(ran.stderr)
    return json.loads(lines[0].removeprefix("RESULT "))


def compare(full, rounds=3, theirs=None):
    """Both contenders by turns, each in a fresh process; ``theirs`` stands in for mteb's seconds, and mteb does not run."""
    languages = ["ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh"] if full else ["en", "ru", "zh"]
    found = {"clirbench": [], "mteb": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        build_model(folder)
        if hasattr(os, "posix_fadvise"):
            forget(folder)
        # Without any byte code, which a first run after an installation has to make.
        found["first"] = run("clirbench", folder, languages, PYTHONPYCACHEPREFIX=str(Path(temporary) / "byte code"))
        for _ in range(rounds):
            for contender in ("clirbench", "mteb"):
                if contender == "clirbench" or theirs is None:
                    found[contender].append(run(contender, folder, languages))
    if theirs is None:
        ours, other = (found[contender][0]["scores"] for contender in ("clirbench", "mteb"))
        assert ours.keys() == other.keys()
        found["largest_difference"] = max(abs(ours[key] - other[key]) for key in ours)
    else:
        found["mteb"] = [{"seconds": theirs}]
    found["languages"] = len(languages)
    return found


def table(found):
    """Markdown rows."""
    ours, theirs = found["clirbench"], found["mteb"]
    n = found["languages"]
    title = f"XQuAD-R, {n} languages: {n * n} pairs and the pool"

    def seconds(runs):
        return statistics.median(one["seconds"] for one in runs), min(one["seconds"] for one in runs)

    (mine, least), (other, other_least) = seconds(ours), seconds(theirs)
    first = found["first"]["seconds"]
    rows = "\n".join(
        [
            f"| {title} | clirbench | mteb | ratio |",
            "|---|---|---|---|",
            f"| seconds, median (least) of {len(ours)} and {len(theirs)} runs | {mine:.1f} ({least:.1f}) "
            f"| {other:.1f} ({other_least:.1f}) | {other / mine:.0f} x faster |",
            f"| seconds of the first run after an installation | {first:.1f} | | {other / first:.0f} x faster |",
        ]
    )
    # A stand-in for mteb is seconds and nothing else.
    if "peak_mib" not in theirs[0]:
        return rows
    peak, other_peak = (max(one["peak_mib"] for one in runs) for runs in (ours, theirs))
    texts, other_texts = ours[0]["texts"], theirs[0]["texts"]
    return "\n".join(
        [
            rows,
            f"| peak memory, MiB | {peak:,.0f} | {other_peak:,.0f} | {peak / other_peak:.2f} of it |",
            f"| texts encoded | {texts:,} | {other_texts:,} | {other_texts / texts:.1f} x fewer |",
            f"| largest difference of nDCG@10 | | | {found['largest_difference']:.1e} |",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="all eleven languages")
    parser.add_argument(
        "--rounds", type=int, default=3, help="runs of each contender (a run of mteb takes four minutes)"
    )
    parser.add_argument(
        "--theirs", type=float, metavar="SECONDS", help="mteb's seconds in an earlier run, in its place"
    )
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child[0], arguments.child[1], arguments.child[2].split(","))
    else:
        print(table(compare(arguments.full, arguments.rounds, arguments.theirs)))
