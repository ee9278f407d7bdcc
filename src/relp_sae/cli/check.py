"""``relp-sae check``: do the rules do on a model what they say?"""

from typing import Annotated

from typer import Argument

from relp_sae.cli import options


def command(
    model: Annotated[str, Argument(help="Model: smollm2-135m, a Hub id, or a folder.")],
    device: options.Device = "cpu",
    dtype: options.Dtype = "float32",
    allow_pickle: options.AllowPickle = False,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Check a model's family declaration and every composite of rules on it.

    Prints, for each composite: at how many of the model's places each rule fired, whether the
    logits are bit for bit those of the untouched model, and the conserved share: sum(slope * x)
    over the logit, 1 where every nonlinear step has a rule and no layer has a bias. For the
    secant, which compares two prompts, both are changes between them, and the share is 1.
    """
    import torch
    from rich.table import Table

    from relp_sae.cli.terminal import console
    from relp_sae.models import load_model
    from relp_sae.rules import composites
    from relp_sae.rules.inspection import inspect_composite
    from relp_sae.tasks.encoding import encode

    loaded = load_model(
        model,
        device=device,
        dtype=dtype,
        allow_pickle=allow_pickle,
        trust_remote_code=trust_remote_code,
    )
    start = encode(loaded.tokenizer, "")
    prompts = [(*start, *range(5, 13)), (*start, *range(5, 9), *range(14, 18))]
    ids = torch.cat([loaded.token_ids(prompt) for prompt in prompts])
    table = Table(
        "composite", "rules fired / places", "logits", "conserved", title=f"Rules on {model}"
    )
    inspected = {name: inspect_composite(loaded, name, ids) for name in composites}
    for name, seen in inspected.items():
        fired = [
            f"{rule} {fired}/{places} ({role})"
            for role, (rule, fired, places) in seen.audit.items()
        ]
        table.add_row(
            name,
            "\n".join(fired) or "no rule",
            "equal" if seen.same_logits else "[red]differ[/]",
            f"{seen.relevance / seen.logit:.4f}",
        )
    console.print(table)
    for seen in inspected.values():
        seen.require_same_logits()
    console.print(
        f"Family '{loaded.config.model_type}': {loaded.n_layers} layers, d_model {loaded.d_model}; "
        "every declared part ran once a pass and every kind of site moves the logits."
    )
