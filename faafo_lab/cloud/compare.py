"""One verb of `Cloud` in every backend, side by side, from the backends' own source.

compare("create_server")
"""

from __future__ import annotations

import ast
import difflib
import html
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from faafo_lab.cloud import BACKENDS
from faafo_lab.cloud.base import VERBS, Cloud
from faafo_lab.cloud.errors import NotFound
from faafo_lab.cloud.tape import Tape, last_calls

SIDE_BY_SIDE_EM = 96  # where there is less room than this, the columns are one below the other
# Pygments' short names of tokens → how JupyterLab's editor colours them; without JupyterLab, bold and italic must do.
COLOURS = {
    ".k, .kn, .ow, .kc": "color: var(--jp-mirror-editor-keyword-color, inherit); font-weight: bold",
    ".s1, .s2, .sd, .sa, .se, .si": "color: var(--jp-mirror-editor-string-color, inherit)",
    ".c1": "color: var(--jp-mirror-editor-comment-color, inherit); font-style: italic",
    ".mi, .mf": "color: var(--jp-mirror-editor-number-color, inherit)",
    ".nf": "color: var(--jp-mirror-editor-def-color, inherit); font-weight: bold",
    ".nb, .bp": "color: var(--jp-mirror-editor-builtin-color, inherit)",
}


@dataclass(frozen=True)
class Comparison:
    """A verb through each backend. Shows itself in a notebook, in columns, and as text."""

    verb: str
    says: str  # what the verb does
    sources: Mapping[str, str]  # by backend: the method, and the helpers of the backend's own that it calls
    calls: Mapping[str, Tape]  # by backend: the HTTP calls it made last, where it was called in this process

    def __repr__(self) -> str:
        parts = [f"{self.verb}: {self.says}"]
        for backend, text in self.sources.items():
            parts += [f"── {backend} ──", text, repr(self.calls.get(backend, _Unknown(backend)))]
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        style = "".join(f".faafo-compare :is({tokens}) {{{rules}}}" for tokens, rules in COLOURS.items())
        columns = "".join(
            f'<div style="flex: 1 1 calc(({SIDE_BY_SIDE_EM}em - 100%) * 999); min-width: 0; overflow-x: auto">'
            f'<h4 style="margin: 0.5em 0">{backend}</h4>'
            f'<pre tabindex="0" style="white-space: pre; overflow-x: auto; line-height: 1.35; font-size: 0.85em">'
            f'<code style="white-space: inherit">{_highlight(text)}</code></pre>'
            f"{self.calls.get(backend, _Unknown(backend))._repr_html_()}</div>"
            for backend, text in self.sources.items()
        )
        says = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(self.says))
        return (
            f"<style>{style}</style><p><code>{self.verb}</code>: {says}</p>"
            f'<div class="faafo-compare" style="display: flex; flex-wrap: wrap; gap: 0 1.5em">{columns}</div>'
        )


def compare(verb: str | Callable[..., Any]) -> Comparison:
    """A verb of the cloud ("create_server", or `cloud.create_server`) in every backend.

    Raises NotFound, which names the verbs.
    """
    verb = verb if isinstance(verb, str) else getattr(verb, "__name__", repr(verb))
    if verb not in VERBS:
        raise _no_such(verb)
    classes = {backend: getattr(importlib.import_module(module), name) for backend, (module, name) in BACKENDS.items()}
    return Comparison(
        verb=verb,
        says=" ".join((inspect.getdoc(getattr(Cloud, verb)) or "").partition("\n\n")[0].split()),
        sources={backend: source(cls, verb) for backend, cls in classes.items()},
        calls={backend: last_calls[backend, verb] for backend in BACKENDS if (backend, verb) in last_calls},
    )


def source(backend: type[Cloud], verb: str) -> str:
    """The source of a backend's method, without decorators, and of the helpers of its class that it calls."""
    wanted, parts = [verb], []
    for name in wanted:
        text = _plain_source(vars(backend)[name])
        parts.append(text)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
                helper = inspect.isfunction(vars(backend).get(node.attr)) and node.attr.startswith("_")
                if helper and node.attr not in wanted:
                    wanted.append(node.attr)
    return "\n\n".join(parts)


def _plain_source(function: Any) -> str:
    text = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    definition = ast.parse(text).body[0]
    return "\n".join(text.splitlines()[definition.lineno - 1 :])  # which a decorator stands before


def _no_such(name: str) -> NotFound:
    if hasattr(Cloud, name) and not name.startswith("_"):
        return NotFound(
            f"{name!r} is the same through every backend: it is written once, in faafo_lab/cloud/base.py. "
            f"These differ: {', '.join(VERBS)}."
        )
    alike = difflib.get_close_matches(name, VERBS, n=3, cutoff=0.5)
    ordered = [*alike, *(other for other in VERBS if other not in alike)]
    hint = f"Did you mean {alike[0]!r}? " if alike else ""
    return NotFound(f"There is no verb {name!r}. {hint}There are: {', '.join(ordered)}.")


@dataclass(frozen=True)
class _Unknown:
    """What stands in place of the calls of a verb that was not called yet."""

    backend: str

    def __repr__(self) -> str:
        how = f'call it on faafo_lab.connect(backend="{self.backend}"), then compare again'
        return f"Its HTTP calls are not known yet: {how}."

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"


def _highlight(source: str) -> str:
    """The source as HTML, with Pygments' classes where it is installed."""
    try:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer
    except ImportError:
        return html.escape(source)
    return str(highlight(source, PythonLexer(), HtmlFormatter(nowrap=True)))
