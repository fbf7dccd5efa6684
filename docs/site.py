"""What the site has beside the pages of this directory: the README, the changelog, the examples and all commands.

MkDocs calls the functions `on_...` (`hooks` in mkdocs.yml). Links to files outside of this directory lead to the pages
that are made of them, so that the same text reads well in the repository and on the site.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import typer
import typer.cli
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from workloads.cli.command import COMMANDS, app, imported

_ROOT = Path(__file__).parent.parent
_OUTSIDE = re.compile(r"\]\((?:\.\./)?(README\.md|CHANGELOG\.md|CONTRIBUTING\.md|docs/|examples/(\w+)\.py)([^)]*)\)")
_ELSEWHERE = re.compile(r"\[([^\]]+)\]\((?!https?:|#|docs/|examples/|README\.md|CHANGELOG\.md|CONTRIBUTING\.md)[^)]*\)")
"""Links of pages at the repository's root to files that the site does not have; their text stays."""
_PAGES = {"README.md": "start.md", "CHANGELOG.md": "changes.md", "CONTRIBUTING.md": "contributing.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of other files."""
    pages = {page: _ELSEWHERE.sub(r"\1", (_ROOT / name).read_text(encoding="utf-8")) for name, page in _PAGES.items()}
    for name, text in (pages | {"examples.md": _examples(), "commands.md": _commands()}).items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead the links to files outside of the site's directory to the pages that are made of them."""
    return _OUTSIDE.sub(_on_site, markdown)


def _on_site(link: re.Match[str]) -> str:
    target, example, rest = link.groups()
    if example:
        return f"](examples.md#{example}py{rest})"
    return f"]({_PAGES.get(target, '')}{rest})"


def _examples() -> str:
    """Return a page of all examples, each under what its docstring says of it."""
    parts = ["# Examples\n\n`gearshift run FILE` runs a mix; the others are programs.\n"]
    for path in sorted((_ROOT / "examples").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        parts.append(f"## {path.name}\n\n{ast.get_docstring(ast.parse(text))}\n\n```python\n{text}```\n")
    return "\n".join(parts)


def _commands() -> str:
    """Return the page of all commands, as Typer writes it of the code."""
    context = typer.Context(typer.main.get_command(app))
    parts = ["# Commands\n"]
    for name in COMMANDS:
        parts.append(
            typer.cli.get_docs_for_click(obj=imported(name), ctx=context, name=name, call_prefix="gearshift", indent=1)
        )
    return "\n".join(parts)
