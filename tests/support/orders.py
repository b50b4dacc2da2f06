"""A request that was accepted."""

from easel_gateway.admission import Job
from easel_gateway.keys import ANONYMOUS
from easel_gateway.order import Order
from easel_gateway.pricing import Offer, Quote
from easel_http.fields import ImageToImageFields
from easel_http.spool import Spool
from support.builders import image_model


def order() -> Order:
    """One image of 64 x 48, whose bytes are nowhere."""
    model = image_model()
    fields = ImageToImageFields.from_texts({"prompt": "make it night", "model_id": "easel/demo"})
    quote = Quote(Offer("easel/demo", "demo@1", model.spec.price), 64 * 48, 1)
    return Order(Job(model, fields, Spool(), 64, 48), quote, ANONYMOUS, "ready")
