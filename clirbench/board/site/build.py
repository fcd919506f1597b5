"""`clirbench site build`: make a folder of plain files from submissions. Each build deletes the last one."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from markdown_it import MarkdownIt
from markupsafe import Markup

from clirbench.board.crew import Crew
from clirbench.board.entries import Entry
from clirbench.board.folders import accept
from clirbench.board.kept_entries import recalled
from clirbench.board.kept_files import writable_root
from clirbench.board.names import families, row_name
from clirbench.board.site import content, history
from clirbench.board.site.charts import ladder
from clirbench.board.site.cite import bibliography
from clirbench.board.site.embeds import badge, embeds
from clirbench.board.site.kept import Kept, KeptPage, Store, prepare
from clirbench.board.site.model_page import measured_task
from clirbench.board.site.plot import axes, plot_points, scatter
from clirbench.board.site.portrait import portraits
from clirbench.board.site.preview import preview, preview_rows
from clirbench.board.site.questions import has_questions, questions_script, topics_of_task_script
from clirbench.board.site.render import QUESTION, rendered
from clirbench.board.site.script_matrix import script_matrix_script, scripts_of
from clirbench.board.site.scripts import languages_script, rows_script, script_json, topics_file
from clirbench.board.site.task_page import default_examples, protocol
from clirbench.board.site.win_page import matrices, place, wins_csv
from clirbench.board.standing import GROUPS, group, standing, verified_share
from clirbench.board.story import story
from clirbench.board.table import frame_of, ranks_by_main
from clirbench.board.text import board_text
from clirbench.board.verdict import verdict
from clirbench.board.wins import Wins, by_main, wins
from clirbench.metrics.catalogue import metric_rows
from clirbench.metrics.significance import CONFIDENCE, PERMUTATIONS, RANK_PERMUTATIONS, REPLICATES
from clirbench.results.result import Result
from clirbench.submissions import verification
from clirbench.submissions.model_toml import evaluation_sets
from clirbench.submissions.safe_read import JSON_LIMIT, RANKS_LIMIT
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import only_writer, write_atomically, writing
from clirbench.support.links import link_problem
from clirbench.support.paths import data_dir
from clirbench.support.progress import Reporter, Silent
from clirbench.tasks.task_file import board_columns, board_tasks, first_on_board, settled_tasks

MARK = ".clirbench-site"
# File that marks a folder of docs: docs/build.py replaces the whole folder.
DOCS_MARK = ".clirbench-docs"
# The tasks with pages, and what the board says of itself.
Site = tuple[Sequence[str], "About"]
# What is kept of a submission (:mod:`clirbench.board.site.kept`), and its portrait by task.
Model = tuple[Kept, Mapping[str, Mapping[str, Any]]]


class About(NamedTuple):
    """What a board says of itself: its repository, its own address, its date, and where its submissions lie. Each may be empty.

    The date is then that of the newest verification, and the submitted files are copied into the site.
    """

    repository: str = ""
    address: str = ""
    date: str = ""
    files: str = ""
    # Whether a picture of the board was drawn; a build sets it.
    picture: bool = False

    @classmethod
    def checked(cls, repository: str, address: str, date: str, files: str = "") -> "About":
        """What the options of a build say; a :class:`ClirbenchError` names one that is no plain https address, or no day."""
        for option, link in (("--repository", repository), ("--address", address), ("--files", files)):
            if link and (fault := link_problem(link)):
                raise ClirbenchError(f"{option} {fault}")
        return cls(repository, address, history.a_day(date, "--date"), files)


class Making(NamedTuple):
    """What a build works with: what is kept, and what receives its progress."""

    store: Store
    reporter: Reporter


def build_site(
    submissions: Path,
    output: Path,
    reporter: Reporter | None = None,
    also: Sequence[Path] = (),
    about: About | None = None,
    snapshot: str = "",
) -> int:
    """Build the site of one folder of submissions, and others ``also``; return the number of its pages.

    The same input gives the same bytes. ``snapshot`` is a day, YYYY-MM-DD: the site then keeps a copy of itself under
    ``snapshots/`` and that day. Copies that earlier builds kept in ``output`` stay.

    Submissions that ``clirbench check`` refuses have no place on the site; the reporter shows which they are. The folder
    ``output`` is replaced if an earlier build made it. A :class:`ClirbenchError` is raised if it holds anything else, if it
    cannot be written, if another build writes it at the moment, if no submission is accepted, or if a copy of that day is kept
    already.
    """
    reporter = reporter or Silent()
    output, folders = output.resolve(), [submissions, *also]
    if output == output.parent or any(folder.resolve().is_relative_to(output) for folder in folders):
        raise ClirbenchError(f"{output}: holds the submissions, or everything: pass another --output")
    remedy = "choose another --output"
    with only_writer(output, remedy), writing(output, remedy):
        part, old = (output.with_name(f".{output.name}.{ending}") for ending in ("part", "old"))
        if not output.exists() and old.is_dir():
            # A build was killed between its last two renames.
            old.replace(output)
        docs = output / "docs"
        kept = [docs] if (docs / DOCS_MARK).is_file() else []
        copies = history.kept_in(output)
        left = {*kept, *([copies] if copies else [])}
        if output.exists() and not (output / MARK).is_file() and (output.is_file() or set(output.iterdir()) != left):
            raise ClirbenchError(f"{output}: holds something else than a site: pass another --output, or empty it")
        history.a_day(snapshot, "--snapshot")
        history.refuse_again(output, snapshot)
        shutil.rmtree(part, ignore_errors=True)
        with writable_root() as root, Crew() as crew, settled_tasks():
            accepted = accept(folders, reporter)
            keys = {path: accepted.record.key_of(path) for path in accepted.paths}
            store, work = Store(root), partial(prepare, root=root)
            shown = recalled(keys, store.recall, lambda new: crew.run(work, new), reporter)
            pages = _write(shown, part, Making(store, reporter), about or About(), (copies, snapshot))
            store.trim(len(shown))
        if kept:
            # docs/build.py builds the docs beside the board, before or after it, so they are kept.
            shutil.rmtree(part / "docs")
            shutil.copytree(docs, part / "docs")
        # The old site is whole until the new one is: a build that is killed loses neither it nor the docs.
        shutil.rmtree(old, ignore_errors=True)
        if output.exists():
            output.replace(old)
        part.replace(output)
        shutil.rmtree(old, ignore_errors=True)
    return pages


def _write(
    kept: Sequence[Kept], target: Path, making: Making, about: About, dated: tuple[Path | None, str] = (None, "")
) -> int:
    """Write all pages. ``dated`` has the folder of earlier dated copies, and the day of a new one or ""."""
    entries = [one.entry for one in kept]
    write_atomically(target / MARK, b"made by clirbench site build; replaced as a whole by the next one\n")
    for path in sorted((data_dir("site") / "assets").iterdir()):
        write_atomically(target / "assets" / path.name, path.read_bytes())
    # A task without results has no page.
    tasks = [task for task in board_tasks() if any(task in entry.results for entry in entries)]
    tested = {task: wins(entries, task) for task in tasks}
    ranks = {task: ranks_by_main(by_number, task) for task, by_number in tested.items()}
    across = [task for task in tasks if board_tasks()[task].across_languages]
    about = about._replace(date=about.date or dated[1] or _newest(entries))
    frame = frame_of(entries, tasks, ranks)
    _write_data(kept, frame, target)
    panels = {task: _panel(entries, [task], ranks, frame, by_main(tested[task], task)) for task in tasks}
    about = about._replace(picture=_draw(panels[tasks[0]], target, making.reporter) if about.address else False)
    beside = portraits(entries, tested)
    models = [(one, beside[one.entry.folder.name]) for one in kept]
    _write_models(models, target, (tasks, about), making)
    page = partial(_page, target, shipped=tasks, about=about)
    stories = {task: told for task in across if (told := story(frame, task))}
    page(
        "index.html",
        "index.html",
        stories={task: told.sentence for task, told in stories.items()},
        ladders=[(task, ladder(f"story-{task}", told.biased.name, told.steps)) for task, told in stories.items()][:1],
        overview=_panel(entries, tasks, ranks, frame) if len(tasks) > 1 else None,
        panels=list(panels.values()),
        facets=_facets([row for panel in panels.values() for row in panel["rows"]]),
        languages=sorted({language for task in across for language in board_tasks()[task].languages}),
        counts={
            "measured": sum(entry.origin == "measured" for entry in entries),
            "verified": sum(standing(entry, tasks) == "verified" for entry in entries),
            "reported": sum(entry.origin == "reported" for entry in entries),
        },
        plots=[(task, scatter(plot_points(entries, task), task)) for task in across][:1],
    )
    explained = {"metrics": metric_rows(), "worked": content.worked_example()}
    examples = default_examples()
    for task in tasks:
        page(
            f"tasks/{task}.html",
            "task.html",
            task=board_tasks()[task],
            panel=panels[task],
            facets=_facets(panels[task]["rows"]),
            languages=sorted(board_tasks()[task].languages) if task in across else [],
            by_language=_language_table(entries, task),
            protocol=protocol(board_tasks()[task]),
            examples=examples,
            **explained,
        )
    folders = {entry.label: entry.folder.name for entry in entries}
    page("aggregate.html", "aggregate.html", **content.over_tasks(frame, folders))
    tested = {task: by_number for task, by_number in tested.items() if by_number}
    page("wins.html", "wins.html", parts=matrices(tested))
    for task, one in ((task, one) for task, by_number in tested.items() for one in by_number):
        _write_text(target / place(task, one), wins_csv(one))
    plotted = [(task, axis, plot_points(entries, task, axis)) for task in across for axis in axes(task)]
    drawn = [(task, axis, scatter(points, task, axis)) for task, axis, points in plotted if points]
    page("figures.html", "figures.html", plots=drawn)
    cited = bibliography(entries, tasks, about.date, about.address or about.repository)
    _write_text(target / "data" / "cite.js", f"clirCite({script_json(cited)});\n")
    _write_text(target / "data" / "board.bib", "\n\n".join(dict.fromkeys(chain.from_iterable(cited.values()))) + "\n")
    page("docs/index.html", "docs.html")
    write_atomically(target / "docs" / DOCS_MARK, b"holds the place of what docs/build.py makes\n")
    # Models are compared topic by topic from their ranks, and reported figures have no ranks.
    comparable = [
        {"folder": entry.folder.name, "label": row_name(entry), "tasks": chosen}
        for entry in entries
        if (chosen := [t for t, r in entry.results.items() if isinstance(r, Result) and t in across])
    ]
    page("compare.html", "compare.html", models=comparable, tasks=across)
    facts: dict[str, Any] = {
        "replicates": REPLICATES,
        "permutations": PERMUTATIONS,
        "rank_permutations": RANK_PERMUTATIONS,
    }
    facts |= {"agree": verification.AGREE, "close": verification.CLOSE, "noise": verification.MAP_NOISE}
    facts |= {"confidence": CONFIDENCE, "json_limit": JSON_LIMIT, "ranks_limit": RANKS_LIMIT}
    facts |= {"verify_task": first_on_board(streamed=False), "verify_languages": verification.SAMPLE_LANGUAGES}
    declared = [board_tasks()[task] for task in tasks]
    page("method.html", "method.html", tasks=declared, changelog=_changelog(), facts=facts, **explained)
    history.keep_snapshots(target, *dated, about.address)
    return 6 + len(tasks) + len(entries) + history.write_history(target, page)


def _draw(panel: Mapping[str, Any], target: Path, reporter: Reporter) -> bool:
    """Draw the picture that links to the board show; whether it could be drawn."""
    column = next(column for column in panel["columns"] if column.key == panel["main"])
    title = f"{panel['name']}: {column.name.lower()}, {column.under}"
    picture = preview(QUESTION, " ".join(panel["verdict"]), title, preview_rows(panel))
    if picture is None:
        reporter.note("no picture for links to the board: pip install 'clirbench[plot]' has what draws it")
        return False
    write_atomically(target / "assets" / "preview.png", picture)
    return True


def _newest(entries: Sequence[Entry]) -> str:
    """The date of the newest verification; "" without one."""
    return max((entry.verification.date for entry in entries if entry.verification), default="")


def _panel(
    entries: Sequence[Entry],
    tasks: Sequence[str],
    ranks: Mapping[str, Mapping[Path, tuple[int, int]]],
    frame: pd.DataFrame,
    tested: Wins | None = None,
) -> dict[str, Any]:
    """A table of one task, or over all of them, with what stands above it.

    Models are in the order of the main number, in the groups of :data:`clirbench.board.standing.GROUPS`; rows that fold under
    one follow it. Published figures that do not compare are in a group of their own.
    """
    alone = tasks[0] if len(tasks) == 1 else None
    present = [entry for entry in entries if any(task in entry.results for task in tasks)]
    ranked = [task for task in tasks if any(entry.folder in ranks[task] for entry in present)]
    shown = content.columns(alone, bool(ranked)) if alone else content.overview_columns(tasks, ranked)
    mains = [".".join((task, *board_columns(task).main)) for task in tasks]
    main = "mean" if any(column.key == "mean" for column in shown) else mains[0]

    def row(entry: Entry) -> dict[str, Any]:
        return content.board_row(entry, tasks, {task: ranks[task].get(entry.folder) for task in tasks})

    def order(one: dict[str, Any]) -> tuple[Any, ...]:
        values = [one["cells"][key].value for key in dict.fromkeys((main, *mains))]
        return (one["group"], *[(v is None, -(v or 0)) for v in values], one["label"])

    rows: list[dict[str, Any]] = []
    groups: dict[tuple[int, bool], list[dict[str, Any]]] = {}
    models: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    for first, variants in families(present):
        top, below = row(first), sorted(map(row, variants), key=order)
        models.append((top, [one for one in below if one["group"] == top["group"]]))
        # What stands in another group than its model folds under nothing.
        models += [(one, []) for one in below if one["group"] != top["group"]]
    for head, below in sorted(models, key=lambda model: order(model[0])):
        head |= {"of": "", "best": content.folded(head, below, alone, tested) if alone else {}}
        under = [one | {"of": head["folder"], "best": {}} for one in below]
        groups.setdefault((head["group"], head["aside"] != ""), []).extend([head, *under])
    for key in sorted(groups):
        rows += groups[key]
    content.colours(rows, shown)
    name = board_tasks()[alone].name if alone else "Overview"
    measured = [one for one in present if one.origin == "measured"]
    return {
        "task": alone or "overview",
        "name": name,
        "columns": shown,
        "main": main,
        "rows": rows,
        "groups": [(_group_title(key, groups[key]), groups[key]) for key in sorted(groups)],
        "verdict": verdict(frame, alone, tested) if alone else [],
        "caption": f"{name}: {content.column_kinds(alone)}" if alone else "All tasks: their main numbers x100",
        "about": _what_it_is(alone) if alone else "",
        "share": verified_share([standing(one, tasks) for one in measured]),
    }


def _group_title(key: tuple[int, bool], rows: Sequence[Mapping[str, Any]]) -> str:
    """The heading of a group of rows; "" for the rows with ranks, which need none."""
    place, aside = key
    if GROUPS[place] == "reported" and aside:
        reasons = "; ".join(dict.fromkeys(row["aside"] for row in rows))
        return f"Published figures, not comparable with the rows above: {reasons}"
    return {
        "measured": "",
        "reported": "Published figures: not run here, neither recomputed nor tested",
        "differs": "Run again with other ranks: these are not the ranks of the named models",
    }[GROUPS[place]]


def _what_it_is(task: str) -> str:
    facts = board_tasks()[task]
    questions = sum(facts.counts["queries"].values()) if facts.streamed else facts.counts["topics"]
    return f"{questions:,} questions in {len(facts.languages)} languages"


def _facets(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    return {key: sorted({row[key] for row in rows}) for key in ("origin", "zero_shot", "licence_kind")}


def _language_table(entries: Sequence[Entry], task: str) -> dict[str, Any]:
    """A task's main number by query language, models in the groups and the order of the board."""
    languages = list(board_tasks()[task].languages)
    setting, metric = board_columns(task).main
    rows = []
    for entry in entries:
        document = entry.on(task)
        by_language = document.per_language if document else {}
        values = [by_language.get(language, {}).get(setting, {}).get(metric) for language in languages]
        if any(value is not None for value in values):
            estimate = entry.estimate(task, setting, metric)
            mean = estimate.value if estimate and estimate.value is not None else 0.0
            cells = [content.Cell(content.number(value), value, heat=content.heat(value)) for value in values]
            rows.append(
                (
                    group(standing(entry, [task])),
                    -mean,
                    entry.label,
                    entry.folder.name,
                    cells,
                    content.origin(entry, [task]),
                )
            )
    rows.sort(key=lambda row: row[:3])
    return {"languages": languages, "rows": rows, "what": f"{setting} {metric}"}


