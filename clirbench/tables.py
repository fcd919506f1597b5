"""The board and comparisons as people read them: tables x100 with one decimal, CSV, JSON, Markdown, LaTeX."""

import json
import re
from collections.abc import Sequence

import pandas as pd
from rich.console import Console, Group
from rich.text import Text

from clirbench.board import HEADLINE, LANGUAGES, MAIN
from clirbench.comparison import Comparison, Contrast, sentence
from clirbench.errors import ClirbenchError
from clirbench.screen import cell, plain_table, title
from clirbench.tasks import SETTINGS

FORMATS = ("table", "csv", "json", "markdown", "latex")
_SHORT = {"monolingual": "mono", "cross-lingual": "cross", "multilingual": "multi", "bias": ""}
_NAMES = {"rank_distance": "rank dist.", "R@100": "R@100", "nDCG@10": "nDCG@10"}


def board_text(frame: pd.DataFrame, style: str) -> str:
    """The board as CSV, JSON (both with every column, shares in 0 to 1), Markdown or LaTeX (as shown, x100).

    Raises:
        ClirbenchError: ``style`` is none of these.
    """
    if style == "csv":
        return str(frame.map(_inert).to_csv(index=False, lineterminator="\n"))
    if style == "json":
        records = frame.astype(object).where(frame.notna(), None).to_dict("records")
        return json.dumps(records, indent=1, ensure_ascii=False) + "\n"
    shown = shown_board(frame)
    if style == "markdown":
        rows = [list(shown.columns), ["---"] * len(shown.columns), *shown.to_numpy().tolist()]
        return "".join("| " + " | ".join(_markdown(value) for value in row) + " |\n" for row in rows)
    if style == "latex":
        return str(shown.style.hide(axis="index").format(escape="latex").to_latex(hrules=True))
    raise ClirbenchError(f"--format is '{style}': use {', '.join(FORMATS)}")


def shown_board(frame: pd.DataFrame) -> pd.DataFrame:
    """The board as text: one column per headline number, "-" where it is missing; tasks that nobody ran are left out."""
    shown = pd.DataFrame({"model": frame["model"]})
    tasks = [
        t
        for t in HEADLINE
        if any(_key(t, s, m) in frame and frame[_key(t, s, m)].notna().any() for s, m in HEADLINE[t])
    ]
    for task in tasks:
        ranks = zip(frame[f"{task} rank low"], frame[f"{task} rank high"], strict=True)
        shown[f"{task} rank"] = [_interval(low, high) for low, high in ranks]
        for setting, metric in HEADLINE[task]:
            key, scale = _key(task, setting, metric), 1 if setting == "bias" else 100
            short = " ".join(filter(None, (_SHORT[setting], _NAMES.get(metric, ""))))
            three = zip(frame[key], frame[f"{key} low"], frame[f"{key} high"], strict=True)
            cells = [_number(value, low, high, scale) for value, low, high in three]
            partial = (frame[f"{task} languages"] < LANGUAGES[task]).fillna(False).tolist()
            shown[f"{task} {short}"] = [
                f"{text}*" if fewer and text != "-" else text for text, fewer in zip(cells, partial, strict=True)
            ]
        shown[f"{task} zero-shot"] = frame[f"{task} zero-shot"].replace("", "-")
    shown["mean multi"] = [cell(None if pd.isna(value) else value, 100) for value in frame["mean"]]
    shown["tasks"] = frame["coverage"]
    shown["parameters"] = ["-" if pd.isna(value) else f"{int(value):,}" for value in frame["parameters"]]
    shown["origin"] = [
        "verified" if verified.startswith("agree") else "differs" if verified else origin
        for origin, verified in zip(frame["origin"], frame["verified"], strict=True)
    ]
    return shown


