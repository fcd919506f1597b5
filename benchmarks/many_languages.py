"""The whole evaluation of a parallel task with many languages: seconds, memory, and the size of what is kept.

    python benchmarks/many_languages.py                           # Belebele's size: 122 languages, 900 topics, 488 passages
    python benchmarks/many_languages.py --languages 20 --topics 90 --passages 49
    python benchmarks/many_languages.py --vectors 384             # random vectors of so many dimensions in the place of a model
    python benchmarks/many_languages.py --compare                 # search among golds against comparison with each, by golds

Passages and questions are invented, by seed: each language has its own words for the same meanings, in one of ten scripts, and
related languages share some. A topic is a question about one passage in every language, so a query has a gold in each.
"""

import argparse
import hashlib
import json
import random
import tempfile
import time
from pathlib import Path

import numpy as np

import clirbench
from clirbench.ranking import in_memory
from clirbench.results.rescore import rescore
from clirbench.support.memory import peak_memory

ALPHABETS = {
    "Latn": "abcdefghijklmnoprstuvwz", "Arab": "ابتثجحخدذرزسشصضطعغفقكلمنهوي", "Cyrl": "абвгдежзиклмнопрстуфхцч",
    "Deva": "कखगघचछजटठडतथदधनपफबभमयरलवस", "Beng": "কখগঘচছজটঠডতথদধনপফবভমযরলস", "Ethi": "ሀለሐመሠረሰሸቀበተቸነአከወዘየደ",
    "Grek": "αβγδεζηθικλμνξοπρστυφχψω", "Hebr": "אבגדהוזחטיכלמנסעפצקרשת", "Thai": "กขคงจฉชซญดตถทธนบปผพฟภมยรลวสห",
    "Mymr": "ကခဂငစဆဇတထဒနပဖဗမယရလဝသ",
}  # fmt: skip
MEANINGS, PASSAGE_WORDS, QUESTION_WORDS = 4000, 70, 12


def codes(number):
    """Codes of languages: three in four in Latin script, as about three in five of Belebele's are, others by turns."""
    scripts = [name for name in ALPHABETS if name != "Latn"]
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [
        f"q{letters[i // 26]}{letters[i % 26]}_{'Latn' if i % 3 else scripts[i // 3 % len(scripts)]}"
        for i in range(number)
    ]


def words(language):
    """The words of a language by meaning. Of ten words, three are those of all languages in its script."""
    script = language[-4:]
    found = []
    for meaning in range(MEANINGS):
        shared = random.Random(f"{script} {meaning}").random() < 0.3
        rng = random.Random(f"{script if shared else language} {meaning} word")
        found.append("".join(rng.choices(ALPHABETS[script], k=rng.randint(3, 8))))
    return found


def write_task(folder, languages, topics, passages):
    """Write a task of one's own into a folder; the path of its TOML file."""
    rng = random.Random(1)
    meanings = [rng.choices(range(MEANINGS), k=PASSAGE_WORDS) for _ in range(passages)]
    of_topic = [i % passages for i in range(topics)]
    asked = [rng.sample(meanings[of_topic[i]], QUESTION_WORDS) for i in range(topics)]
    with (
        (folder / "q.jsonl").open("w", encoding="utf-8") as queries,
        (folder / "c.jsonl").open("w", encoding="utf-8") as candidates,
    ):
        for language in languages:
            word = words(language)
            for i, some in enumerate(asked):
                row = {"topic": f"https://village.example/passages/{of_topic[i]}#{i}", "language": language}
                queries.write(
                    json.dumps(row | {"text": f"{' '.join(word[m] for m in some)} {i}?"}, ensure_ascii=False) + "\n"
                )
            for number, some in enumerate(meanings):
                answers = [f"https://village.example/passages/{number}#{i}" for i in range(number, topics, passages)]
                row = {"language": language, "text": " ".join(word[m] for m in some), "answers": answers}
                candidates.write(json.dumps(row, ensure_ascii=False) + "\n")
    path = folder / "many.toml"
    path.write_text(
        'format = 1\nid = "many"\nname = "Many"\ndescription = "invented"\nlicence = "CC0-1.0"\nreader = "jsonl"\n'
        f'languages = {json.dumps(languages)}\nqueries = "q.jsonl"\ncandidates = "c.jsonl"\n',
        encoding="utf-8",
    )
    return path


