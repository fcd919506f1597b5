"""A model behind a server of OpenAI's embeddings protocol: what is sent, what is checked, what is kept, where the key goes."""

import json
import os
import threading
import time
from dataclasses import replace
from email.utils import formatdate
from types import SimpleNamespace

import numpy as np
import pytest
from command_line import call
from embeddings_server import answer_to, encoded, serving, vector_of

import clirbench
from clirbench.encoders import api_calls, endpoint
from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.endpoint import key_for, parse_endpoint, pause_asked, read_vector
from clirbench.encoders.load import load_encoder
from clirbench.results.reload_model import ModelAt, reload_model
from clirbench.results.result import read_result
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.collection import load_collection

TEXTS = ["long enough a text", "ก", "a text", "東京"]
SECRET = "sk-one-two-three"


@pytest.fixture
def server():
    with serving() as started:
        yield started


@pytest.fixture
def pauses(monkeypatch):
    """The pauses between calls, which nobody waits for."""
    taken = []
    monkeypatch.setattr(api_calls.time, "sleep", taken.append)
    return taken


@pytest.fixture(autouse=True)
def _no_key(monkeypatch):
    for name in ("CLIRBENCH_API_KEY", "OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def load(server, **options):
    return load_encoder(f"{server.url}#e5", EncoderOptions(**options))


def encode(server, texts=TEXTS, **options):
    return load(server, **options).encoder.encode_queries(list(texts))


def refusal(server, **options):
    """The one line with which encoding fails."""
    with pytest.raises(ClirbenchError) as caught:
        encode(server, **options)
    line = str(caught.value)
    assert line.startswith("e5: 127.0.0.1 ") or "the API" in line
    assert line.isprintable()
    return line


def run(server, output, *arguments):
    return call("run", "-m", f"{server.url}#e5", "--tasks", "demo", "--languages", "en", "-o", output, *arguments)


def demo_texts():
    collection = load_collection(clirbench.load_task("demo"), ["en"])
    return len(set(collection.queries)) + len(set(collection.candidates))


# What is sent


def test_texts_go_in_batches_with_prompts_and_nothing_else(server):
    model = load(server, batch_size=3, query_prompt="query: ", candidate_prompt="passage: ")
    queries, candidates = model.encoder.encode_queries(TEXTS), model.encoder.encode_candidates(TEXTS[:1])
    bodies = [body for _, body in server.requests]
    assert [len(body["input"]) for body in bodies] == [3, 1, 1]
    assert server.texts == [*("query: " + text for text in TEXTS), "passage: " + TEXTS[0]]
    assert {tuple(body) for body in bodies} == {("model", "input", "encoding_format")}
    assert {(body["model"], body["encoding_format"]) for body in bodies} == {("e5", "float")}
    assert (queries == [vector_of("query: " + text) for text in TEXTS]).all()
    assert (candidates == [vector_of("passage: " + TEXTS[0])]).all()
    assert (model.settings.query_prompt, model.sources.query_prompt) == ("query: ", "option")


def test_a_lone_surrogate_reaches_the_server(server):
    assert encode(server, ["a\ud800b"]).shape == (1, 8)
    assert server.texts == ["a\ud800b"]


# What is checked in an answer


def test_items_are_put_in_the_order_of_their_index(server):
    server.change = lambda body: body["data"].reverse()
    assert (encode(server) == [vector_of(text) for text in TEXTS]).all()


def test_base64_is_read_too(server):
    def change(body):
        for item in body["data"]:
            item["embedding"] = encoded(item["embedding"])

    server.change = change
    assert (encode(server) == [vector_of(text) for text in TEXTS]).all()


def change_item(number, **values):
    return lambda body: body["data"][number].update(values)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (change_item(1, index=2), "an 'index' that is missing, twice or beyond the 4 texts"),
        (change_item(1, index=4), "an 'index' that is missing, twice or beyond the 4 texts"),
        (change_item(0, index=False), "an 'index' that is missing"),
        (lambda body: body["data"][0].pop("index"), "an 'index' that is missing"),
        (lambda body: body["data"].pop(), "3 vectors for 4 texts"),
        (lambda body: body.pop("data"), "without a list 'data'"),
        (lambda body: body.update(data=[1, 2, 3, 4]), "without a list 'data'"),
        (change_item(1, embedding=[float("nan")] * 8), "NaN or infinite values for 'ก': mend the model"),
        (change_item(1, embedding=[None] * 8), "NaN or infinite values for 'ก'"),
        (change_item(1, embedding=[1e999] * 8), "NaN or infinite values for 'ก'"),
        (
            change_item(2, embedding=[1.0] * 7),
            "7 dimensions for 'a text' after 8: another model may have taken the name",
        ),
        (change_item(2, embedding=["1.0"] * 8), "no vector of numbers for 'a text'"),
        (change_item(2, embedding=[[1.0] * 8]), "no vector of numbers for 'a text'"),
        (change_item(2, embedding=[]), "no vector of numbers for 'a text'"),
        (change_item(2, embedding="not base64"), "no vector of numbers for 'a text'"),
        (change_item(2, embedding=None), "no vector of numbers for 'a text'"),
        (lambda body: body.update(error={"message": "model is\nloading"}), "an error (model is loading)"),
    ],
)
def test_a_wrong_answer_is_one_line(server, change, told):
    server.change = change
    assert told in refusal(server)


