"""The site of 5 and of 500 models: seconds to build, bytes of the front page, milliseconds to sort it.

    python benchmarks/site.py

The 500 are noisy copies of the repository's submissions. Needs Chromium for the milliseconds.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from clirbench.board.entries import read_board
from clirbench.board.site.build import build_site
from clirbench.metrics.scores import compute_scores
from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.results.ranks_file import encode_ranks
from clirbench.results.result import Result, read_result
from clirbench.results.scored import headline_of

SUBMISSIONS = Path(__file__).resolve().parent.parent / "submissions"
SOURCES = (
    "clirbench__hybrid",
    "clirbench__mono",
    "clirbench__cross",
    "clirbench__char-ngram",
    "arxiv-2408.10536__xlm-r-hybrid",
)
VARIANTS = 4


def noisy(result, name, seed):
    """A result with the golds of other topics: the same languages, other numbers by topic."""
    ranks, document = result.ranks, result.document
    shift = seed * 37 % len(ranks.topics)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(ranks.topic) != 0]))
    sizes = np.diff(np.append(starts, len(ranks)))
    if shift and len(set(sizes.tolist())) == 1:
        rows = np.roll(np.arange(len(ranks)), shift * sizes[0])
        ranks = GoldRanks(
            ranks.topics,
            ranks.languages,
            ranks.topic,
            ranks.query_language,
            ranks.gold_language,
            ranks.own_rank[rows],
            ranks.pool_rank[rows],
            None if ranks.query_language_above is None else ranks.query_language_above[rows],
        )
    scores = compute_scores(
        ranks, document.counts.candidates, document.task.settings, document.task.metrics, document.task.bias
    )
    content = encode_ranks(ranks)
    headline = {**headline_of(scores), "bias": {**document.headline["bias"], **headline_of(scores)["bias"]}}
    import hashlib

    changed = document.model_copy(
        update={
            "model": document.model.model_copy(update={"name": name}),
            "headline": headline,
            "ranks": document.ranks.model_copy(update={"sha256": hashlib.sha256(content).hexdigest()}),
        }
    )
    return Result(changed, ranks, content)


def models(target, number):
    made = {}
    for i in range(number):
        source = SOURCES[i % len(SOURCES)]
        name = f"bench/model-{i:03d}"
        folder = target / name.replace("/", "__")
        shutil.copytree(SUBMISSIONS / source, folder, ignore=shutil.ignore_patterns("verification.json"))
        toml = folder / "model.toml"
        text = toml.read_text(encoding="utf-8").replace(f'name = "{source.replace("__", "/")}"', f'name = "{name}"')
        toml.write_text(text, encoding="utf-8")
        for path in folder.glob("*.json"):
            if (
                path.with_suffix("").with_suffix(".ranks.parquet").exists()
                or (folder / f"{path.stem}.ranks.parquet").exists()
            ):
                key = source, path.stem, i // len(SOURCES) % VARIANTS
                if key not in made:
                    made[key] = noisy(read_result(SUBMISSIONS / source / path.name), name, key[2])
                result = made[key]
                document = result.document.model_copy(
                    update={"model": result.document.model.model_copy(update={"name": name})}
                )
                Result(document, result.ranks, result.ranks_file).save(target, force=True)
            else:
                document = json.loads(path.read_text(encoding="utf-8"))
                document["model"]["name"] = name
                path.write_text(json.dumps(document), encoding="utf-8")


def sort_milliseconds(site):
    """Of a click on a heading until the table stands in its new order, the median of ten."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto((site / "index.html").as_uri())
        ready = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
        script = """() => {
            const button = document.querySelector('#board th[data-key="mlqa-r.monolingual.mAP"] button');
            const taken = [];
            for (let i = 0; i < 10; i++) {
                const begin = performance.now();
                button.click();
                document.body.offsetHeight;
                taken.push(performance.now() - begin);
            }
            return taken.sort((a, b) => a - b)[5];
        }"""
        middle = page.evaluate(script)
        browser.close()
    return ready, middle


def main():
    counts = [int(number) for number in sys.argv[1:]] or [5, 500]
    print("| models | seconds to build | front page, kB | ms until it is ready | ms for a sort, median of ten |")
    print("|---|---|---|---|---|")
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            board, site = Path(folder) / "submissions", Path(folder) / "site"
            models(board, count)
            # Whoever builds a site again finds the submissions on record as accepted.
            os.environ["CLIRBENCH_CACHE"] = str(Path(folder) / "cache")
            read_board([board])
            begin = time.perf_counter()
            build_site(board, site)
            seconds = time.perf_counter() - begin
            size = (site / "index.html").stat().st_size / 1000
            ready, middle = sort_milliseconds(site)
            print(f"| {count} | {seconds:.1f} | {size:,.0f} | {ready:.0f} | {middle:.0f} |")


if __name__ == "__main__":
    main()
