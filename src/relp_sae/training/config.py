"""What decides a trained SAE."""

import shlex
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class TrainingConfig:
    """One training run; equal configs on equal machines give equal weights.

    ``width`` is the number of features, or a multiple of the site's width such as ``8x``. ``k``
    or ``l1`` says how sparse, by the architecture (None: its default). ``tokens`` is what the SAE
    is trained on, ``held_out_tokens`` what its quality is measured on. ``buffer`` activations at
    a time are shuffled. ``autocast`` is the type of matrix products; stream and weights stay as
    they are.
    """

    model: str
    site: str
    data: str
    held_out: str
    arch: str = "topk"
    width: str = "8x"
    k: int | None = None
    l1: float | None = None
    tokens: int = 2_000_000
    held_out_tokens: int = 25_000
    context: int = 128
    batch: int = 1024
    buffer: int = 131_072
    lr: float = 1e-3
    seed: int = 0
    autocast: str = "float32"

    @property
    def command(self) -> str:
        """The command line that makes this SAE, less ``--out``, ``--device`` and permissions."""
        options = {("batch_size" if key == "batch" else key): v for key, v in asdict(self).items()}
        words = [
            f"--{name.replace('_', '-')} {shlex.quote(str(value))}"
            for name, value in options.items()
            if value is not None
        ]
        return " ".join(["relp-sae train-sae", *words])