def test_dimensions_that_change_between_batches_are_one_line(server):
    server.replies = [lambda body: (200, {}, json.dumps(answer_to(body)).encode())]
    server.change = lambda body: [item.update(embedding=[1.0] * 9) for item in body["data"]]
    assert "9 dimensions for 'a text' after 8" in refusal(server, batch_size=2)


@pytest.mark.parametrize(
    ("raw", "kind"), [([1, 2], "i"), ([1, 0.5], "f"), (encoded([1, 2]), "f"), ([10**400, None], None), ("AAA=", None)]
)
def test_numbers_stay_what_they_are(raw, kind):
    vector = read_vector(raw)
    assert (vector if vector is None else vector.dtype.kind) == kind


def test_a_page_for_people_is_one_line(server):
    server.replies = [(200, {"Content-Type": "text/html; charset=utf-8"}, b"<!doctype html><title>hello</title>")]
    assert "answers text/html instead of JSON: is the address right? Most end in /v1" in refusal(server)


# Failures that pass, and failures that do not


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_passing_failure_is_tried_again_after_growing_pauses(server, pauses, status):
    server.replies = [(status, {}, b"")] * 3
    assert (encode(server) == [vector_of(text) for text in TEXTS]).all()
    assert pauses == [2, 4, 8]
    assert len(server.requests) == 4


def test_the_pause_that_the_server_asks_for_is_taken(server, pauses):
    server.replies = [(429, {"Retry-After": "7"}, b""), (503, {"Retry-After": formatdate(0, usegmt=True)}, b"")]
    encode(server)
    assert pauses == [7, 0]
    assert pause_asked(formatdate(time.time() + 100, usegmt=True)) == pytest.approx(100, abs=2)
    assert (pause_asked(None), pause_asked("soon"), pause_asked("nan"), pause_asked("-3")) == (None, None, None, 0)


def test_a_daily_quota_is_not_waited_for(server, pauses):
    server.replies = [(429, {"Retry-After": "3600"}, b'{"error": {"message": "daily limit"}}')]
    assert "asks for a pause of 3,600 seconds (HTTP 429, daily limit)" in refusal(server)
    server.replies = [(429, {}, b'{"error": {"message": "pay first", "code": "insufficient_quota"}}')]
    assert "refuses the texts (HTTP 429, pay first)" in refusal(server)
    assert pauses == []


def test_a_failure_that_stays_is_one_line(server, pauses):
    server.replies = [(502, {}, b"<html>")] * 5
    assert "the API failed 5 times (HTTP 502): what came is kept; run the same command again" in refusal(server)
    assert len(pauses) == 4


