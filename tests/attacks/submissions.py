"""Hostile submissions, and honest ones beside them: each is a change to one sound submission, with the outcome that is right."""

import gzip
import io
import json
import os
import socket
import struct
import unicodedata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from attacks import forging
from attacks.forging import (
    Change,
    both,
    column,
    columns,
    drop,
    edit,
    everywhere,
    line,
    put,
    ranks,
    ranks_bytes,
    renamed,
    swap,
    toml,
    write,
)
from attacks.promises import Promise
from clirbench.submissions.safe_read import JSON_LIMIT, RANKS_LIMIT, TOML_LIMIT

ACCEPTED, ERROR, WARNING, TOLD = "accepted", "an error", "a warning", "an error or a warning"
RANKS = "trio.ranks.parquet"


class Attack(NamedTuple):
    """A change to a sound submission, and what the check says of it.

    Attributes:
        change: Edits the folder; returns its path if that is another one afterwards.
        outcome: One of the four above.
        key: The key that the finding names; "" for any.
        says: A part of its message.
        untrusted: Whether the check is that of a stranger's pull request.
    """

    change: Change
    outcome: str = ERROR
    key: str = ""
    says: str = ""
    untrusted: bool = True


def text(content: str | bytes, file: str = "trio.json") -> Change:
    return write(file, content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))


def whole(make: Any, file: str = "trio.json") -> Change:
    """Make another file from the bytes of one."""
    return lambda folder: (folder / file).write_bytes(make((folder / file).read_bytes()))


def nested(opening: str, closing: str, depth: int) -> str:
    return opening * depth + "1" + closing * depth


