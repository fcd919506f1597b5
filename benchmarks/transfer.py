"""Does hybrid training also help on MLQA and XNLI? mteb's MLQARetrieval and XNLI on local copies, by alpha.

    python benchmarks/transfer.py --data DIR --work DIR            # train what is missing (alpha 0, 0.5, 1), print the table
    python benchmarks/transfer.py --data DIR --work DIR --write    # also write it into the docs
    python benchmarks/transfer.py --data DIR --work DIR --base e5  # the transformer's ablation: with the same options as there

MLQARetrieval's copy is made of MLQA-R's paragraphs and questions in 4 languages (16 pairs; the hub's has 7 languages and about
12,000 English questions). `--xnli FILE` is a test set of XNLI in one language: premise, hypothesis and label, tab-separated. All
of its pairs are judged, where mteb draws a part. Without it, XNLI's copy is 12 premises with two hypotheses each, in the same 4
languages, written for this. The models are the ablation's, seed 1: same data, same updates, other batches. WORK/transfer keeps
every result; killed, it goes on where it was.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

import ablation  # noqa: E402
import ablation_transformer  # noqa: E402
import blocks  # noqa: E402
import numpy as np  # noqa: E402
from ablation_transformer import UNTRAINED  # noqa: E402
from mteb.tasks import XNLI  # noqa: E402
from mteb_copies import retrieval_copy, xnli_copy  # noqa: E402

from clirbench.encoders.arrays import as_float32  # noqa: E402
from clirbench.encoders.base import EncoderOptions  # noqa: E402
from clirbench.encoders.load import load_encoder  # noqa: E402
from clirbench.encoders.revision import folder_revision  # noqa: E402
from clirbench.integrations.mteb import MTEB_LANGUAGES  # noqa: E402
from clirbench.integrations.mteb_tasks import run_mteb_task  # noqa: E402
from clirbench.results.read import read_mteb_result  # noqa: E402
from clirbench.support.files import write_atomically  # noqa: E402
from clirbench.support.progress import reporting  # noqa: E402
from clirbench.tasks.fetch import fetch  # noqa: E402
from clirbench.tasks.task_file import load_task  # noqa: E402

ALPHAS, SEEDS = (0.0, 0.5, 1.0), (1,)
CHOSEN = ("de", "en", "es", "zh")


def mlqa_copy(folder):
    """MLQARetrieval's layout: paragraphs as documents, one subset for each ordered pair of languages."""
    task = load_task("mlqa-r")
    languages = CHOSEN
    corpora, questions, answers = {}, {}, {}
    for language in languages:
        document = json.loads(fetch(task.sources[language]).read_text(encoding="utf-8"))
        corpora[language], questions[language], answers[language] = {}, {}, {}
        for article in document["data"]:
            for paragraph in article["paragraphs"]:
                name = f"{language}-{len(corpora[language])}"
                corpora[language][name] = paragraph["context"]
                for question in paragraph["qas"]:
                    questions[language][question["id"]] = question["question"]
                    answers[language][question["id"]] = name
    subsets = {}
    for asked in languages:
        for read in languages:
            pairs = [(topic, answers[read][topic]) for topic in questions[asked] if topic in answers[read]]
            codes = "-".join(MTEB_LANGUAGES[language].split("-")[0] for language in (asked, read))
            subsets[codes] = corpora[read], {topic: questions[asked][topic] for topic, _ in pairs}, pairs
    return retrieval_copy(folder, subsets)


def nli_copy(folder):
    rows = [json.loads(line) for line in (HERE / "transfer_xnli.jsonl").read_text(encoding="utf-8").splitlines()]
    pairs = {}
    for i, row in enumerate(rows):
        # Another sentence of the same language is neutral.
        other = next(one for one in rows[i + 1 :] + rows[: i + 1] if one["language"] == row["language"])
        pairs.setdefault(row["language"], []).extend(
            [
                (row["premise"], row["entailed"], 0),
                (row["premise"], other["premise"], 1),
                (row["premise"], row["contradicted"], 2),
            ]
        )
    return xnli_copy(folder, pairs), pairs


def whole_xnli(folder, file):
    """XNLI's layout of a file of one language, such as xnli.de.test.tsv: a second ending names the language."""
    _, language, *_ = [*file.name.split("."), "", ""]
    if language not in MTEB_LANGUAGES:
        raise SystemExit(f"{file}: its name does not say which language it has: name it like xnli.de.test.tsv")
    labels = {"entailment": 0, "neutral": 1, "contradiction": 2}
    pairs = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        parts = line.split("\t")
        if len(parts) != 3 or parts[2] not in labels:
            raise SystemExit(
                f"{file}:{number}: not a premise, a hypothesis and a label, tab-separated: correct the file"
            )
        pairs.append((parts[0], parts[1], labels[parts[2]]))
    return xnli_copy(folder, {language: pairs}), {language: pairs}


