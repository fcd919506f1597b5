"""A result in a notebook: numbers are those of the document, texts those of the task, HTML is escaped."""

import html5lib
import numpy as np
import pytest

import clirbench
from clirbench.support.errors import ClirbenchError


@pytest.fixture(scope="module")
def result():
    return clirbench.evaluate("clirbench/hybrid", "demo", languages=["en", "de", "th"])


def test_html_is_well_formed_and_has_every_pair(result):
    page = result._repr_html_()
    html5lib.HTMLParser(strict=True).parseFragment(page)
    for value in (
        result.document.per_pair["en"]["th"]["mAP"],
        result.document.per_language["de"]["monolingual"]["mAP"],
    ):
        assert f">{100 * value:.1f}<" in page
    assert "rank_distance" in page
    assert "<script" not in page


def test_html_escapes_what_others_wrote(result):
    bad = result.document.model_copy(
        update={"model": result.document.model.model_copy(update={"name": "<img src=x onerror=alert(1)>"})}
    )
    page = clirbench.Result(bad, result.ranks, result.ranks_file)._repr_html_()
    assert "<img" not in page
    assert "&lt;img" in page


def test_pandas_has_every_number_once(result):
    frame = result.to_pandas()
    assert list(frame.columns) == [
        "task", "setting", "metric", "query_language", "candidate_language", "value", "low", "high", "queries",
    ]  # fmt: skip
    keys = ["setting", "metric", "query_language", "candidate_language"]
    assert not frame.duplicated(keys).any()
    found = frame.set_index(keys)
    assert found.loc[("multilingual", "mAP", "all", "all"), "value"] == result.score("multilingual", "mAP")
    assert (
        found.loc[("cross-lingual", "nDCG@10", "en", "th"), "value"] == result.document.per_pair["en"]["th"]["nDCG@10"]
    )
    assert found.loc[("monolingual", "mAP", "th", "th"), "queries"] == 48
    macro = frame[
        (frame.setting == "monolingual") & (frame.metric == "mAP") & (frame.query_language != "all")
    ].value.mean()
    assert macro == pytest.approx(result.score("monolingual", "mAP"))


def test_a_picture_of_every_kind(result, tmp_path):
    figure = result.plot()
    figure.savefig(tmp_path / "pairs.png")
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert f"{100 * result.document.per_pair['en']['th']['mAP']:.0f}" in texts
    bars = clirbench.evaluate("clirbench/hybrid", "demo", languages=["en", "de"], settings=["monolingual"]).plot("R@1")
    bars.savefig(tmp_path / "bars.png")
    assert len(bars.axes[0].patches) == 2
    with pytest.raises(ClirbenchError, match="no metric 'mAPP'"):
        result.plot("mAPP")


def test_a_missing_matplotlib_names_its_extra(result, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ClirbenchError, match=r"pip install 'clirbench\[plot\]'"):
        result.plot()


def average_precisions(result):
    """By (topic, query language), from the ranks alone."""
    ranks, found = result.ranks, {}
    for row in range(len(ranks)):
        key = (ranks.topics[ranks.topic[row]], ranks.languages[ranks.query_language[row]])
        found.setdefault(key, []).append(int(ranks.pool_rank[row]))
    return {key: np.mean([(i + 1) / rank for i, rank in enumerate(sorted(values))]) for key, values in found.items()}


def test_hardest_topics_by_hand(result):
    precision = average_precisions(result)
    gaps = {}
    for (topic, language), value in precision.items():
        others = [precision[topic, other] for other in result.ranks.languages if other != language]
        gaps[topic, language] = np.mean(others) - value
    frame = result.hardest(5)
    expected = sorted(gaps.values(), reverse=True)[:5]
    assert frame.gap.tolist() == pytest.approx(expected)
    first = frame.iloc[0]
    assert gaps[first.topic, first.language] == pytest.approx(first.gap)
    assert first.success == pytest.approx(precision[first.topic, first.language])
    collection = clirbench.load_task("demo")
    import json

    row = next(
        json.loads(line)
        for line in (collection.file.parent / "demo" / f"{first.language}.jsonl").read_text().splitlines()
        if json.loads(line)["topic"] == first.topic
    )
    assert (first.question, first.gold) == (row["question"], row["answer"])
    assert set(result.hardest(4, "th").language) == {"th"}
    with pytest.raises(ClirbenchError, match="no language 'xx'"):
        result.hardest(language="xx")


def test_hardest_needs_a_setting_that_it_can_read():
    result = clirbench.evaluate("clirbench/hybrid", "demo", languages=["en", "de"], settings=["cross-lingual"])
    with pytest.raises(ClirbenchError, match="run one of them"):
        result.hardest(3)
