"""Small parallel data sets in the layouts of the hub, with texts that are invented here in five scripts."""

import json
import random

from mteb_copies import retrieval_copy

from clirbench.tasks.task import HubCorpus

HUB = HubCorpus("org/village-law", "0123456789abcdef0123456789abcdef01234567", "test")
LETTERS = {"el": "αβγδεζηθικλμνξοπρστυφχψω", "en": "abcdefghijklmnopqrstuvwxyz", "hi": "कखगघचछजझटठडढतथदधनपफबभम",
           "th": "กขคงจฉชซญดตถทธนบปผฝพฟภม", "zh": "山水火土木金日月天地人心手口目"}  # fmt: skip


def sentence(language, rng, words):
    letters = LETTERS[language[:2]]
    return " ".join("".join(rng.choices(letters, k=rng.randint(2, 7))) for _ in range(words))


def parallel_set(languages=tuple(LETTERS), topics=30, distractors=20):
    """By language: passages by identifier, queries by identifier, judgements (query, passage); each in an order of its own."""
    subsets = {}
    for language in languages:
        rng = random.Random(language)
        passages = {f"p{i}": f"{sentence(language, rng, 12)} {i}" for i in range(topics + distractors)}
        queries = {f"q{i}": f"{sentence(language, rng, 5)} {i}" for i in range(topics)}
        pairs = [(f"q{i}", f"p{(7 * i) % (topics + distractors)}") for i in range(topics)]
        orders = [list(passages.items()), list(queries.items()), pairs]
        for order in orders:
            rng.shuffle(order)
        subsets[language] = dict(orders[0]), dict(orders[1]), orders[2]
    return subsets


def write_parallel(folder, subsets=None):
    return retrieval_copy(folder, parallel_set() if subsets is None else subsets)


def belebele_rows(language, passages=4, questions=3):
    """The rows of a language: each passage with its questions, two of which are the same words."""
    rng = random.Random(language)
    rows = []
    for link in range(passages):
        text = sentence(language, rng, 15)
        for number in range(1, questions + 1):
            question = f"{language} the same" if number == 1 and link < 2 else sentence(language, rng, 6)
            rows.append(
                {
                    "link": f"https://village.example/{link}",
                    "question_number": number,
                    "flores_passage": text,
                    "question": question,
                    "mc_answer1": "not read",
                    "correct_answer_num": "1",
                }
            )
    rng.shuffle(rows)
    return rows


def write_belebele(folder, languages, rows=belebele_rows):
    """A file of JSON Lines for each language, declared by README.md."""
    (folder / "data").mkdir(parents=True)
    lines = ["---", "configs:"]
    for language in languages:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(language))
        (folder / "data" / f"{language}.jsonl").write_text(text, encoding="utf-8")
        lines += [
            f"- config_name: {language}",
            "  data_files:",
            "  - split: test",
            f"    path: data/{language}.jsonl",
        ]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]), encoding="utf-8")
    return folder
