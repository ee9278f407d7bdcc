"""The toy model and its SAE are what the pipeline tests take them for."""

import json
import re

import pytest
import torch

from relp_sae.saes import reconstructed
from relp_sae.tasks import tasks
from relp_sae.tasks.ioi_words import NAMES
from relp_sae.tasks.loading import load_task


@torch.no_grad()
def last_logits(model, prompts):
    """Last logits (n, vocab) of prompts of any lengths, those of one length together."""
    logits = torch.empty(len(prompts), model.config.vocab_size)
    lengths = torch.tensor([len(ids) for ids in prompts])
    for length in lengths.unique():
        rows = (lengths == length).nonzero()[:, 0]
        logits[rows] = model.last_logits(torch.tensor([prompts[row] for row in rows]))
    return logits


@pytest.fixture(scope="module")
def sentences(toy_ioi_model, toy_ioi_training):
    """Pairs of names that never stood together in training."""
    made = tasks["ioi"](toy_ioi_model.tokenizer, n=6000, seed=3)
    return [pair for pair in made if toy_ioi_training.is_held_out(pair)]


def test_solves_ioi_on_names_never_seen_together(toy_ioi_model, sentences):
    assert len(sentences) > 500
    tokenizer = toy_ioi_model.tokenizer
    names = torch.tensor([tokenizer.convert_tokens_to_ids(f" {name}") for name in NAMES])
    assert len(names.unique()) == len(NAMES)
    assert tokenizer.unk_token_id not in names
    logits = last_logits(toy_ioi_model, [pair.clean_ids for pair in sentences])
    answers = torch.tensor([pair.answer for pair in sentences])[:, None]
    foils = torch.tensor([pair.foil for pair in sentences])[:, None]
    assert (logits.gather(1, answers) > logits.gather(1, foils)).float().mean() > 0.98
    assert (names[logits[:, names].argmax(1)] == answers[:, 0]).float().mean() > 0.98


def test_follows_the_giver_when_it_is_flipped(toy_ioi_model, sentences):
    """The corrupted prompt of a pair has the other answer, and the model says it."""
    logits = last_logits(toy_ioi_model, [pair.corrupted_ids for pair in sentences])
    foils = torch.tensor([pair.foil for pair in sentences])
    assert (logits.argmax(1) == foils).float().mean() > 0.98


def test_is_small(toy_ioi_training):
    folders = toy_ioi_training.MODEL, toy_ioi_training.SAE
    sizes = {
        f"{path.parent.name}/{path.name}": path.stat().st_size
        for folder in folders
        for path in folder.iterdir()
    }
    assert sizes["model/model.safetensors"] < 1_000_000
    assert sizes["sae/sae_weights.safetensors"] < 200_000
    assert sum(sizes.values()) < 1_200_000


def test_the_tokenizer_is_the_one_that_the_script_makes(toy_ioi_model, toy_ioi_training):
    """If the task's words change, the toy must be trained anew: python tests/toy_ioi/train.py"""
    made = toy_ioi_training.make_tokenizer()
    assert toy_ioi_model.tokenizer.get_vocab() == made.get_vocab()
    pairs = tasks["ioi"](toy_ioi_model.tokenizer, n=50, seed=1)
    unknown = toy_ioi_model.tokenizer.unk_token_id
    assert not any(unknown in pair.clean_ids for pair in pairs)
    assert {pair.clean_ids[0] for pair in pairs} == {toy_ioi_model.tokenizer.bos_token_id}


def test_the_sae_explains_its_site(toy_ioi_model, toy_ioi_saes, sentences):
    ((_, sae),) = toy_ioi_saes.items()
    wrong = []
    for pair in sentences[:40]:
        ids = torch.tensor([pair.clean_ids])
        with torch.no_grad(), reconstructed(toy_ioi_model, sae, start=1):
            logits = toy_ioi_model.last_logits(ids)[0]
        wrong.append(logits[pair.answer] < logits[pair.foil])
    assert sum(wrong) <= 2


def test_the_sae_is_sparse_and_alive(toy_ioi_run, toy_ioi_training):
    ((site, sae),) = toy_ioi_run.dictionaries.items()
    x = torch.cat([seen.clean[site][1:] for seen in toy_ioi_run.activations])
    active = sae.encode(x).features != 0
    assert (active.sum(1) <= toy_ioi_training.K).all()
    assert active.any(0).float().mean() > 0.5
    rest = x - sae.decode(sae.encode(x))
    assert rest.square().sum() < 0.15 * (x - x.mean(0)).square().sum()


def test_pairs_can_come_from_a_file(toy_ioi_model, tmp_path):
    """Written as text and read back, pairs are the same, so the toy serves tests of files too."""
    made = tasks["ioi"](toy_ioi_model.tokenizer, n=4, seed=2)
    decode = toy_ioi_model.tokenizer.decode
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        "".join(
            json.dumps(
                {
                    "clean": pair.clean,
                    "corrupted": pair.corrupted,
                    "answer": decode([pair.answer]),
                    "foil": decode([pair.foil]),
                }
            )
            + "\n"
            for pair in made
        )
    )
    assert load_task(str(path), toy_ioi_model.tokenizer, n=4, seed=0).pairs == made
    assert all(re.fullmatch(r" [A-Z][a-z]+", decode([pair.answer])) for pair in made)
