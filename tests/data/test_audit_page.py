"""Does the page of an audit show what was found, load nothing, and fit a phone and a desk?"""

import os
import re
import shutil
import subprocess
from base64 import b64decode
from html import escape
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from data.test_audit import splits_of, with_copies
from data.test_duplicates import scenes
from PIL import Image

from nin.data.auditing.audit import audit
from nin.data.auditing.audit_page import render_audit
from nin.data.images import LabelledImages, Origin, Splits


def page_of(splits: Splits) -> str:
    return render_audit(audit(splits), splits)


class Parts(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == [], "every tag is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag in ("th", "td", "dt", "dd"):
            self.text += " "

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def images(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == "img"]


def pixels(attributes: dict[str, str | None]) -> np.ndarray:
    kind, _, content = str(attributes["src"]).partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(BytesIO(b64decode(content)), formats=["PNG"]))


def test_the_page_shows_findings_counts_and_copies_with_what_differs_first():
    splits = with_copies()
    page = Parts(page_of(splits))
    for finding in audit(splits).findings:
        assert finding.text in page.text
    assert "Class Training Validation Test cat 10 3 3 dog 10 3 3 All 20 6 6" in re.sub(r"\s+", " ", page.text)
    shown = [attributes["alt"] for attributes in page.images()]
    assert shown == [
        "cat/train-0.png", "dog/validation-3.png", "cat/test-0.png",  # three equal, of different classes
        "cat/validation-1.png", "dog/test-3.png",  # nearly equal, of different classes
        "cat/train-1.png", "dog/train-12.png",
        "cat/train-1.png", "cat/train-2.png",  # equal, in one split
    ]  # fmt: skip
    first = page.images()[0]
    assert (pixels(first) == splits.train.images[0].permute(1, 2, 0).numpy()).all()
    assert (first["width"], first["height"], first["class"]) == ("80", "80", "pixels"), "2 by 2 for each of 40 by 40"


def test_the_page_loads_nothing_and_runs_nothing():
    page = page_of(with_copies())
    tags = Parts(page).tags
    assert {tag for tag, _ in tags}.isdisjoint({"script", "link", "iframe", "object", "a"})
    assert all(str(value).startswith("data:") for _, attributes in tags for name, value in attributes.items()
               if name in ("src", "href"))  # fmt: skip
    policy = next(attributes["content"] for _, attributes in tags if "http-equiv" in attributes)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert "url(" not in page
    assert "@import" not in page


def test_names_of_files_and_classes_cannot_become_part_of_the_page():
    bad = "<script>alert(1)</script>\x1b\udc80'\""
    splits = splits_of([[4, 4], [2, 2]], scenes(12)[[0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]], (bad, "dog"))
    splits = splits._replace(origin=Origin(name=bad, place=bad, order=bad, unreadable={bad: bad}, notes=("a <b>",)))
    splits.train.images[4] = 9
    page = page_of(splits)
    page.encode()
    Parts(page)
    assert "<script" not in page
    assert "a &lt;b&gt;" in page
    assert r"&lt;script&gt;alert(1)&lt;/script&gt;\x1b\udc80&#39;&#34;" in page


def test_a_page_without_findings_says_so():
    text = Parts(page_of(splits_of([[5, 6], [2, 2]]))).text
    assert "No problems found" in text
    assert "nearly equal images" not in text


def test_of_many_pairs_and_of_large_groups_the_first_are_shown_and_this_is_said():
    images = scenes(250, side=12).repeat(2, 1, 1, 1)
    images = torch.cat([images, images[:1].repeat(40, 1, 1, 1)])
    page = Parts(page_of(splits_of([[200, 200], [70, 70]], images)))
    assert "Here are the first 200 of 250" in page.text
    assert "42 equal images, of which 6 are shown" in page.text
    assert len(page.images()) == 6 + 199 * 2


@pytest.mark.parametrize(
    ("shape", "size", "shown"),
    [((1, 28, 28), (28, 28), 112), ((3, 160, 80), (32, 64), 112), ((4, 40, 40), (40, 40), 80)],
)
def test_images_of_any_shape_are_shown_small(shape: tuple[int, int, int], size: tuple[int, int], shown: int):
    channels, height, width = shape
    images = scenes(8, channels=channels, side=max(height, width))[:, :, :height, :width]
    images[5] = images[1]
    attributes = Parts(page_of(splits_of([[3, 3], [1, 1]], images))).images()[0]
    assert pixels(attributes).shape[1::-1] == size
    assert attributes["height"] == str(shown)


def test_of_many_blank_images_and_unreadable_photos_the_first_are_listed():
    images = torch.zeros(700, 1, 4, 4, dtype=torch.uint8)
    origin = Origin(
        unreadable={f"cat/{number}.jpg": "empty" for number in range(600)}, sizes={(640, 480): 1, (20, 30): 2}
    )
    text = re.sub(r"\s+", " ", Parts(page_of(splits_of([[300, 300], [50, 50]], images, origin=origin))).text)
    assert "Here are the first 500 of 700" in text
    assert "Here are the first 500 of 600" in text
    assert "2 sizes 20 to 640 pixels wide, 30 to 480 high" in text


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_never_scrolls_sideways(tmp_path: Path, width: int):
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed")
    long = "/data" + 30 * "/longer"
    splits = with_copies()
    parts = [LabelledImages(p.images, p.labels, ("W" * 99, "dog"), np.array([long] * len(p))) for p in splits[:3] if p]
    splits = Splits(*parts, origin=Origin(name=long, place=long, order=long, unreadable={long: long}, notes=(long,)))
    splits.train.images[5] = 0
    measure = "const d = this.contentDocument.documentElement; document.title = `${this.clientWidth} ${d.scrollWidth}`"
    frame = (
        f'<iframe style="border:0;width:{width}px;height:900px" onload="{measure}" '
        f'srcdoc="{escape(page_of(splits))}"></iframe>'
    )
    (tmp_path / "frame.html").write_text(f"<!DOCTYPE html><meta charset=utf-8><title></title>{frame}", encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    flags += "--disable-component-update --disable-sync --hide-scrollbars --window-size=1400,1000 --dump-dom"
    dom = subprocess.run(
        [browser, *flags.split(), f"--user-data-dir={tmp_path / 'browser'}", (tmp_path / "frame.html").as_uri()],
        capture_output=True, text=True, check=True, timeout=60, env=os.environ | {"HOME": str(tmp_path)},
    ).stdout  # fmt: skip
    found = re.search(r"<title>(\d+) (\d+)</title>", dom)
    assert found, dom[:200]
    assert found.groups() == (str(width), str(width))
