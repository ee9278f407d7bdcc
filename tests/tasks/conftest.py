"""Hugging Face tokenizers of the three common kinds, trained here on the words of the tasks."""

import json
import re

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from relp_sae.tasks import country_words, docstring_words, greater_than_words, sva_words
from relp_sae.tasks.docstring import TEMPLATE
from relp_sae.tasks.gendered_pronoun import PRONOUNS, QUALITIES, ROLES
from relp_sae.tasks.ioi_words import NAMES, PLACES, TEMPLATES, THINGS

FRAMES = [
    re.sub(r"{\w+}", "", frame)
    for frame in (
        *(*TEMPLATES, *country_words.FRAMES, TEMPLATE, *sva_words.DETERMINERS),
        "So {name} is a really {quality} {role}, isn't",
        "The {noun} lasted from the year {year} to the year",
        "The {subject} that the {noun} {verb}",
    )
]
COUPLES = (
    *(*sva_words.NOUNS, *sva_words.VERBS, *sva_words.CLAUSE_VERBS, *sva_words.THINGS),
    *country_words.CAPITALS,
)
WORDS = (
    *(*PLACES, *THINGS, *PRONOUNS, *QUALITIES, *ROLES, *sva_words.PREPOSITIONS),
    *(word for couple in COUPLES for word in couple),
    *(*docstring_words.FUNCTIONS, *docstring_words.ARGUMENTS, *docstring_words.WORDS),
    *greater_than_words.NOUNS,
    *map(str, range(1100, 1800)),
)
CORPUS = [*FRAMES * 9, *(f"a {word}" for word in (*NAMES, *WORDS))]


def words(names=NAMES, others=WORDS, cut=r" ?\w+"):
    """One token a word with its leading space, an unknown token, and a BOS; ``cut`` cuts words."""
    split = pre_tokenizers.Split(Regex(rf"{cut}|[^\w\s]|\s"), "isolated")
    text = " ".join(["", *others, *names])
    found = {piece for some in (*FRAMES, text) for piece, _ in split.pre_tokenize_str(some)}
    vocab = {token: i for i, token in enumerate(["<unk>", "<s>", *sorted(found)])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Fuse()
    return wrap(tokenizer, bos_token="<s>", unk_token="<unk>")


def bytes_bpe():
    """Byte-level BPE without a BOS and without an unknown token, as GPT-NeoX and Qwen have it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return wrap(tokenizer)


def sentencepiece():
    """BPE over words with "▁", which it also puts before the text's beginning, as Llama 2 does.

    Digits and punctuation stand alone, as there.
    """
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="always"),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    reserved = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(special_tokens=reserved, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return wrap(tokenizer, bos_token="<s>", unk_token="<unk>")


def wrap(tokenizer, **special):
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


KINDS = {"words": words, "bytes": bytes_bpe, "sentencepiece": sentencepiece}


@pytest.fixture(scope="session", params=KINDS)
def tokenizer(request):
    """Each kind in turn."""
    return KINDS[request.param]()


@pytest.fixture(scope="session")
def word_tokenizer():
    """The plainest kind, for tests that are not about tokenizers."""
    return words()


@pytest.fixture(scope="session")
def bytes_tokenizer():
    """One that splits what it does not know into pieces."""
    return bytes_bpe()


@pytest.fixture(scope="session")
def words_with():
    """Make a word tokenizer that knows these names or other words only, or cuts in its own way."""
    return words


@pytest.fixture
def write_lines(tmp_path):
    """Write objects, or raw lines of text, as a pairs file."""

    def write(*lines, name="pairs.jsonl"):
        path = tmp_path / name
        text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("".join(f"{line}\n" for line in text), encoding="utf-8")
        return path

    return write
