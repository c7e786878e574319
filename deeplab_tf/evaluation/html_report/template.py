"""Jinja's settings for the pages, whose templates are in this folder."""

from pathlib import Path

import jinja2


def render_template(name, filters, **values):
    """Fill a template of this folder.

    Args:
      name: of its file.
      filters: dict from the name of a filter to its function.
      **values: what the template uses.

    Returns:
      str, the page.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(name).render(**values)
