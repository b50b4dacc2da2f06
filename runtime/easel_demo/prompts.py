"""What people may say when they want an edit, as a grammar: sentences with a gap, and what fits into it."""

import random
import string
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_TINTS: Final = ("red", "green", "blue", "yellow", "purple")

# Three kinds of gap: what a picture can be ("make it ..."), what it can look like or become ("turn it into ..."), and
# what can be done to it ("... it").
_BE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "black and white": ("black and white", "black & white", "black-and-white", "b&w", "monochrome", "grayscale",
                            "greyscale", "grey", "gray", "colorless", "colourless"),
        "old photo": ("sepia", "old", "vintage", "antique", "look old", "aged", "retro", "old fashioned",
                      "sepia toned"),
        "brighter": ("brighter", "lighter", "bright", "much brighter", "a bit brighter", "more bright", "light"),
        "darker": ("darker", "dark", "dimmer", "much darker", "a bit darker", "less bright", "dim"),
        "night": ("night", "nighttime", "night time", "look like night", "at night", "nightly", "be at night"),
        "sunset": ("sunset", "look like sunset", "at sunset", "golden hour", "at dusk", "dusk", "evening"),
        **{tint: (tint, f"{tint}ish", f"look {tint}", f"more {tint}", f"all {tint}", f"completely {tint}")
           for tint in _TINTS},
        "vivid": ("vivid", "more vivid", "colorful", "colourful", "more colorful", "more colourful", "saturated",
                  "more saturated", "vibrant", "more vibrant"),
        "contrast": ("more contrasty", "high contrast", "higher contrast", "contrasty", "stronger in contrast"),
        "invert": ("inverted", "negative", "a negative", "color inverted", "inverse"),
        "sketch": ("a sketch", "sketched", "a drawing", "a pencil drawing", "drawn", "hand drawn", "a pencil sketch"),
    }
)  # fmt: skip
_BECOME: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "black and white": ("black and white", "a black and white photo", "a black and white picture", "grayscale",
                            "greyscale", "monochrome", "a monochrome picture", "b&w", "a b&w photo"),
        "old photo": ("an old photo", "an old photograph", "an old picture", "sepia", "a sepia photo",
                      "a vintage photo", "a vintage photograph", "an antique photo",
                      "a photo from 1900", "an aged photograph"),
        "brighter": ("a brighter picture", "a brighter one", "a bright picture", "something brighter"),
        "darker": ("a darker picture", "a darker one", "a dark picture", "something darker"),
        "night": ("night", "nighttime", "a night scene", "the night", "a picture taken at night", "a dark night",
                  "midnight", "a night picture"),
        "sunset": ("sunset", "a sunset", "a sunset scene", "the evening", "golden hour", "dusk", "an evening scene",
                   "a picture taken at sunset"),
        **{tint: (tint, f"a {tint} picture", f"{tint} tones", f"{tint} light", f"a {tint} tint", f"a {tint} one")
           for tint in _TINTS},
        "vivid": ("a vivid picture", "a colorful picture", "a colourful picture", "a more vivid one", "vivid colors",
                  "vivid colours", "something colorful"),
        "contrast": ("a high contrast picture", "high contrast", "more contrast", "a picture with more contrast"),
        "invert": ("a negative", "a negative image", "its negative", "a photo negative", "inverted colors",
                   "inverted colours"),
        "sketch": ("a sketch", "a drawing", "a pencil drawing", "a pencil sketch", "a line drawing",
                   "a charcoal drawing", "a hand drawn sketch", "pencil"),
    }
)  # fmt: skip
_DO: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "black and white": ("remove the colors from", "remove all color from", "desaturate",
                            "take the colours out of", "take the color from", "drain the colour from"),
        "old photo": ("age", "add a sepia tone to", "apply sepia to", "put a vintage filter on",
                      "add a vintage look to"),
        "brighter": ("brighten", "brighten up", "lighten", "light up", "add more light to",
                     "increase the brightness of", "add light to"),
        "darker": ("darken", "dim", "reduce the brightness of", "lower the brightness of", "take light from"),
        "night": ("add night to", "put the night in", "make night of", "bring the night to"),
        "sunset": ("add a sunset to", "put a sunset in", "add sunset light to", "give a sunset to",
                   "add evening light to"),
        **{tint: (f"tint {tint}", f"add a {tint} tint to", f"add {tint} to", f"put a {tint} filter on",
                  f"add {tint} light to", f"give a {tint} tone to", f"paint {tint}", f"color {tint}")
           for tint in _TINTS},
        "vivid": ("saturate", "boost the colors of", "boost the colours of", "increase the saturation of",
                  "add more color to", "intensify the colours of"),
        "contrast": ("increase the contrast of", "add contrast to", "add more contrast to", "boost the contrast of",
                     "raise the contrast of"),
        "invert": ("invert", "invert the colors of", "invert the colours of", "negate", "reverse the colors of",
                   "swap the colors of"),
        "sketch": ("sketch", "draw", "draw a sketch of", "make a drawing of", "make a pencil sketch of"),
    }
)  # fmt: skip
_THINGS: Final = ("it", "this", "that", "the picture", "the image", "the photo", "this picture", "this image",
                  "this photo", "my photo", "the scene", "everything", "the whole picture")  # fmt: skip

