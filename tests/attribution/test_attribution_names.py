"""Names of methods, numbers of steps and bases, and the sentences for wrong ones."""

import re

import pytest

from relp_sae.attribution import attribute, method_named, methods
from relp_sae.errors import InputError
from relp_sae.patching import patch

WRONG_NAMES = {
    "gradiant": "Unknown method 'gradiant'. Did you mean 'gradient'? Known: ",
    "": "Unknown method ''. Known: ",
    ":3": "Unknown method ''. Known: ",
    "gradient:3": "The method 'gradient' takes no number of steps; write 'gradient'.",
    "random:": "The method 'random' takes no number of steps; write 'random'.",
    **{
        f"integrated-gradients:{count}": f"Cannot read 'integrated-gradients:{count}': "
        "expected integrated-gradients:N with N steps, N at least 1."
        for count in ("", "0", "-1", "1.5", "ten", " 3", "3:3", "1e1")
    },
}


@pytest.mark.parametrize("name", WRONG_NAMES)
def test_a_wrong_name_is_refused_in_a_sentence(name):
    with pytest.raises(InputError, match="^" + re.escape(WRONG_NAMES[name])):
        method_named(name)


def test_attribute_refuses_before_it_computes(paired_run):
    with pytest.raises(InputError, match="Did you mean 'relp-ah'"):
        attribute(paired_run, "relp-ha", progress=pytest.fail)


@pytest.mark.parametrize(
    ("name", "base", "sentence"),
    [
        ("gradient", "both", "The method 'gradient' has the base corrupted or clean, not both."),
        ("direct", "clean", "The method 'direct' has the base both, not clean."),
        (
            "integrated-gradients:4",
            "corrupted",
            "The method 'integrated-gradients:4' has the base both, not corrupted.",
        ),
    ],
)
def test_a_wrong_base_is_refused_in_a_sentence(paired_run, name, base, sentence):
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
        attribute(paired_run, name, base=base, progress=pytest.fail)


@pytest.mark.parametrize("name", list(methods))
def test_a_plain_name_is_the_registered_method(name):
    assert method_named(name) is methods[name]


@pytest.mark.parametrize("name", [name for name in methods if methods[name].with_count])
def test_a_method_with_steps_takes_any_number_of_them(paired_run, name):
    for count in (1, 2, 7):
        estimate = attribute(paired_run, f"{name}:{count}")
        assert estimate.name == f"{name}:{count}"
        assert estimate.base == methods[name].bases[0]


def test_labels_name_the_base_where_there_is_a_choice(paired_run):
    labels = [
        attribute(paired_run, "relp").label,
        attribute(paired_run, "gradient", base="clean").label,
        attribute(paired_run, "integrated-gradients:2").label,
        attribute(paired_run, "random").label,
        patch(paired_run, "noise").label,
    ]
    expected = ["relp@corrupted", "gradient@clean", "integrated-gradients:2", "random", "noise"]
    assert labels == expected
