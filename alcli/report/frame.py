"""What all pages of alcli have in common: style, script, and what a browser may do with them."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from alcli.curves.metrics import metric_name
from alcli.system.text import visible

FOLDER = Path(__file__).parent
STYLE, SCRIPT = "style.css", "page.js"
RIGHT_TO_LEFT = "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]+"
"""Letters of Hebrew, Arabic, Syriac, Thaana, N'Ko and the like."""
NAMES = re.compile(rf"{RIGHT_TO_LEFT}(?:[ \d'’_.-]{{1,8}}{RIGHT_TO_LEFT})*")


def environment(package: str) -> jinja2.Environment:
    """The templates of a package; every value is escaped, and ``style``, ``script`` and ``policy`` are known.

    Nothing is loaded from any network. The policy names the one script by its hash: no other one can run, whatever a
    file name may contain.
    """
    made = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    script = (FOLDER / SCRIPT).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    made.globals["style"] = Markup((FOLDER / STYLE).read_text(encoding="utf-8"))
    made.globals["script"] = Markup(script)
    made.globals["policy"] = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )
    made.filters["shown"] = lambda text: visible(str(text), keep="")
    made.filters["isolated"] = isolated
    made.filters["metric"] = metric_name
    return made


def isolated(text: object) -> Markup:
    """A sentence as HTML, in which a name from right to left does not move the words and numbers around it."""
    whole = str(escape(visible(str(text), keep="")))
    return Markup(NAMES.sub(lambda name: f"<bdi>{name[0]}</bdi>", whole))
