"""Every family, composite, kind of site and type of SAE: it works, or a sentence says why.

What is found is the table in docs/support.md, which this file also writes:

    WRITE_SUPPORT=1 python -m pytest tests/families/test_support.py
"""

import os
from pathlib import Path

import numpy as np
import pytest

from relp_sae.attribution import attribute
from relp_sae.errors import InputError
from relp_sae.models.family import Role, families
from relp_sae.patching import patch
from relp_sae.records import Site
from relp_sae.records.site import KINDS
from relp_sae.rules import composites
from relp_sae.run import PairedRun
from relp_sae.saes import load_saes

DOCS = Path(__file__).parents[2] / "docs" / "support.md"

SAES = {
    "standard": {},
    "topk": {},
    "abstopk": {},
    "jumprelu": {},
    "gated": {},
    "matching_pursuit": {"max_iterations": 5},
}
"""Type -> what its configuration needs beside its shape."""

TRANSCODERS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
READS = ("mlp_normalized", "mlp_in")
WHY_NOT = {
    "resid_mid": "attention and MLP stand side by side",
    "mlp_normalized": "the MLP reads the stream itself",
}


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


@pytest.mark.parametrize("architecture", SAES)
def test_saes_of_a_type_work_at_every_kind_of_site(
    any_family, architecture, load_tiny, make_run, sae_folder
):
    model = load_tiny(any_family)
    folders = [
        sae_folder(f"{kind}.1", architecture, d_in=model.width(Site(1, kind)), **SAES[architecture])
        for kind in model.site_kinds
    ]
    outcome(run_with(make_run(model, "resid_pre.1"), folders))


@pytest.mark.parametrize("architecture", TRANSCODERS)
def test_transcoders_work(any_family, architecture, load_tiny, make_run, transcoder_folder):
    model = load_tiny(any_family)
    folders = [
        transcoder_folder(f"{kind}.{layer}", f"mlp_out.{layer}", architecture)
        for layer, kind in enumerate(READS)
        if kind in model.site_kinds
    ]
    outcome(run_with(make_run(model, "resid_pre.1"), folders))


def test_a_site_that_a_family_has_not_is_refused(any_family, load_tiny, make_run, sae_folder):
    model = load_tiny(any_family)
    like = make_run(model, "resid_pre.1")
    for kind in set(KINDS) - set(model.site_kinds):
        with pytest.raises(
            InputError, match=r"has no site .* (side by side|read the stream itself)"
        ):
            run_with(like, [sae_folder(f"{kind}.1", "topk")])


def run_with(like, folders):
    """The first pair of a run, with other SAEs."""
    saes = load_saes([str(folder) for folder in folders])
    return PairedRun(like.model, saes, like.pairs[:1], like.metric)


def test_the_table_in_the_docs_is_what_was_tested(load_tiny):
    text = table(load_tiny)
    if os.environ.get("WRITE_SUPPORT"):
        DOCS.write_text(text)
    assert DOCS.read_text() == text


def table(load_tiny):
    """The document."""
    lines = [
        *("# What is supported", ""),
        "Written by `WRITE_SUPPORT=1 python -m pytest tests/families/test_support.py`. It runs",
        "every combination on tiny models with random weights: scores of every composite",
        f"({', '.join(composites)}) and exact patching. Everything below works with",
        "everything else, but for what says *no*.",
        "",
        "| family | rules fire at, in each block: norm, activation, gate, attention | sites |",
        "| :--- | :--- | :--- |",
    ]
    for name in sorted(families):
        model = load_tiny(name)
        counts = ", ".join(str(count) for count in per_block(model))
        missing = [kind for kind in KINDS if kind not in model.site_kinds]
        no = "".join(f"; no {kind}: {WHY_NOT[kind]}" for kind in missing)
        lines.append(f"| {name} | {counts} | {', '.join(model.site_kinds)}{no} |")
    lines += [
        "",
        "The final norm comes on top, and Gemma 2's soft cap of the logits is one more activation.",
        "Mixtures of experts are refused: the rules do not reach router and experts.",
        "",
        "| SAE of SAELens | sites |",
        "| :--- | :--- |",
        *(f"| {name} | all of the family |" for name in SAES),
        "| BatchTopK, Matryoshka | as saved after training (JumpReLU); checkpoints: see saes.md |",
        *(f"| {name} | reads {' or '.join(READS)}, writes at mlp_out |" for name in TRANSCODERS),
        "| temporal | no: it has no linear decoder |",
        "| cross-layer transcoder | no: a feature writes at all later layers |",
        "",
        "bfloat16: estimates work, truths refuse it: 8 bits do not hold an effect.",
    ]
    return "\n".join(lines) + "\n"


def per_block(model):
    """How many places of each role the second block has."""
    prefix = f"{model.family.blocks}.1."
    for role in (Role.NORM, Role.ACTIVATION, Role.GATE, Role.ATTENTION):
        yield sum(place.name.startswith(prefix) for place in model.places(role))
