"""Numbers of a result by script, and of languages that it has in two scripts. They follow from the numbers by language.

A script is the part of a language's code after the underscore, as in ``arb_Latn`` (FLORES-200): ISO 15924's four letters. A code
without one, such as ``ar``, has the usual script of its language. A result has numbers by script if each language has one.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from clirbench.results.schema import Document
from clirbench.support.languages import script_of


@dataclass(frozen=True)
class OfScript:
    """The numbers of one script: means over its languages as query languages; None where no language has the number.

    Attributes:
        script: Its four letters.
        languages: Its languages, in the task's order.
        monolingual: The metric in the pool of the query's language.
        same_script: The metric against the pool of another language in this script, mean over pairs.
        other_scripts: The metric against the pool of a language in another script, mean over pairs.
        multilingual: The metric in the pool of all languages.
        rank_distance: Of its queries.
        preference: Own-script preference (:func:`own_script_preference`).
    """

    script: str
    languages: tuple[str, ...]
    monolingual: float | None
    same_script: float | None
    other_scripts: float | None
    multilingual: float | None
    rank_distance: float | None
    preference: float | None


@dataclass(frozen=True)
class TwoScripts:
    """One language in two scripts: the metric of each, in the order ``first``, ``second``; None where it was not run.

    ``across`` has the first script's queries against the second script's candidates, then the other way round.
    """

    first: str
    second: str
    monolingual: tuple[float | None, float | None]
    across: tuple[float | None, float | None]
    multilingual: tuple[float | None, float | None]


def by_script(document: Document, metric: str) -> list[OfScript]:
    """The numbers of each script, those of most languages first.

    None if the script of a language is not known, all languages have one script, or each has one of its own.
    """
    script = _scripts(document.task.languages)
    names = sorted(set(script.values()), key=lambda name: (-list(script.values()).count(name), name))
    if not 1 < len(names) < len(script):
        return []
    rows = []
    for name in names:
        own = tuple(language for language in script if script[language] == name)
        others = [language for language in script if script[language] != name]
        per_language = document.per_language
        rows.append(
            OfScript(
                script=name,
                languages=own,
                monolingual=_mean(per_language.get(x, {}).get("monolingual", {}).get(metric) for x in own),
                same_script=_mean(document.pair_value(x, y, metric) for x in own for y in own if x != y),
                other_scripts=_mean(document.pair_value(x, y, metric) for x in own for y in others),
                multilingual=_mean(per_language.get(x, {}).get("multilingual", {}).get(metric) for x in own),
                rank_distance=_mean(per_language.get(x, {}).get("bias", {}).get("rank_distance") for x in own),
                preference=_mean(own_script_preference(document, x) for x in own),
            )
        )
    return rows


def in_two_scripts(document: Document, metric: str) -> list[TwoScripts]:
    """The languages of a result that it has in two scripts, in the task's order; a language in three makes three pairs."""
    script = _scripts(document.task.languages)
    pairs = [
        (a, b)
        for a, b in combinations(script, 2)
        if a.partition("_")[0] == b.partition("_")[0] and script[a] != script[b]
    ]

    def of(setting: str, pair: tuple[str, str]) -> tuple[float | None, float | None]:
        first, second = (document.per_language.get(x, {}).get(setting, {}).get(metric) for x in pair)
        return first, second

    return [
        TwoScripts(
            *(a, b),
            monolingual=of("monolingual", (a, b)),
            across=(document.pair_value(a, b, metric), document.pair_value(b, a, metric)),
            multilingual=of("multilingual", (a, b)),
        )
        for a, b in pairs
    ]


def own_script_preference(document: Document, language: str) -> float | None:
    """How much more often wrong candidates in the script of a query language outrank a gold than their share of the pool.

    Candidates in the query's own language are left out of both shares: they are the subject of own-language preference. So the
    value says whether *other* languages jump the queue because they look alike. 1 is none, 2 is twice as often. None where
    nothing outranks a gold, or no other language has the script.
    """
    script, counts = _scripts(document.task.languages), document.counts.candidates
    jumps = document.jumps_of(language)
    others = [x for x in script if x != language]
    alike = [x for x in others if script[x] == script[language]]
    jumped, pool = sum(jumps.get(x, 0) for x in others), sum(counts.get(x, 0) for x in others)
    expected = sum(counts.get(x, 0) for x in alike) / pool if pool else 0
    return sum(jumps.get(x, 0) for x in alike) / jumped / expected if jumped and expected else None


def _scripts(languages: Sequence[str]) -> dict[str, str]:
    """The script of each language; nothing if one has none."""
    known = {language: script_of(language) for language in languages}
    return {language: script for language, script in known.items() if script} if all(known.values()) else {}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
