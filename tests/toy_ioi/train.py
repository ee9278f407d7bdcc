"""Makes the committed toy model and its SAE: ``python tests/toy_ioi/train.py`` (some minutes).

A GPT-2 of three blocks learns the very grammar of ``relp_sae.tasks["ioi"]``, so that the task runs
on it unchanged and means something: the pipeline can be tested on a model with a behaviour, within
seconds and without a network. Couples of names that ``is_held_out`` chooses are never trained on.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from sae_lens.config import SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from relp_sae.models import LanguageModel, at_sites, load_model
from relp_sae.records import PromptPair, Site
from relp_sae.tasks import tasks
from relp_sae.tasks.ioi_words import NAMES, PLACES, TEMPLATES, THINGS
from relp_sae.training.architectures import architectures

HERE = Path(__file__).parent
MODEL, SAE = HERE / "model", HERE / "sae"
SITE = Site(2, "resid_pre")
TRAINING_SEED = 1_000_003
"""Of the sentences; tests use small seeds."""

PAIRS, STEPS, BATCH, LR = 40_000, 1_500, 128, 2e-3
D_SAE, K, SAE_STEPS, SAE_BATCH = 256, 16, 2_000, 1024


def is_held_out(pair: PromptPair) -> bool:
    """Whether the two names of a sentence never stand together in training (a tenth of couples)."""
    return (pair.answer + pair.foil) % 10 == 0


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word of the grammar, with the space before it."""
    split = pre_tokenizers.Split(Regex(r" ?\w+|[^\w\s]|\s"), "isolated")
    frames = [t.format(first="", second="", giver="", place="", thing="") for t in TEMPLATES]
    inside = " ".join(["", *frames, *PLACES, *THINGS, *NAMES])
    texts = [inside, *TEMPLATES]
    found = {piece for text in texts for piece, _ in split.pre_tokenize_str(text)}
    found -= {"{", "}", "first", "second", "giver", "place", "thing"}
    vocab = {token: i for i, token in enumerate(["<unk>", "<s>", *sorted(found)])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>")


def training_sentences(tokenizer: PreTrainedTokenizerFast) -> tuple[Tensor, Tensor]:
    """Sentences with their answer, padded on the right with 0: (n, length); and their lengths."""
    rows = []
    for pair in tasks["ioi"](tokenizer, n=PAIRS, seed=TRAINING_SEED):
        if not is_held_out(pair):
            rows.append([*pair.clean_ids, pair.answer])
            rows.append([*pair.corrupted_ids, pair.foil])  # the answer of a flipped sentence
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids, torch.tensor([len(row) for row in rows])


def train_model(tokenizer: PreTrainedTokenizerFast) -> GPT2LMHeadModel:
    """Cross-entropy of the answer, and a tenth of that of all other tokens."""
    ids, lengths = training_sentences(tokenizer)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=32,
            n_embd=64,
            n_layer=3,
            n_head=4,
            initializer_range=0.1,  # at the usual 0.02 so small a model does not get going
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.bos_token_id,
        )
    )
    optimiser = torch.optim.AdamW(model.parameters(), LR, (0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LR, total_steps=STEPS, pct_start=0.1)
    for step in range(STEPS):
        rows = torch.randint(len(ids), (BATCH,))
        batch, last = ids[rows], lengths[rows] - 1
        losses = torch.nn.functional.cross_entropy(
            model(input_ids=batch[:, :-1]).logits.mT, batch[:, 1:], ignore_index=0, reduction="none"
        )
        answer = losses.gather(1, last[:, None] - 1).mean()
        loss = answer + 0.1 * losses.mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step == STEPS - 1:
            print(f"step {step}: answer {answer.item():.4f} nats", flush=True)
    return model


@torch.no_grad()
def site_activations(model: LanguageModel) -> Tensor:
    """Activations (tokens, d_model) of training sentences at SITE, without the first token's."""
    ids, lengths = training_sentences(model.tokenizer)
    kept = []
    for rows in torch.arange(20_000).split(500):
        seen: list[Tensor] = []
        with at_sites(model, {SITE: seen.append}):
            model.last_logits(ids[rows])
        inside = torch.arange(ids.shape[1]) < lengths[rows, None] - 1
        inside[:, 0] = False
        kept.append(seen[0][inside])
    return torch.cat(kept)


def train_sae(model: LanguageModel) -> None:
    """A TopK SAE by SAELens' trainer, saved in its format."""
    activations = site_activations(model)

    def stream() -> Iterator[Tensor]:
        while True:
            yield activations[torch.randint(len(activations), (SAE_BATCH,))]

    sae = architectures["topk"](model.d_model, D_SAE, K)
    sae.cfg.metadata.model_name = "toy-ioi"
    sae.cfg.metadata.hook_name = SITE.hook_name
    config = SAETrainerConfig(
        total_training_samples=SAE_STEPS * SAE_BATCH,
        train_batch_size_samples=SAE_BATCH,
        lr=2e-3,
        lr_end=2e-4,
        lr_warm_up_steps=100,
        lr_decay_steps=SAE_STEPS // 2,
        dead_feature_window=200,
        device="cpu",
        n_batches_for_norm_estimate=16,
    )
    SAETrainer(config, sae, stream()).fit()
    sae.to(dtype=torch.float16)
    sae.save_inference_model(SAE)


def main() -> None:
    """Train both from scratch and overwrite what is there."""
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    tokenizer = make_tokenizer()
    hf = train_model(tokenizer)
    shutil.rmtree(MODEL, ignore_errors=True)
    hf.half().save_pretrained(MODEL)
    tokenizer.save_pretrained(MODEL)
    shutil.rmtree(SAE, ignore_errors=True)
    train_sae(load_model(str(MODEL)))


if __name__ == "__main__":
    main()
