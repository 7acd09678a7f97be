import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.errors import StorageError
from scenescope.workflows.report import Figure, Section, Table, write_report

VOID = {"meta", "img", "br", "link", "input"}
IMAGE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


class Outline(HTMLParser):
    """Collects tags and attributes, and checks that every tag is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append(data.strip())


def written(path: Path, **changes: object) -> str:
    content: dict[str, object] = {"title": "A run", "lead": "What came out.", "facts": [], "sections": []}
    write_report(path, **(content | changes))  # type: ignore[arg-type]
    return path.read_text(encoding="utf-8")


def test_images_of_every_kind_are_inside_the_file(tmp_path: Path) -> None:
    Image.fromarray(IMAGE).save(tmp_path / "image.png")
    kinds = (IMAGE, Image.fromarray(IMAGE), tmp_path / "image.png")
    figures = [Figure(image, "caption") for image in kinds]
    page = written(tmp_path / "report.html", sections=[Section("Look", figures=figures)])
    sources = [attributes["src"] for tag, attributes in Outline(page).tags if tag == "img"]
    assert len(sources) == 3
    for source in sources:
        assert source is not None
        head, _, data = source.partition(",")
        assert head == "data:image/png;base64"
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), IMAGE)


def test_page_refers_to_nothing_outside(tmp_path: Path) -> None:
    page = written(tmp_path / "report.html", sections=[Section("Look", figures=[Figure(IMAGE, "one")])])
    outline = Outline(page)
    assert not {tag for tag, _ in outline.tags} & {"script", "link", "iframe", "object", "base"}
    for _, attributes in outline.tags:
        assert "href" not in attributes
        assert not attributes.get("src", "data:") or str(attributes.get("src", "data:")).startswith("data:")
    assert not re.search(r"https?:|//|url\(|@import", re.sub(r"base64,[^\"]*", "", page))


def test_text_is_escaped_everywhere(tmp_path: Path) -> None:
    evil = '<script>alert("1")</script> & $title'
    section = Section(evil, evil, Table([evil], [[evil]]), [Figure(IMAGE, evil)])
    page = written(tmp_path / "report.html", title=evil, lead=evil, facts=[(evil, evil)], sections=[section])
    outline = Outline(page)
    assert "script" not in {tag for tag, _ in outline.tags}
    assert outline.text.count(evil) == 10
    assert next(attributes["alt"] for tag, attributes in outline.tags if tag == "img") == evil


def test_numbers_are_rounded_flushed_right_and_none_is_a_dash(tmp_path: Path) -> None:
    table = Table(["class", "IoU", "pixels"], [["road", 0.87654, 12], ["tree", None, 3]])
    page = written(tmp_path / "report.html", facts=[("mIoU", 0.8)], sections=[Section("Scores", table=table)])
    assert '<tr><td>road</td><td class="number">0.877</td><td class="number">12</td></tr>' in page
    assert '<tr><td>tree</td><td class="number">\u2013</td><td class="number">3</td></tr>' in page
    assert '<th>class</th><th class="number">IoU</th>' in page
    assert "<dt>mIoU</dt><dd>0.800</dd>" in page


def test_row_of_another_length_is_our_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        written(tmp_path / "report.html", sections=[Section("Scores", table=Table(["a", "b"], [[1, 2], [1]]))])
    assert not (tmp_path / "report.html").exists()


def test_report_in_the_place_of_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(StorageError, match=r"Cannot write .*report\.html"):
        written(tmp_path / "out" / "report.html")
