"""Image files of every kind: upright, opaque, of any depth; what is damaged is named in one line."""

import random
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from darts.data.folder_layout import list_folder
from darts.data.image_decoder import ORIENTATION, UPRIGHT, decode, read_header
from darts.data.image_folder import form_of, read_listing
from darts.errors import UserError

SHADES = np.arange(32, dtype=np.uint8).reshape(4, 8) * 8
COLOURS = np.stack([SHADES, SHADES[::-1], 255 - SHADES], -1)


def png16(pixels):
    """A PNG file of 16 bits a channel; Pillow writes none with colours."""
    h, w, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", w, h, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def folder_of(root, write, count=6):
    """Classes a and b, of files that ``write`` writes, (path without its end, index)."""
    for name in ("a", "b"):
        (root / name).mkdir()
        for index in range(count):
            write(root / name / str(index), index)
    return root


def read_folder(root):
    listing = list_folder(root)
    return read_listing(listing, form_of(*listing.paths, None))


@pytest.mark.parametrize("end", ["png", "jpg", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_upright(tmp_path, end, orientation):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16], upright[8:, 16:] = 255, 120
    back = {6: UPRIGHT[8], 8: UPRIGHT[6]}.get(orientation, UPRIGHT.get(orientation))
    stored = Image.fromarray(upright) if back is None else Image.fromarray(upright).transpose(back)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = str(tmp_path / f"x.{end}")
    stored.save(path, exif=exif, **({"lossless": True} if end == "webp" else {}))
    header = read_header(path)
    assert (header.width, header.height) == (32, 16)
    found = np.asarray(decode(path, 3))
    assert np.abs(found.astype(int) - upright).max() <= 8, "JPEG changes values a little"


def transparent(kind):
    alpha = np.zeros((4, 8), np.uint8)
    alpha[:, :4] = 255
    if kind == "RGBA":
        return Image.fromarray(np.dstack([COLOURS, alpha]))
    return Image.fromarray(np.dstack([SHADES, alpha]))


@pytest.mark.parametrize(("kind", "channels"), [("RGBA", 3), ("LA", 1)])
def test_what_is_hidden_under_transparency_is_not_shown(tmp_path, kind, channels):
    path = str(tmp_path / "x.png")
    transparent(kind).save(path)
    found = np.asarray(decode(path, channels))
    visible = COLOURS if channels == 3 else SHADES
    assert np.array_equal(found[:, :4], visible[:, :4]) and (found[:, 4:] == 255).all()
    assert read_header(path).grey == (channels == 1)


@pytest.mark.parametrize("transparency", [3, bytes([255, 255, 255, 0])])
@pytest.mark.parametrize("end", ["png", "gif"])
def test_transparent_palettes_are_quiet_and_opaque(tmp_path, transparency, end, capsys):
    if end == "gif" and isinstance(transparency, bytes):
        pytest.skip("GIF has one transparent colour")
    image = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4) % 4, "P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 1, 2, 3])
    path = str(tmp_path / f"x.{end}")
    image.save(path, transparency=transparency)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = np.asarray(decode(path, 3))
    assert (found[:, 3] == 255).all() and found[0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_16_bits_are_scaled_by_the_bits_that_are_used(tmp_path, bits, channels):
    top = 2**bits - 1
    pixels = np.random.default_rng(0).integers(0, top + 1, (8, 8, channels))
    pixels[0, 0] = top
    if channels in (2, 4):
        pixels[..., -1] = 2**16 - 1  # opaque, whatever the colours' scale
    folder_of(tmp_path, lambda path, index: path.with_suffix(".png").write_bytes(png16(pixels)))
    arrays = read_folder(tmp_path)
    colours = pixels if channels in (1, 3) else pixels[..., :-1]
    assert np.array_equal(arrays.train_images[0].transpose(1, 2, 0), colours >> (bits - 8))
    assert arrays.preprocessing["bits"] == bits and arrays.preprocessing["channels"] == colours.shape[-1]


def test_16_bits_beside_8_bits(tmp_path):
    def write(path, index):
        values = SHADES.astype(np.uint16) * 16 if index % 2 else SHADES
        Image.fromarray(values[:, :4]).save(path.with_suffix(".png"))

    arrays = read_folder(folder_of(tmp_path, write))
    assert (arrays.train_images == SHADES[:, :4]).all(), "12 bits are used"


def test_negative_values_and_fractions_are_named(tmp_path):
    for values, message in ((-SHADES.astype(np.int32), "negative"), (SHADES.astype(np.float32), "floating-point")):
        folder = tmp_path / message
        folder.mkdir()
        folder_of(folder, lambda path, _, values=values: Image.fromarray(values).save(path.with_suffix(".tif")))
        with pytest.raises(UserError, match=rf"\.tif: an image of {message} values"):
            read_folder(folder)


@pytest.mark.parametrize("coloured", [[], ["train"], ["test"]])
def test_one_coloured_image_anywhere_makes_all_coloured(tmp_path, coloured, monkeypatch):
    monkeypatch.setattr("darts.data.image_folder.SAMPLE", 2)
    for split in ("train", "test"):
        folder = tmp_path / split
        folder.mkdir()
        folder_of(folder, lambda path, index: Image.new("L", (4, 4), 9 * index).save(path.with_suffix(".png")))
    for split in coloured:
        Image.new("RGB", (4, 4), (250, 0, 0)).save(tmp_path / split / "b" / "5.png")
    assert read_folder(tmp_path).train_images.shape[1] == (3 if coloured else 1)


def test_wide_images_are_cropped_and_the_line_says_so(tmp_path):
    folder_of(tmp_path, lambda path, index: Image.new("RGB", (40, 10)).save(path.with_suffix(".png")))
    arrays = read_folder(tmp_path)
    assert "shorter side resized to 10, then the centre cropped, which cuts off up to 75 % of an image" in arrays.notes
    assert arrays.preprocessing["resize_shorter_side"] == arrays.preprocessing["centre_crop"] == 10


FORMATS = {
    "png": {}, "jpg": {}, "ppm": {}, "bmp": {}, "pgm": {}, "tif": {"compression": "tiff_lzw"}, "tiff": {}, "webp": {},
}  # fmt: skip


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    found = {}
    for end, options in FORMATS.items():
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8))
        image = image.convert("L") if end == "pgm" else image
        image.save(folder / f"x.{end}", **options)
        found[end] = (folder / f"x.{end}").read_bytes()
    return found


