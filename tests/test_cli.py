"""The command line as a person uses it: every command, every mistake, resuming, killing."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import HEARS_CTRL_C, clir, environment, wait_until

import clirbench
from clirbench.cli import app

ROOT = Path(__file__).resolve().parent.parent
# It hangs in one call for good, so that the run can be stopped there.
HANGING = """
import hashlib, pathlib, threading
import numpy as np
CALLS = pathlib.Path("calls.txt")
class Hanging:
    revision = "1"
    def encode_queries(self, texts):
        with CALLS.open("a") as file:
            file.write(f"{len(texts)}\\n")
        if len(CALLS.read_text().splitlines()) == LAST:
            threading.Event().wait()
        return np.array([np.random.default_rng(list(hashlib.sha256(t.encode()).digest())).random(32) for t in texts])
    encode_candidates = encode_queries
def make(): return Hanging()
def forgetful():
    Hanging.revision = None
    return Hanging()
"""


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_run_alone_is_the_whole_tour(home):
    ran = clir(home, "run")
    assert ran.returncode == 0, ran.stderr
    result = home / "results" / "clirbench__hybrid" / "demo.json"
    assert "results/clirbench__hybrid/demo.json" in ran.stdout
    assert ran.stdout.strip().splitlines()[-1].startswith("next: ")
    # Piped: no colour, no box drawing, no control characters.
    assert "\x1b" not in ran.stdout + ran.stderr
    assert not re.search("[\u2500-\u257f]", ran.stdout)
    document = clirbench.read_result(result).document
    row = next(line for line in ran.stdout.splitlines() if line.startswith("demo "))
    for setting in ("monolingual", "cross-lingual", "multilingual"):
        assert f"{document.headline[setting]['mAP'].value * 100:.1f} ±" in row
    assert f"{document.headline['bias']['rank_distance'].value:,.1f} ±" in row
    again = clir(home, "run")
    assert "kept" in again.stderr
    assert again.stdout == ran.stdout
    assert not list(home.rglob("*.part"))


def test_score_export_show(home):
    clir(home, "run", "--languages", "en,ar")
    result = "results/clirbench__hybrid/demo+ar-en.json"
    scored = clir(home, "score", result)
    assert (scored.returncode, scored.stdout.strip().endswith("agree")) == (0, True)
    exported = clir(home, "export", result, "--settings", "multilingual", "--metrics", "mAP", "--output", "out.trec")
    assert exported.returncode == 0, exported.stderr
    assert len((home / "out.trec").read_text().splitlines()) == 97
    assert clir(home, "export", result, "--settings", "multilingual", "--metrics", "mAP").stdout == (
        (home / "out.trec").read_text()
    )
    shown = clir(home, "show", result, "--metric", "nDCG@10")
    assert "nDCG@10 x100" in shown.stdout
    assert "* restricted to ar,en (monolingual, cross-lingual, multilingual): not comparable" in shown.stdout
    document = json.loads((home / result).read_text())
    document["headline"]["multilingual"]["mAP"]["value"] += 1e-6
    (home / result).write_text(json.dumps(document))
    scored = clir(home, "score", result)
    assert scored.returncode == 1
    assert "headline.multilingual.mAP.value" in scored.stdout
    assert "DISAGREE" in scored.stdout


def test_pairs_prints_every_pair(home):
    ran = clir(home, "run", "--languages", "de,en,zh", "--pairs")
    document = clirbench.read_result(home / "results/clirbench__hybrid/demo+de-en-zh.json").document
    table = ran.stdout[ran.stdout.index("query language down") :]
    row = next(line.split() for line in table.splitlines() if line.startswith("en "))
    expected = [
        document.per_pair["en"]["de"],
        document.per_language["en"]["monolingual"],
        document.per_pair["en"]["zh"],
    ]
    assert row[1:] == [f"{numbers['mAP'] * 100:.1f}" for numbers in expected]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run", "--tasks", "xquad"], "no task 'xquad'"),
        (["run", "--tasks", "demo,demo"], "distinct names"),
        (["run", "--languages", "en,fr"], "no language 'fr'"),
        (["run", "--languages", "en", "--settings", "cross-lingual"], "needs two languages"),
        (["run", "--model", "x" * 300], "no model 'xxx"),
        (["run", "--model", "C:\\models\\mine"], "cannot be a hub name|no model"),
        (["run", "--model", "mine.py:make"], "write module:factory, without .py"),
        (["run", "--tasks", "x" * 300], "no task"),
        (["run", "--output", "/dev/null/x"], "cannot write"),
        (["run", "--settings", "bilingual"], "no setting 'bilingual'"),
        (["run", "--languages", ""], "--languages is ''"),
        (["run", "--model", "clirbench/none"], "bundled ones are"),
        (["run", "--dtype", "int4"], "--dtype is 'int4'"),
        (["run", "--model", "missing_module:f"], "cannot import"),
        (["score", "nothing.json"], "nothing.json"),
        (["export", "nothing.json", "--format", "csv"], "--format is 'csv'"),
        (["show", "."], "cannot be read"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(home, args, message):
    ran = clir(home, *args)
    assert ran.returncode == 2
    assert any(part in ran.stderr for part in message.split("|"))
    assert len(ran.stderr.strip().splitlines()) == 1
    assert "Traceback" not in ran.stderr
    assert not (home / "results").exists()


def run_that_raises(home, raising):
    """`clirbench run` with an expression in the place of the run."""
    code = (
        "import sys\n"
        "from clirbench.cli import main, run_tasks\n"
        f"run_tasks.run_tasks = lambda request: {raising}\n"
        "sys.argv = ['clirbench', 'run']\n"
        "main()\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=home, env=environment(home), check=False
    )


def test_a_defect_shows_its_traceback(home):
    ran = run_that_raises(home, "1 / 0")
    assert ran.returncode == 1
    assert "ZeroDivisionError" in ran.stderr
    assert "Traceback" in ran.stderr


def test_no_memory_on_this_machine_is_one_line(home):
    ran = run_that_raises(home, "__import__('numpy').zeros((10**7, 10**7))")
    assert ran.returncode == 2
    assert ran.stderr.startswith("clirbench: this machine is out of memory (Unable to allocate")
    assert ran.stderr.count("\n") == 1


def test_another_run_is_not_overwritten(home):
    (home / "own.py").write_text(HANGING.replace("LAST", "0"))
    first = clir(home, "run", "--model", "own:make", "--tasks", "demo")
    assert first.returncode == 0, first.stderr
    path = home / "results" / "own__own.make" / "demo.json"
    content = path.read_bytes()
    other = clir(home, "run", "--model", "own:make", "--tasks", "demo", "--query-prompt", "q: ")
    assert other.returncode == 2
    assert "holds another run (query prompt: '' there, 'q: ' now)" in other.stderr
    assert path.read_bytes() == content
    unknown = clir(home, "run", "--model", "own:forgetful", "--tasks", "demo", "--name", "own/own.make")
    assert unknown.returncode == 2
    forced = clir(home, "run", "--model", "own:make", "--tasks", "demo", "--query-prompt", "q: ", "--force")
    assert forced.returncode == 0
    assert path.read_bytes() != content


def test_the_screen_says_how_many_texts_came_from_the_cache(home):
    command = ("run", "--model", "clirbench/hybrid", "--tasks", "demo", "--languages")
    assert "came from the cache" not in clir(home, *command, "en,de").stderr
    again = clir(home, *command, "en,de", "--output", "elsewhere").stderr
    document = clirbench.read_result(next((home / "elsewhere").rglob("*.json"))).document
    assert document.cost.texts > document.cost.texts_encoded == 0
    assert f"demo: {document.cost.texts:,} of {document.cost.texts:,} texts came from the cache" in again
    assert again.count("came from the cache") == 1


def test_a_model_without_revision_is_never_taken_for_the_same(home):
    (home / "own.py").write_text(HANGING.replace("LAST", "0"))
    assert clir(home, "run", "--model", "own:forgetful", "--tasks", "demo").returncode == 0
    again = clir(home, "run", "--model", "own:forgetful", "--tasks", "demo")
    assert again.returncode == 2
    assert "nobody can tell whether" in again.stderr


def calls(home):
    """How often the encoder was asked."""
    path = home / "calls.txt"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_killed_with_signal_9_it_loses_one_shard_and_ends_the_same(home):
    (home / "own.py").write_text(HANGING.replace("LAST", "5"))
    command = [sys.executable, "-m", "clirbench", "run", "--model", "own:make", "--tasks", "demo"]
    whole = home / "whole"
    whole.mkdir()
    (whole / "own.py").write_text(HANGING.replace("LAST", "0"))
    assert clir(whole, *command[3:]).returncode == 0
    with subprocess.Popen(
        command, cwd=home, env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        wait_until(lambda: calls(home) == 5, running)
        running.kill()
    kept = len(list((home / "cache").rglob("*.npy")))
    assert kept == 4
    assert not list((home / "results").rglob("*.json"))
    (home / "own.py").write_text(HANGING.replace("LAST", "0"))
    resumed = clir(home, *command[3:])
    assert resumed.returncode == 0, resumed.stderr
    # One text of each role is encoded again, to see that the encoder is still that of the cache.
    assert calls(home) - 5 == calls(whole) - kept + 2
    documents = [json.loads((p / "results/own__own.make/demo.json").read_text()) for p in (home, whole)]
    for part in ("task", "headline", "micro", "per_language", "per_pair", "queue_jump", "ranks", "counts"):
        assert json.dumps(documents[0][part]) == json.dumps(documents[1][part])
    ranks = [(p / "results/own__own.make/demo.ranks.parquet").read_bytes() for p in (home, whole)]
    assert ranks[0] == ranks[1]


def test_the_hub_out_of_reach_is_one_line(home):
    ran = clir(
        home, "run", "--model", "someone/model", "--tasks", "demo", HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="0"
    )
    assert ran.returncode == 2
    assert "cannot reach the hub for model 'someone/model'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_stream_that_cannot_show_a_character(home):
    ran = clir(home, "run", "--languages", "en", PYTHONIOENCODING="ascii")
    assert ran.returncode == 0, ran.stderr
    assert "demo*" in ran.stdout


def test_score_takes_several_and_a_forged_full_run_is_found(home):
    clir(home, "run", "--languages", "en,ar")
    clir(home, "run", "--languages", "en,de")
    folder = home / "results" / "clirbench__hybrid"
    paths = sorted(str(path) for path in folder.glob("*.json"))
    scored = clir(home, "score", *paths)
    assert (scored.returncode, scored.stdout.count(": agree")) == (0, 2)
    document = json.loads(Path(paths[0]).read_text())
    document["task"]["complete"] = True
    forged = folder / "demo.json"
    forged.write_text(json.dumps(document))
    scored = clir(home, "score", str(forged))
    assert scored.returncode == 1
    assert "task.complete: the file says True, but it should be False" in scored.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to a console, not to a process")
def test_ctrl_c_says_how_to_continue(home):
    (home / "own.py").write_text(HANGING.replace("LAST", "1"))
    command = [*HEARS_CTRL_C, "run", "--model", "own:make", "--tasks", "demo"]
    with subprocess.Popen(command, cwd=home, env=environment(home), stderr=subprocess.PIPE, text=True) as running:
        wait_until(lambda: calls(home) == 1, running)
        running.send_signal(signal.SIGINT)
        stderr = running.communicate(timeout=60)[1]
    assert running.returncode == 130
    assert stderr.strip().splitlines()[-1] == "clirbench: stopped; run the same command again to continue"


def test_help_needs_neither_torch_nor_mteb(home):
    code = (
        "import sys, clirbench, clirbench.cli\n"
        "try: clirbench.cli.app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'mteb', 'transformers', 'sentence_transformers', 'datasets', 'pandas', 'pyarrow', 'numpy', 'scipy'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=home, check=True)
    assert "HEAVY []" in ran.stdout
    assert "Evaluate an encoder" in ran.stdout


def test_the_bundled_run_needs_neither_torch_nor_mteb(home):
    code = (
        "import sys; sys.argv = ['clirbench', 'run', '--languages', 'en']\n"
        "from clirbench.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('HEAVY', sorted({'torch', 'mteb', 'transformers'} & set(sys.modules)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=home, check=True, env=environment(home)
    )
    assert "HEAVY []" in ran.stdout


def test_lists(home):
    tasks = clir(home, "tasks").stdout
    for name in clirbench.list_tasks():
        task = clirbench.load_task(name)
        row = next(line for line in tasks.splitlines() if line.startswith(name))
        assert task.licence in row
        assert f"{sum(task.counts['candidates'].values()):,}" in row
    listed = clir(home, "models").stdout
    assert "clirbench/char-ngram-romanised" in listed
    assert "14 of 122 languages: amh_Ethi arb_Arab" in tasks
    assert "a server's http://HOST:PORT/v1#MODEL" in listed
    assert "two stages, rerank:MODEL+CROSS-ENCODER" in listed
    assert "rank_distance" in clir(home, "metrics").stdout
    schema = json.loads(clir(home, "schema").stdout)
    assert set(schema["discriminator"]["mapping"]) == {"measured", "reported"}
    assert clir(home, "--version").stdout.strip() == f"clirbench {clirbench.__version__}"


def test_help_says_every_default(home):
    assert "[default: (see --prompts)]" in clir(home, "run", "--help").stdout
    assert clir(home, "train", "--help").stdout.count("[default: (the recipe's)]") == 4


def commands():
    import typer.main

    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        yield from ((f"{name} {other}", one) for other, one in inner.items()) if inner else ((name, command),)


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_every_command_has_examples_that_parse(name, command):
    lines = [line.strip() for line in (command.epilog or "").split("\n\n")]
    assert lines[0] == "Examples:"
    assert len(lines) > 1
    import shlex

    known = dict(commands())
    typed = []
    for line in lines[1:]:
        words = shlex.split(line.split(" > ")[0])
        assert words[0] == "clirbench"
        called = next(n for n in known if words[1 : 1 + len(n.split())] == n.split())
        typed.append(called)
        # Parsed as typed, not run.
        known[called].make_context(called, words[1 + len(called.split()) :], resilient_parsing=False)
    assert name in typed
