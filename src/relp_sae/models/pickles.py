"""Pickled weights: how they are known, and what to do about them."""

PICKLES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
"""Endings of files that are read by unpickling."""


def pickle_advice(conversion: str = "") -> str:
    """What to tell whoever has only pickles; ``conversion`` is the Python that makes them safe."""
    or_convert = f", or convert it once: {conversion}" if conversion else ""
    return (
        "Pickles can run code when they are opened. If you trust where it is from, add "
        f"--allow-pickle (allow_pickle=True in Python; only tensors are then read){or_convert}."
    )
