"""The picture that a link to the board shows."""

import builtins
import io
import shutil
from pathlib import Path

import pytest

from clirbench.board.site.build import About, build_site
from clirbench.board.site.preview import HEIGHT, WIDTH, preview
from clirbench.support.progress import Silent

SUBMISSIONS = Path(__file__).resolve().parent.parent / "submissions"
ROWS = [(f"model {i}", f"{50 - i}.0", 0.5 - i / 100) for i in range(8)]


def pixels(content):
    from PIL import Image

    return Image.open(io.BytesIO(content)).convert("RGB")


def test_a_picture_has_the_size_that_previews_ask_for_and_the_same_bytes():
    content = preview("A question?", "A verdict.", "mAP", ROWS)
    picture = pixels(content)
    assert picture.size == (WIDTH, HEIGHT) == (1200, 630)
    assert preview("A question?", "A verdict.", "mAP", ROWS) == content
    assert len(content) < 60_000


def test_bars_are_as_long_as_their_numbers():
    picture = pixels(preview("A question?", "A verdict.", "mAP", [("whole", "100.0", 1.0), ("half", "50.0", 0.5)]))
    blue = [
        x
        for x, y in ((x, y) for y in range(HEIGHT) for x in (530, 779, 781, 1039))
        if picture.getpixel((x, y)) == (11, 102, 181)
    ]
    # The two bars begin at one place; only the longer one goes beyond the middle.
    assert blue.count(530) == blue.count(779) == 2 * blue.count(781) == 2 * blue.count(1039) > 0


@pytest.mark.parametrize(
    "text", ["", "word " * 200, "w" * 2000, "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u65e5\u672c\u8a9e"]
)
def test_any_text_fits(text):
    picture = pixels(preview(text, text, text, [(text, "1.0", 2.0)] * 9))
    # Nothing is drawn beyond the margins.
    for box in ((0, 0, 60, HEIGHT), (WIDTH - 60, 0, WIDTH, HEIGHT), (0, HEIGHT - 20, WIDTH, HEIGHT)):
        assert picture.crop(box).getcolors() == [((box[2] - box[0]) * (box[3] - box[1]), (255, 255, 255))]


class Notes(Silent):
    def __init__(self):
        self.lines = []

    def note(self, line):
        self.lines.append(line)


@pytest.mark.usefixtures("checked_shipped")
def test_without_pillow_there_is_no_picture_and_the_build_says_so(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "PIL":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    shutil.copytree(SUBMISSIONS / "clirbench__hybrid", tmp_path / "submissions" / "clirbench__hybrid")
    notes = Notes()
    about = About.checked("", "https://example.org/board/", "")
    build_site(tmp_path / "submissions", tmp_path / "site", notes, about=about)
    assert [line for line in notes.lines if "no picture for links to the board" in line]
    assert not (tmp_path / "site" / "assets" / "preview.png").exists()
    assert "og:image" not in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
