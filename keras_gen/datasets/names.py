"""The data sets that have a name. Nothing is imported here, so that they can be listed at once."""

DATASETS = {
    "fashion_mnist_12k": "12,000 garments, 28 x 28, grey, 10 classes; embedded, needs no network",
    "fashion_mnist": "70,000 garments, 28 x 28, grey, 10 classes",
    "mnist": "70,000 handwritten digits, 28 x 28, grey, 10 classes",
    "cifar10": "60,000 photographs, 32 x 32, colour, 10 classes",
    "celeba": "202,599 faces, 218 x 178, colour; two classes by one of 40 attributes, the label",
}

TEXTS = {
    "python_docs": "Python's language reference, half a million characters; always there, needs no network",
}

_GARMENTS = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)

CLASS_NAMES = {
    "fashion_mnist_12k": _GARMENTS,
    "fashion_mnist": _GARMENTS,
    "mnist": tuple("0123456789"),
    "cifar10": (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
}
