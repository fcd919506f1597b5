"""A model behind a server that speaks OpenAI's embeddings protocol: ``http://127.0.0.1:8000/v1#MODEL``.

The protocol: https://platform.openai.com/docs/api-reference/embeddings/create. It is spoken through httpx, which clirbench needs
anyway. The ``openai`` package takes an answer as it comes, so what must be checked (order, count, numbers, redirects, where a key
goes) would be here all the same.
"""

import base64
import binascii
import ipaddress
import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders import base
from clirbench.encoders.api_calls import PassingError, repeated
from clirbench.encoders.registry import registered
from clirbench.support.errors import ClirbenchError, printable, shortened
from clirbench.support.names import check_name
from clirbench.support.paths import API_KEY, OPENAI_KEY
from clirbench.support.version import __version__

# Seconds to wait for a connection, and for an answer: a server on a laptop may take minutes for a batch of long texts.
_CONNECT, _ANSWER = 10.0, 300.0
_OPENAI = ("openai.com", "openai.azure.com")
_SHOWN = 200
_CUT = "let the server cut long texts"
_NO_PROTOCOL = "does not speak OpenAI's embeddings protocol as it should: correct --model, or mend the server"


@dataclass(frozen=True)
class Endpoint:
    """Where a server's model is: the address up to ``/embeddings``, the host, and the name that the server has for the model."""

    address: str
    host: str
    model: str

    def __str__(self) -> str:
        return f"{self.address}#{self.model}"

    @property
    def on_this_machine(self) -> bool:
        """Whether the host is a loopback address."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def is_private(self) -> bool:
        """Whether nobody between here and the server can read what is sent."""
        return self.address.startswith("https://") or self.on_this_machine


@dataclass
class Usage:
    """What a server did in this run: requests and texts that it answered, the tokens that it counted, and how it names its model.

    ``tokens`` is None where an answer did not say.
    """

    requests: int = 0
    texts: int = 0
    tokens: int | None = 0
    models: set[str] = field(default_factory=set)

    def add(self, texts: int, body: dict[str, Any]) -> None:
        """Add an answer with vectors for so many texts."""
        self.requests += 1
        self.texts += texts
        usage = body.get("usage")
        tokens = usage.get("total_tokens") if isinstance(usage, dict) else None
        if self.tokens is not None:
            self.tokens = self.tokens + tokens if isinstance(tokens, int) and tokens >= 0 else None
        model = body.get("model")
        if isinstance(model, str) and len(self.models) < 3:
            self.models.add(printable(model[:_SHOWN]))


def is_endpoint(name: str) -> bool:
    """Whether a model's name is the address of a server."""
    return name.lower().startswith(("http://", "https://"))


def parse_endpoint(name: str) -> Endpoint:
    """Take an address apart.

    Raises:
        ClirbenchError: It names no model or no host, or it holds a user, a password or a query, which the message leaves out.
    """
    import httpx

    try:
        parts = urlsplit(name)
        port = parts.port
        address = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/embeddings')}"
        # Who is called decides whether a key is sent, so the host is the one that httpx reads in the address.
        host = httpx.URL(address).host
    except (ValueError, httpx.InvalidURL) as error:
        raise ClirbenchError("the address in --model is no URL: write it as http://HOST:PORT/v1#MODEL") from error
    if not host or port == 0:
        raise ClirbenchError("the address in --model has no host: write it as http://HOST:PORT/v1#MODEL")
    # Also in the path, where a password with a slash would put it.
    if "@" in address:
        raise ClirbenchError(f"the address of {host} in --model holds a user: leave it out, and set {API_KEY}")
    if parts.query:
        raise ClirbenchError(f"the address of {host} in --model has a query ('?...'): leave it out")
    model = unquote(parts.fragment).strip()
    if not model:
        raise ClirbenchError(
            f"--model {address[:_SHOWN]} does not say which model of the server: write {address[:_SHOWN]}#MODEL "
            "(for a model of the hub, ORG/NAME without an address)"
        )
    endpoint = Endpoint(address, host, model)
    if len(str(endpoint)) > 300 or not str(endpoint).isprintable():
        raise ClirbenchError(f"the address of {host} in --model is longer than 300 characters, or not text: correct it")
    return endpoint


