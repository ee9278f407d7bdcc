"""Files appear whole or not at all."""

from pathlib import Path

import pytest

from relp_sae.errors import InputError
from relp_sae.records.atomic import write_atomically, write_text


def test_text_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "first")
    write_text(path, "zweite ü")
    assert path.read_text(encoding="utf-8") == "zweite ü"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_can_be_read_by_others(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "text")
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644


def test_the_temporary_file_has_the_same_suffix(tmp_path: Path) -> None:
    seen: list[Path] = []
    write_atomically(tmp_path / "a.svg", seen.append)
    assert (seen[0].suffix, seen[0].parent) == (".svg", tmp_path)


def test_a_writer_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def half(temporary: Path) -> None:
        temporary.write_text("ne")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_atomically(path, half)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_made_where_it_can_be(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "a.txt", "text")
    assert (tmp_path / "new" / "a.txt").read_text() == "text"
    with pytest.raises(InputError, match=r"Cannot write .*b\.txt: No such file or directory"):
        write_text(tmp_path / "none" / "none" / "b.txt", "text")
