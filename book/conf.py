"""Settings of Sphinx for the book; `make book` calls it through make_book.py, which lays the pages out."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from sdcda_tutorial import __version__

project, author, version, release = "sdcda_tutorial", "the sdcda_tutorial authors", __version__, __version__
copyright = "the sdcda_tutorial authors; code: MIT, prose and figures: CC BY 4.0"
language = "en"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "notebook_pages", "docstrings"]
exclude_patterns = ["README.md"]  # index.md includes it

# Pages in Markdown and notebooks. Outputs are the stored ones.
nb_execution_mode = "off"
nb_render_markdown_format = "myst"  # tables and formulas in outputs
nb_code_prompt_show = "Show the set-up cell"
nb_code_prompt_hide = "Hide the set-up cell"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# The reference.
add_module_names = False
maximum_signature_line_length = 200  # with all names in full; longer ones have one argument in a line
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # torch's and Python's own texts are not about this package
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Shapes", "params_style"), ("Attributes", "params_style")]
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!sdcda_tutorial\.).*"),  # torch, NumPy and Python have their references elsewhere
    ("py:class", r".*\.[A-Z]"),  # T, a type variable
]

# The look, and the buttons of each page.
book_repository, book_branch = os.environ.get("BOOK_REPO", ""), os.environ.get("BOOK_BRANCH", "main")
html_theme = "sphinx_book_theme"
html_title = "Counting real crowds after training on synthetic ones"
html_static_path = [str(Path(__file__).parent / "static")]
html_css_files = ["book.css"]
html_theme_options = {
    "use_download_button": True,
    "use_fullscreen_button": False,
    "navbar_persistent": [],  # the search field is in the sidebar
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "path_to_docs": "",
}
if book_repository:  # else no page has a button for Colab, and links to files become plain text
    html_theme_options |= {
        "repository_url": f"https://github.com/{book_repository}",
        "repository_branch": "colab",  # what Colab opens: .github/workflows/colab.yml writes the address into it
        "use_repository_button": True,
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    }