def test_a_slow_server_is_given_up(server, pauses, monkeypatch):
    over = threading.Event()
    server.replies = [lambda body: (200 if over.wait(60) else 500, {}, b"")] * 5
    monkeypatch.setattr(endpoint, "_ANSWER", 0.02)
    try:
        assert "no answer in time for 4 texts; a smaller --batch-size may help" in refusal(server)
    finally:
        over.set()


@pytest.mark.parametrize(
    ("status", "content", "told"),
    [
        (
            401,
            b'{"error": {"message": "who are you?"}}',
            "refuses the key (HTTP 401, who are you?): set CLIRBENCH_API_KEY",
        ),
        (404, b'{"detail": "no such model"}', "or no model 'e5' (HTTP 404, no such model): correct --model"),
        (
            413,
            b'{"error": "batch size 4 > 2", "type": "Validation"}',
            "refuses 4 texts in one request (HTTP 413, batch size",
        ),
        (413, b"<html>", "refuses 4 texts in one request (HTTP 413): lower --batch-size"),
        (400, b'{"error": {"message": "array too long: at most 2"}}', "array too long: at most 2): lower --batch-size"),
        (
            422,
            b'{"detail": [{"msg": "too many inputs"}]}',
            "refuses 4 texts in one request (HTTP 422, too many inputs)",
        ),
        (
            400,
            b'{"error": {"message": "maximum context length is 8"}}',
            "context length is 8): let the server cut long texts",
        ),
        (400, b'{"message": "no"}', "refuses the texts (HTTP 400, no): correct --model, or see the server's log"),
    ],
)
def test_a_refusal_is_one_line_with_the_server_s_words(server, pauses, status, content, told):
    server.replies = [(status, {"Content-Type": "application/json"}, content)]
    assert told in refusal(server)
    assert pauses == []


def test_words_of_plain_text_are_shown_without_what_moves_a_terminal(server):
    server.replies = [(400, {"Content-Type": "text/plain"}, b"no \x1b[2J\nway")]
    assert "(HTTP 400, no \\x1b[2J way)" in refusal(server)


def test_redirects_are_not_followed(server, monkeypatch):
    monkeypatch.setenv("CLIRBENCH_API_KEY", SECRET)
    with serving() as other:
        server.replies = [(307, {"Location": f"{other.url}/embeddings?key=1"}, b"")]
        told = refusal(server)
        assert f"redirects to {other.url}/embeddings, which is not followed" in told
        assert other.requests == []


def test_a_server_that_is_not_there_is_one_line(pauses):
    with serving() as gone:
        pass
    assert "start the server, or correct --model" in refusal(gone)
    assert pauses == []


def test_a_certificate_that_nobody_vouches_for_is_one_line(pauses, tmp_path, monkeypatch):
    import ssl

    with serving(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).wrap_socket) as started:
        started.url = started.url.replace("http:", "https:")
        # Without a certificate the server ends the handshake.
        assert "correct http or https in --model, or name the authority of its certificate in SSL_CERT_FILE" in refusal(
            started
        )
    assert pauses == []


# Where the key goes


def test_the_key_is_sent_and_shown_nowhere(server, monkeypatch, tmp_path):
    monkeypatch.setenv("CLIRBENCH_API_KEY", f" {SECRET}\n")
    ran = run(server, tmp_path / "results", "--name", "org/e5")
    assert ran.exit_code == 0, ran.exception
    assert {headers["Authorization"] for headers, _ in server.requests} == {f"Bearer {SECRET}"}
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 3
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
    assert SECRET not in ran.output
    model = load(server)
    assert SECRET not in f"{model!r} {vars(model.encoder)!r} {model.notes}"
    server.replies = [(401, {}, json.dumps({"error": {"message": f"Incorrect API key provided: {SECRET}"}}).encode())]
    told = refusal(server)
    assert "Incorrect API key provided: (the key)): correct CLIRBENCH_API_KEY" in told


