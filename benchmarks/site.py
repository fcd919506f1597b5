"""The site of 5 and of 500 models: CPU seconds and memory to build it, its bytes, and how long a sort and a comparison take.

    python benchmarks/site.py

The 500 are noisy copies of the repository's submissions. They were checked before: "to build" reads and computes everything else,
and "with one changed" follows a change of one of them, with its check. CPU seconds are of all processes. The site leaves the
submitted files where they lie (--files). Needs Chromium for the last three numbers.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from clirbench.board.site.build import About, build_site
from clirbench.metrics.scores import compute_scores
from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.results.ranks_file import encode_ranks
from clirbench.results.result import Result, read_result
from clirbench.results.scored import headline_of
from clirbench.submissions.check_many import check_submissions, inside

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


def built(board, site):
    """Build a site in a process of its own: CPU seconds, also of its processes, and the most megabytes that it held itself."""
    done = subprocess.run(
        [sys.executable, __file__, "--build", str(board), str(site)], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def build(board, site):
    import resource

    before = os.times()
    # The files lie where the submissions do, as those of a repository.
    build_site(board, site, about=About(files="https://example.org/submissions"))
    after = os.times()
    parts = ("user", "system", "children_user", "children_system")
    seconds = sum(getattr(after, part) - getattr(before, part) for part in parts)
    print(json.dumps({"cpu": seconds, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def megabytes(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def in_chromium(site):
    """Milliseconds until the page is ready and of a sort (click to layout, median of ten), and seconds to compare two models."""
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
            const button = document.querySelector('.panel.on th[data-key$=".monolingual.mAP"] button.sort');
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
        two = "bench__model-000,bench__model-001"
        page.goto("about:blank")
        begin = time.perf_counter()
        page.goto((site / "compare.html").as_uri() + f"#task=xquad-r&models={two}")
        page.locator("#state", has_text="Done").wait_for(timeout=120_000)
        seconds = time.perf_counter() - begin
        browser.close()
    return ready, middle, seconds


def main():
    if sys.argv[1:2] == ["--build"]:
        build(*map(Path, sys.argv[2:]))
        return
    counts = [int(number) for number in sys.argv[1:]] or [5, 500]
    print(
        "| models | CPU seconds to build | with one changed | MB of memory | MB of site | MB of submitted files | front page, kB "
        "| ms until it is ready | ms for a sort, median of ten | s to compare two |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            board, site = Path(folder) / "submissions", Path(folder) / "site"
            models(board, count)
            # Whoever builds a site again finds the submissions on record as accepted.
            os.environ["CLIRBENCH_CACHE"] = str(Path(folder) / "cache")
            check_submissions(inside(board))
            cold = built(board, site)
            toml = board / "bench__model-001" / "model.toml"
            toml.write_text(toml.read_text(encoding="utf-8") + "# A line more.\n", encoding="utf-8")
            warm = built(board, site)
            size = (site / "index.html").stat().st_size / 1000
            ready, middle, compared = in_chromium(site)
            print(
                f"| {count} | {cold['cpu']:.1f} | {warm['cpu']:.1f} | {max(cold['megabytes'], warm['megabytes']):.0f} "
                f"| {megabytes(site):.0f} | {megabytes(board):.0f} | {size:,.0f} | {ready:.0f} | {middle:.0f} | {compared:.1f} |"
            )


if __name__ == "__main__":
    main()
