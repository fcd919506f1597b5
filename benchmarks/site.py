"""The site of 5 and of 500 models: CPU seconds and memory to build it, its bytes, and how long a sort and a comparison take.

    python benchmarks/site.py            # about ten minutes on two idle cores
    python benchmarks/site.py 5 60       # other numbers of models; about two minutes
    python benchmarks/site.py --write    # into the docs

The models are noisy copies of the repository's submissions, and were checked before. "Nothing kept" reads and computes everything
else. "One changed" follows other ranks of one of them, with its check. CPU seconds are of the command and of all its processes,
its start included. The site leaves the submitted files where they lie (--files). Needs Chromium for the last three numbers.
"""

import argparse
import hashlib
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import blocks
import numpy as np

from clirbench.board.kept_files import kept_root
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


def change(board, number, count):
    """Give one model the ranks of a variant that no other has."""
    source, folder = SOURCES[number % len(SOURCES)], board / f"bench__model-{number:03d}"
    for path in sorted(folder.glob("*.json")):
        if (folder / f"{path.stem}.ranks.parquet").exists():
            made = noisy(read_result(SUBMISSIONS / source / path.name), f"bench/model-{number:03d}", VARIANTS + count)
            made.save(board, force=True)


def built(board, site):
    """Build a site in a process of its own: CPU seconds, also of its processes, and the most megabytes that it held itself."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, __file__, "--build", str(board), str(site)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, float(done.stdout.splitlines()[-1])


def build(board, site):
    # The files lie where the submissions do, as those of a repository.
    build_site(board, site, about=About(files="https://example.org/submissions"))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def megabytes(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def in_chromium(site, times):
    """Lists: ms until the front page is ready, ms of sorts (click to layout), and seconds to compare two models."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        ready, compared = [], []
        for _ in range(times):
            page.goto("about:blank")
            page.goto((site / "index.html").as_uri())
            ready.append(page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"))
        script = """() => {
            const button = document.querySelector('.panel.on th[data-key$=".monolingual.mAP"] button.sort');
            const taken = [];
            for (let i = 0; i < 10; i++) {
                const begin = performance.now();
                button.click();
                document.body.offsetHeight;
                taken.push(performance.now() - begin);
            }
            return taken;
        }"""
        sorts = page.evaluate(script)
        two = "bench__model-000,bench__model-001"
        for _ in range(times):
            page.goto("about:blank")
            begin = time.perf_counter()
            page.goto((site / "compare.html").as_uri() + f"#task=xquad-r&models={two}")
            page.locator("#state", has_text="Done").wait_for(timeout=120_000)
            compared.append(time.perf_counter() - begin)
        browser.close()
    return ready, sorts, compared


def measured(count, times):
    """The numbers of a site of so many models, by what they are."""
    with tempfile.TemporaryDirectory() as folder:
        board, site, cache = (Path(folder) / name for name in ("submissions", "site", "cache"))
        models(board, count)
        # Whoever builds a site again finds the submissions on record as accepted.
        os.environ["CLIRBENCH_CACHE"] = str(cache)
        check_submissions(inside(board))
        cold, changed = [], []
        for _ in range(times):
            for kept in ("entries", "site"):
                shutil.rmtree(kept_root() / kept, ignore_errors=True)
            cold.append(built(board, site))
        for i in range(times):
            change(board, 1, i)
            changed.append(built(board, site))
        ready, sorts, compared = in_chromium(site, times)
        return {
            "CPU seconds to build, nothing kept": _shown([seconds for seconds, _ in cold], 1),
            "CPU seconds to build, one changed": _shown([seconds for seconds, _ in changed], 1),
            "MB of memory of the building process, at most": f"{max(held for _, held in cold + changed):.0f}",
            "MB of the site": f"{megabytes(site):.0f}",
            "MB of the submitted files, which are not in it": f"{megabytes(board):.0f}",
            "kB of the front page": f"{(site / 'index.html').stat().st_size / 1000:,.0f}",
            "ms until the front page is ready": _shown(ready, 0),
            "ms to sort the table": _shown(sorts, 0),
            "seconds to compare two models": _shown(compared, 1),
        }


def _shown(values, digits):
    return f"{min(values):.{digits}f} / {statistics.median(values):.{digits}f}"


def device():
    """The processor's name and the number of its cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{name}, {os.cpu_count()} cores"


def main():
    if sys.argv[1:2] == ["--build"]:
        build(*map(Path, sys.argv[2:]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=int, default=[5, 500], help="numbers of models (5 and 500)")
    parser.add_argument("--times", type=int, default=3, help="how often each is measured (3); a sort ten times")
    parser.add_argument("--write", action="store_true", help="write the table into the docs")
    arguments = parser.parse_args()
    columns = [measured(count, arguments.times) for count in arguments.models]
    rows = [
        f"| minimum / median of {arguments.times}; {device()} |{''.join(f' {n} models |' for n in arguments.models)}",
        "|---|" + "---:|" * len(columns),
        *(f"| {what} |{''.join(f' {column[what]} |' for column in columns)}" for what in columns[0]),
    ]
    print("\n".join(rows))
    if arguments.write:
        blocks.write("site-benchmark", "\n".join(rows))


if __name__ == "__main__":
    main()
