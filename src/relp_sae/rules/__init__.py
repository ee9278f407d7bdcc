"""Propagation rules: the same value, another slope; and tables of them."""

from relp_sae.rules.composite import Audit, Composite, composites
from relp_sae.rules.rule import Rule, rules, with_slope_of

__all__ = ["Audit", "Composite", "Rule", "composites", "rules", "with_slope_of"]
