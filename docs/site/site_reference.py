"""Pages of the public names of the packages, which mkdocstrings fills from the docstrings.

The sources are read, not imported, so that names of optional packages are found, too.
"""

import ast
import functools

from site_links import ROOT, link_pages

# Public modules; a name is described on the first page that has it.
MODULES = (
    "deeplab_tf",
    "deeplab_tf.models",
    "deeplab_tf.data",
    "deeplab_tf.data.checks",
    "deeplab_tf.data.prepare",
    "deeplab_tf.training",
    "deeplab_tf.evaluation",
    "deeplab_tf.evaluation.html_report",
    "deeplab_tf.export",
    "deeplab_tf.visualize",
    "deeplab_tf.commands",
    "crf",
    "crf.search",
    "crf.pydensecrf.densecrf",
    "crf.pydensecrf.utils",
)
LAYERS = """# Keras layers

The layers that the networks are made of, with the other classes that saved networks name: an
initializer, and losses for `model.compile`. They are registered for serialization, so
`keras.models.load_model` finds them after `import deeplab_tf`.
"""


def reference_pages():
    """The pages of the reference.

    Returns:
      dict from the path on the site to the page, both str; the first is the list of all.
    """
    homes = anchors()
    pages = {"reference/index.md": _overview()}
    for module in MODULES:
        names = public_names(module)
        here = [name for name in names if homes[f"{module}.{name}"] == f"{module}.{name}"]
        others = [f"[`{name}`][{homes[f'{module}.{name}']}]" for name in names if name not in here]
        text = link_pages(ast.get_docstring(parse(module)) or "", "reference/")
        elsewhere = f"Also in this module: {', '.join(others)}." if others else ""
        blocks = [f"::: {module}.{name}" for name in here]
        pages[f"reference/{module}.md"] = "\n\n".join([f"# {module}", text, elsewhere, *blocks])
    layers = [f"::: {name}" for name in registered_classes() if homes[name] == name]
    pages["reference/layers.md"] = "\n\n".join([LAYERS, *layers])
    return pages


@functools.cache
def anchors():
    """Where every public name is described.

    Returns:
      dict from full names, such as "deeplab_tf.models.build_fcn", to the full name under which the
      reference has it, such as "deeplab_tf.build_fcn".
    """
    homes, found = {}, {}
    for module in MODULES:
        for name in public_names(module):
            full = f"{module}.{name}"
            found[full] = homes.setdefault(definition(module, name), full)
    defined = {".".join(place): home for place, home in homes.items()}
    return {name: name for name in registered_classes()} | defined | found


def short_names():
    """The names that docstrings may use without their module: {name: full name}.

    Those that several things have, and words such as `fuse`, are left out.
    """
    found = {}
    for full, home in anchors().items():
        found.setdefault(full.rpartition(".")[2], set()).add(home)
    telling = [name for name in found if "_" in name or not name.islower()]
    return {name: min(found[name]) for name in telling if len(found[name]) == 1}


def _overview():
    rows = [
        f"| [{module}]({module}.md) | {ast.get_docstring(parse(module)).splitlines()[0]} |"
        for module in MODULES
    ]
    rows.append("| [Keras layers](layers.md) | The layers that the networks are made of. |")
    head = "# Python\n\nThe public names, from their docstrings.\n"
    return "\n".join([head, "| module | |", "|---|---|", *rows])


@functools.cache
def parse(module):
    """The syntax tree of a module of the repository; None if it is not one."""
    path = ROOT.joinpath(*module.split("."))
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if file.is_file():
            return ast.parse(file.read_text("utf-8"))
    return None


def public_names(module):
    """The names in `__all__` of a module, or else its functions and classes without underscore."""
    tree = parse(module)
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [name for name in ast.literal_eval(node.value) if name != "__version__"]
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]


def definition(module, name):
    """Where a name that a module has is defined.

    Returns:
      The module and the name there, both str.
    """
    for node in ast.walk(parse(module)):
        if isinstance(node, ast.ImportFrom) and parse(node.module) is not None:
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    return definition(node.module, alias.name)
    return module, name


def registered_classes():
    """The full names of the classes of both packages that Keras can load by name, sorted."""
    found = []
    for path in [*ROOT.glob("crf/**/*.py"), *ROOT.glob("deeplab_tf/**/*.py")]:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in parse(module).body:
            registered = isinstance(node, ast.ClassDef) and any(
                "register_keras_serializable" in ast.unparse(line) for line in node.decorator_list
            )
            if registered:
                found.append(f"{module}.{node.name}")
    return sorted(found)