def _write_models(models: Sequence[Model], target: Path, site: Site, making: Making) -> None:
    making.reporter.start("pages (models)", len(models))
    for one, portrait in models:
        _write_model(one, making.store.model(one), portrait, target, site)
        making.reporter.advance("pages (models)", 1)


def _write_model(
    one: Kept, page: KeptPage, portrait: Mapping[str, Mapping[str, Any]], target: Path, site: Site
) -> None:
    """Write one model's page, its files to download, its badges, and the scripts that pages load of it."""
    entry, name = one.entry, one.entry.folder.name
    for kind, content_by_task in page.scripts.items():
        for task, script in content_by_task.items():
            path = target / "data" / kind / f"{name}.{topics_file(task) if kind == 'topics' else f'{task}.js'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(script)
    if not site[1].files:
        (target / "files" / name).mkdir(parents=True, exist_ok=True)
        for file, _, _ in page.files:
            shutil.copyfile(entry.folder / file, target / "files" / name / file)
    shared = embeds(name, row_name(entry), {t: board_tasks()[t].name for t in entry.results}, portrait, site[1].address)
    for here in shared:
        task, origin = here["task"], content.origin(entry, [here["task"]])
        row = {"name": row_name(entry), "folder": name, "task": task, "here": portrait[task], "origin": origin}
        _write_text(target / here["badge"], badge(board_tasks()[task].name, here["said"], origin, site[1].date))
        _page(target, here["frame"], "embed.html", about=site[1], **row)
    _page(
        target,
        f"models/{name}.html",
        "model.html",
        shipped=site[0],
        about=site[1],
        entry=entry,
        name=row_name(entry),
        origin=content.origin(entry, list(entry.results)),
        tasks=page.tasks,
        portrait=portrait,
        shared=shared,
        compared=[task for task in entry.results if board_tasks()[task].across_languages],
        mteb_results=page.mteb_results,
        files=page.files,
        zero_shot=[(task, entry.model.zero_shot(task)) for task in evaluation_sets() if task in entry.model.trained_on],
    )


