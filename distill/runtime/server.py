"""A bundle behind HTTP: predictions in JSON, with limits, health, metrics, and an OpenAPI page.

Requests that arrive while the model computes are answered together by its next batch. The answers
do not depend on it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError

from distill.runtime.model import BundleModel
from distill.system.errors import DataError

#: Texts that are computed in one call: enough for full batches, few enough that nobody waits long.
_TOGETHER = 64
#: Bytes of a body that are read, though not kept, so that who sends too much hears so.
_READ = 100_000_000


class Asked(BaseModel):
    """What is asked for: texts, and where the model takes pairs the second ones."""

    model_config = ConfigDict(extra="forbid")

    texts: list[StrictStr] = Field(examples=[["a fine film"]])
    pairs: list[StrictStr | list[StrictStr]] | None = None


@dataclass
class _Waiting:
    texts: Sequence[str]
    pairs: Sequence[Any] | None
    answer: asyncio.Future[list[dict[str, Any]]]


async def read_body(request: Request, most: int) -> bytes:
    """A request's body; HTTP errors where it has more than ``most`` bytes, or is not whole."""
    body, size, more = bytearray(), 0, True
    while more and size <= _READ:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(400, "the body is not whole")
        chunk, more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        body += chunk if size <= most else b""
    if size > most:
        raise HTTPException(413, f"the body has more than {most:,} bytes")
    return bytes(body)


def read_asked(body: bytes, most: int) -> Asked:
    """What a body asks for; an HTTP error where it is wrong, or has more than ``most`` texts."""
    try:
        asked = Asked.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where, what = ".".join(map(str, first["loc"][:2])), first["msg"]
        if len(first["loc"]) > 2:  # of a second text, which may be one of two things
            what = "Input should be a string, or a list of strings where a model ranks them"
        raise HTTPException(422, f"{where}: {what}".lstrip(": ")) from error
    if len(asked.texts) > most:
        raise HTTPException(413, f"{len(asked.texts):,} texts; at most {most:,} at once")
    return asked


class _Server:
    """Computes what arrives together in one call."""

    def __init__(self, model: BundleModel, max_texts: int, max_bytes: int) -> None:
        self.model, self.max_texts, self.max_bytes = model, max_texts, max_bytes
        self.waiting: deque[_Waiting] = deque()
        self.arrived = asyncio.Event()
        self.requests = self.refused = self.texts = 0
        self.seconds = 0.0

    async def predict(self, request: Request) -> dict[str, Any]:
        """One prediction for each text, in their order."""
        start = time.perf_counter()
        self.requests += 1
        try:
            asked = read_asked(await read_body(request, self.max_bytes), self.max_texts)
            self.model.check(asked.texts, asked.pairs)  # one request's mistake is not the others'
            predictions = await self._answer(asked)
        except DataError as error:
            self.refused += 1
            raise HTTPException(422, str(error)) from error
        except HTTPException:
            self.refused += 1
            raise
        seconds = time.perf_counter() - start
        self.texts += len(predictions)
        self.seconds += seconds
        return {"predictions": predictions, "milliseconds": round(1e3 * seconds, 3)}

    async def _answer(self, asked: Asked) -> list[dict[str, Any]]:
        one = _Waiting(asked.texts, asked.pairs, asyncio.get_running_loop().create_future())
        self.waiting.append(one)
        self.arrived.set()
        return await one.answer

    async def _compute(self) -> None:
        """Answer requests until cancelled."""
        while True:
            await self.arrived.wait()
            batch = self._next()
            if not self.waiting:
                self.arrived.clear()
            if not batch:
                continue
            texts = [text for one in batch for text in one.texts]
            paired = batch[0].pairs is not None
            pairs = [pair for one in batch for pair in one.pairs or ()] if paired else None
            try:
                found = iter(await asyncio.to_thread(self.model.predict, texts, pairs))
            except Exception as error:
                for one in batch:
                    if not one.answer.done():
                        one.answer.set_exception(error)
                continue
            for one in batch:
                answers = [next(found) for _ in one.texts]
                if not one.answer.done():
                    one.answer.set_result(answers)

    def _next(self) -> list[_Waiting]:
        """The first requests in line, those given up left out."""
        batch: list[_Waiting] = []
        count = 0
        while self.waiting:
            count += len(self.waiting[0].texts)
            if batch and count > _TOGETHER:
                break
            one = self.waiting.popleft()
            batch += [] if one.answer.cancelled() else [one]
        return batch

    async def health(self) -> dict[str, Any]:
        """Which model answers."""
        return {"status": "ok", "task": self.model.manifest.task, "format": self.model.format}

    async def metrics(self) -> str:
        """Counters in Prometheus' text format."""
        named = {
            "distill_requests_total": ("Requests for predictions.", self.requests),
            "distill_refused_total": ("Of these refused, with a status of 4xx.", self.refused),
            "distill_texts_total": ("Texts with a prediction.", self.texts),
            "distill_seconds_total": ("From a request to its answer.", round(self.seconds, 6)),
        }
        return "".join(
            f"# HELP {name} {what}\n# TYPE {name} counter\n{name} {value}\n"
            for name, (what, value) in named.items()
        )

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Compute while the application runs."""
        del app
        worker = asyncio.create_task(self._compute())
        yield
        worker.cancel()


def make_app(model: BundleModel, *, max_texts: int = 256, max_bytes: int = 1_000_000) -> FastAPI:
    """The application that serves a bundle; what is most is of one request."""
    server = _Server(model, max_texts, max_bytes)
    app = FastAPI(title=f"distill: {model.manifest.task}", lifespan=server.lifespan)
    schema = {"content": {"application/json": {"schema": Asked.model_json_schema()}}}
    app.post("/predict", openapi_extra={"requestBody": schema | {"required": True}})(server.predict)
    app.get("/health")(server.health)
    app.get("/metrics", response_class=PlainTextResponse)(server.metrics)
    return app
