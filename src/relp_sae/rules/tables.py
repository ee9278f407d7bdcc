"""The composites: each is a table. Linear layers keep their true slope in all of them (0-rule)."""

from relp_sae.rules.composite import Composite, composites

RELP = {"norm": "ln", "activation": "identity", "gate": "half"}

composites.register("gradient")(Composite({}))

# Jafari et al. 2025, arXiv 2508.21258
composites.register("relp")(Composite(RELP))

composites.register("relp-ah")(Composite(RELP | {"attention": "ah"}))

# The slope of every step between the corrupted and the clean run: docs/methods.md
composites.register("secant")(
    Composite({role: f"secant-{role}" for role in ("norm", "activation", "gate", "attention")})
)
