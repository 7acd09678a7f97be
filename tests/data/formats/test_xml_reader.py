from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scenescope.data.formats import xml_reader
from scenescope.data.formats.xml_reader import MAX_DEPTH, read_elements
from scenescope.errors import DataError


def write(folder: Path, text: str) -> Path:
    path = folder / "a.xml"
    path.write_text(text, encoding="utf-8")
    return path


def test_elements_below_the_root_one_by_one(tmp_path: Path) -> None:
    path = write(tmp_path, '<r><a n="1"><b>x</b></a>text<a n="2"/></r>')
    assert [(e.tag, e.get("n"), [child.text for child in e]) for e in read_elements(path, "r")] == [
        ("a", "1", ["x"]),
        ("a", "2", []),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><r><a>&b;</a></r>', "entities or a document type"),
        ('<!DOCTYPE r SYSTEM "file:///etc/passwd"><r/>', "entities or a document type"),
        ('<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><r>&a;</r>', "entities or a document type"),
        ("<r><a></a>", "no XML, or cut short"),
        ("<r><a>&nbsp;</a></r>", "no XML, or cut short"),
        ('<?xml version="1.0" encoding="none"?><r/>', "no XML, or cut short"),
        ("", "no XML, or cut short"),
        ("<s/>", "begins with <s>; expected <r>"),
        ("<r>" + "<a>" * MAX_DEPTH + "</a>" * MAX_DEPTH + "</r>", "nested more than 32 deep"),
    ],
)
def test_refuses_what_no_annotations_hold(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        list(read_elements(write(tmp_path, text), "r"))


def test_refuses_what_is_too_large_or_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "<r></r>")
    monkeypatch.setattr(xml_reader, "MAX_BYTES", 6)
    with pytest.raises(DataError, match="has 7 bytes, more than 6"):
        list(read_elements(path, "r"))
    with pytest.raises(DataError, match=r"Cannot read .*gone.xml"):
        list(read_elements(tmp_path / "gone.xml", "r"))


def test_without_defusedxml_one_line_tells_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "defusedxml", None)
    with pytest.raises(DataError, match=r"pip install 'scenescope\[formats\]'"):
        list(read_elements(write(tmp_path, "<r></r>"), "r"))
