from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.training.reporting import HOSTILE
from training.findings import Findings
from training.report_markdown import code, markdown
from training.significance import Verdict


def tokens(text: str) -> Iterator[Token]:
    for block in MarkdownIt("commonmark").enable("table").parse(text):
        yield block
        yield from block.children or []


def test_the_verdict_comes_first(hostile: Findings) -> None:
    lines = markdown(hostile).splitlines()
    assert hostile.comparison.verdict is Verdict.BETTER
    assert lines[0] == "### 🟢 Better than the champion"
    difference = hostile.comparison.difference
    assert f"NDCG@10 differs by {difference.mean:+.4f}, 95% interval {difference.interval[0]:+.4f}" in lines[4]
    assert "27 test queries; 3 blank (no relevant document) left out" in lines[2]
    assert len(lines) < 60


@pytest.mark.parametrize("verdict", Verdict)
def test_it_never_says_more_than_the_test(hostile: Findings, verdict: Verdict) -> None:
    mean = {Verdict.BETTER: 0.1, Verdict.WORSE: -0.1, Verdict.NONE: 0.1}[verdict]
    p, edges = (0.2, (-0.1, 0.3)) if verdict is Verdict.NONE else (0.001, (mean - 0.01, mean + 0.01))
    shown = replace(hostile.comparison.difference, mean=mean, p=p, interval=edges)
    first = markdown(replace(hostile, comparison=replace(hostile.comparison, difference=shown))).splitlines()[0]
    assert (
        first
        == {
            Verdict.BETTER: "### 🟢 Better than the champion",
            Verdict.WORSE: "### 🔴 Worse than the champion",
            Verdict.NONE: "### ⚪ No difference shown to the champion",
        }[verdict]
    )


def test_names_cannot_break_out(hostile: Findings) -> None:
    text = markdown(hostile, [f"echo {HOSTILE[2]}\n# not a heading"])
    html = {each.content for each in tokens(text) if each.type in ("html_block", "html_inline")}
    assert all(re.fullmatch(r"(</?(details|summary)>|Reproduce|Biggest movers|\s)*", each) for each in html), html
    assert not [each for each in tokens(text) if each.type in ("link_open", "image")]
    assert [each.markup for each in tokens(text) if each.type == "heading_open"] == ["###"]
    shown = {each.content for each in tokens(text) if each.type == "code_inline"}
    assert HOSTILE[0] in shown
    # A mention or an issue number outside of code would reach people.
    assert not [
        each for each in tokens(text) if each.type == "text" and ("@team" in each.content or "#1" in each.content)
    ]
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {7}


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1))
def test_code_spans_show_what_they_are_given(text: str) -> None:
    table = f"| a | b |\n|---|---|\n| {code(text)} | x |"
    found = [each.content for each in tokens(table) if each.type == "code_inline"]
    assert found == [text]
