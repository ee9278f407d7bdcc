"""Real Hugging Face tokenizers of the three common kinds, trained here on the words of IOI."""

import json

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from relp_sae.tasks.ioi_words import NAMES, PLACES, TEMPLATES, THINGS

CORPUS = [
    template.format(first=name, second=name, giver=name, place=place, thing=thing)
    for name in NAMES
    for template, place, thing in zip(TEMPLATES, PLACES * 2, THINGS * 2, strict=False)
]


def words(names=NAMES):
    """One token a word with its leading space, an unknown token, and a BOS."""
    frames = [t.format(first="", second="", giver="", place="", thing="") for t in TEMPLATES]
    text = " ".join([*frames, *PLACES, *THINGS, *names])
    split = pre_tokenizers.Split(Regex(r" ?\w+|[^\w\s]|\s"), "isolated")
    found = {piece for piece, _ in split.pre_tokenize_str(" " + text)}
    starts = {template.split()[0].strip(",") for template in TEMPLATES}
    vocab = {token: i for i, token in enumerate(["<unk>", "<s>", *sorted(found | starts)])}
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
    """BPE over words with "▁", which it also puts before the text's beginning, as Llama 2 does."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
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
    """Make a word tokenizer that knows these names only."""
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
