"""What decides a trained SAE."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingConfig:
    """One training run; equal configs on equal machines give equal weights.

    ``width`` is d_sae / d_in; ``autocast`` is the type of the matrix products of the language
    model's forward pass, whose residual stream stays in float32; ``tokens`` is what the SAE is
    trained on, ``held_out_tokens`` what its quality is measured on.
    """

    model: str
    site: str
    data: str
    held_out: str
    arch: str = "topk"
    width: int = 8
    k: int = 48
    tokens: int = 2_000_000
    held_out_tokens: int = 50_000
    context: int = 128
    batch: int = 1024
    lr: float = 6e-4
    seed: int = 0
    autocast: str = "float32"

    @property
    def command(self) -> str:
        """The command line that makes this SAE."""
        return (
            f"relp-sae train-sae --model {self.model} --site {self.site} --arch {self.arch} "
            f"--width {self.width} --k {self.k} --tokens {self.tokens} --data {self.data} "
            f"--held-out {self.held_out} --held-out-tokens {self.held_out_tokens} "
            f"--context {self.context} --batch-size {self.batch} --lr {self.lr} "
            f"--seed {self.seed} --autocast {self.autocast}"
        )