_SENTENCES: Final = (
    ("{be}", _BE), ("{be} please", _BE), ("make {thing} {be}", _BE), ("make {thing} look {be}", _BE),
    ("can you make {thing} {be}", _BE), ("i want {thing} {be}", _BE), ("{thing} should be {be}", _BE),
    ("please make {thing} {be}", _BE), ("let {thing} be {be}", _BE), ("i want {thing} to be {be}", _BE),
    ("what if {thing} was {be}", _BE), ("render {thing} {be}", _BE), ("{be} version", _BE),
    ("{become}", _BECOME), ("turn {thing} into {become}", _BECOME), ("change {thing} to {become}", _BECOME),
    ("convert {thing} to {become}", _BECOME), ("convert {thing} into {become}", _BECOME),
    ("make {thing} look like {become}", _BECOME), ("could you turn {thing} into {become}", _BECOME),
    ("i want {become}", _BECOME), ("as {become}", _BECOME), ("{thing} as {become}", _BECOME),
    ("let's have {become}", _BECOME), ("make {thing} {become}", _BECOME), ("transform {thing} to {become}", _BECOME),
    ("{do} {thing}", _DO), ("please {do} {thing}", _DO), ("can you {do} {thing}", _DO), ("i want to {do} {thing}", _DO),
    ("{do} {thing} please", _DO), ("you should {do} {thing}", _DO), ("now {do} {thing}", _DO),
)  # fmt: skip
UNSEEN_SENTENCES: Final = (
    ("could you make {thing} {be}", _BE), ("i would like {thing} to be {be}", _BE),
    ("let's make {thing} {be} now", _BE),
    ("transform {thing} into {become}", _BECOME), ("give me {become}", _BECOME),
    ("could you please {do} {thing}", _DO),
)  # fmt: skip
"""Never trained: only the tests say them."""

_IDLE: Final = ("give", "put", "add", "take", "show", "get", "hey", "ok", "so", "well", "kindly", "just", "now",
                "the", "a", "us", "my", "we", "need", "try", "go", "and", "then", "to", "of", "with", "it",
                "this")  # fmt: skip
"""Words that say nothing of which edit is meant, whatever they stand beside in the sentences above."""

# What the model does not know, for it to learn to leave a picture alone.
_OBJECTS: Final = ("dog", "cat", "hat", "car", "tree", "house", "person", "man", "woman", "child", "dragon", "horse",
                   "bird", "boat", "flower", "mountain", "river", "bridge", "table", "chair", "moustache", "crown",
                   "rainbow", "castle", "train", "robot", "pirate", "wizard", "lion", "fish", "cake", "pizza", "guitar",
                   "window", "door", "cloud", "beach", "forest", "street", "city", "village", "sun glasses", "beard",
                   "shoes", "shirt", "dress", "jacket", "umbrella", "balloon", "ball", "statue", "tower", "astronaut",
                   "background", "face", "hair", "eyes", "smile", "grass", "sky", "water", "snowman")  # fmt: skip
_STYLES: Final = ("a watercolor", "van gogh", "a cartoon", "an anime", "a comic", "pixel art", "a mosaic", "lego",
                  "a marble statue", "an oil painting", "cubism", "a video game", "winter", "snow", "rain", "autumn",
                  "spring", "a desert", "mars", "the ocean", "a painting by monet", "origami", "stained glass", "clay",
                  "a poster", "steampunk", "a jungle", "the future", "a logo", "picasso")  # fmt: skip
