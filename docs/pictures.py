"""The pictures and tables of worked examples in docs/explanation, made from hand-made rankings and clirbench's own functions.

``python docs/pictures.py`` writes the pictures into ``docs/explanation/pictures/`` and the tables between their markers into the
pages; ``--check`` writes nothing and fails (exit code 1) where a file is not what it would write.
"""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import clirbench
from clirbench.metrics.significance import rank_intervals
from clirbench.results.rescore import with_more_bias

PAGES = Path(__file__).resolve().parent / "explanation"
PICTURES = PAGES / "pictures"
SUBMISSIONS = PAGES.parent.parent / "submissions"

# A letter is a candidate, best first: e English, d German, t Thai. A capital is an answer. The query is in Thai.
RANKINGS = {
    "A: treats languages alike": "ETetdDetdetdetdetdetdetd",
    "B: prefers Thai": "TttttttedteEedeedeDdeddd",
    "C: finds nothing": "etdetdetdetdetdetdetdEDT",
}
NAMES = {"e": "English", "d": "German", "t": "Thai"}
CODES = {"e": "en", "d": "de", "t": "th"}
TIES = {
    "no two are equal": {"W": 0.7, "G": 0.8, "H": 0.9},
    "G ties with W": {"W": 0.8, "G": 0.8, "H": 0.9},
    "one score for all": {"W": 0.5, "G": 0.5, "H": 0.5},
}
# Average precision x100 of four models on twelve topics. A and B take turns, and so do C and D; A and B always beat C and D.
TOPICS = {
    "A": (62, 48, 71, 55, 80, 44, 66, 59, 73, 50, 68, 57),
    "B": (58, 53, 66, 61, 74, 49, 69, 54, 77, 47, 64, 58),
    "C": (49, 41, 58, 50, 63, 38, 55, 46, 65, 39, 53, 47),
    "D": (47, 43, 55, 52, 60, 40, 51, 49, 61, 42, 50, 48),
}
# What one shard after the other adds to the count of one gold: candidates with their scores, of which the gold has 0.6.
SHARDS = ((0.9, 0.2, 0.7, 0.1), (0.5, 0.3, 0.4, 0.2), (0.6, 0.8, 0.1, 0.3))
GOLD_SCORE = 0.6


@dataclass(frozen=True)
class Scored:
    """A ranking of the example as clirbench scores it.

    Attributes:
        order: The ranking, a letter per candidate.
        ranks: Rank of each answer in the pool of all languages, by letter.
        own: Rank of each answer among the candidates of its own language.
        bias: Every measure of bias of the Thai query.
        precision: Average precision in the pool of all languages.
        jumps: By language of a wrong candidate, how many of them stand before an answer, summed over the answers.
    """

    order: str
    ranks: dict[str, int]
    own: dict[str, int]
    bias: dict[str, float | None]
    precision: float
    jumps: dict[str, int]

    @property
    def first(self) -> int:
        return min(self.ranks.values())

    @property
    def last(self) -> int:
        return max(self.ranks.values())

    @property
    def chance(self) -> float:
        """Mean rank distance of a random ranking, from the two measures that state it."""
        distance, normalised = self.bias["rank_distance"], self.bias["rank_distance_normalised"]
        assert distance is not None
        assert normalised
        return distance / normalised


class ByScore:
    """An encoder whose product of query and candidate is the number that the candidate's text ends with."""

    revision = None
    similarity = "dot"

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        return np.ones((len(texts), 1), dtype=np.float32)

    def encode_candidates(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[float(text.rsplit(" ", 1)[1])] for text in texts], dtype=np.float32)


