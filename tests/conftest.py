"""What do all tests share? Shapes checked at run time, and a small data set that a network learns in seconds."""

import signal

from jaxtyping import install_import_hook

# Before anything imports `nin`: every annotated function of ours then checks the shapes that it documents.
install_import_hook("nin", "beartype.beartype")

import pytest  # noqa: E402
import torch  # noqa: E402
from synthetic import small_splits  # noqa: E402

from nin.data.images import Splits  # noqa: E402
from nin.data.sources.fashion_mnist import find  # noqa: E402
from nin.errors import DataError  # noqa: E402

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as under nohup: programs that tests start would ignore it, too
    signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(1)  # the tests' networks and batches are too small for more


def pytest_runtest_setup() -> None:
    """Let a test draw the same random numbers whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def splits() -> Splits:
    """Return 512 training, 128 validation and 200 test images of 4 classes."""
    return small_splits()


@pytest.fixture(scope="session")
def fashion_mnist_folder() -> str:
    """Return the folder of Fashion-MNIST, or skip where it is not on this machine and cannot be fetched."""
    try:
        return str(find())
    except DataError as error:
        pytest.skip(str(error))