def load_endpoint(name: str, options: base.EncoderOptions) -> base.LoadedEncoder:
    """Prepare the calls of a server's model. Nothing is sent before the first text is encoded.

    The revision is what the user declares; a server does not say it.

    Raises:
        ClirbenchError: The address or the key is wrong, or an option is one that only the server has.
    """
    endpoint = parse_endpoint(name)
    loading = [name for name in base.OF_LOADING if name != "revision"]
    named = ("query_prompt_name", "candidate_prompt_name", "encode_task")
    base.refuse(
        options, (*loading, *named, *(["prompts"] if options.prompts != "none" else [])), "a model behind a server"
    )
    if options.name is None:
        try:
            check_name(endpoint.model)
        except ClirbenchError as error:
            raise ClirbenchError(
                f"the model {endpoint.model[:80]!r} of {endpoint.host} cannot name a folder: pass --name ORG/NAME too"
            ) from error
    revision = options.revision or None
    if revision and (len(revision) > 200 or not revision.isprintable()):
        raise ClirbenchError("--revision is longer than 200 characters, or not one line: shorten it")
    own_name = options.name or endpoint.model
    settings = base.EncoderSettings(
        similarity=options.similarity or "cosine",
        dtype="unknown",
        query_prompt=options.query_prompt or "",
        candidate_prompt=options.candidate_prompt or "",
    )
    sources = base.SettingSources(
        query_prompt="option" if options.query_prompt is not None else "none",
        candidate_prompt="option" if options.candidate_prompt is not None else "none",
        similarity="option" if options.similarity else "none",
    )
    key = key_for(endpoint)
    return base.LoadedEncoder(
        encoder=EndpointEncoder(endpoint, own_name, options.batch_size, settings, key),
        info=base.ModelInfo(
            name=own_name,
            kind="endpoint",
            revision=revision,
            revision_kind="declared" if revision else "unknown",
        ),
        settings=settings,
        sources=sources,
        notes=(*_notes(revision, settings, key), *_registry_notes(endpoint.model, options, settings)),
        batch_size=options.batch_size,
        device=str(endpoint),
        api=True,
        served_by=str(endpoint),
    )


def _notes(revision: str | None, settings: base.EncoderSettings, key: "Key") -> tuple[str, ...]:
    """What a user must know of a server's model before a run."""
    more = "beyond these prompts" if settings.query_prompt or settings.candidate_prompt else "before the texts"
    notes = [f"the server may put prompts of its own {more}, and cut long texts: it does not say"]
    if revision is None:
        notes.append(
            "the server does not say which revision its model has: vectors are cached for a day, and a later run does "
            "not keep this result (--revision TEXT declares one)"
        )
    if key.withheld:
        notes.append(key.remedy)
    return tuple(notes)


def _registry_notes(model: str, options: base.EncoderOptions, settings: base.EncoderSettings) -> list[str]:
    """What mteb's registry says otherwise of a model that a server has under its hub name."""
    unsaid = options.prompts is None and options.query_prompt is None and options.candidate_prompt is None
    if "/" not in model or not (unsaid or options.similarity is None):
        return []
    entry = registered(model)
    notes = []
    if entry and unsaid and entry.prompts and any(entry.prompts):
        query, candidate = (shortened(prompt, 60) for prompt in entry.prompts)
        notes.append(
            f"mteb's registry puts {query!r} before a query of {model} and {candidate!r} before a candidate: "
            "unless the server does, pass --query-prompt and --candidate-prompt (--prompts none: neither)"
        )
    if entry and options.similarity is None and entry.similarity in {*base.SIMILARITIES} - {settings.similarity}:
        notes.append(f"mteb's registry compares vectors of {model} by {entry.similarity}: --similarity chooses it")
    return notes


@dataclass(frozen=True)
class Key:
    """A key for a server, what to do if the server does not take it, and whether a key that is set is withheld.

    A representation does not show the key.
    """

    value: str | None = field(repr=False)
    remedy: str
    withheld: bool = False


def key_for(endpoint: Endpoint) -> Key:
    """Choose the key that may be sent to a server.

    ``CLIRBENCH_API_KEY`` goes to any server that ``--model`` names, ``OPENAI_API_KEY`` to OpenAI only. No key goes over plain
    http to another machine.

    Raises:
        ClirbenchError: The key has characters that no HTTP header may have.
    """
    of_openai = any(endpoint.host == domain or endpoint.host.endswith(f".{domain}") for domain in _OPENAI)
    for variable in (API_KEY, *([OPENAI_KEY] if of_openai else [])):
        value = os.environ.get(variable, "").strip()
        if not value:
            continue
        if not endpoint.is_private:
            return Key(None, f"{variable} is not sent over plain http: write https in --model", withheld=True)
        if not (value.isascii() and value.isprintable()) or " " in value:
            raise ClirbenchError(f"{variable} is not one word of ASCII characters, so it cannot be a key: correct it")
        return Key(value, f"correct {variable}")
    return Key(None, f"set {API_KEY}")


