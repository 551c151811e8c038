"""A bundle behind HTTP: predictions in JSON, with limits, health, metrics, and an OpenAPI page.

Requests that arrive while the model computes are answered together by its next batch. The answers
do not depend on it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
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
    """A request whose texts wait for the next batch."""

    texts: Sequence[str]
    pairs: Sequence[Any] | None
    answer: asyncio.Future[list[dict[str, Any]]]


@dataclass
class Batcher:
    """Computes what arrives together in one call.

    Args:
        model: a loaded bundle.
    """

    model: BundleModel
    waiting: list[_Waiting] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def predict(self, texts: Sequence[str], pairs: Sequence[Any] | None) -> list[Any]:
        """The predictions for some texts.

        Raises:
            DataError: see :meth:`BundleModel.predict`.
        """
        self.model.check(texts, pairs)  # one request's mistake is not the others'
        one = _Waiting(texts, pairs, asyncio.get_running_loop().create_future())
        self.waiting.append(one)
        self.arrived.set()
        return await one.answer

    async def run(self) -> None:
        """Answer requests until cancelled."""
        while True:
            await self.arrived.wait()
            batch = self._next()
            if not self.waiting:
                self.arrived.clear()
            if not batch:
                continue
            texts = [text for one in batch for text in one.texts]
            pairs = [pair for one in batch for pair in one.pairs or ()] or None
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
            one = self.waiting.pop(0)
            batch += [] if one.answer.cancelled() else [one]
        return batch


def make_app(model: BundleModel, *, max_texts: int = 256, max_bytes: int = 1_000_000) -> FastAPI:
    """The application that serves a bundle.

    Args:
        model: a loaded bundle.
        max_texts: the most texts of one request.
        max_bytes: the largest body of one request.
    """
    batcher = Batcher(model)
    counts: Counter[str] = Counter()
    manifest = model.manifest

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        worker = asyncio.create_task(batcher.run())
        yield
        worker.cancel()

    app = FastAPI(title=f"distill: {manifest.task}", lifespan=lifespan)

    async def body_of(request: Request) -> bytes:
        body, size = bytearray(), 0
        async for chunk in request.stream():
            size += len(chunk)
            if size <= max_bytes:
                body += chunk
            elif size > _READ:
                break
        if size > max_bytes:
            raise HTTPException(413, f"the body has more than {max_bytes:,} bytes")
        return bytes(body)

    def asked_in(body: bytes) -> Asked:
        try:
            asked = Asked.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise HTTPException(422, f"{where}: {first['msg']}".lstrip(": ")) from error
        if len(asked.texts) > max_texts:
            raise HTTPException(413, f"{len(asked.texts):,} texts; at most {max_texts:,} at once")
        return asked

    schema = {"content": {"application/json": {"schema": Asked.model_json_schema()}}}

    @app.post("/predict", openapi_extra={"requestBody": {**schema, "required": True}})
    async def predict(request: Request) -> dict[str, Any]:
        """One prediction for each text, in their order."""
        start = time.perf_counter()
        counts["requests"] += 1
        try:
            asked = asked_in(await body_of(request))
            predictions = await batcher.predict(asked.texts, asked.pairs)
        except DataError as error:
            counts["refused"] += 1
            raise HTTPException(422, str(error)) from error
        except HTTPException:
            counts["refused"] += 1
            raise
        seconds = time.perf_counter() - start
        counts["texts"] += len(predictions)
        counts["microseconds"] += round(1e6 * seconds)
        return {"predictions": predictions, "milliseconds": round(1e3 * seconds, 3)}

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Which model answers."""
        return {
            "status": "ok", "task": manifest.task, "format": model.format,
        }  # fmt: skip

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> str:
        """Counters in Prometheus' text format."""
        named = {
            "distill_requests_total": ("Requests for predictions.", counts["requests"]),
            "distill_refused_total": ("Of these refused, with a status of 4xx.", counts["refused"]),
            "distill_texts_total": ("Texts with a prediction.", counts["texts"]),
            "distill_seconds_total": (
                "From a request to its answer.",
                counts["microseconds"] / 1e6,
            ),
        }
        return "".join(
            f"# HELP {name} {what}\n# TYPE {name} counter\n{name} {value}\n"
            for name, (what, value) in named.items()
        )

    return app
