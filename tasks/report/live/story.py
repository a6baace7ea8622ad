"""Explanation of the network's steps in order, with the numbers of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.geometry import for_each, layer_sizes
from tasks.records import Shape
from tasks.settings import NetworkSettings
from tasks.words import plural


@dataclass(frozen=True)
class RunFacts:
    """Numbers of a run for the explanation."""

    shape: Shape
    names: Sequence[str]
    """Class names."""
    network: NetworkSettings
    learned: int
    """Number of learned weights and biases."""
    training_images: int
    batch_size: int
    milestones: Sequence[tuple[int, int, int]]
    """Iterations, correct and total test images; ascending, the first one before training."""
    confused: Sequence[tuple[int, int, int]]
    """True class, predicted class and count of every pair with an error."""


@dataclass(frozen=True)
class Caption:
    """Text of one step."""

    title: str
    text: str
    picture: str
    """Prefix of the name of the report's figure that shows the step, if there is one."""


def tell_story(run: RunFacts) -> list[Caption]:
    """Return the texts of the steps, from the image to the errors."""
    return [
        Caption("An image is numbers", image_words(run), "first-test-images"),
        Caption("A filter looks for a small pattern", filter_words(run), "convolution"),
        Caption("Pooling keeps what matters", pooling_words(run), "conv1-outputs"),
        Caption("Layers build on each other", layers_words(run), "flow"),
        Caption("Learning goes in small steps", learning_words(run), "learning-curve"),
        Caption("What the errors have in common", errors_words(run), "confused-pairs"),
    ]


def image_words(run: RunFacts) -> str:
    height, width = run.shape.height, run.shape.width
    return (
        f"To a computer an image is {height} × {width} = {height * width:,} numbers, one for each"
        " pixel, from 0 for no ink to 255. Nothing in them says to which of the"
        f" {len(run.names)} classes the image belongs. That can only be learned from images with"
        f" labels: here there {'is' if run.training_images == 1 else 'are'}"
        f" {run.training_images:,} of them to train on."
    )


def filter_words(run: RunFacts) -> str:
    network = run.network
    if not network.conv_filters:
        return "This network has no convolutional layer, so it has no filters."
    layers = len(network.conv_filters)
    size = for_each(layers, network.conv_sizes)[0]
    stride = for_each(layers, network.conv_strides)[0]
    filters = network.conv_filters[0]
    step = f"{plural(stride, 'pixel')}"
    return (
        f"A filter of the first layer is {size} × {size} weights. It is laid over a patch of the"
        " image: each pixel times the weight above it, all added up, is one pixel of the output."
        f" Then it moves on by {step}. Where the patch is like the filter, the sum is large."
        f" The first layer has {plural(filters, 'filter')}, so it has"
        f" {plural(filters, 'output')}."
    )


def pooling_words(run: RunFacts) -> str:
    network = run.network
    layers = len(network.conv_filters)
    pooling = for_each(layers, network.pooling) if layers else ()
    kept = {"max": "the largest", "average": "the mean"}
    sentences = []
    for n, kind in enumerate(pooling):
        if kind == "none":
            continue
        (tall, wide), (height, width) = layer_sizes(network, run.shape.height, run.shape.width)[n]
        sentences.append(
            f"of every 2 × 2 neighbouring pixels in an output of conv{n + 1}, {kept[kind]} is kept:"
            f" {tall} × {wide} pixels become {height} × {width}"
        )
    if not sentences:
        return "This network does not pool: every pixel of a layer's output goes to the next layer."
    words = "; ".join(sentences)
    return (
        f"{words[0].upper()}{words[1:]}. So it matters less where exactly a stroke lies, and the"
        " next layer has less to compute."
    )


def layers_words(run: RunFacts) -> str:
    network, shape = run.network, run.shape
    sentences = []
    for n, filters in enumerate(network.conv_filters[1:], start=2):
        before = network.conv_filters[n - 2]
        who = f"Each of the {filters} filters" if filters > 1 else "The one filter"
        what = f"all {before} outputs" if before > 1 else "the one output"
        sentences.append(f"{who} of conv{n} looks at {what} of conv{n - 1}.")
    numbers, source = shape.height * shape.width, "pixels"
    if network.conv_filters:
        height, width = layer_sizes(network, shape.height, shape.width)[-1][1]
        numbers, source = height * width * network.conv_filters[-1], "numbers that are left"
    neurons = ", then ".join(f"{plural(n, 'neuron')}" for n in network.dense)
    way = f"to {neurons}, and from there to" if neurons else "straight to"
    sentences.append(
        f"The {numbers:,} {source} go {way} the last layer, which has one output for each of the"
        f" {shape.classes} classes."
    )
    sentences.append("Softmax makes probabilities of them.")
    sentences.append(f"All these layers together have {run.learned:,} numbers that are learned.")
    return " ".join(sentences)


def learning_words(run: RunFacts) -> str:
    _, correct, total = run.milestones[0]
    start = f"{correct:,} of {total:,} test images"
    iterations, reached, _ = run.milestones[-1]
    if iterations == 0:
        return (
            "The weights begin with random values, and this run has not trained them: it gets"
            f" {start} right."
        )
    rest = f" After the last one, {reached:,} are right."
    return (
        f"The weights begin with random values: before training, {start} are right. In each of"
        f" {plural(iterations, 'iteration')} the network answers"
        f" {plural(run.batch_size, 'training image')}, and the weights take a"
        " small step in the direction that makes these answers less wrong."
        f"{rest}"
    )


def errors_words(run: RunFacts) -> str:
    _, correct, total = run.milestones[-1]
    wrong = total - correct
    if not wrong:
        return f"None of the {total:,} test images is wrong."
    pairs: dict[tuple[int, int], int] = {}
    for true, predicted, count in run.confused:
        key = (min(true, predicted), max(true, predicted))
        pairs[key] = pairs.get(key, 0) + count
    (first, second), most = max(pairs.items(), key=lambda item: (item[1], item[0]))
    largest = sorted(pairs.values(), reverse=True)[:3]
    verb = "is" if wrong == 1 else "are"
    words = f"Of {total:,} test images {wrong:,} {verb} wrong."
    names = f"{run.names[first]} and {run.names[second]}"
    words += f" No two classes are mixed up more often than {names}: {times_in_words(most)}."
    if len(largest) == 3 and len(pairs) > 3:
        possible = len(run.names) * (len(run.names) - 1) // 2
        words += (
            f" Three of the {possible:,} possible pairs of classes make up {sum(largest):,} of"
            f" the {wrong:,} errors."
        )
    return words + " Look at them: would you always know?"


def times_in_words(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")
