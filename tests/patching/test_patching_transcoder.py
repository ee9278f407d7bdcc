"""A transcoder's units: their steps, their exact effects and their estimates.

Against SAELens' own object and plain hooks on Hugging Face's MLP: its input is what is read, its
output (behind a norm, where the family has one there) what is written.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from relp_sae.attribution import attribute
from relp_sae.patching import engines, patch
from relp_sae.records import ERROR_UNIT, Site
from relp_sae.run.quality import sae_quality
from relp_sae.saes import load_saes

ARCHITECTURES = (
    "transcoder",
    "skip_transcoder",
    "jumprelu_transcoder",
    "jumprelu_skip_transcoder",
)
READS, WRITES = Site(1, "mlp_in"), Site(1, "mlp_out")
TOLERANCE = {"gpt2": 1e-10, "llama": 1e-5}
"""Over the largest score; Hugging Face's Llama computes norms and softmax in float32."""


@pytest.fixture(params=ARCHITECTURES)
def run(request, tiny_run, transcoder_folder, family):
    """Two pairs and a transcoder from the second MLP's input to its output."""
    pairs = ((5, (2,)), (4, (1, 3)))
    like = tiny_run(family, Site(1, "resid_pre"), dtype="float64", pairs=pairs)
    folder = transcoder_folder("mlp_in.1", "mlp_out.1", request.param)
    return replace(like, dictionaries=load_saes(str(folder), dtype="float64"))


def through_the_mlp(run, ids, pos=0, vector=0.0, leaf=None):
    """The MLP's input and output (pos, d_model) and last logits, with an addition to the output."""
    mlp, seen = run.model.in_block(1, run.model.family.mlp), []

    def hook(_module, args, out):
        seen.extend((args[0][0].detach(), out[0].detach()))
        if leaf is not None:
            return out + leaf
        out = out.clone()
        out[:, pos] += vector
        return out

    handle = mlp.register_forward_hook(hook)
    try:
        logits = run.model.hf(input_ids=torch.tensor([ids])).logits[0, -1]
    finally:
        handle.remove()
    return *seen, logits


def written_out(run, pair):
    """The pair's units, their steps by the definition, and both runs' MLP outputs."""
    prompts, ((_, dictionary),) = run.pairs[pair], run.dictionaries.items()
    sae = dictionary.sae
    (in_clean, out_clean, _), (in_corrupted, out_corrupted, _) = (
        through_the_mlp(run, ids) for ids in (prompts.clean_ids, prompts.corrupted_ids)
    )
    with torch.no_grad():
        features = sae.encode(in_clean) - sae.encode(in_corrupted)
        error = (out_clean - out_corrupted) - features @ sae.W_dec
        units = {
            (pos, feature): features[pos, feature] * sae.W_dec[feature]
            for pos, feature in features.nonzero().tolist()
            if pos >= prompts.first_change
        }
    units |= {(pos, ERROR_UNIT): error[pos] for pos in range(prompts.first_change, len(error))}
    return units, out_clean, out_corrupted


def test_units_are_features_of_the_input_and_steps_of_the_output(run):
    for pair in run.kept:
        expected, out_clean, out_corrupted = written_out(run, pair)
        (steps,) = run.steps(pair)
        keys = list(zip(steps.pos.tolist(), steps.feature.tolist(), strict=True))
        assert (steps.site, set(keys)) == (WRITES, set(expected))
        vectors = torch.stack([expected[key] for key in keys])
        torch.testing.assert_close(steps.vector, vectors, rtol=0, atol=1e-10)
        summed = torch.zeros_like(out_clean).index_add(0, steps.pos, steps.vector)
        start = run.pairs[pair].first_change
        change = (out_clean - out_corrupted)[start:]
        torch.testing.assert_close(summed[start:], change, rtol=0, atol=1e-10)
        length = out_corrupted[steps.pos].norm(dim=-1)
        torch.testing.assert_close(steps.relative, vectors.norm(dim=-1) / length)


