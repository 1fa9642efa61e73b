"""Mean IoU and average precision against implementations written differently, and pycocotools and torchmetrics where
they are installed."""

import numpy as np
import pytest
import torch

from darts.data.dense.average_precision import THRESHOLDS
from darts.data.dense.detection import Detection
from darts.data.dense.labels import IGNORED, NO_BOX, Found
from darts.data.dense.segmentation import Segmentation
from darts.data.objective import Rows
from darts.processes import SINGLE_PROCESS

CLASSES = 4


def random_masks(seed, count=3, size=7):
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, CLASSES - 1, (count, size, size))  # the last class is never true
    predicted = np.where(draw.random(truth.shape) < 0.6, truth, draw.integers(0, CLASSES, truth.shape))
    truth[draw.random(truth.shape) < 0.1] = IGNORED
    return truth, predicted


def evaluated(objective, outputs, targets):
    """The figures of a network that gives these outputs, in batches of 2."""
    sums = {}
    for output, target in zip(outputs.split(2), targets.split(2)):
        _, found = objective.evaluate(lambda images, output=output: output, (target, target))
        for name, value in found.items():
            value = value if isinstance(value, Rows) else value.double()
            sums[name] = sums[name] + value if name in sums else value
    return objective.figures({}, {k: v.gathered(SINGLE_PROCESS) if isinstance(v, Rows) else v for k, v in sums.items()})


@pytest.mark.parametrize("seed", range(5))
def test_mean_iou_pixel_by_pixel(seed):
    truth, predicted = random_masks(seed)
    scores = torch.nn.functional.one_hot(torch.tensor(predicted), CLASSES).movedim(3, 1).float()
    found = evaluated(Segmentation(CLASSES), scores, torch.tensor(truth))
    pixels = [(t, p) for t, p in zip(truth.ravel().tolist(), predicted.ravel().tolist()) if t != IGNORED]
    ious = []
    for label in range(CLASSES):
        true, guessed = ({k for k, pair in enumerate(pixels) if pair[side] == label} for side in (0, 1))
        if true | guessed:
            ious.append(len(true & guessed) / len(true | guessed))
    right = sum(t == p for t, p in pixels) / len(pixels)
    assert found == pytest.approx({"mean_iou": sum(ious) / len(ious), "pixel_accuracy": right}, abs=1e-12)


def test_mean_iou_of_torchmetrics():
    metrics = pytest.importorskip("torchmetrics.segmentation")
    truth, predicted = random_masks(0)
    truth[truth == IGNORED] = 0
    scores = torch.nn.functional.one_hot(torch.tensor(predicted), CLASSES).movedim(3, 1).float()
    found = evaluated(Segmentation(CLASSES), scores, torch.tensor(truth))["mean_iou"]
    metric = metrics.MeanIoU(num_classes=CLASSES, input_format="index")
    assert found == pytest.approx(metric(torch.tensor(predicted)[None], torch.tensor(truth)[None]).item(), abs=1e-6)


def test_a_split_without_any_counted_pixel():
    found = evaluated(Segmentation(2), torch.zeros(2, 2, 3, 3), torch.full((2, 3, 3), IGNORED))
    assert found == {"mean_iou": 0.0, "pixel_accuracy": 0.0}


def random_boxes(seed, images=6):
    """True boxes and detections of each image: some moved a little, some of a wrong class, some of nothing."""
    draw = np.random.default_rng(seed)
    truths, found = [], []
    for _ in range(images):
        corner, side = draw.uniform(0, 20, (draw.integers(0, 5), 2)), 0
        side = draw.uniform(4, 12, corner.shape)
        labels = draw.integers(0, CLASSES - 1, len(corner))
        truths.append(np.concatenate([corner, corner + side, labels[:, None]], axis=1))
        boxes = np.concatenate([corner, corner + side], axis=1)
        boxes = np.concatenate([boxes + draw.normal(0, width, boxes.shape) for width in (0.5, 1.0)] + [boxes[:1] + 9])
        guessed = np.concatenate([labels, labels, labels[:1]])
        wrong = draw.random(len(guessed)) < 0.2
        guessed[wrong] = draw.integers(0, CLASSES, wrong.sum())
        scores = np.sort(draw.random(len(boxes)).round(2))[::-1].copy()  # some scores are equal
        found.append((boxes, scores, guessed))
    return truths, found


