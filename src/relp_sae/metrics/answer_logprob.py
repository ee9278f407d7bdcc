"""How likely the answer is among all tokens."""

from relp_sae.metrics import metrics
from relp_sae.metrics.metric import Metric
from relp_sae.tensors import Logits, PerExample, TokenIds


def answer_logprob(logits: Logits, answer: TokenIds, foil: TokenIds) -> PerExample:  # noqa: ARG001
    """log softmax(logits)[answer]. The foil plays no part.

    Shapes: logits ``(batch, vocab)`` at the last position, answer and foil ``(batch,)``; one
    number per example. Unit: nats. Sign: never positive; nearer to 0 is a likelier answer.
    Source: the negated cross-entropy of the answer, the loss of a language model.
    """
    return logits.log_softmax(dim=1).gather(1, answer[:, None]).squeeze(1)


metrics.register("answer_logprob")(Metric(answer_logprob, reads="vocabulary"))
