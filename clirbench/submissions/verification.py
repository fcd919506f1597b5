"""`verification.json`: the outcome of a maintainer's run of a sample of the submission."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from clirbench.results.read import parse_strictly
from clirbench.results.schema import Document, Format, Reported
from clirbench.submissions.findings import Examined

# Query languages that are run again.
SAMPLE_LANGUAGES = 3
FILE = "verification.json"
LIMIT = 20_000
# Another device or library moves a rank near a tie by one or two. Another model moves all ranks.
AGREE, CLOSE, MAP_NOISE = 0.999, 0.95, 0.005
Verdict = Literal["agree", "agree within noise", "differ"]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Line = Annotated[str, Field(max_length=200)]


def _a_day(text: str) -> str:
    date.fromisoformat(text)
    return text


class Verification(BaseModel):
    """The outcome of running a sample of query languages again.

    Attributes:
        by: Who ran the sample.
        date: The day, as YYYY-MM-DD.
        languages: The query languages of the sample, drawn with ``seed``.
        ranks_sha256: SHA-256 of the submission's ranks file. The verification holds for these ranks only.
        revision: Revision of the model that was run.
        pairs: Number of gold pairs that were compared: all gold pairs of the sample's queries.
        equal: Share of the pairs with the same two ranks: in the gold's own block, and in the pool.
        close: Share of the pairs where each of the two ranks differs by at most 1, or by at most 2 %.
        largest_difference: The largest difference of mAP, over the sample's query languages and all settings.
        verdict: See :func:`verdict`.
        differences: Settings and packages in which the run differs from the submission; empty if all ranks are equal.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)

    format: Format
    by: Annotated[str, Field(min_length=1, max_length=200)]
    date: Annotated[str, Field(pattern=r"^20[0-9]{2}-[0-9]{2}-[0-9]{2}$"), AfterValidator(_a_day)]
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
    differences: list[Annotated[str, Field(max_length=12_000)]] = []
    packages: dict[str, Line]


def parse_verification(content: bytes, path: Path) -> Verification:
    """Parse the bytes of a ``verification.json``; ``path`` is only its name in error messages.

    Raises:
        ClirbenchError: The content is not JSON, repeats a key, or does not follow the schema.
    """
    return parse_strictly(content, path, Verification.model_validate_json, "run clirbench verify again")


def verdict(equal: float, close: float, largest: float) -> Verdict:
    """The verdict on a re-run.

    "agree" if at least 99.9 % of the pairs have equal ranks; "agree within noise" if at least 95 % have close ranks and mAP
    differs by at most 0.005; "differ" otherwise.
    """
    if equal >= AGREE:
        return "agree"
    return "agree within noise" if close >= CLOSE and largest <= MAP_NOISE else "differ"


def check_verification(results: dict[str, Document | Reported], untrusted: bool, examined: Examined) -> bool:
    """Check ``verification.json``: no stranger added it, it is of these ranks, and its verdict follows from its numbers.

    ``results`` are the submission's results by task. ``untrusted`` means that a stranger sent the submission.

    Returns:
        Whether the file is of these ranks and says that they agree.
    """
    path = examined.folder / FILE
    if untrusted:
        examined.error(path, "", "only maintainers verify: remove it")
    verification = examined.read(path, LIMIT, parse_verification)
    if verification is None:
        return False
    document = results.get(verification.task)
    if not isinstance(document, Document) or document.ranks.sha256 != verification.ranks_sha256:
        examined.error(path, "ranks_sha256", "is of other ranks than the submission holds: run clirbench verify again")
        return False
    if verification.revision != document.model.revision:
        examined.error(path, "revision", "is not that of the result: run clirbench verify again")
    languages = set(verification.languages)
    if not languages <= set(document.task.languages) or not 2 <= len(languages) == len(verification.languages):
        examined.error(path, "languages", "are not languages of the task, each once: run clirbench verify again")
    if verification.pairs > document.ranks.rows:
        examined.error(
            path, "pairs", f"is more than the {document.ranks.rows:,} of the result: run clirbench verify again"
        )
    # A day ahead is still today somewhere. The clock of this machine may be wrong, so this is no error.
    if date.fromisoformat(verification.date) > datetime.now(UTC).date() + timedelta(days=1):
        examined.warning(
            path, "date", f"is {verification.date}, which is in the future: correct it, or this machine's clock"
        )
    expected = verdict(verification.equal, verification.close, verification.largest_difference)
    if verification.verdict != expected:
        examined.error(path, "verdict", f"is not what its numbers say, {expected}: run clirbench verify again")
    return expected != "differ"
