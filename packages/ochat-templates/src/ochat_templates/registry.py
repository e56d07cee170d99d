"""Find a shipped template by its name or by one of its aliases."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib import resources

from .errors import UnknownTemplateError
from .template import Template


@cache
def _templates() -> dict[str, Template]:
    found: dict[str, Template] = {}
    folder = resources.files("ochat_templates") / "templates"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".toml"):
            template = Template.from_text(file.read_text(encoding="utf-8"), where=file.name)
            found[template.name] = template
    return found


def template_names() -> tuple[str, ...]:
    """The names of the shipped templates, sorted; aliases are not among them."""
    return tuple(sorted(_templates()))


def get_template(name: str) -> Template:
    """Finds a template by its name or by an alias, such as `openchat_v3.2`.

    Raises:
        UnknownTemplateError: No template has that name; the text lists the nearest ones.
    """
    templates = _templates()
    by_name = {alias: each for each in templates.values() for alias in (each.name, *each.aliases)}
    if name in by_name:
        return by_name[name]
    near = get_close_matches(name, by_name, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(templates)}"
    raise UnknownTemplateError(f"no template is named {name!r}; {hint}")
