"""One verb of `Cloud` in every backend, side by side, from the backends' own source.

compare("create_server")

Verbs of the object store are written once: there the backends differ in how they send a request.
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
from faafo_lab.tables import scrolling

SHARED = "the same through every backend"
COLUMN_EM = 21  # the least width of a library's column: where three of them don't fit, the table scrolls sideways
TEXT_COLUMNS = 88
# Pygments' short names of tokens → how they look: by weight and slant, which keep their contrast in every theme.
STYLES = {
    ".k, .kn, .ow, .kc, .nf": "font-weight: bold",
    ".s1, .s2, .sd, .sa, .se, .si, .c1": "font-style: italic",
}


@dataclass(frozen=True)
class Comparison:
    """A verb through each backend. Shows itself in a notebook, in columns, and as text."""

    verb: str
    signature: str  # which all backends share: "create_floating_ip() → FloatingIP"
    says: str  # what the verb does
    sources: Mapping[str, str]  # by backend: the method's body, and the helpers of the backend's own that it calls
    calls: Mapping[str, Tape]  # by backend: the HTTP calls it made last, where it was called in this process
    shared: str = ""  # the method's body where all backends share it

    def __repr__(self) -> str:
        parts = [textwrap.fill(f"cloud.{self.signature}", TEXT_COLUMNS, subsequent_indent="    "), self.says]
        parts += [f"── {SHARED} ──", self.shared] if self.shared else []
        for backend, text in self.sources.items():
            parts += [f"── {backend} ──", text, self._calls(backend)]
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        style = "".join(f".faafo-compare :is({tokens}) {{{rules}}}" for tokens, rules in STYLES.items())
        says = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(self.says))
        cell = f'style="text-align: left; vertical-align: top; width: 33%; min-width: {COLUMN_EM}em"'
        head = "".join(f"<th {cell}>{backend}</th>" for backend in self.sources)
        bodies = "".join(f"<td {cell}>{_lines(text)}</td>" for text in self.sources.values())
        calls = "".join(f"<td {cell}>{_lines(self._calls(backend), code=False)}</td>" for backend in self.sources)
        shared = f"<details><summary>{SHARED}</summary>{_lines(self.shared)}</details>" if self.shared else ""
        table = scrolling(f"<tr>{bodies}</tr><tr>{calls}</tr>", f"<tr>{head}</tr>")
        return (
            f"<style>{style}</style><p><code>cloud.{html.escape(self.signature)}</code><br>{says}</p>"
            f'<div class="faafo-compare">{shared}{table}</div>'
        )

    def _calls(self, backend: str) -> str:
        """The HTTP calls that the verb made through this backend, a line each."""
        if backend in self.calls:
            return "\n".join(["HTTP calls:", *self.calls[backend].lines])
        how = f'call it on faafo_lab.connect(backend="{backend}"), then compare again'
        return f"Its HTTP calls are not known yet: {how}."


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
        signature=_signature(verb),
        says=" ".join((inspect.getdoc(getattr(Cloud, verb)) or "").partition("\n\n")[0].split()),
        sources={backend: source(cls, verb) for backend, cls in classes.items()},
        calls={backend: last_calls[backend, verb] for backend in BACKENDS if (backend, verb) in last_calls},
        shared="" if verb in Cloud.__abstractmethods__ else _body(_plain_source(getattr(Cloud, verb))),
    )


def source(backend: type[Cloud], verb: str) -> str:
    """The body of a backend's method, and the helpers of its class that it needs, whole but for decorators."""
    wanted = [verb]
    parts: list[str] = []
    for name in wanted:
        text = _plain_source(getattr(backend, name))
        if name in vars(backend):
            parts.append(_body(text) if name == verb else text)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
                helper = inspect.isfunction(getattr(backend, node.attr, None)) and node.attr.startswith("_")
                if helper and node.attr not in wanted:
                    wanted.append(node.attr)
    return "\n\n".join(parts)


def _signature(verb: str) -> str:
    """A verb's arguments without their types, and what it returns."""
    signature = inspect.signature(getattr(Cloud, verb))
    _, *arguments = (argument.replace(annotation=argument.empty) for argument in signature.parameters.values())
    returns = signature.return_annotation
    return f"{verb}{signature.replace(parameters=arguments, return_annotation=signature.empty)} → {returns}"


def _body(text: str) -> str:
    """What a method does, without its signature and docstring."""
    [method] = ast.parse(text).body
    assert isinstance(method, ast.FunctionDef)
    statements = method.body[ast.get_docstring(method) is not None :]
    return textwrap.dedent("\n".join(text.splitlines()[statements[0].lineno - 1 :]))


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


def _lines(text: str, code: bool = True) -> str:
    """Text as HTML, a block a line: what is too long for its column is broken, and goes on further in."""
    shown = _highlight(text) if code else html.escape(text)
    return "".join(map(_line, shown.splitlines()))


def _line(line: str) -> str:
    rest = line.lstrip(" ")
    inset = f"padding-left: {len(line) - len(rest) + 4}ch; text-indent: -4ch"
    return f'<code style="display: block; overflow-wrap: anywhere; {inset}">{rest or "&nbsp;"}</code>'


def _highlight(source: str) -> str:
    """The source as HTML, with Pygments' classes where it is installed."""
    try:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer
    except ImportError:
        return html.escape(source)
    return str(highlight(source, PythonLexer(), HtmlFormatter(nowrap=True)))