def evaluate(candidates: Sequence[tuple[str, float, bool]]) -> clirbench.Result:
    """One topic, asked in every language, against these candidates: (language, score, whether it is an answer)."""
    languages = sorted({language for language, _, _ in candidates})
    with tempfile.TemporaryDirectory() as folder:
        task = Path(folder) / "example.toml"
        task.write_text(
            'format = 1\nid = "example"\nname = "example"\ndescription = "of the documentation"\nlicence = "CC0-1.0"\n'
            f'reader = "jsonl"\nlanguages = {json.dumps(languages)}\n'
            'queries = "queries.jsonl"\ncandidates = "candidates.jsonl"\n'
        )
        queries = [{"topic": "t", "language": language, "text": f"query in {language}"} for language in languages]
        rows = [
            {"language": language, "text": f"{number} {score!r}", "answers": ["t"] if answer else []}
            for number, (language, score, answer) in enumerate(candidates)
        ]
        for name, lines in (("queries", queries), ("candidates", rows)):
            (Path(folder) / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return clirbench.evaluate(ByScore(), clirbench.load_task(str(task)))


def scored(order: str) -> Scored:
    """Score one ranking of the example."""
    result = evaluate([(CODES[c.lower()], float(len(order) - place), c.isupper()) for place, c in enumerate(order)])
    ranks, languages = result.ranks, result.ranks.languages
    letter = {code: letter for letter, code in CODES.items()}
    rows = [row for row in range(len(ranks)) if languages[ranks.query_language[row]] == "th"]
    golds = {letter[languages[ranks.gold_language[row]]]: row for row in rows}
    thai = result.document.per_language["th"]
    jumps = result.document.queue_jump["th"]
    precision = thai["multilingual"]["mAP"]
    assert ranks.pool_rank is not None
    assert precision is not None
    return Scored(
        order,
        {name: int(ranks.pool_rank[row]) for name, row in golds.items()},
        {name: int(ranks.own_rank[row]) for name, row in golds.items()},
        dict(thai["bias"]),
        precision,
        {name: sum(row[code] for row in jumps.values()) for name, code in CODES.items()},
    )


def without(order: str, gold: str) -> float:
    """Average precision once an answer has left the pool."""
    return scored_precision(order.replace(gold, ""))


def scored_precision(order: str) -> float:
    """Average precision of a ranking in the pool of all languages."""
    precision = evaluate([(CODES[c.lower()], float(len(order) - i), c.isupper()) for i, c in enumerate(order)])
    value = precision.document.per_language["th"]["multilingual"]["mAP"]
    assert value is not None
    return value


def tied(scores: dict[str, float]) -> tuple[dict[str, int], float]:
    """Ranks of the answers G and H beside the wrong candidate W, and their average precision."""
    result = evaluate([("en", scores["G"], True), ("en", scores["W"], False), ("en", scores["H"], True)])
    ranks = sorted(int(rank) for rank in result.ranks.own_rank)
    precision = result.score("monolingual", "mAP")
    assert precision is not None
    order = sorted("GH", key=lambda name: (-scores[name], name))
    return dict(zip(order, ranks, strict=True)), precision


def shard_counts() -> list[int]:
    """How many candidates of each shard outrank the gold."""
    counts = []
    for shard in SHARDS:
        result = evaluate([("en", GOLD_SCORE, True), *(("en", score, False) for score in shard)])
        counts.append(int(result.ranks.own_rank[0]) - 1)
    return counts


def ranges() -> dict[str, tuple[int, int]]:
    """The rank ranges of the four models."""
    shares = np.array(list(TOPICS.values()), dtype=np.float64).T / 100 / len(TOPICS["A"])
    return {name: (int(low), int(high)) for name, (low, high) in zip(TOPICS, rank_intervals(shares, True), strict=True)}


# ---------------------------------------------------------------------------------------------------------------- drawing

WIDTH, LEFT, CELL, STEP = 400, 16, 13, 15
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1f2328}.b{font-weight:600}.s{font-size:10px}.m{text-anchor:middle}"
    ".q{fill:#57606a}.card{fill:#fff;stroke:#d0d7de}.w{fill:#eef1f4;stroke:#c3c9d0}.e{fill:#0b62a8}.d{fill:#1a7f5a}"
    ".t{fill:#b3480f}.p{fill:#0b62a8}text.g{fill:#fff;font-weight:700}.l{stroke:#1f2328;fill:none;stroke-width:1.5}.k{stroke:#57606a;"
    "stroke-dasharray:3 2;fill:none}.e,.d,.t{stroke:none}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.q{fill:#9da7b3}.card{fill:#161b22;stroke:#3d444d}"
    ".w{fill:#2a3038;stroke:#4a525c}.l{stroke:#e6edf3}.k{stroke:#9da7b3}.e{fill:#1f6fb2}.d{fill:#267a58}.t{fill:#b9541a}.p{fill:#6cb0f5}}"
)


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """Words at a place."""
    words = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{words}</text>'


