"""In which form does the service say what it says? As JSON of these fields."""

from typing import Any, Final

from pydantic import BaseModel

from nin.app.serving.guard import MOST_BODY


class Problem(BaseModel):
    """What was wrong, in one line."""

    detail: str


class ModelInfo(BaseModel):
    """A model that answers.

    A photo becomes an image of `image_size` pixels a side, which is resized to `input_size` for the network. The cells
    of its class maps begin and end at `map_edges` along a side of the image, as fractions of it; null for a network
    without class maps. Of a map's cells the highest ("max") or the mean ("avg") is the logit.
    """

    name: str
    network: str
    labels: list[str]
    channels: int
    image_size: int
    input_size: int
    map_edges: list[float] | None
    pool: str | None


class PredictedPhoto(BaseModel):
    """What a model says of a photo."""

    photo: str
    label: str
    probability: float
    probabilities: dict[str, float]
    inverted: bool
    class_maps: dict[str, list[list[float]]] | None = None
    image: str | None = None


class Predictions(BaseModel):
    """What a model says of photos, in their order, and in how many seconds."""

    model: str
    seconds: float
    predictions: list[PredictedPhoto]


PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": Problem, "description": "the request is damaged, or meant for another host"},
    403: {"model": Problem, "description": "the request comes from a page of another site"},
    404: {"model": Problem, "description": "there is no such model"},
    408: {"model": Problem, "description": "the request took too long to arrive"},
    413: {"model": Problem, "description": f"more than {MOST_BODY:,} bytes"},
    422: {"model": Problem, "description": "a photo cannot be read, or a parameter is none"},
    500: {"model": Problem, "description": "the service failed"},
    503: {"model": Problem, "description": "too many requests at once"},
}
