"""Small corpora in both of MIRACL's layouts: real topics and judgements, passages written here."""

import gzip
import json
import random
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from clirbench.tasks.corpora.base import judgement_digest
from clirbench.tasks.task_file import load_task

ROOT = Path(__file__).resolve().parent.parent
INVENTED = {
    # Where the real files are not at hand: a query id of either kind, judged passages of both kinds.
    "sw": [
        ("1#0", "Mji mkuu wa Kenya ni upi?", {"10#0": 1, "10#1": 0, "11#3": 1}),
        ("2", "Nani aliandika?", {"7#0": 1}),
    ],
    "yo": [("1#0", "Kini oruko re?", {"10#0": 1, "5#5": 0}), ("12#0", "Odun wo ni?", {"6#1": 1, "6#2": 1, "6#3": 1})],
    "te": [("44", "ఎక్కడ ఉంది?", {"3#1": 1}), ("45", "ఎవరు రాశారు?", {"3#2": 1, "3#0": 0})],
}


def invented(language, queries=None):
    """(query id, text, {passage id: relevance}) of a language, written here."""
    return INVENTED[language][:queries]


def real(folder, language, queries=None):
    """The same from the real files; the first so many queries that are judged."""
    judged = {}
    for line in (folder / "miracl" / "qrels" / f"{language}.tsv").read_text(encoding="utf-8").splitlines():
        query, _, passage, relevance = line.split("\t")
        judged.setdefault(query, {})[passage] = int(relevance)
    lines = (folder / "miracl" / "topics" / f"{language}.tsv").read_text(encoding="utf-8").split("\n")
    rows = [line.split("\t") for line in lines if line]
    return [(query, text, judged[query]) for query, text in rows if query in judged][:queries]


def passages(language, topics, distractors, seed=0):
    """(docid, title, text) of every judged passage, and distractors that nobody judged; in the order of their ids' hashes."""
    rng = random.Random(f"{seed}{language}")
    words = [word for _, text, _ in topics for word in text.split()]
    ids = dict.fromkeys(passage for _, _, judged in topics for passage in judged)
    found = []
    for query, text, judged in topics:
        for passage, relevance in judged.items():
            if passage in ids:
                del ids[passage]
                kept = [word for word in text.split() if rng.random() < (0.8 if relevance else 0.4)]
                found.append((passage, f"{language} {query}", " ".join([*kept, *rng.choices(words, k=6), passage])))
    taken = {passage for passage, _, _ in found}
    for number in range(distractors):
        id_ = f"9{number:06d}#{number % 7}"
        assert id_ not in taken
        found.append((id_, f"{language} {number}" if number % 5 else "", " ".join(rng.choices(words, k=8))))
    rng.shuffle(found)
    return found


def write_original(folder, language, topics, found, per_file=None):
    """miracl-corpus-v1.0-<language>/docs-<n>.jsonl.gz, topics and qrels."""
    corpus = folder / f"miracl-corpus-v1.0-{language}"
    corpus.mkdir(parents=True, exist_ok=True)
    per_file = per_file or len(found)
    for number, start in enumerate(range(0, len(found), per_file)):
        with gzip.open(corpus / f"docs-{number}.jsonl.gz", "wt", encoding="utf-8") as file:
            for id_, title, text in found[start : start + per_file]:
                file.write(json.dumps({"docid": id_, "title": title, "text": text}, ensure_ascii=False) + "\n")
    base = folder / f"miracl-v1.0-{language}"
    for part, lines in (
        ("topics", [f"{query}\t{text}" for query, text, _ in topics]),
        ("qrels", [f"{query}\tQ0\t{passage}\t{r}" for query, _, judged in topics for passage, r in judged.items()]),
    ):
        (base / part).mkdir(parents=True, exist_ok=True)
        path = base / part / f"{part}.miracl-v1.0-{language}-dev.tsv"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_mteb(folder, language, topics, found, per_file=None, readme=True):
    """<language>-corpus, -queries and -qrels as Parquet, declared in README.md as on the hub."""
    per_file = per_file or len(found)
    parts = {
        "corpus": [{"_id": id_, "title": title, "text": text} for id_, title, text in found],
        "queries": [{"_id": query, "text": text} for query, text, _ in topics],
        "qrels": [
            {"query-id": query, "corpus-id": passage, "score": r}
            for query, _, judged in topics
            for passage, r in judged.items()
        ],
    }
    for part, rows in parts.items():
        step = per_file if part == "corpus" else len(rows)
        files = range(0, len(rows), step)
        (folder / f"{language}-{part}").mkdir(parents=True, exist_ok=True)
        for number, start in enumerate(files):
            path = folder / f"{language}-{part}" / f"dev-{number:05d}-of-{len(files):05d}.parquet"
            pq.write_table(pa.Table.from_pylist(rows[start : start + step]), path, row_group_size=7)
    if readme:
        configs = sorted(path.name for path in folder.iterdir() if path.is_dir())
        lines = [f"- config_name: {c}\n  data_files:\n  - split: dev\n    path: {c}/dev-*\n" for c in configs]
        (folder / "README.md").write_text(f"---\nconfigs:\n{''.join(lines)}---\n", encoding="utf-8")


def write_task(folder, data, name="tiny-miracl"):
    """A task file for (topics, passages) by language: the shipped one with the counts and judgements of these."""
    shipped = load_task("miracl")
    text = shipped.file.read_text(encoding="utf-8")
    head = text[: text.index("[source.topics]")]
    languages = [language for language in shipped.languages if language in data]
    head = head.replace('id = "miracl"', f'id = "{name}"')
    head = re.sub(r"languages = .*", f"languages = {json.dumps(languages)}", head)
    head = re.sub(r'gold_sha256 = ".*"', 'gold_sha256 = "unused"', head)
    golds = {
        x: [((query, p), r) for query, _, judged in data[x][0] for p, r in judged.items() if r >= 1] for x in languages
    }
    tables = {
        "judgements": {x: judgement_digest(*zip(*golds[x], strict=True)) for x in languages},
        "counts": {"topics": sum(len(data[x][0]) for x in languages), "gold_pairs": sum(map(len, golds.values()))},
        "counts.queries": {x: len(data[x][0]) for x in languages},
        "counts.candidates": {x: len(data[x][1]) for x in languages},
    }
    for table, rows in tables.items():
        head += f"[{table}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in rows.items()) + "\n"
    path = Path(folder) / f"{name}.toml"
    path.write_text(head, encoding="utf-8")
    return path


def home_of(tmp_path, encoder):
    """A folder with a module ``mine`` and a corpus of three languages, to run commands in."""
    place = tmp_path / "home"
    place.mkdir()
    (place / "mine.py").write_text(encoder)
    build(place, invented, ["sw", "yo", "te"], distractors=60, per_file=40)
    return place


def build(folder, topics_of, languages, queries=None, distractors=30, per_file=None, layout="original"):
    """A corpus and its task file; returns the folder, the path of the task file, and the data."""
    data = {}
    corpus = Path(folder) / "corpus"
    for language in languages:
        topics = topics_of(language, queries)
        data[language] = topics, passages(language, topics, distractors)
        write = write_original if layout == "original" else write_mteb
        write(corpus, language, *data[language], per_file=per_file)
    return corpus, write_task(folder, data), data
