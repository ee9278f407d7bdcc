"""The one error that a user can cause: it says what was expected, what came, and what to do."""


class InputError(ValueError):
    """Bad input from the user. The command line prints its sentence and exits with code 2."""


class RunError(RuntimeError):
    """A check inside a run failed (rule audit, causal check): the figures would not be valid."""
