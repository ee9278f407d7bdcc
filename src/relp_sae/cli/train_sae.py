"""``relp-sae train-sae``."""

from pathlib import Path
from typing import Annotated

from typer import Option

from relp_sae.cli import options


def command(
    out: Annotated[Path, Option(help="Folder to make: a SAELens SAE with a model card.")],
    data: Annotated[str, Option(help="Text: a .txt, .jsonl or .jsonl.gz file, or a folder.")],
    held_out: Annotated[str, Option(help="Text that the quality is measured on.")],
    model: Annotated[str, Option(help="Model: smollm2-135m, a Hub id, or a folder.")] = (
        "smollm2-135m"
    ),
    site: Annotated[str, Option(help="Where the SAE reads.")] = "resid_pre.15",
    arch: Annotated[str, Option(help="SAE architecture.")] = "topk",
    width: Annotated[int, Option(min=1, help="Features per dimension of the site.")] = 8,
    k: Annotated[int, Option(min=1, help="Active features per token.")] = 48,
    tokens: Annotated[int, Option(min=1, help="Tokens to train on.")] = 2_000_000,
    held_out_tokens: Annotated[int, Option(min=1, help="Tokens to measure on.")] = 50_000,
    context: Annotated[int, Option(min=8, help="Tokens per context.")] = 128,
    batch_size: Annotated[int, Option(min=1, help="Activations per training step.")] = 1024,
    lr: Annotated[float, Option(min=0.0, help="Learning rate.")] = 6e-4,
    seed: Annotated[int, Option(help="Seed of weights and order.")] = 0,
    device: Annotated[str, Option(help="cpu, cuda, ...")] = "cpu",
    autocast: Annotated[
        str,
        Option(help="Type of the model's matrix products; bfloat16 is faster where supported."),
    ] = "float32",
    allow_pickle: options.AllowPickle = False,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Train an SAE with SAELens' trainer on activations of a model, and measure it.

    Example:

        relp-sae train-sae --site resid_pre.15 --tokens 2000000 \\
            --data train.jsonl.gz --held-out heldout.jsonl.gz --out my-sae
    """
    from relp_sae.models import load_model
    from relp_sae.training import TrainingConfig
    from relp_sae.training import train_sae as train

    config = TrainingConfig(
        model=model,
        site=site,
        data=data,
        held_out=held_out,
        arch=arch,
        width=width,
        k=k,
        tokens=tokens,
        held_out_tokens=held_out_tokens,
        context=context,
        batch=batch_size,
        lr=lr,
        seed=seed,
        autocast=autocast,
    )
    loaded = load_model(
        model, device=device, allow_pickle=allow_pickle, trust_remote_code=trust_remote_code
    )
    train(loaded, config, out)
    print((out / "README.md").read_text(encoding="utf-8"))
