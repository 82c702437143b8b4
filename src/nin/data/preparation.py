"""How does a photo become an image? The two preparations, one of which every model keeps in its config.json."""

from typing import Literal

import msgspec

from nin.choices import Fit


class Preparation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How photos become images.

    Attributes:
        kind: "garment", as Fashion-MNIST's authors prepared theirs (`nin.data.garment`); or "photo", resized whole.
        fit: how a photo that is not square becomes so, with the kind "photo": "pad" with the border's mean colour,
            "crop" to the middle, or "stretch".

    """

    kind: Literal["garment", "photo"] = "garment"
    fit: Fit = "pad"
