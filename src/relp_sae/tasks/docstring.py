"""Docstring: which argument is described next?

    def port(self, load, size, file, last):
        \"""oil column piece

        :param load: crime population
        :param size: dark river
        :param  ->  " file", not " last"

The longest prompts of the built-in tasks. The model has to find the first two arguments again in
the definition and go on with the third. The counterfactual swaps the third and the fourth argument
in the definition, so that the foil becomes right: two tokens change.

Source: Heimersheim and Janiak 2023, "A circuit for Python docstrings in a 4-layer attention-only
transformer"; they replace names by others at random, which leaves no right answer.
"""

import random

from transformers import PreTrainedTokenizerBase

from relp_sae.records.pairs import PromptPair
from relp_sae.tasks.docstring_words import ARGUMENTS, FUNCTIONS, WORDS
from relp_sae.tasks.drawing import draw, one_token, paired
from relp_sae.tasks.task import tasks

TEMPLATE = '''def {function}(self, {first}, {second}, {third}, {fourth}):
    """{summary}

    :param {first}: {about_first}
    :param {second}: {about_second}
    :param'''


@tasks.register("docstring")
def docstring(tokenizer: PreTrainedTokenizerBase, n: int, seed: int) -> list[PromptPair]:
    """The argument that a docstring describes next; two arguments of the definition are swapped."""
    task = "docstring"
    known = one_token(task, tokenizer, ARGUMENTS, 4, "names of arguments")
    rng = random.Random(seed)
    pairs = []
    for function, first in draw(task, rng, n, (FUNCTIONS, known)):
        second, third, fourth = rng.sample([name for name in known if name != first], 3)
        words = rng.sample(WORDS, 7)
        frame = {
            **{"function": function, "first": first, "second": second},
            **{"summary": " ".join(words[:3])},
            **{"about_first": " ".join(words[3:5]), "about_second": " ".join(words[5:])},
        }
        clean = TEMPLATE.format(third=third, fourth=fourth, **frame)
        corrupted = TEMPLATE.format(third=fourth, fourth=third, **frame)
        right = (third, fourth)
        pairs.append(paired(tokenizer, clean, corrupted, right, inside=right))
    return pairs
