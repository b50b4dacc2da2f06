"""`python -m support.tiny_runtime`: `python -m easel_runtime`, with a tiny repository of its MODEL_ID in MODEL_DIR."""

from easel_runtime.__main__ import main
from easel_runtime.settings import Settings
from support import hub

if __name__ == "__main__":
    settings = Settings()
    assert settings.model_dir is not None
    hub.add_upstream(settings.model_dir, settings.model_id)
    main()
