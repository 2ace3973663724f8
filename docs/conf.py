"""Sphinx: `make docs` builds the site into build/docs. Nothing in it needs a network to be read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import transst_py  # noqa: E402

project = "TransST"
author = "The TransST developers"
copyright = author
release = transst_py.__version__
version = release

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "myst_nb", "sphinx_copybutton"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = f"TransST {release}"
html_static_path = ["_static"]
html_css_files = ["transst.css"]
html_copy_source = False

# Single backticks in docstrings are code.
default_role = "code"
# The functions of a module are those that it exports, wherever they are written.
autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True
# Widgets would be fetched from the network.
nb_ipywidgets_js: dict[str, Any] = {}

# Formulas are MathML, which browsers draw themselves: MathJax would be fetched from the network.
html_math_renderer = "mathml"


def visit_math(self: Any, node: nodes.math) -> None:
    """Write an inline formula."""
    self.body.append(convert(node.astext()))
    raise nodes.SkipNode


def visit_math_block(self: Any, node: nodes.math_block) -> None:
    """Write a displayed formula."""
    self.body.append(f'<div class="formula">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Register the formulas."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
