"""A board of two small tasks for tests of submissions: three honest submissions and a cheat, checked in milliseconds."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import clirbench
from clirbench.ranking.gold_ranks import gold_digest
from clirbench.submissions.submit import submit

ROOT = Path(__file__).resolve().parent.parent
# By task: its languages and its number of topics, the first ones of the demo task.
TASKS = {"trio": (("de", "en", "zh"), 12), "duo": (("ar", "en"), 8)}
WRONG = 2
METRICS = ("mAP", "R@1", "R@10", "MRR@10", "nDCG@10")
BIAS = ("rank_distance", "Max@R", "own_gold_removal", "own_language_preference", "transfer_ratio")
ORG = "acme"
# The bundled models that are submitted. On the board their names begin with ORG.
MODELS = ("hybrid", "char-ngram", "bm25")
CHEAT = "answer-key"
FACTS = {"licence": "MIT", "contact": "a@b.example", "link": "https://example.org/model", "base_model": "none"}


def task_toml(name: str, order: int, sums: Mapping[str, str], gold: str) -> str:
    """The file of a task of the board."""
    languages, topics = TASKS[name]
    lines = [
        "format = 1",
        f'id = "{name}"',
        f'name = "{name.capitalize()}"',
        'description = "Some questions of the demo task."',
        'licence = "CC0-1.0"',
        'homepage = "https://example.org"',
        'citation = "none"',
        'reader = "demo"',
        'candidate_text = "sentence"',
        f'gold_sha256 = "{gold}"',
        f"languages = {json.dumps(languages)}",
        'settings = ["monolingual", "cross-lingual", "multilingual"]',
        f"metrics = {json.dumps(METRICS)}",
        f"bias = {json.dumps(BIAS)}",
        "standard = true",
        f"default = {json.dumps(order == 1)}",
        f'training_names = ["{name}"]',
        'domain = "encyclopaedic"',
        "[board]",
        f"order = {order}",
        'headline = ["monolingual.mAP", "cross-lingual.mAP", "multilingual.mAP", "bias.rank_distance"]',
        'main = "multilingual.mAP"',
        "mean = true",
        "[source]",
        f'path = "{name}/{{language}}.jsonl"',
        "[source.sha256]",
        *(f'{language} = "{digest}"' for language, digest in sums.items()),
        "[counts]",
        f"topics = {topics}",
        f"gold_pairs = {topics * len(languages) ** 2}",
        "[counts.queries]",
        *(f"{language} = {topics}" for language in languages),
        "[counts.candidates]",
        *(f"{language} = {topics * (WRONG + 1)}" for language in languages),
    ]
    return "\n".join(lines) + "\n"


def write_tasks(folder: Path) -> Path:
    """Write the tasks of the small board, for ``CLIRBENCH_TASKS``."""
    for order, (name, (languages, topics)) in enumerate(TASKS.items(), 1):
        (folder / name).mkdir(parents=True)
        sums = {}
        for language in languages:
            lines = (ROOT / "tasks" / "demo" / f"{language}.jsonl").read_bytes().splitlines(keepends=True)
            content = b"".join(lines[:topics])
            (folder / name / f"{language}.jsonl").write_bytes(content)
            sums[language] = hashlib.sha256(content).hexdigest()
        (folder / f"{name}.toml").write_text(task_toml(name, order, sums, "0" * 64), encoding="utf-8")
        # The gold pairs of a run on the task give the checksum that the task pins.
        with tasks_in(folder):
            gold = gold_digest(clirbench.evaluate("clirbench/char-ngram", name).ranks)
        (folder / f"{name}.toml").write_text(task_toml(name, order, sums, gold), encoding="utf-8")
    return folder


@contextmanager
def tasks_in(folder: Path) -> Iterator[None]:
    """Take tasks from a folder, as a user who sets ``CLIRBENCH_TASKS`` does."""
    before = os.environ.get("CLIRBENCH_TASKS")
    os.environ["CLIRBENCH_TASKS"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("CLIRBENCH_TASKS")
        if before is not None:
            os.environ["CLIRBENCH_TASKS"] = before


class AnswerKey:
    """An encoder that has read the public answers: the nearer ``knows`` is to 1, the more its vectors follow the topic."""

    name, revision, parameters, similarity = CHEAT, "1", 7_000_000_000, "cosine"

    def __init__(self, task: str, knows: float) -> None:
        languages, topics = TASKS[task]
        self.knows, self.of = knows, {}
        for language in languages:
            lines = (ROOT / "tasks" / "demo" / f"{language}.jsonl").read_text(encoding="utf-8").splitlines()
            for number, row in enumerate(map(json.loads, lines[:topics])):
                self.of |= {row["question"]: number, row["answer"]: number}

    def encode_queries(self, texts: list[str]) -> np.ndarray:
        rows = []
        for text in texts:
            noise = np.random.default_rng(list(hashlib.sha256(text.encode()).digest())).normal(size=64)
            topic = np.eye(16)[self.of[text]] if text in self.of else np.zeros(16)
            rows.append(np.concatenate([self.knows * topic, (1 - self.knows) * noise / np.linalg.norm(noise)]))
        return np.array(rows, dtype=np.float32)

    encode_candidates = encode_queries


def write_cheat(folder: Path, submissions: Path, knows: float = 0.9) -> Path:
    """Submit the results of an :class:`AnswerKey`; its folder. Results are kept in ``folder`` meanwhile."""
    for task in TASKS:
        clirbench.evaluate(AnswerKey(task, knows), task).save(folder / "results")
    submit(folder / "results", ORG, submissions, answers=answers())
    shutil.rmtree(folder / "results")
    return submissions / f"{ORG}__{CHEAT}"


def answers() -> dict[str, str]:
    """What an honest submitter says of a model."""
    return {**FACTS, **{f"trained_on.{task}": "no" for task in TASKS}}


def write_board(folder: Path, models: Sequence[str] = MODELS) -> Path:
    """Run the models on the tasks that are in force, and submit the results; the folder of submissions."""
    for name in models:
        results = folder / "results" / name
        for task in TASKS:
            clirbench.evaluate(f"clirbench/{name}", task).save(results)
        submit(results, ORG, folder / "submissions", answers=answers())
    shutil.rmtree(folder / "results")
    return folder / "submissions"
