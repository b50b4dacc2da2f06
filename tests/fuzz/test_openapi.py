"""Requests that schemathesis makes of the runtime's OpenAPI document, and whether the answers are as it says."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from requests import Session
from schemathesis import Case, GenerationMode
from schemathesis.checks import CheckFunction
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from support.fuzzing import examples
from support.pictures import encoded, picture, png
from support.runtime_process import RuntimeProcess

GETS = ["GET /health", "GET /version", "GET /hardware/info", "GET /hardware/stats"]
WORK = "POST /image-to-image"
ACCEPTED = ["*/*", "image/png", "image/webp;q=0.5, image/jpeg", "multipart/mixed", "text/event-stream", "a/b;q=x,,;"]

schemathesis.openapi.format("binary", st.sampled_from([png(), encoded(picture(9, 5), "JPEG")]))


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session() as session:
        session.trust_env = False
        yield session


def schema_of(runtime: RuntimeProcess) -> BaseSchema:
    return schemathesis.openapi.from_url(f"{runtime.url}/openapi.json")


def check(case: Case[Any], session: Session, accept: str = "*/*") -> None:
    # Whether LoRAs can be had is not for the document to say.
    loras = isinstance(case.body, dict) and "loras" in case.body
    excluded: list[CheckFunction] = [positive_data_acceptance] if loras else []
    excluded.append(negative_data_rejection)  # in a form "on" is true and nothing is the default; see test_forms
    case.call_and_validate(session=session, headers={"Accept": accept}, excluded_checks=excluded, timeout=120)


@pytest.mark.parametrize("label", GETS)
def test_what_is_asked_about_the_runtime(toy: RuntimeProcess, session: Session, label: str) -> None:
    operation = schema_of(toy).find_operation_by_label(label)
    assert operation is not None

    @examples(10)
    @given(case=operation.as_strategy(GenerationMode.POSITIVE))
    def ask(case: Case[Any]) -> None:
        check(case, session)

    ask()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("engine", ["toy", "tiny"])
def test_what_is_asked_of_the_model(
    engine: str, mode: GenerationMode, session: Session, request: pytest.FixtureRequest
) -> None:
    runtime: RuntimeProcess = request.getfixturevalue(engine)
    operation = schema_of(runtime).find_operation_by_label(WORK)
    assert operation is not None

    @examples({"toy": 40, "tiny": 25}[engine])
    @given(case=operation.as_strategy(mode), accept=st.sampled_from(ACCEPTED))
    def ask(case: Case[Any], accept: str) -> None:
        check(case, session, accept)

    ask()
    runtime.assert_idle()
