"""Files of texts by language, on which a transform or the ranges of int8 are fitted in the place of the candidates of a run."""

import hashlib
from pathlib import Path

from clirbench.support.errors import ClirbenchError
from clirbench.support.text_files import object_of_line, read_text

# What a setting says in the place of a file's checksum where the candidates of the run are the sample.
POOL = "pool"


def read_sample(path: Path, option: str) -> tuple[str, dict[str, list[str]]]:
    """Read a JSON Lines file of texts: "sha256:" with the checksum of its text, and the texts by language.

    ``option`` names it in messages, such as "--transform-sample".

    Raises:
        ClirbenchError: The file cannot be read, or a line is not ``{"language": ..., "text": ...}``.
    """
    content = read_text(path, f"correct {option}")
    texts: dict[str, list[str]] = {}
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        row = object_of_line(line, f"{path}:{number}")
        language, text = row.get("language"), row.get("text")
        if not isinstance(language, str) or not isinstance(text, str) or not text.strip():
            raise ClirbenchError(f"{path}:{number}: 'language' and 'text' must be non-empty text: correct the line")
        texts.setdefault(language, []).append(text)
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}", texts
