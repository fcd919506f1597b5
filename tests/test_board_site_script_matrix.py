"""The page of a result with many languages: matrices by script, and the languages of two scripts on demand."""

import base64
import hashlib
import json
import random
import zlib

import numpy as np
import pytest
import small_board
from test_board_site import parsed
from test_board_site_browser import AXE, CHROMIUM, Visit, chromium, needs_axe
from test_board_site_portrait import of_class, section, text

import clirbench
from clirbench.board.site.build import build_result_page
from clirbench.board.site.script_matrix import scripts_of
from clirbench.ranking.gold_ranks import gold_digest
from clirbench.results.result import read_result
from clirbench.support.errors import ClirbenchError

needs_chromium = pytest.mark.skipif(not CHROMIUM.is_file(), reason="CHROMIUM NOT FOUND: apt-get install chromium")
# The fixture of the other module is this module's too.
__all__ = ["chromium"]
LETTERS = {"Latn": "abcdefghij", "Cyrl": "абвгдежзик", "Deva": "कखगघचछजटठड", "Grek": "αβγδεζηθικ"}
SCRIPTS = ["Latn"] * 20 + ["Cyrl"] * 8 + ["Deva"] * 5 + ["Grek"]
LANGUAGES = [f"q{chr(97 + i // 26)}{chr(97 + i % 26)}_{script}" for i, script in enumerate(SCRIPTS)]
TOPICS = 6


def sentence(rng, script):
    return " ".join("".join(rng.choices(LETTERS[script], k=5)) for _ in range(6))


def invented(language):
    """Lines of a task in the demo set's form: a question shares words with its answer, and languages of a script share some."""
    script, lines = language[-4:], []
    for number in range(TOPICS):
        shared, own = random.Random(f"{script} {number}"), random.Random(f"{language} {number}")
        question = f"{sentence(shared, script)} {sentence(own, script)}"
        answer = f"{question.split(maxsplit=1)[0]} {' '.join(question.split()[3:8])} {sentence(own, script)}"
        wrong = [sentence(own, script) for _ in range(small_board.WRONG)]
        lines.append({"topic": f"t{number}", "question": question, "answer": answer, "distractors": wrong})
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """By form of the result, exact or rounded: the folder of its page, the page, and the result."""
    folder = tmp_path_factory.mktemp("many")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(small_board.TASKS, "many", (LANGUAGES, TOPICS))
        tasks, sums = folder / "tasks", {}
        (tasks / "many").mkdir(parents=True)
        for language in LANGUAGES:
            content = invented(language)
            (tasks / "many" / f"{language}.jsonl").write_bytes(content)
            sums[language] = hashlib.sha256(content).hexdigest()
        toml = tasks / "many.toml"
        toml.write_text(small_board.task_toml("many", 1, sums, "0" * 64), encoding="utf-8")
        patch.setenv("CLIRBENCH_TASKS", str(tasks))
        digest = gold_digest(clirbench.evaluate("clirbench/char-ngram", "many").ranks)
        toml.write_text(small_board.task_toml("many", 1, sums, digest), encoding="utf-8")
        rounded = clirbench.evaluate("clirbench/char-ngram", "many")
        exact = clirbench.evaluate("clirbench/char-ngram", "many", exact_languages=len(LANGUAGES))
        yield {
            form: (build_result_page(result, folder / form).parent, "index.html", result)
            for form, result in (("exact", exact), ("rounded", rounded))
        }


@pytest.fixture(params=["exact", "rounded"])
def form(request):
    return request.param


@pytest.fixture
def result(made, form):
    return made[form][2]


@pytest.fixture
def page(made, form):
    site, address, _ = made[form]
    return parsed(site / address)


def pair_values(result):
    document = result.document
    if document.compact is not None:
        return np.array(document.compact.pairs, dtype=float)
    return np.array(
        [
            [(document.per_language[q]["monolingual"] if q == c else document.per_pair[q][c])["mAP"] for c in LANGUAGES]
            for q in LANGUAGES
        ]
    )


def jump_counts(result):
    """By query and candidate language, queue jumps; and by candidate language, its share of the wrong candidates."""
    document = result.document
    if document.compact is not None:
        jumps = np.array(document.compact.queue_jump)
    else:
        by_gold = document.queue_jump
        jumps = np.array([[sum(by_gold[q][g][c] for g in LANGUAGES) for c in LANGUAGES] for q in LANGUAGES])
    # Every query has one gold in each language.
    wrong = np.array([document.counts.candidates[language] - 1 for language in LANGUAGES])
    return jumps, wrong / wrong.sum()


def matrices(page):
    tables = [e for e in section(page, "many").iter("table") if e.get("data-scripts")]
    return {table.get("data-kind"): table for table in tables}


def shown(table):
    """By script of the query, the texts of a row's cells."""
    return {text(row[0]).split()[0]: [text(cell) for cell in list(row)[1:]] for row in table.find("tbody")}


def of(script):
    return [i for i, language in enumerate(LANGUAGES) if language.endswith(script)]


def test_pairs_are_means_by_script(page, result, form):
    assert (result.document.compact is not None) == (form == "rounded")
    values = pair_values(result)
    rows = shown(matrices(page)["pairs"])
    names = ["Latn", "Cyrl", "Deva", "Grek"]
    assert list(rows) == names
    for first in names:
        own = [values[i, i] for i in of(first)]
        expected = [np.mean(own)]
        for second in names:
            pairs = [values[i, j] for i in of(first) for j in of(second) if i != j]
            expected.append(np.mean(pairs) if pairs else None)
        assert rows[first] == ["–" if one is None else f"{100 * one:.1f}" for one in expected]


