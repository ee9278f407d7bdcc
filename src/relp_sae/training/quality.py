"""How good is an SAE on held-out text?"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice

import torch
from torch import Tensor

from relp_sae.models import LanguageModel, at_sites
from relp_sae.models.products import Products
from relp_sae.saes import Dictionary
from relp_sae.tensors import Resid, Tokens
from relp_sae.training.stream import ordinary

LOGITS = 2**26
"""How many logits stand in memory at once: 256 MiB in float32, and their logarithms beside them."""


@dataclass(frozen=True)
class Quality:
    """Figures on ``tokens`` ordinary tokens (see ``stream.ordinary``) of held-out text.

    ``l0`` active features per token; ``explained_variance`` 1 - sum|x - x_hat|^2 /
    sum|x - mean x|^2; ``dead_fraction`` features that were never active; the cross-entropies, in
    nats per token, of the model as it is, with x_hat in place of x, and with zeros in place of x;
    ``cross_entropy_recovered`` = (zero - spliced) / (zero - clean); ``mean_norm`` of x and
    ``mean_norm_reconstructed`` of x_hat.
    """

    tokens: int
    l0: float
    explained_variance: float
    dead_fraction: float
    cross_entropy: float
    cross_entropy_spliced: float
    cross_entropy_zero: float
    cross_entropy_recovered: float
    mean_norm: float
    mean_norm_reconstructed: float

    def as_dict(self) -> dict[str, int | float]:
        return asdict(self)


@torch.no_grad()
def measure_quality(
    model: LanguageModel, dictionary: Dictionary, contexts: Iterable[Tokens]
) -> Quality:
    """Measure a dictionary on packed contexts of shape (1, context) each."""
    with Products(0).faster(model, slice(None)):
        return _measured(model, dictionary, contexts)


def _measured(model: LanguageModel, dictionary: Dictionary, contexts: Iterable[Tokens]) -> Quality:
    tokens, active, errors, squares, norms, rebuilt_norms = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    total = torch.zeros(dictionary.d_in, dtype=torch.float64)
    fired = torch.zeros(dictionary.d_sae, dtype=torch.bool)
    changes: dict[str, Callable[[Resid], Resid]] = {
        "spliced": lambda x: dictionary.decode(dictionary.encode(x)) - x,
        "zero": lambda x: -x,
    }
    losses = {"clean": 0.0, "spliced": 0.0, "zero": 0.0}
    predicted = 0
    for ids in _together(model, contexts):
        seen: list[Tensor] = []
        losses["clean"] += _loss(model, dictionary, ids, seen.append)
        x = seen[0][ordinary(seen[0], ids, model)]
        code = dictionary.encode(x)
        active += (code.features != 0).sum().item()
        rebuilt = dictionary.decode(code)
        errors += (x - rebuilt).double().square().sum().item()
        squares += x.double().square().sum().item()
        norms += x.norm(dim=-1).sum().item()
        rebuilt_norms += rebuilt.norm(dim=-1).sum().item()
        total += x.double().sum(0).cpu()
        fired |= (code.features != 0).any(0).cpu()
        tokens += len(x)
        for name, change in changes.items():
            losses[name] += _loss(model, dictionary, ids, _ordinary_only(model, ids, change))
        predicted += ids.numel() - len(ids)
    variance = squares - total.square().sum().item() / tokens
    clean, spliced, zero = (losses[name] / predicted for name in ("clean", "spliced", "zero"))
    return Quality(
        tokens=tokens,
        l0=active / tokens,
        explained_variance=1 - errors / variance,
        dead_fraction=1 - fired.float().mean().item(),
        cross_entropy=clean,
        cross_entropy_spliced=spliced,
        cross_entropy_zero=zero,
        cross_entropy_recovered=(zero - spliced) / (zero - clean),
        mean_norm=norms / tokens,
        mean_norm_reconstructed=rebuilt_norms / tokens,
    )


def _together(model: LanguageModel, contexts: Iterable[Tokens]) -> Iterator[Tokens]:
    """Contexts joined into batches, as many as have their logits within ``LOGITS``."""
    waiting = iter(contexts)
    for first in waiting:
        room = max(1, LOGITS // (first.numel() * model.config.vocab_size))
        yield torch.cat([first, *islice(waiting, room - 1)])


def _ordinary_only(
    model: LanguageModel, ids: Tokens, change: Callable[[Resid], Resid]
) -> Callable[[Resid], Resid]:
    """The change at ordinary tokens; the others keep their activation."""
    return lambda x: change(x) * ordinary(x, ids, model)[..., None]


def _loss(
    model: LanguageModel,
    dictionary: Dictionary,
    ids: Tokens,
    addition: Callable[[Tensor], Tensor | None],
) -> float:
    """Summed next-token cross-entropy, in nats, with an addition at the dictionary's site."""
    ids = ids.to(model.device)
    with at_sites(model, {dictionary.site: addition}):
        logits = model.hf(input_ids=ids, use_cache=False).logits
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="sum"
    ).item()
