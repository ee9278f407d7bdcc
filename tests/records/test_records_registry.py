"""An open list of names: duplicates are errors, and a wrong name gets a suggestion."""

import sys
from pathlib import Path

import pytest

from relp_sae.errors import InputError
from relp_sae.registry import Registry


def fruits() -> Registry[int]:
    registry: Registry[int] = Registry("fruit")
    registry.register("pear")(1)
    registry.register("apple")(2)
    return registry


def test_it_is_a_mapping_in_the_order_of_registration() -> None:
    assert list(fruits()) == ["pear", "apple"]
    assert dict(fruits()) == {"pear": 1, "apple": 2}
    assert "pear" in fruits()
    assert "plum" not in fruits()
    assert len(fruits()) == 2


def test_a_near_miss_gets_a_suggestion() -> None:
    with pytest.raises(InputError) as caught:
        fruits()["aple"]
    assert str(caught.value) == "Unknown fruit 'aple'. Did you mean 'apple'? Known: pear, apple."


def test_a_far_miss_gets_the_list_alone() -> None:
    with pytest.raises(InputError) as caught:
        fruits()["xyz"]
    assert str(caught.value) == "Unknown fruit 'xyz'. Known: pear, apple."


def test_a_name_is_registered_once() -> None:
    registry = fruits()
    with pytest.raises(ValueError, match="fruit 'pear' is registered twice"):
        registry.register("pear")(3)
    assert registry["pear"] == 1


def test_a_decorator_leaves_what_it_registers_alone() -> None:
    registry: Registry[object] = Registry("thing")

    @registry.register("f")
    def f() -> str:
        return "called"

    assert registry["f"] is f
    assert f() == "called"


def test_a_room_finds_its_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = tmp_path / "made_up_room"
    room.mkdir()
    (room / "__init__.py").write_text(
        "from relp_sae.registry import Registry\nthings = Registry('thing', 'made_up_room')\n"
    )
    for name in ("one", "two"):
        (room / f"{name}.py").write_text(
            f"from made_up_room import things\nthings.register('{name}')('{name}!')\n"
        )
    monkeypatch.syspath_prepend(tmp_path)
    from made_up_room import things  # pyright: ignore[reportMissingImports]

    assert "made_up_room.one" not in sys.modules
    assert dict(things) == {"one": "one!", "two": "two!"}
