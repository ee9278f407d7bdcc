"""The embedded model cut to its first blocks: as wide, and quick enough for many long prompts."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workload import MODEL

import relp_sae as rs


@contextmanager
def shortened(blocks: int) -> Iterator[str]:
    """Inside the context the folder of such a model is there. With 0 it is the whole model."""
    if not blocks:
        yield MODEL
        return
    model = rs.load_model(MODEL)
    model.hf.model.layers = model.hf.model.layers[:blocks]
    model.hf.config.num_hidden_layers = blocks
    with tempfile.TemporaryDirectory(prefix="relp-sae-benchmark-") as folder:
        model.hf.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)
        del model  # the measured process has its own
        yield str(Path(folder))