def board_tables(frame: pd.DataFrame, console: Console) -> Group:
    """One table per task, for the terminal."""
    shown = shown_board(frame)
    parts: list[object] = []
    for task in HEADLINE:
        columns = [column for column in shown.columns if column.startswith(f"{task} ")]
        present = [
            i for i in range(len(shown)) if any(shown.iloc[i][c] != "-" for c in columns if not c.endswith("zero-shot"))
        ]
        if not columns or not present:
            continue
        order = frame.loc[present].assign(reported=frame["origin"] == "reported")
        by = ["reported", _key(task, *MAIN[task])]
        table = plain_table(console)
        for column in ("model", *columns, "parameters", "origin"):
            left = column in ("model", "origin") or column.endswith("zero-shot")
            table.add_column(
                column.removeprefix(f"{task} "), justify="left" if left else "right", no_wrap=column == "model"
            )
        for i in order.sort_values(by, ascending=[True, False], na_position="last").index:
            row = shown.loc[i]
            style = "dim italic" if row["origin"] == "reported" else ""
            table.add_row(*(str(row[c]) for c in ("model", *columns, "parameters", "origin")), style=style)
        parts += [title(f"{task}: x100 ± 95 % margin; rank: what pairwise tests over topics cannot exclude"), table]
        if any(str(text).endswith("*") for column in columns for text in shown.loc[present, column]):
            parts.append(Text(f"* mean over fewer than the {LANGUAGES[task]} languages of {task}: not comparable"))
    if (frame["origin"] == "reported").any():
        parts.append(
            Text("reported: figures of a publication, not recomputed and not tested; see their caveats in submissions/")
        )
    return Group(*parts)  # type: ignore[arg-type]


def comparison_tables(comparison: Comparison, console: Console, pairs: bool = False) -> Group:
    """What two models differ in: settings, a sentence per setting, and the language pairs if wanted."""
    first, second = comparison.first, comparison.second
    parts: list[object] = [title(f"{comparison.task}: {first} minus {second}, 95 % interval, paired over topics")]
    table = plain_table(console)
    for heading in ("", first, second, "difference", "95 % interval", "p (Holm)", "shown"):
        table.add_column(heading, justify="left" if heading in ("", "shown") else "right", no_wrap=True)
    for contrast in comparison.of("overall"):
        name = "rank distance" if contrast.setting == "bias" else f"{contrast.setting} {contrast.metric}"
        table.add_row(name, *_cells(contrast), _verdict(contrast, comparison))
    parts.append(table)
    for setting in (*SETTINGS, "bias"):
        if comparison.of("language", setting):
            name = "rank distance" if setting == "bias" else setting
            parts.append(Text(f"{name}: {sentence(comparison, setting)}."))
    won = {sign: sum(c.better == sign for c in comparison.of("pair")) for sign in (1, -1, 0)}
    if sum(won.values()):
        parts.append(
            Text(f"pairs: {first} is better in {won[1]}, {second} in {won[-1]}, no difference shown in {won[0]}.")
        )
    if pairs:
        parts += [title("by language pair, query > candidate"), _pairs(comparison, console)]
    return Group(*parts)  # type: ignore[arg-type]


def _pairs(comparison: Comparison, console: Console) -> object:
    table = plain_table(console)
    for heading in ("pair", comparison.first, comparison.second, "difference", "95 % interval", "p (Holm)", "shown"):
        table.add_column(heading, justify="left" if heading in ("pair", "shown") else "right", no_wrap=True)
    for contrast in comparison.of("pair"):
        name = f"{contrast.query_language} > {contrast.candidate_language}"
        table.add_row(name, *_cells(contrast), _verdict(contrast, comparison))
    return table


def _cells(contrast: Contrast) -> Sequence[str]:
    scale, digits = (1, 0) if contrast.setting == "bias" else (100, 1)
    bounds = "-"
    if contrast.low is not None and contrast.high is not None:
        bounds = f"{contrast.low * scale:+,.{digits}f} to {contrast.high * scale:+,.{digits}f}"
    return (
        cell(contrast.first, scale, digits),
        cell(contrast.second, scale, digits),
        f"{contrast.difference * scale:+,.{digits}f}",
        bounds,
        f"{contrast.p:.4f}",
    )


def _verdict(contrast: Contrast, comparison: Comparison) -> str:
    return {1: f"{comparison.first} is better", -1: f"{comparison.second} is better", 0: "no difference shown"}[
        contrast.better
    ]


def _markdown(value: object) -> str:
    """A cell of a Markdown table: what would end it, or begin markup, is escaped."""
    return re.sub(r"([\\|`*_\[\]<>])", r"\\\1", str(value))


def _inert(value: object) -> object:
    """A text that a spreadsheet would take for a formula, with an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _key(task: str, setting: str, metric: str) -> str:
    return f"{task} {setting} {metric}"


def _interval(low: float | None, high: float | None) -> str:
    if low is None or high is None or pd.isna(low) or pd.isna(high):
        return "-"
    return f"{int(low)}" if low == high else f"{int(low)}-{int(high)}"


def _number(value: float, low: float, high: float, scale: int) -> str:
    if pd.isna(value):
        return "-"
    digits = 0 if scale == 1 else 1
    margin = "" if pd.isna(low) or pd.isna(high) else f" ±{max(high - value, value - low) * scale:,.{digits}f}"
    return f"{cell(value, scale, digits)}{margin}"
