"""Pictures of four-character number plates, drawn from a seed, for the plate task.

Each picture is a short plate in a random font with tilt, shear, blur, sensor noise, clutter and changing contrast; its
label is its text. The fonts are split by family, so a held-out picture is in a typeface that training never saw. Those
that are held out come with gearshift and matplotlib, all others with the extra `train`. Knows NumPy and Pillow only: no
torch, no networks.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from supernets.errors import extra

# The characters of a plate. I, O and Q are left out, as on real plates, since they can't be told from 1 and 0.
ALPHABET = "0123456789ABCDEFGHJKLMNPRSTUVWXYZ"
LENGTH = 4
# Size of a picture in pixels.
HEIGHT = 48
WIDTH = 144

# Hardness of the pictures that are served and that accuracies are measured on. Training ends at 1: what a camera sees
# in use is somewhat worse than what a network was trained on.
TASK_HARDNESS = 1.1

_HELD_OUT = (
    *("DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf"),
    *("HankenGrotesk-Regular.otf", "HankenGrotesk-Bold.otf", "HankenGrotesk-Medium.otf", "HankenGrotesk-Italic.otf"),
    *("Caladea-Regular.ttf", "Caladea-Bold.ttf"),
)
_FOR_TRAINING = {
    "font_roboto": ("Roboto", "RobotoBold", "RobotoBlack", "RobotoItalic", "RobotoMedium", "RobotoLight"),
    "font_source_sans_pro": ("SourceSansPro", "SourceSansProBold", "SourceSansProBlack", "SourceSansProIt"),
    "font_source_serif_pro": ("SourceSerifPro", "SourceSerifProBold", "SourceSerifProSemibold"),
    "font_manrope": ("Manrope", "ManropeBold", "ManropeMedium", "ManropeSemiBold"),
}
_FOR_TRAINING_FROM_MATPLOTLIB = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSerif-Bold"),
    *("STIXGeneral", "STIXGeneralBol", "cmss10", "cmtt10"),
)
_OURS = Path(__file__).parent / "fonts"
_GLYPH_HEIGHTS_PX = (25, 29, 32, 36)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plates:
    """Labelled pictures.

    Attributes:
        pictures: uint8, shape (n, HEIGHT, WIDTH), grey.
        texts: n strings of LENGTH characters out of ALPHABET.
    """

    pictures: NDArray[np.uint8]
    texts: tuple[str, ...]

    def labels(self) -> NDArray[np.int64]:
        """Return the texts as indices into ALPHABET, shape (n, LENGTH)."""
        return np.array([[ALPHABET.index(char) for char in text] for text in self.texts], dtype=np.int64)


def draw(count: int, *, seed: int, held_out: bool, hardness: float = TASK_HARDNESS, stratified: bool = False) -> Plates:
    """Draw plates; the same arguments give the same bytes.

    Args:
        count: number of plates.
        seed: seed of everything random.
        held_out: True for the typefaces that training never sees.
        hardness: 0 is clean; training goes up to 1, the task is `TASK_HARDNESS`.
        stratified: True if every character is to be equally frequent at every place, as far as the count allows.
    """
    rng = np.random.default_rng([seed, held_out])
    fonts = font_paths(held_out=held_out)
    pictures = np.empty((count, HEIGHT, WIDTH), dtype=np.uint8)
    planned = _stratified_texts(count, rng) if stratified else None
    texts = []
    for index in range(count):
        text = planned[index] if planned else "".join(ALPHABET[i] for i in rng.integers(len(ALPHABET), size=LENGTH))
        pictures[index] = _draw_one(text, fonts[rng.integers(len(fonts))], rng, hardness)
        texts.append(text)
    return Plates(pictures=pictures, texts=tuple(texts))


def resize(pictures: NDArray[np.uint8], resolution: int) -> NDArray[np.float32]:
    """Return pictures as a network of some resolution takes them.

    Args:
        pictures: uint8, (n, height, width).
        resolution: height in pixels; the width is three times the height.

    Returns:
        float32 in [-1, 1], (n, 1, resolution, 3 * resolution).
    """
    size = (resolution * WIDTH // HEIGHT, resolution)
    if pictures.shape[1:] != (size[1], size[0]):
        pictures = np.stack([_resize_one(picture, size) for picture in pictures])
    return (pictures.astype(np.float32) * np.float32(2 / 255) - np.float32(1))[:, None]


def read(logits: NDArray[np.float32]) -> list[str]:
    """Return the n texts that a network's logits (n, LENGTH * len(ALPHABET)) mean: the likeliest characters."""
    classes = logits.reshape(len(logits), LENGTH, len(ALPHABET)).argmax(axis=2)
    return ["".join(ALPHABET[i] for i in row) for row in classes]


