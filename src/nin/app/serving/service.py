"""What can be asked of the service? Its API, its page, and what is said when something is wrong."""

import asyncio
import base64
import contextlib
import io
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Annotated, Final

import torch
from fastapi import FastAPI, File, HTTPException, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from PIL import Image

from nin.app.serving.schemas import PROBLEMS, ModelInfo, PredictedPhoto, Predictions
from nin.app.serving.served_model import Answer, ServedModel
from nin.app.serving.start_page import page_routes
from nin.data.decoded.decoding import count_workers
from nin.data.decoded.decoding_service import DecodingService
from nin.data.decoded.decoding_worker import Job
from nin.data.photos.photo import MAX_BYTES
from nin.errors import NinError, PhotoError
from nin.inference.classifier import Classifier
from nin.networks.registry import find_architecture
from nin.text import printable

MOST_FILES: Final = 16  # of a request

Maps = Annotated[bool, Query(description="whether to return the class maps")]
Images = Annotated[bool, Query(description="whether to return the image that each photo became, as a data URL")]
Files = Annotated[
    list[UploadFile], File(description="photos: PNG, JPEG, WebP, GIF, TIFF, BMP", min_length=1, max_length=MOST_FILES)
]


def make_service(classifiers: Mapping[str, Classifier], cards: Mapping[str, str]) -> FastAPI:
    """Return the service of some models, by their names.

    Args:
        classifiers: the models; the first answers where none is named.
        cards: their model cards, in Markdown.

    """
    models: dict[str, ServedModel] = {}
    infos = [_info(name, classifier) for name, classifier in classifiers.items()]

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        decoding: dict[Job, DecodingService] = {}
        with ThreadPoolExecutor(1) as executor:
            jobs = {name: _job(classifier) for name, classifier in classifiers.items()}
            workers = max(1, count_workers() // len(set(jobs.values())))
            for name, job in jobs.items():
                decoding[job] = decoding.get(job) or DecodingService(job, workers)
                models[name] = ServedModel(classifiers[name], decoding[job], executor)
            tasks = [asyncio.create_task(model.answer()) for model in models.values()]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                for one in decoding.values():
                    one.close()

    service = FastAPIOffline(
        title="nin",
        version=version("network-in-network"),
        description="What photos show, how sure that is, and why: Network in Network models.",
        lifespan=lifespan,
        redoc_url=None,
    )
    _explain_errors(service)

    known = Query(description="by default the first", json_schema_extra={"enum": [*classifiers, None]})

    @service.post("/api/predict", responses=PROBLEMS)
    async def predict(
        files: Files, model: Annotated[str | None, known] = None, maps: Maps = False, images: Images = False
    ) -> Predictions:
        """Predict what photos show; of several, all or none."""
        began = time.perf_counter()
        name = next(iter(models)) if model is None else model
        if name not in models:
            raise HTTPException(404, f"there is no model {printable(name)!r}: name one of {', '.join(models)}")
        names = [printable(file.filename or f"file {number}") for number, file in enumerate(files, 1)]
        photos = [await file.read() for file in files]
        asked = [
            asyncio.ensure_future(models[name].predict(*one, maps=maps)) for one in zip(names, photos, strict=True)
        ]
        try:
            answers = await asyncio.gather(*asked)
        finally:
            for one in asked:  # of a request with one bad photo, nobody waits for the others
                one.cancel()
        found = [_predicted(*one, classifiers[name].labels, images) for one in zip(names, answers, strict=True)]
        return Predictions(model=name, seconds=time.perf_counter() - began, predictions=found)

    @service.get("/api/models", responses={code: PROBLEMS[code] for code in (400, 403)})
    async def list_models() -> list[ModelInfo]:
        """List the models that answer."""
        return infos

    @service.get("/health", responses={code: PROBLEMS[code] for code in (400, 403)})
    async def health() -> dict[str, str]:
        """Tell that the service runs."""
        return {"status": "ok"}

    service.include_router(page_routes([info.model_dump() for info in infos], cards, MAX_BYTES))
    return service


def _explain_errors(service: FastAPI) -> None:
    """Let whatever is wrong be said in one line, as a `Problem`."""

    @service.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        return JSONResponse({"detail": printable(f"{where}: {first['msg']}")}, 422)

    @service.exception_handler(PhotoError)
    async def unreadable(_: Request, error: PhotoError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

    @service.exception_handler(NinError)
    async def failed(_: Request, error: NinError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 500)

    @service.exception_handler(Exception)
    async def broken(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": f"the service failed ({type(error).__name__}): a fault of ours"}, 500)


def _job(classifier: Classifier) -> Job:
    """Return how photos are prepared for a model."""
    return Job(classifier.config.preparation, classifier.config.in_channels, classifier.config.image_size)


def _info(name: str, classifier: Classifier) -> ModelInfo:
    config = classifier.config
    model = ModelInfo(
        name=name,
        network=config.architecture,
        labels=list(config.labels),
        channels=config.in_channels,
        image_size=config.image_size,
        input_size=config.preprocessing.size,
        map_edges=None,
        pool=None,
    )
    grid = find_architecture(config.architecture).cells
    if grid is None:
        return model
    blank = torch.zeros(1, config.in_channels, config.image_size, config.image_size, dtype=torch.uint8)
    cells = classifier.class_maps(blank).shape[-1]
    return model.model_copy(update={"map_edges": grid.edges(config.preprocessing.size, cells), "pool": grid.pool})


def _predicted(name: str, answer: Answer, labels: tuple[str, ...], images: bool) -> PredictedPhoto:
    prediction, maps = answer.prediction, answer.class_maps
    return PredictedPhoto(
        photo=name,
        label=prediction.label,
        probability=prediction.probability,
        probabilities=prediction.probabilities,
        inverted=prediction.inverted,
        class_maps=None if maps is None else dict(zip(labels, maps.tolist(), strict=True)),
        image=_data_url(answer) if images else None,
    )


def _data_url(answer: Answer) -> str:
    pixels = answer.image.transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
