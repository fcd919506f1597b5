"""Hostile and odd encoders, scorers and second stages: what they return, raise, change or say of themselves.

Each attack is an object that is given as a model, and says what is right: the ranks of a reference, or one line that a pattern
describes. NumPy, SciPy, torch and pandas are what users return vectors with.
"""

import array
import asyncio
import collections
import concurrent.futures
import contextlib
import decimal
import fractions
import gc
import hashlib
import io
import logging
import os
import random
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from attacks.promises import Promise
from clirbench.encoders.base import EncoderSettings, LoadedRerank, LoadedReranker, ModelInfo
from clirbench.encoders.load import as_loaded

DIMENSIONS = 6
Rows = Any
Give = Callable[[list[str]], Rows]


def honest(texts: list[str]) -> Any:
    """A vector for each text, which depends on the text alone: quarters, which every float type holds."""
    seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for text in texts]
    return np.array([np.random.default_rng(seed).integers(-16, 17, DIMENSIONS) / 4 for seed in seeds], dtype=np.float32)


class Encoder:
    """An encoder whose methods return ``give(texts)``."""

    similarity = "dot"

    def __init__(self, give: Give = honest) -> None:
        self.give = give

    def encode_queries(self, texts: list[str]) -> Rows:
        return self.give(texts)

    def encode_candidates(self, texts: list[str]) -> Rows:
        return self.give(texts)


class Attack(NamedTuple):
    """One model.

    Attributes:
        make: Makes the model.
        line: A pattern of the line that refuses it; "" where its ranks are those of ``like``.
        like: The reference: the vectors that the model means.
        cause: Whether the exception is the user's own, with its traceback.
        early: Whether the line comes before anything is encoded.
    """

    make: Callable[[], Any]
    line: str = ""
    like: Give = honest
    cause: bool = False
    early: bool = False


def gives(give: Give, line: str = "", like: Give = honest) -> Attack:
    return Attack(lambda: Encoder(give), line, like)


def turned(change: Callable[[Any], Any], line: str = "", like: Callable[[Any], Any] | None = None) -> Attack:
    """An encoder that turns honest vectors into something else; ``like`` says which vectors that means."""
    return gives(lambda texts: change(honest(texts)), line, (lambda texts: like(honest(texts))) if like else honest)


