"""The cache of vectors on disk: one folder per model, settings, role and set of texts."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.base import OF_FINISHED, LoadedModel, takes_options
from clirbench.support.files import remove_parts, write_atomically, writing
from clirbench.support.packages import version_of
from clirbench.support.progress import Reporter
from clirbench.support.sealed import DamagedError, read_sealed, seal

TEXTS_PER_SHARD = 512
_FORMAT = 1
_OF_BACKEND = {"onnx": ("onnxruntime", "optimum"), "openvino": ("openvino", "optimum")}
# The numbers of tokens of the texts of a role, and of unknown ones among them, are kept like vectors of two dimensions.
COUNTED = {"query": "query tokens", "candidate": "candidate tokens"}
_DONE = {"pair": "scored", **dict.fromkeys(COUNTED.values(), "counted")}
_REMEDY = "pass --no-cache, or point CLIRBENCH_CACHE at a writable folder"
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
    kind = encoder.info.kind
    if kind != "mteb" and not takes_options(kind, encoder.settings.query_max_length):
        return {}
    names = (
        "torch",
        "transformers",
        "sentence-transformers",
        "mteb",
        *_OF_BACKEND.get(encoder.settings.backend or "", ()),
    )
    return {name: version_of(name) for name in names}


class CacheEntry:
    """The cached vectors of one role's distinct texts, in dense shards of 512 texts.

    Each shard is a NumPy file that begins with a checksum, over the key of the entry, the number of the shard and the vectors. A
    shard that is damaged, or lies in the place of another, is treated as missing, and its texts are encoded again. So is a shard
    of a server's model without a revision once it is a day old.

    Args:
        root: Folder of all vectors.
        encoder: The model. Its name, revision and settings are part of the key, so two models never share an entry.
        role: "query" or "candidate"; "pair" for the scores of a second stage, one column a pair; :data:`COUNTED` for the numbers
            of tokens.
        texts: The distinct texts, in the order in which they are encoded.
        packages: More packages on whose versions the numbers depend.

    Attributes:
        output_dtype: Of the vectors as the encoder gave them, as the last shard that was read or written says; None if unknown.
    """

    def __init__(
        self, root: Path, encoder: LoadedModel, role: str, texts: Sequence[str], packages: Sequence[str] = ()
    ) -> None:
        digest = hashlib.sha256()
        for start in range(0, len(texts), TEXTS_PER_SHARD):
            part = "\0".join([*texts[start : start + TEXTS_PER_SHARD], ""])
            digest.update(part.encode("utf-8", "surrogatepass"))
        identity = {
            "format": _FORMAT,
            "shard": TEXTS_PER_SHARD,
            "model": encoder.info.name,
            "kind": encoder.info.kind,
            "revision": encoder.info.revision,
            # What is done to finished vectors is done to cached ones too, so all variants share one entry.
            "settings": {k: v for k, v in asdict(encoder.settings).items() if k not in OF_FINISHED},
            "packages": versions(encoder) | {name: version_of(name) for name in packages},
            **({"served by": encoder.served_by} if encoder.served_by else {}),
            **({"trusted": True} if encoder.trust_remote_code else {}),
            "role": role,
            "texts": digest.hexdigest(),
        }
        self._key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
        self.folder = root / self._key.hexdigest()[:32]
        self.output_dtype: str | None = None
        self._role, self._expires = role, encoder.info.revision is None
        self._damaged: dict[str, str] = {}

    def get(self, number: int, rows: int) -> NDArray[np.float32] | None:
        """Read shard ``number`` as float32 (rows, dimensions); None where it is missing, damaged or too old."""
        path = self._path(number)
        try:
            content = read_sealed(path, self._identity(number))
            if content is None:
                return None
            source = BytesIO(content)
            about = json.loads(source.readline())
            vectors = np.load(source, allow_pickle=False)
            if vectors.ndim != 2 or len(vectors) != rows or vectors.dtype != np.float32:
                raise DamagedError("it holds other vectors")
            # A clock that was set back makes a shard come from the future.
            if self._expires and abs(time.time() - about["written"]) > _SECONDS_WITHOUT_REVISION:
                return None
            self.output_dtype = about["output_dtype"]
        except DamagedError as error:
            self._damaged[path.name] = str(error)
            return None
        except OSError as error:
            self._damaged[path.name] = f"it cannot be read, {error.strerror}"
            return None
        except (ValueError, KeyError, TypeError, EOFError):
            self._damaged[path.name] = "it holds no vectors"
            return None
        return np.asarray(vectors)

    def put(self, number: int, vectors: NDArray[np.float32], output_dtype: str | None) -> None:
        """Write shard ``number``. ``output_dtype`` is that of the vectors as the encoder gave them, before they became float32.

        Raises:
            ClirbenchError: The cache cannot be written.
        """
        content = BytesIO()
        content.write(json.dumps({"output_dtype": output_dtype, "written": time.time()}).encode() + b"\n")
        np.save(content, vectors, allow_pickle=False)
        with writing(f"the vector cache at {self.folder}", _REMEDY):
            write_atomically(self._path(number), seal(self._identity(number), content.getvalue()))
        self.output_dtype = output_dtype
        remove_parts(self.folder)

    def note_damage(self, reporter: Reporter) -> None:
        """Tell the user, in one line, which shards were damaged. Called once all of them have been read or written."""
        if self._damaged:
            name, reason = next(iter(self._damaged.items()))
            again = f"{_DONE.get(self._role, 'encoded')} again"
            reporter.note(
                f"vector cache, {self._role} files in {self.folder}: {len(self._damaged):,} damaged "
                f"({name}: {reason}), {again}"
            )

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.npy"

    def _identity(self, number: int) -> bytes:
        return self._key.digest() + f"{number:06d} ".encode()
