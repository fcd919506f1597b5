"""The tables of results: what `clirbench run`, `show` and `score --run` print. Shares are shown x100, with one decimal."""

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.text import Text

from clirbench.metrics.bias import better, shown_as
from clirbench.results.schema import Document, EstimatePart, MtebDocument, RunDocument
from clirbench.results.scripts import by_script, in_two_scripts
from clirbench.results.stated import stated_settings
from clirbench.support.errors import printable
from clirbench.support.terminal import PlainTable, cell, plain_table, title
from clirbench.tasks.task import SETTINGS
from clirbench.tasks.task_file import list_tasks, load_task


def print_summary(documents: Sequence[Document], console: Console) -> None:
    """Print the main numbers of one model, a row per task, and then each task by query language.

    Tasks with another main metric get a table of their own.
    """
    for metric in dict.fromkeys(document.main_metric for document in documents):
        alike = [document for document in documents if document.main_metric == metric]
        console.print(_headlines(alike, metric, console))
    for document in documents:
        console.print(_by_language(document, console))
        # Remarks of the task file on the settings that were run, which a reader must know before comparing.
        remarks = load_task(document.task.id).remarks if document.task.id in list_tasks() else {}
        for setting in document.task.settings:
            if setting in remarks:
                console.print(f"{setting}: {remarks[setting]}", soft_wrap=True)
        if document.graded:
            console.print(
                f"{document.task.id} has grades: nDCG counts them as gains, and every other metric counts golds alike",
                soft_wrap=True,
            )
        if document.compact is not None:
            console.print(
                f"{document.task.id} has many languages: ranks above {document.compact.exact} are rounded by at most "
                f"{100 * document.compact.largest_error:.1f} %, and so are mAP, rank distance and what else reads them",
                soft_wrap=True,
            )
        if not document.task.complete:
            console.print(
                f"* restricted to {','.join(document.task.languages)} ({', '.join(document.task.settings)}): "
                "not comparable with a full run",
                style="yellow",
                soft_wrap=True,
            )
    console.print(_legend(documents))


def _headlines(documents: Sequence[Document], metric: str, console: Console) -> Group:
    """One row per task; ``metric`` is the main metric of all these tasks."""
    parallel, settings, second = _columns(documents)
    more = ["rank distance", "Max@R\nnorm."] if parallel else [f"{settings[0]}\n{name}" for name in second]
    table = plain_table(console, ("task", *settings, *more), left=("task",))
    for document in documents:
        bias = document.headline.get("bias", {})
        table.add_row(
            _task_label(document),
            *(_margin(document.headline.get(s, {}).get(metric), 100) for s in settings),
            *([_margin(bias.get("rank_distance"), 1), _margin(bias.get("Max@R_normalised"), 100)] if parallel else []),
            *(_margin(document.headline.get(settings[0], {}).get(name), 100) for name in second),
        )
    return Group(title(f"{model_label(documents[0])}: {metric} x100 ± 95 % margin"), table)


def _legend(documents: Sequence[Document]) -> Text:
    """Which way is better, for the columns that these results have."""
    lines = ["higher is better; rank distance: lower is better" if _columns(documents)[0] else "higher is better"]
    by_language = [numbers for document in documents for numbers in document.per_language.values()]
    if any(numbers.get("bias", {}).get("own_language_preference") is not None for numbers in by_language):
        lines.append("own-lang. preference: best near x1.00; above it, texts in the question's language jump the queue")
    depth = documents[0].encoder.depth
    numbers = [
        number.value for document in documents for part in document.headline.values() for number in part.values()
    ]
    if depth is not None and None in numbers:
        lines.append(f"-: reads ranks below the {depth:,} candidates that the second stage orders")
    return Text("\n".join(lines), overflow="fold")


def pair_table(document: Document, metric: str, console: Console) -> Group:
    """One metric by language pair, as a heat map: query languages down, candidate languages across.

    The diagonal is the monolingual setting. A task without language pairs gives an empty group, and one with many languages a
    line, since no terminal is so wide.
    """
    if not document.has_pairs:
        return Group()
    languages = document.task.languages
    if document.compact is not None:
        told = f"{metric} of {len(languages):,} x {len(languages):,} language pairs: 'compact.pairs' in the result file"
        none = f"{metric} has no numbers by language pair: only {document.compact.metric} has, with so many languages"
        return Group(Text(told if metric == document.compact.metric else none, overflow="fold"))
    above = title(f"{_task_label(document)}: {metric} x100, query language down, candidate language across")
    table = plain_table(console, ("", *languages), left=("",), blocks=True)
    for query in languages:
        cells = [_heat(document.pair_value(query, x, metric), query == x, console) for x in languages]
        table.add_row(query, *cells)
    return Group(above, table)


