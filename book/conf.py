"""Configuration of Sphinx for the book: ``make book`` builds it from what ``stage.py`` laid out.

All that a page needs lies in the folder that is built: it opens from disk, without a network.

Python in the page (Pyodide) was looked for in November 2026 and is not to be had that way: the npm
package pyodide 314.0.7 holds the interpreter alone and takes NumPy from a CDN; none of the wheels
of numpy 2.5.5 on PyPI is for it; and a page from disk may not fetch a .wasm file. So lessons show
their outputs, and sliders walk through frames.
"""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SOURCE = ROOT / "build" / "book" / "source"
sys.path.insert(0, str(HERE))

from api import write_api  # noqa: E402
from stage import repository  # noqa: E402

write_api(ROOT / "ecstfl", SOURCE / "api")

ADDRESS = repository(ROOT)

project = "ecstfl"
author = "the authors of ecstfl"
project_copyright = "the authors of ecstfl, MIT licence"
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["extra"]

# ---- Markdown and notebooks: executed elsewhere, shown as they are
nb_execution_mode = "off"
nb_render_markdown_format = "myst"
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 4
suppress_warnings = [
    "myst.header",  # a landed table begins below its page's title
    "mystnb.unknown_mime_type",
    "ref.python",  # two rooms may use one name for two things
]

add_module_names = False

# ---- pages
html_theme = "sphinx_book_theme"
html_title = "ecstfl: learn and reproduce EC-STFL"
html_static_path = ["static"]
html_extra_path = [str(SOURCE / "extra")]
html_css_files = ["book.css"]
html_js_files = [("book.js", {"defer": "defer"})]
html_show_search_summary = False  # it fetches pages, and a page from disk may not fetch
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_last_updated_fmt = None
html_theme_options = {
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "navbar_persistent": [],  # the sidebar has the search field
    "repository_url": ADDRESS,
    "use_repository_button": bool(ADDRESS),
    "use_issues_button": bool(ADDRESS),
}
html_context = {"default_mode": "auto"}
pygments_style = "a11y-high-contrast-light"

# ---- formulas: one file, glyphs inside, no font is fetched
_mathjax = importlib.util.find_spec("sphinx-mathjax-offline")
assert _mathjax is not None, "sphinx-mathjax-offline is missing: make book installs it"
html_static_path.append(
    str(Path(str(_mathjax.origin)).parent / "static" / "mathjax" / "tex-svg.js")
)
mathjax_path = "tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}, "svg": {"fontCache": "local"}}
html_assets_policy = "always"  # formulas in hints are HTML, which Sphinx does not count


def _describe_figures(app: Any, doctree: Any) -> None:
    """Give each figure of a lesson its alternative text; it has the hash of its file for a name."""
    from docutils import nodes

    texts = json.loads((SOURCE / "alt.json").read_text("utf-8"))
    for image in doctree.findall(nodes.image):
        image["alt"] = texts.get(Path(image["uri"]).stem, image.get("alt", ""))


def setup(app: Any) -> None:
    """Register what is above."""
    app.connect("doctree-read", _describe_figures)
