"""The tokenizer: CLIP's, with the words of the grammar for tokens, and single bytes for all other text."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

_MERGES: Final = 700
_END: Final = "</w>"


def tokenizer(texts: Sequence[str], positions: int, folder: Path) -> CLIPTokenizer:
    """A tokenizer that has learned to spell `texts`; its files are left in `folder`.

    positions: tokens of a prompt.
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    single = [*letters, *(letter + _END for letter in letters)]
    merges = [pair for pair in _learned(texts, folder) if len(pair) == 2]
    words = dict.fromkeys([*single, *("".join(pair) for pair in merges), "<|startoftext|>", "<|endoftext|>"])
    vocabulary, rules = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps({word: index for index, word in enumerate(words)}))
    rules.write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges)]) + "\n")
    return CLIPTokenizer(vocab=str(vocabulary), merges=str(rules), model_max_length=positions)


def _learned(texts: Sequence[str], folder: Path) -> list[list[str]]:
    """The pairs to merge, in their order."""
    learner = Tokenizer(models.BPE(end_of_word_suffix=_END))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    trainer = trainers.BpeTrainer(vocab_size=512 + _MERGES, end_of_word_suffix=_END, show_progress=False)
    learner.train_from_iterator(texts, trainer)
    learner.model.save(str(folder))
    return [line.split() for line in (folder / "merges.txt").read_text().splitlines() if not line.startswith("#")]
