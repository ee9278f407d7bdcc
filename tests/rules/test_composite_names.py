"""A composite's table names roles and rules; a wrong name is found when the table is made."""

import pytest

from relp_sae.errors import InputError
from relp_sae.rules import Composite, composites, rules


@pytest.mark.parametrize("name", composites)
def test_it_names_rules_that_are_registered_for_their_role(name):
    for role, rule in composites[name].table.items():
        assert rules[rule].role == role
    assert Composite(composites[name].table) == composites[name]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"nrom": "ln"}, r"Unknown role 'nrom'\. Did you mean 'norm'\? Known: norm, activation"),
        ({"norm": "lnn"}, r"Unknown rule 'lnn'\. Did you mean 'ln'\? Known: "),
        ({"norm": "identiti"}, r"Unknown rule 'identiti'\. Did you mean 'identity'\?"),
        ({"norm": "half"}, r"The rule 'half' is for gate, not for norm\."),
        ({"": "ln"}, r"Unknown role ''\. Known: norm"),
    ],
)
def test_wrong_names_are_found_when_the_table_is_made(table, sentence):
    with pytest.raises(InputError, match=sentence):
        Composite({"attention": "ah", **table})


@pytest.mark.parametrize("name", composites)
def test_an_unknown_composite(name):
    with pytest.raises(InputError, match=f"Did you mean '{name}'"):
        composites[name[:-1] + "q"]
