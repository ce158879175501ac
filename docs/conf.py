"""Sphinx: the pages of this folder as a site. ``scripts/docs`` builds it."""

project = "ECTS"
author = "the ECTS authors"
copyright = "the ECTS authors"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "ECTS"
html_logo = "../static/ects/favicon.svg"
exclude_patterns = ["_build"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