def box(x: float, y: float, width: float, height: float, kind: str) -> str:
    """A rectangle."""
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="2"/>'


def line(x: float, y: float, x2: float, y2: float, kind: str = "l") -> str:
    """A straight line."""
    return f'<path class="{kind}" d="M{x:g} {y:g}L{x2:g} {y2:g}"/>'


def svg(title: str, height: float, parts: Sequence[str]) -> str:
    """A picture on a card of its own, so that it can be read whatever stands behind it."""
    card = f'<rect class="card" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1:g}" rx="6"/>'
    body = "\n".join([f"<title>{title}</title><style>{STYLE}</style>", card, *parts])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH * 1.5:g}" '
        f'height="{height * 1.5:g}" role="img">{body}\n</svg>\n'
    )


def strip(y: float, order: str, keep: Callable[[str], bool] = lambda _: True) -> str:
    """A ranking, best on the left; what is not kept leaves its place empty."""
    cells = []
    for place, letter in enumerate(order):
        x = LEFT + place * STEP
        if not keep(letter):
            cells.append(box(x, y, CELL, 20, "k"))
            continue
        gold = letter.isupper()
        cells.append(box(x, y, CELL, 20, letter.lower() if gold else "w"))
        cells.append(text(x + CELL / 2, y + 14, letter, "m g s" if gold else "m s"))
    return "".join(cells)


def centre(rank: int) -> float:
    """Where the middle of a rank's cell is."""
    return LEFT + (rank - 1) * STEP + CELL / 2


def key(y: float) -> str:
    """What letters and colours mean."""
    parts, x = [text(LEFT, y + 12, "answer in", "s q")], LEFT + 54.0
    for letter, name in NAMES.items():
        parts += [box(x, y, CELL, 16, letter), text(x + CELL / 2, y + 12, letter.upper(), "m g s")]
        parts.append(text(x + CELL + 4, y + 12, name, "s q"))
        x += 64
    for letter in NAMES:
        parts += [box(x, y, CELL, 16, "w"), text(x + CELL / 2, y + 12, letter, "m s")]
        x += STEP
    return "".join([*parts, text(x + 4, y + 12, "wrong", "s q")])


def over_rankings(title: str, draw: Callable[[float, Scored], list[str]], each: float = 64) -> str:
    """The three rankings under one another, each with what ``draw`` adds below it."""
    parts = [text(LEFT, 20, "a question in Thai, 24 candidates; best on the left", "s q"), key(28)]
    y = 58.0
    for name, order in RANKINGS.items():
        parts += [text(LEFT, y + 10, name, "b"), strip(y + 16, order), *draw(y + 36, scored(order))]
        y += each
    return svg(title, y + 8, parts)


def bracket(y: float, left: float, right: float) -> str:
    """A bracket below a strip."""
    return f'<path class="l" d="M{left:g} {y + 3:g}v5H{right:g}v-5"/>'


def rank_distance() -> str:
    """Picture of rank distance."""

    def draw(y: float, one: Scored) -> list[str]:
        words = f"{one.last} \N{MINUS SIGN} {one.first} = {one.bias['rank_distance']:g}; "
        words += f"{one.bias['rank_distance_normalised']:.2f} times the {one.chance:g} of chance"
        return [bracket(y, centre(one.first), centre(one.last)), text(LEFT, y + 21, words)]

    return over_rankings("Rank distance: from the first answer to the last", draw, 72)


