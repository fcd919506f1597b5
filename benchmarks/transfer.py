"""Does hybrid training also help on MLQA and XNLI? mteb's MLQARetrieval and XNLI on small local copies, by alpha.

    python benchmarks/transfer.py --data DIR --work DIR            # train what is missing (alpha 0, 0.5, 1), print the table
    python benchmarks/transfer.py --data DIR --work DIR --write    # also write it into the docs

MLQARetrieval's copy is made of MLQA-R's paragraphs and questions in 4 languages (16 pairs; the hub's has 7 languages and about
12,000 English questions); XNLI's of 12 premises with two hypotheses each, in the same 4 languages, written for this, in the place
of the hub's thousands a language. The models are the ablation's, seed 1: same data, same updates, other batches.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

import ablation  # noqa: E402
import blocks  # noqa: E402
from mteb_copies import retrieval_copy, xnli_copy  # noqa: E402

from clirbench.encoders.base import EncoderOptions  # noqa: E402
from clirbench.encoders.load import load_encoder  # noqa: E402
from clirbench.integrations.mteb import MTEB_LANGUAGES  # noqa: E402
from clirbench.integrations.mteb_tasks import run_mteb_task  # noqa: E402
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


def model_of(work, alpha):
    folder = ablation.model_of(work, alpha, SEEDS[0])
    return load_encoder(str(folder), EncoderOptions(name=f"ablation/alpha-{alpha:g}"))


def measured(work):
    rows = []
    with tempfile.TemporaryDirectory() as place:
        mlqa = mlqa_copy(Path(place) / "MLQARetrieval")
        xnli, pairs = nli_copy(Path(place) / "xnli")
        models = [(f"alpha {alpha:g}", model_of(work, alpha)) for alpha in ALPHAS]
        for label, loaded in [*models, ("clirbench/hybrid", load_encoder("clirbench/hybrid"))]:
            found = run_mteb_task(loaded, "MLQARetrieval", CHOSEN, mlqa).scores["test"]
            own = [values["main_score"] for name, values in found.items() if len(set(name.split("-"))) == 1]
            across = [values["main_score"] for name, values in found.items() if len(set(name.split("-"))) == 2]
            assert (len(own), len(across)) == (4, 12)
            inferred = run_mteb_task(loaded, "XNLI", list(pairs), data=xnli).scores["test"]
            mean = sum(values["main_score"] for values in inferred.values()) / len(inferred)
            scores = sum(own) / 4, sum(across) / 12, mean
            rows.append(f"| {label} | " + " | ".join(f"{100 * value:.1f}" for value in scores) + " |")
    return [
        "| model | MLQARetrieval nDCG@10, one language | across languages | XNLI average precision |",
        "|---|---|---|---|",
        *rows,
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the training data")
    parser.add_argument("--work", type=Path, required=True, help="folder of the ablation's models")
    parser.add_argument("--write", action="store_true", help="write the table into the docs")
    arguments = parser.parse_args()
    with reporting() as reporter:
        ablation.train_missing(arguments.data, arguments.work, reporter, ALPHAS, SEEDS)
    table = "\n".join(measured(arguments.work))
    print(table)
    if arguments.write:
        blocks.write("transfer", table)


if __name__ == "__main__":
    main()
