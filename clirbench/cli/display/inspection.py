"""The output of `clirbench inspect`: texts that outranked the golds."""

from rich.console import Console, Group
from rich.text import Text

from clirbench.results.inspect import Inspection, Topic
from clirbench.support.errors import printable, shortened
from clirbench.support.terminal import PlainTable, plain_table, title

_LONG = 160


def inspection_tables(inspection: Inspection, console: Console) -> Group:
    """Each topic with its golds and the candidates before them, then the languages of the wrong candidates."""
    number, language = len(inspection.topics), inspection.query_language
    model = printable(inspection.model)
    parts: list[Text | PlainTable] = [
        title(f"{model} on {inspection.task}: the worst {number} topics asked in {language}")
    ]
    if inspection.differing:
        parts.append(
            Text(
                f"{inspection.differing} ranks differ from the result's: "
                "another machine, package or version rounds otherwise",
                style="yellow",
            )
        )
    for topic in inspection.topics:
        parts += _topic(topic, language, console)
    parts.append(Text())
    if inspection.first:
        said = ", ".join(f"{language} {count}" for language, count in inspection.first.items())
        parts.append(Text(f"language of the best wrong candidate, over these topics: {said}"))
    if inspection.confusion:
        parts.append(title(f"which languages outrank the answers, over all topics asked in {language}"))
        table = plain_table(
            console, ("candidate language", "share", "over its share of the pool"), left=("candidate language",)
        )
        for candidate_language, (share, ratio) in inspection.confusion.items():
            table.add_row(candidate_language, f"{100 * share:.1f} %", "-" if ratio is None else f"x{ratio:.2f}")
        parts.append(table)
    return Group(*parts)


def _topic(topic: Topic, query_language: str, console: Console) -> list[Text | PlainTable]:
    headings = ("rank", "score", "language", "", "text")
    table = plain_table(console, headings, left=headings[2:], keep=("text",))
    # If there are many golds, only the first, the last, and those in the query's language are shown.
    own = [gold for gold in topic.golds if gold.language == query_language]
    golds = dict.fromkeys([topic.golds[0], *own, topic.golds[-1]])
    for text in sorted({*golds, *topic.before}, key=lambda text: text.rank):
        mark = Text("gold", style="green") if text.gold else Text("")
        table.add_row(f"{text.rank:,}", f"{text.score:.4f}", text.language, mark, _short(text.text))
    above = Text(f"{printable(topic.topic)}  {_short(topic.question)}", style="bold")
    hidden = len(topic.golds) - len(golds)
    more = [Text(f"and {hidden} more golds between the first and the last", style="dim")] if hidden else []
    return [Text(), above, table, *more]


def _short(text: str) -> str:
    return shortened(printable(" ".join(text.split())), _LONG)