class RandomVectors:
    """Vectors that know nothing, so every rank is as likely as any other."""

    def __init__(self, dimensions):
        self.dimensions, self.name = dimensions, f"random-{dimensions}"

    def _encode(self, texts):
        seeds = (int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) for text in texts)
        return np.stack(
            [np.random.default_rng(seed).standard_normal(self.dimensions, dtype=np.float32) for seed in seeds]
        )

    encode_queries = encode_candidates = _encode


def run(options):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        task = write_task(folder, codes(options.languages), options.topics, options.passages)
        model = RandomVectors(options.vectors) if options.vectors else options.model
        begin = time.perf_counter()
        result = clirbench.evaluate(model, str(task), exact_languages=options.exact_languages)
        path = result.save(folder / "results")
        seconds, peak = time.perf_counter() - begin, peak_memory()
        document, pairs = result.document, len(result.ranks)
        del result
        begin = time.perf_counter()
        again = rescore(clirbench.read_result(path))
        scored = time.perf_counter() - begin
        ranks = path.with_name(document.ranks.file).stat().st_size
        shown = " ".join(f"{phase} {value:.0f}" for phase, value in document.cost.seconds.items())
        print(
            f"{options.languages} languages, {options.topics} topics, {options.passages} passages: {pairs:,} gold pairs"
        )
        print(f"{document.model.name}: {document.model.dimensions} dimensions")
        print(f"{seconds:.0f} s in all ({shown}), {(peak or 0) / 2**30:.2f} GiB at most")
        print(f"ranks file: {ranks:,} bytes, {ranks / pairs:.3f} a gold pair; JSON: {path.stat().st_size:,} bytes")
        print(
            f"scored again from the kept ranks in {scored:.0f} s: {len(again.differences)} of {again.compared:,} numbers differ"
        )
        for setting in document.task.settings:
            print(
                f"{setting} {document.main_metric}: {100 * (document.headline[setting][document.main_metric].value or 0):.2f}"
            )


def compare():
    """Seconds of both ways of counting, for queries with more and more golds: one in each of so many languages."""
    topics, dimensions, queries = 100, 128, 512
    rng = np.random.default_rng(0)
    print("golds a query | compare with each, s | search, s | times as fast")
    for languages in (8, 16, 30, 60, 122):
        topic, language = rng.standard_normal((topics, dimensions)), rng.standard_normal((languages, 1, dimensions))
        both = []
        for _ in range(2):
            vectors = 0.5 * topic + 0.7 * language + rng.standard_normal((languages, topics, dimensions))
            vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
            both.append(vectors.reshape(-1, dimensions).astype(np.float32))
        asked = rng.permutation(languages * topics)[:queries]
        gold_query = np.repeat(np.arange(len(asked), dtype=np.int32), languages)
        gold = (np.arange(languages) * topics + (asked % topics)[:, None]).ravel().astype(np.int32)
        pairs = both[0][asked], both[1], gold_query, gold, np.arange(languages + 1) * topics
        seconds, counts = [], []
        for in_memory.MANY_GOLDS in (10**9, 0):
            begin = time.perf_counter()
            counts.append(in_memory.count_outranked(*pairs).wrong)
            seconds.append(time.perf_counter() - begin)
        assert np.array_equal(*counts)
        print(f"{languages} | {seconds[0]:.2f} | {seconds[1]:.2f} | {seconds[0] / seconds[1]:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--languages", type=int, default=122)
    parser.add_argument("--topics", type=int, default=900)
    parser.add_argument("--passages", type=int, default=488)
    parser.add_argument("--model", default="clirbench/hybrid")
    parser.add_argument("--vectors", type=int, default=0, metavar="DIMENSIONS")
    parser.add_argument("--exact-languages", type=int, default=32)
    parser.add_argument("--compare", action="store_true")
    chosen = parser.parse_args()
    compare() if chosen.compare else run(chosen)