@pytest.mark.parametrize(
    ("address", "variables", "sent"),
    [
        ("https://models.example/v1#m", ["CLIRBENCH_API_KEY"], True),
        ("http://models.example/v1#m", ["CLIRBENCH_API_KEY"], False),
        ("http://192.168.0.9:8000/v1#m", ["CLIRBENCH_API_KEY"], False),
        ("http://127.0.0.1.example/v1#m", ["CLIRBENCH_API_KEY"], False),
        ("http://localhost:8000/v1#m", ["CLIRBENCH_API_KEY"], True),
        ("http://[::1]:8000/v1#m", ["CLIRBENCH_API_KEY"], True),
        ("https://api.openai.com/v1#m", ["OPENAI_API_KEY"], True),
        ("https://mine.openai.azure.com/openai/v1#m", ["OPENAI_API_KEY"], True),
        ("http://api.openai.com/v1#m", ["OPENAI_API_KEY"], False),
        ("https://notopenai.com/v1#m", ["OPENAI_API_KEY"], False),
        ("https://API.OpenAI.com/v1#m", ["OPENAI_API_KEY"], True),
        ("https://openai.com.example/v1#m", ["OPENAI_API_KEY"], False),
        ("https://models.example/v1#m", ["OPENAI_API_KEY"], False),
    ],
)
def test_a_key_goes_only_where_it_may(monkeypatch, address, variables, sent):
    for variable in variables:
        monkeypatch.setenv(variable, SECRET)
    assert key_for(parse_endpoint(address)).value == (SECRET if sent else None)


def test_a_key_that_is_withheld_is_said(monkeypatch):
    monkeypatch.setenv("CLIRBENCH_API_KEY", SECRET)
    notes = load_encoder("http://models.example/v1#m").notes
    assert "CLIRBENCH_API_KEY is not sent over plain http: write https in --model" in notes


@pytest.mark.parametrize("key", ["ключ", "two words", "a\x00b"])
def test_a_key_that_no_header_can_hold_is_one_line(monkeypatch, key):
    # A null byte cannot be set in the environment.
    monkeypatch.setattr(os, "environ", {**os.environ, "CLIRBENCH_API_KEY": key})
    with pytest.raises(ClirbenchError, match="CLIRBENCH_API_KEY is not one word of ASCII characters") as caught:
        load_encoder("http://127.0.0.1:1/v1#m")
    assert key not in str(caught.value)


def test_no_proxy_sees_what_is_for_this_machine(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert encode(server).shape == (4, 8)


# The address


@pytest.mark.parametrize(
    ("name", "address", "model"),
    [
        ("http://127.0.0.1:8000/v1#BAAI/bge-m3", "http://127.0.0.1:8000/v1", "BAAI/bge-m3"),
        ("https://models.example/v1/embeddings#m", "https://models.example/v1", "m"),
        ("https://models.example/v1/#a%2Bb", "https://models.example/v1", "a+b"),
        ("http://[::1]:8000#m", "http://[::1]:8000", "m"),
    ],
)
def test_an_address_says_where_and_which_model(name, address, model):
    parsed = parse_endpoint(name)
    assert (parsed.address, parsed.model) == (address, model)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("https://user:sk-1@models.example/v1#m", "holds a user: leave it out, and set CLIRBENCH_API_KEY"),
        ("https://user:8/sk-1@models.example/v1#m", "holds a user"),
        ("https://models.example/v1?key=sk-1#m", "has a query"),
        ("https://models.example/v1", "does not say which model of the server: write https://models.example/v1#MODEL"),
        ("https://huggingface.co/intfloat/e5", "for a model of the hub, ORG/NAME without an address"),
        ("http://#m", "has no host"),
        ("http://:80/v1#m", "has no host"),
        ("http://host:port/v1#m", "is no URL"),
        ("http://[::1/v1#m", "is no URL"),
        ("http://127.0.0.1/v1#nomic-embed-text:latest", "pass --name ORG/NAME too"),
        ("http://127.0.0.1/" + "a" * 300 + "#m", "longer than 300 characters"),
    ],
)
def test_a_wrong_address_is_one_line_without_secrets(name, told):
    with pytest.raises(ClirbenchError) as caught:
        load_encoder(name)
    assert told in str(caught.value)
    assert "sk-1" not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("revision", ["r" * 201, "two\nlines"])
