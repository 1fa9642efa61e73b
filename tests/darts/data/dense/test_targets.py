"""Targets follow the augmentation of their images; locations and boxes; losses."""

import numpy as np
import pytest
import torch

from darts.data.augment import Augmentation, draw
from darts.data.dataset import Arrays
from darts.data.dense.detection import Detection, assigned
from darts.data.dense.labels import IGNORED, NO_BOX
from darts.data.dense.segmentation import Segmentation
from darts.data.dense.targets import TARGETS, move_boxes, move_masks
from darts.data.resident import resident
from supernet.heads import HEADS

SIDE = 12


def bounds(mask):
    rows, columns = mask.nonzero(as_tuple=True)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_every_head_has_its_targets():
    assert set(TARGETS) == set(HEADS)


def test_masks_move_with_their_images():
    masks = np.random.default_rng(0).integers(0, 5, (40, SIDE, SIDE)).astype(np.uint8)
    arrays = Arrays(40 * masks[:, None] + 20, masks, 40 * masks[:4, None] + 20, masks[:4], tuple("abcde"), "mask")
    data = resident("masks", arrays, Augmentation(3, flip=True), torch.Generator().manual_seed(0))
    assert data.shape.classes == 5 and data.train.class_labels() is None
    images, moved = next(data.train.batches(torch.arange(40), 40, training=True))
    raw = images[:, 0] * data.train.std + data.train.mean
    padded = moved == IGNORED
    assert torch.allclose(raw[~padded], 40.0 * moved[~padded] + 20, atol=1e-3) and raw[padded].abs().max() < 1e-3
    assert 0.02 < padded.float().mean() < 0.5
    assert torch.equal(
        next(data.test.batches(torch.arange(4), 4, training=False))[1], torch.from_numpy(masks[:4]).long()
    )


def test_boxes_move_with_their_images():
    """The bounds of each object in the moved masks are the moved boxes."""
    generator = np.random.default_rng(0)
    masks, boxes = torch.zeros(60, SIDE, SIDE, dtype=torch.uint8), torch.full((60, 2, 5), float(NO_BOX))
    for mask, rows in zip(masks, boxes):
        top, left = generator.integers(0, 7, 2)
        height, width = generator.integers(2, 6, 2)
        mask[top : top + height, left : left + width] = 1
        rows[0] = torch.tensor([*bounds(mask), 3])
    draws = draw(Augmentation(4, flip=True), 60, SIDE, SIDE, torch.Generator().manual_seed(0))
    moved, maps = move_boxes(boxes, draws, SIDE), move_masks(masks, draws, SIDE)
    kept = 0
    for rows, mask in zip(moved, maps):
        assert rows[1, 4] == NO_BOX
        if rows[0, 4] != NO_BOX:
            assert rows[0].tolist() == [*bounds(mask == 1), 3]
            kept += 1
    assert 30 < kept < 60


def test_a_location_predicts_the_smallest_box_around_it_on_the_level_of_its_size():
    fine = torch.tensor([[x + 0.5, y + 0.5, 1.0] for y in range(20) for x in range(20)]) * 2
    coarse = torch.tensor([[x + 0.5, y + 0.5, 1.0] for y in range(10) for x in range(10)]) * 4
    locations = torch.cat([fine, coarse])
    small, large, other = [10.0, 10, 18, 18, 0], [0.0, 0, 36, 40, 1], [12.0, 9, 24, 21, 2]
    chosen = assigned(locations, torch.tensor([[small, large, other], [small, [NO_BOX] * 5, [NO_BOX] * 5]]))
    for image, boxes in ((0, (small, large, other)), (1, (small,))):
        for place, (x, y, stride) in enumerate(locations.tolist()):
            fitting = []
            for number, (x0, y0, x1, y1, _) in enumerate(boxes):
                sides = x - x0, y - y0, x1 - x, y1 - y
                near = max(abs(x - (x0 + x1) / 2), abs(y - (y0 + y1) / 2)) < 1.5 * stride
                if min(sides) > 0 and near and (max(sides) <= 16) == (stride == 2):
                    fitting.append(((x1 - x0) * (y1 - y0), number))
            assert chosen[image, place] == (min(fitting)[1] if fitting else -1)
    assert set(chosen[0].tolist()) == {-1, 0, 1, 2} and set(chosen[1].tolist()) == {-1, 0}


def exact_output(boxes, classes, logit=9.0):
    """What a network that knows the boxes predicts at the locations of stride 2, and at no other."""
    places = torch.tensor([[2 * x + 1.0, 2 * y + 1.0, 2.0] for y in range(12) for x in range(12)])
    chosen = assigned(places, boxes)
    truth = boxes.gather(1, chosen.clamp_min(0)[..., None].expand(-1, -1, 5))
    scores = torch.full((len(boxes), len(places), classes), -logit)
    scores.scatter_(2, truth[..., 4:].long().clamp_min(0), torch.where(chosen >= 0, logit, -logit)[..., None])
    return torch.cat([places.expand(len(boxes), -1, -1), truth[..., :4], scores], dim=2)


def test_who_knows_the_boxes_has_no_loss_and_full_precision():
    boxes = torch.tensor([[[2.0, 2, 10, 9, 1], [12, 11, 20, 22, 0]], [[5.0, 4, 14, 16, 2], [0, 0, 0, 0, NO_BOX]]])
    output = exact_output(boxes, 3)
    objective = Detection(3)
    assert objective(lambda images: output, (boxes, boxes)).loss < 1e-3
    _, sums = objective.evaluate(lambda images: output, (boxes, boxes))
    arrays = {"boxes": sums["boxes"], "detections": torch.cat(sums["detections"].parts)}
    assert objective.figures({}, arrays) == pytest.approx({"average_precision": 1.0, "average_precision_50": 1.0})
    found = objective.detections(output)
    assert [len(each.scores) for each in found] == [2, 1] and found[1].classes.tolist() == [2]
    moved = output.clone()
    moved[..., 3:7] += 3
    assert objective(lambda images: moved, (boxes, boxes)).loss > 0.3


def test_losses_of_torchvision():
    ops = pytest.importorskip("torchvision.ops")
    from darts.data.dense.detection import _focal, _generalized_iou

    torch.manual_seed(0)
    logits, hot = torch.randn(50, 4).double(), (torch.rand(50, 4) < 0.3).double()
    assert torch.allclose(_focal(logits, hot), ops.sigmoid_focal_loss(logits, hot, 0.25, 2.0))
    corners = torch.rand(2, 50, 2).double() * 9
    a, b = (torch.cat([corner, corner + 0.5 + torch.rand(50, 2).double() * 6], dim=1) for corner in corners)
    assert torch.allclose(1 - _generalized_iou(a, b), ops.generalized_box_iou_loss(a, b), atol=1e-6)


def test_pictures_without_any_target_have_a_finite_loss():
    boxes = torch.full((2, 1, 5), float(NO_BOX))
    output = exact_output(torch.tensor([[[2.0, 2, 10, 9, 1]]] * 2), 3).requires_grad_()
    loss = Detection(3)(lambda images: output, (boxes, boxes)).loss
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(output.grad).all()
    scores = torch.zeros(2, 3, 4, 4, requires_grad=True)
    loss = Segmentation(3)(lambda images: scores, (boxes, torch.full((2, 4, 4), IGNORED))).loss
    loss.backward()
    assert loss == 0 and torch.isfinite(scores.grad).all()
