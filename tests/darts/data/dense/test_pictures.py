"""Pictures of predictions."""

import io

import torch
from PIL import Image

from darts.data.dense.pictures import masks_png


def test_a_class_has_one_colour_in_true_and_predicted_masks():
    true = torch.full((1, 8, 8), 3)
    predicted = true.clone()
    predicted[0, 0] = 9
    picture = Image.open(io.BytesIO(masks_png(torch.zeros(1, 1, 8, 8), true, predicted, 11)))
    image, first, second = (picture.getpixel((84, 4 + 164 * row + 100)) for row in range(3))
    assert first == second != image
