"""The cache of vectors on disk: one folder per model, settings, role and set of texts."""

import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from importlib import metadata
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.base import OF_FINISHED, LoadedModel
from clirbench.support.files import write_atomically, writing

TEXTS_PER_SHARD = 512
_FORMAT = 1
_OF_BACKEND = {"onnx": ("onnxruntime", "optimum"), "openvino": ("openvino", "optimum")}
_MANIFEST = "manifest.json"
# Nobody can tell whether a server's model without a revision has changed. Its vectors may cost money, so they are kept for a day:
# a run that failed can go on.
_SECONDS_WITHOUT_REVISION = 24 * 3600


def may_keep(encoder: LoadedModel) -> bool:
    """Whether vectors of this model may be kept: it has a revision, or is a server's."""
    return encoder.info.revision is not None or encoder.served_by is not None


def may_be_stale(encoder: LoadedModel) -> bool:
    """Whether kept vectors must be compared with a new one: only its author says when an encoder changes, or nobody does."""
    return encoder.info.kind == "own" or (encoder.served_by is not None and encoder.info.revision is None)


def versions(encoder: LoadedModel) -> dict[str, str]:
    """List the versions of the packages that compute the vectors. The cache never mixes vectors of two versions."""
    if encoder.info.kind not in ("sentence-transformers", "mteb"):
        return {}
    names = (
        "torch",
        "transformers",
        "sentence-transformers",
        "mteb",
        *_OF_BACKEND.get(encoder.settings.backend or "", ()),
    )
    return {name: metadata.version(name) for name in names}


class CacheEntry:
    """The cached vectors of one role's distinct texts, in dense shards of 512 texts.

    Each shard is written under a temporary name and renamed when it is complete. The manifest, with the checksums of all shards,
    is written last. A damaged shard is treated as missing, and its texts are encoded again. So is a shard of a server's model
    without a revision once it is a day old.

    Args:
        root: Folder of all vectors.
        encoder: The model. Its name, revision and settings are part of the key, so two models never share an entry.
        role: "query" or "candidate"; "pair" for the scores of a second stage, one column a pair.
        texts: The distinct texts, in the order in which they are encoded.
    """

    def __init__(self, root: Path, encoder: LoadedModel, role: str, texts: Sequence[str]) -> None:
        digest = hashlib.sha256()
        for text in texts:
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        identity = {
            "format": _FORMAT,
            "shard": TEXTS_PER_SHARD,
            "model": encoder.info.name,
            "kind": encoder.info.kind,
            "revision": encoder.info.revision,
            # What is done to finished vectors is done to cached ones too, so all variants share one entry.
            "settings": {k: v for k, v in asdict(encoder.settings).items() if k not in OF_FINISHED},
            "packages": versions(encoder),
            **({"served by": encoder.served_by} if encoder.served_by else {}),
            **({"trusted": True} if encoder.trust_remote_code else {}),
            "role": role,
            "texts": digest.hexdigest(),
        }
        self.folder = root / hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
        self._oldest = time.time() - _SECONDS_WITHOUT_REVISION if encoder.info.revision is None else 0.0
        self._expected, self.output_dtype = self._manifest()
        self._present: dict[str, str] = {}

    def get(self, number: int, rows: int) -> NDArray[np.float32] | None:
        """Read shard ``number`` as float32 (rows, dimensions); None where it is missing, damaged or of another shape."""
        name = f"{number:06d}.npy"
        try:
            if (self.folder / name).stat().st_mtime < self._oldest:
                return None
            content = (self.folder / name).read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            if digest != self._expected.get(name, digest):
                return None
            vectors = np.load(BytesIO(content), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        if vectors.ndim != 2 or vectors.shape[0] != rows or vectors.dtype != np.float32:
            return None
        self._present[name] = digest
        return np.asarray(vectors)

    def put(self, number: int, vectors: NDArray[np.float32]) -> None:
        """Write shard ``number``.

        Raises:
            ClirbenchError: The cache cannot be written.
        """
        name = f"{number:06d}.npy"
        if self._expected.pop(name, None):
            # The manifest on disk would call the new shard damaged.
            with self._writing():
                (self.folder / _MANIFEST).unlink(missing_ok=True)
        buffer = BytesIO()
        np.save(buffer, vectors, allow_pickle=False)
        self._write(name, buffer.getvalue())
        self._present[name] = hashlib.sha256(buffer.getvalue()).hexdigest()

    def finish(self, output_dtype: str | None) -> None:
        """Write the manifest, unless the one on disk lists the same shards.

        ``output_dtype`` is that of the vectors as the encoder gave them, before they became float32.

        Raises:
            ClirbenchError: The cache cannot be written.
        """
        if self._present != self._expected:
            manifest = {"format": _FORMAT, "shards": self._present, "output_dtype": output_dtype}
            self._write(_MANIFEST, json.dumps(manifest).encode())

    def _manifest(self) -> tuple[dict[str, str], str | None]:
        """The checksums of the shards, and the dtype of the vectors as the encoder gave them."""
        try:
            document = json.loads((self.folder / _MANIFEST).read_text(encoding="utf-8"))
            dtype = document.get("output_dtype")
            shards = {str(name): str(digest) for name, digest in document["shards"].items()}
            return shards, dtype if isinstance(dtype, str) else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}, None

    def _write(self, name: str, content: bytes) -> None:
        with self._writing():
            write_atomically(self.folder / name, content)

    def _writing(self) -> AbstractContextManager[None]:
        remedy = "pass --no-cache, or point CLIRBENCH_CACHE at a writable folder"
        return writing(f"the vector cache at {self.folder}", remedy)
