"""Whether a request may be worked on, decided before a model is woken for it, from nothing but the request."""

from collections.abc import Mapping
from dataclasses import dataclass

from easel_crds.imagemodel import ImageModel
from easel_gateway.directory import Entry
from easel_http.errors import NotFound
from easel_http.fields import ImageToImageFields
from easel_http.form import Form
from easel_http.loras import check_loras
from easel_http.picture import picture_size
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


def find_model(fields: ImageToImageFields, entries: Mapping[str, Entry]) -> ImageModel:
    """The model that the caller means.

    Raises:
        NotFound: there is none of that name.
    """
    entry = entries.get(fields.model_id)
    if entry is None:
        known = sorted(entries)
        raise NotFound(f"there is no model {fields.model_id}; known: {', '.join(known) or 'none'}", models=known)
    return entry.model


def admit(form: Form, model: ImageModel) -> Job:
    """The job of `form`. Reads the image's header, so it belongs on another thread than the event loop's.

    Raises:
        BadRequest: the image cannot be read, or the model does not take such LoRAs.
        InvalidForm: a value is beyond the model's bounds.
    """
    parameters = model.spec.parameters
    form.fields.check_bounds(parameters)
    check_loras(form.fields.loras, model.spec.loras)
    width, height = picture_size(form.image.rewound(), parameters.max_pixels)
    return Job(model, form.fields, form.image, width, height)
