"""Every family with every composite, kind of site and type of SAE: it works, or a sentence says why.

What is found is the table in docs/support.md, which this file also writes:

    WRITE_SUPPORT=1 python -m pytest tests/families/test_support.py
"""

import os
from pathlib import Path

import numpy as np
import pytest

from relp_sae.attribution import attribute
from relp_sae.errors import InputError
from relp_sae.models.family import families
from relp_sae.patching import patch
from relp_sae.records import Site
from relp_sae.records.site import KINDS
from relp_sae.rules import composites
from relp_sae.run import PairedRun
from relp_sae.saes import load_saes

DOCS = Path(__file__).parents[2] / "docs" / "support.md"

SAES = ("standard", "topk", "jumprelu", "gated")
TRANSCODERS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
REFUSED = ("temporal", "matching_pursuit")
READS = ("mlp_normalized", "mlp_in")


@pytest.fixture(scope="module")
def folder(sae_folder, transcoder_folder):
    """The folder of a tiny SAE of a type at a kind of site of block 1, ``wide`` numbers wide."""
    made = {}

    def find(architecture, kind, wide):
        key = architecture, kind, wide
        if key not in made:
            if architecture in TRANSCODERS:
                made[key] = transcoder_folder(f"{kind}.1", "mlp_out.1", architecture)
            else:
                made[key] = sae_folder(f"{kind}.1", architecture, d_in=wide)
        return str(made[key])

    return find


def outcome(run):
    """Scores of every composite and the exact effects agree in length and are finite."""
    count = len(run.units)
    assert count > 0
    for name in composites:
        score = attribute(run, name).score
        assert score.shape == (count,)
        assert np.isfinite(score).all()
        assert np.abs(score).max() > 0
    effects = patch(run, "denoise").score
    assert np.isfinite(effects).all()
    assert np.abs(effects).max() > 0


@pytest.mark.parametrize("architecture", [*SAES, *TRANSCODERS])
def test_it_works_or_is_refused_as_the_table_says(
    any_family, architecture, load_tiny, make_run, folder
):
    model = load_tiny(any_family)
    like = make_run(model, "resid_pre.1")
    for kind in READS if architecture in TRANSCODERS else KINDS:
        if kind in model.site_kinds:
            source = folder(architecture, kind, model.width(Site(1, kind)))
            outcome(PairedRun(model, load_saes(source), like.pairs, like.metric))
        else:
            source = folder(architecture, kind, model.d_model)
            with pytest.raises(InputError, match=r"has no site .* stand side by side"):
                PairedRun(model, load_saes(source), like.pairs, like.metric)


@pytest.mark.parametrize("architecture", REFUSED)
def test_without_a_linear_decoder_it_is_refused(sae_folder, architecture):
    with pytest.raises(InputError, match=r"has no linear decoder|cannot encode"):
        load_saes(str(sae_folder("resid_pre.1", architecture)))


def test_the_table_in_the_docs_is_what_was_tested(load_tiny):
    text = table(load_tiny)
    if os.environ.get("WRITE_SUPPORT"):
        DOCS.write_text(text)
    assert DOCS.read_text() == text


def table(load_tiny):
    """The document."""
    lines = [
        *("# What is supported", ""),
        "Written by `WRITE_SUPPORT=1 python -m pytest tests/families/test_support.py`, which runs every",
        "combination on tiny models with random weights: scores of every composite",
        f"({', '.join(composites)}) and exact patching. Everything below works with everything else, but",
        "for what says *no*.",
        "",
        "| family | rules fire at, in each block: norm, activation, gate, attention | sites |",
        "| :--- | :--- | :--- |",
    ]
    for name in families:
        model = load_tiny(name)
        counts = ", ".join(str(count) for count in per_block(model))
        missing = [kind for kind in KINDS if kind not in model.site_kinds]
        no = f"; no {', '.join(missing)}: attention and MLP stand side by side" if missing else ""
        lines.append(f"| {name} | {counts} | {', '.join(model.site_kinds)}{no} |")
    lines += [
        "",
        "The final norm comes on top, and Gemma 2's soft cap of the logits is one more activation.",
        "Mixtures of experts are refused: the rules do not reach router and experts.",
        "",
        "| SAE of SAELens | sites |",
        "| :--- | :--- |",
        *(f"| {name} | all of the family |" for name in SAES),
        "| BatchTopK, Matryoshka | as saved after training (JumpReLU), and their checkpoints: see saes.md |",
        *(f"| {name} | reads {' or '.join(READS)}, writes at mlp_out |" for name in TRANSCODERS),
        *(f"| {name} | no: it has no linear decoder |" for name in REFUSED),
        "",
        "bfloat16: estimates work, truths refuse it (an effect is a difference that its 8 bits do not hold).",
    ]
    return "\n".join(lines) + "\n"


def per_block(model):
    """How many places of each role the second block has."""
    prefix = f"{model.family.blocks}.1."
    for role in ("norm", "activation", "gate", "attention"):
        yield sum(place.name.startswith(prefix) for place in model.places(role))