def quietly(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``change``, without warnings that what it makes is in beta or old."""

    def call(rows: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return change(rows)

    return call


def tensor(change: Callable[[Any], Any] = lambda rows: rows) -> Callable[[Any], Any]:
    return quietly(lambda rows: change(torch.from_numpy(rows)))


# --- what an encoder returns -----------------------------------------------------------------------------------------------


class HasArray:
    """Gives its array only when NumPy asks."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.rows


class RaisesArray(HasArray):
    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise ValueError("two\nlines \x1b[2J")


class HasInterface:
    def __init__(self, rows: Any) -> None:
        self.rows, self.__array_interface__ = rows, rows.__array_interface__


class Subclass(np.ndarray):
    """An array whose own astype fails."""

    def astype(self, *args: Any, **more: Any) -> Any:
        raise RuntimeError("no other type")


def read_only(rows: Any) -> Any:
    rows.setflags(write=False)
    return rows


def mapped() -> Encoder:
    """Writes each batch into one file, and returns the file as an array."""
    path = Path(tempfile.mkdtemp()) / "rows"

    def give(texts: list[str]) -> Any:
        rows = honest(texts)
        memory = np.memmap(path, dtype=np.float32, mode="w+", shape=rows.shape)
        memory[:] = rows
        return memory

    return Encoder(give)


def with_index(position: int, index: int, part: str = "indices") -> Callable[[Any], Any]:
    """A CSR matrix with one index that is wrong."""

    def change(rows: Any) -> Any:
        matrix = sparse.csr_array(rows)
        getattr(matrix, part)[position] = index
        return matrix

    return change


def coo_with_row(row: int) -> Callable[[Any], Any]:
    def change(rows: Any) -> Any:
        matrix = sparse.coo_array(rows)
        matrix.coords[0][0] = row
        return matrix

    return change


def shuffled_entries(rows: Any) -> Any:
    """A CSR matrix whose entries stand in no order within a row."""
    order = np.tile(np.arange(DIMENSIONS)[::-1], len(rows)) + np.repeat(np.arange(len(rows)) * DIMENSIONS, DIMENSIONS)
    columns = np.tile(np.arange(DIMENSIONS)[::-1], len(rows))
    return sparse.csr_array((rows.ravel()[order], columns, np.arange(len(rows) + 1) * DIMENSIONS), shape=rows.shape)


def with_zeros(rows: Any) -> Any:
    """A CSR matrix with an entry for every value, also where it is zero."""
    columns, starts = np.tile(np.arange(DIMENSIONS), len(rows)), np.arange(len(rows) + 1) * DIMENSIONS
    return sparse.csr_array((rows.ravel(), columns, starts), shape=rows.shape)


def nested_lists(rows: Any) -> Any:
    """A list that holds itself."""
    endless: list[Any] = []
    endless.append(endless)
    return endless


def finished(rows: Any) -> Any:
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()
    future.set_result(rows)
    return future


def one_missing(rows: Any) -> Any:
    """Rows in which one is None."""
    return [None, *rows[1:]]


def packed(rows: Any) -> Any:
    return np.packbits(np.random.default_rng(len(rows)).standard_normal((len(rows), 2048)) > 0, axis=1)


FORMS = {
    "float16": turned(lambda rows: rows.astype(np.float16)),
    "float64": turned(lambda rows: rows.astype(np.float64)),
    "long double": turned(lambda rows: rows.astype(np.longdouble)),
    "the other byte order": turned(lambda rows: rows.astype(">f8")),
    "whole numbers": turned(lambda rows: (rows * 4).astype(np.int64)),
    "large whole numbers": turned(lambda rows: (rows * 4).astype(np.int64) * 2**50),
    "unsigned numbers": turned(lambda rows: ((rows + 8) * 4).astype(np.uint64), like=lambda rows: rows + 8),
    "truth values": turned(lambda rows: rows > 0, like=lambda rows: (rows > 0).astype(np.float32)),
    "negative zeros": turned(lambda rows: np.where(rows == 0, np.float32(-0.0), rows)),
    "huge values": turned(lambda rows: rows * np.float32(2**58)),
    "small values": turned(lambda rows: rows * np.float32(2.0**-50)),
    "in columns": turned(np.asfortranarray),
    "a view of every second column": turned(lambda rows: np.repeat(rows, 2, axis=1)[:, ::2]),
    "a view from the end": turned(lambda rows: rows[:, ::-1], like=lambda rows: rows[:, ::-1]),
    "one row for all": turned(
        lambda rows: np.broadcast_to(rows[:1] * 0 + 1, rows.shape), like=lambda rows: rows * 0 + 1
    ),
    "read-only": turned(read_only),
    "a file in memory, used again": Attack(mapped),
    "a subclass that fails": turned(lambda rows: rows.view(Subclass)),
    "an object with __array__": turned(HasArray),
    "an object with __array_interface__": turned(HasInterface),
    "a memory view": turned(memoryview),
    "a deque of rows": turned(collections.deque),
    "rows of the array module": turned(lambda rows: [array.array("f", row) for row in rows]),
    "a list of lists": turned(lambda rows: rows.tolist()),
    "a tuple of tuples": turned(lambda rows: tuple(map(tuple, rows.tolist()))),
    "masked, and nothing is": turned(np.ma.masked_array),
    "np.matrix": turned(quietly(np.asmatrix)),
    "a frame": turned(pd.DataFrame),
    "a frame of sparse columns": turned(lambda rows: pd.DataFrame.sparse.from_spmatrix(sparse.csr_matrix(rows))),
    "a tensor with a gradient": turned(tensor(lambda rows: rows.requires_grad_())),
    "a tensor of 16 bits": turned(tensor(lambda rows: rows.bfloat16())),
    "a tensor of 8 bits": turned(tensor(lambda rows: rows.round().to(torch.float8_e4m3fn)), like=np.round),
    "a tensor of whole numbers": turned(tensor(lambda rows: (rows * 4).long())),
    "a tensor in columns": turned(tensor(lambda rows: rows.t().contiguous().t())),
    "a tensor that expands one row": turned(
        tensor(lambda rows: torch.ones(1, DIMENSIONS).expand(len(rows), DIMENSIONS)), like=lambda rows: rows * 0 + 1
    ),
    "a quantised tensor": turned(tensor(lambda rows: torch.quantize_per_tensor(rows, 0.25, 0, torch.qint8))),
    "a sparse tensor": turned(tensor(lambda rows: rows.to_sparse())),
    "a sparse CSR tensor": turned(tensor(lambda rows: rows.to_sparse_csr())),
    "a sparse BSR tensor": turned(tensor(lambda rows: rows.to_sparse_bsr((1, 2)))),
    "an inference tensor": turned(lambda rows: torch.inference_mode()(lambda: torch.from_numpy(rows) + 0)()),
    "a list of tensors": turned(lambda rows: list(torch.from_numpy(rows))),
    "SciPy CSC": turned(sparse.csc_matrix),
    "SciPy BSR": turned(sparse.bsr_matrix),
    "SciPy DOK": turned(sparse.dok_array),
    "SciPy DIA": turned(quietly(sparse.dia_array)),
    "SciPy LIL": turned(sparse.lil_array),
    "CSR in no order": turned(shuffled_entries),
    "CSR with explicit zeros": turned(with_zeros),
    "CSR of whole numbers": turned(lambda rows: sparse.csr_array((rows * 4).astype(np.int16))),
    "complex": turned(lambda rows: rows * 1j, r"\(complex numbers\)"),
    "a conjugate tensor": turned(tensor(lambda rows: (rows * 1j).conj()), r"\(complex numbers\)"),
    "objects": turned(lambda rows: rows.astype(object), r"\(objects\)"),
    "decimals": turned(lambda rows: [[decimal.Decimal(1)] * 6 for _ in rows], r"\(objects\)"),
    "fractions": turned(lambda rows: [[fractions.Fraction(1, 3)] * 6 for _ in rows], r"\(objects\)"),
    "text of numbers": turned(lambda rows: [["1.0"] * 6 for _ in rows], r"\(text\)"),
    "bytes": turned(lambda rows: [b"abcdef" for _ in rows], r"\(bytes\)"),
    "raw bytes": turned(lambda rows: rows.tobytes(), r"\(bytes\)"),
    "dates": turned(lambda rows: rows.astype("datetime64[s]"), r"\(dates\)"),
    "times": turned(lambda rows: rows.astype("timedelta64[s]"), r"\(times\)"),
    "a structured array": turned(lambda rows: rows.view([("x", "f4"), ("y", "f4")]), r"\(a structured array\)"),
    "masked values": turned(lambda rows: np.ma.masked_greater(rows, 0), r"\(masked values\)"),
    "a frame with a missing number": turned(
        lambda rows: pd.DataFrame(rows).astype("Float32").mask(rows > 2), r"\(objects\)"
    ),
    "one row missing": turned(one_missing, "gave a list for the query"),
    "rows of unequal length": turned(
        lambda rows: [[1.0] * (1 + i % 3) for i in range(len(rows))], "gave a list for the query"
    ),
    "a list that holds itself": turned(nested_lists, "gave a list for the query"),
    "a dict of vectors": turned(lambda rows: {"dense_vecs": rows}, "gave a dict for the query"),
    "vectors and something else": turned(lambda rows: (rows, None), "gave a tuple for the query"),
    "vectors twice": turned(lambda rows: (rows, rows), "shape 2x5x6 for 5 texts"),
    "a generator": turned(lambda rows: (row for row in rows), "gave a generator for the query"),
    "a future": turned(finished, "gave a Future for the query"),
    "a coroutine": turned(lambda rows: asyncio.sleep(0, rows), r"\(a coroutine: write the method without async\)"),
    "a file": turned(lambda rows: io.BytesIO(rows.tobytes()), "gave a BytesIO"),
    "nothing": turned(lambda rows: None, "gave a NoneType"),
    "a meta tensor": turned(lambda rows: torch.empty(rows.shape, device="meta"), r"\(a meta tensor"),
    "a nested tensor": turned(
        quietly(lambda rows: torch.nested.nested_tensor([torch.ones(1 + i) for i in range(len(rows))])),
        r"\(a nested tensor",
    ),
    "a sparse tensor of three axes": turned(
        lambda rows: torch.eye(3).expand(len(rows), 3, 3).to_sparse(), "sparse, with 3 axes"
    ),
    "a sparse array of one axis": turned(lambda rows: sparse.coo_array(rows[0]), "sparse, with 1 axes"),
    "an object whose __array__ fails": turned(RaisesArray, r"\(two\)"),
    "CSR with a column outside": turned(with_index(0, 10**6), r"\(.*indices"),
    "CSR with a negative column": turned(with_index(0, -5), r"\(.*indices"),
    "CSR with a row outside": turned(with_index(1, 10**6, "indptr"), r"\(.*indptr"),
    "CSR with rows backwards": turned(with_index(2, -3, "indptr"), r"\(.*indptr"),
    "COO with a row outside": turned(coo_with_row(10**6), r"an index is outside the shape"),
    "COO with a negative row": turned(coo_with_row(-7), r"an index is outside the shape"),
    "sparse with NaN": turned(lambda rows: sparse.csr_array(np.where(rows > 2, np.nan, rows)), "gave NaN for the"),
    "a row too few": turned(lambda rows: rows[:-1], "shape 4x6 for 5 texts"),
    "a row too many": turned(lambda rows: np.vstack([rows, rows[:1]]), "shape 6x6 for 5 texts"),
    "one row": turned(lambda rows: rows[:1], "shape 1x6 for 5 texts"),
    "columns for rows": turned(lambda rows: rows.T, "shape 6x5 for 5 texts"),
    "one vector": turned(lambda rows: rows[0], "shape 6 for 5 texts"),
    "one number": turned(lambda rows: rows[0, 0], "for 5 texts"),
    "no rows": turned(lambda rows: [], "shape 0 for 5 texts"),
    "no dimensions": turned(lambda rows: rows[:, :0], "shape 5x0 for 5 texts"),
    "four axes": turned(lambda rows: rows[:, None, None], "shape 5x1x1x6 for 5 texts"),
    "a value of NaN": turned(
        lambda rows: np.where(np.arange(len(rows))[:, None] == 2, np.nan, rows), "gave NaN for the query"
    ),
    "infinite values": turned(lambda rows: np.where(rows > 2, np.inf, rows), "gave infinite values for the query"),
    "infinite as float32": turned(lambda rows: rows.astype(np.float64) * 1e300, "gave infinite values for the query"),
    "infinite as a double": turned(
        lambda rows: rows.astype(np.longdouble) * np.longdouble("1e4000"), "gave infinite values"
    ),
    "products that overflow": turned(lambda rows: rows * np.float32(1e30), "scores could overflow float32"),
    "products that vanish": turned(lambda rows: rows * np.float32(1e-30), "so short that scores vanish"),
    "subnormal values": turned(lambda rows: rows * np.float32(1e-42), "so short that scores vanish"),
    "zeros": turned(lambda rows: rows * 0, "all-zero"),
    "zero as float32": turned(lambda rows: rows.astype(np.float64) * 1e-300, "all-zero"),
    "packed bits": turned(packed, "look like packed bits"),
}

# --- what changes between calls --------------------------------------------------------------------------------------------


def by_turns(*changes: Callable[[Any], Any]) -> Callable[[], Encoder]:
    """An encoder that turns each batch in another way."""

    def make() -> Encoder:
        calls: list[None] = []

        def give(texts: list[str]) -> Rows:
            calls.append(None)
            return changes[min(len(calls), len(changes)) - 1](honest(texts))

        return Encoder(give)

    return make


def one_memory(memory: Callable[[], Any], fill: Callable[[Any, Any], Any]) -> Callable[[], Encoder]:
    """An encoder that writes every batch into the same memory."""

    def make() -> Encoder:
        kept = memory()
        return Encoder(lambda texts: fill(kept, honest(texts)))

    return make


def into(memory: Any, rows: Any) -> Any:
    memory[: len(rows)] = torch.from_numpy(rows) if isinstance(memory, torch.Tensor) else rows
    return memory[: len(rows)]


def into_csr(memory: Any, rows: Any) -> Any:
    memory.data[: rows.size] = rows.ravel()
    return sparse.csr_array((memory.data, memory.indices, np.arange(len(rows) + 1) * DIMENSIONS), shape=rows.shape)


def spoils_earlier(make: Callable[[Any], Any], spoil: Callable[[Any], Any]) -> Callable[[], Encoder]:
    """An encoder that overwrites what it returned before."""

    def build() -> Encoder:
        kept: list[Any] = []

        def give(texts: list[str]) -> Rows:
            for rows in kept:
                spoil(rows)
            kept.append(make(honest(texts)))
            return kept[-1]

        return Encoder(give)

    return build


def other_queries(change: Callable[[Any], Any]) -> Callable[[], Encoder]:
    def make() -> Encoder:
        model = Encoder()
        model.encode_queries = lambda texts: change(honest(texts))  # type: ignore[method-assign]
        return model

    return make


def after_encoding(change: Callable[[list[str]], object]) -> Attack:
    """An encoder that changes the list of texts once it has read it."""

    def give(texts: list[str]) -> Rows:
        rows = honest(texts)
        change(texts)
        return rows

    return gives(give)


def full_csr() -> Any:
    return sparse.csr_array(np.ones((64, DIMENSIONS), np.float32))


CHANGES = {
    "one array for all batches": Attack(one_memory(lambda: np.empty((64, DIMENSIONS), np.float32), into)),
    "one array of doubles for all batches": Attack(one_memory(lambda: np.empty((64, DIMENSIONS)), into)),
    "one tensor for all batches": Attack(one_memory(lambda: torch.empty(64, DIMENSIONS), into)),
    "one CSR matrix for all batches": Attack(one_memory(full_csr, into_csr)),
    "overwrites earlier arrays": Attack(spoils_earlier(np.array, lambda rows: rows.fill(7))),
    "overwrites earlier tensors": Attack(spoils_earlier(torch.from_numpy, lambda rows: rows.fill_(7))),
    "overwrites earlier lists": Attack(spoils_earlier(lambda rows: rows.tolist(), lambda rows: rows.clear())),
    "overwrites earlier sparse values": Attack(spoils_earlier(sparse.csr_array, lambda rows: rows.data.fill(7))),
    "resizes earlier arrays": Attack(spoils_earlier(np.array, lambda rows: rows.resize((0, 0), refcheck=False))),
    "empties the list": after_encoding(list.clear),
    "sorts the list": after_encoding(list.sort),
    "adds to the list": after_encoding(lambda texts: texts.append("more")),
    "puts a prompt before the texts": after_encoding(
        lambda texts: texts.__setitem__(slice(None), ["q: "] * len(texts))
    ),
    "empties the list first": gives(lambda texts: honest(texts[: texts.clear() or 0]), "for 5 texts"),
    "adds to the list first": gives(lambda texts: honest([*texts, texts.append("x") or "x"]), "shape 6x6 for 5 texts"),
    "dense, then sparse": Attack(by_turns(np.array, sparse.csr_array), "gave sparse vectors after dense ones"),
    "sparse, then dense": Attack(by_turns(sparse.csr_array, np.array), "gave dense vectors after sparse ones"),
    "more dimensions each time": Attack(
        by_turns(np.array, lambda rows: np.hstack([rows, rows])), "gave 12 dimensions after 6"
    ),
    "fewer dimensions for queries": Attack(other_queries(lambda rows: rows[:, :3]), "gave 6 dimensions after 3"),
    "sparse queries, dense candidates": Attack(
        other_queries(sparse.csr_array), "dense vectors for one role and sparse"
    ),
    "another type each time": Attack(
        by_turns(np.array, lambda rows: rows.astype(np.float16), lambda rows: rows.tolist())
    ),
    "queries in another type": Attack(other_queries(lambda rows: (rows * 4).astype(np.int8))),
}

# --- what an encoder raises ------------------------------------------------------------------------------------------------


class NoMessage(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no message")


class NumberForMessage(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]  # noqa: PLE0307


def raises(error: BaseException, line: str = "", cause: bool = True) -> Attack:
    def give(texts: list[str]) -> Rows:
        raise error

    return Attack(lambda: Encoder(give), line or rf"raised {type(error).__name__} \(", cause=cause)


def without_end(texts: list[str]) -> Rows:
    return without_end(texts)


OWN_MEMORY = "out of memory .*encode fewer texts at a time in your own code"
RAISES = {
    "a message of two lines": raises(ValueError("one\ntwo"), r"raised ValueError \(one\)"),
    "a message that clears the screen": raises(ValueError("\x1b[2J" * 200), r"raised ValueError \(\\x1b"),
    "a message of a million letters": raises(ValueError("x" * 10**6)),
    "a message that cannot be read": raises(NoMessage(), r"raised NoMessage \(NoMessage\)"),
    "a message that is a number": raises(NumberForMessage(), r"raised NumberForMessage \(NumberForMessage\)"),
    "a missing key": raises(KeyError("x")),
    "no next element": raises(StopIteration("x")),
    "no next element later": raises(StopAsyncIteration()),
    "the end of a generator": raises(GeneratorExit()),
    "an assertion": raises(AssertionError()),
    "recursion": raises(RecursionError("too deep")),
    "recursion without end": Attack(lambda: Encoder(without_end), "raised RecursionError", cause=True),
    "out of memory": raises(MemoryError(), OWN_MEMORY, cause=False),
    "out of memory of a device": raises(
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), OWN_MEMORY, cause=False
    ),
    "no space left": raises(OSError(28, "No space left on device")),
    "a broken pipe": raises(BrokenPipeError(32, "Broken pipe")),
    "a lost connection": raises(ConnectionError("refused")),
    "a timeout": raises(TimeoutError()),
    "text that cannot be decoded": raises(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")),
    "a missing module": raises(ImportError("no torch")),
    "an error of the interpreter": raises(SystemError("bad internal call")),
    "a warning": raises(UserWarning("w")),
    "several exceptions": raises(ExceptionGroup("two", [ValueError(1), KeyError(2)])),
    "several exceptions with an interrupt": raises(BaseExceptionGroup("two", [KeyboardInterrupt()])),
    "sys.exit": raises(SystemExit(0)),
    "sys.exit with a message": raises(SystemExit("bye")),
    "text for an exception": Attack(
        lambda: Encoder(lambda texts: (_ for _ in ()).throw("x")),
        "raised TypeError|gave a generator",
        cause=True,  # type: ignore[arg-type]
    ),
}

# --- what an encoder does beside encoding ----------------------------------------------------------------------------------


def also(effect: Callable[[], object]) -> Attack:
    def give(texts: list[str]) -> Rows:
        effect()
        return honest(texts)

    return gives(give)


def in_threads() -> None:
    threads = [threading.Thread(target=gc.collect) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def warns() -> None:
    with contextlib.suppress(UserWarning):
        warnings.warn("a warning of the model", UserWarning, stacklevel=2)


EFFECTS = {
    "writes to the screen": also(lambda: print("\x1b[2J", end="")),
    "writes to the error stream": also(lambda: sys.stderr.write("noise")),
    "seeds the generators": also(lambda: (random.seed(1), np.random.seed(1), torch.manual_seed(1))),  # noqa: NPY002
    "warns": also(warns),
    "logs": also(lambda: logging.getLogger("clirbench").error("noise")),
    "goes to another folder": also(lambda: os.chdir("/")),
    "starts threads": also(in_threads),
    "starts a process": also(lambda: subprocess.run([sys.executable, "-c", ""], check=True)),
    "makes NumPy raise": also(lambda: np.seterr(all="raise")),
    "makes torch compute in doubles": also(lambda: torch.set_default_dtype(torch.float64)),
    "asks torch for one thread": also(lambda: torch.set_num_threads(1)),
    "switches gradients on": also(lambda: torch.set_grad_enabled(True)),
    "prints arrays in another way": also(lambda: np.set_printoptions(precision=1)),
    "moves the cache": also(lambda: os.environ.update(CLIRBENCH_CACHE="/nowhere")),
    "collects garbage": also(gc.collect),
    "allows deeper recursion": also(lambda: sys.setrecursionlimit(sys.getrecursionlimit())),
}

# --- what an encoder says of itself ----------------------------------------------------------------------------------------


class OtherText(str):
    """Text that is other text when it is printed."""

    def __str__(self) -> str:
        return "evil\n"

    def __format__(self, how: str) -> str:
        return "evil\n"


class Number(int):
    pass


class RaisesIndex:
    def __index__(self) -> int:
        raise RuntimeError("no number")


class RaisesRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


class LongRepr:
    def __repr__(self) -> str:
        return "one\ntwo\x1b[2J" * 99


def says(line: str = "", like: Give = honest, **attributes: Any) -> Attack:
    """An encoder with these attributes. A line comes before anything is encoded."""

    def make() -> Encoder:
        model = Encoder()
        for name, value in attributes.items():
            setattr(model, name, value)
        return model

    return Attack(make, line, like, early=bool(line))


def asked(line: str = "", cause: bool = False, **properties: Callable[[Any], Any]) -> Attack:
    """An encoder whose attributes are computed when they are asked for."""
    made = type("Encoder", (Encoder,), {name: property(get) for name, get in properties.items()})
    return Attack(made, line, cause=cause, early=bool(line))


def fails(self: Any) -> Any:
    raise RuntimeError("two\nlines")


def lacks(self: Any) -> Any:
    raise AttributeError("an inner one")


def changing(values: list[Any]) -> Callable[[Any], Any]:
    """A property with another value each time."""
    return lambda self: values[0] if len(values) == 1 else values.pop(0)


class Anything(Encoder):
    """Has every attribute: a method."""

    def __getattr__(self, name: str) -> Any:
        return lambda *given, **more: None


class Nothing(Encoder):
    """Fails where it lacks an attribute."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("nothing of that name")


WHOLE, TEXT_NAME, NO_FOLDER = "give a whole number from", "give a text, such as ORG/NAME", "cannot name a folder"
STATE, ONE_OF, MENDS = (
    "give a text that changes with the vectors",
    "use cosine, dot, euclidean",
    "mend the model and run again",
)
DECLARED = {
    "a name of another type": says(TEXT_NAME, name=b"me/x"),
    "a name that is None": says(TEXT_NAME, name=None),
    "a name that is a method": says(TEXT_NAME, name=lambda: "me/x"),
    "a name that cannot be shown": says("a RaisesRepr that cannot be shown", name=RaisesRepr()),
    "an empty name": says(NO_FOLDER, name=""),
    "a name that leaves the folder": says(NO_FOLDER, name="../x"),
    "a name with a line end": says(NO_FOLDER, name="me/x\n"),
    "a name that turns the text": says(NO_FOLDER, name="me/\u202ex"),
    "a name of half a character": says(NO_FOLDER, name="me/\ud800"),
    "a name of 5,000 letters": says(NO_FOLDER, name="x" * 5000),
    "a name that prints another": says(name=OtherText("me/x")),
    "a name of NumPy": says(name=np.str_("me/x")),
    "a revision that is true": says(STATE, revision=True),
    "a revision that is NaN": says(STATE, revision=float("nan")),
    "a revision of bytes": says(STATE, revision=b"1"),
    "a revision that is a list": says(STATE, revision=["1"]),
    "a revision that is a method": says(STATE, revision=lambda: "1"),
    "a revision of 5,000 digits": says(STATE, revision=10**5000),
    "a revision that cannot be shown": says("a RaisesRepr that cannot be shown", revision=RaisesRepr()),
    "a revision of 301 letters": says("at most 300 characters", revision="x" * 301),
    "a revision of two lines": says("one line of at most 300 characters", revision="one\ntwo"),
    "a revision of half a character": says("one line of at most 300 characters", revision="\ud800"),
    "a revision that prints another": says(revision=OtherText("1")),
    "a revision that is zero": says(revision=0),
    "parameters with a fraction": says(WHOLE, parameters=22.7e6),
    "parameters that are NaN": says(WHOLE, parameters=float("nan")),
    "parameters as text": says(WHOLE, parameters="22M"),
    "parameters that are true": says(WHOLE, parameters=True),
    "parameters below zero": says(WHOLE, parameters=-1),
    "parameters of 5,000 digits": says(WHOLE, parameters=10**5000),
    "parameters that are a list": says(WHOLE, parameters=[1]),
    "parameters that fail to be a number": says(WHOLE, parameters=RaisesIndex()),
    "parameters with a long text": says(WHOLE, parameters=LongRepr()),
    "parameters as a tensor": says(parameters=torch.tensor(7)),
    "parameters of NumPy": says(parameters=np.int64(7)),
    "parameters of a subclass": says(parameters=Number(7)),
    "no parameters": says(parameters=0),
    "a length of zero": says(WHOLE, max_length=0),
    "a length without end": says(WHOLE, max_length=float("inf")),
    "a huge length": says(WHOLE, max_length=10**30),
    "a length as text": says(WHOLE, max_length="512"),
    "a length for each role": says(WHOLE, max_length=(32, 512)),
    "a length that is a method": says(WHOLE, max_length=lambda: 512),
    "a length of NumPy": says(max_length=np.uint16(512)),
    "a similarity that nobody knows": says(ONE_OF, similarity="cos"),
    "a similarity in capitals": says(ONE_OF, similarity="Dot"),
    "a similarity that is a function": says(ONE_OF, similarity=lambda a, b: 0),
    "a similarity that is an array": says(ONE_OF, similarity=np.zeros(3)),
    "a similarity of 5,000 letters": says(ONE_OF, similarity="c" * 5000),
    "a similarity that prints another": says(similarity=OtherText("dot")),
    "a name that fails": asked(MENDS, True, name=fails),
    "a revision that fails": asked(MENDS, True, revision=fails),
    "parameters that fail": asked(MENDS, True, parameters=fails),
    "a length that fails": asked(MENDS, True, max_length=fails),
    "a similarity that fails": asked(MENDS, True, similarity=fails),
    "a similarity that lacks something within": asked(MENDS, True, similarity=lacks),
    "a preparation that fails to be one": asked(MENDS, True, prepare=lacks),
    "a method that fails to be one": asked(MENDS, True, encode_queries=fails),
    "another name each time": asked(name=changing(["me/a", "me/b"])),
    "another revision each time": asked(revision=changing(["1", "2"])),
    "another similarity each time": asked(similarity=changing(["dot", "cosine"])),
    "every attribute": Attack(Anything, TEXT_NAME, early=True),
    "no attribute": Attack(Nothing, MENDS, cause=True, early=True),
    "a preparation that is no method": says("make it a method that takes texts", prepare=7),
    "a preparation that empties its list": says(prepare=list.clear),
    "a method that is None": says("make it a method that takes texts", encode_queries=None),
    "a method without texts": Attack(lambda: says(encode_queries=lambda: 0).make(), "raised TypeError", cause=True),
    "a class": Attack(lambda: Encoder, "is the class Encoder: give an object of it", early=True),
    "a function": Attack(lambda: honest, "cannot use a function as an encoder", early=True),
    "an object": Attack(object, "cannot use a object as an encoder", early=True),
}

# --- scorers ---------------------------------------------------------------------------------------------------------------


class Scorer:
    """A scorer whose scores are the products of honest vectors, turned by ``change``."""

    def __init__(self, change: Callable[[Any], Any] = lambda scores: scores) -> None:
        self.change = change

    def prepare_candidates(self, texts: list[str], languages: list[str]) -> None:
        self.rows = honest(texts)

    def score(self, texts: list[str], languages: list[str]) -> Any:
        return self.change(honest(texts) @ self.rows.T)


def scores(change: Callable[[Any], Any], line: str = "") -> Attack:
    return Attack(lambda: Scorer(change), line)


def raising(name: str, error: BaseException) -> Attack:
    def method(self: Any, texts: list[str], languages: list[str]) -> Any:
        raise error

    return Attack(type("Scorer", (Scorer,), {name: method}), rf"raised {type(error).__name__} \(", cause=True)


class Careless(Scorer):
    """Scores into one buffer, and empties the lists that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = np.empty((64, 64), np.float32)

    def prepare_candidates(self, texts: list[str], languages: list[str]) -> None:
        super().prepare_candidates(texts, languages)
        texts.clear(), languages.clear()

    def score(self, texts: list[str], languages: list[str]) -> Any:
        products = super().score(texts, languages)
        texts.clear(), languages.clear()
        self.buffer[: len(products), : products.shape[1]] = products
        return self.buffer[: len(products), : products.shape[1]]


SCORERS = {
    "scores as they are": scores(lambda products: products),
    "scores in doubles": scores(lambda products: products.astype(np.float64)),
    "scores as a tensor": scores(torch.from_numpy),
    "scores as lists": scores(lambda products: products.tolist()),
    "scores that are sparse": scores(sparse.csr_array),
    "scores in one buffer": Attack(Careless),
    "scores of candidates by queries": scores(lambda products: products.T, "gave scores of shape"),
    "scores of a candidate too few": scores(lambda products: products[:, 1:], "gave scores of shape"),
    "scores of one query": scores(lambda products: products[0], "gave scores of shape"),
    "scores that are NaN": scores(lambda products: products * np.nan, "gave scores that are not finite"),
    "scores that are infinite": scores(
        lambda products: np.where(products > 0, np.inf, products), "not finite for the query"
    ),
    "scores that are infinite as float32": scores(lambda products: products.astype(np.float64) * 1e300, "not finite"),
    "scores that are complex": scores(lambda products: products * 1j, r"\(complex numbers\)"),
    "scores that are objects": scores(lambda products: products.astype(object), r"\(objects\)"),
    "scores that are text": scores(lambda products: products.astype(str), r"\(text\)"),
    "scores that are missing": scores(lambda products: None, "gave a NoneType"),
    "scores by text": scores(lambda products: dict(enumerate(products)), "gave a dict"),
    "a scorer that fails to prepare": raising("prepare_candidates", ZeroDivisionError("0")),
    "a scorer that fails to score": raising("score", KeyError("x")),
    "a scorer that exits": raising("score", SystemExit(0)),
    "a scorer with odd parameters": Attack(type("Scorer", (Scorer,), {"parameters": 1.5}), WHOLE, early=True),
    "a scorer that declares a name of bytes": Attack(type("Scorer", (Scorer,), {"name": b"x"}), TEXT_NAME, early=True),
    "a scorer without a method": Attack(type("Scorer", (), {"score": Scorer.score}), "cannot use a Scorer", early=True),
}

# --- second stages ---------------------------------------------------------------------------------------------------------


class Pairs:
    """A second stage whose scores are the products of honest vectors, turned by ``change``."""

    def __init__(self, change: Callable[[Any], Any]) -> None:
        self.change = change

    def score_pairs(self, pairs: list[tuple[str, str]]) -> Any:
        queries, candidates = (honest([pair[side] for pair in pairs]) for side in (0, 1))
        pairs.clear()
        return self.change((queries * candidates).sum(axis=1))


def two_stages(change: Callable[[Any], Any], line: str = "", cause: bool = False) -> Attack:
    """Two stages of which the second one orders all candidates again."""

    def make() -> Any:
        first = as_loaded(Encoder(lambda texts: np.ones((len(texts), 2))))
        info = ModelInfo("me/pairs", "own", None, "unknown")
        settings = EncoderSettings(similarity="rerank", depth=1000)
        second = LoadedReranker(scorer=Pairs(change), info=info, settings=settings)
        return LoadedRerank(first=first, second=second, info=info, settings=settings)

    return Attack(make, line, cause=cause)


def no_scores(scores: Any) -> Any:
    raise KeyError("x")


SECOND_STAGES = {
    "pairs as they are": two_stages(lambda scores: scores),
    "pairs as a list": two_stages(lambda scores: scores.tolist()),
    "pairs as a tensor": two_stages(torch.from_numpy),
    "pairs that are whole numbers": two_stages(lambda scores: (scores * 16).astype(np.int64)),
    "pairs that are complex": two_stages(lambda scores: scores * 1j, r"\(complex numbers\)"),
    "pairs that are objects": two_stages(lambda scores: scores.astype(object), r"\(objects\)"),
    "pairs that are text": two_stages(lambda scores: scores.astype(str), r"\(text\)"),
    "pairs of unequal length": two_stages(lambda scores: [[1.0], [1.0, 2.0]], "gave a list and not one score a pair"),
    "pairs that are missing": two_stages(lambda scores: None, "gave a NoneType and not one score a pair"),
    "a pair too few": two_stages(lambda scores: scores[1:], "gave scores of shape"),
    "two scores a pair": two_stages(lambda scores: np.stack([scores, scores], axis=1), "gave scores of shape"),
    "a sparse column of pairs": two_stages(lambda scores: sparse.csr_array(scores[:, None]), "gave scores of shape"),
    "pairs that are NaN": two_stages(lambda scores: scores * np.nan, "gave a score that is not finite for the query"),
    "pairs that are infinite as float32": two_stages(
        lambda scores: scores.astype(float) * 1e300, "a score that is not finite"
    ),
    "a second stage that fails": two_stages(no_scores, r"raised KeyError \(", True),
}

ATTACKS: dict[str, Attack] = {**FORMS, **CHANGES, **RAISES, **EFFECTS, **DECLARED, **SCORERS, **SECOND_STAGES}

PROMISE = Promise(
    what="A model of one's own has the ranks of the vectors that it means, or ends in one line, above it the model's traceback.",
    stops="encoders/declared.py before anything is encoded; encoders/arrays.py and vectors.py on every batch; encoders/calls.py.",
    attacks=len(ATTACKS),
    test="tests/test_attacks_encoders.py",
)