def test_a_revision_that_a_result_could_not_hold_is_refused_before_anything_is_sent(revision):
    with pytest.raises(ClirbenchError, match="--revision is longer than 200 characters, or not one line"):
        load_encoder("http://127.0.0.1:1/v1#m", EncoderOptions(revision=revision))
    assert load_encoder("http://127.0.0.1:1/v1#m", EncoderOptions(revision="")).info.revision is None


@pytest.mark.parametrize(
    ("option", "value"),
    [("device", "cuda"), ("dtype", "float16"), ("max_length", 8), ("trust_remote_code", True), ("prompts", "registry")],
)
def test_what_only_the_server_can_do_is_refused(option, value):
    told = f"--{option.replace('_', '-')} does not apply to a model behind a server"
    with pytest.raises(ClirbenchError, match=told):
        load_encoder("http://127.0.0.1:1/v1#m", EncoderOptions(**{option: value}))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, True),
        ({"prompts": "none"}, False),
        ({"query_prompt": "query: "}, False),
        ({"query_prompt": ""}, False),
    ],
)
def test_a_hub_name_with_prompts_in_mteb_s_registry_is_noted(options, said):
    notes = load_encoder("http://127.0.0.1:1/v1#intfloat/multilingual-e5-small", EncoderOptions(**options)).notes
    told = "mteb's registry puts 'query: ' before a query of intfloat/multilingual-e5-small and 'passage: ' before a candidate"
    assert any(told in note for note in notes) == said


def test_a_similarity_of_mteb_s_registry_is_noted(monkeypatch):
    from clirbench.encoders.registry import Registered

    monkeypatch.setattr(endpoint, "registered", lambda name: Registered(similarity="dot"))
    told = "mteb's registry compares vectors of org/m by dot: --similarity chooses it"
    assert told in load_encoder("http://127.0.0.1:1/v1#org/m").notes
    assert told not in load_encoder("http://127.0.0.1:1/v1#org/m", EncoderOptions(similarity="cosine")).notes


# A run


def test_a_run_says_what_is_used_and_what_it_cost(server, tmp_path):
    ran = run(server, tmp_path, "--price-per-million", "2")
    assert ran.exit_code == 0, ran.exception
    count = demo_texts()
    assert f"e5: no revision, no prompts, cosine, precision and length unknown, on {server.url}#e5" in ran.stderr
    assert "the server may put prompts of its own" in ran.stderr
    assert "--revision TEXT declares one" in ran.stderr
    assert f"e5: {count} texts will be sent, about " in ran.stderr
    tokens = sum(len(text.split()) for text in server.texts)
    counted = f"{count} texts were sent in {len(server.requests)} requests; the server counted {tokens:,} tokens"
    assert f"{counted}, ${tokens * 2 / 1e6:,.2f} at $2 a million" in ran.stderr
    assert "names its model" not in ran.stderr
    document = read_result(tmp_path / "e5" / "demo+en.json").document
    assert (document.model.kind, document.model.revision, document.model.revision_kind) == ("endpoint", None, "unknown")
    assert (document.model.dimensions, document.encoder.dtype) == (8, "unknown")
    assert document.environment.device == f"{server.url}#e5"


@pytest.mark.parametrize(("other", "said"), [("e5-v2", False), ("e50", True), ("other\x1b[2J", True)])
def test_another_name_in_the_answer_and_no_usage_are_said(server, tmp_path, other, said):
    server.change = lambda body: (body.update(model=other), body.pop("usage"))
    ran = run(server, tmp_path)
    shown = other.replace("\x1b", "\\x1b")
    told = f"'e5' was asked for, and the server names its model '{shown}'"
    assert (told in ran.stderr) == said
    assert ("names its model" in ran.stderr) == said
    assert "the server did not say how many tokens they have" in ran.stderr