def build_result_page(result: Result, output: Path) -> Path:
    """Write a page of one result, with its files beside it, into a folder; the path of the page. It opens from disk.

    The folder is replaced as a whole if an earlier call made it. A :class:`ClirbenchError` is raised if it holds anything else.
    """
    output, document = output.resolve(), result.document
    remedy = "choose another --page"
    with only_writer(output, remedy), writing(output, remedy):
        if output.exists() and not (output / MARK).is_file() and (output.is_file() or any(output.iterdir())):
            raise ClirbenchError(f"{output}: holds something else than a page: pass another --page, or empty it")
        shutil.rmtree(output, ignore_errors=True)
        write_atomically(output / MARK, b"made by clirbench show --page; replaced as a whole by the next one\n")
        for name in ("page.js", "style.css", "model.css", "model.js"):
            write_atomically(output / "assets" / name, (data_dir("site") / "assets" / name).read_bytes())
        path = result.save(output / "result")
        task, folder = document.task.id, path.parent.name
        _write_scripts(result, output, folder)
        if has_questions(result):
            _write_text(output / "data" / "questions" / f"{task}.js", topics_of_task_script(result))
        known = board_tasks()[task].name if task in board_tasks() else task
        files = [str(one.relative_to(output)) for one in (path, path.with_name(document.ranks.file))]
        content_of = {"task": task, "t": measured_task(result, "t"), "folder": folder, "here": None, "reproduce": None}
        _page(output, "index.html", "result.html", more_names={task: known}, files=files, compared=[], **content_of)
    return output / "index.html"


