"""What both ablations share: numbers of several seeds with their bootstrap samples, tests paired over topics, and the table."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t

import clirbench
from clirbench.metrics.per_topic import mean_of_present
from clirbench.metrics.scores import headline_tables
from clirbench.metrics.significance import Bootstrap, holm

TASKS = ("xquad-r", "mlqa-r")
TESTED = (("monolingual", "mAP"), ("cross-lingual", "mAP"), ("multilingual", "mAP"), ("bias", "rank_distance"))
PREFERENCE = ("bias", "own_language_preference")
HEADS = {
    TESTED[0]: "monolingual mAP",
    TESTED[1]: "cross-lingual mAP",
    TESTED[2]: "multilingual mAP",
    TESTED[3]: "rank distance",
    PREFERENCE: "own-language preference",
}
# Degrees of freedom of the topics: there are about a thousand.
MANY = 1000


@dataclass(frozen=True)
class Measured:
    """One number of one kind of training.

    Attributes:
        values: The number by seed, float64 (seeds,).
        samples: Its bootstrap samples, float64 (seeds, replicates); resampled topics are the same in all of them.
        spread: Variance of one training over seeds. Zero where nothing was trained.
        known: On how many seeds ``spread`` rests.
    """

    values: np.ndarray
    samples: np.ndarray
    spread: float
    known: int


def measure(paths, like=None):
    """Numbers of the results of one kind of training, one path a seed, by setting (or "bias") and metric.

    ``like`` has the numbers of a kind with several seeds: a training with one seed is taken to vary as much.
    """
    drawn = [_samples(clirbench.read_result(path)) for path in paths]
    numbers = {}
    for key in drawn[0]:
        values = np.array([samples[key][0] for samples in drawn])
        spread, known = (values.var(ddof=1), len(values)) if len(values) > 1 else (0.0, 1)
        if like is not None:
            spread, known = like[key].spread, like[key].known
        numbers[key] = Measured(values, np.stack([samples[key][1] for samples in drawn]), spread, known)
    return numbers


def _samples(run):
    """By setting (or "bias") and metric, a headline number and its bootstrap samples, float64 (replicates,)."""
    tables = headline_tables(run.ranks, run.document.counts.candidates, ["mAP"], ["rank_distance"])
    bootstrap = Bootstrap(len(run.ranks.topics))
    samples = {key: (table.macro, mean_of_present(bootstrap.means([table])[0])) for key, table in tables.items()}
    # A ratio of counts over all topics: it has no value by topic, so it is shown and not tested.
    return samples | {PREFERENCE: (run.score(*PREFERENCE), np.full(1, np.nan))}


def difference_p(a, b):
    """Two-sided p-value of the difference of two kinds of training.

    The difference is that of the means over seeds; with as many seeds on both sides, each seed's runs against each other. Its
    variance is that of resampled topics (the same topics for both sides) plus that over seeds; t with Welch and Satterthwaite's
    degrees of freedom, because few seeds tell their spread badly.
    """
    topics = (a.samples.mean(axis=0) - b.samples.mean(axis=0)).var(ddof=1)
    if len(a.values) == len(b.values) > 1:
        seeds, known = (a.values - b.values).var(ddof=1) / len(a.values), len(a.values)
    else:
        seeds = a.spread / len(a.values) + b.spread / len(b.values)
        known = max(a.known, b.known)
    freedom = (topics + seeds) ** 2 / (topics**2 / MANY + seeds**2 / max(known - 1, 1))
    return 2 * t.sf(abs(a.values.mean() - b.values.mean()) / np.sqrt(topics + seeds), freedom)


def tests(numbers, comparisons, tasks):
    """P-values of conditions against others, Holm-corrected over all of them, by task, measure, condition and reference.

    ``numbers`` has :func:`measure` by task and condition; ``comparisons`` has pairs of a condition and a reference.
    """
    raw = {
        (task, key, condition, other): difference_p(numbers[task, condition][key], numbers[task, other][key])
        for task in tasks
        for key in TESTED
        for condition, other in comparisons
    }
    return dict(zip(raw, holm(np.array(list(raw.values()))), strict=True))


def shown(key, value):
    """A number as the table has it: ranks whole, a ratio as "x1.05", shares times 100."""
    if key == PREFERENCE:
        return f"x{value:.2f}"
    return f"{value:,.0f}" if key[0] == "bias" else f"{100 * value:.1f}"


def cell(numbers, corrected, place, references):
    """Mean over seeds with their spread, and a mark for each reference from which the difference is significant."""
    task, key, condition = place
    values = numbers[task, condition][key].values
    text = shown(key, values.mean())
    if len(values) > 1:
        text += f" ±{shown(key, values.std(ddof=1)).removeprefix('x')}"
    marks = []
    for letter, other in references.items():
        p = corrected.get((task, key, condition, other), corrected.get((task, key, other, condition)))
        if other != condition and p is not None and p < 0.05:
            better = (values.mean() > numbers[task, other][key].values.mean()) != (key[0] == "bias")
            marks.append(f"{'▲' if better else '▼'}{letter}")
    return text + (f" ({' '.join(marks)})" if marks else "")


def claim(work, identity):
    """Take a folder for runs of one recipe and its data; refuse one that holds runs of another."""
    record = work / "ablation.json"
    if record.is_file() and record.read_text(encoding="utf-8") != identity:
        raise SystemExit(f"{work} holds runs of another recipe or other data: give another --work")
    work.mkdir(parents=True, exist_ok=True)
    record.write_text(identity, encoding="utf-8")
