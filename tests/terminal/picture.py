"""Draws a run of `drainhook simulate` as an SVG. docs/picture calls it with the path of the file."""

import itertools
import os
import pathlib
import re
import sys
import time
from xml.sax.saxutils import escape

from terminal import ROWS, Terminal

ARGUMENTS = ["simulate"]
PROMPT = "$ "
# The live line has a bar in windows of 100 columns or more. README.md is about 830 pixels wide on GitHub.
COLUMNS = 100
WIDTH, ADVANCE, LINE, BAR = 830, 7.8, 18, 30
LEFT, TOP = (WIDTH - COLUMNS * ADVANCE) / 2, BAR + 12
HEIGHT = TOP + ROWS * LINE + 12
# Seconds before the output, seconds that the summary stays, and the least between two states of the live line.
BEFORE, AFTER, TICK = 0.8, 6.0, 0.25
# A frame that lasts for less is half-drawn.
BLINK = 0.03

LIVE = re.compile(r" *\d+\.\d s  ([█░]+  )?\d+ in flight")
# The style for each color of the screen model.
CLASSES = {"default": "", "green": "ok", "00ff00": "ok"}

STYLE = """
svg{color:#1f2328}.full{stroke:currentColor;stroke-width:.6}
text{font:13px ui-monospace,SFMono-Regular,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono","Liberation Mono",monospace;fill:currentColor}
.back{fill:#fff}.bar{fill:#f6f8fa}.frame{fill:none;stroke:#d0d7de}.dot{fill:#d0d7de}.ok{fill:#1a7f37}.prompt{fill:#59636e}
@media(prefers-color-scheme:dark){svg{color:#e6edf3}
.back{fill:#0d1117}.bar{fill:#161b22}.frame{stroke:#3d444d}.dot{fill:#3d444d}.ok{fill:#3fb950}.prompt{fill:#9198a1}}
"""


def parts(row):
    """The parts of a row of cells: column, class, text. Two spaces or another color begin a new part."""
    found, spaces = [], 2
    for column in range(COLUMNS):
        cell = row[column]
        if cell.data == " ":
            spaces += 1
            continue
        if spaces >= 2 or CLASSES[cell.fg] != found[-1][1]:
            found.append((column, CLASSES[cell.fg], cell.data))
        else:
            start, color, text = found[-1]
            found[-1] = (start, color, text + " " * spaces + cell.data)
        spaces = 0
    return found


def live_parts(text):
    """The parts of a live line. The full part of its bar has a class, which closes the seams between the characters."""
    found = re.finditer(r"█+|░+|[^ █░]+( [^ █░]+)*", text)
    return [(match.start(), "full" if match[0][0] == "█" else "", match[0]) for match in found]


def record(program):
    """Runs the program. Returns its rows as parts, and frames: seconds, the number of rows that stay, the live line or None."""
    terminal = Terminal([program, *ARGUMENTS], COLUMNS)
    start, frames = time.monotonic(), []

    def look(rows):
        live = rows[-1] if rows and LIVE.match(rows[-1]) else None
        frames.append((time.monotonic() - start, rows[: len(rows) - bool(live)], live))
        return bool(rows) and rows[-1].endswith(": passed")

    terminal.until(look)
    terminal.finish()
    assert terminal.code == 0, terminal.text()
    rows = terminal.rows()
    for _, staying, _ in frames:
        assert staying == rows[: len(staying)], "the program changed a row above its live line"
    cells = [*terminal.screen.history.top, *(terminal.screen.buffer[row] for row in range(ROWS))]
    return [parts(row) for row in cells[: len(rows)]], [(at, len(staying), live) for at, staying, live in frames]


def thin(frames):
    """Drops frames that are half-drawn, and states of the live line that follow too soon."""
    kept = []
    for frame, after in itertools.zip_longest(frames, frames[1:]):
        if after and after[0] - frame[0] < BLINK:
            continue
        ticks = kept and frame[1] == kept[-1][1] and frame[2] and kept[-1][2]
        if not ticks or frame[0] - kept[-1][0] >= TICK:
            kept.append(frame)
    return kept


