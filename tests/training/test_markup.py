from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from training.markup import Markup, join, table, tag


class Seen(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.data = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_data(self, data: str) -> None:
        self.data += data


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_text_comes_back_and_is_never_a_tag(text: str) -> None:
    seen = Seen(tag("p", text, title=text))
    assert seen.tags == ["p"]
    assert seen.data == text
    assert seen.attributes == [("title", text)]


def test_markup_is_kept_and_all_else_escaped() -> None:
    assert tag("p", tag("b", "1 < 2"), " & ", 3, None) == "<p><b>1 &lt; 2</b> &amp; 3</p>"
    assert join(["<a>", Markup("<br>")], ", ") == "&lt;a&gt;, <br>"


def test_attributes() -> None:
    assert tag("rect", x=1.5, class_="a b", stroke_width=2, hidden=True, y=None, z=False) == (
        '<rect x="1.5" class="a b" stroke-width="2" hidden/>'
    )
    assert tag("br") == "<br>"


def test_a_table_has_headers_both_ways() -> None:
    text = table(["name", "NDCG"], [["<i>", 0.5]], caption="c & d")
    assert '<th scope="row">&lt;i&gt;</th><td class="number">0.5</td>' in text
    assert '<th scope="col">name</th><th scope="col" class="number">NDCG</th>' in text
    assert "<caption>c &amp; d</caption>" in text
    assert "thead" not in table([], [["a", 1]])
