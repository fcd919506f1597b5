"""`verification.json`: a maintainer ran a sample of the submission again, and what came out."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from clirbench.results.read import parse_strictly
from clirbench.results.schema import Format

# Query languages that are run again.
SAMPLE_LANGUAGES = 3
FILE = "verification.json"
# Another device or library moves near ties by a rank or two; another model moves everything.
AGREE, CLOSE, MAP_NOISE = 0.999, 0.95, 0.005
Verdict = Literal["agree", "agree within noise", "differ"]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Line = Annotated[str, Field(max_length=200)]


class Verification(BaseModel):
    """What a re-run of some languages gave.

    Attributes:
        by: Who ran it.
        date: ISO date.
        task: Identifier.
        languages: The sample of query languages, drawn with ``seed``.
        ranks_sha256: Of the ranks file that was compared: other ranks are not verified.
        revision: Of the model that was run.
        pairs: Gold pairs compared: those of the sample's queries, with gold candidates in every language.
        equal: Share of them with the same rank in the gold's own block and in the pool.
        close: Share of them whose two ranks differ by at most 1, or 2 %.
        largest_difference: Of mAP over the sample's query languages, in any setting.
        verdict: See :func:`verdict`.
        packages: Versions.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format: Format
    by: Annotated[str, Field(min_length=1, max_length=200)]
    date: Annotated[str, Field(pattern=r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]$")]
    task: Line
    languages: Annotated[list[Line], Field(max_length=50)]
    seed: Annotated[int, Field(ge=0, le=2**63)]
    ranks_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    revision: Line | None
    pairs: Annotated[int, Field(ge=1, le=10**9)]
    equal: Share
    close: Share
    largest_difference: Share
    verdict: Verdict
    packages: dict[str, Line]


def parse_verification(content: bytes, path: Path) -> Verification:
    """Read a ``verification.json``, strictly; ``path`` is only what messages call it.

    Raises:
        ClirbenchError: It does not follow the schema.
    """
    return parse_strictly(content, path, Verification.model_validate_json, "run clirbench verify again")


def verdict(equal: float, close: float, largest: float) -> Verdict:
    """``agree`` from 99.9 % equal ranks; ``agree within noise`` from 95 % close ones with mAP within .005; else ``differ``."""
    if equal >= AGREE:
        return "agree"
    return "agree within noise" if close >= CLOSE and largest <= MAP_NOISE else "differ"
