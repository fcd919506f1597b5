"""The content of a model's page for each of its results."""

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.board.site.bias_in_words import bias_in_words
from clirbench.board.site.charts import histogram
from clirbench.board.site.content import Cell, estimate_cell, heat, number, shown_cell
from clirbench.board.site.language_bars import language_bars
from clirbench.board.site.questions import hardest_questions, has_questions
from clirbench.board.site.script_matrix import MANY, jumps_by_script, pairs_by_script, queue_jumps, scripts_of
from clirbench.encoders.base import DTYPES, SIMILARITIES, takes_options
from clirbench.metrics.bias import BIAS, OVERALL_BIAS, PoolLists, rank_distance, shown_as
from clirbench.metrics.per_topic import TopicTable
from clirbench.metrics.retrieval import RankedLists
from clirbench.results.evidence import not_recomputable
from clirbench.results.result import Result
from clirbench.results.schema import Document, EstimatePart, MtebDocument, Reported
from clirbench.results.scripts import by_script
from clirbench.results.stated import stated_settings
from clirbench.submissions.model_toml import Reproduce
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.task import SETTINGS
from clirbench.tasks.task_file import list_tasks

# Words of a command that stand for what only the submitters have.
_ONLY_THEIRS = ("FOLDER", "MODULE:FACTORY", "SAMPLE.jsonl", "HOST:PORT", "FIRST+RERANKER", "TASK.toml")


def command(document: Document, model_argument: str | None = None) -> str:
    """The command that reproduces a result. ``model_argument`` is what ``--model`` takes where the result's name does not say it.

    Without it, FOLDER, MODULE:FACTORY, SAMPLE.jsonl and HOST:PORT stand for what only the submitter has. So does FIRST+RERANKER:
    a result names its two stages in one name, which cannot be taken apart. TASK.toml stands for a task of the submitter's own.
    """
    model, encoder = document.model, document.encoder
    local = model.revision_kind == "folder-sha256" and model.kind != "bundled"
    served, factory = model.kind == "endpoint", model.kind == "own"
    name = "FOLDER" if local else "MODULE:FACTORY" if factory else model.name
    if model.kind == "mteb":
        name = f"mteb:{model.name}"
    if model.kind == "rerank":
        name = "rerank:FIRST+RERANKER"
    if served:
        # The page must not bring its readers to send their key to a stranger's server.
        name = "http://HOST:PORT/v1#" + document.environment.device.partition("#")[2]
    name = model_argument or name
    # Only models that sentence-transformers runs have these options, and those of a server the prompts.
    own = takes_options(model.kind, encoder.query_max_length)
    chosen = own and encoder.similarity in SIMILARITIES
    options = {
        "--name": (local or factory or model.kind == "rerank" or (served and not name.endswith(f"#{model.name}")))
        and model.name,
        "--revision": (served or model.revision_kind == "hub-commit") and model.revision,
        # A reader's release of mteb, or the model's configuration, may have other prompts: those of the result are spelt out.
        "--prompts": own and "none",
        "--query-prompt": (own or served) and encoder.query_prompt,
        "--candidate-prompt": (own or served) and encoder.candidate_prompt,
        "--max-length": own and encoder.query_max_length == encoder.candidate_max_length and encoder.query_max_length,
        "--similarity": chosen and encoder.similarity,
        "--dtype": own and encoder.dtype in DTYPES and encoder.dtype,
        "--backend": encoder.backend,
        "--encode-task": encoder.query_task and f"{encoder.query_task},{encoder.candidate_task}",
        "--truncate-dim": encoder.truncate_dim,
        "--transform": encoder.transform,
        "--transform-sample": encoder.transform_sample not in (None, "pool") and "SAMPLE.jsonl",
        "--quantise": encoder.quantise,
        "--depth": encoder.depth,
        "--quantise-sample": encoder.quantise_sample not in (None, "pool") and "SAMPLE.jsonl",
    }
    task = document.task.id if document.task.id in list_tasks() else "TASK.toml"
    words = ["clirbench", "run", "--model", name, "--tasks", task]
    words += [word for option, value in options.items() if value for word in (option, str(value))]
    words += ["--trust-remote-code"] if document.environment.trust_remote_code else []
    return shlex.join(words)