def _stratified_texts(count: int, rng: np.random.Generator) -> list[str]:
    # At each place the characters come in rounds, each round a permutation of the alphabet.
    rounds = -(-count // len(ALPHABET))
    places = [np.concatenate([rng.permutation(len(ALPHABET)) for _ in range(rounds)]) for _ in range(LENGTH)]
    return ["".join(ALPHABET[i] for i in row) for row in np.stack(places, axis=1)[:count]]


@cache
def font_paths(*, held_out: bool) -> tuple[str, ...]:
    """Return the font files of one side of the split, in a fixed order.

    Raises:
        MissingExtraError: if those for training are not installed.
    """
    import matplotlib

    from_matplotlib = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    if held_out:
        return tuple(str((from_matplotlib if name.startswith("DejaVu") else _OURS) / name) for name in _HELD_OUT)
    paths = [str(from_matplotlib / f"{name}.ttf") for name in _FOR_TRAINING_FROM_MATPLOTLIB]
    with extra("train", "drawing plates to train on"):
        for module, names in _FOR_TRAINING.items():
            package = importlib.import_module(module)
            paths += [str(getattr(package, name)) for name in names]
    return tuple(paths)


@cache
def _font(path: str, glyph_height_px: int) -> ImageFont.FreeTypeFont:
    """Return a font at the size that gives its capitals a height in pixels (fonts differ by a third at equal size)."""
    top, bottom = ImageFont.truetype(path, 100).getbbox("H")[1::2]
    return ImageFont.truetype(path, round(100 * glyph_height_px / (bottom - top)))


def _resize_one(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR, reducing_gap=None))


def _draw_one(text: str, font_path: str, rng: np.random.Generator, hardness: float) -> NDArray[np.uint8]:
    # In the order of a camera: what is on the plate, its view at an angle, defocus, then the sensor's noise.
    paper, ink = _shades(rng, hardness)
    image = Image.new("L", (WIDTH, HEIGHT), paper)
    pen = ImageDraw.Draw(image)
    _draw_clutter(pen, rng, hardness, paper)
    _draw_text(pen, text, font_path, rng, ink, hardness)
    image = image.transform(
        (WIDTH, HEIGHT), Image.Transform.AFFINE, _tilt(rng, hardness), Image.Resampling.BILINEAR, fillcolor=paper
    )
    if rng.random() < 0.7:
        image = image.filter(ImageFilter.GaussianBlur(hardness * rng.uniform(0.2, 1.8)))
    noise = rng.standard_normal((HEIGHT, WIDTH), dtype=np.float32) * np.float32(hardness * rng.uniform(2, 26))
    return np.clip(np.asarray(image, dtype=np.float32) + noise, 0, 255).astype(np.uint8)


def _shades(rng: np.random.Generator, hardness: float) -> tuple[int, int]:
    """Return the grey of the plate and of its characters; contrast falls with hardness, and either may be darker."""
    contrast = rng.uniform(200 - 156 * hardness, 220)
    dark = rng.uniform(0, 255 - contrast)
    pair = (round(dark + contrast), round(dark))
    return pair if rng.random() < 0.75 else pair[::-1]


def _draw_clutter(pen: ImageDraw.ImageDraw, rng: np.random.Generator, hardness: float, paper: int) -> None:
    """Draw patches of shade (shadow, dirt), screws or lines, and a border; none of them are characters."""
    for _ in range(rng.integers(0, 1 + round(5 * hardness))):
        x, y = rng.uniform(-10, WIDTH), rng.uniform(-10, HEIGHT)
        shade = int(np.clip(paper + rng.normal(0, 34 * hardness), 0, 255))
        box = (x, y, x + rng.uniform(5, 60), y + rng.uniform(3, 25))
        (pen.rectangle if rng.random() < 0.5 else pen.ellipse)(box, fill=shade)
    for _ in range(rng.integers(0, 1 + round(4 * hardness))):
        shade = int(rng.integers(0, 256))
        ends = (rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT))
        pen.line(ends, fill=shade, width=1)
    if rng.random() < 0.5:
        pen.rectangle((1, 1, WIDTH - 2, HEIGHT - 2), outline=int(rng.integers(0, 256)))


def _draw_text(
    pen: ImageDraw.ImageDraw, text: str, font_path: str, rng: np.random.Generator, ink: int, hardness: float
) -> None:
    font = _font(font_path, int(rng.choice(_GLYPH_HEIGHTS_PX)))
    pitch = rng.uniform(29, 33.5)
    x = WIDTH / 2 - pitch * (LENGTH - 1) / 2 + rng.uniform(-5, 5)
    y = HEIGHT / 2 + rng.uniform(-3.5, 3.5)
    for char in text:
        at = (x + hardness * rng.uniform(-1.45, 1.45), y + hardness * rng.uniform(-1.45, 1.45))
        pen.text(at, char, ink, font, anchor="mm")
        x += pitch


def _tilt(rng: np.random.Generator, hardness: float) -> tuple[float, float, float, float, float, float]:
    """Return the affine map from output to input pixels: a turn and a shear about the centre.

    At hardness 1 the turn is up to 8.5 degrees and the shear up to 0.22.
    """
    turn = hardness * np.deg2rad(rng.uniform(-8.5, 8.5))
    shear = hardness * rng.uniform(-0.22, 0.22)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[1, shear], [0, 1]]
    centre = np.array([WIDTH / 2, HEIGHT / 2])
    offset = centre - matrix @ centre  # so that the centre stays where it is
    return (*matrix[0], offset[0], *matrix[1], offset[1])