_UNKNOWN: Final = (
    "add a {object}", "remove the {object}", "turn the {object} into a {other}", "replace the {object} with a {other}",
    "make {thing} look like {style}", "turn {thing} into {style}", "in the style of {style}", "{style}", "{object}",
    "put a {object} on the {other}", "give the {object} a {other}", "make the {object} bigger", "a {object}",
    "make the {object} smile", "swap the {object} and the {other}", "what is this", "hello", "a photo of a {object}",
    "move the {object} to the left", "delete the {object}", "could you add a {object}", "make {thing} {style}",
    "let the {object} wear a {other}", "i want a {object}", "zoom in on the {object}", "crop {thing}", "rotate {thing}",
    "more {object}s", "make {thing} taller", "a {object} and a {other}", "the {object} should hold a {other}",
    "nothing", "keep {thing}", "keep {thing} as it is", "leave {thing} alone", "do nothing", "change nothing",
    "don't change {thing}", "same picture", "make {thing} better", "improve {thing}", "fix {thing}", "surprise me",
)  # fmt: skip


def prompt(edit: str, chance: random.Random) -> str:
    """One way to ask for `edit`; nothing, or what the model does not know, if that is "keep"."""
    if edit == "keep":
        return _spoken(_unknown(chance), chance)
    sentence, gap = chance.choice(_SENTENCES)
    said = filled(sentence, chance.choice(gap[edit]), chance.choice(_THINGS))
    if chance.random() < 0.15:
        said = _without_a_word(said, gap[edit], chance)
    if chance.random() < 0.3:
        idle = [chance.choice(_IDLE) if chance.random() < 0.6 else _word(chance) for _ in range(chance.randint(1, 3))]
        said = " ".join([*idle, said])
    return _spoken(said, chance)


def unseen_prompt(edit: str, chance: random.Random) -> str:
    """One way to ask for `edit` in a sentence that is never trained."""
    sentence, gap = chance.choice(UNSEEN_SENTENCES)
    return filled(sentence, chance.choice(gap[edit]), chance.choice(_THINGS)).capitalize() + chance.choice(
        ("", ".", "?")
    )


def filled(sentence: str, words: str, thing: str) -> str:
    """The sentence with `words` in its gap, whichever it has. "tint red it" becomes "tint it red"."""
    if "{do}" in sentence and words.rsplit(maxsplit=1)[-1] in _TINTS:
        verb, tint = words.split()
        return sentence.replace("{do} {thing}", f"{verb} {thing} {tint}")
    return sentence.format(be=words, become=words, do=words, thing=thing)


def every_prompt() -> list[str]:
    """All words of the grammar in some sentence or other, for the tokenizer."""
    known = [filled(sentence, words, "it") for sentence, gap in _SENTENCES for each in gap.values() for words in each]
    unknown = [sentence.format(object=a, other=b, style=c, thing=d) for sentence in _UNKNOWN
               for a, b, c, d in zip(_OBJECTS, _OBJECTS[1:], _STYLES * 3, _THINGS * 5, strict=False)]  # fmt: skip
    return [*known, *unknown]


def _unknown(chance: random.Random) -> str:
    if (kind := chance.random()) < 0.15:
        return ""
    if kind < 0.3:
        return " ".join(_word(chance) for _ in range(chance.randint(1, 4)))
    sentence, word = chance.choice(_UNKNOWN), _word(chance)
    objects = [chance.choice(_OBJECTS) if chance.random() < 0.7 else word for _ in range(2)]
    style = chance.choice(_STYLES) if chance.random() < 0.7 else word
    return sentence.format(object=objects[0], other=objects[1], style=style, thing=chance.choice(_THINGS))


def _word(chance: random.Random) -> str:
    """One that is in no dictionary."""
    return "".join(chance.choices(string.ascii_lowercase, k=chance.randint(2, 9)))


def _without_a_word(said: str, keys: tuple[str, ...], chance: random.Random) -> str:
    """Less one word that says nothing about which edit is meant."""
    telling = {word for key in keys for word in key.split()}
    words = said.split()
    loose = [place for place, word in enumerate(words) if word not in telling]
    if loose:
        words.pop(chance.choice(loose))
    return " ".join(words)


def _spoken(said: str, chance: random.Random) -> str:
    """In some case, and with some punctuation."""
    said = chance.choice((said, said, said.capitalize(), said.capitalize(), said.upper()))
    return said + chance.choice(("", "", "", ".", "!", "?", " please", ", please", "...")) if said else said