def measured_task(
    result: Result,
    key: str,
    reproduce: Reproduce | None = None,
    tables: Mapping[tuple[str, str], TopicTable] | None = None,
) -> dict[str, Any]:
    """The content of a model's page for one measured task. ``reproduce`` says how a reader gets the model.

    ``tables`` are those of :func:`clirbench.metrics.scores.headline_tables`, if they were computed before.
    """
    document = result.document
    languages, bias = document.task.languages, document.task.bias
    settings = [setting for setting in SETTINGS if setting in document.task.settings]
    # A branch moves, so no command gives its ranks again.
    line = None if document.model.revision_problem else command(document, reproduce.model if reproduce else None)
    return {
        "document": document,
        "headline": [
            (name, [estimate_cell(document.headline.get(setting, {}).get(name), setting) for setting in settings])
            for name in document.task.metrics
        ],
        "settings": settings,
        "bias": _bias(document),
        "words": bias_in_words(document),
        **_matrices(result),
        "questions": hardest_questions(result) if has_questions(result) else None,
        "bounded": _bounded(result),
        "by_language": language_bars(result, tables),
        "distances": _distances(result, key, tables)
        if "rank_distance" in bias and document.encoder.depth is None
        else None,
        "command": line,
        "needs": [word for word in _ONLY_THEIRS if word in (line or "")],
        "lengths": _lengths(document),
        "believed": not_recomputable(document, result.ranks),
        "stated": stated_settings(document),
        "many": len(languages) > MANY,
        "languages": languages,
    }


def _bounded(result: Result) -> str:
    """What of the candidates before a gold the ranks give, and what they only bound."""
    known = ["the gold's"] if not result.document.model.scores_by_pool else []
    known += ["the question's"] if result.ranks.query_language_above is not None else []
    if not known:
        return "The ranks only bound them: two numbers are the fewest and the most. Their sum is exact."
    return (
        f"The ranks give them for {' and '.join(known)} language. For other languages they give bounds: two numbers are the "
        "fewest and the most. The sum over all languages is exact."
    )


def reported_task(document: Reported) -> dict[str, Any]:
    """The content of a model's page for reported figures."""
    columns = [(s, m) for s, numbers in document.headline.items() for m in numbers]
    return {
        "document": document,
        "columns": ["rank distance" if s == "bias" else f"{s} {m}" for s, m in columns],
        "headline": [estimate_cell(document.headline[s][m], s) for s, m in columns],
        "rows": [
            (
                language,
                [estimate_cell(EstimatePart(value=row.get(s, {}).get(m), low=None, high=None), s) for s, m in columns],
            )
            for language, row in document.per_language.items()
        ],
    }


def mteb_task(document: MtebDocument) -> dict[str, Any]:
    """The content of a model's page for one of mteb's own tasks: the main score by subset."""
    return {
        "document": document,
        "mean": Cell(number(document.mean), document.mean),
        "rows": [(name, Cell(number(value), value)) for name, value in document.main_scores.items()],
    }


def _bias(document: Document) -> list[tuple[str, Cell, str, str]]:
    rows = []
    for name, estimate in document.headline.get("bias", {}).items():
        scale, digits, unit = shown_as(name)
        shown = shown_cell(estimate, scale, 0 if unit == "ranks" else digits)
        description = BIAS[name].description if name in BIAS else OVERALL_BIAS[name].description
        rows.append((name, shown, unit, description))
    return rows