def script_tables(document: Document, metric: str, console: Console) -> Group:
    """One metric by script, and of each language that is there in two scripts; empty where languages have no scripts."""
    scripts, pairs = by_script(document, metric), in_two_scripts(document, metric)
    groups: list[RenderableType] = []
    if scripts:
        across = "cross-lingual\nsame script", "cross-lingual\nother scripts"
        more = "multilingual", "rank distance", "own-script\npreference"
        table = plain_table(console, ("script", "languages", "monolingual", *across, *more), left=("script",))
        for row in scripts:
            shares = row.monolingual, row.same_script, row.other_scripts, row.multilingual
            preference = "-" if row.preference is None else f"x{row.preference:.2f}"
            numbers = *(cell(share, 100) for share in shares), cell(row.rank_distance, 1), preference
            table.add_row(row.script, str(len(row.languages)), *numbers)
        groups += [title(f"{_task_label(document)} by script of the query: {metric} x100, means over languages"), table]
    if pairs:
        both = (
            "monolingual\nfirst",
            "second",
            "first asks\nsecond",
            "second asks\nfirst",
            "multilingual\nfirst",
            "second",
        )
        table = plain_table(console, ("first", "second", *both), left=("first", "second"))
        for pair in pairs:
            values = *pair.monolingual, *pair.across, *pair.multilingual
            table.add_row(pair.first, pair.second, *(cell(value, 100) for value in values))
        groups += [title(f"{_task_label(document)}: one language in two scripts, {metric} x100"), table]
    return Group(*groups)


def trec_run_table(document: RunDocument, console: Console) -> Group:
    """The scores of a TREC run that another tool made, and how many queries it lacks."""
    language = document.task.languages[0]
    where = f"{document.task.id}, {language}, monolingual"
    above = title(f"{printable(document.model)} on {where}: x100 ± 95 % margin, depth = {document.depth}")
    table = plain_table(console, ("metric", "value"), left=("metric",))
    for name, estimate in document.headline["monolingual"].items():
        table.add_row(name, "needs a deeper run" if estimate.value is None else _margin(estimate, 100))
    parts: list[Text | PlainTable] = [above, table]
    if document.run.missing:
        parts.append(
            Text(f"{document.run.missing:,} of {document.run.queries:,} queries are not in the run: they count as 0")
        )
    return Group(*parts)


def mteb_table(documents: Sequence[MtebDocument], console: Console) -> Group:
    """One row per task of mteb's own: the mean of the main score over the subsets, with the lowest and the highest."""
    headings = ("task of mteb", "score", "subsets", "mean x100", "lowest", "highest")
    words = ("task of mteb", "score", "lowest", "highest")
    table = plain_table(console, headings, left=words, keep=("mean x100",))
    for document in documents:
        scores = document.main_scores
        values = {name: score for name, score in scores.items() if score is not None}
        ordered = sorted(values, key=values.__getitem__)
        ends = [f"{printable(name)} {cell(values[name], 100)}" for name in (ordered[:1] + ordered[-1:])]
        table.add_row(document.task, printable(document.main_score), str(len(scores)), cell(document.mean, 100), *ends)
    name, version = printable(documents[0].model.name), printable(documents[0].mteb_version)
    return Group(title(f"{name}: mteb's own tasks, evaluated by mteb {version}"), table)


def headline_tables(document: Document, console: Console) -> Group:
    """Every headline number of a result with its margin: metrics by setting, then the measures of bias."""
    settings = [setting for setting in SETTINGS if setting in document.headline]
    metrics = plain_table(console, ("metric x100", *settings), left=("metric x100",))
    for name in document.task.metrics:
        metrics.add_row(name, *(_margin(document.headline[s].get(name), 100) for s in settings))
    bias = plain_table(console, ("bias", "value", "unit", "better"), left=("bias", "unit", "better"))
    for name, estimate in document.headline.get("bias", {}).items():
        scale, digits, unit = shown_as(name)
        bias.add_row(name, _margin(estimate, scale, digits), unit, better(name))
    return Group(title(f"{_task_label(document)}: macro averages ± 95 % margin"), metrics, bias)


