"""The command line: parses, calls, prints. Torch is imported after parsing."""

from relp_sae.cli.app import main

__all__ = ["main"]
