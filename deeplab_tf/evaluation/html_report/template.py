"""Jinja's settings for pages, and the pages whose templates are in this folder."""

from pathlib import Path

import jinja2


def page_templates(folder):
    """The templates of a folder, in which every value is a text and no HTML.

    Args:
      folder: `pathlib.Path`.

    Returns:
      jinja2.Environment.
    """
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_template(name, filters, **values):
    """Fill a template of this folder.

    Args:
      name: of its file.
      filters: dict from the name of a filter to its function.
      **values: what the template uses.

    Returns:
      str, the page.
    """
    templates = page_templates(Path(__file__).parent)
    templates.filters.update(filters)
    return templates.get_template(name).render(**values)
