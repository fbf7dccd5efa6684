"""How pictures become the input of a network: scaled, cut, coloured and normalised. Knows no torch.

The same steps serve ImageNet's networks and users' own models, folders, cameras and clients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from supernets.errors import SupernetError, known_options, shown

Fit = Literal["crop", "stretch", "pad"]
Colour = Literal["rgb", "bgr", "grey"]
Layout = Literal["nchw", "nhwc"]

_BORDER = 114
"""Grey of the borders that `pad` adds, as YOLOv5's `letterbox` does (Ultralytics)."""
_MODES = {"rgb": "RGB", "bgr": "RGB", "grey": "L"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """How pictures become the input of a model: `Family([...], inputs=Images(size=224, crop_share=0.875))`.

    A picture is scaled and cut to the size, its bytes are divided by `divisor`, less `mean`, over `std`. A byte of 255
    with a divisor of 255, a mean of 0.5 and a std of 0.25 becomes (1 - 0.5) / 0.25 = 2.

    `Images(size=224, crop_share=0.875, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))` is what torchvision's
    classifiers take, and `Images(divisor=1)` leaves bytes as they are.

    Attributes:
        size: height and width, or one number for both, in pixels; None for the model's own, which then has fixed ones.
        divisor: what bytes are divided by first, above 0.
        mean: subtracted then; one number, or one for each channel in the order of `colour`.
        std: divided by at last, above 0; one number, or one for each channel.
        colour: order of the channels that the model takes: `rgb`, `bgr`, or `grey` for one.
        layout: `nchw` or `nhwc`; None where the model's shape says it.
        fit: `crop` scales a picture until it covers the size and cuts out the centre; `stretch` changes its aspect;
            `pad` scales it until it fits in, and adds borders of grey 114.
        crop_share: share of the scaled picture's height or width that a crop keeps; 0.875 makes 224 of 256 pixels.

    Raises:
        SupernetError: for a field of the wrong type or range.
    """

    size: int | tuple[int, int] | None = None
    divisor: float = 255.0
    mean: float | tuple[float, ...] = 0.0
    std: float | tuple[float, ...] = 1.0
    colour: Colour = "rgb"
    layout: Layout | None = None
    fit: Fit = "crop"
    crop_share: float = 1.0

    def __post_init__(self) -> None:
        sides = (self.size, self.size) if isinstance(self.size, int) else self.size
        if sides is not None:
            whole = isinstance(sides, Sequence) and all(isinstance(side, int) and side > 0 for side in sides)
            if not whole or len(sides) != 2:
                raise SupernetError(f"Images: size must be pixels, such as 224 or (480, 640), not {shown(self.size)}")
            object.__setattr__(self, "size", tuple(sides))
        for field, known in (("colour", Colour), ("layout", Layout), ("fit", Fit)):
            given = getattr(self, field)
            if given not in get_args(known) and not (field == "layout" and given is None):
                raise SupernetError(
                    f"Images: {field} {shown(given)} is unknown. {known_options(str(given), get_args(known))}"
                )
        mean, std = self._numbers("mean"), self._numbers("std")
        if not _is_number(self.divisor) or self.divisor <= 0 or min(std) <= 0:
            raise SupernetError(
                f"Images: divisor and std must be above 0, not {shown(self.divisor)} and {shown(self.std)}"
            )
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "std", std)
        if not _is_number(self.crop_share) or not 0 < self.crop_share <= 1:
            raise SupernetError(f"Images: crop_share must be above 0 and at most 1, not {shown(self.crop_share)}")

    @property
    def channels(self) -> int:
        """Number of the channels that the model takes: 1 or 3."""
        return 1 if self.colour == "grey" else 3

    def input_shape(self, sizes: Sequence[int | None]) -> tuple[int, ...]:
        """Return the shape of one input of a model.

        Args:
            sizes: its shape as its file has it, None where the file leaves a size open.

        Raises:
            SupernetError: where pictures of this kind don't fit it, or a size stays open.
        """
        if len(sizes) != 4:
            raise SupernetError(f"pictures have four axes, and it takes {len(sizes)}; leave out `inputs`")
        layout = self._layout(sizes)
        known = self.size if isinstance(self.size, tuple) else (None, None)
        wanted = (1, self.channels, *known) if layout == "nchw" else (1, *known, self.channels)
        shape = []
        for axis, (has, asked) in enumerate(zip(sizes, wanted, strict=True)):
            if has is not None and asked is not None and has != asked:
                makes = ", ".join(str(size or "?") for size in wanted)
                raise SupernetError(
                    f"a picture becomes ({makes}), and axis {axis} of the model is {has}; change size, colour or "
                    "layout of Images"
                )
            shape.append(has or asked or 0)
        if 0 in shape:
            raise SupernetError("it leaves height and width open; give them: inputs=Images(size=224)")
        return tuple(shape)

    def pixels(self, picture: Image.Image, input_shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Return a picture scaled and cut for a model.

        Returns:
            uint8, (channels, height, width), in the order of `colour`.
        """
        height, width = input_shape[2:] if self._layout(input_shape) == "nchw" else input_shape[1:3]
        fitted = {"crop": self._cropped, "stretch": _resized, "pad": _padded}[self.fit](
            picture.convert(_MODES[self.colour]), width, height
        )
        values = np.asarray(fitted).reshape(height, width, self.channels).transpose(2, 0, 1)
        return np.ascontiguousarray(values[::-1] if self.colour == "bgr" else values)

    def normalised(self, pixels: NDArray[np.uint8], input_shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return pixels (..., channels, height, width) as a model takes them, float32."""
        x = pixels.astype(np.float32)
        x /= np.float32(self.divisor)
        x -= np.asarray(self.mean, dtype=np.float32).reshape(-1, 1, 1)
        x /= np.asarray(self.std, dtype=np.float32).reshape(-1, 1, 1)
        return x if self._layout(input_shape) == "nchw" else np.ascontiguousarray(np.moveaxis(x, -3, -1))

    def _layout(self, sizes: Sequence[int | None]) -> Layout:
        if self.layout is not None:
            return self.layout
        return "nhwc" if sizes[3] == self.channels and sizes[1] != self.channels else "nchw"

    def _numbers(self, field: str) -> tuple[float, ...]:
        """Return one number, or one for each channel, as a tuple."""
        given = getattr(self, field)
        numbers = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
        if len(numbers) not in (1, self.channels) or not all(_is_number(number) for number in numbers):
            each = "one number" if self.channels == 1 else f"one number, or {self.channels} for {self.colour}"
            raise SupernetError(f"Images: {field} must be {each}, not {shown(given)}")
        return numbers

    def _cropped(self, picture: Image.Image, width: int, height: int) -> Image.Image:
        """Return the centre of a picture that was scaled until it covers the size over `crop_share`."""
        # As torchvision's Resize: the side that decides is rounded up, the other one down.
        least_w, least_h = (math.ceil(side / self.crop_share) for side in (width, height))
        given_w, given_h = picture.size
        narrow = given_w * least_h <= given_h * least_w
        size = (least_w, int(least_w * given_h / given_w)) if narrow else (int(least_h * given_w / given_h), least_h)
        picture = _resized(picture, *size)
        left, top = round((size[0] - width) / 2), round((size[1] - height) / 2)
        return picture.crop((left, top, left + width, top + height))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _resized(picture: Image.Image, width: int, height: int) -> Image.Image:
    size = max(1, width), max(1, height)
    return picture if picture.size == size else picture.resize(size, Image.Resampling.BILINEAR)


def _padded(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Return a picture scaled until it fits in the size, in the middle of grey."""
    factor = min(width / picture.width, height / picture.height)
    inside = _resized(picture, round(picture.width * factor), round(picture.height * factor))
    whole = Image.new(picture.mode, (width, height), (_BORDER,) * len(picture.getbands()))
    whole.paste(inside, ((width - inside.width) // 2, (height - inside.height) // 2))
    return whole


IMAGENET = Images(crop_share=0.875, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), layout="nchw")
"""What ImageNet's networks take, as the Once-for-all package does it: `build_valid_transform` of
`ofa.imagenet_classification.data_providers.imagenet`. At resolution 224 a picture of 640 x 480 is scaled to 341 x 256
(bilinear), and its centre of 224 x 224 is cut out."""