class Given(Detection):
    """Detection in which a network's output is the number of the first image of a batch, whose detections are given."""

    def __init__(self, found):
        super().__init__(CLASSES)
        object.__setattr__(self, "found", found)

    def detections(self, output):
        return [Found(*map(torch.from_numpy, self.found[k])) for k in output.tolist()]

    def _loss(self, output, boxes):
        return torch.zeros(())


def found_precision(truths, found):
    most = max(1, *map(len, truths))
    padded = np.full((len(truths), most, 5), float(NO_BOX), np.float32)
    for row, truth in zip(padded, truths):
        row[: len(truth)] = truth
    return evaluated(Given(found), torch.arange(len(truths)), torch.from_numpy(padded))


def overlap(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    inner = width * height
    return inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner)


def precision_of(truths, found, label, threshold):
    """The average precision of a class, detection by detection over all images in order of score."""
    truths = [truth.astype(np.float32).astype(float) for truth in truths]
    wanted = [[tuple(box[:4]) for box in truth if box[4] == label] for truth in truths]
    total = sum(map(len, wanted))
    if total == 0:
        return None
    guesses = [
        (-score, image, rank, box)
        for image, (boxes, scores, labels) in enumerate(found)
        for rank, (box, score, each) in enumerate(zip(boxes, scores, labels))
        if each == label
    ]
    left = [list(boxes) for boxes in wanted]
    points, right = [], 0
    for count, (_, image, _, box) in enumerate(sorted(guesses, key=lambda guess: guess[:3]), 1):
        overlaps = [overlap(box, other) for other in left[image]]
        if overlaps and max(overlaps) >= threshold:
            left[image].pop(int(np.argmax(overlaps)))
            right += 1
        points.append((right / total, right / count))
    read = [max((p for r, p in points if r >= recall), default=0.0) for recall in np.linspace(0, 1, 101)]
    return sum(read) / len(read)


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_detection_by_detection(seed):
    truths, found = random_boxes(seed)
    means = []
    for threshold in THRESHOLDS:
        each = [precision_of(truths, found, label, threshold) for label in range(CLASSES)]
        means.append(np.mean([value for value in each if value is not None]))
    expected = {"average_precision": np.mean(means), "average_precision_50": means[0]}
    assert found_precision(truths, found) == pytest.approx(expected, abs=1e-9)
    assert 0.1 < means[0] <= 1 and means[-1] < 0.9 * means[0]


def test_average_precision_of_pycocotools(capsys):
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    truths, found = random_boxes(0)
    truth, results = coco.COCO(), []
    annotations = [
        {"id": 100 * image + k + 1, "image_id": image, "category_id": int(box[4]), "iscrowd": 0,
         "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]], "area": (box[2] - box[0]) * (box[3] - box[1])}
        for image, boxes in enumerate(truths) for k, box in enumerate(boxes.astype(np.float32).astype(float).tolist())
    ]  # fmt: skip
    categories = [{"id": label} for label in range(CLASSES)]
    truth.dataset = {
        "images": [{"id": image} for image in range(len(truths))],
        "annotations": annotations,
        "categories": categories,
    }
    truth.createIndex()
    for image, (boxes, scores, labels) in enumerate(found):
        for box, score, label in zip(boxes.tolist(), scores.tolist(), labels.tolist()):
            sides = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            results.append({"image_id": image, "category_id": label, "bbox": sides, "score": score})
    judged = cocoeval.COCOeval(truth, truth.loadRes(results), "bbox")
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    expected = {"average_precision": judged.stats[0], "average_precision_50": judged.stats[1]}
    assert found_precision(truths, found) == pytest.approx(expected, abs=1e-6)


def test_no_true_box_and_no_detection():
    nothing = (np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))
    assert found_precision([np.zeros((0, 5))], [nothing]) == {"average_precision": 0.0, "average_precision_50": 0.0}
    one = np.array([[1.0, 1, 5, 5, 2]])
    assert found_precision([one], [nothing])["average_precision"] == 0
    exact = (one[:, :4], np.ones(1), np.array([2]))
    assert found_precision([one], [exact]) == pytest.approx({"average_precision": 1.0, "average_precision_50": 1.0})
