"""The examples of docs/how-to and docs/explanation: their code runs, and what they say is what clirbench computes."""

import ast
import importlib.util
import json
import re
import shlex
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from command_line import call
from scipy.stats import chi2

import clirbench
from clirbench.encoders.blocks import dequantise_blocks, quantise_blocks
from clirbench.encoders.load import load_encoder
from clirbench.metrics.bias import BIAS, OVERALL_BIAS, PoolLists
from clirbench.metrics.per_topic import TopicTable
from clirbench.metrics.retrieval import RankedLists
from clirbench.metrics.significance import Bootstrap, holm, interval, permutation_p
from clirbench.submissions.verification import verdict
from clirbench.support.errors import ClirbenchError

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def page(name):
    return (DOCS / name).read_text(encoding="utf-8")


def block(name, marker, language="python"):
    return re.search(rf"<!-- {marker} -->\n```{language}\n(.*?)```", page(name), re.DOTALL)[1]


def commands(name):
    blocks = re.findall(r"```bash\n(.*?)```", page(name), re.DOTALL)
    return [line for text in blocks for line in text.splitlines() if line.startswith("clirbench ")]


@pytest.fixture(scope="module")
def pictures():
    spec = importlib.util.spec_from_file_location("pictures", DOCS / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["pictures"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(line, code=0):
        program, *arguments = shlex.split(line)
        assert program == "clirbench"
        ran = call(*arguments)
        if isinstance(ran.exception, ClirbenchError):
            # The program prints it in one line, and ends with 2.
            assert code == 2, ran.exception
            return str(ran.exception)
        assert ran.exit_code == code, ran.output
        return ran.output

    return run


# ------------------------------------------------------------------------------------------------------------ explanation


def test_a_packed_model_is_what_the_page_says(tmp_path, monkeypatch):
    text = page("explanation/packed-models.md")
    row, numbers, read = (
        [float(word) for word in re.search(rf"^{name} +([-.\d ]+)", text, re.MULTILINE)[1].split()]
        for name in ("weights", "numbers", "read as")
    )
    weights = np.zeros((1, 32), dtype=np.float32)
    weights[0, : len(row)] = row
    packed, scales = quantise_blocks(weights)
    assert scales.tolist() == [[0.5]]
    assert (packed[0, : len(row)] & 15).tolist() == numbers
    assert dequantise_blocks(packed, scales)[0, : len(row)].tolist() == read
    monkeypatch.chdir(tmp_path)
    exec(block("explanation/packed-models.md", "fine-tune"), {})
    assert load_encoder("hybrid").info.parameters == load_encoder("clirbench/hybrid").info.parameters


def test_pictures_and_tables_are_what_their_script_makes(pictures):
    stale = [
        path.name
        for path, text in pictures.files().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run python docs/pictures.py"
    assert {path.name for path in pictures.PICTURES.iterdir()} == {f"{name}.svg" for name in pictures.DRAWN}


def test_every_picture_is_on_a_page_with_words_for_those_who_cannot_see_it(pictures):
    text = "".join(page(f"explanation/{path.name}") for path in (DOCS / "explanation").glob("*.md"))
    for name in pictures.DRAWN:
        words = re.search(rf"!\[([^\]]*)\]\(pictures/{name}\.svg\)", text)[1]
        assert len(words) > 40, name


def test_rank_distance_says_what_the_three_rankings_have(pictures):
    text = page("explanation/rank-distance.md")
    one = {name[0]: pictures.scored(order) for name, order in pictures.RANKINGS.items()}
    for letter in "AB":
        first, *_, last = sorted(one[letter].ranks.values())
        assert f"The distance is {last} - {first} = {one[letter].bias['rank_distance']:g}." in text
    said = []
    for letter, words in (("A", "A has its answers at ranks"), ("B", "B at"), ("C", "C at")):
        first, second, last = sorted(one[letter].ranks.values())
        said.append(f"{words} {first}, {second} and {last}, a distance of {one[letter].bias['rank_distance']:g}")
    assert "; ".join(said) in text
    assert f"so the distance is {one['C'].bias['rank_distance']:g}, the best there is" in text
    assert one["C"].bias["rank_distance"] == len(one["C"].ranks) - 1
    assert one["C"].bias["Max@R_normalised"] == 0
    assert f"25 x 2 / 4 = {one['A'].chance:g}" in text
    assert one["A"].chance == pytest.approx((24 + 1) * (3 - 1) / (3 + 1))
    assert f"B has {one['B'].bias['rank_distance_normalised']:.2f}" in text
    from clirbench.metrics.bias import expected_rank_distance

    assert f"it is {expected_rank_distance(np.array([11.0]), 13_014)[0]:,.1f}" in text


def test_every_measure_of_bias_stands_on_its_page():
    text = page("explanation/bias.md")
    assert [name for name in (*BIAS, *OVERALL_BIAS) if f"`{name}`" not in text] == []


def test_bias_says_what_peer_is_where_each_language_has_one_answer(pictures):
    text = page("explanation/bias.md")
    constants = [f"{chi2.sf(golds - 1, golds - 1):.4f}".removeprefix("0") for golds in (2, 3, 4, 11)]
    assert f"| PEER | {' | '.join(constants)} |" in text
    assert f"A, B and C have {constants[1]} each" in text
    for order in pictures.RANKINGS.values():
        golds = np.array(sorted(pictures.scored(order).ranks.values()))
        lists = PoolLists(RankedLists.of(np.zeros(3, dtype=np.intp), golds), golds < 0, np.arange(3), len(order))
        assert BIAS["PEER"].compute(lists)[0] == pytest.approx(float(constants[1]), abs=5e-5)


def test_bias_says_what_the_three_rankings_have(pictures):
    text = page("explanation/bias.md")
    order = pictures.RANKINGS["B: prefers Thai"]
    one = pictures.scored(order)
    whole, without = one.precision, {gone: pictures.without(order, gone) for gone in "TED"}
    assert one.bias["own_gold_removal"] == pytest.approx(whole - without["T"])
    assert one.bias["other_gold_removal"] == pytest.approx(whole - (without["E"] + without["D"]) / 2)
    assert f"average precision {100 * whole:.1f}; without the Thai answer {100 * without['T']:.1f}" in text
    own, other, difference = (
        100 * one.bias[f"{part}gold_removal{end}"] for part, end in (("own_", ""), ("other_", ""), ("", "_difference"))
    )
    assert f"is {own:.2f} without the Thai answer and {other:.2f} on average" in text
    assert f"so the difference is {difference:.2f}" in text
    total = sum(one.jumps.values())
    assert f"{one.jumps['e']} English, {one.jumps['d']} German and {one.jumps['t']} Thai" in text
    assert f"{one.jumps['t']} of {total} where chance gives a third" in text
    assert f"{one.bias['own_language_preference']:.2f} times" in text
    lost = pictures.scored(pictures.RANKINGS["C: finds nothing"])
    assert lost.bias["own_language_preference"] == 1
    assert lost.bias["transfer_ratio"] == 1
    a, b, c = (pictures.scored(order) for order in pictures.RANKINGS.values())
    assert (
        f"A has its last answer at rank {a.last}, normalised {a.bias['Max@R_normalised']:.2f}; "
        f"B at rank {b.last}, {b.bias['Max@R_normalised']:.2f}; C at rank {c.last}, {c.bias['Max@R_normalised']:.2f}"
    ) in text
    across = [f"{50 / of.own['e'] + 50 / of.own['d']:.1f}" for of in (a, b, c)]
    within = [f"{100 / of.own['t']:.1f}".removesuffix(".0") for of in (a, b, c)]
    ratio = [f"{of.bias['transfer_ratio']:.2f}" for of in (a, b, c)]
    assert (
        f"A has {across[0]} across languages and {within[0]} within Thai, ratio {ratio[0]}; "
        f"B {across[1]} and {within[1]}, {ratio[1]}; C {across[2]} and {within[2]}, {ratio[2]}"
    ) in text
    assert [of.bias["Comp@10"] for of in (a, b, c)] == [1, 0, 0]


def test_settings_and_ties_say_what_the_pictures_compute(pictures):
    one = pictures.scored(pictures.RANKINGS["B: prefers Thai"])
    text = page("explanation/settings.md")
    assert f"the answers stand at ranks {one.own['e']} and {one.own['d']}" in text
    assert f"has to pass {one.last - 1} candidates to see" in re.sub(r"\s+", " ", text)
    words = re.search(r"!\[(.*?)\]", page("explanation/ranks-and-ties.md"))[1]
    for scores in pictures.TIES.values():
        ranks, precision = pictures.tied(scores)
        order = sorted({**ranks, "W": ({1, 2, 3} - set(ranks.values())).pop()}.items(), key=lambda pair: pair[1])
        assert ", ".join(letter for letter, _ in order) in words
        assert f"{100 * precision:.1f}".removesuffix(".0") in words
    assert pictures.tied(pictures.TIES["one score for all"])[0] == {"G": 2, "H": 3}


def test_the_page_names_the_function_that_decides_ties():
    name, path = re.search(r"In one function: `(\w+)` in `(.*?)`", page("explanation/ranks-and-ties.md")).groups()
    assert f"\ndef {name}(" in (ROOT / path).read_text(encoding="utf-8")


def test_statistics_says_what_the_tests_give(pictures):
    text = page("explanation/statistics.md")
    topics = {name: np.array(values, dtype=np.float64) for name, values in pictures.TOPICS.items()}
    values = topics["A"]
    assert " ".join(str(int(value)) for value in values) in text

    def ends(table, form):
        low, high = interval(Bootstrap(len(table)).macros([TopicTable(table, np.ones_like(table))])[0])
        return f"{low:{form}} to {high:{form}}"

    languages = np.tile(values[:, None], (1, 11))
    assert f"| 12 topics | {ends(languages, '.1f')} |" in text
    assert f"| 132 rows, as if they were independent | {ends(languages.reshape(-1, 1), '.1f')} |" in text
    for first, second in ("AB", "AC", "CD"):
        difference = (topics[first] - topics[second])[:, None]
        better = f"{(difference > 0).sum()} of 12" + (" topics" if first + second == "AB" else "")
        row = f"| {first} and {second} | {difference.mean():+.2f} | {better} | {ends(difference, '+.2f')} |"
        assert f"{row} {permutation_p(difference)[0]:.4f} |" in text
    assert (np.minimum(topics["A"], topics["B"]) > np.maximum(topics["C"], topics["D"])).all()
    assert f"There are {2 ** len(values):,} ways" in text
    corrected = holm(np.array([0.01, 0.02, 0.04]))
    assert "become {:.2f}, {:.2f} and {:.2f}".format(*corrected) in text
    for name, (low, high) in pictures.ranges().items():
        assert (low, high) == ((1, 2) if name in "AB" else (3, 4))


def test_counts_of_shards_are_those_of_the_page(pictures):
    counts = pictures.shard_counts()
    assert f"Its rank is 1 + {' + '.join(map(str, counts))} = {1 + sum(counts)}" in page("explanation/exactness.md")
    everything = [("en", pictures.GOLD_SCORE, True), *(("en", s, False) for shard in pictures.SHARDS for s in shard)]
    assert pictures.evaluate(everything).ranks.own_rank.tolist() == [1 + sum(counts)]


def test_submit_says_when_verification_agrees():
    text = page("how-to/submit.md")
    assert "99.9 % of the ranks are equal" in text
    assert "95 % are within one rank or 2 %, and mAP is within 0.005" in text
    assert verdict(0.999, 0, 1) == "agree"
    assert verdict(0.998, 0.95, 0.005) == "agree within noise"
    assert verdict(0.998, 0.949, 0) == verdict(0.998, 1, 0.0051) == "differ"


# ----------------------------------------------------------------------------------------------------------------- how-to


def test_own_data_from_ten_questions_to_a_result(shell, tmp_path):
    init, run, again, inspect = commands("how-to/own-data.md")
    assert "my-faq/my-faq.toml" in shell(init)
    shell(run)
    exec(compile(block("how-to/own-data.md", "tutorial"), "own-data.md", "exec"), {})
    assert "the texts or grades of my-faq have changed since" in shell(run, code=2)
    told = shell(again)
    result = clirbench.read_result(tmp_path / "results" / "clirbench__hybrid" / "my-faq.json")
    assert result.document.counts.topics == 10
    assert result.document.task.languages == ["en", "de", "es"]
    assert result.document.counts.candidates == {"en": 10, "de": 10, "es": 10}
    assert result.score("bias", "rank_distance") is not None
    shown = re.search(r"^my-faq .*$", page("how-to/own-data.md"), re.M)[0]
    assert shown in told
    assert "the worst 2 topics asked in de" in shell(inspect)


def test_messages_that_own_data_quotes(shell, tmp_path):
    shell("clirbench init-task my-faq --languages en,de,es")
    files = {kind: tmp_path / "my-faq" / f"my-faq.{kind}.jsonl" for kind in ("queries", "candidates")}
    lines = {kind: path.read_text(encoding="utf-8").splitlines() for kind, path in files.items()}
    text = page("how-to/own-data.md")

    run = "clirbench run --model clirbench/hybrid --tasks my-faq/my-faq.toml"

    def wrong(kind, change):
        rows = [change(number, json.loads(line)) for number, line in enumerate(lines[kind])]
        files[kind].write_text("".join(json.dumps(row) + "\n" for row in rows if row), encoding="utf-8")
        told = shell(run, code=2)
        files[kind].write_text("\n".join(lines[kind]), encoding="utf-8")
        return told

    def other(kind, encoded):
        files[kind].write_bytes(encoded("\n".join(lines[kind])))
        told = shell(run, code=2)
        files[kind].write_text("\n".join(lines[kind]), encoding="utf-8")
        return told

    shell(run)
    told = [
        wrong("candidates", lambda n, row: row | {"answers": ["horas"]} if n == 2 else row),
        wrong("queries", lambda n, row: row | {"language": "fr"} if n == 1 else row),
        wrong("candidates", lambda n, row: {} if row.get("answers") == ["returns"] else row),
        other("queries", lambda text: text.encode("utf-16")),
        other("queries", lambda text: json.dumps([json.loads(line) for line in text.splitlines()], indent=1).encode()),
        other("queries", lambda text: text.replace('"topic"', '"topic": "x", "topic"', 1).encode()),
        wrong("queries", lambda n, row: row | {"text": "\ud800"}),
        other("queries", lambda text: b""),
        wrong("queries", lambda n, row: row | {"topic": unicodedata.normalize("NFD" if n else "NFC", "zurück")}),
        shell("clirbench init-task demo", code=2),
        wrong("candidates", lambda n, row: row | {"answers": dict.fromkeys(row["answers"], 200)} if n == 0 else row),
        wrong("queries", lambda n, row: {} if row["language"] == "es" else row),
        wrong("queries", lambda n, row: row | {"text": "another"}),
    ]
    quotes = re.findall(r"^- `(.*?)`:", text, re.M)
    assert len(quotes) == len(told)
    assert [quote for quote, said in zip(quotes, told, strict=True) if quote not in said] == []


def test_a_corpus_of_ones_own(shell, tmp_path):
    text = block("how-to/streamed-corpora.md", "own-corpus-toml", "toml")
    (tmp_path / "my-corpus.toml").write_text(text, encoding="utf-8")
    for line in block("how-to/streamed-corpora.md", "own-corpus", "text").splitlines():
        name, row = line.split(maxsplit=1)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{row}\n")
    (run,) = (line for line in commands("how-to/streamed-corpora.md") if "my-corpus.toml" in line)
    told = shell(run.replace("ORG/NAME", "clirbench/hybrid"))
    assert "my-corpus: results/clirbench__hybrid/my-corpus.json" in told
    (tmp_path / "my-corpus.toml").write_text(text.replace("en = 3", "en = 4"), encoding="utf-8")
    told = shell(run.replace("ORG/NAME", "clirbench/hybrid") + " --output other", code=2)
    assert "3 passages in en, but my-corpus.toml declares 4" in told


def test_a_scorer_and_fusions_as_the_page_has_them(shell, tmp_path):
    (tmp_path / "my_scorer.py").write_text(block("how-to/fusions-and-scorers.md", "scorer"), encoding="utf-8")
    lines = commands("how-to/fusions-and-scorers.md")
    (own,) = (line for line in lines if "my_scorer" in line)
    assert "me/shared-words" in shell(own)
    fusions = [line for line in lines if "rrf:" in line or "sum:" in line]
    told = [shell(line) for line in fusions]
    shown = re.search(r"^demo .*$", page("how-to/fusions-and-scorers.md"), re.M)[0]
    assert shown in told[0]


def test_results_in_a_notebook_and_in_python(shell, tmp_path):
    names = {}
    for marker in ("notebook", "numbers", "ranks"):
        exec(compile(block("how-to/results-and-ranks.md", marker), marker, "exec"), names)
    assert len(names["result"].document.task.languages) == 11
    columns = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", page("how-to/results-and-ranks.md"), re.M)))
    # The demo has no grades.
    # Rounded ranks have two columns of their own.
    assert [*names["ranks"].columns, "grade", "own_code", "pool_code"] == columns
    line = next(line for line in commands("how-to/results-and-ranks.md") if " score " in line)
    assert re.search(r"^results/.*agree$", page("how-to/results-and-ranks.md"), re.M)[0] in shell(line)
    inspect = next(line for line in commands("how-to/results-and-ranks.md") if " inspect " in line)
    shown = page("how-to/results-and-ranks.md").split("```text\n")[3].split("    ...")[0].splitlines()
    told = shell(inspect)
    assert [line for line in shown if line.split() not in [other.split() for other in told.splitlines()]] == []


def test_the_gate_of_the_page_fails(shell):
    shell("clirbench run --model clirbench/hybrid --tasks demo --output old")
    shell("clirbench run --model clirbench/char-ngram --tasks demo --output new")
    (gate,) = commands("how-to/gate-in-ci.md")
    line = gate.replace("xquad-r", "demo").replace("new/me__model", "new/clirbench__char-ngram")
    told = shell(line.replace("old/me__model", "old/clirbench__hybrid"), code=1)
    shown = re.findall(r"^\w.*fail$", page("how-to/gate-in-ci.md"), re.M)
    assert len(shown) == 4
    assert [row for row in shown if row not in told] == []


def test_transforms_on_the_demo_set(shell, tmp_path):
    sample = [
        {"language": x, "text": f"text {n} in {x}"} for x in clirbench.load_task("demo").languages for n in range(9)
    ]
    (tmp_path / "sample.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sample), encoding="utf-8")
    lines = commands("how-to/transforms.md")
    told = [shell(line) for line in lines if "--transform-sample" not in line]
    assert "clirbench/hybrid + center minus clirbench/hybrid + lir:1" in told[-1]
    (with_sample,) = (line for line in lines if "--transform-sample" in line)
    shell(f"{with_sample} --output other")
    (with_sample,) = (line for line in commands("how-to/size-and-quality.md") if "--quantise-sample" in line)
    shell(f"{with_sample} --output other")


@pytest.mark.parametrize("options", [{}, {"truncate_dim": 64, "quantise": "binary"}])
def test_rows_of_the_table_of_sizes(options):
    result = clirbench.evaluate("clirbench/hybrid", "demo", options=clirbench.EncoderOptions(**options))
    size, number = result.document.model.dimensions, options.get("quantise", "float32")
    (row,) = (
        line for line in page("how-to/size-and-quality.md").splitlines() if line.startswith(f"| {size} | {number} |")
    )
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert int(cells[2].replace(",", "")) == size * (4 if number == "float32" else 1 / 8)
    for cell, setting in zip(cells[3:6], ("monolingual", "cross-lingual", "multilingual"), strict=True):
        assert cell.startswith(f"{100 * result.score(setting, 'mAP'):.1f} ±")
    assert cells[6] == f"{result.score('bias', 'rank_distance'):,.0f}"


def test_what_pages_import_is_there():
    imports, modules = set(), set()
    for path in DOCS.rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        modules |= set(re.findall(r"python -m (clirbench\.[\w.]+)", text))
        for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            compile(code, path.name, "exec")
            imports |= {line for line in code.splitlines() if re.match(r"(from|import) clirbench", line)}
    assert "import clirbench" in imports
    for line in sorted(imports):
        exec(line, {})
    assert [name for name in sorted(modules) if importlib.util.find_spec(name) is None] == []


def said_by_the_code():
    """Every text in the package; what an f-string puts in is a null character."""
    texts = []
    for path in (ROOT / "clirbench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(x.value if isinstance(x, ast.Constant) else "\0" for x in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return texts


def test_quoted_messages_are_those_of_the_code():
    texts = said_by_the_code()
    quotes = [
        (path.stem, quote)
        for path in DOCS.glob("how-to/*.md")
        if path.stem != "own-data"  # its messages are brought about above
        for quote in re.findall(
            r"^- (?:\*\*)?`([^`]*)`(?:\*\*)?:",
            path.read_text(encoding="utf-8").partition("## What can go wrong")[2],
            re.M,
        )
    ]
    assert len(quotes) > 25
    # A name, a number or an ellipsis stands for what the message puts in.
    parts = [
        (stem, part) for stem, quote in quotes for part in re.split(r"\.\.\.|'[^']*'|\S*\d\S*|my-\S+| in en, ", quote)
    ]
    unknown = [part for part in parts if not any(part[1].strip(" :;,") in text for text in texts)]
    assert unknown == []