def _write_scripts(result: Result, target: Path, name: str) -> None:
    """Write what a page loads of a result when a reader chooses a cell of a matrix."""
    task = result.document.task.id
    if scripts_of(result.document):
        _write_text(target / "data" / "scripts" / f"{name}.{task}.js", script_matrix_script(result, name))
    if has_questions(result):
        _write_text(target / "data" / "questions" / f"{name}.{task}.js", questions_script(result, name))


def _write_data(kept: Sequence[Kept], frame: pd.DataFrame, target: Path) -> None:
    write_atomically(target / "data" / "board.csv", board_text(frame, "csv").encode())
    write_atomically(target / "data" / "board.json", board_text(frame, "json").encode())
    records = board_text(frame.assign(folder=_folders([one.entry for one in kept], frame)), "json")
    write_atomically(target / "data" / "board.js", f"clirBoard({script_json(json.loads(records))});\n".encode())
    for task in board_tasks():
        asked = (one.entry.results.get(task) for one in kept)
        some = next((one for one in asked if isinstance(one, Result) and has_questions(one)), None)
        if some is not None:
            _write_text(target / "data" / "questions" / f"{task}.js", topics_of_task_script(some))
        write_atomically(
            target / "data" / "rows" / f"{task}.js", rows_script(_rows(kept, "opened", task), task).encode()
        )
    known = {language for facts in board_tasks().values() for language in facts.languages}
    write_atomically(target / "data" / "languages.js", languages_script(known).encode())
    pairs = {task: _rows(kept, "pairs", task) for task, facts in board_tasks().items() if facts.across_languages}
    write_atomically(target / "data" / "pairs.js", f"clirPairs({script_json(pairs)});\n".encode())


def _rows(kept: Sequence[Kept], part: str, task: str) -> dict[str, Any]:
    """A part of what is kept for scripts of the board, by submission, of those that have it on a task."""
    return {one.entry.folder.name: one.rows[part][task] for one in kept if task in one.rows[part]}


def _folders(entries: Sequence[Entry], frame: pd.DataFrame) -> list[str]:
    folders = {entry.label: entry.folder.name for entry in entries}
    return [folders[label] for label in frame["model"]]


def _page(target: Path, place: str, template: str, **values: Any) -> None:
    _write_text(target / place, rendered(place, template, **values))


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def _changelog() -> Markup:
    text = data_dir("CHANGELOG.md").read_text(encoding="utf-8")
    # A link to a file of the repository does not work on a page, so only its words stay.
    text = re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]+\)", r"\1", text)
    # The changelog is ours, and HTML in it is turned off. Its headings are one level below the page's heading.
    html = MarkdownIt("commonmark", {"html": False}).render(text.partition("\n## ")[1] + text.partition("\n## ")[2])
    return Markup(re.sub(r"(</?h)([23])>", lambda tag: f"{tag[1]}{int(tag[2]) + 1}>", html))  # noqa: S704
