"""The reference engine: a full forward pass of the model for every run, steps added by hooks.

Plain and obviously right, and the oracle of the packed engine's tests.
"""

from collections.abc import Sequence

import torch

from relp_sae.models import at_sites
from relp_sae.patching.engine import Changes, engines
from relp_sae.patching.interventions import Interventions, Rows
from relp_sae.patching.memory import longest_batch
from relp_sae.run import PairedRun
from relp_sae.saes import HeldErrors


class ReferenceEngine:
    """Whole prompts, batched; nothing is restarted, kept or left out.

    Error terms that are held are those of the unchanged run, row 0 of each batch.
    """

    holds_errors = True

    def changes(self, run: PairedRun, interventions: Sequence[Interventions]) -> list[Changes]:
        """See `Engine`."""
        return [self._changes(run, one) for one in interventions]

    def _changes(self, run: PairedRun, one: Interventions) -> Changes:
        length = len(run.pairs[one.pair].clean_ids)
        found = torch.zeros(len(one.starts), dtype=torch.float64)
        batch = max(1, longest_batch(run, length) // length - 1)
        for start in one.starts[one.starts < length].unique().tolist():
            for rows in (one.starts == start).nonzero()[:, 0].split(batch):
                found[rows] = self._batch(run, one, start, rows)
        return found.numpy()

    @torch.no_grad()
    def _batch(self, run: PairedRun, one: Interventions, start: int, rows: Rows) -> torch.Tensor:
        prompts = run.pairs[one.pair]
        ids = run.model.token_ids(prompts.clean_ids if one.from_clean else prompts.corrupted_ids)
        steps = one.added(rows)
        # Row 0 is the unchanged run, so that both terms come from the same computation.
        added = steps.new_zeros(1 + len(rows), ids.shape[1], steps.shape[2])
        added[1:, start : start + steps.shape[1]] = steps
        held = HeldErrors(run.held(one.site), hold=lambda _site, error: error[:1])
        with at_sites(run.model, held.beside({one.site: lambda _x: added})):
            logits = run.model.last_logits(ids.expand(len(added), -1))
        values = run.metric_of(one.pair, logits).double().cpu()
        return values[1:] - values[0]


engines.register("reference")(ReferenceEngine)
