"""The only place where the rooms meet: config -> stages -> records, each stage resumable.

    load -> measure -> one stage per estimate -> one stage per truth -> certificates, curves,
    sweep, sets (those that the config asks for) -> agreement -> report

What a stage finds is kept piece by piece as it is made, so a killed run goes on at the piece where
it stopped and ends with the same figures, to float rounding. On a machine that finds other units it
does not go on.
"""

from relp_sae.experiment.comparing import findings, write_findings
from relp_sae.experiment.describing import describe_features
from relp_sae.experiment.opening import run_experiment

__all__ = ["describe_features", "findings", "run_experiment", "write_findings"]
