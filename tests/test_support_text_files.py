"""Text files as people have them: marks, line ends and encodings, in every file that a user gives."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from clirbench.encoders.transforms import parse_transform
from clirbench.evaluation.trec_runs import read_run
from clirbench.results.read import parse_submitted
from clirbench.submissions.model_toml import parse_model_file
from clirbench.support.errors import ClirbenchError
from clirbench.support.text_files import decode, object_of_line, read_text, text_lines
from clirbench.tasks.corpora.original import OriginalFolder, read_qrels, read_topics
from clirbench.tasks.corpora.vector_files import VectorFolder
from clirbench.tasks.task_file import load_task
from clirbench.training.recipe import SHIPPED, load_recipe
from clirbench.training.rows import read_rows

ROOT = Path(__file__).resolve().parent.parent
MARK = "\ufeff"
TEXT = "eins\nzwei drei\nvier ä\n"


def zipped(content):
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        (MARK + TEXT).encode(),
        TEXT.replace("\n", "\r\n").encode(),
        (MARK + TEXT).replace("\n", "\r\n").encode(),
        # Two files joined by `cat`.
        "".join(MARK + line for line in TEXT.splitlines(keepends=True)).encode(),
    ],
)
def test_marks_and_line_ends_are_read_over(tmp_path, content):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    (tmp_path / "a.gz").write_bytes(zipped(content))
    assert read_text(path, "") == TEXT
    lines = list(enumerate(TEXT.splitlines(), 1))
    assert list(text_lines(path)) == lines
    assert list(text_lines(tmp_path / "a.gz")) == lines
    assert list(text_lines(tmp_path / "a.gz", 2)) == lines[2:]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (TEXT.encode("utf-16"), "is not UTF-8 but UTF-16"),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), "is not UTF-8 but UTF-16"),
        (TEXT.encode("utf-16-le"), "is not UTF-8 but UTF-16"),
        (TEXT.encode("utf-32"), "is not UTF-8 but UTF-32"),
        (zipped(TEXT.encode()), "is not UTF-8 but gzip"),
        (TEXT.encode("latin-1"), "is not UTF-8 (invalid continuation byte in line 3, byte 6)"),
    ],
)
def test_another_encoding_is_named(tmp_path, content, told):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    for read in (lambda: decode(content, path), lambda: list(text_lines(path))):
        with pytest.raises(ClirbenchError) as error:
            read()
        assert str(error.value) == f"{path}: {told}: save it as UTF-8"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[", "not JSON Lines, because a list begins here"),
        ("{", "not JSON (Expecting property name"),
        ("[{}]", "not an object"),
        ("[" * 100_000, "not JSON Lines, because a list begins here"),
        ('{"a": ' * 100_000, "not JSON (nested too deeply)"),
    ],
)
def test_what_is_no_object_on_a_line(line, told):
    with pytest.raises(ClirbenchError) as error:
        object_of_line(line, "x.jsonl:1")
    assert str(error.value).startswith(f"x.jsonl:1: {told}")
    assert str(error.value).endswith(": write one JSON object a line")


def files_of_users(folder):
    """By name: the place of a small file of each kind that users give, its text, and a function that reads it."""
    model = (ROOT / "submissions" / "clirbench__hybrid" / "model.toml").read_text(encoding="utf-8")
    result = (ROOT / "submissions" / "clirbench__hybrid" / "xquad-r.json").read_text(encoding="utf-8")
    recipe = (SHIPPED / "static.toml").read_text(encoding="utf-8")
    task = 'format = 1\nid = "mine"\nname = "Mine"\ndescription = "d"\nlicence = "x"\nreader = "jsonl"\n'
    task += 'languages = ["en"]\nqueries = "q.jsonl"\ncandidates = "c.jsonl"\n'
    query, candidate = (
        '{"topic": "ä", "language": "en", "text": "a?"}\n',
        '{"language": "en", "text": "a.", "answers": ["ä"]}\n',
    )
    docs = folder / "corpus" / "miracl-corpus-v1.0-en" / "docs-0.jsonl.gz"
    ids = folder / "vectors" / "en" / "passages.ids.txt"
    toml = folder / "mine.toml"

    def own():
        loaded = load_task(str(toml))
        return loaded.counts, loaded.hash

    return {
        "task": (toml, task, own),
        "queries": (folder / "q.jsonl", query, own),
        "candidates": (folder / "c.jsonl", candidate, own),
        "run": (folder / "a.trec", "1 Q0 ä 1 2.0 t\n1 Q0 b 2 1.0 t\n", lambda: read_run(folder / "a.trec").rankings),
        "topics": (folder / "t.tsv", "1\twas ist ä\n2\tzwei\n", lambda: read_topics(folder / "t.tsv")),
        "qrels": (folder / "q.tsv", "1 Q0 ä 1\n1 Q0 b 0\n", lambda: read_qrels(folder / "q.tsv")),
        "docs": (
            docs,
            '{"docid": "1", "title": "ä", "text": "b"}\n{"docid": "2", "title": "c", "text": "d"}\n',
            lambda: OriginalFolder(folder / "corpus", "dev").block("en", 0, 0, 9),
        ),
        "ids": (ids, "ä\nb\n", lambda: VectorFolder(folder / "vectors").block("en", 0, 0, 9).ids),
        "sample": (
            folder / "s.jsonl",
            '{"language": "en", "text": "ä"}\n',
            lambda: parse_transform("center", folder / "s.jsonl"),
        ),
        "recipe": (folder / "r.toml", recipe, lambda: load_recipe(folder / "r.toml")[0]),
        "rows": (
            folder / "rows.jsonl",
            '{"text": {"en": "a", "de": "ä"}}\n',
            lambda: list(read_rows(folder / "rows.jsonl", "text")),
        ),
        "model.toml": (
            folder / "model.toml",
            model,
            lambda: parse_model_file((folder / "model.toml").read_bytes(), folder / "model.toml"),
        ),
        "result": (
            folder / "r.json",
            result,
            lambda: parse_submitted((folder / "r.json").read_bytes(), folder / "r.json"),
        ),
    }


KINDS = [
    "task", "queries", "candidates", "run", "topics", "qrels", "docs", "ids", "sample", "recipe", "rows", "model.toml", "result",
]  # fmt: skip


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zipped(content) if path.suffix == ".gz" else content)


@pytest.fixture
def files(tmp_path):
    kinds = files_of_users(tmp_path)
    for path, text, _ in kinds.values():
        put(path, text.encode())
    np.save(tmp_path / "vectors" / "en" / "passages.npy", np.eye(2, dtype=np.float32))
    assert sorted(kinds) == sorted(KINDS)
    return kinds


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_of_a_user_is_read_with_mark_and_crlf(files, kind):
    path, text, read = files[kind]
    plain = read()
    put(path, (MARK + text).replace("\n", "\r\n").encode())
    # The checksum of a user's own data, or of a sample of texts, is the same too.
    assert read() == plain


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_of_a_user_in_utf_16_is_named(files, kind):
    path, text, read = files[kind]
    put(path, text.encode("utf-16"))
    with pytest.raises(ClirbenchError) as error:
        read()
    assert str(error.value) == f"{path}: is not UTF-8 but UTF-16: save it as UTF-8"


def test_no_other_module_decodes_what_users_give():
    """A reader that decodes by itself would forget one of the marks, line ends or encodings."""
    others = {
        "tasks/readers.py": "pinned by checksum",
        "results/ranks_layout.py": "names of columns",
        "submissions/git_objects.py": "of git",
        "submissions/wall.py": "of the process of a model, to whose end a line belongs",
        "submissions/check_processes.py": "/proc",
    }
    package = ROOT / "clirbench"
    rooms = ("tasks", "evaluation", "results", "submissions")
    decoding = {
        path.relative_to(package).as_posix()
        for room in rooms
        for path in (package / room).rglob("*.py")
        if re.search(r"\.read_text\(|\.decode\(|open\([^)]*encoding=", path.read_text(encoding="utf-8"))
    }
    assert decoding == set(others)