def max_rank() -> str:
    """Picture of Max@R."""

    def draw(y: float, one: Scored) -> list[str]:
        words = f"last answer at rank {one.bias['Max@R']:g}; normalised {one.bias['Max@R_normalised']:.2f}"
        return [bracket(y, LEFT, centre(one.last)), text(LEFT, y + 21, words)]

    return over_rankings("Max@R: how far one has to read to see every answer", draw, 72)


def complete() -> str:
    """Picture of Comp@10."""

    def draw(y: float, one: Scored) -> list[str]:
        x = LEFT + 10 * STEP - 1
        inside = sum(rank <= 10 for rank in one.ranks.values())
        words = f"{inside} of {len(one.ranks)} answers in the first 10: {one.bias['Comp@10']:g}"
        return [line(x, y - 24, x, y + 5), text(LEFT, y + 18, words)]

    return over_rankings("Comp@10: whether all answers stand in the first ten", draw, 68)


def removal() -> str:
    """Picture of the removal of one answer."""
    parts = [text(LEFT, 20, "ranking B, then without one of its answers", "s q"), key(28)]
    order = RANKINGS["B: prefers Thai"]
    whole, y = scored(order).precision, 58.0
    for gone in ["", "T", "E", "D"]:
        name = f"without the answer in {NAMES[gone.lower()]}" if gone else "all three answers"
        value = without(order, gone) if gone else whole
        words = f"AP {100 * value:.1f}" + (f", a fall of {100 * (whole - value):.1f}" if gone else "")
        words = words.replace("-", "\N{MINUS SIGN}")
        parts += [text(LEFT, y + 10, f"{name}: {words}", "b" if gone == "T" else "")]
        parts.append(strip(y + 16, order.replace(gone, "") if gone else order))
        y += 48
    return svg("Removal of one answer: what average precision owes to it", y + 6, parts)


def preference() -> str:
    """Picture of own-language preference."""

    def draw(y: float, one: Scored) -> list[str]:
        total = sum(one.jumps.values())
        said = ", ".join(f"{name} {one.jumps[letter]}" for letter, name in NAMES.items())
        value = one.bias["own_language_preference"]
        share = f"Thai: {one.jumps['t']} of {total}, where chance gives a third: x{value:.2f}"
        return [text(LEFT, y + 15, f"wrong ones before answers: {said}"), text(LEFT, y + 31, share, "b")]

    return over_rankings("Own-language preference: whose wrong candidates jump the queue", draw, 80)


def pools(name: str) -> list[str]:
    """The pools of the Thai query, each with the ranks of its answers."""
    order = RANKINGS[name]
    one = scored(order)
    said = ", ".join(str(rank) for rank in sorted(one.ranks.values()))
    rows = [("multilingual: all", order, f"answers at ranks {said}")]
    for letter, setting in (("t", "monolingual"), ("e", "cross-lingual"), ("d", "cross-lingual")):
        pool = "".join(c for c in order if c.lower() == letter)
        rows.append((f"{setting}: {NAMES[letter]}", pool, f"the answer at rank {one.own[letter]}"))
    parts, y = [], 58.0
    for title, pool, words in rows:
        parts += [text(LEFT, y + 10, title, "b"), text(LEFT + 170, y + 10, words), strip(y + 16, pool)]
        y += 46
    return parts


def settings() -> str:
    """Picture of the settings."""
    head = [text(LEFT, 20, "a question in Thai, ranked by encoder B; best on the left", "s q"), key(28)]
    return svg("One query in its four pools", 58 + 4 * 46 + 4, [*head, *pools("B: prefers Thai")])


