"""The templates of the site, and how a page is rendered from one."""

from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from clirbench.board.site import content
from clirbench.board.site.scripts import plain
from clirbench.support.paths import data_dir
from clirbench.support.version import __version__
from clirbench.tasks.task_file import board_tasks

# What the board answers.
QUESTION = "Which encoder finds the answer in any language, and is it fair?"
MARKS = {"measured": "●", "verified": "■", "reported": "◇", "differs": "≠"}


@lru_cache(maxsize=1)
def environment() -> Environment:
    """What renders the templates."""
    made = Environment(
        loader=FileSystemLoader(data_dir("site") / "templates"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["quoted"] = content.quoted
    made.filters["plain"] = plain
    made.filters["named"] = content.named
    made.filters["short"] = content.short
    # Of a constant text that markup is escaped into, format takes many times as long.
    made.filters["grouped"] = "{:,}".format
    made.globals.update(version=__version__, MARKS=MARKS, EXPLAINED=content.EXPLAINED, QUESTION=QUESTION)
    return made


def rendered(place: str, template: str, **values: Any) -> str:
    """A page, or a part of one, from a template. ``place`` is the path of the page in the site."""
    names = {task.id: task.name for task in board_tasks().values()} | values.pop("more_names", {})
    return environment().get_template(template).render(root="../" * place.count("/"), page=place, NAMES=names, **values)


@lru_cache(maxsize=1)
def templates_digest() -> str:
    """The hash of what decides, besides code and values, what is rendered: the templates and the libraries that read them."""
    digest = sha256(" ".join(version(name) for name in ("jinja2", "markupsafe")).encode())
    for path in sorted((data_dir("site") / "templates").iterdir()):
        content_of = path.read_bytes()
        digest.update(f"\n{path.name} {len(content_of)}\n".encode() + content_of)
    return digest.hexdigest()
