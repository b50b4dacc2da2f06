"""Whether a request may be worked on, decided before a model is woken for it, from nothing but the request."""

import asyncio
from dataclasses import dataclass

from easel_crds.imagemodel import ImageModel
from easel_http.errors import InvalidForm
from easel_http.fields import ImageToImageFields
from easel_http.form import Form
from easel_http.loras import check_loras
from easel_http.picture import picture_size, size_in_head
from easel_http.spool import Spool


@dataclass(frozen=True)
class Job:
    """One admitted request, whichever dialect it came in."""

    model: ImageModel
    fields: ImageToImageFields
    image: Spool
    width: int
    height: int

    @property
    def model_id(self) -> str:
        """The model's id, as callers write it."""
        return self.model.spec.model_id

    @property
    def pixels(self) -> int:
        """Input pixels that the request is charged for: height x width x images."""
        return self.width * self.height * self.fields.num_images_per_prompt

    @property
    def inline(self) -> bool:
        """Whether the answer has the images themselves, and not where to fetch them."""
        return self.fields.response_format != "url"


async def admit(form: Form, model: ImageModel) -> Job:
    """The job of a form that has arrived whole.

    Raises:
        BadRequest: the image cannot be read, or the model does not take such LoRAs.
        InvalidForm: a value is beyond the model's bounds.
    """
    fields, image, parameters = form.fields, form.image, model.spec.parameters
    fields.check_bounds(parameters)
    check_loras(fields.loras, model.spec.loras)
    size = size_in_head(image.beginning(), parameters.max_pixels)
    if size is None:  # for which more than the first bytes are needed, and a thread
        size = await asyncio.to_thread(picture_size, image.rewound(), parameters.max_pixels)
    image.forget_beginning()
    return Job(model, fields, image, *size)


def looks_right(image: Spool, model: ImageModel) -> bool:
    """Whether the image, of which only the beginning may have arrived, seems to be one that `model` takes."""
    try:
        return size_in_head(image.beginning(), model.spec.parameters.max_pixels) is not None
    except InvalidForm:
        return False
