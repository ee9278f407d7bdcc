"""How strongly the answer is preferred to the foil."""

from relp_sae.metrics import metrics
from relp_sae.metrics.metric import Metric
from relp_sae.tensors import Logits, PerExample, TokenIds


def logit_diff(logits: Logits, answer: TokenIds, foil: TokenIds) -> PerExample:
    """logit(answer) - logit(foil), which is also the difference of their log-probabilities.

    Shapes: logits ``(batch, vocab)`` at the last position, answer and foil ``(batch,)``; one
    number per example. Unit: logits. Sign: positive where the model prefers the answer.
    Source: Wang et al. 2022 (arXiv 2211.00593), section 2.
    """
    answers = logits.gather(1, answer[:, None])
    foils = logits.gather(1, foil[:, None])
    return (answers - foils).squeeze(1)


metrics.register("logit_diff")(Metric(logit_diff, reads="contrast"))