def test_what_came_before_a_failure_is_paid_for_once(server, pauses, tmp_path, monkeypatch):
    monkeypatch.setattr("clirbench.encoders.encode.TEXTS_PER_SHARD", 16)
    monkeypatch.setattr("clirbench.encoders.api_cost.TEXTS_PER_SHARD", 16)
    count = demo_texts()

    def fails_later(body):
        # The third batch and all later ones fail, until the replies are taken away.
        server.replies = [(500, {}, b"")] * 100
        return 200, {}, json.dumps(answer_to(body)).encode()

    server.replies = [lambda body: (200, {}, json.dumps(answer_to(body)).encode()), fails_later]
    failed = run(server, tmp_path / "results", "--batch-size", "16")
    assert "what came is kept; run the same command again" in str(failed.exception)
    assert "32 texts were sent in 2 requests" in failed.stderr
    server.replies = []
    server.requests.clear()
    again = run(server, tmp_path / "results", "--batch-size", "16")
    assert again.exit_code == 0, again.exception
    # One vector that was kept is compared with a new one.
    assert f"{count - 32 + 1} texts will be sent" in again.stderr
    assert len(server.texts) == count - 32 + 1


@pytest.mark.parametrize("hours", [25, -25])
def test_without_a_revision_vectors_are_kept_for_a_day(server, tmp_path, monkeypatch, hours):
    assert run(server, tmp_path / "first").exit_code == 0
    sent = len(server.texts)
    second = run(server, tmp_path / "second")
    # One of each role is compared with what was kept.
    assert "e5: 2 texts will be sent" in second.stderr
    assert "e5: 2 texts were sent in 2 requests" in second.stderr
    assert len(server.texts) == sent + 2
    # A day later, or the clock was set back. The times of the files do not matter: a copy of the cache has new ones.
    now = time.time() + hours * 3600
    monkeypatch.setattr("clirbench.encoders.vector_cache.time", SimpleNamespace(time=lambda: now))
    third = run(server, tmp_path / "third")
    assert f"{sent} texts will be sent" in third.stderr
    assert len(server.texts) == 2 * sent + 2
    assert run(server, tmp_path / "fourth").exit_code == 0
    assert len(server.texts) == 2 * sent + 4


@pytest.mark.parametrize("role", ["query", "candidate"])
def test_another_model_under_the_same_name_does_not_meet_the_vectors_of_the_first(server, tmp_path, role):
    prompt = f"--{role}-prompt"
    assert run(server, tmp_path / "first", prompt, "! ").exit_code == 0

    def change(body):
        # Of the texts with the prompt only, and in no other request than that of the comparison.
        if server.texts[-1].startswith("! "):
            [item.update(embedding=vector_of(str(item["index"])).tolist()) for item in body["data"]]

    server.change = change
    sent = len(server.requests)
    again = run(server, tmp_path / "second", prompt, "! ")
    assert "the server gives other vectors than it did within the last day, so it has another model now" in str(
        again.exception
    )
    assert len(server.requests) == sent + (1 if role == "query" else 2)
    assert run(server, tmp_path / "third", prompt, "! ", "--revision", "2").exit_code == 0


def test_another_address_shares_no_vectors(server, tmp_path):
    assert run(server, tmp_path / "first", "--revision", "1").exit_code == 0
    with serving() as other:
        assert run(other, tmp_path / "second", "--revision", "1").exit_code == 0
        assert len(other.texts) == len(server.texts) > 0