def settings_table(document: Document, console: Console) -> Group:
    """How the texts of a result were encoded, and by language how the model reads them."""
    above = title(f"{_task_label(document)}: how it was encoded")
    table = plain_table(console, ("setting", "value"), left=("setting", "value"))
    for name, value in stated_settings(document).items():
        table.add_row(name, printable(value))
    groups: list[RenderableType] = [above, table]
    if document.lengths is not None:
        roles = [role for role in ("query", "candidate") if role in document.lengths]
        heads = [f"{role}\n{what}" for role in roles for what in ("tokens", "cut %", "unknown %")]
        lengths = plain_table(console, ("language", *heads), left=("language",))
        for language in document.task.languages:
            parts = [document.lengths[role].get(language) for role in roles]
            shown = [
                (cell(part.mean_tokens, 1), cell(part.cut, 100), cell(part.unknown, 100)) if part else ("-",) * 3
                for part in parts
            ]
            lengths.add_row(language, *(value for values in shown for value in values))
        what = "Mean tokens a text before the cut, with prompt; share of texts that are cut; share of tokens that are unknown"
        groups += [title(what), lengths]
    if document.indistinguishable is not None:
        shares = document.indistinguishable
        roles = [role for role in ("query", "candidate") if role in shares]
        alike = plain_table(console, ("language", *(f"{role} %" for role in roles)), left=("language",))
        for language in document.task.languages:
            alike.add_row(language, *(cell(shares[role].get(language), 100) for role in roles))
        groups += [title("Share of texts that the model cannot tell from another text"), alike]
    return Group(*groups)


def _task_label(document: Document) -> str:
    """The task's identifier, with a star if the run was restricted to some languages or settings."""
    return document.task.id if document.task.complete else f"{document.task.id}*"


def model_label(document: Document) -> str:
    """The model's name, with what tells its variants apart, such as "+ lir:2"."""
    name, variant = printable(document.model.name), document.encoder.variant
    return f"{name} + {variant}" if variant else name


def _columns(documents: Sequence[Document]) -> tuple[bool, Sequence[str], Sequence[str]]:
    """Whether a task of the table is parallel, the settings to show, and a second metric.

    Only parallel tasks have rank distance. Other tasks show a second metric instead.
    """
    if any("rank_distance" in document.task.bias for document in documents):
        return True, SETTINGS, ()
    return False, documents[0].task.settings, documents[0].task.metrics[1:2]


def _by_language(document: Document, console: Console) -> Group:
    metric = document.main_metric
    parallel, settings, second = _columns([document])
    above = title(f"{_task_label(document)} by query language: {metric} x100")
    more = ["rank distance"] if parallel else [f"{settings[0]}\n{name}" for name in second]
    table = plain_table(console, ("language", *settings, *more, "own-lang.\npreference"), left=("language",))
    for language, numbers in document.per_language.items():
        bias = numbers.get("bias", {})
        preference = bias.get("own_language_preference")
        table.add_row(
            language,
            *(cell(numbers.get(setting, {}).get(metric), 100) for setting in settings),
            *([cell(bias.get("rank_distance"), 1)] if parallel else []),
            *(cell(numbers.get(settings[0], {}).get(name), 100) for name in second),
            "-" if preference is None else f"x{preference:.2f}",
        )
    return Group(above, table)


def _margin(estimate: EstimatePart | None, scale: float, digits: int = 1) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    shown = cell(estimate.value, scale, digits)
    return shown if estimate.margin is None else f"{shown} ±{cell(estimate.margin, scale, digits)}"


def _heat(value: float | None, diagonal: bool, console: Console) -> Text:
    text = Text(cell(value, 100))
    if value is None or not console.is_terminal:
        return text
    # One hue, from dark to light: readable on both dark and light terminals because the text colour is set as well.
    shade = round(30 + 190 * min(max(value, 0), 1))
    text.stylize(f"{'black' if shade > 120 else 'white'} on rgb({shade // 4},{shade},{shade // 2 + 40})")
    if diagonal:
        text.stylize("bold underline")
    return text
