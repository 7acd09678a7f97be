"""Reading YAML, strictly: what a reader of the file would not expect is refused.

Plain values follow YAML 1.2: ``1e-4`` is a number, ``no`` and ``off`` are text, ``010`` is ten. A key given twice,
a key that is neither text nor a whole number, anchors, aliases and tags are errors. Each error names the file and the
line.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from scenescope.errors import ScenescopeError

MAX_BYTES = 1_000_000
"""The largest YAML file that is read."""
MAX_DEPTH = 50
"""Levels of nesting that are read: the scanner's work grows with their square."""


def read_yaml(path: Path, error: type[ScenescopeError]) -> dict[str, object]:
    """Read a YAML file that holds one mapping.

    Args:
        path: a UTF-8 file of at most 1 MB.
        error: the class of the error to raise, so that each caller reports in its own name.

    Raises:
        ScenescopeError: of class ``error``: missing, too large, not UTF-8, not YAML, not a mapping, a key given
            twice or neither text nor a whole number, an anchor, alias or tag.
    """
    try:
        if not path.is_file():
            found = "it is a directory" if path.is_dir() else "no such file"
            raise error(f"Cannot read {path}: {found}; give the path of a YAML file.")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as problem:
        raise error(f"Cannot read {path}: {problem.strerror or problem}; check its permissions.") from problem
    if len(content) > MAX_BYTES:
        raise error(f"{path} is larger than {MAX_BYTES:,} bytes; it does not look like settings. Give another file.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        raise error(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8.") from problem
    document = parse_yaml(text, str(path), error)
    if not isinstance(document, dict):
        found = "it is empty" if document is None else f"it holds {_kind(document)}"
        raise error(f"{path} must hold keys and values (key: value), but {found}.")
    return document


def parse_yaml(text: str, source: str, error: type[ScenescopeError]) -> object:
    """Parse one YAML document or value, such as the right side of an override ``a.b=c``.

    Args:
        text: the YAML.
        source: where it came from, for messages.
        error: the class of the error to raise.

    Returns:
        Nested dict (keys are text, numbers as they are written), list, str, int, float, bool and None.

    Raises:
        ScenescopeError: of class ``error``; see ``read_yaml``.
    """
    try:
        document: object = yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise error(f"{source}{line}: {_one_line(problem.problem or problem.context)}.") from problem
    except yaml.reader.ReaderError as problem:
        number = text.count("\n", 0, problem.position) + 1
        raise error(f"{source}, line {number}: a character that YAML does not allow; remove it.") from problem
    except (yaml.YAMLError, ValueError) as problem:
        raise error(f"{source}: {_one_line(problem)}.") from problem
    return document


def write_yaml(document: object) -> str:
    """Return YAML that ``parse_yaml`` reads back equal: sections of settings, each setting on a line."""
    text: str = yaml.dump(
        document, None, _Dumper, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9
    )
    return text


class Key(str):
    """A key that knows its line in the file, 1 for the first."""

    line: int | None

    def __new__(cls, text: str, line: int | None) -> Key:
        """Make a key of its text."""
        key = super().__new__(cls, text)
        key.line = line
        return key

    def __reduce__(self) -> tuple[type[Key], tuple[str, int | None]]:
        return Key, (str(self), self.line)


class _StrictLoader(yaml.SafeLoader):
    """The safe loader without anchors, aliases, tags, repeated keys and the surprises of YAML 1.1."""

    def fetch_flow_collection_start(self, token_class: Any) -> None:
        self._refuse_depth(self.flow_level)
        super().fetch_flow_collection_start(token_class)

    def add_indent(self, column: int) -> bool:
        self._refuse_depth(len(self.indents))
        return bool(super().add_indent(column))

    def _refuse_depth(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise _refusal("nested too deeply; settings need a few levels only", self.get_mark())

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _refusal("anchors (&name) and aliases (*name) are not read; write the value out", event.start_mark)
        if getattr(event, "tag", None) not in (None, "!"):
            raise _refusal(f"the tag {event.tag!r} is not read; write the plain value", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        first_lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:int"):
                shown = repr(key.value) if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                raise _refusal(f"the key {shown} is not text; put it in quotes", key.start_mark)
            if key.value in first_lines:
                line = first_lines[key.value]
                raise _refusal(f"the key {key.value!r} is given twice, first on line {line}; keep one", key.start_mark)
            first_lines[key.value] = key.start_mark.line + 1
        return {
            Key(key.value, key.start_mark.line + 1): self.construct_object(value, deep=True)
            for key, value in node.value
        }


class _Dumper(yaml.SafeDumper):
    """The safe dumper, which puts text in quotes where the loader above would read something else."""

    depth = 0

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        self.depth += 1
        node = super().represent_mapping(tag, mapping, flow_style=self.depth > 2)
        self.depth -= 1
        return node

    def represent_str(self, data: str) -> yaml.ScalarNode:
        # In double quotes, line ends of all kinds are escaped.
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=None if data.isprintable() else '"')

    def ignore_aliases(self, data: object) -> bool:
        return True


def _refusal(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, mark)


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    """Decimal only: YAML 1.1 would read 010 as eight."""
    return int(node.value)


_Dumper.add_representer(str, _Dumper.represent_str)
_StrictLoader.yaml_implicit_resolvers = _Dumper.yaml_implicit_resolvers = {}
_StrictLoader.add_constructor("tag:yaml.org,2002:int", _construct_int)
# The core schema of YAML 1.2 (section 10.3.2) without octal and hexadecimal. PyYAML's own patterns are YAML 1.1,
# where 1e-4 is text, no is false and 1:30 is ninety.
for _tag, _pattern, _starts in (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?[0-9]+", [*"-+0123456789"]),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", [*"-+.0123456789"]),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", [*"-+."]),
):
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _starts)


def _kind(value: object) -> str:
    return "a list" if isinstance(value, list) else f"the single value {_one_line(value)[:40]!r}"


def _one_line(value: object) -> str:
    return " ".join(str(value).split())