@settings(max_examples=300, deadline=None)
@given(end=st.sampled_from(sorted(FORMATS)), seed=st.integers(0, 10**6))
def test_damaged_images_of_every_format_are_named_in_one_line(end, seed, originals, tmp_path_factory):
    rng, content = random.Random(seed), bytearray(originals[end])
    for _ in range(rng.randint(1, 6)):
        content[rng.choice([rng.randrange(len(content)), rng.randrange(40)])] = rng.randrange(256)
    if rng.random() < 0.3:
        content = content[: rng.randrange(len(content))]
    path = tmp_path_factory.getbasetemp() / f"damaged.{end}"
    path.write_bytes(content)
    for act in (read_header, lambda path: decode(path, 3)):
        try:
            act(str(path))
        except UserError as error:
            assert f"damaged.{end}" in str(error) and "\n" not in str(error)


def test_the_header_of_a_ppm(tmp_path):
    (tmp_path / "z.ppm").write_bytes(b"P6\n8 x8\n255\n" + bytes(192))
    with pytest.raises(UserError, match="z.ppm: not a readable image"):
        read_header(str(tmp_path / "z.ppm"))


def test_exif_data_behind_the_pixels_of_a_png_file(tmp_path):
    path = tmp_path / "x.png"
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(np.zeros((16, 32), np.uint8)).save(path, exif=exif)
    content = path.read_bytes()
    begin = content.index(b"eXIf") - 4
    end = begin + 12 + int.from_bytes(content[begin : begin + 4], "big")
    path.write_bytes(content[:begin] + content[end:-12] + content[begin:end] + content[-12:])  # before IEND
    header = read_header(str(path))
    assert header.size == decode(str(path), 1).size == (16, 32) and header.stored_size == (32, 16)