def texts(row, number):
    """The <text> elements of a row. `textLength` keeps the columns aligned in every font."""
    drawn = []
    for column, color, text in row:
        length = f' textLength="{len(text) * ADVANCE:g}"' if len(text) > 1 else ""
        if text[0] in "█░":
            length += ' lengthAdjust="spacingAndGlyphs"'
        name = f' class="{color}"' if color else ""
        drawn.append(f'<text{name} x="{LEFT + column * ADVANCE:g}" y="{number * LINE + 13}"{length}>{escape(text)}</text>')
    return "".join(drawn) + "\n"


def steps(name, states, loop):
    """An animation that jumps from state to state: seconds, rows to move up or down."""
    frames, last = "", None
    for at, rows in states:
        if rows != last:
            frames += f"{at / loop:.2%}{{transform:translateY({rows * LINE}px)}}"
        last = rows
    return f"@keyframes {name}{{{frames}}}\n.{name}{{animation:{name} {loop:g}s step-end infinite}}\n"


def draw(rows, frames):
    """The picture. Without animations it is its last frame."""
    command = PROMPT + " ".join(["drainhook", *ARGUMENTS])
    # The shell's prompt comes before and after the output.
    rows = [[(0, "prompt", "$"), (2, "", command[2:])], *rows, [(0, "prompt", "$")]]
    frames = [(0, 1, None)] + [(BEFORE + at, 1 + count, live) for at, count, live in frames]
    frames[-1] = (frames[-1][0], len(rows), None)
    loop = round(frames[-1][0] + AFTER, 1)

    lives = list(dict.fromkeys(live for _, _, live in frames if live))
    scroll = [(at, min(0, ROWS - count - bool(live))) for at, count, live in frames]
    cover = [(at, count) for at, count, _ in frames]
    film = [(at, -lives.index(live) if live else 1) for at, _, live in frames]
    moves = steps("scroll", scroll, loop) + steps("cover", cover, loop) + steps("film", film, loop)
    still = f".scroll{{transform:translateY({scroll[-1][1] * LINE}px)}}.cover{{transform:translateY({len(rows) * LINE}px)}}"
    whole = f'width="{WIDTH}" height="{HEIGHT}"'
    dots = "".join(f'<circle class="dot" cx="{20 + 18 * dot}" cy="{BAR / 2:g}" r="5"/>' for dot in range(3))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {whole} viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="A terminal runs {command[2:]}: a scale-in that passes, with no work lost">\n'
        f"<style>{STYLE}{still}\n@media(prefers-reduced-motion:no-preference){{{moves}}}</style>\n"
        f'<clipPath id="window"><rect {whole} rx="8"/></clipPath>'
        f'<clipPath id="screen"><rect width="{WIDTH}" height="{ROWS * LINE}"/></clipPath>'
        f'<clipPath id="line"><rect width="{WIDTH}" height="{LINE}"/></clipPath>\n'
        f'<g clip-path="url(#window)"><rect class="back" {whole}/><rect class="bar" width="{WIDTH}" height="{BAR}"/></g>{dots}'
        f'<path class="frame" d="M0 {BAR - 0.5}h{WIDTH}"/>\n'
        f'<g transform="translate(0 {TOP})" clip-path="url(#screen)"><g class="scroll">\n<g id="rows">\n'
        + "".join(texts(row, number) for number, row in enumerate(rows))
        + f'</g>\n<g class="cover"><rect class="back" width="{WIDTH}" height="{len(rows) * LINE}"/>'
        '<g clip-path="url(#line)"><g id="film" class="film">\n'
        + "".join(texts(live_parts(live), number) for number, live in enumerate(lives))
        + "</g></g></g></g></g>\n"
        f'<rect class="frame" x=".5" y=".5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="7.5"/></svg>\n'
    )


if __name__ == "__main__":
    run_rows, run_frames = record(os.environ["DRAINHOOK_BIN"])
    pathlib.Path(sys.argv[1]).write_text(draw(run_rows, thin(run_frames)))