def test_a_skip_connection_is_part_of_the_error_unit(run):
    """Without it the error would be smaller by what W_skip makes of the change of the input."""
    ((_, dictionary),) = run.dictionaries.items()
    sae, pair = dictionary.sae, run.kept[0]
    prompts = run.pairs[pair]
    (in_clean, out_clean, _), (in_corrupted, out_corrupted, _) = (
        through_the_mlp(run, ids) for ids in (prompts.clean_ids, prompts.corrupted_ids)
    )
    with torch.no_grad():
        unexplained = (out_clean - sae(in_clean)) - (out_corrupted - sae(in_corrupted))
    (steps,) = run.steps(pair)
    errors = steps.feature == ERROR_UNIT
    skipped = steps.vector[errors] - unexplained[steps.pos[errors]]
    weight = getattr(sae, "W_skip", torch.zeros(32, 32, dtype=torch.float64))
    expected = (in_clean - in_corrupted)[steps.pos[errors]] @ weight.T
    torch.testing.assert_close(skipped, expected, rtol=0, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize("truth", ["denoise", "noise"])
def test_effects_are_those_of_full_passes_with_a_hook(run, family, truth):
    measured = patch(run, truth)
    units, sign = measured.units, 1 if truth == "denoise" else -1
    expected = []
    steps_of = {pair: written_out(run, pair)[0] for pair in run.kept}
    for pair, pos, feature in zip(units.pair, units.pos, units.feature, strict=True):
        prompts = run.pairs[pair]
        ids = prompts.corrupted_ids if truth == "denoise" else prompts.clean_ids
        step = sign * steps_of[pair][int(pos), int(feature)]
        change = through_the_mlp(run, ids, int(pos), step)[2] - through_the_mlp(run, ids)[2]
        expected.append(sign * (change[prompts.answer] - change[prompts.foil]).item())
    largest = np.abs(expected).max()
    assert largest > 1e-2
    np.testing.assert_allclose(measured.score, expected, rtol=0, atol=TOLERANCE[family] * largest)
    reference = patch(run, truth, engine="reference").score
    np.testing.assert_allclose(measured.score, reference, rtol=0, atol=TOLERANCE[family] * largest)


@pytest.mark.parametrize("base", ["corrupted", "clean"])
def test_gradient_scores_are_steps_times_the_slope_where_it_writes(run, family, base):
    scores = attribute(run, "gradient", base=base)
    for pair in run.kept:
        prompts = run.pairs[pair]
        ids = prompts.clean_ids if base == "clean" else prompts.corrupted_ids
        leaf = torch.zeros(1, len(ids), 32, dtype=torch.float64, requires_grad=True)
        logits = through_the_mlp(run, ids, leaf=leaf)[2]
        (slope,) = torch.autograd.grad(logits[prompts.answer] - logits[prompts.foil], leaf)
        units, out_clean, out_corrupted = written_out(run, pair)
        here = scores.units.pair == pair
        keys = zip(
            scores.units.pos[here].tolist(), scores.units.feature[here].tolist(), strict=True
        )
        expected = np.array([(units[key] @ slope[0, key[0]]).item() for key in keys])
        tolerance = TOLERANCE[family] * np.abs(expected).max()
        np.testing.assert_allclose(scores.score[here], expected, rtol=0, atol=tolerance)
        start = prompts.first_change
        whole = (slope[0] * (out_clean - out_corrupted))[start:].sum().item()
        assert scores.score[here].sum() == pytest.approx(whole, abs=10 * tolerance)


@pytest.mark.usefixtures("float64_throughout")
def test_all_that_is_written_moved_at_once_is_the_mlps_output_moved(run, tiny_run, family):
    """Shapley effects sum to the effect of the whole change, as with an SAE at mlp_out."""
    like = tiny_run(family, WRITES, dtype="float64")
    sums = []
    for one in (run, replace(like, pairs=run.pairs)):
        scores = patch(one, "shapley", permutations=4)
        sums.append([scores.score[scores.units.pair == pair].sum() for pair in one.kept])
    np.testing.assert_allclose(*sums, rtol=0, atol=1e-9)
    assert np.abs(sums[0]).max() > 1e-2


@torch.no_grad()
def test_quality_counted_out(run):
    """L0 of what is read, variance explained of what is written, the MLP replaced by it."""
    ((_, dictionary),) = run.dictionaries.items()
    sae, counts, outs, errors, metrics = dictionary.sae, [], [], [], []
    for pair in run.kept:
        prompts = run.pairs[pair]
        start = prompts.first_change
        for ids in (prompts.clean_ids, prompts.corrupted_ids):
            read, out, _ = through_the_mlp(run, ids)
            counts += (sae.encode(read[start:]) != 0).sum(-1).tolist()
            outs.append(out[start:])
            errors.append((out - sae(read))[start:])
        read, out, _ = through_the_mlp(run, prompts.clean_ids)
        change = sae(read) - out
        change[:start] = 0
        logits = through_the_mlp(run, prompts.clean_ids, leaf=change)[2]
        metrics.append((logits[prompts.answer] - logits[prompts.foil]).item())
    quality, out = sae_quality(run, WRITES), torch.cat(outs)
    assert quality.reads == "mlp_in.1"
    assert quality.l0 == pytest.approx(np.mean(counts))
    share = torch.cat(errors).square().sum() / (out - out.mean(0)).square().sum()
    assert quality.explained_variance == pytest.approx(1 - share.item())
    assert quality.spliced_clean_metric == pytest.approx(np.mean(metrics), abs=1e-4)
    assert quality.spliced_clean_metric != pytest.approx(quality.clean_metric, abs=1e-2)


@pytest.mark.usefixtures("float64_throughout")
def test_engines_agree_with_saes_and_transcoders_together(
    load_tiny, tiny_run, transcoder_folder, sae_folder, any_family
):
    """Units of both, at sites of several kinds, in packs together."""
    model, wide = load_tiny(any_family, "float64"), load_tiny(any_family).width(Site(1, "z"))
    reads = "resid_mid.1" if "resid_mid" in model.site_kinds else "resid_pre.1"
    folders = [
        sae_folder("z.1", d_in=wide, reshape_activations="hook_z"),
        transcoder_folder(reads, "mlp_out.1", "skip_transcoder"),
        transcoder_folder("z.0", "attn_out.0", d_in=wide),
        sae_folder("resid_pre.2"),
    ]
    like = tiny_run(any_family, Site(1, "resid_pre"), dtype="float64", pairs=((6, (2, 4)),))
    saes = load_saes(map(str, folders), dtype="float64")
    run = replace(like, dictionaries=saes)
    assert [str(site) for site in run.sites] == ["attn_out.0", "z.1", "mlp_out.1", "resid_pre.2"]
    packed, reference = (patch(run, "denoise", engine=name).score for name in engines)
    largest = np.abs(reference).max()
    assert largest > 1e-2
    np.testing.assert_allclose(packed, reference, rtol=0, atol=1e-10 * largest)
