"""A copy of a data set of the hub: downloaded once at the pinned commit, whole, and only what is asked for."""

import re
import shutil

import httpx
import huggingface_hub
import pytest
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from parallel_sets import HUB, parallel_set, write_parallel

from clirbench.support.errors import ClirbenchError
from clirbench.tasks.collection import load_collection
from clirbench.tasks.hub_copy import local_copy
from clirbench.tasks.new_task import init_from_hub
from clirbench.tasks.task_file import load_task

EN, TH = (tuple(f"{x}-{part}" for part in ("corpus", "queries", "qrels")) for x in ("en", "th"))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A folder in the place of the hub; the list of what was asked of it."""
    folder = write_parallel(tmp_path / "hub", parallel_set(("en", "th")))
    asked = []

    def names(api, repo, *, repo_type, revision):
        assert (repo, repo_type, revision) == (HUB.hub, "dataset", HUB.revision)
        return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]

    def download(repo, *, repo_type, revision, local_dir, allow_patterns):
        asked.append(allow_patterns)
        for name in names(None, repo, repo_type=repo_type, revision=revision):
            if name in allow_patterns:
                (local_dir / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(folder / name, local_dir / name)
        return str(local_dir)

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", names)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return folder, asked


def test_each_configuration_is_downloaded_once(hub):
    _, asked = hub
    copy = local_copy("village", HUB, EN)
    assert (copy / "en-corpus" / "test.parquet").is_file()
    assert not (copy / "th-corpus").exists()
    before = len(asked)
    assert local_copy("village", HUB, EN) == local_copy("village", HUB, EN[:1]) == copy
    assert len(asked) == before
    assert local_copy("village", HUB, (*EN, *TH)) == copy
    assert [pattern for patterns in asked[before:] for pattern in patterns if pattern.startswith("en-")] == []
    assert (copy / "th-qrels" / "test.parquet").is_file()


def test_a_task_is_written_and_run_from_a_download(hub, tmp_path):
    (path,) = init_from_hub("village-law", tmp_path / "mine", HUB)
    task = load_task(str(path))
    assert (task.hub, task.languages) == (HUB, ("en", "th"))
    assert len(load_collection(task).gold_query) == 30 * 4


@pytest.mark.parametrize(
    ("fails", "reason"), [(True, "the line is dead"), (False, r"en-\w+/test\.parquet did not come")]
)
def test_a_download_that_stopped_is_not_taken_for_whole(hub, monkeypatch, fails, reason):
    whole = huggingface_hub.snapshot_download

    def stops(repo, **options):
        if options["allow_patterns"] == ["README.md"]:
            return whole(repo, **options)
        whole(repo, **{**options, "allow_patterns": options["allow_patterns"][:1]})
        if fails:
            raise ConnectionError("the line is dead\nand more")
        # Where the line dies, the client may give what has come.
        return str(options["local_dir"])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", stops)
    told = rf"cannot download org/village-law@{HUB.revision} \({reason}\): check the network and run again"
    for _ in range(2):
        with pytest.raises(ClirbenchError, match=told) as error:
            local_copy("village", HUB, EN)
        assert "\n" not in str(error.value)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", whole)
    assert (local_copy("village", HUB, EN) / "en-qrels" / "test.parquet").is_file()


def test_what_the_data_set_lacks_is_named(hub):
    folder, _ = hub
    with pytest.raises(ClirbenchError, match=r"village-law@\w+: has no configuration fr-corpus: correct the languages"):
        local_copy("village", HUB, [*EN, "fr-corpus"])
    (folder / "README.md").unlink()
    assert (local_copy("village", HUB, TH) / "th-corpus" / "test.parquet").is_file()


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (GatedRepoError, "is given on request only: ask for it on its page, and log in"),
        (RepositoryNotFoundError, ": the hub has no such data set, or it is private: correct the name, or log in"),
        (RevisionNotFoundError, ": the data set has no such commit: correct the revision"),
    ],
)
def test_what_the_hub_does_not_have_is_not_blamed_on_the_network(hub, monkeypatch, kind, told):
    def refuses(*given, **options):
        raise kind(
            "404 Client Error\nand more", response=httpx.Response(404, request=httpx.Request("GET", "https://x"))
        )

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", refuses)
    with pytest.raises(
        ClirbenchError, match=f"village-law@{HUB.revision}{re.escape(told) if told[0] == ':' else ' ' + told}"
    ):
        local_copy("village", HUB, EN)


def test_without_a_network_one_line_says_so():
    # tests/conftest.py takes the hub away.
    with pytest.raises(
        ClirbenchError, match=r"cannot download mteb/MuPLeR-retrieval@43dff1b\w+ \(.*or put a snapshot into"
    ):
        load_collection(load_task("mupler"), ["en"])


def test_with_a_mirror_the_hub_is_not_asked(hub, tmp_path, monkeypatch):
    _, asked = hub
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("CLIRBENCH_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(
        ClirbenchError, match=r"CLIRBENCH_MIRROR \(.*\) has no folder village: put a snapshot of org/village-law@"
    ):
        local_copy("village", HUB, EN)
    write_parallel(tmp_path / "mirror" / "village")
    assert local_copy("village", HUB, EN) == tmp_path / "mirror" / "village"
    assert asked == []


def test_a_cache_that_cannot_be_written_is_named(hub, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CLIRBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(ClirbenchError, match=r"cannot write the cache at .*CLIRBENCH_CACHE"):
        local_copy("village", HUB, EN)
