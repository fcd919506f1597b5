"""The hub and its local cache: which commit a name stands for, and the folder of a commit."""

import os
from pathlib import Path

from clirbench.support.errors import ClirbenchError

# One of these is in every repository that a model can be loaded from.
_FILES = ("modules.json", "config.json", "adapter_config.json")


def resolve_commit(name: str, revision: str | None) -> str:
    """Resolve a branch or tag to the commit it points at: on the hub, or in the local cache when offline.

    Raises:
        ClirbenchError: The hub has no such model or revision, or neither the hub nor the cache can be asked.
    """
    from huggingface_hub import HfApi, constants, try_to_load_from_cache
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    offline = constants.HF_HUB_OFFLINE
    if not offline:
        try:
            return str(HfApi().model_info(name, revision=revision).sha)
        except GatedRepoError as error:
            raise ClirbenchError(
                f"model '{name}' is gated: accept its terms on the hub and run hf auth login"
            ) from error
        except RevisionNotFoundError as error:
            raise ClirbenchError(f"model '{name}' has no revision '{revision}': correct --revision") from error
        except RepositoryNotFoundError as error:
            raise ClirbenchError(f"no model '{name}' on the hub, and no such folder: correct --model") from error
        except HFValidationError as error:
            raise ClirbenchError(f"'{name}' is no folder and cannot be a hub name: correct --model") from error
        except Exception as error:
            reason = type(error).__name__
    for file in _FILES:
        try:
            cached = try_to_load_from_cache(name, file, cache_dir=hub_cache(), revision=revision)
        except HFValidationError as error:
            raise ClirbenchError(f"'{name}' is no folder and cannot be a hub name: correct --model") from error
        if isinstance(cached, str):
            parts = Path(cached).parts
            return parts[len(parts) - parts[::-1].index("snapshots")]
    if offline:
        at = f" --revision {revision}" if revision else ""
        raise ClirbenchError(
            f"model '{name}' is not in the hub cache and HF_HUB_OFFLINE is set: fetch it while online with  "
            f"hf download {name}{at}"
        )
    raise ClirbenchError(
        f"cannot reach the hub for model '{name}' ({reason}), and it is not in the cache: check the network, or pass a folder"
    )


def cached_snapshot(name: str, commit: str | None = None) -> Path | None:
    """The folder of a model in the local cache, at a commit or at that of its main branch; None if it is not there.

    The folder is named after the commit. It holds the files that were loaded, not always all files of the repository.
    """
    repository = hub_cache() / snapshot_place(name, "").parent
    try:
        commit = commit or (repository / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    folder = repository / "snapshots" / commit
    return folder if folder.is_dir() else None


def snapshot_place(name: str, commit: str) -> Path:
    """Where a cache of the hub keeps the files of a model at a commit."""
    return Path("--".join(["models", *name.split("/")]), "snapshots", commit)


def hub_cache() -> Path:
    """The folder in which sentence-transformers keeps what it downloads."""
    from huggingface_hub import constants

    return Path(os.environ.get("SENTENCE_TRANSFORMERS_HOME") or constants.HF_HUB_CACHE)
