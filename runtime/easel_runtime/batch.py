"""Which requests may be made side by side in one call of a pipeline. Pure."""

from collections.abc import Hashable

from easel_runtime.engine import Generation


def kind(generation: Generation) -> Hashable:
    """Equal for requests that may share a call, whatever their order; else different.

    A pipeline takes prompts, negative prompts, pictures and seeds in lists, but the rest once for all rows: the size,
    the numbers that decide which steps are run, both guidances (on and off is other maths, and the scale is one
    number), and the LoRAs, which are in the weights. A negative prompt, blank or not, is only other words.
    """
    return (
        generation.image.size,
        generation.steps,
        generation.strength,
        generation.guidance_scale,
        generation.image_guidance_scale,
        generation.loras,
    )