def transfer() -> str:
    """Picture of the transfer ratio."""
    parts = [text(LEFT, 20, "the answer's rank among the candidates of its own language", "s q"), key(28)]
    y = 58.0
    for name, order in RANKINGS.items():
        one = scored(order)
        parts.append(text(LEFT, y + 10, name, "b"))
        for column, letter in enumerate("ted"):
            pool = "".join(c for c in order if c.lower() == letter)
            x = column * (8 * STEP + 6)
            parts.append(f'<g transform="translate({x:g} 0)">{strip(y + 16, pool)}</g>')
        across = (1 / one.own["e"] + 1 / one.own["d"]) / 2
        words = (
            f"across {100 * across:.1f}, Thai alone {100 / one.own['t']:.1f}: ratio {one.bias['transfer_ratio']:.2f}"
        )
        parts.append(text(LEFT, y + 51, words))
        y += 68
    return svg("Transfer ratio: across languages over within the language", y + 4, parts)


def ties() -> str:
    """Picture of the tie rule."""
    parts = [text(LEFT, 20, "W is wrong, G and H are answers; G stands before H in the data", "s q")]
    y = 32.0
    for name, scores in TIES.items():
        ranks, precision = tied(scores)
        at = {rank: letter for letter, rank in ranks.items()}
        order = [at.get(rank, "W") for rank in (1, 2, 3)]
        said = ", ".join(f"{letter} {score:g}" for letter, score in scores.items())
        parts += [text(LEFT, y + 10, name, "b"), text(LEFT, y + 25, said, "q")]
        for place, letter in enumerate(order):
            x = LEFT + 150 + place * 30
            parts += [box(x, y + 6, 26, 24, "w" if letter == "W" else "e")]
            parts.append(text(x + 13, y + 22, letter, "m" if letter == "W" else "m g"))
        parts.append(text(LEFT + 252, y + 22, f"AP {100 * precision:.1f}"))
        y += 44
    return svg("The tie rule on three candidates", y + 2, parts)


def shards() -> str:
    """Picture of counts that add up."""
    counts = shard_counts()
    parts = [text(LEFT, 20, f"the gold scores {GOLD_SCORE:g}; a shaded candidate outranks it", "s q")]
    y = 32.0
    for number, (shard, count) in enumerate(zip(SHARDS, counts, strict=True), 1):
        parts.append(text(LEFT, y + 16, f"shard {number}"))
        for place, score in enumerate(shard):
            x = LEFT + 60 + place * 40
            above = score >= GOLD_SCORE
            parts += [
                box(x, y, 36, 24, "e" if above else "w"),
                text(x + 18, y + 16, f"{score:g}", "m g" if above else "m"),
            ]
        parts.append(text(LEFT + 240, y + 16, f"count {count}", "b"))
        y += 32
    total = " + ".join(map(str, counts))
    parts.append(text(LEFT, y + 16, f"rank of the gold = 1 + {total} = {1 + sum(counts)}", "b"))
    return svg("Counts of shards add up to a rank", y + 28, parts)


def rank_ranges() -> str:
    """Picture of rank ranges."""
    parts = [text(LEFT, 20, "average precision x100 on twelve topics (a dot each), mean, and ranks", "s q")]
    y, said = 44.0, ranges()
    scale = 260 / 50

    def at(value: float) -> float:
        return LEFT + 20 + (value - 35) * scale

    for name, values in TOPICS.items():
        parts.append(text(LEFT, y + 4, name, "b"))
        parts += [f'<circle class="p" cx="{at(value):g}" cy="{y:g}" r="4" fill-opacity=".55"/>' for value in values]
        mean = float(np.mean(values))
        parts += [line(at(mean), y - 10, at(mean), y + 10)]
        low, high = said[name]
        shown = f"{low}" if low == high else f"{low}\N{EN DASH}{high}"
        parts.append(text(LEFT + 280, y + 4, f"{mean:.1f}"))
        parts.append(text(LEFT + 312, y + 4, f"rank {shown}", "b"))
        y += 30
    for value in (40, 50, 60, 70, 80):
        parts.append(text(at(value), y + 2, f"{value}", "m s q"))
    return svg("Rank ranges of four models", y + 14, parts)


