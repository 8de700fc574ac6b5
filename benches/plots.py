"""Plots as SVG, made by hand: bars of ratios, and lines of costs that grow. Logarithmic scales."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

COLOURS = ("#2f6f9f", "#c8553d", "#4f9d69", "#8a6fb0", "#b58a2b", "#5b6770")
FONT = "font-family='system-ui, sans-serif' font-size='12'"
LEFT, RIGHT, TOP, BAR = 270, 60, 52, 15
WIDTH = 860


@dataclass(frozen=True, slots=True)
class Bar:
    """One ratio."""

    label: str
    series: str
    value: float


def document(width: float, height: float, title: str, body: Sequence[str]) -> str:
    """The frame: a white ground, so that it can be read on any page."""
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:.0f} {height:.0f}'",
            f" width='{width:.0f}' height='{height:.0f}' role='img' {FONT}>",
            f"<title>{escape(title)}</title>",
            f"<rect width='{width:.0f}' height='{height:.0f}' fill='white'/>",
            f"<text x='12' y='20' font-size='14' font-weight='600'>{escape(title)}</text>",
            *body,
            "</svg>\n",
        ]
    )


def ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10 ... between the two."""
    found = []
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        found += [step * 10.0**power for step in (1, 2, 5)]
    return [one for one in found if low <= one <= high]


def legend(series: Sequence[str], y: float) -> list[str]:
    """What the colours are."""
    out, x = [], 12.0
    for number, name in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        out.append(f"<rect x='{x}' y='{y - 9}' width='10' height='10' fill='{colour}'/>")
        out.append(f"<text x='{x + 14}' y='{y}'>{escape(name)}</text>")
        x += 30 + 7 * len(name)
    return out


def bars(title: str, values: Sequence[Bar]) -> str:
    """Horizontal bars from 1 on: to the right is better."""
    values = [one for one in values if one.value > 0]
    series = list(dict.fromkeys(one.series for one in values))
    labels = list(dict.fromkeys(one.label for one in values))
    low = min([0.5, *(one.value for one in values)])
    high = max([2.0, *(one.value for one in values)])
    room = WIDTH - LEFT - RIGHT

    def x(value: float) -> float:
        return LEFT + room * math.log(value / low) / math.log(high / low)

    y = float(TOP)
    body = legend(series, 40)
    drawn = []
    for label in labels:
        mine = [one for one in values if one.label == label]
        middle = y + BAR * len(mine) / 2 + 4
        drawn.append(
            f"<text x='{LEFT - 8}' y='{middle:.1f}' text-anchor='end'>{escape(label)}</text>"
        )
        for one in mine:
            start, end = sorted((x(1.0), x(one.value)))
            colour = COLOURS[series.index(one.series) % len(COLOURS)]
            drawn.append(
                f"<rect x='{start:.1f}' y='{y:.1f}' width='{max(1.0, end - start):.1f}' "
                f"height='{BAR - 2}' fill='{colour}'/>"
            )
            shown = f"{one.value:.0f}" if one.value >= 20 else f"{one.value:.1f}"
            drawn.append(f"<text x='{end + 4:.1f}' y='{y + BAR - 4:.1f}'>{shown}x</text>")
            y += BAR
        y += 8
    for tick in ticks(low, high):
        place = f"x1='{x(tick):.1f}' x2='{x(tick):.1f}' y1='{TOP - 4}' y2='{y:.1f}'"
        colour = "#555" if tick == 1 else "#e4e4e4"
        body.append(f"<line {place} stroke='{colour}'/>")
        body.append(
            f"<text x='{x(tick):.1f}' y='{y + 14:.1f}' text-anchor='middle'>{tick:g}</text>"
        )
    return document(WIDTH, y + 26, title, [*body, *drawn])


@dataclass(frozen=True, slots=True)
class Line:
    """A cost at several sizes."""

    series: str
    points: tuple[tuple[float, float], ...]


def lines(title: str, across: str, up: str, drawn: Sequence[Line]) -> str:
    """Both axes logarithmic: what is flat does not grow."""
    points = [point for line in drawn for point in line.points if min(point) > 0]
    if not points:
        return document(WIDTH, 60, title, ["<text x='12' y='44'>nothing measured</text>"])
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    right, high = max(right, left * 2), max(high, low * 2)
    height, bottom = 420.0, 360.0

    def place(x: float, y: float) -> tuple[float, float]:
        across_by = math.log(x / left) / math.log(right / left)
        up_by = math.log(y / low) / math.log(high / low)
        return 70 + (WIDTH - 300) * across_by, bottom - (bottom - 50) * up_by

    body = [
        f"<text x='70' y='{height - 12}'>{escape(across)}</text>",
        f"<text x='12' y='40'>{escape(up)}</text>",
    ]
    for tick in ticks(low, high):
        y = place(left, tick)[1]
        body.append(
            f"<line x1='70' x2='{WIDTH - 230}' y1='{y:.1f}' y2='{y:.1f}' stroke='#e4e4e4'/>"
        )
        body.append(f"<text x='64' y='{y + 4:.1f}' text-anchor='end'>{tick:g}</text>")
    for value in sorted({x for x, _ in points}):
        x = place(value, low)[0]
        body.append(f"<text x='{x:.1f}' y='{bottom + 18}' text-anchor='middle'>{value:g}</text>")
    for number, line in enumerate(drawn):
        colour = COLOURS[number % len(COLOURS)]
        path = [place(*point) for point in line.points if min(point) > 0]
        if not path:
            continue
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in path)
        body.append(f"<polyline points='{joined}' fill='none' stroke='{colour}' stroke-width='2'/>")
        body += [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{colour}'/>" for x, y in path]
        y = 60 + 18 * number
        body.append(f"<rect x='{WIDTH - 220}' y='{y - 9}' width='10' height='10' fill='{colour}'/>")
        body.append(f"<text x='{WIDTH - 205}' y='{y}'>{escape(line.series)}</text>")
    return document(WIDTH, height, title, body)


def write(path: Path, svg: str) -> None:
    """One file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg)
