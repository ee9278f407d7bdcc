"""Where each unit stands among the others, with ties, when units count several times."""

from collections.abc import Callable

import numpy as np

from relp_sae.faithfulness.measures import Counts, Scores

Place = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(how many units have a smaller score, how many have this score) -> place, elementwise."""


def placed(scores: Scores, place: Place) -> Callable[[Counts], Scores]:
    """The place of every unit among the units at hand, as a function of the counts.

    Units of equal score get one place. The scores are sorted here, once; the returned function
    takes a time proportional to the number of units.
    """
    levels, level = np.unique(scores, return_inverse=True)

    def places(counts: Counts) -> Scores:
        # Whole numbers: a running sum of integers is several times as fast as one of floats.
        equal = np.bincount(level, counts, minlength=len(levels)).astype(np.int64)
        return place(np.cumsum(equal) - equal, equal)[level]

    return places