DRAWN = {
    "settings": settings,
    "ties": ties,
    "rank-distance": rank_distance,
    "max-rank": max_rank,
    "complete": complete,
    "gold-removal": removal,
    "own-language-preference": preference,
    "transfer-ratio": transfer,
    "rank-ranges": rank_ranges,
    "shards": shards,
}

# ----------------------------------------------------------------------------------------------------------------- tables


def bias_table() -> str:
    """The measures of a few submitted models on XQuAD-R."""
    rows = [
        "| model | mAP, pool | rank distance | % of chance | Max@R norm. | Comp@100 | own-lang. preference | transfer |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for model in ("cross", "hybrid", "mono", "char-ngram", "bm25"):
        result = clirbench.read_result(SUBMISSIONS / f"clirbench__{model}" / "xquad-r.json")

        def share(name: str, result: clirbench.Result = result) -> str:
            return f"{100 * (result.score('bias', name) or 0):.1f}"

        distance, preference = result.score("bias", "rank_distance"), result.score("bias", "own_language_preference")
        rows.append(
            f"| clirbench/{model} | {100 * (result.score('multilingual', 'mAP') or 0):.1f} | {distance:,.0f} | "
            + " | ".join(share(name) for name in ("rank_distance_normalised", "Max@R_normalised", "Comp@100"))
            + f" | x{preference:.2f} | {share('transfer_ratio')} |"
        )
    return "\n".join(rows)


def literature_table() -> str:
    """The measures of other papers on XQuAD-R, computed from the ranks of the same models."""
    names = ("PEER", "PEER@20", "TLR@20", "TLR@100")
    rows = [
        f"| model | no answer in the first 20 | {' | '.join(names)} |",
        "|---|---|---|---|---|---|",
    ]
    for model in ("cross", "hybrid", "mono", "char-ngram", "bm25"):
        result = clirbench.read_result(SUBMISSIONS / f"clirbench__{model}" / "xquad-r.json")
        ranks = result.ranks
        assert ranks.pool_rank is not None
        first = np.full(ranks.query[-1] + 1, ranks.pool_rank.max())
        np.minimum.at(first, ranks.query, ranks.pool_rank)
        more = with_more_bias(result, names)
        shares = " | ".join(f"{100 * (more.score('bias', name) or 0):.1f}" for name in names)
        rows.append(f"| clirbench/{model} | {100 * float(np.mean(first > 20)):.1f} | {shares} |")
    return "\n".join(rows)


TABLES = {"bias.md": {"bias-table": bias_table, "literature-table": literature_table}}


def files() -> dict[Path, str]:
    """Every file that the script writes, with its content."""
    made = {PICTURES / f"{name}.svg": draw() for name, draw in DRAWN.items()}
    for page, tables in TABLES.items():
        content = (PAGES / page).read_text(encoding="utf-8")
        for marker, table in tables.items():
            block = f"<!-- {marker} -->\n{table()}\n<!-- /{marker} -->"
            content, blocks = re.subn(
                rf"<!-- {marker} -->.*?<!-- /{marker} -->", lambda _, b=block: b, content, flags=re.DOTALL
            )
            if blocks != 1:
                raise SystemExit(f"{PAGES / page}: has {blocks} blocks '{marker}': keep one")
        made[PAGES / page] = content
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is not as it would be")
    check = parser.parse_args().check
    PICTURES.mkdir(exist_ok=True)
    stale = []
    for path, content in files().items():
        if path.is_file() and path.read_text(encoding="utf-8") == content:
            continue
        stale.append(path)
        if not check:
            path.write_text(content, encoding="utf-8", newline="\n")
    for path in stale:
        print(f"{path}: {'is stale: run python docs/pictures.py' if check else 'written'}")
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    main()
