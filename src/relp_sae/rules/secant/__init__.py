"""The secant rules: exact slopes between two runs instead of slopes at one point.

Runs of equal length stand in one batch as paths of a number of rows each, and a row's slope is
taken between the row before it on its path and itself; the first row of a path keeps its true
slope. Every step is then exact: what the slopes predict for the change from one row to the next is
the change that the model computes. So the scores of everything that passes through a cut of the
network sum to the change of the metric.

DeepLIFT's Rescale rule (Shrikumar et al. 2017, arXiv 1704.02685), carried through products, norms
and attention by exact identities: d(gu) = dg mean(u) + mean(g) du, and for softmax the
logarithmic mean.
"""

from relp_sae.rules.secant import activation, attention, gate, norm

__all__ = ["activation", "attention", "gate", "norm"]