def static_models(arguments):
    """By label, the folder or name of each model of the static ablation, and the bundled one."""
    with reporting() as reporter:
        ablation.train_missing(arguments.data, arguments.work, reporter, ALPHAS, SEEDS)
    folders = {f"alpha {alpha:g}": str(ablation.model_of(arguments.work, alpha, SEEDS[0])) for alpha in ALPHAS}
    return folders | {"clirbench/hybrid": "clirbench/hybrid"}


def transformers(arguments):
    """By label, the folder of each model of the transformer's ablation, seed 1."""
    recipe, path = ablation_transformer.plan(arguments)
    with reporting() as reporter:
        ablation_transformer.train_missing(arguments.work, arguments.data, recipe, path, reporter)
    runs = {UNTRAINED: UNTRAINED} | {f"alpha {alpha:g}": f"{alpha:g}-{SEEDS[0]}" for alpha in ALPHAS}
    return {label: str(arguments.work / "models" / name) for label, name in runs.items()}


class EachTextOnce:
    """An encoder that encodes each text of a role once. The subsets of a task of mteb hold the same texts again."""

    def __init__(self, encoder):
        self._encoder = encoder
        self._kept = {"queries": {}, "candidates": {}}

    def __getattr__(self, name):
        return getattr(self._encoder, name)

    def encode_queries(self, texts):
        return self._encode(self._encoder.encode_queries, self._kept["queries"], texts)

    def encode_candidates(self, texts):
        return self._encode(self._encoder.encode_candidates, self._kept["candidates"], texts)

    @staticmethod
    def _encode(encode, kept, texts):
        new = [text for text in dict.fromkeys(texts) if text not in kept]
        if new:
            kept.update(zip(new, as_float32(encode(new)), strict=True))
        return np.stack([kept[text] for text in texts])


def scored(kept, loaded, task, languages, data):
    """mteb's scores of a model by subset. They are kept in a file, by model, its precision and the data's checksum."""
    identity = f"{loaded.info.revision or loaded.info.name} {loaded.settings.dtype} {folder_revision(data)}"
    file = kept / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.{task}.json"
    if not file.is_file():
        # mteb would draw 2,048 rows of XNLI and leave the neutral ones out of those.
        with patch.object(XNLI, "stratified_subsampling", staticmethod(lambda rows, **_: rows)):
            document = run_mteb_task(loaded, task, languages, data)
        write_atomically(file, document.model_dump_json(indent=1).encode())
    return read_mteb_result(file).scores["test"]


def row(arguments, label, model, mlqa, nli):
    """A row of the table: means of the subsets' main scores."""
    kept = arguments.work / "transfer"
    # A bundled model has its own name.
    name = None if model == label else f"ablation/{label.replace(' ', '-')}"
    loaded = load_encoder(model, EncoderOptions(name=name, dtype=arguments.dtype if arguments.base else None))
    loaded = replace(loaded, encoder=EachTextOnce(loaded.encoder))
    retrieval = scored(kept, loaded, "MLQARetrieval", CHOSEN, mlqa)
    own = [values["main_score"] for subset, values in retrieval.items() if len(set(subset.split("-"))) == 1]
    across = [values["main_score"] for subset, values in retrieval.items() if len(set(subset.split("-"))) == 2]
    folder, pairs = nli
    inferred = [values["main_score"] for values in scored(kept, loaded, "XNLI", list(pairs), folder).values()]
    means = [sum(values) / len(values) for values in (own, across, inferred)]
    return f"| {label} | " + " | ".join(f"{100 * value:.1f}" for value in means) + " |"


def table(arguments, models):
    """Markdown: a row for each model."""
    with tempfile.TemporaryDirectory() as place:
        mlqa = mlqa_copy(Path(place) / "MLQARetrieval")
        nli = whole_xnli(Path(place) / "xnli", arguments.xnli) if arguments.xnli else nli_copy(Path(place) / "xnli")
        # mteb leaves neutral pairs out.
        judged = sum(label != 1 for rows in nli[1].values() for _, _, label in rows)
        rows = [row(arguments, label, model, mlqa, nli) for label, model in models.items()]
    inference = f"XNLI average precision ({', '.join(nli[1])}; {judged:,} pairs)"
    head = f"| model | MLQARetrieval nDCG@10, one language | across languages | {inference} |"
    return "\n".join([head, "|---|---|---|---|", *rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the training data")
    parser.add_argument("--work", type=Path, required=True, help="folder of the ablation's models")
    parser.add_argument("--xnli", type=Path, help="a whole test set of XNLI, such as xnli.de.test.tsv")
    parser.add_argument("--write", action="store_true", help="write the table into the docs")
    ablation_transformer.add_options(parser)
    arguments = parser.parse_args()
    text = table(arguments, transformers(arguments) if arguments.base else static_models(arguments))
    print(text)
    if arguments.write and arguments.base:
        blocks.write("transfer-transformer", text)
    elif arguments.write:
        blocks.write("transfer", text)


if __name__ == "__main__":
    main()