def test_a_declared_revision_keeps_the_result(server, tmp_path):
    assert run(server, tmp_path, "--revision", "2026-01").exit_code == 0
    sent = len(server.texts)
    document = read_result(tmp_path / "e5" / "demo+en.json").document
    assert (document.model.revision, document.model.revision_kind) == ("2026-01", "declared")
    assert "kept" in run(server, tmp_path, "--revision", "2026-01").stderr
    assert len(server.texts) == sent
    assert "holds another run (revision" in str(run(server, tmp_path, "--revision", "2026-02").exception)


def test_a_result_without_a_revision_is_not_taken_for_another_run_s(server, tmp_path):
    assert run(server, tmp_path).exit_code == 0
    again = run(server, tmp_path)
    assert "nobody can tell whether e5 has changed since, because it has no revision: declare its --revision" in str(
        again.exception
    )


def test_a_fusion_may_have_a_server_s_model(server, tmp_path):
    name = f"rrf:{server.url}#e5+clirbench/bm25"
    ran = call("run", "-m", name, "--tasks", "demo", "--languages", "en", "-o", tmp_path, "--device", "cpu")
    assert ran.exit_code == 0, ran.exception
    assert f"{demo_texts()} texts will be sent" in ran.stderr
    assert f"{demo_texts()} texts were sent in" in ran.stderr
    assert "the server may put prompts of its own" in ran.stderr
    folders = [path.name for path in tmp_path.glob("fusion__*")]
    assert folders == ["fusion__rrf-e5-clirbench-bm25"]


def test_dimensions_are_cut_here_and_the_server_is_not_asked_to(server, tmp_path):
    assert run(server, tmp_path, "--truncate-dim", "4").exit_code == 0
    document = read_result(next(tmp_path.glob("e5*/demo+en.json"))).document
    assert (document.encoder.truncate_dim, document.model.dimensions) == (4, 4)
    assert not any("dimensions" in body for _, body in server.requests)


def test_plan_does_not_spend(server):
    ran = call("plan", "-m", f"{server.url}#e5", "--tasks", "demo")
    assert "e5 is an API" in str(ran.exception)
    assert server.requests == []


def test_a_file_does_not_choose_the_server(server, tmp_path):
    assert run(server, tmp_path, "--revision", "1", "--query-prompt", "q: ").exit_code == 0
    document = read_result(tmp_path / "e5" / "demo+en.json").document
    with pytest.raises(ClirbenchError, match="ran behind a server: pass --model http://HOST:PORT/v1#MODEL"):
        reload_model(document, ModelAt())
    again = reload_model(document, ModelAt(f"{server.url}#e5"))
    assert again.identity.items() <= document.identity.items()


def test_inspect_asks_the_server_that_it_is_given_and_says_what_it_sends(server, tmp_path):
    assert run(server, tmp_path, "--revision", "1").exit_code == 0
    result = tmp_path / "e5" / "demo+en.json"
    assert "ran behind a server" in str(call("inspect", result, "--query-language", "en").exception)
    ran = call("inspect", result, "--query-language", "en", "--worst", "3", "--model", f"{server.url}#e5")
    assert ran.exit_code == 0, ran.exception
    # The candidates are in the cache, and these three queries are not: the cache knows whole sets of texts.
    assert "e5: 3 texts will be sent" in ran.stderr


def test_a_page_s_command_does_not_name_a_stranger_s_server(server, tmp_path):
    from clirbench.board.site.model_page import command

    assert run(server, tmp_path, "--name", "org/mine", "--query-prompt", "q: ").exit_code == 0
    document = read_result(tmp_path / "org__mine" / "demo+en.json").document
    shown = command(replace_device(document, "https://stranger.example/v1#e5"))
    assert "--model 'http://HOST:PORT/v1#e5'" in shown
    assert "--name org/mine --query-prompt 'q: '" in shown
    assert "stranger" not in shown


def replace_device(document, device):
    return document.model_copy(update={"environment": document.environment.model_copy(update={"device": device})})


def test_the_model_runs_in_a_notebook_too(server):
    model = load(server, revision="1")
    result = clirbench.evaluate(replace(model, api=False), "demo", languages=["en"])
    assert np.isfinite(result.score("monolingual", "mAP"))
