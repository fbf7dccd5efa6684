"""Picture files are read as a viewer shows them, and for published accuracies as torchvision reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from torchvision.datasets.folder import default_loader

from helpers.photo_folder import TENCH
from supernets import SupernetError
from supernets.artifact import Artifact
from supernets.pictures import images
from supernets.pictures.image_folder import ImageFolder, image_pool
from supernets.pictures.preparing import IMAGENET
from supernets.pictures.sources import plate_folder

ORIENTATION = 0x0112
GREYS = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)


def upright() -> Image.Image:
    """A picture that looks different in each of the eight orientations."""
    return Image.fromarray(np.dstack([GREYS, GREYS[::-1], GREYS[:, ::-1] // 2]))


@pytest.mark.parametrize("ending", ["jpg", "webp", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_data_say(tmp_path: Path, orientation: int, ending: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = tmp_path / f"photo.{ending}"
    # Orientation is undone when a viewer turns, so that what is stored is the inverse turn of what is to be seen.
    turn = images._TURNS.get(orientation)
    inverse = {
        Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
        Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
    }
    stored = upright() if turn is None else upright().transpose(inverse.get(turn, turn))
    stored.save(file, exif=exif, **({"lossless": True} if ending == "webp" else {"quality": 100}))
    seen = np.asarray(images.read(file)).astype(int)
    assert seen.shape == (12, 16, 3)
    assert np.abs(seen - np.asarray(upright())).max() <= (60 if ending == "jpg" else 0)  # JPEG halves colours
    with Image.open(file) as picture:
        np.testing.assert_array_equal(seen, np.asarray(ImageOps.exif_transpose(picture).convert("RGB")))
    np.testing.assert_array_equal(np.asarray(images.read_as_published(file)), np.asarray(default_loader(str(file))))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's, which a user sees too
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_exif_data_that_can_not_be_read_turn_nothing(tmp_path: Path, exif: bytes) -> None:
    upright().save(tmp_path / "photo.jpg", exif=exif)
    assert images.read(tmp_path / "photo.jpg").size == (16, 12)


def sixteen(form: str) -> Callable[[Path], None]:
    return lambda file: Image.fromarray(GREYS.astype(form) * 257).save(file)


def saved(picture: Image.Image, **options: object) -> Callable[[Path], None]:
    return lambda file: picture.save(file, **options)


def pgm(file: Path) -> None:
    file.write_bytes(b"P5 16 12 65535\n" + (GREYS.astype(">u2") * 257).tobytes())


@pytest.mark.parametrize(
    ("name", "save"), [("a.png", sixteen("<u2")), ("a.tif", sixteen("<u2")), ("b.tif", sixteen(">u2")), ("a.pgm", pgm)]
)
def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path, name: str, save: Callable[[Path], None]) -> None:
    save(tmp_path / name)
    for read in (images.read, images.read_as_published):
        np.testing.assert_array_equal(np.asarray(read(tmp_path / name).convert("L")), GREYS)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_values_of_which_nobody_knows_the_white_are_refused_by_the_files_name(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (4, 4), 1000).save(tmp_path / "depth.tif")
    for read in (images.read, images.read_as_published):
        with pytest.raises(SupernetError, match=r"depth.tif holds (floats|32-bit integers), and nothing says which is"):
            read(tmp_path / "depth.tif")
    (tmp_path / "depth.tif").rename(tmp_path / "AB12.png")
    with pytest.raises(SupernetError, match=r"AB12.png holds"):
        plate_folder(tmp_path)


def half_clear(mode: str) -> Image.Image:
    """Left clear, right grey 40; both stored as 40 where the mode allows that."""
    alpha = Image.new("L", (8, 4), 255)
    alpha.paste(0, (0, 0, 4, 4))
    picture = Image.new("RGB" if mode == "PA" else "L", (8, 4), (40, 40, 40) if mode == "PA" else 40)
    if mode == "PA":  # Pillow's own way there drops the alpha
        picture = picture.quantize(4).convert("PA")
    picture.putalpha(alpha)
    return picture.convert(mode)


def keyed(mode: str) -> Image.Image:
    """Left 7, right 40, for a colour that stands for clear."""
    picture = Image.new("L", (8, 4), 40)
    picture.paste(7, (0, 0, 4, 4))
    return picture.convert(mode)


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("la.png", saved(half_clear("LA"))),
        ("rgba.png", saved(half_clear("RGBA"))),
        ("rgba.webp", saved(half_clear("RGBA"), lossless=True)),
        ("pa.tif", saved(half_clear("PA"))),
        ("rgb-key.png", saved(keyed("RGB"), transparency=(7, 7, 7))),
        ("l-key.png", saved(keyed("L"), transparency=7)),
        ("p-key.png", saved(keyed("P"), transparency=keyed("P").getpixel((0, 0)))),
    ],
)
def test_what_is_transparent_is_put_on_white(tmp_path: Path, name: str, save: Callable[[Path], None]) -> None:
    save(tmp_path / name)
    seen = np.asarray(images.read(tmp_path / name))
    assert (seen[:, :4] == 255).all()
    assert (seen[:, 4:] == 40).all()
    np.testing.assert_array_equal(
        np.asarray(images.read_as_published(tmp_path / name)), np.asarray(default_loader(str(tmp_path / name)))
    )


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr"])
def test_other_pictures_are_read_as_torchvision_reads_them(tmp_path: Path, mode: str) -> None:
    upright().convert(mode).save(tmp_path / "photo.tif")
    expected = np.asarray(default_loader(str(tmp_path / "photo.tif")))
    for read in (images.read, images.read_as_published):
        np.testing.assert_array_equal(np.asarray(read(tmp_path / "photo.tif")), expected)


def test_accuracy_is_measured_on_what_torchvision_reads_and_a_run_serves_what_a_viewer_shows(tmp_path: Path) -> None:
    (tmp_path / TENCH).mkdir()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    upright().resize((160, 120)).save(tmp_path / TENCH / "phone.png", exif=exif)
    shape = (1, 3, 96, 96)
    ((x, _),) = ImageFolder(tmp_path).batches(shape, 1)
    pool = image_pool(tmp_path, seed=0)
    file = pool.files[0]
    expected = [IMAGENET.pixels(read(file), (1, 3, 96, 96)) for read in (default_loader, images.read)]
    assert not np.array_equal(*expected)
    np.testing.assert_array_equal(x[0], IMAGENET.normalised(expected[0], (1, 3, 96, 96)))
    served = pool.adapt(np.asarray(images.read(file)), _artifact(shape))
    np.testing.assert_array_equal(pool.inputs(_artifact(shape))(0), served)


def _artifact(shape: tuple[int, ...]) -> Artifact:
    return Artifact(subnet="classifier", path="", input_shape=shape, weights_hash="")
