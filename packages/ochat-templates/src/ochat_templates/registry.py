"""Find a template: a shipped one by name or alias, a file, or one that another package registers.

A package registers a template by an entry point of the group `ochat_templates.templates`: its
name is the template's, its value leads to a `Template`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from .errors import TemplateFileError, UnknownTemplateError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

    from .template import Template

ENTRY_POINTS = "ochat_templates.templates"


@cache
def _shipped() -> dict[str, Template]:
    from importlib import resources

    from .template_file import parse_template

    found: dict[str, Template] = {}
    folder = resources.files("ochat_templates") / "templates"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        template = parse_template(file.read_text(encoding="utf-8"), where=file.name)
        found[template.name] = template
    return found


def _registered() -> EntryPoints:
    from importlib.metadata import entry_points  # reads every installed package: only on demand

    return entry_points(group=ENTRY_POINTS)


def template_names() -> tuple[str, ...]:
    """The names of the shipped and the registered templates, sorted; no aliases."""
    return tuple(sorted({*_shipped(), *_registered().names}))


def get_template(name: str) -> Template:
    """Finds a template.

    Args:
        name: A name or an alias, such as `openchat_v3.2` or `openchat_3.5`; or the path of a
            template file, ending in `.toml`.

    Raises:
        UnknownTemplateError: No template has that name; the text lists the nearest ones.
        TemplateFileError: The file, or the package that registers the name, is broken.
    """
    if name.endswith(".toml"):
        from .template import Template

        return Template.from_toml(name)
    shipped = _shipped()
    by_name = {alias: each for each in shipped.values() for alias in (each.name, *each.aliases)}
    if name in by_name:
        return by_name[name]
    registered = _registered()
    if name in registered.names:
        return _load_registered(registered, name)
    raise UnknownTemplateError(_unknown(name, [*by_name, *sorted(registered.names)]))


def _load_registered(registered: EntryPoints, name: str) -> Template:
    from .template import Template

    entry = registered[name]
    origin = f"the template {name!r}, which {entry.value!r} registers,"
    try:
        template = entry.load()
    except Exception as error:  # another package's code: whatever it raises, say whose it is
        raise TemplateFileError(f"{origin} does not load: {error}") from error
    if not isinstance(template, Template):
        raise TemplateFileError(f"{origin} is a {type(template).__name__} and no Template")
    if name not in (template.name, *template.aliases):
        raise TemplateFileError(f"{origin} calls itself {template.name!r}; give both one name")
    return template


def _unknown(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    known = list(known)
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
    return f"no template is named {name!r}; {hint}"
