"""docs/simulate.svg shows what the program prints."""

import os
import pathlib
import re
import xml.etree.ElementTree

import pytest

import picture

PICTURE = pathlib.Path(__file__).parents[2] / "docs" / "simulate.svg"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def svg():
    return xml.etree.ElementTree.parse(PICTURE).getroot()


def drawn(svg, group):
    """The texts of a group, row by row: class and text."""
    rows = {}
    for text in svg.find(f".//{SVG}g[@id='{group}']").iter(f"{SVG}text"):
        rows.setdefault(int(text.get("y")), []).append((text.get("class", ""), text.text))
    return list(rows.values())


def timeless(rows):
    """Rows without their times, which differ between runs. Sorted, because events at the same time come in any order."""
    return sorted([(color, re.sub(r"\d+(\.\d+)? s\b", "TIME", text)) for color, text in row] for row in rows if row)


def words(lives):
    """All words of live lines."""
    return {word for live in lives for word in re.findall("[a-z]+", live)}


def test_picture(svg):
    """The picture has every row and color of a run of the command that it shows, and the words of its live line."""
    rows, frames = picture.record(os.environ["DRAINHOOK_BIN"])
    prompt, *shown, end = drawn(svg, "rows")
    assert prompt == [("prompt", "$"), ("", " ".join(["drainhook", *picture.ARGUMENTS]))] and end == [("prompt", "$")]
    ran = [[(color, text) for _, color, text in row] for row in rows]
    assert timeless(shown) == timeless(ran), "docs/simulate.svg is out of date; run docs/picture"
    assert ("ok", "✓") in [part for row in shown for part in row]
    lives = [" ".join(text for _, text in row) for row in drawn(svg, "film")]
    assert words(lives) == words(live for _, _, live in frames if live), "docs/simulate.svg is out of date; run docs/picture"


def test_picture_is_small_and_self_contained(svg):
    """GitHub shows it as an image, which cannot load anything. The summary stays long enough to read."""
    assert PICTURE.stat().st_size < 60_000
    assert not svg.findall(f".//{SVG}script") and not svg.findall(f".//{SVG}image")
    style = svg.find(f"{SVG}style").text
    assert "url(" not in style and "@import" not in style
    assert "prefers-color-scheme:dark" in style and "prefers-reduced-motion:no-preference" in style
    seconds = float(re.search(r"animation:cover ([\d.]+)s", style)[1])
    last = max(float(percent) for percent in re.findall(r"([\d.]+)%\{", style))
    assert seconds <= 16 and seconds * (1 - last / 100) >= 5, (seconds, last)
