"""`verification.json`: a maintainer ran a sample of the submission again, and what came out."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clirbench.errors import ClirbenchError
from clirbench.results import refuse_repeats
from clirbench.schema import problem, unreadable

FILE = "verification.json"
Verdict = Literal["agree", "agree within noise", "differ"]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Line = Annotated[str, Field(max_length=200)]


class Verification(BaseModel):
    """What a re-run of some languages gave.

    Attributes:
        by: Who ran it.
        date: ISO date.
        task: Identifier.
        languages: The sample, drawn with ``seed``.
        ranks_sha256: Of the ranks file that was compared: other ranks are not verified.
        revision: Of the model that was run.
        pairs: Gold pairs compared (own-block ranks between the sample's languages).
        equal: Share of them with the same rank.
        close: Share of them whose rank differs by at most 1, or 2 %.
        largest_difference: Of mAP over the sample's language pairs, monolingual ones included.
        verdict: See :func:`clirbench.submissions.verify.verdict`.
        packages: Versions.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format: Literal[1]
    by: Line
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    task: Line
    languages: Annotated[list[Line], Field(max_length=50)]
    seed: int
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
    try:
        refuse_repeats(content)
        return Verification.model_validate_json(content)
    except ValidationError as error:
        raise ClirbenchError(f"{path}: {problem(error)}: run clirbench verify again") from error
    except (ValueError, RecursionError) as error:
        raise ClirbenchError(f"{path}: not valid JSON ({unreadable(error)}): run clirbench verify again") from error