def test_queue_jumps_are_ratios_by_script(page, result):
    jumps, wrong = jump_counts(result)
    rows = shown(matrices(page)["jumps"])
    for first in ("Latn", "Cyrl", "Deva", "Grek"):
        expected = [np.mean([jumps[q, q] / jumps[q].sum() / wrong[q] for q in of(first)])]
        for second in ("Latn", "Cyrl", "Deva", "Grek"):
            ratios = []
            for q in of(first):
                others = [c for c in of(second) if c != q]
                if others:
                    ratios.append(jumps[q, others].sum() / jumps[q].sum() / wrong[others].sum())
            expected.append(np.mean(ratios) if ratios else None)
        assert rows[first] == ["–" if one is None else f"{one:.2f}" for one in expected]


def test_the_page_is_readable_without_its_many_cells(made, page, form, result):
    site, address, _ = made[form]
    assert (site / address).stat().st_size < 110_000
    # Rounded ranks bound nothing, so they have no hardest questions.
    assert bool(of_class(section(page, "many"), "details", "questions")) == (form == "exact")
    said = text(of_class(section(page, "many"), "ul", "words")[0])
    assert "Other languages in the question's script: for questions in" in said
    rounded = "; ranks above 128 are rounded" if form == "rounded" else " "
    assert f"34 languages, {len(result.ranks):,} gold pairs{rounded}" in text(page) + " "
    if form == "rounded":
        assert read_result(site / "result" / "clirbench__char-ngram" / "many.json").document == result.document


def test_the_script_holds_all_pairs(made, form, result):
    (path,) = (made[form][0] / "data" / "scripts").iterdir()
    script = path.read_text(encoding="utf-8")
    key, record = json.loads(f"[{script.removeprefix('clirScripts(').removesuffix(');' + chr(10))}]")
    assert key == [path.name.removesuffix(".many.js"), "many"]
    values = np.frombuffer(zlib.decompress(base64.b64decode(record["pairs"])), dtype="<u2").reshape(34, 34)
    assert np.allclose(values / 10_000, pair_values(result), atol=6e-5)


def test_few_languages_or_one_script_have_no_matrix_by_script(result):
    def cut(languages):
        task = result.document.task.model_copy(update={"languages": languages})
        return scripts_of(result.document.model_copy(update={"task": task}))

    assert list(cut(LANGUAGES)) == ["Latn", "Cyrl", "Deva", "Grek"]
    assert cut(LANGUAGES[10:]) == {}
    assert cut([f"q{chr(97 + i)}a_Latn" for i in range(25)]) == {}


@pytest.fixture
def visit(chromium, made, form):
    visits = []

    def go(**options):
        one = Visit(chromium, made[form][0], **options)
        visits.append(one)
        return one.open(made[form][1])

    yield go
    for one in visits:
        one.context.close()
        assert one.problems == []


def choose(page, kind, query, other):
    page.locator(f'table[data-kind="{kind}"] button[data-query="{query}"][data-gold="{other}"]').click()
    page.locator("#zoom-many[open]").wait_for()
    script = "box => [...box.querySelectorAll('tr')].map(row => [...row.cells].map(cell => cell.textContent))"
    return page.locator("#zoom-many").evaluate(script)


@needs_chromium
def test_a_pair_of_scripts_leads_to_its_languages(visit, result):
    page = visit()
    head, *rows = choose(page, "pairs", "Cyrl", "Deva")
    assert head[1:] == [LANGUAGES[i] for i in of("Deva")]
    values = pair_values(result)
    assert rows == [[LANGUAGES[q], *(f"{100 * round(values[q][c], 4):.1f}" for c in of("Deva"))] for q in of("Cyrl")]
    head, *rows = choose(page, "pairs", "Latn", "itself")
    assert [row[1] for row in rows] == [f"{100 * round(values[q][q], 4):.1f}" for q in of("Latn")]
    head, *rows = choose(page, "jumps", "Deva", "Latn")
    assert (len(rows), len(head) - 1) == (5, 20)
    jumps, wrong = jump_counts(result)
    q, c = of("Deva")[2], of("Latn")[7]
    assert float(rows[2][8]) == pytest.approx(jumps[q, c] / jumps[q].sum() / wrong[c], abs=0.006)


@needs_chromium
@needs_axe
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(visit, scheme):
    page = visit(color_scheme=scheme, bypass_csp=True)
    choose(page, "jumps", "Latn", "Latn")
    page.evaluate("for (const box of document.querySelectorAll('details')) box.open = true")
    page.add_script_tag(path=str(AXE))
    violations = page.evaluate(
        "axe.run({preload: false}).then(result => result.violations.map(v => [v.id, v.nodes[0].html, v.nodes[0].failureSummary]))"
    )
    assert violations == []


@needs_chromium
@pytest.mark.parametrize("width", [1440, 768, 390])
def test_the_page_does_not_scroll_sideways(visit, width):
    page = visit()
    page.set_viewport_size({"width": width, "height": 900})
    choose(page, "pairs", "Latn", "Latn")
    page.evaluate("for (const box of document.querySelectorAll('details')) box.open = true")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@needs_chromium
def test_without_a_script_the_means_are_there(visit):
    page = visit(java_script_enabled=False)
    assert page.locator('table[data-kind="pairs"] tbody td').count() == 20
    page.locator("#zoom-many summary").click()
    assert "the numbers of all pairs are in the result" in page.locator("#zoom-many").inner_text()


def test_a_page_replaces_an_old_one_and_nothing_else(made, result, tmp_path):
    page = build_result_page(result, tmp_path / "page")
    assert build_result_page(result, tmp_path / "page") == page
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(ClirbenchError, match="holds something else than a page: pass another --page, or empty it"):
        build_result_page(result, tmp_path / "mine")
    assert (tmp_path / "mine" / "diary.txt").read_text(encoding="utf-8") == "dear"
