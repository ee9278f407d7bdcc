"""What a run may measure beside single features: whole nodes, Shapley effects, curves, regimes."""

from pathlib import Path

import numpy as np
import pytest

from relp_sae.errors import InputError
from relp_sae.experiment import run_experiment
from relp_sae.records import EVERYWHERE, WHOLE_NODE


@pytest.fixture(scope="module")
def nodes(config, tmp_path_factory):
    """A finished run on whole nodes, of every layer."""
    asked = {"methods": ("gradient", "relp", "secant", "random"), "saes": (), "units": "nodes"}
    config = config.model_copy(update=asked | {"truths": ("denoise",)})
    return run_experiment(config, tmp_path_factory.mktemp("n") / "run")


@pytest.fixture(scope="module")
def features(config, tmp_path_factory):
    """A finished run on SAE features with curves, a sweep, sets and certificates."""
    more = {"scales": (0.5, 1.0), "set_sizes": (1, 4, 0), "curves": True, "verify": 24}
    methods = ("gradient", "secant", "secant:2")
    truths = ("denoise", "noise", "shapley")
    return run_experiment(
        config.model_copy(update={"methods": methods, "truths": truths} | more),
        tmp_path_factory.mktemp("f") / "run",
    )


def test_nodes_are_all_of_x_at_every_layer(nodes):
    manifest, scores = nodes.read_manifest(), nodes.read_scores()
    units = scores[0].units
    assert (units.feature == WHOLE_NODE).all()
    sites = {
        f"{kind}.{layer}" for kind in ("resid_pre", "attn_out", "mlp_out") for layer in (0, 1, 2)
    }
    assert set(units.site) == sites
    assert manifest.sae_quality == {}
    parts = {one.part for one in nodes.read_findings().agreements}
    assert parts == {EVERYWHERE, "resid_pre", "attn_out", "mlp_out"}


def test_the_manifest_says_how_well_scores_add_up_and_what_they_cost(nodes):
    manifest = nodes.read_manifest()
    assert set(manifest.completeness["secant"]) == {f"resid_pre.{layer}" for layer in range(3)}
    assert all(one.largest < 1e-4 for one in manifest.completeness["secant"].values())
    assert manifest.completeness["gradient@corrupted"]["resid_pre.0"].largest > 1e-2
    stages = manifest.stages
    assert (stages["secant"].forwards, stages["secant"].backwards) == (2, 2)
    assert (stages["random"].forwards, stages["random"].backwards) == (0, 0)
    assert stages["denoise"].forwards is None


def test_tables_agree_with_the_scores(features):
    """Scale 1 and sets of one unit are the denoising effect, measured in other ways."""
    by_name = {one.label: one for one in features.read_scores()}
    denoise = by_name["denoise"]
    sweep = features.read_table("sweep")
    whole = sweep[sweep["scale"] == 1.0]
    np.testing.assert_allclose(whole["effect"], denoise.score, atol=1e-6)
    sets = features.read_table("sets")
    alone = sets[(sets["size"] == 1) & (sets["estimate"] == "secant")]
    for _, row in alone.iterrows():
        here = (denoise.units.pair == row["pair"]) & np.isclose(
            by_name["secant"].score, row["predicted"], rtol=1e-9
        )
        assert np.abs(denoise.score[here] - row["effect"]).min() < 1e-4
    everything = sets[(sets["size"] == 0) & (sets["estimate"] == "secant")]
    np.testing.assert_allclose(everything["predicted"], everything["effect"], rtol=1e-4)


def test_findings_hold_every_statistic(features):
    findings = features.read_findings()
    assert {one.truth for one in findings.ceilings} == {"denoise", "noise", "shapley"}
    assert {one.direction for one in findings.curves} == {"sufficiency", "necessity"}
    assert {"denoise", "secant", "gradient@clean"} <= {one.ranking for one in findings.curves}
    regimes = {one.regime for one in findings.regimes}
    assert {"relative step", "scale", "set size"} <= regimes
    primary = next(one for one in findings.contrasts if one.primary)
    assert (primary.first, primary.second, primary.truth) == ("relp", "gradient", "denoise")


def test_the_shapley_effects_are_sums_with_their_errors(features):
    (shapley,) = [one for one in features.read_scores() if one.name == "shapley"]
    pairs = features.read_pairs()
    for pair, measured in enumerate(pairs):
        total = measured.clean_metric - measured.corrupted_metric
        here = shapley.units.pair == pair
        assert shapley.score[here].sum() == pytest.approx(total, rel=1e-4)
    assert (shapley.stderr > 0).any()


def test_nodes_take_no_sae(config, tmp_path):
    with pytest.raises(InputError, match="Whole nodes need no SAE"):
        run_experiment(config.model_copy(update={"units": "nodes"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("asked", [{"curves": True}, {"scales": (0.5,)}, {"verify": 16}])
def test_what_intervenes_is_refused_in_bfloat16_before_anything_is_loaded(config, tmp_path, asked):
    half = {"dtype": "bfloat16", "truths": ()}
    with pytest.raises(InputError, match="cannot be measured in bfloat16"):
        run_experiment(config.model_copy(update=half | asked), tmp_path / "run")


def test_pairs_between_which_nothing_differs_are_a_sentence(config, tmp_path, monkeypatch):
    from relp_sae.run import paired_run

    whole = paired_run.pair_steps
    monkeypatch.setattr(
        paired_run, "pair_steps", lambda sae, clean, _other, start: whole(sae, clean, clean, start)
    )
    with pytest.raises(InputError, match="Nothing differs between the two runs of any pair"):
        run_experiment(config, tmp_path / "run")


def test_one_pair_has_figures_and_reasons_for_what_it_has_not(config, tmp_path):
    asked = {"n": 1, "methods": ("gradient", "relp", "secant"), "truths": ("denoise", "shapley")}
    lines = Path(config.task).read_text().splitlines()[:1]
    (tmp_path / "one.jsonl").write_text(lines[0])
    one = config.model_copy(update=asked | {"task": str(tmp_path / "one.jsonl")})
    findings = run_experiment(one, tmp_path / "run").read_findings()
    agreement = next(one for one in findings.agreements if one.measure == "pearson")
    assert np.isfinite(agreement.mean.value)
    assert np.isnan(agreement.mean.low)
    assert "only one usable pair" in agreement.mean.note
    assert all(np.isnan(one.p) for one in findings.contrasts)