def _matrices(result: Result) -> dict[str, Any]:
    """The matrix of language pairs and that of queue jumps: by language, or by script where there are many languages."""
    document, languages = result.document, result.document.task.languages
    metric = document.compact.metric if document.compact else "mAP"
    jumps = queue_jumps(result) if "multilingual" in document.task.settings else None
    if scripts := scripts_of(document):
        return {
            "pairs": None,
            "jumps": None,
            "scripts": scripts,
            "script_pairs": pairs_by_script(document, metric, heat) if document.has_pairs else None,
            "script_jumps": None if jumps is None else jumps_by_script(result, jumps, around_chance),
            "script_rows": _script_rows(document, metric),
            "metric": metric,
        }
    ratio = None if jumps is None else dict(zip(languages, jumps.matrix.tolist(), strict=True))
    place = {language: i for i, language in enumerate(languages)}
    return {
        # By query and candidate language; the diagonal is monolingual.
        "pairs": _matrix(languages, lambda q, c: document.pair_value(q, c, metric), heat, 100, 1)
        if document.has_pairs
        else None,
        # By query language and the language that jumps.
        "jumps": ratio and _matrix(languages, lambda q, c: _known(ratio[q][place[c]]), around_chance, 1, 2),
        "scripts": {},
        "metric": metric,
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _script_rows(document: Document, metric: str) -> list[tuple[str, int, list[Cell]]]:
    """By script, how many languages it has, and its numbers (:func:`clirbench.results.scripts.by_script`)."""
    return [
        (
            one.script,
            len(one.languages),
            [
                *(
                    Cell(number(v), v, heat=heat(v))
                    for v in (one.monolingual, one.same_script, one.other_scripts, one.multilingual)
                ),
                Cell(number(one.rank_distance, 1, 0), one.rank_distance),
                Cell(
                    number(one.preference, 1, 2),
                    one.preference,
                    heat=around_chance(one.preference) if one.preference else "",
                ),
            ],
        )
        for one in by_script(document, metric)
    ]


def _matrix(
    languages: Sequence[str],
    value_of: Callable[[str, str], float | None],
    shade: Callable[[float], str],
    scale: float,
    digits: int,
) -> list[tuple[str, list[Cell]]]:
    """A row for each query language, with a cell for each language."""

    def cell(query: str, other: str) -> Cell:
        value = value_of(query, other)
        colour = "" if value is None else shade(value)
        return Cell(number(value, scale, digits), value, mark="own" if query == other else "", heat=colour)

    return [(query, [cell(query, other) for other in languages]) for query in languages]


def around_chance(ratio: float) -> str:
    """The class of a queue-jump ratio's colour: "o1" to "o8" above 1, the last for four times; "u1" to "u8" below it."""
    step = round(4 * math.log2(min(max(ratio, 0.25), 4.0)))
    return f"o{step}" if step > 0 else f"u{-step}" if step else ""


def _lengths(document: Document) -> dict[str, Any] | None:
    """How many tokens the texts of a language are for the model, and which share of them it cuts; None if nobody counted."""
    roles = [role for role in ("query", "candidate") if role in (document.lengths or {})]
    if not roles or document.lengths is None:
        return None
    counted = {role: document.lengths[role] for role in roles}
    fewest = {role: min((part.mean_tokens for part in parts.values()), default=0.0) for role, parts in counted.items()}
    rows = []
    for language in document.task.languages:
        cells = []
        for role, parts in counted.items():
            part = parts.get(language)
            tokens = part.mean_tokens if part else None
            times = tokens / fewest[role] if tokens is not None and fewest[role] else None
            shares = (part.cut, part.unknown) if part else (None, None)
            cells += [
                Cell(number(tokens, 1), tokens),
                Cell("–" if times is None else f"x{times:.2f}", times),
                # No language at all is cut, or some are: colour shows which.
                *(Cell(number(share), share, heat=heat(share) if share else "") for share in shares),
            ]
        rows.append((language, cells))
    return {"roles": ["queries" if role == "query" else "candidates" for role in roles], "rows": rows}


def _single_distances(result: Result, tables: Mapping[tuple[str, str], TopicTable] | None) -> NDArray[np.float64]:
    """The rank distance of each query that has one, float64 (queries,)."""
    if tables is not None and (table := tables["bias", "rank_distance"]).counts.max(initial=0) <= 1:
        # Each cell is one query.
        return table.sums[table.counts > 0]
    ranks = result.ranks
    if ranks.pool_rank is None:
        raise ClirbenchError(
            f"{result.document.model.name}: holds no ranks in the multilingual pool: run clirbench check"
        )
    lists = RankedLists.of(ranks.query, ranks.pool_rank)
    pool = sum(result.document.counts.candidates.values())
    # Rank distance asks for no language.
    unread = np.zeros(len(ranks), dtype=np.int32)
    values = rank_distance(PoolLists(lists, unread > 0, unread, pool))
    return values[~np.isnan(values)]


def _distances(result: Result, key: str, tables: Mapping[tuple[str, str], TopicTable] | None) -> dict[str, Any]:
    values, pool = _single_distances(result, tables), sum(result.document.counts.candidates.values())
    edges = [0.0, *(float(10**i * f) for i in range(1, 5) for f in (1, 3) if 10**i * f < pool), float(pool)]
    counts, _ = np.histogram(values, edges)
    shares = (counts / max(len(values), 1)).tolist()
    title = f"{result.document.task.id}: rank distance of single queries"
    return {
        "rows": [
            (f"{a:,.0f} to {b:,.0f}", f"{100 * s:.1f} %") for a, b, s in zip(edges, edges[1:], shares, strict=False)
        ],
        "chart": histogram(f"{key}-spread", title, edges, shares, "ranks between first and last gold"),
    }