class EndpointEncoder:
    """Vectors of a server's model: arrays (texts, dimensions) of the server's numbers. Prompts are put before texts here."""

    def __init__(
        self, endpoint: Endpoint, name: str, batch_size: int, settings: base.EncoderSettings, key: Key
    ) -> None:
        self.endpoint, self.usage = endpoint, Usage()
        self._name, self._batch_size, self._settings, self._key = name, batch_size, settings, key
        self._where = f"{name}: {endpoint.host}"
        self._dimensions: int | None = None

    def encode_queries(self, texts: list[str]) -> NDArray[Any]:
        """Encode queries: (texts, dimensions)."""
        return self._encode([self._settings.query_prompt + text for text in texts])

    def encode_candidates(self, texts: list[str]) -> NDArray[Any]:
        """Encode candidates: (texts, dimensions)."""
        return self._encode([self._settings.candidate_prompt + text for text in texts])

    def _encode(self, texts: list[str]) -> NDArray[Any]:
        import httpx

        headers = {"Content-Type": "application/json", "User-Agent": f"clirbench/{__version__}"}
        if self._key.value:
            headers["Authorization"] = f"Bearer {self._key.value}"
        try:
            client = httpx.Client(
                headers=headers,
                timeout=httpx.Timeout(_ANSWER, connect=_CONNECT),
                # A redirect must not take a key to another host.
                follow_redirects=False,
                # With a transport of its own, the client asks no proxy: none may read what is meant for this machine.
                transport=httpx.HTTPTransport() if self.endpoint.on_this_machine else None,
            )
        except OSError as error:
            raise ClirbenchError(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be read ({error}): correct it") from error
        vectors: list[NDArray[Any]] = []
        with client:
            for start in range(0, len(texts), self._batch_size):
                batch = texts[start : start + self._batch_size]
                vectors += repeated(partial(self._ask, client, batch), self._name, PassingError)
        return np.stack(vectors)

    def _ask(self, client: Any, texts: list[str]) -> list[NDArray[Any]]:
        """Ask for the vectors of one batch, once."""
        import httpx

        body = {"model": self.endpoint.model, "input": texts, "encoding_format": "float"}
        try:
            # Plain ASCII, so that a lone surrogate in a text is the server's to judge.
            response = client.post(f"{self.endpoint.address}/embeddings", content=json.dumps(body).encode("ascii"))
        except httpx.TimeoutException as error:
            raise PassingError(f"no answer in time for {len(texts)} texts; a smaller --batch-size may help") from error
        except httpx.RequestError as error:
            raise self._unreachable(error) from error
        if response.status_code != httpx.codes.OK:
            raise self._refused(response, len(texts))
        try:
            answer = response.json()
        except ValueError as error:
            kind = printable(response.headers.get("content-type", "an unknown type").partition(";")[0][:_SHOWN])
            raise ClirbenchError(
                f"{self._where} answers {kind} instead of JSON: is the address right? Most end in /v1"
            ) from error
        if isinstance(answer, dict) and answer.get("error"):
            raise ClirbenchError(
                f"{self._where} answers with an error ({self._said(answer)}): correct --model, or mend the server"
            )
        vectors = self._vectors(answer, texts)
        self.usage.add(len(texts), answer)
        return vectors

    def _vectors(self, answer: Any, texts: Sequence[str]) -> list[NDArray[Any]]:
        """Read the vectors of an answer, in the order of the texts."""
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
            raise ClirbenchError(f"{self._where} answers without a list 'data': it {_NO_PROTOCOL}")
        if len(data) != len(texts):
            raise ClirbenchError(
                f"{self._where} answers with {len(data)} vectors for {len(texts)} texts: it {_NO_PROTOCOL}"
            )
        by_index = {item.get("index"): item for item in data if type(item.get("index")) is int}
        if by_index.keys() != set(range(len(texts))):
            raise ClirbenchError(
                f"{self._where} answers with an 'index' that is missing, twice or beyond the {len(texts)} texts: "
                f"it {_NO_PROTOCOL}"
            )
        vectors = []
        for number, text in enumerate(texts):
            vector = read_vector(by_index[number].get("embedding"))
            shown = shortened(text)
            if vector is None:
                raise ClirbenchError(
                    f"{self._where} answers with no vector of numbers for {shown!r}: it {_NO_PROTOCOL}"
                )
            if not np.isfinite(vector).all():
                raise ClirbenchError(
                    f"{self._where} answers with NaN or infinite values for {shown!r}: mend the model on the server"
                )
            if self._dimensions not in (None, vector.size):
                raise ClirbenchError(
                    f"{self._where} answers with {vector.size} dimensions for {shown!r} after {self._dimensions}: "
                    "another model may have taken the name; run again with --no-cache"
                )
            self._dimensions = vector.size
            vectors.append(vector)
        return vectors

    def _unreachable(self, error: Exception) -> Exception:
        """Turn a failed connection into what to do about it."""
        import httpx

        reason = self._shorten(str(error) or type(error).__name__)
        if "certificate" in reason.lower() or "ssl" in reason.lower():
            remedy = "correct http or https in --model, or name the authority of its certificate in SSL_CERT_FILE"
            return ClirbenchError(f"{self._where} cannot be reached over TLS ({reason}): {remedy}")
        # A server that has answered once is there, and a connection that breaks is a passing failure.
        if isinstance(error, httpx.ConnectError) and not self.usage.requests:
            return ClirbenchError(f"{self._where} cannot be reached ({reason}): start the server, or correct --model")
        return PassingError(f"{self.endpoint.host}: {reason}")

    def _refused(self, response: Any, texts: int) -> Exception:
        """Turn an answer that is not 200 into what to do about it, or into a failure that may pass."""
        status, reason = response.status_code, f"HTTP {response.status_code}"
        try:
            body = response.json()
        except ValueError:
            plain = response.headers.get("content-type", "").startswith("text/plain")
            body = response.text if plain else None
        if said := self._said(body):
            reason = f"{reason}, {said}"
        lower = reason.lower()
        if response.has_redirect_location:
            target = self._shorten(response.headers["location"].partition("?")[0])
            return ClirbenchError(
                f"{self._where} redirects to {target}, which is not followed: give that address in --model if you trust it"
            )
        if status in (401, 403):
            return ClirbenchError(f"{self._where} refuses the key ({reason}): {self._key.remedy}")
        if status == 404:
            return ClirbenchError(
                f"{self._where} has no {self.endpoint.address}/embeddings, or no model {self.endpoint.model!r} "
                f"({reason}): correct --model"
            )
        if status == 413 or (status in (400, 422) and any(word in lower for word in ("batch", "array", "too many"))):
            return ClirbenchError(
                f"{self._where} refuses {texts} texts in one request ({reason}): lower --batch-size, or {_CUT}"
            )
        # A quota that is used up does not come back while the run waits.
        if "insufficient_quota" not in response.text and (status in (408, 429) or status >= 500):
            return PassingError(reason, pause_asked(response.headers.get("retry-after")))
        remedy = _CUT if "length" in lower or "token" in lower else "correct --model, or see the server's log"
        return ClirbenchError(f"{self._where} refuses the texts ({reason}): {remedy}")

    def _said(self, body: Any) -> str:
        """The message of an error body: {"error": {"message": ...}} and what other servers make of it."""
        for key in ("error", "message", "detail", "msg"):
            if isinstance(body, list) and body:
                body = body[0]
            if isinstance(body, dict) and body.get(key):
                body = body[key]
        return self._shorten(body) if isinstance(body, str) else ""

    def _shorten(self, text: str) -> str:
        """A server's words on one line, without the key, which some servers repeat."""
        if self._key.value:
            text = text.replace(self._key.value, "(the key)")
        return printable(" ".join(text.split())[:_SHOWN])


def read_vector(raw: Any) -> NDArray[Any] | None:
    """Read one vector of an answer: a list of numbers, or base64 of little-endian float32; None where it is neither.

    The vector is float32, because servers print no more. A list of whole numbers stays one, so that packed bits are not taken
    for a vector.
    """
    if isinstance(raw, str):
        try:
            content = base64.b64decode(raw, validate=True)
            vector = np.frombuffer(content, dtype="<f4")
        except (binascii.Error, ValueError):
            return None
    else:
        try:
            vector = np.asarray(raw if isinstance(raw, list) else None)
            # A null among numbers is what some servers write for NaN.
            if vector.dtype == object and vector.ndim == 1 and all(x is None or type(x) in (int, float) for x in raw):
                vector = np.asarray(raw, dtype=np.float64)
        except (ValueError, OverflowError):
            return None
    if vector.dtype.kind not in "fi" or vector.ndim != 1 or not vector.size:
        return None
    with np.errstate(over="ignore"):
        return vector.astype(np.float32) if vector.dtype.kind == "f" else vector


def pause_asked(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or a date; None where it is neither."""
    try:
        pause = float(header or "")
    except ValueError:
        try:
            pause = parsedate_to_datetime(header or "").timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(pause, 0.0) if math.isfinite(pause) else None
