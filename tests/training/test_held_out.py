"""Held-out text stays out of training, and is as much as was asked for."""

import gzip
import json
from dataclasses import replace

import pytest
import torch

from relp_sae.errors import InputError
from relp_sae.training import train_sae
from relp_sae.training.held_out import read_held_out
from relp_sae.training.text import documents, pack


def test_the_first_tokens_are_held_out(gpt2_model, config, contexts):
    held_out = read_held_out(gpt2_model, config)
    assert torch.equal(torch.cat(held_out.contexts), torch.cat(contexts[:20]))


def test_documents_that_are_held_out_are_not_trained_on(gpt2_model, config):
    held_out = read_held_out(gpt2_model, config)
    every = list(documents(config.data, gpt2_model, 0))
    left = list(held_out.others(iter(every)))
    # Twenty contexts of sixteen tokens are of the first documents, which pack to no fewer.
    first = len(held_out.documents)
    assert set(left).isdisjoint(every[:first])
    assert len(list(pack(iter(every[: first - 1]), gpt2_model.tokenizer, config.context))) < 20
    assert len(left) >= len(every) - 2 * first


def test_held_out_text_in_the_training_file_changes_nothing(gpt2_model, config, text, tmp_path):
    """The quality of an SAE is the same whether or not its training text repeats the held-out."""
    held_out = read_held_out(gpt2_model, config)
    with gzip.open(text, "rt") as file:
        lines = [line for line in file if json.loads(line)["text"] not in held_out.documents]
    apart = tmp_path / "apart.jsonl"
    apart.write_text("".join(lines))
    one = train_sae(gpt2_model, config, tmp_path / "same-source")
    assert one == train_sae(gpt2_model, replace(config, data=str(apart)), tmp_path / "apart")


def test_too_little_held_out_text_is_refused(gpt2_model, config, tmp_path):
    with pytest.raises(InputError, match=r"has \d+ contexts of 16 tokens, fewer than the 99,999"):
        train_sae(gpt2_model, replace(config, held_out_tokens=99_999), tmp_path / "sae")
    assert list(tmp_path.iterdir()) == []
