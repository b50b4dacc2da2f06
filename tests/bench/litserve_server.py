"""`python litserve_server.py FOLDER PORT`: LitServe around the pipeline in FOLDER, the simplest way that it documents.

Runs in an environment of its own (requirements/bench.txt), which has neither Easel nor this package. PNG is written at
Pillow's level 1, so that it is servers that are compared and not encoders.
"""

import io
import sys
from typing import Any

import litserve
import torch
from diffusers import DiffusionPipeline
from fastapi import Request, Response
from PIL import Image


class Edits(litserve.LitAPI):  # type: ignore[misc]  # not in the environment that types are checked in
    """Picture and prompt in, PNG out."""

    def setup(self, device: str) -> None:
        self.pipeline: Any = DiffusionPipeline.from_pretrained(sys.argv[1], safety_checker=None).to(device)
        self.pipeline.set_progress_bar_config(disable=True)

    def decode_request(self, request: Request) -> dict[str, Any]:
        form: dict[str, Any] = {**request}  # the annotation asks for the form, which is what comes
        return {**form, "image": Image.open(form["image"].file).convert("RGB")}

    def predict(self, x: dict[str, Any]) -> Image.Image:
        made: Image.Image = self.pipeline(
            x["prompt"],
            image=x["image"],
            num_inference_steps=int(x["num_inference_steps"]),
            generator=torch.Generator("cpu").manual_seed(int(x["seed"])),
        ).images[0]
        return made

    def encode_response(self, output: Image.Image) -> Response:
        file = io.BytesIO()
        output.save(file, "PNG", compress_level=1)
        return Response(file.getvalue(), media_type="image/png")


if __name__ == "__main__":
    server = litserve.LitServer(Edits(), accelerator="cpu", devices=1)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning")
