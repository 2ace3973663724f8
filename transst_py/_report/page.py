"""The parts of a page, and the page as one HTML file that needs no other."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jinja2
import matplotlib as mpl
import numpy as np
import pandas as pd

__all__ = ["Picture", "Row", "Section", "Table", "draw", "number", "render"]

PNG_DPI = 130


@dataclass(frozen=True)
class Picture:
    """An image with its address (a data URI), its size in pixels, and what it shows in words."""

    source: str
    width: int
    height: int
    description: str


@dataclass(frozen=True)
class Row:
    """A row of a table: its head, with a colour to know it by if it has one, and its cells."""

    head: str
    cells: Sequence[str]
    color: str | None = None


@dataclass(frozen=True)
class Table:
    """A table, with a colour to know it by if it has one; `columns` names that of the heads, too.

    Cells are numbers unless `text` is true.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Row]
    text: bool = False
    color: str | None = None


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes
    ----------
    name, title
        Its address within the page, and its heading.
    text
        Sentences.
    warnings
        What the reader must not miss.
    facts
        Short answers by name.
    pictures, tables
        In order.
    advice
        The call that would fill the section, if there is nothing to show.
    """

    name: str
    title: str
    text: Sequence[str] = ()
    warnings: Sequence[str] = ()
    facts: dict[str, str] = field(default_factory=dict)
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    advice: str | None = None


def draw(plot: Callable[[], Any], description: str, *, vector: bool = False) -> Picture:
    """Call a function of `pl` and take a picture of its figure: SVG if `vector`, else PNG."""
    file = io.BytesIO()
    # Names from the data are no formulas, whatever dollars they have in them.
    with mpl.rc_context({"text.parse_math": False}):
        figure = np.ravel(plot())[0].figure
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # once is enough
        inked = figure.get_tightbbox().padded(0.1)
        if vector:
            figure.savefig(file, format="svg", bbox_inches=inked, metadata={"Date": None})
        else:
            figure.savefig(file, format="png", bbox_inches=inked, dpi=PNG_DPI)
    width, height = (round(96 * inches) for inches in inked.size)
    kind = "svg+xml" if vector else "png"
    address = f"data:image/{kind};base64,{b64encode(file.getvalue()).decode('ascii')}"
    return Picture(address, width, height, description)


def number(value: Any, digits: int = 3) -> str:
    """Render a number for readers; empty if it is missing."""
    if pd.isna(value):
        return ""
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    return f"{value:.{digits}g}" if np.isfinite(value) else ("∞" if value > 0 else "-∞")


def render(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Return the page as HTML. All text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("transst_py._report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html")
    return page.render(title=title, subtitle=subtitle, sections=sections)
