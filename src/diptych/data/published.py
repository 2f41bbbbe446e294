"""The published data sets Diptych knows by name: what their files are and where they may lie."""

from dataclasses import dataclass

from diptych.data.dataset import SplitName

__all__ = ["FASHION_MINI", "PUBLISHED", "Part", "Published", "PublishedFile"]


@dataclass(frozen=True)
class PublishedFile:
    """One file as its publisher gives it.

    Attributes:
        name: with its ending .gz; the unpacked file has the same name without it.
        md5: of the .gz, as published.
        sha256: of the unpacked content, so that unpacked and repacked copies are known too.
        num_bytes: size of the .gz in bytes.
    """

    name: str
    md5: str
    sha256: str
    num_bytes: int


@dataclass(frozen=True)
class Part:
    """Images and labels that belong together, and the split they are (None: to be split anew)."""

    images: PublishedFile
    labels: PublishedFile
    split: SplitName | None


@dataclass(frozen=True)
class Published:
    """A published data set.

    Attributes:
        name: what people ask for, and the name of its folder.
        address: what the files' names are appended to.
        parts: its files.
        class_names: one per label.
    """

    name: str
    address: str
    parts: tuple[Part, ...]
    class_names: tuple[str, ...]

    @property
    def files(self) -> tuple[PublishedFile, ...]:
        """Every file of every part."""
        return tuple(file for part in self.parts for file in (part.images, part.labels))


FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

FASHION_TRAIN_IMAGES = PublishedFile(
    "train-images-idx3-ubyte.gz",
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    26_421_880,
)
FASHION_TRAIN_LABELS = PublishedFile(
    "train-labels-idx1-ubyte.gz",
    "25c81989df183df01b3e8a0aad5dffbe",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    29_515,
)
FASHION_TEST_IMAGES = PublishedFile(
    "t10k-images-idx3-ubyte.gz",
    "bef4ecab320f06d8554ea6380940ec79",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    4_422_102,
)
FASHION_TEST_LABELS = PublishedFile(
    "t10k-labels-idx1-ubyte.gz",
    "bb300cfdad3c16e7a12a480ee83cd310",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    5_148,
)
FASHION_MNIST = Published(
    "fashion-mnist",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    (
        Part(FASHION_TRAIN_IMAGES, FASHION_TRAIN_LABELS, "train"),
        Part(FASHION_TEST_IMAGES, FASHION_TEST_LABELS, "test"),
    ),
    FASHION_CLASSES,
)
FASHION_MINI = Published(
    "fashion-mini",
    FASHION_MNIST.address,
    (Part(FASHION_TEST_IMAGES, FASHION_TEST_LABELS, None),),
    FASHION_CLASSES,
)
MNIST = Published(
    "mnist",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    (
        Part(
            PublishedFile(
                "train-images-idx3-ubyte.gz",
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                9_912_422,
            ),
            PublishedFile(
                "train-labels-idx1-ubyte.gz",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                28_881,
            ),
            "train",
        ),
        Part(
            PublishedFile(
                "t10k-images-idx3-ubyte.gz",
                "9fb629c4189551a2d022fa330f9573f3",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                1_648_877,
            ),
            PublishedFile(
                "t10k-labels-idx1-ubyte.gz",
                "ec29112dd5afa0611ce80d1b7f02629c",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                4_542,
            ),
            "test",
        ),
    ),
    tuple("0123456789"),
)

PUBLISHED = {known.name: known for known in (FASHION_MINI, FASHION_MNIST, MNIST)}
