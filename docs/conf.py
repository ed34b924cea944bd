"""How sphinx builds these pages. Nothing is fetched from a network meanwhile."""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded
DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(DOCS)]

import tables  # noqa: E402

import skmltc  # noqa: E402

tables.write(tables.RESULTS, DOCS / "generated")


def setup(app):
    """Take the figures of a page from the rows."""

    def read(app, name, source):
        source[0] = tables.substitute(source[0])

    app.connect("source-read", read)


project = "skmltc"
copyright = "the skmltc developers, BSD 3-Clause"
version = release = skmltc.__version__

extensions = [
    "matplotlib.sphinxext.plot_directive",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "generated/*.inc"]
templates_path = ["_templates"]
default_role = "literal"
toc_object_entries = False

# A reference to something of ours must lead there; those to other packages need their sites.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(collections|sklearn|scipy|numpy|torch|skorch|matplotlib)\..*")]

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings have them, in words
numpydoc_show_class_members = False

plot_html_show_formats = False
plot_html_show_source_link = False
plot_formats = [("png", 120)]
plot_rcparams = {"figure.constrained_layout.use": True}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skmltc",),
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "write_computation_times": False,
    "show_signature": False,
    "ignore_repr_types": r"matplotlib\.",
}

html_theme = "alabaster"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_title = "skmltc"
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html"]}
html_theme_options = {
    "description": "Long-tailed multi-label text classification in scikit-learn",
    "page_width": "1180px",
    "sidebar_width": "240px",
    "fixed_sidebar": True,
    "show_powered_by": False,
    "font_family": "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif",
    "head_font_family": "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif",
    "font_size": "16px",
    "code_font_size": "0.84em",
    "link": "#0062a3",
    "link_hover": "#d55e00",
    "pre_bg": "#f6f8fa",
    "code_bg": "#f1f3f5",
}
