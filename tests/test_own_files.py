import pytest

from scenescope.errors import StorageError
from scenescope.own_files import OwnFiles


def write(own, path, text, subject="a.png"):
    own.write(path, subject, lambda temporary: temporary.write_text(text))


def test_a_file_is_known_again_by_what_was_written(tmp_path):
    place = tmp_path / "out" / "a_figure.png"
    write(OwnFiles(tmp_path / "out", "attend"), place, "first")
    write(OwnFiles(tmp_path / "out", "attend"), place, "second")
    assert place.read_text() == "second"
    with pytest.raises(
        StorageError, match=r"a_figure\.png is in the way: .* what attend has written about b\.png; move"
    ):
        write(OwnFiles(tmp_path / "out", "attend"), place, "third", "b.png")
    place.write_text("second, with a note")
    with pytest.raises(StorageError, match="is in the way: it is not, or no longer, what attend has written"):
        write(OwnFiles(tmp_path / "out", "attend"), place, "third")
    assert place.read_text() == "second, with a note"


def test_one_that_was_killed_before_its_file_was_in_place_goes_on(tmp_path, monkeypatch):
    place = tmp_path / "a.png"
    write(OwnFiles(tmp_path, "attend"), place, "first")
    own = OwnFiles(tmp_path, "attend")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write(own, place, "second")
    monkeypatch.undo()
    assert place.read_text() == "first"
    write(OwnFiles(tmp_path, "attend"), place, "third")
    assert place.read_text() == "third"


@pytest.mark.parametrize("line", ["", "{", '["a.png"]', "[" * 100_000, "null", '{"a": 1}', "\xff"])
def test_a_torn_line_costs_no_other(tmp_path, line):
    write(OwnFiles(tmp_path, "attend"), tmp_path / "a.png", "first")
    with (tmp_path / ".attend").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    write(OwnFiles(tmp_path, "attend"), tmp_path / "a.png", "second")


def test_a_link_or_a_folder_in_the_place_is_in_the_way(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "b.png").mkdir()
    for name in ("a.png", "b.png"):
        with pytest.raises(StorageError, match="is in the way"):
            write(OwnFiles(tmp_path, "attend"), tmp_path / name, "text")


def test_an_input_is_one_under_any_name(tmp_path):
    own = OwnFiles(tmp_path, "attend")
    write(own, tmp_path / "a.png", "first")
    (tmp_path / "same.png").hardlink_to(tmp_path / "a.png")
    own.require_free(tmp_path / "a.png", "a.png")
    with pytest.raises(StorageError, match=r"about a\.png would replace the input .*a\.png; choose another"):
        own.require_free(tmp_path / "a.png", "a.png", [tmp_path / "missing.png", tmp_path / "same.png"])
