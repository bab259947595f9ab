from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import skip_or_fail
from tests.training.reporting import GOOD, HOSTILE, POOR, fold, model
from training.findings import Findings, gather
from training.queries import Queries
from training.report_html import page

VOID = {"meta", "br"}
TEXT = {"h1", "h2", "h3", "p", "div", "strong", "b", "ul", "li", "a", "span", "br", "summary", "code", "pre"}
TABLE = {"table", "caption", "thead", "tbody", "tr", "th", "td"}
CHART = {"svg", "desc", "text", "path", "line", "circle", "rect", "polyline"}
FRAME = {"html", "head", "meta", "title", "style", "body", "header", "nav", "main", "section", "details"}
TAGS = TEXT | TABLE | CHART | FRAME


class Page(HTMLParser):
    """Checks that tags nest, and keeps what a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.extend((tag, name, value or "") for name, value in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data


@pytest.fixture(scope="module")
def text(hostile: Findings) -> str:
    return page(hostile, ["echo '<b>' & exit"])


def test_it_is_one_page_that_asks_nobody_for_anything(text: str) -> None:
    found = Page(text)
    assert found.tags <= TAGS
    assert {name for _, name, _ in found.attributes if name.startswith("on") or name in ("src", "style")} == set()
    links = [value for _, name, value in found.attributes if name == "href"]
    ids = [value for _, name, value in found.attributes if name == "id"]
    assert links == [f"#{each}" for each in ids]
    assert not re.search(r"url\(|@import", text)
    policy = next(value for tag, _, value in found.attributes if tag == "meta" and "default-src" in value)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_hostile_names_are_text(text: str) -> None:
    found = Page(text)
    for name in HOSTILE:
        assert name in found.text
    assert "<script" not in text
    assert "<img" not in text
    assert "echo '<b>' & exit" in found.text


def test_it_says_what_was_found(text: str, hostile: Findings) -> None:
    shown = " ".join(Page(text).text.split())
    difference = hostile.comparison.difference
    assert "Better than the champion" in shown
    assert f"{difference.mean:+.4f}" in shown
    assert f"p = {difference.p:.4f}" in shown
    assert "27 test queries; 3 blank" in shown
    for convention in ("Blank queries skipped (the headline)", "Blank queries count 0", "Blank queries count 1"):
        assert convention in shown
    for cutoff in (1, 3, 5, 10):
        assert f"{hostile.evaluation.ours.mean(cutoff):.4f}" in shown
    for section in ("Slices", "Biggest movers", "Learning curve", "Data card", "Model card", "How to reproduce"):
        assert section in shown
    assert hostile.fold.sha256 in shown


def test_tables_and_charts_can_be_read_aloud(text: str) -> None:
    heads = re.findall(r"<th( [^>]*)?>", text)
    assert heads
    assert all('scope="' in each for each in heads)
    pictures = re.findall(r"<svg [^>]*>", text)
    assert len(pictures) == 5
    assert all('role="img"' in each and "aria-label=" in each for each in pictures)
    assert '<html lang="en">' in text
    assert text.count("<h1") == 1


def test_equal_findings_give_equal_bytes(text: str, hostile: Findings) -> None:
    assert page(hostile, ["echo '<b>' & exit"]) == text


def test_colours_have_contrast_in_light_and_dark() -> None:
    """WCAG 2 asks for 4.5 to 1 of text."""
    css = Path("training/report.css").read_text()
    for block in re.findall(
        r"color-scheme: light dark;(.*?)\}|prefers-color-scheme: dark\) \{\s*:root \{(.*?)\}", css, re.S
    ):
        colours = dict(re.findall(r"--(\w+): #(\w{6})", "".join(block)))
        for ground in ("paper", "panel"):
            for ink in ("ink", "faint", "better", "worse", "one", "two"):
                assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)


def contrast(one: str, other: str) -> float:
    def light(colour: str) -> float:
        parts = (int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4))
        linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return float(np.dot([0.2126, 0.7152, 0.0722], list(linear)))

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("queries", [0, 1])
def test_too_little_data_still_makes_a_page(queries: int) -> None:
    data = fold()
    test = data.test
    relevance = np.where(np.arange(test.rows) < test.offsets[2 + queries], test.relevance, 0).astype(np.int32)
    few = replace(data, test=Queries(test.features, relevance, test.qids, test.offsets))
    found = gather(model(data, GOOD), few, model(data, POOR), threads=1)
    shown = Page(page(found)).text
    assert "No difference shown to the champion" in shown
    assert "nan" not in shown.lower().replace("finance", "")
    assert ("nothing to compare" in shown) == (queries == 0)


def test_a_browser_shows_it_without_complaint(text: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        skip_or_fail("NO BROWSER: chromium is not installed, so the page was parsed but not rendered")
    (tmp_path / "report.html").write_text(text)
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--enable-logging=stderr", "--dump-dom", (tmp_path / "report.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert re.findall(r".*:CONSOLE.*", done.stderr) == []
    # What the browser made of it has the elements that were written, and no other.
    assert len(re.findall(r"<(?:td|th|svg|path|tr)\b", done.stdout)) == len(
        re.findall(r"<(?:td|th|svg|path|tr)\b", text)
    )
    assert "<script" not in done.stdout
