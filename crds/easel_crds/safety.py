"""Whether the images of an ImageModel are looked at before they are given out, and what becomes of what is found."""

import re
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from easel_crds.metadata import HUB_ID
from easel_crds.rules import Resource, Rule

NO_CHECKER: Final = "none"
"""In the place of a checker: images are never looked at."""


class Safety(Resource):
    """The safety check: which model looks at images, and what becomes of those that are not safe for work."""

    checker: Annotated[str, Field(max_length=96)] = "CompVis/stable-diffusion-safety-checker"
    """Hub repository id of the model that looks at images, or none. A checker of Stable Diffusion, or an image
    classifier of transformers with a label such as nsfw; safetensors files only. Loaded by the first request that
    asks for the check."""
    revision: Annotated[str, Field(min_length=1, max_length=100)] = "main"
    """Branch, tag or commit of the checker."""
    action: Literal["flag", "blank", "refuse"] = "flag"
    """What becomes of an image that is not safe for work. flag: it is marked as `nsfw`; blank: marked, and black;
    refuse: the whole request is answered with 400."""
    enforce: bool = False
    """True: every image is looked at, whatever callers send, and no runtime is ready before its checker is."""
    unavailable: Literal["refuse", "serve"] = "refuse"
    """What becomes of a request for the check while the checker cannot be loaded. refuse: it is answered with 503;
    serve: its images are given out unchecked, with `safety_check` named in X-Easel-Ignored."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            message="checker must be a Hub repository id such as Falconsai/nsfw_image_detection, or none",
            cel=f"self.checker.matches('{HUB_ID}')",
            field="checker",
            holds=lambda safety: re.fullmatch(HUB_ID, safety.checker) is not None,
        ),
        Rule(
            message="enforce needs a checker: name one, or set enforce to false",
            cel=f"!self.enforce || self.checker != '{NO_CHECKER}'",
            field="enforce",
            holds=lambda safety: not safety.enforce or safety.checker != NO_CHECKER,
        ),
        Rule(
            message="enforce gives out no image unchecked: set unavailable to refuse, or enforce to false",
            cel="!self.enforce || self.unavailable == 'refuse'",
            field="unavailable",
            holds=lambda safety: not safety.enforce or safety.unavailable == "refuse",
        ),
    )
