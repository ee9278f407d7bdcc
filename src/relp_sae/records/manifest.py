"""The manifest of a run: what was asked, on what, by which code, and how each stage went."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from relp_sae.records.agreement import EVERYWHERE
from relp_sae.records.scores import Base

FORMAT = 1


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RunConfig(_Record):
    """Everything that decides the figures of a run.

    Two runs of equal config give equal figures, to float rounding: that depends on ``memory``,
    which may change when a stopped run goes on, and on the processor.
    """

    model: str
    units: Literal["features", "nodes"] = "features"
    saes: tuple[str, ...]  # none for nodes
    sites: tuple[str, ...] = ()  # of SAEs that do not say theirs, or to take from releases
    task: str
    n: int | None = Field(default=None, ge=1)  # None: 32 pairs of a task, all of a file
    metric: str = "logit_diff"
    methods: tuple[str, ...]
    truths: tuple[str, ...]
    base: Base
    error_term: str = "pass-through"  # of later SAEs, when a unit of an earlier one is changed
    seed: int = Field(ge=0)
    device: str
    dtype: str
    engine: str = "packed"
    memory: int | None = Field(default=None, ge=1)  # bytes beside the weights; None: found
    bootstrap: int = Field(ge=100)
    skip_bad: bool = False
    permutations: int = Field(default=16, ge=4)  # the most per pair and site, for shapley
    tolerance: float = Field(default=0.1, ge=0)  # shapley stops at this noise share
    curves: bool = False
    scales: tuple[float, ...] = ()  # of the sweep t * delta; none: no sweep
    set_sizes: tuple[int, ...] = ()  # of units patched together; 0 is all of them
    verify: int = Field(default=0, ge=0)  # units of a certificate
    allow_pickle: bool = False  # weights that are read by unpickling
    trust_remote_code: bool = False  # code that comes with the model
    allow_other_model: bool = False  # SAEs that were trained on another model


class FoundUnits(_Record):
    """Which units a run found. The pieces of its scores hold a number a unit in their order."""

    count: int
    sha256: str


class PrimaryContrast(_Record):
    """The one comparison declared before the run; everything else is secondary."""

    first: str = "relp"
    second: str = "gradient"
    measure: str = "pearson"
    truth: str = "denoise"
    base: Base = "corrupted"
    part: str = EVERYWHERE


class Stage(_Record):
    """One resumable piece of work.

    ``forwards`` and ``backwards`` count the prompts run forward and backward for one pair, where
    that is what the stage costs (None elsewhere).
    """

    status: Literal["running", "done"]
    seconds: float = 0.0
    forwards: int | None = None
    backwards: int | None = None


class Completeness(_Record):
    """Do an estimate's scores, error units included, add up to the whole effect?

    ``largest`` is the largest |sum(scores) - total| / |total| over the kept pairs, where total is
    m(clean) - m(corrupted), and ``median`` the middle one; no unit. Asked at the sites through
    which everything passes (resid_*).
    """

    largest: float
    median: float


class RoleAudit(_Record):
    """How many places a rule fired at, and how many the architecture has."""

    rule: str
    fired: int
    expected: int


class Behaviour(_Record):
    """Does the model do the task at all? Metrics are means over all measured pairs.

    An accuracy is the share of pairs whose answer has a higher logit than the foil, in the clean
    run or the corrupted one. ``dropped`` maps a reason to the number of pairs left out, and
    ``bad_lines`` names the lines of a pairs file that could not be used at all.
    """

    measured: int
    kept: int
    dropped: dict[str, int]
    clean_accuracy: float
    corrupted_accuracy: float
    clean_metric: float
    corrupted_metric: float
    bad_lines: tuple[str, ...] = ()


class SaeQuality(_Record):
    """How good the SAE is *on the pairs used* (both runs, from the first changed token on).

    ``l0`` features per position; ``explained_variance`` 1 - FVU; ``spliced_clean_metric`` the mean
    clean metric when the reconstruction replaces x without the error term; ``error_share`` the
    share of sum(|effect|) that error units carry, for each truth.
    """

    source: str
    reads: str | None = None  # the site; of a transcoder another one than that of its units
    trained_on: str  # the model that its metadata name
    sha256: str
    l0: float
    explained_variance: float
    clean_metric: float
    spliced_clean_metric: float
    error_share: dict[str, float] = {}


class Provenance(_Record):
    """Which code, which weights, which machine."""

    relp_sae: str
    python: str
    platform: str
    packages: dict[str, str]
    model_sha256: str
    inputs_sha256: (
        str  # of the weights of model and SAEs, the pairs and the version of this package
    )
    command: str
    started: str


class Manifest(_Record):
    """``manifest.json`` of a run folder."""

    format: int = FORMAT
    status: Literal["running", "done"] = "running"
    config: RunConfig
    provenance: Provenance
    primary: PrimaryContrast = PrimaryContrast()
    stages: dict[str, Stage] = {}
    behaviour: Behaviour | None = None
    found_units: FoundUnits | None = None
    sae_quality: dict[str, SaeQuality] = {}
    rule_audit: dict[str, dict[str, RoleAudit]] = {}
    completeness: dict[str, dict[str, Completeness]] = {}  # estimate -> site
