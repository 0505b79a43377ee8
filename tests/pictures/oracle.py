"""What Pillow makes of image files that come over a pipe, beside what ChatPic made of them.

Asked: the file's length and the file; then how many pictures there are, and of each the frame that it is of, its width
and height, and its pixels (red, green, blue, alpha). Numbers are of four bytes, the lowest first.
Answered: a line with frames, width and height, and how far each picture is from the frame: once both are drawn on white
and reduced to 64 x 64, the mean difference in levels. Or "refused".
"""

import io
import struct
import sys
import warnings

import numpy as np
from PIL import Image, ImageOps

warnings.simplefilter("ignore")
# Twice as many are refused: none that ChatPic takes in the fuzzer is so large.
Image.MAX_IMAGE_PIXELS = 4 << 20
ASKED, ANSWERS = sys.stdin.buffer, sys.stdout


def number() -> int:
    four = ASKED.read(4)
    if len(four) < 4:
        sys.exit(0)
    return struct.unpack("<I", four)[0]


def coloured(image: Image.Image) -> Image.Image:
    if image.format in ("JPEG", "MPO", "PNG"):
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        # Pillow would cut sixteen bits off at 255.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGBA")


def reduced(image: Image.Image) -> np.ndarray:
    ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
    ground.alpha_composite(image)
    return np.asarray(ground.convert("RGB").resize((64, 64), Image.Resampling.BOX)).astype(float)


def answer(file: bytes, pictures: list[tuple[int, Image.Image]]) -> str:
    with Image.open(io.BytesIO(file), formats=("JPEG", "PNG", "GIF", "WEBP")) as image:
        frames = getattr(image, "n_frames", 1) if image.format in ("GIF", "WEBP") else 1
        image.seek(0)
        size = coloured(image).size
        differences = []
        for frame, picture in pictures:
            image.seek(frame if frames > 1 else 0)
            differences.append(np.abs(reduced(coloured(image)) - reduced(picture)).mean())
    return " ".join(map(str, [frames, *size, *differences]))


while True:
    file = ASKED.read(number())
    pictures = []
    for _ in range(number()):
        frame, size = number(), (number(), number())
        pictures.append((frame, Image.frombytes("RGBA", size, ASKED.read(4 * size[0] * size[1]))))
    try:
        said = answer(file, pictures)
    except Exception:
        said = "refused"
    print(said, file=ANSWERS, flush=True)