JSON = {
    "nothing at all": Attack(text(""), says="not valid JSON"),
    "only white space": Attack(text(" \n\t "), says="not valid JSON"),
    "null": Attack(text("null"), says="is wrong"),
    "a list around the result": Attack(whole(lambda b: b"[" + b + b"]"), says="is wrong"),
    "a text around the result": Attack(whole(lambda b: json.dumps(b.decode()).encode()), says="is wrong"),
    "two results in one file": Attack(whole(lambda b: b + b"\n" + b), says="not valid JSON"),
    "text behind the result": Attack(whole(lambda b: b + b"// accepted"), says="not valid JSON"),
    "a comment in it": Attack(whole(lambda b: b.replace(b"{", b"{/* */", 1)), says="not valid JSON"),
    "a comma too many": Attack(whole(lambda b: b.rstrip()[:-1] + b",}"), says="not valid JSON"),
    "single quotes": Attack(whole(lambda b: b.replace(b'"', b"'")), says="not valid JSON"),
    "the first half": Attack(whole(lambda b: b[: len(b) // 2]), says="not valid JSON"),
    "one byte short": Attack(whole(lambda b: b.rstrip()[:-1]), says="not valid JSON"),
    "brackets to the limit": Attack(text("[" * 190_000), says="not valid JSON"),
    "lists in lists": Attack(text(nested("[", "]", 90_000)), says="not valid JSON"),
    "objects in objects": Attack(text(nested('{"a":', "}", 30_000)), says="not valid JSON"),
    "nesting inside a known key": Attack(put("micro", json.loads(nested("[", "]", 400)))),
    "an integer of 5,000 digits": Attack(whole(lambda b: b.replace(b'"format": 1', b'"format": ' + b"9" * 5000, 1))),
    "an exponent beyond all floats": Attack(swap("trio.json", '"seed": ', '"seed": 1e400, "x": ')),
    "NaN in the place of a score": Attack(put("headline.multilingual.mAP.value", float("nan")), says="is wrong"),
    "Infinity in the place of a score": Attack(put("micro.multilingual.mAP", float("inf")), says="is wrong"),
    "a key twice at the top": Attack(swap("trio.json", '"origin"', '"origin": "measured", "origin"'), says="twice"),
    "a score twice, the better one first": Attack(
        swap("trio.json", '"value":', '"value": 0.99, "value":'), says="twice"
    ),
    "a key twice, once with an escape": Attack(
        swap("trio.json", '"origin"', '"\\u006frigin": "measured", "origin"'), says="twice"
    ),
    "a key twice that holds a line end": Attack(
        swap("trio.json", '"origin"', '"a\\nb": 1, "a\\nb": 2, "origin"'), says="twice"
    ),
    "a language twice": Attack(
        whole(lambda b: b.replace(b'"per_pair": {', b'"per_pair": {"de": {}, ', 1)), says="twice"
    ),
    "UTF-16": Attack(whole(lambda b: b.decode().encode("utf-16")), says="UTF-16"),
    "UTF-32": Attack(whole(lambda b: b.decode().encode("utf-32")), says="UTF-32"),
    "Latin-1": Attack(whole(lambda b: b.replace(b"Linux", "Linüx".encode("latin-1"))), says="not UTF-8"),
    "gzip": Attack(whole(gzip.compress), says="gzip"),
    "an overlong form of a slash": Attack(whole(lambda b: b.replace(b"Linux", b"Linux\xc0\xaf")), says="not UTF-8"),
    "half a surrogate pair in an escape": Attack(swap("trio.json", '"Linux', '"\\ud800Linux')),
    "half a surrogate pair in bytes": Attack(whole(lambda b: b.replace(b"Linux", b"\xed\xa0\x80Linux"))),
    "a zero byte between tokens": Attack(whole(lambda b: b.replace(b",", b"\0,", 1)), says="not valid JSON"),
    "a zero in a text": Attack(swap("trio.json", '"Linux', '"\\u0000Linux'), says="U+0000"),
    "200 kB of white space": Attack(whole(lambda b: b + b" " * 200_000), says=f"at most {JSON_LIMIT:,}"),
    "a byte order mark, as Windows writes it": Attack(whole(lambda b: b"\xef\xbb\xbf" + b), ACCEPTED),
    "line ends of Windows": Attack(whole(lambda b: b.replace(b"\n", b"\r\n")), ACCEPTED),
    "keys in another order": Attack(
        whole(lambda b: json.dumps(dict(reversed(json.loads(b).items()))).encode()), ACCEPTED
    ),
    "all on one line": Attack(whole(lambda b: json.dumps(json.loads(b)).encode()), ACCEPTED),
    "text as escapes": Attack(whole(lambda b: b.replace(b"Linux", b"\\u004cinux")), ACCEPTED),
    "a key of JavaScript": Attack(put("__proto__", {"origin": "verified"}), key="__proto__"),
    "a key more at the top": Attack(put("verified", True), says="is wrong"),
    "a key more in a part": Attack(put("model.verified", "agree"), says="is wrong"),
    "a key more in an estimate": Attack(put("headline.multilingual.mAP.rank", 1), says="is wrong"),
    "a part missing": Attack(drop("bootstrap"), key="bootstrap"),
    "a key of a part missing": Attack(drop("model.revision"), key="model.revision"),
    "the origin missing": Attack(drop("origin"), says="is wrong"),
    "true in the place of 1": Attack(put("format", True), key="format"),
    "1.0 in the place of 1": Attack(put("format", 1.0), key="format"),
    "the format of tomorrow": Attack(put("format", 2), key="format"),
    "a number as text": Attack(put("headline.multilingual.mAP.value", "0.99")),
    "a list in the place of an object": Attack(put("headline", [])),
    "an object in the place of a list": Attack(put("task.languages", {"de": 1})),
    "an origin of one's own": Attack(put("origin", "verified"), says="is wrong"),
    "an origin of another kind of file": Attack(put("origin", "mteb"), says="is wrong"),
    "an origin of a TREC run": Attack(put("origin", "run"), says="is wrong"),
}


def scaled(factor: float) -> Any:
    return lambda value: value * factor


HEAD = "headline.multilingual.mAP"
NUMBERS = {
    "the headline": Attack(put(f"{HEAD}.value", 0.99), key=f"{HEAD}.value", says="the ranks and the task give"),
    "the headline by 0.0001": Attack(put(f"{HEAD}.value", lambda v: v + 1e-4), key=f"{HEAD}.value"),
    "the headline by 0.00000001": Attack(put(f"{HEAD}.value", lambda v: v + 1e-8), key=f"{HEAD}.value"),
    "the headline in percent": Attack(put(f"{HEAD}.value", scaled(100)), key=f"{HEAD}.value"),
    "the headline negative": Attack(put(f"{HEAD}.value", scaled(-1)), key=f"{HEAD}.value"),
    "the headline null": Attack(put(f"{HEAD}.value", None), key=f"{HEAD}.value"),
    "the lower end of an interval": Attack(put(f"{HEAD}.low", scaled(1.05)), key=f"{HEAD}.low"),
    "the upper end of an interval": Attack(put(f"{HEAD}.high", scaled(1.05)), key=f"{HEAD}.high"),
    "an interval left out": Attack(both(put(f"{HEAD}.low", None), put(f"{HEAD}.high", None)), key=f"{HEAD}.high"),
    "rank distance": Attack(put("headline.bias.rank_distance.value", 0.0), key="headline.bias.rank_distance.value"),
    "own-language preference": Attack(
        put("headline.bias.own_language_preference.value", 1.0), key="headline.bias.own_language_preference.value"
    ),
    "monolingual as multilingual": Attack(
        lambda folder: edit(folder, lambda d: d["headline"].update(multilingual=d["headline"]["monolingual"])),
        key="headline.multilingual",
    ),
    "a metric left out": Attack(drop("headline.multilingual.R@1"), key="headline.multilingual.R@1"),
    "a metric more": Attack(
        put("headline.multilingual.mAP@1000", {"value": 1.0, "low": 1.0, "high": 1.0}), key="headline.multilingual"
    ),
    "a setting left out": Attack(drop("headline.cross-lingual"), key="headline.cross-lingual"),
    "a setting of one's own": Attack(put("headline.best", {}), key="headline.best"),
    "bias left out": Attack(drop("headline.bias"), key="headline.bias"),
    "the micro mean": Attack(put("micro.multilingual.mAP", 0.99), key="micro.multilingual.mAP"),
    "a language's number": Attack(put("per_language.zh.multilingual.mAP", 0.9), key="per_language.zh.multilingual.mAP"),
    "a language's number of queries": Attack(
        put("per_language.zh.multilingual.queries", 13), key="per_language.zh.multilingual.queries"
    ),
    "a language's bias": Attack(put("per_language.zh.bias.Max@R", 1.0), key="per_language.zh.bias.Max@R"),
    "a language more": Attack(put("per_language.sw", {"multilingual": {"mAP": 0.9}}), key="per_language.sw"),
    "a weak language left out": Attack(drop("per_language.zh"), key="per_language.zh"),
    "two languages swapped": Attack(
        lambda folder: edit(folder, lambda d: d["per_language"].update(de=d["per_language"]["en"])), key="per_language"
    ),
    "a pair's number": Attack(put("per_pair.de.zh.mAP", 0.9), key="per_pair.de.zh.mAP"),
    "a pair's number of queries": Attack(put("per_pair.de.zh.queries", 10**12), key="per_pair.de.zh.queries"),
    "a pair beyond any number": Attack(put("per_pair.de.zh.queries", 10**40)),
    "a pair of one language": Attack(put("per_pair.de.de", {"mAP": 1.0}), key="per_pair.de.de"),
    "a pair more": Attack(put("per_pair.de.sw", {}), key="per_pair.de.sw"),
    "a queue-jump total": Attack(put("queue_jump.de.en.zh", lambda v: v + 1), key="queue_jump.de.en"),
    "a queue-jump total below zero": Attack(put("queue_jump.de.en.zh", -1), key="queue_jump.de.en.zh"),
    "a queue-jump total of a float": Attack(put("queue_jump.de.en.zh", 1.5), key="queue_jump.de.en.zh"),
    "a queue-jump total of the own block": Attack(put("queue_jump.de.de.de", lambda v: v - 1), key="queue_jump.de.de"),
    "a queue-jump row left out": Attack(drop("queue_jump.de.zh"), key="queue_jump"),
    "a queue-jump language more": Attack(put("queue_jump.sw", {}), key="queue_jump"),
    "all queue jumps left out": Attack(put("queue_jump", {}), key="queue_jump"),
    "a queue-jump total of 10^12": Attack(put("queue_jump.de.en.zh", 10**12), key="queue_jump.de.en"),
    "queue jumps moved beyond what the ranks allow": Attack(
        lambda folder: edit(folder, lambda d: d["queue_jump"]["de"]["en"].update(de=0, zh=10**6)),
        key="queue_jump.de.en",
    ),
    "queue jumps moved within all sums, and recomputed": Attack(forging.moved_jumps(), key="queue_jump"),
    "a queue-jump ratio": Attack(put("queue_jump_ratio.de.de", 1.0), key="queue_jump_ratio.de.de"),
    "a ratio negative": Attack(put("queue_jump_ratio.de.de", scaled(-1)), key="queue_jump_ratio.de.de"),
    "the number of bootstrap samples": Attack(put("bootstrap.replicates", 10), key="bootstrap"),
    "a luckier seed": Attack(put("bootstrap.seed", 1), key="bootstrap"),
    "a narrower confidence": Attack(put("bootstrap.confidence", 0.5), key="bootstrap"),
    "fewer topics": Attack(put("counts.topics", 3), key="counts.topics"),
    "fewer queries": Attack(put("counts.queries", 3), key="counts.queries"),
    "more gold pairs": Attack(put("counts.gold_pairs", 10**6), key="counts.gold_pairs"),
    "a larger pool": Attack(put("counts.candidates.de", 10**6), says="the ranks and the task give"),
    "a pool of another language": Attack(put("counts.candidates.sw", 36), key="counts.candidates"),
    "a pool left out": Attack(drop("counts.candidates.de"), says="the ranks and the task give"),
    "fewer rows of ranks": Attack(put("ranks.rows", 1), says="not a run on the whole task"),
    "10^12 rows of ranks": Attack(put("ranks.rows", 10**12), says="not a run on the whole task"),
    "another checksum of the ranks": Attack(put("ranks.sha256", "0" * 64), key="ranks.sha256"),
    "the checksum in capitals": Attack(put("ranks.sha256", str.upper), key="ranks.sha256"),
    "ranks that lie elsewhere": Attack(put("ranks.file", "../acme__bm25/trio.ranks.parquet"), key="ranks.file"),
    "ranks at an address": Attack(put("ranks.file", "https://example.org/trio.ranks.parquet"), key="ranks.file"),
    "noise of the last bit": Attack(put(f"{HEAD}.value", lambda v: v * (1 + 1e-13)), ACCEPTED),
    "a whole number as a float": Attack(put("per_pair.de.zh.queries", float), ACCEPTED),
}

TASK = {
    "the name of another task": Attack(put("task.id", "duo"), key="task.id", says="name the file after its task"),
    "a path as its name": Attack(put("task.id", "../../etc/passwd"), key="task.id"),
    "markup as its name": Attack(put("task.id", "<img src=x>"), key="task.id"),
    "a name of 5,000 characters": Attack(put("task.id", "x" * 5000), key="task.id"),
    "another task's hash": Attack(put("task.hash", "0" * 64), key="task.hash", says="another task of that name"),
    "another hash, no text": Attack(put("task.hash", ""), key="task.hash"),
    "not complete": Attack(put("task.complete", False), key="task.languages", says="not a run on the whole task"),
    "one language": Attack(put("task.languages", ["en"]), key="task.languages"),
    "no language": Attack(put("task.languages", []), key="task.languages"),
    "languages in another order": Attack(put("task.languages", ["zh", "en", "de"]), key="task.languages"),
    "a language twice": Attack(put("task.languages", ["de", "en", "zh", "zh"]), key="task.languages"),
    "a language that is not its own": Attack(put("task.languages", ["de", "en", "sw"]), key="task.languages"),
    "10,000 languages": Attack(put("task.languages", [f"l{i}" for i in range(10_000)]), key="task.languages"),
    "the easy settings only": Attack(put("task.settings", ["monolingual"]), key="task.languages"),
    "settings twice": Attack(put("task.settings", lambda v: v + v), key="task.settings"),
    "settings in another order": Attack(put("task.settings", lambda v: v[::-1]), key="task.languages"),
    "a setting of one's own": Attack(put("task.settings", ["best"]), key="task.settings"),
    "a metric that is not computed": Attack(put("task.metrics", lambda v: [*v, "F1"]), says="F1"),
    "a metric that is markup": Attack(put("task.metrics", lambda v: [*v, "<b>"]), says="task.metrics"),
    "metrics in another order": Attack(put("task.metrics", lambda v: v[::-1]), key="task.metrics"),
    "a metric twice": Attack(put("task.metrics", lambda v: [*v, v[0]]), key="task.metrics"),
    "without the metric that ranks models": Attack(put("task.metrics", ["R@1", "R@10"]), key="task.metrics"),
    "without any metric": Attack(put("task.metrics", []), key="task.metrics"),
    "without the shown measure of bias": Attack(put("task.bias", ["Max@R"]), key="task.bias"),
    "without any measure of bias": Attack(put("task.bias", []), key="task.bias"),
    "a measure of bias that is none": Attack(put("task.bias", lambda v: [*v, "fairness"]), says="fairness"),
    "another checksum of its texts": Attack(put("task.sources.de", "0" * 64), key="task.sources"),
    "a text left out": Attack(drop("task.sources.de"), key="task.sources"),
    "a text more": Attack(put("task.sources.sw", "0" * 64), key="task.sources"),
    "no texts": Attack(put("task.sources", {}), key="task.sources"),
}


def model(name: str, **options: Any) -> Change:
    return renamed(name, **options)


def with_folder(variant: str, *changes: Change) -> Change:
    """A change, in a folder whose name says the variant."""

    def change(folder: Path) -> Path:
        for one in changes:
            one(folder)
        return folder.rename(folder.with_name(f"{folder.name}{variant}"))

    return change


FUSION = both(everywhere("model.kind", "fusion"), everywhere("encoder.similarity", "cosine"))
MODEL = {
    "a name without an organisation": Attack(model("hybrid", folder_name="hybrid"), key="model.name"),
    "a name of three parts": Attack(model("a/b/c"), key="model.name"),
    "an empty name": Attack(model("", folder_name="x__y"), key="model.name"),
    "only a slash": Attack(model("/", folder_name="x__y"), key="model.name"),
    "a Cyrillic letter": Attack(model("асme/hybrid"), key="model.name", says="use ORG/NAME"),
    "full-width letters": Attack(model("ａｃｍｅ/hybrid"), key="model.name"),
    "a name that climbs": Attack(model("../../hybrid", folder_name="..__x"), key="model.name"),
    "a name with a space": Attack(model("acme/hy brid"), key="model.name"),
    "a name that ends in a dot": Attack(model("acme/hybrid."), key="model.name"),
    "a name with two dashes": Attack(model("acme/hybrid--large"), key="model.name"),
    "a name that begins with a dash": Attack(model("acme/-rf"), key="model.name"),
    "a name of hidden files": Attack(model("acme/.git"), key="model.name"),
    "a name with a percent escape": Attack(model("acme/hybrid%2f"), key="model.name"),
    "a name of 121 characters": Attack(model(f"acme/{'x' * 116}"), key="model.name"),
    "a name of 120 characters": Attack(model(f"acme/{'x' * 115}"), ACCEPTED),
    "a name with markup": Attack(model("acme/<script>", folder_name="acme__x"), key="model.name", says="markup"),
    "a name in another folder": Attack(
        lambda folder: folder.rename(folder.with_name("acme__better")), key="model.name"
    ),
    "a folder in capitals": Attack(lambda folder: folder.rename(folder.with_name("ACME__hybrid")), key="model.name"),
    "a folder of another variant": Attack(
        lambda folder: folder.rename(folder.with_name("acme__hybrid+int8")), key="model.name"
    ),
    "another name in model.toml": Attack(toml("name", "acme/other"), key="name", says="make them equal"),
    "another name in one of two results": Attack(put("model.name", "acme/other", "duo.json"), key="model"),
    "a kind of one's own": Attack(put("model.kind", "state-of-the-art"), key="model.kind"),
    "another kind in one of two results": Attack(put("model.kind", "own", "duo.json"), key="model"),
    "a fusion that compares vectors": Attack(FUSION, key="model.kind"),
    "a second stage without a depth": Attack(
        both(everywhere("model.kind", "rerank"), everywhere("encoder.similarity", "rerank")), key="encoder.depth"
    ),
    "a depth without a second stage": Attack(
        with_folder("+rerank-10", everywhere("encoder.depth", 10)), key="encoder.depth"
    ),
    "BM25 with vectors": Attack(everywhere("encoder.similarity", "bm25"), key="model.dimensions"),
    "a revision that is a branch": Attack(
        both(
            everywhere("model.revision", "main"),
            everywhere("model.revision_kind", "hub-commit"),
            toml("revision", "main"),
        ),
        TOLD,
        key="model.revision",
    ),
    "a revision that is a pull request": Attack(
        both(
            everywhere("model.revision", "refs/pr/1"),
            everywhere("model.revision_kind", "hub-commit"),
            toml("revision", "refs/pr/1"),
        ),
        TOLD,
        key="model.revision",
    ),
    "a revision that is HEAD": Attack(
        both(everywhere("model.revision", "HEAD"), toml("revision", "HEAD")), TOLD, key="model.revision"
    ),
    "no revision": Attack(
        both(everywhere("model.revision", None), toml("revision", "")), WARNING, key="model.revision", says="is null"
    ),
    "an empty revision": Attack(
        both(everywhere("model.revision", ""), toml("revision", "")), TOLD, key="model.revision"
    ),
    "another revision in model.toml": Attack(toml("revision", "2"), key="revision", says="make them equal"),
    "a revision of 301 characters": Attack(put("model.revision", "x" * 301), key="model.revision"),
    "a kind of revision of one's own": Attack(
        everywhere("model.revision_kind", "certified"), key="model.revision_kind"
    ),
    "fewer parameters in model.toml": Attack(toml("parameters", 1), key="parameters", says="make them equal"),
    "parameters below zero": Attack(put("model.parameters", -1), key="model.parameters"),
    "10^30 parameters": Attack(put("model.parameters", 10**30), key="model.parameters"),
    "parameters as a float": Attack(put("model.parameters", 1e6), key="model.parameters"),
    "parameters of truth": Attack(put("model.parameters", True), key="model.parameters"),
    "no dimensions left": Attack(put("model.dimensions", 0), key="model.dimensions"),
    "10^10 dimensions": Attack(put("model.dimensions", 10**10), key="model.dimensions"),
    "fewer dimensions in model.toml": Attack(toml("embedding_size", 8), key="embedding_size"),
    "vectors without dimensions": Attack(everywhere("model.dimensions", None), key="model.dimensions"),
    "a cut that left all dimensions": Attack(
        with_folder("+dim-64", everywhere("encoder.truncate_dim", 64)), key="model.dimensions"
    ),
    "a cut to nothing": Attack(put("encoder.truncate_dim", 0), key="encoder.truncate_dim"),
    "a transform that is a path": Attack(put("encoder.transform", "lir:1/../../x"), key="encoder.transform"),
    "a transform that the folder does not say": Attack(everywhere("encoder.transform", "lir:1"), key="model.name"),
    "a sample without a transform": Attack(
        everywhere("encoder.transform_sample", "pool"), key="encoder.transform_sample"
    ),
    "a sample that is no checksum": Attack(put("encoder.transform_sample", "moon"), key="encoder.transform_sample"),
    "a quantisation of one's own": Attack(put("encoder.quantise", "int4"), key="encoder.quantise"),
    "a quantisation that the folder does not say": Attack(everywhere("encoder.quantise", "binary"), key="model.name"),
    "a backend of one's own": Attack(put("encoder.backend", "quantum"), key="encoder.backend"),
    "a precision of one's own": Attack(put("encoder.dtype", "float8"), key="encoder.dtype"),
    "a length of nothing": Attack(put("encoder.query_max_length", 0), key="encoder.query_max_length"),
    "both forms of length": Attack(put("encoder.max_length", 512), key="encoder.max_length"),
    "another length in model.toml": Attack(
        both(
            everywhere("encoder.query_max_length", 64),
            everywhere("encoder.candidate_max_length", 64),
            toml("max_length", 512),
        ),
        key="max_length",
    ),
    "a prompt that model.toml does not have": Attack(
        both(everywhere("encoder.query_prompt", "q: "), toml("query_prefix", "query: ")), key="query_prefix"
    ),
    "a prompt in one of two results": Attack(put("encoder.query_prompt", "q: ", "duo.json"), key="encoder"),
    "a prompt of 5,001 characters": Attack(put("encoder.query_prompt", "x" * 5001), key="encoder.query_prompt"),
    "a prompt with an invisible character": Attack(put("encoder.query_prompt", "a\u200bb"), key="encoder.query_prompt"),
    "a prompt that moves the cursor": Attack(
        put("encoder.candidate_prompt", "a\x1b[2Jb"), key="encoder.candidate_prompt"
    ),
    "a prompt with a tag, a line end and a tab": Attack(
        both(everywhere("encoder.query_prompt", "<s>\n\tq: "), toml("query_prefix", "<s>\n\tq: ")), ACCEPTED
    ),
    "a source of prompts of one's own": Attack(put("provenance.query_prompt", "heaven"), key="provenance.query_prompt"),
    "no provenance, as of older versions": Attack(put("provenance", None), ACCEPTED),
    "no lengths, as of older versions": Attack(put("lengths", None), ACCEPTED),
}


def stated(key: str, value: Any, says: str = "") -> Attack:
    """A fact that nobody recomputes, in the results on both tasks."""
    return Attack(everywhere(key, value), key=key, says=says)


FACTS = {
    "1.7e308 texts a second": stated("cost.texts_per_second", 1.7e308),
    "10^15 texts a second": stated("cost.texts_per_second", 1e15),
    "speed below zero": stated("cost.texts_per_second", -1.0),
    "infinite speed": stated("cost.texts_per_second", float("inf")),
    "10^300 seconds": stated("cost.seconds.encode", 1e300),
    "seconds below zero": stated("cost.seconds.encode", -1.0),
    "a stage of one's own": stated("cost.seconds.think", 1.0),
    "more texts encoded than there are": stated("cost.texts_encoded", 10**9),
    "texts below zero": stated("cost.texts", -1),
    "10^12 texts": stated("cost.texts", 10**12),
    "memory of 10^16 bytes": stated("cost.peak_memory", 10**16),
    "more zero vectors than texts": stated("cost.zero_vectors", 10**9),
    "zero vectors": Attack(everywhere("cost.zero_vectors", 3), WARNING, key="cost.zero_vectors"),
    "pairs scored without a second stage": stated("cost.pairs", 10**9),
    "10^9 processors": stated("environment.cpus", 10**9),
    "no processor": stated("environment.cpus", 0),
    "a batch below one": stated("environment.batch_size", 0),
    "a platform of 301 characters": stated("environment.platform", "x" * 301),
    "2,000 packages": stated("environment.packages", {f"package-{i}": "1" for i in range(2000)}),
    "a package of markup": stated("environment.packages", {"<img src=x>": "1"}, says="markup"),
    "a package with the version of a script": stated("environment.packages.numpy", "<script>alert(1)</script>"),
    "trust that is a word": stated("environment.trust_remote_code", "no"),
    "a share of cut texts above one": stated("lengths.query.en.cut", 1.5),
    "a share of cut texts that is no number": stated("lengths.query.en.cut", float("nan")),
    "1e308 tokens a text": stated("lengths.query.en.mean_tokens", 1e308),
    "lengths of a language that is not the task's": stated(
        "lengths.query.sw", {"texts": 1, "mean_tokens": 1.0, "cut": 0.0}
    ),
    "a share of unknown tokens above one": stated("lengths.query.en.unknown", 1.5),
    "a share of texts that cannot be told apart above one": stated("indistinguishable.query.en", 1.5),
    "a share of texts that cannot be told apart below zero": stated("indistinguishable.candidate.en", -0.1),
    "texts that cannot be told apart of a language that is none": stated("indistinguishable.query.sw", 0.0),
    "texts that cannot be told apart of a role of one's own": stated("indistinguishable.judge", {}),
    "lengths of a role of one's own": stated("lengths.judge", {}),
    "10^12 texts in lengths": stated("lengths.query.en.texts", 10**12),
    "a streamed corpus of a task in memory": stated(
        "corpus", {"source": "hub", "layout": "x", "shard": 1, "shards": 1, "engine": "ray", "sha256": {"de": "0"}}
    ),
}

# Text that could deceive a reader, by the character or the trick; put into fields that pages, tables and terminals show.
SPOOFS: dict[str, tuple[str, str]] = {
    "right-to-left override": ("licence", "\u202etim"),
    "isolates": ("contact", "a\u2066b\u2069"),
    "zero width space": ("base_model", "acme\u200b/x"),
    "zero width joiner": ("licence", "M\u200dIT"),
    "soft hyphen": ("contact", "a\u00adb@c.example"),
    "word joiner": ("base_model", "a\u2060b"),
    "byte order mark inside": ("licence", "MI\ufeffT"),
    "zero": ("contact", "a\0b"),
    "bell": ("licence", "MIT\a"),
    "escape sequence": ("base_model", "\x1b[31mred\x1b[0m"),
    "title of a terminal": ("contact", "\x1b]0;owned\x07"),
    "backspace": ("licence", "GPL\b\b\bMIT"),
    "carriage return": ("contact", "evil\rgood"),
    "line end": ("licence", "MIT\n::error::x"),
    "line separator": ("contact", "a\u2028b"),
    "paragraph separator": ("base_model", "a\u2029b"),
    "next line of C1": ("licence", "a\u0085b"),
    "private use": ("contact", "\ue000"),
    "not assigned": ("base_model", "\u0378"),
    "tag letters": ("licence", "MIT\U000e0041"),
    "Hangul filler": ("licence", "\u3164"),
    "Hangul initial filler": ("contact", "\u115f\u1160"),
    "half-width Hangul filler": ("base_model", "\uffa0"),
    "blank of Braille": ("licence", "\u2800"),
    "variation selector": ("contact", "a\ufe0fb"),
    "variation selector of the supplement": ("base_model", "a\U000e0100b"),
    "grapheme joiner": ("licence", "M\u034fIT"),
    "Mongolian vowel separator": ("base_model", "a\u180eb"),
    "Khmer inherent vowel": ("licence", "\u17b4"),
    "forty marks on one letter": ("contact", "a" + "\u0301" * 40),
    "marks that fall from the line": ("licence", "MIT" + "\u0489\u20dd\u0336" * 5),
    "mark at the beginning": ("base_model", "\u0301a"),
    "space of Ogham": ("licence", "\u1680\u1680"),
    "no-break spaces only": ("contact", "\u00a0\u00a0"),
    "ideographic spaces only": ("base_model", "\u3000"),
    "spaces only": ("licence", "      "),
    "markup": ("licence", "<script>alert(1)</script>"),
    "an attribute's end": ("contact", '"><img src=x onerror=alert(1)>'),
    "the end of a style": ("base_model", "</style><b>"),
    "a letter that only looks Latin": ("licence", "MІT"),
}

# Text of honest people, in the same fields.
NAMES_OF_PEOPLE = {
    "French": ("contact", "Université de Genève, équipe TAL"),
    "Chinese": ("contact", "北京大学"),
    "Hindi, with vowel signs": ("contact", "हिन्दी विश्वविद्यालय"),
    "Vietnamese, decomposed": ("contact", unicodedata.normalize("NFD", "Nguyễn Thị Ánh")),
    "Arabic": ("contact", "جامعة القاهرة"),
    "Thai": ("contact", "จุฬาลงกรณ์มหาวิทยาลัย"),
    "Korean": ("contact", "서울대학교"),
    "an address": ("contact", "first.last+board@dept.example.org"),
    "Russian": ("licence", "Лицензия МИТ"),
    "two licences": ("licence", "CC-BY-4.0 (data: CC-BY-SA-3.0)"),
    "punctuation": ("base_model", "a/b & c_d: 7B, 100 % (v2.1)"),
    "nothing known": ("base_model", ""),
}

LINKS = {
    "javascript": "javascript:alert(1)",
    "http": "http://example.org/m",
    "data": "data:text/html,<script>alert(1)</script>",
    "file": "file:///etc/passwd",
    "no host": "https://",
    "only a slash": "https:///etc",
    "a user part": "https://huggingface.co@evil.example/m",
    "a user and a password": "https://huggingface.co:x@evil.example/",
    "a backslash": "https://huggingface.co\\@evil.example",
    "a Cyrillic letter": "https://huggingfасe.co/m",
    "full-width letters": "https://ｈuggingface.co/m",
    "a right-to-left override": "https://example.org/\u202egnp.exe",
    "white space": "https://example.org/a b",
    "a quote": 'https://example.org/"onmouseover="alert(1)',
    "capitals before another scheme": "HTTPS-javascript://x",
    "a host without a dot": "https://localhost/admin",
    "a template": "https://example.org/{{7*7}}<",
}

TOML = {
    **{f"spoof, {name}": Attack(toml(key, value), TOLD, key=key) for name, (key, value) in SPOOFS.items()},
    **{f"honest text, {name}": Attack(toml(key, value), ACCEPTED) for name, (key, value) in NAMES_OF_PEOPLE.items()},
    **{f"a link, {name}": Attack(toml("link", value), key="link") for name, value in LINKS.items()},
    "a link to a model": Attack(toml("link", "https://huggingface.co/acme/hybrid"), ACCEPTED),
    "a link with a query and an anchor": Attack(toml("link", "https://example.org/m_1/?a=b%20c#d"), ACCEPTED),
    "nothing at all": Attack(text("", "model.toml"), says="is wrong"),
    "JSON": Attack(text("{}", "model.toml"), says="not valid TOML"),
    "the first half": Attack(whole(lambda b: b[: len(b) // 2], "model.toml")),
    "UTF-16": Attack(whole(lambda b: b.decode().encode("utf-16"), "model.toml"), says="UTF-16"),
    "a zero byte": Attack(whole(lambda b: b + b"\0", "model.toml"), says="not valid TOML"),
    "50 kB": Attack(whole(lambda b: b + b"#" * 50_000, "model.toml"), says=f"at most {TOML_LIMIT:,}"),
    "lists in lists": Attack(line("licence", nested("[", "]", 20_000)), says="not valid TOML"),
    "tables in tables": Attack(whole(lambda b: b + b"[" + b"a." * 20_000 + b"a]\n", "model.toml")),
    "a key twice": Attack(whole(lambda b: b'licence = "x"\n' + b, "model.toml"), says="not valid TOML"),
    "a key more": Attack(whole(lambda b: b"verified = true\n" + b, "model.toml"), key="verified"),
    "a key missing": Attack(whole(lambda b: b.replace(b"contact", b"#"), "model.toml"), key="contact"),
    "a number as text": Attack(line("parameters", '"1"'), key="parameters"),
    "a date as text": Attack(line("licence", "2026-01-01"), key="licence"),
    "infinite parameters": Attack(line("parameters", "inf"), key="parameters"),
    "parameters that are no number": Attack(line("parameters", "nan"), key="parameters"),
    "parameters of 40 digits": Attack(line("parameters", "9" * 40), key="parameters"),
    "another format": Attack(line("format", "2"), key="format"),
    "a formula as licence": Attack(toml("licence", '=HYPERLINK("https://evil.example")'), key="licence"),
    "a formula in full-width characters": Attack(toml("licence", "＝1+1"), key="licence"),
    "a formula behind a tab": Attack(toml("contact", "\t=1+1"), key="contact"),
    "a command behind an at sign": Attack(toml("base_model", "@SUM(A1)"), key="base_model"),
    "201 training sets": Attack(toml("training_data", ["x"] * 201), key="training_data"),
    "a training set with markup": Attack(toml("training_data", ["<b>"]), key="training_data.0"),
    "trained on the task, and denied": Attack(toml("training_data", ["acme/trio-train"]), key="trained_on.trio"),
    "trained on the task, in capitals": Attack(toml("training_data", ["TRIO"]), key="trained_on.trio"),
    "trained on the task, and said": Attack(
        both(toml("training_data", ["acme/trio"]), toml("trained_on", {"trio": "yes", "duo": "no"})), ACCEPTED
    ),
    "an answer of one's own": Attack(toml("trained_on", {"trio": "perhaps", "duo": "no"}), key="trained_on.trio"),
    "an answer that is true": Attack(toml("trained_on", {"trio": True, "duo": "no"}), key="trained_on.trio"),
    "no answer on a task that was run": Attack(toml("trained_on", {"duo": "no"}), key="trained_on.trio"),
    "an answer on a task that is none": Attack(
        toml("trained_on", {"trio": "no", "duo": "no", "<b>x</b>": "no"}), key="trained_on"
    ),
    "1,000 answers": Attack(toml("trained_on", {"trio": "no", "duo": "no"} | {f"t{i}": "no" for i in range(1000)})),
    "not known": Attack(toml("trained_on", {"trio": "unknown", "duo": "unknown"}), ACCEPTED),
    "a licence of 301 characters": Attack(toml("licence", "x" * 301), key="licence"),
    "a citation of 5,001 characters": Attack(toml("citation", "x" * 5001), key="citation"),
    "a citation of several lines": Attack(toml("citation", "@misc{a,\n\ttitle = {A <b> & c}\n}"), ACCEPTED),
    "a citation that hides a character": Attack(toml("citation", "@misc{a\u202e}"), key="citation"),
    "a citation that moves the cursor": Attack(toml("citation", "\x1b[2J"), key="citation"),
    "no licence": Attack(toml("licence", ""), WARNING, key="licence"),
    "no contact": Attack(toml("contact", ""), WARNING, key="contact"),
}


def all_of(true: dict[str, pa.Array], kind: pa.DataType) -> dict[str, pa.Array]:
    return {**true, "own_rank": true["own_rank"].cast(kind)}


def wrapped(values: list[int], kind: pa.DataType) -> pa.Array:
    """Integers that are the true ranks again once only their lower 32 bits are kept."""
    return pa.array([value + 2**32 if i == 0 else value for i, value in enumerate(values)], kind)


def between(content: bytes, payload: bytes) -> bytes:
    """A payload between the pages and the footer, where no reader looks."""
    (length,) = struct.unpack("<I", content[-8:-4])
    return content[: -8 - length] + payload + content[-8 - length :]


def before_the_pages(content: bytes) -> bytes:
    """A payload between the first four bytes and the pages."""
    sink = io.BytesIO()
    sink.write(b"PAR1" + b"<script>alert(1)</script>" * 20)
    pq.write_table(pq.read_table(io.BytesIO(content)), sink)
    return sink.getvalue()


def metadata(values: dict[bytes, bytes], content: bytes) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(content)).replace_schema_metadata(values), sink, store_schema=False)
    return sink.getvalue()


def arrow_schema(value: bytes) -> Change:
    return ranks_bytes(lambda content: metadata({b"ARROW:schema": value}, content))


def footer_byte(offset: int) -> Change:
    """A byte of the footer turned over."""

    def make(content: bytes) -> bytes:
        place = len(content) - 8 - offset
        return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]

    return ranks_bytes(make)


def many_rows(content: bytes) -> bytes:
    return forging.as_written(pa.table({"own_rank": pa.array(np.zeros(20_000_000, dtype=np.int32))}))


def unused_names(true: dict[str, pa.Array]) -> dict[str, pa.Array]:
    """A dictionary of topics that holds names which no row has."""
    used = true["topic"].cast(pa.string()).dictionary_encode()
    names = pa.array([*used.dictionary.to_pylist(), "<script>alert(1)</script>" * 1000])
    return {**true, "topic": pa.DictionaryArray.from_arrays(used.indices, names)}


FILE = {
    "nothing at all": Attack(ranks_bytes(lambda b: b""), says="not a ranks file"),
    "four bytes": Attack(ranks_bytes(lambda b: b"PAR1"), says="not a ranks file"),
    "only the two marks": Attack(ranks_bytes(lambda b: b"PAR1PAR1"), says="not a ranks file"),
    "a footer longer than the file": Attack(
        ranks_bytes(lambda b: b[:-8] + struct.pack("<I", 2**31) + b"PAR1"), says="not a ranks file"
    ),
    "a footer of no bytes": Attack(ranks_bytes(lambda b: b[:-8] + struct.pack("<I", 0) + b"PAR1")),
    "an encrypted footer": Attack(ranks_bytes(lambda b: b"PARE" + b[4:-4] + b"PARE"), says="not a ranks file"),
    "a ZIP archive": Attack(ranks_bytes(lambda b: b"PK\x03\x04" + bytes(1000)), says="not a ranks file"),
    "a pickle": Attack(ranks_bytes(lambda b: b"\x80\x04cos\nsystem\n(S'touch owned'\ntR."), says="not a ranks file"),
    "without the counts of the query's language, as of older versions": Attack(
        columns(lambda true: {k: v for k, v in true.items() if k != "query_language_above"}), ACCEPTED
    ),
    "the first half": Attack(ranks_bytes(lambda b: b[: len(b) // 2]), says="not a ranks file"),
    "one byte short": Attack(ranks_bytes(lambda b: b[:-1]), says="not a ranks file"),
    "bytes behind its end": Attack(ranks_bytes(lambda b: b + b"payload"), says="not a ranks file"),
    "twice in one file": Attack(ranks_bytes(lambda b: b + b)),
    "a payload before the footer": Attack(ranks_bytes(lambda b: between(b, b"MZ" + b"evil" * 1000))),
    "a payload before the pages": Attack(ranks_bytes(before_the_pages)),
    "a payload in names that no row has": Attack(columns(unused_names)),
    "metadata of a kilobyte": Attack(ranks_bytes(lambda b: metadata({b"note": b"x" * 1000}, b))),
    "metadata of 400 kB": Attack(ranks_bytes(lambda b: metadata({b"note": b"x" * 400_000}, b))),
    "metadata with a script": Attack(ranks_bytes(lambda b: metadata({b"pandas": b"<script>alert(1)</script>"}, b))),
    "an Arrow schema of garbage": Attack(arrow_schema(b"garbage")),
    "an Arrow schema of base64": Attack(arrow_schema(b"/////" + b"A" * 400)),
    "a byte of the footer, near its end": Attack(footer_byte(3)),
    "a byte of the footer, where its length begins": Attack(ranks_bytes(lambda b: b[:-6] + b"\xff" + b[-5:])),
    "a byte more than the limit": Attack(
        ranks_bytes(lambda b: between(b, bytes(RANKS_LIMIT + 1 - len(b)))), says=f"at most {RANKS_LIMIT:,}"
    ),
    "twenty million rows in kilobytes": Attack(ranks_bytes(many_rows), says="not a ranks file"),
    "long names that expand": Attack(
        column("topic", lambda v: pa.array([f"{i}{'x' * 400_000}" for i in range(10)] + v[10:]), compression="zstd")
    ),
    "no columns": Attack(columns(lambda true: pa.table({}))),
    "1,000 columns": Attack(columns(lambda true: {**true, **{f"c{i}": true["own_rank"] for i in range(1000)}})),
    "a column more": Attack(columns(lambda true: {**true, "note": true["topic"]}), says="columns"),
    "a column twice": Attack(
        columns(lambda true: pa.Table.from_arrays([*true.values(), true["own_rank"]], [*true, "own_rank"]))
    ),
    "without the ranks of the pool": Attack(columns(lambda true: {k: v for k, v in true.items() if k != "pool_rank"})),
    "without topics": Attack(columns(lambda true: {k: v for k, v in true.items() if k != "topic"})),
    "a column in capitals": Attack(
        columns(lambda true: {k.upper() if k == "topic" else k: v for k, v in true.items()})
    ),
    "no rows": Attack(columns(lambda true: {k: v.slice(0, 0) for k, v in true.items()})),
    "a row less": Attack(columns(lambda true: {k: v.slice(1) for k, v in true.items()})),
    "a row more": Attack(
        columns(lambda true: pa.concat_tables([pa.table(true), pa.table(true).slice(0, 1)], promote_options="default"))
    ),
    "rows in another order": Attack(columns(lambda true: pa.table(true).take(pa.array(range(107, -1, -1))))),
    "the last row in the place of the first": Attack(
        columns(lambda true: pa.table(true).take(pa.array([107, *range(1, 108)])))
    ),
    "ranks as text": Attack(column("own_rank", lambda v: pa.array(map(str, v)))),
    "ranks as lists": Attack(column("own_rank", lambda v: pa.array([[x] for x in v]))),
    "ranks as structs": Attack(column("own_rank", lambda v: pa.array([{"rank": x} for x in v]))),
    "ranks as floats": Attack(columns(lambda true: all_of(true, pa.float64()))),
    "ranks as halves": Attack(column("own_rank", lambda v: pa.array([x + 0.5 for x in v]))),
    "ranks as decimals": Attack(columns(lambda true: all_of(true, pa.decimal128(12, 1)))),
    "ranks as dates": Attack(columns(lambda true: all_of(true, pa.date32()))),
    "ranks as durations": Attack(columns(lambda true: all_of(all_of(true, pa.int64()), pa.duration("s")))),
    "ranks as truths": Attack(column("own_rank", lambda v: pa.array([True] * len(v)))),
    "ranks as bytes": Attack(column("own_rank", lambda v: pa.array([bytes([x]) for x in v]))),
    "ranks that wrap from int64": Attack(column("own_rank", lambda v: wrapped(v, pa.int64()))),
    "ranks that wrap from uint64": Attack(column("pool_rank", lambda v: wrapped(v, pa.uint64()))),
    "ranks that wrap from below": Attack(column("own_rank", lambda v: pa.array([v[0] - 2**32, *v[1:]], pa.int64()))),
    "the largest uint64": Attack(column("own_rank", lambda v: pa.array([2**64 - 1, *v[1:]], pa.uint64()))),
    "a rank of zero": Attack(column("own_rank", lambda v: pa.array([0, *v[1:]], pa.int32())), says="below 1"),
    "a rank below zero": Attack(column("pool_rank", lambda v: pa.array([-5, *v[1:]], pa.int32())), says="below 1"),
    "a rank of 2^31 - 1": Attack(column("own_rank", lambda v: pa.array([*v[:-1], 2**31 - 1], pa.int32()))),
    "a rank that is missing": Attack(column("own_rank", lambda v: pa.array([None, *v[1:]], pa.int32()))),
    "a rank of the pool that is missing": Attack(column("pool_rank", lambda v: pa.array([None, *v[1:]], pa.int32()))),
    "no rank of the pool": Attack(column("pool_rank", lambda v: pa.nulls(len(v), pa.int32()))),
    "a topic that is missing": Attack(column("topic", lambda v: pa.array([None, *v[1:]]))),
    "topics as numbers": Attack(column("topic", lambda v: pa.array(range(len(v))))),
    "topics as bytes": Attack(column("topic", lambda v: pa.array([x.encode() for x in v]))),
    "a topic that is no UTF-8": Attack(
        ranks_bytes(lambda b: b.replace(b"honey", b"\xff\xfe\xfd\xfc\xfb"))
        if False
        else column(
            "topic",
            lambda v: pa.array([b"\xff" + v[0].encode(), *(x.encode() for x in v[1:])], pa.binary()).view(pa.string()),
        )
    ),
    "topics with other names": Attack(column("topic", lambda v: pa.array([f"x{x}" for x in v])), says="gold pairs"),
    "a language that is none": Attack(column("query_language", lambda v: pa.array(["xx", *v[1:]]))),
    "a language of another task": Attack(column("gold_language", lambda v: pa.array(["ar", *v[1:]]))),
    "languages swapped": Attack(
        columns(lambda true: {**true, "query_language": true["gold_language"], "gold_language": true["query_language"]})
    ),
    "the two kinds of ranks swapped": Attack(
        columns(lambda true: {**true, "own_rank": true["pool_rank"], "pool_rank": true["own_rank"]})
    ),
    "the file of another model": Attack(
        lambda folder: (
            (folder / RANKS).write_bytes((folder.parent.parent / "board" / "acme__bm25" / RANKS).read_bytes()),
            forging.signed(folder),
        ),
        says="the ranks and the task give",
    ),
    "the file of another task": Attack(
        both(lambda folder: (folder / RANKS).write_bytes((folder / "duo.ranks.parquet").read_bytes()), forging.signed)
    ),
    "the files of two tasks swapped": Attack(
        lambda folder: (
            (folder / RANKS).rename(folder / "x"),
            (folder / "duo.ranks.parquet").rename(folder / RANKS),
            (folder / "x").rename(folder / "duo.ranks.parquet"),
        ),
        key="ranks.sha256",
    ),
    "a row group for each row": Attack(columns(lambda true: true, data_page_size=1, row_group_size=1)),
}


def ones(r: Any, sizes: Any) -> dict[str, Any]:
    return {"own_rank": np.ones_like(r.own_rank), "pool_rank": np.ones_like(r.pool_rank)}


def at(row: int, name: str, value: Any) -> Any:
    """Another value of one row; a function is called with the value before."""

    def make(r: Any, sizes: Any) -> dict[str, Any]:
        array = getattr(r, name).copy()
        array[row] = value(array[row]) if callable(value) else value
        return {name: array}

    return make


def by_language(r: Any, sizes: Any) -> dict[str, Any]:
    """Every gold first in its block, and the golds of a query one after the other: the best ranks that there can be."""
    first = np.concatenate([[0], np.flatnonzero(np.diff(r.query)) + 1])
    place = np.arange(len(r)) - np.repeat(first, np.diff(np.append(first, len(r)))) + 1
    return {"own_rank": np.ones_like(r.own_rank), "pool_rank": place.astype(np.int32)}


def worst(r: Any, sizes: Any) -> dict[str, Any]:
    """Every gold last: ranks of a model that knows the answers and hides them are possible, too."""
    best = by_language(r, sizes)["pool_rank"]
    return {
        "own_rank": sizes[r.gold_language].astype(np.int32),
        "pool_rank": (sizes.sum() - len(sizes) + best).astype(np.int32),
    }


IMPOSSIBLE = "no ranking can give these ranks"
FORGED = {
    "every gold first everywhere": Attack(ranks(ones), says="two golds share one pool_rank"),
    "a rank beyond its block": Attack(ranks(at(0, "own_rank", 37)), says="outside its language's pool"),
    "a rank beyond the pool": Attack(ranks(at(0, "pool_rank", 109)), says=IMPOSSIBLE),
    "a pool rank better than that of the block": Attack(
        ranks(lambda r, s: {"own_rank": s[r.gold_language].astype(np.int32)}), says=IMPOSSIBLE
    ),
    "more candidates of other languages above than there are": Attack(
        ranks(lambda r, s: {"own_rank": np.ones_like(r.own_rank)}), says=IMPOSSIBLE
    ),
    "two golds at one place": Attack(
        ranks(lambda r, s: {"pool_rank": np.where(np.arange(len(r)) == 0, r.pool_rank[1], r.pool_rank)}),
        says=IMPOSSIBLE,
    ),
    "a gold above what others put above it": Attack(
        ranks(lambda r, s: {**by_language(r, s), "own_rank": at(2, "own_rank", 30)(r, s)["own_rank"]}), says=IMPOSSIBLE
    ),
    "the best ranks that there can be": Attack(ranks(by_language), ACCEPTED),
    "the worst ranks that there can be": Attack(ranks(worst), ACCEPTED),
    "the true ranks, written again": Attack(ranks(lambda r, s: {}), ACCEPTED),
    "topics in another order": Attack(ranks(lambda r, s: {"topics": r.topics[::-1]}), says="not the gold pairs"),
    "a topic with another name": Attack(
        ranks(lambda r, s: {"topics": ("\u202eX", *r.topics[1:])}), says="not the gold pairs"
    ),
    # A fusion ranks each pool by itself, so nothing compares the two kinds of ranks: the threat model says so.
    "every gold first in its block, of what claims to be a fusion": Attack(
        both(
            everywhere("model.kind", "fusion"),
            everywhere("encoder.similarity", "fusion"),
            ranks(lambda r, s: {"own_rank": np.ones_like(r.own_rank)}),
        ),
        ACCEPTED,
    ),
    "ranks beyond the pool, of what claims to be a fusion": Attack(
        both(
            everywhere("model.kind", "fusion"),
            everywhere("encoder.similarity", "fusion"),
            ranks(at(0, "pool_rank", 109)),
        ),
        says=IMPOSSIBLE,
    ),
}


def special(make: Any, file: str) -> Change:
    """Something else than a file, under the name of one."""

    def change(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        make(folder / file)

    return change


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link_to(target: str, file: str) -> Change:
    return special(lambda path: path.symlink_to(target), file)


def moved_behind_a_link(file: str) -> Change:
    """A true file elsewhere, and a link to it."""

    def change(folder: Path) -> None:
        (folder / file).rename(folder.parent / file)
        (folder / file).symlink_to(folder.parent / file)

    return change


def listening(path: Path) -> None:
    """A socket: its name must be short, so it is bound from its folder."""
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(path.parent)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.fchdir(here)
        os.close(here)


def stray(name: str | bytes) -> Attack:
    def change(folder: Path) -> None:
        full = os.fsencode(folder) + b"/" + (name if isinstance(name, bytes) else os.fsencode(name))
        with open(full, "wb") as file:  # noqa: PTH123
            file.write(b"x")

    return Attack(change, says="does not belong")


def hundred(folder: Path) -> None:
    for number in range(101):
        (folder / f"{number}.json").write_bytes(b"{}")


def sparse(file: str) -> Change:
    """A terabyte that takes no room."""
    return special(lambda path: (path.touch(), os.truncate(path, 10**12)), file)


FOLDER = {
    "a program": stray("run.py"),
    "a module that Python imports at its start": stray("sitecustomize.py"),
    "settings of git": stray(".gitattributes"),
    "a hidden file": stray(".hidden"),
    "a file of macOS": stray(".DS_Store"),
    "a copy of an editor": stray("trio.json~"),
    "a result on the demo": stray("demo.json"),
    "a result in capitals": stray("TRIO.json"),
    "a result with a space behind": stray("trio.json "),
    "a result of a restricted run": stray("trio+de-en.json"),
    "a TREC run": stray("trio.run.json"),
    "weights": stray("pytorch_model.bin"),
    "a name with a line end": stray("a\n::error::x"),
    "a name that moves the cursor": stray("\x1b[2Jx"),
    "a name from right to left": stray("x\u202enosj.oirt"),
    "a name that is no UTF-8": stray(b"\xff\xfe.json"),
    "a name of markup": stray("<img src=x onerror=alert(1)>"),
    "a name of a page": stray("index.html"),
    "a name of a device of Windows": stray("con.json"),
    "an option of a command": stray("--untrusted"),
    "a folder inside": Attack(lambda folder: (folder / "more").mkdir(), says="does not belong"),
    "a repository inside": Attack(lambda folder: (folder / ".git").mkdir(), says="does not belong"),
    "101 files": Attack(hundred, says="more than 100 files"),
    "no model.toml": Attack(lambda folder: (folder / "model.toml").unlink(), says="is missing"),
    "no ranks": Attack(lambda folder: (folder / RANKS).unlink(), says="is missing"),
    "ranks without a result": Attack(lambda folder: (folder / "trio.json").unlink(), says="has no trio.json beside it"),
    "no result": Attack(
        lambda folder: [path.unlink() for path in folder.iterdir() if path.name != "model.toml"], says="holds no result"
    ),
    "nothing at all": Attack(lambda folder: [path.unlink() for path in folder.iterdir()], says="is missing"),
    "one task of two": Attack(lambda folder: [path.unlink() for path in folder.glob("duo.*")], ACCEPTED),
    "a link in the place of the result": Attack(moved_behind_a_link("trio.json"), says="is a link"),
    "a link in the place of the ranks": Attack(moved_behind_a_link(RANKS), says="is a link"),
    "a link in the place of model.toml": Attack(moved_behind_a_link("model.toml"), says="is a link"),
    "a link to a secret": Attack(link_to("/etc/passwd", "trio.json"), says="is a link"),
    "a link that leads nowhere": Attack(link_to("nowhere", RANKS), says="is a link"),
    "a link to itself": Attack(link_to("model.toml", "model.toml"), says="is a link"),
    "a link to a device without end": Attack(link_to("/dev/zero", "trio.json"), says="is a link"),
    "a link to the memory of the checking process": Attack(
        link_to("/proc/self/environ", "model.toml"), says="is a link"
    ),
    "a link in the place of the folder": Attack(
        lambda folder: (
            folder.rename(folder.with_name("acme__x")),
            folder.symlink_to(folder.with_name("acme__x")),
        ),
        says="is a link",
    ),
    "a second name of one file": Attack(
        lambda folder: (
            (folder / "trio.json").rename(folder.parent / "trio.json"),
            os.link(folder.parent / "trio.json", folder / "trio.json"),
        ),
        ACCEPTED,
    ),
    "a pipe in the place of the result": Attack(special(pipe, "trio.json"), says="is not a file"),
    "a pipe in the place of the ranks": Attack(special(pipe, RANKS), says="is not a file"),
    "a pipe in the place of model.toml": Attack(special(pipe, "model.toml"), says="is not a file"),
    "a socket in the place of the result": Attack(special(listening, "trio.json"), says="is not a file"),
    "a folder in the place of the result": Attack(special(Path.mkdir, "trio.json"), says="is not a file"),
    "a folder in the place of the ranks": Attack(special(Path.mkdir, RANKS), says="is not a file"),
    "a terabyte in the place of the result": Attack(sparse("trio.json"), says=f"at most {JSON_LIMIT:,}"),
    "a terabyte in the place of the ranks": Attack(sparse(RANKS), says=f"at most {RANKS_LIMIT:,}"),
    "a terabyte in the place of model.toml": Attack(sparse("model.toml"), says=f"at most {TOML_LIMIT:,}"),
    "files that may be executed": Attack(lambda folder: [path.chmod(0o755) for path in folder.iterdir()], ACCEPTED),
    "files that anybody may write": Attack(lambda folder: [path.chmod(0o666) for path in folder.iterdir()], ACCEPTED),
    "a file in the place of the folder": Attack(
        lambda folder: (folder.rename(folder.with_name("acme__x")), folder.write_bytes(b"{}")), says="is not a folder"
    ),
    "no folder": Attack(lambda folder: folder.rename(folder.with_name("acme__x")) and None, says="cannot be read"),
}


def verification(**changes: Any) -> Change:
    """A verification of the submission, with these values in the place of true ones."""

    def change(folder: Path) -> None:
        document = json.loads((folder / "trio.json").read_text(encoding="utf-8"))
        made = {
            "format": 1,
            "by": "a maintainer",
            "date": "2026-01-31",
            "task": "trio",
            "languages": ["de", "en"],
            "seed": 1,
            "ranks_sha256": document["ranks"]["sha256"],
            "revision": document["model"]["revision"],
            "pairs": 72,
            "equal": 1.0,
            "close": 1.0,
            "largest_difference": 0.0,
            "verdict": "agree",
            "packages": {"numpy": "2.0.0"},
        }
        (folder / "verification.json").write_text(json.dumps(made | changes), encoding="utf-8")

    return change


def badge(key: str, says: str = "", **changes: Any) -> Attack:
    """A badge that a maintainer's branch holds, but that is not right."""
    return Attack(verification(**changes), ERROR, key, says, untrusted=False)


VERIFIED = {
    "a badge that a stranger gave himself": Attack(verification(), says="only maintainers verify"),
    "a sound badge": Attack(verification(), ACCEPTED, untrusted=False),
    "a badge of other ranks": badge("ranks_sha256", ranks_sha256="0" * 64),
    "a badge of another revision": badge("revision", revision="0" * 40),
    "a badge of a task without a result": badge("ranks_sha256", task="demo"),
    "a verdict better than its numbers": badge("verdict", equal=0.2, close=0.2, largest_difference=0.4),
    "a verdict of one's own": badge("verdict", verdict="excellent"),
    "a sample of one language": badge("languages", languages=["de"]),
    "a sample of one language, twice": badge("languages", languages=["de", "de"]),
    "a sample of another task's language": badge("languages", languages=["de", "ar"]),
    "a sample of no pairs": badge("pairs", pairs=0),
    "more pairs than there are": badge("pairs", pairs=10**8),
    "shares above one": badge("equal", equal=1.1),
    "shares that are no numbers": badge("equal", equal=float("nan")),
    "a day that is none": badge("date", date="2026-19-39"),
    "a day in words": badge("date", date="yesterday"),
    "markup in the name of who verified": badge("by", says="markup", by="<b>us</b>"),
    "an invisible character in it": badge("by", by="the maintainers\u200b"),
    "no name": badge("by", by=""),
    "a key more": badge("trusted", trusted=True),
    "20 kB": badge("", says="at most 20,000", differences=["x" * 11_000, "y" * 11_000]),
    "a badge that is no JSON": Attack(text("yes", "verification.json"), says="not valid JSON", untrusted=False),
}


def mteb(file: str = "mteb.XNLI.json", **changes: Any) -> Change:
    """A result on one of mteb's tasks beside the submission, with these values in the place of true ones."""

    def change(folder: Path) -> None:
        document = json.loads((folder / "trio.json").read_text(encoding="utf-8"))
        made = {
            "format": 1,
            "origin": "mteb",
            "task": "XNLI",
            "task_type": "PairClassification",
            "main_score": "max_ap",
            "source": "mteb/xnli",
            "dataset_revision": "abc",
            "mteb_version": "2.0.0",
            "model": document["model"],
            "encoder": document["encoder"],
            "scores": {"test": {"en": {"main_score": 0.75, "max_ap": 0.75}}},
        }
        for keys, value in changes.items():
            *outer, last = keys.split("__")
            place = made
            for key in outer:
                place = place[key]
            place[last] = value
        (folder / file).write_text(json.dumps(made), encoding="utf-8")

    return change


def scored(**scores: float) -> dict[str, dict[str, dict[str, float]]]:
    return {"test": {"en": scores}}


MTEB = {
    "a sound one": Attack(mteb(), ACCEPTED),
    "of another model": Attack(mteb(model__name="acme/other"), key="model.name"),
    "of another revision": Attack(mteb(model__revision="2"), key="model.revision"),
    "of another encoder": Attack(mteb(encoder__dtype="float16"), key="encoder"),
    "of another task than its file": Attack(mteb("mteb.Other.json"), key="task"),
    "a task that is a path": Attack(mteb(task="../../x"), key="task"),
    "a score above one": Attack(mteb(scores=scored(main_score=99.0))),
    "a score that is missing": Attack(mteb(scores=scored(max_ap=0.5)), says="is missing"),
    "a score that is no number": Attack(mteb(scores=scored(main_score=float("nan")))),
    "a main score that is not that of its metric": Attack(mteb(scores=scored(main_score=0.99, max_ap=0.2))),
    "another score beyond all bounds": Attack(mteb(scores=scored(main_score=0.5, max_ap=0.5, f1=1e300))),
    "no scores": Attack(mteb(scores={}), key="scores"),
    "no subsets": Attack(mteb(scores={"test": {}}), key="scores.test"),
    "501 subsets": Attack(mteb(scores={"test": {f"s{i}": {"main_score": 0.5} for i in range(501)}})),
    "eleven splits": Attack(mteb(scores={f"s{i}": scored(main_score=0.5)["test"] for i in range(11)}), key="scores"),
    "a subset of markup": Attack(mteb(scores={"test": {"<b>": {"main_score": 0.5}}}), says="markup"),
    "a source that hides a character": Attack(mteb(source="a\u202eb"), key="source"),
    "a source of a blank of Braille": Attack(mteb(source="\u2800"), TOLD, key="source"),
    "a type of markup": Attack(mteb(task_type="<script>"), key="task_type"),
    "a restricted run": Attack(mteb("mteb.XNLI+en.json"), says="does not belong"),
    "a key more": Attack(mteb(verified=True), key="verified"),
    "200 kB": Attack(
        both(mteb(), whole(lambda b: b + b" " * 200_000, "mteb.XNLI.json")), says=f"at most {JSON_LIMIT:,}"
    ),
    "beside no result": Attack(
        both(mteb(), lambda folder: [p.unlink() for p in [*folder.glob("trio*"), *folder.glob("duo*")]]),
        says="holds no result",
    ),
    "a link": Attack(both(mteb(), moved_behind_a_link("mteb.XNLI.json")), says="is a link"),
}


def reported(*changes: Change) -> Change:
    """Published figures in the place of the measured result: a maintainer's submission."""

    def change(folder: Path) -> None:
        for path in [*folder.glob("duo*"), folder / RANKS]:
            path.unlink()
        means = {"mAP": {"value": 0.5, "low": None, "high": None}}
        made = {
            "format": 1,
            "origin": "reported",
            "task": {"id": "trio", "languages": ["de", "en"]},
            "model": {"name": "acme/hybrid", "parameters": None, "dimensions": None},
            "headline": {"multilingual": means},
            "per_language": {"de": {"multilingual": {"mAP": 0.4}}, "en": {"multilingual": {"mAP": 0.6}}},
            "source": {
                "publication": "A paper",
                "url": "https://example.org/p",
                "place": "Table 1",
                "caveats": ["ties"],
            },
        }
        (folder / "trio.json").write_text(json.dumps(made), encoding="utf-8")
        for one in changes:
            one(folder)

    return change


def figure(key: str, value: Any, says: str = "", named: str | None = None) -> Attack:
    return Attack(reported(put(key, value)), ERROR, key if named is None else named, says, untrusted=False)


REPORTED = {
    "figures that a stranger sends": Attack(reported(), says="reported figures come from maintainers"),
    "sound figures": Attack(reported(), ACCEPTED, untrusted=False),
    "a mean that is none": figure(f"{HEAD}.value", 0.9, "is not the mean", HEAD),
    "percent": figure(f"{HEAD}.value", 50.0, "not between 0 and 1", HEAD),
    "an interval": figure(f"{HEAD}.low", 0.4, "has an interval", HEAD),
    "a figure below zero": figure("per_language.de.multilingual.mAP", -0.4, named=HEAD),
    "no figure": figure(f"{HEAD}.value", None, named=HEAD),
    "a setting of one's own": figure("headline.best", {}, "is no setting"),
    "a metric of one's own": figure(
        "headline.multilingual.F1", {"value": 0.5, "low": None, "high": None}, "is no metric"
    ),
    "a language that is not the task's": figure("task.languages", ["de", "sw"], named="task.languages"),
    "languages twice": figure("task.languages", ["de", "de"], named="task.languages"),
    "a language without a mean": figure("per_language.de.monolingual", {"mAP": 0.5}, "the headline does not"),
    "a rank distance beyond all": figure(
        "headline.bias",
        {"rank_distance": {"value": 1e12, "low": None, "high": None}},
        named="headline.bias.rank_distance",
    ),
    "a source without a publication": figure("source.publication", ""),
    "a source at no address": figure("source.url", "https://"),
    "a source that is a script": figure("source.url", "javascript:alert(1)"),
    "a source with a user part": figure("source.url", "https://arxiv.org@evil.example/"),
    "a caveat of markup": figure("source.caveats", ["<b>"], named="source.caveats.0"),
    "10,000 caveats": figure("source.caveats", ["x"] * 10_000),
    "a caveat of 100,000 characters": figure("source.caveats", ["x" * 100_000], named="source.caveats"),
    "a place that hides a character": figure("source.place", "Table\u200b 1"),
    "ranks beside figures": Attack(
        lambda folder: [content := (folder / RANKS).read_bytes(), reported(write(RANKS, content))(folder)],
        says="does not belong to reported figures",
        untrusted=False,
    ),
    "ranks in the JSON": figure("ranks", {}, "is wrong"),
    "figures beside a measured result": Attack(
        lambda folder: [
            kept := {path.name: path.read_bytes() for path in folder.glob("duo*")},
            reported()(folder),
            [(folder / name).write_bytes(content) for name, content in kept.items()],
        ],
        says="holds measured and reported figures",
        untrusted=False,
    ),
}

# Against the other rows of the board. There, acme/hybrid is verified.
BESIDE = {
    "the best ranks that there can be": Attack(
        both(ranks(by_language), renamed("acme/best")), WARNING, "headline.multilingual.mAP", "far above"
    ),
    "the best ranks of a model of seven billion parameters": Attack(
        both(
            ranks(by_language),
            everywhere("model.parameters", 7 * 10**9),
            toml("parameters", 7 * 10**9),
            renamed("acme/best"),
        ),
        WARNING,
        "headline.multilingual.mAP",
        "far above",
    ),
    "the best ranks, with a badge of one's own": Attack(
        both(ranks(by_language), verification(), renamed("acme/best")), ERROR, says="only maintainers verify"
    ),
    "the very ranks of another": Attack(renamed("acme/another"), WARNING, "ranks.sha256", "has the very ranks of"),
    "the ranks of another on one of two tasks": Attack(
        both(
            ranks(
                lambda r, s: {"pool_rank": by_language(r, s)["pool_rank"], "own_rank": np.ones_like(r.own_rank)}, "duo"
            ),
            renamed("acme/another"),
        ),
        WARNING,
        "ranks.sha256",
    ),
    "a name with 1 for i": Attack(renamed("acme/hybr1d"), says="looks like 'acme__hybrid'"),
    "a name with rn for m": Attack(renamed("acrne/hybrid"), says="looks like 'acme__hybrid'"),
    "a name in capitals": Attack(renamed("acme/HYBRID"), says="looks like 'acme__hybrid'"),
    "a name with _ for -": Attack(renamed("acme/char_ngram"), says="looks like 'acme__char-ngram'"),
    "a name with a dot for -": Attack(renamed("acme/char.ngram"), says="looks like 'acme__char-ngram'"),
    "a name with s for 5": Attack(renamed("acme/bm2s"), says="looks like 'acme__bm25'"),
    "another name altogether": Attack(both(ranks(worst), ranks(worst, "duo"), renamed("acme/my-own-model")), ACCEPTED),
}

ATTACKS: dict[str, Attack] = {
    f"{group}: {name}": attack
    for group, attacks in {
        "JSON": JSON,
        "numbers": NUMBERS,
        "task": TASK,
        "model": MODEL,
        "facts": FACTS,
        "model.toml": TOML,
        "ranks file": FILE,
        "forged ranks": FORGED,
        "folder": FOLDER,
        "verification": VERIFIED,
        "mteb": MTEB,
        "reported": REPORTED,
    }.items()
    for name, attack in attacks.items()
}

PROMISE = Promise(
    what="A submission is only data: what is wrong in it is refused in one line, and no score stands that its ranks do not give.",
    stops="the check: clirbench/submissions/check_one.py, impossible_ranks.py, safe_read.py, model_toml.py",
    attacks=len(ATTACKS) + len(BESIDE),
    test="tests/test_attacks_submissions.py",
)
