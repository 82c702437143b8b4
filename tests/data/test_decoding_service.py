"""Are photos decoded that come at any time, and do only the bad ones fail?"""

import io
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nin.data.decoded import decoding_service
from nin.data.decoded.decoding_service import DecodingService
from nin.data.decoded.decoding_worker import Job
from nin.data.photos.photo import read_photo
from nin.data.photos.preparation import Preparation, prepare
from nin.errors import DataError

JOB = Job(Preparation("photo"), 3, 6)


def photo(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 7, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def service() -> Iterator[DecodingService]:
    made = DecodingService(JOB, workers=2)
    yield made
    made.close()


def test_each_photo_becomes_what_it_does_alone(service: DecodingService):
    futures = [service.decode(photo(seed)) for seed in range(20)]
    for seed, future in enumerate(futures):
        expected = prepare(read_photo(photo(seed)), JOB.preparation, 3, 6).image
        assert np.array_equal(future.result(30).image, expected)
    assert "not a photo" in service.decode(b"hello").result(30).reason
    assert "empty" in service.decode(b"").result(30).reason


def test_without_programs_this_process_decodes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    service = DecodingService(JOB, workers=2)
    assert service.decode(photo(0)).result(30).image is not None
    service.close()


CHANGED = """
import nin.data.photos.photo as photo
real = photo.read_photo
def read_photo(source):
    {what}
    return real(source)
photo.read_photo = read_photo
"""


def change_workers(folder: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Let every worker do `what` before it reads a photo, whose bytes are `source`."""
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "def hook(event, args):\n"
        "    if event == 'import' and args[0] == 'nin.data.decoded.decoding_worker':\n"
        "        sys.path.insert(0, sys.path[0]); exec(open(" + repr(str(folder / "change.py")) + ").read(), {})\n"
        "sys.addaudithook(hook)\n"
    )
    (folder / "change.py").write_text(CHANGED.format(what=what))
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_photos_that_crash_their_decoders_never_end_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    change_workers(tmp_path, monkeypatch, "import os; b'hostile' in source and os.abort()")
    monkeypatch.setattr("nin.data.decoded.decoding_pool._MOST_CRASHES", 2)
    service = DecodingService(JOB, workers=1)
    for _ in range(3):
        assert service.decode(b"hostile").result(30).reason == "the decoder crashed on it; save it again as PNG"
        assert service.decode(photo(0)).result(30).image is not None
    for _ in range(2):
        assert service.decode(b"hostile").result(30).image is None
    with pytest.raises(DataError, match="decoders have crashed on 3 photos"):
        service.decode(b"hostile").result(30)
    assert service.decode(photo(1)).result(30).image is not None
    service.close()


def slow_photo(times: int = 1) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((1500 * times, 1200), 50).save(file, "PNG", compress_level=1)
    return file.getvalue()


def test_what_is_not_decoded_at_the_end_is_cancelled():
    service = DecodingService(JOB, workers=1)
    service.decode(photo(0)).result(30)
    slow = slow_photo()
    futures = [service.decode(slow) for _ in range(20)]
    service.close()
    assert all(future.done() for future in futures)
    assert futures[-1].cancelled()
    with pytest.raises(CancelledError):
        futures[-1].result()


def test_what_nobody_wants_any_more_is_not_decoded():
    service = DecodingService(JOB, workers=1)
    slow = slow_photo()
    service.decode(slow).result(30)
    began = time.monotonic()
    service.decode(slow).result(30)
    one = time.monotonic() - began
    futures = [service.decode(slow) for _ in range(30)]
    for future in futures:
        future.cancel()
    began = time.monotonic()
    service.decode(photo(0)).result(30)
    assert time.monotonic() - began < 10 * one
    service.close()


def test_a_photo_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(decoding_service, "PATIENCE", 0.02)
    service = DecodingService(JOB, workers=1)
    found = [service.decode(one) for one in (slow_photo(8), photo(0))]
    assert found[0].result(30).reason == "it takes over 0.02 s to decode; save it again as PNG"
    assert found[1].result(30).image is not None
    service.close()


def test_a_photo_that_takes_too_long_holds_up_the_others_of_its_chunk_only_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    change_workers(tmp_path, monkeypatch, 'import time; time.sleep({b"pause": 0.3, b"endless": 600}.get(source, 0))')
    monkeypatch.setattr(decoding_service, "PATIENCE", 1.0)
    service = DecodingService(JOB, workers=1)
    asked = [service.decode(one) for one in (b"pause", *(84 * [photo(0)]), b"endless")]  # chunks of 1, 1, 4, 16, 64
    assert all(one.result(30).image is not None for one in asked[1:-1])
    assert asked[-1].result(30).reason.startswith("it takes over 1 s")
    service.close()


def test_workers_come_back_after_a_moment_without_programs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(decoding_service, "_SECONDS_ALONE", 0.0)
    here: list[object] = []
    alone = decoding_service.decode_chunk
    monkeypatch.setattr(decoding_service, "decode_chunk", lambda *chunk: here.append(chunk) or alone(*chunk))
    with monkeypatch.context() as without:
        without.setattr("sys.executable", "/nowhere/python")
        service = DecodingService(JOB, workers=2)
        assert service.decode(photo(0)).result(30).image is not None
    for _ in range(20):
        assert service.decode(photo(0)).result(30).image is not None
    before = len(here)
    assert service.decode(photo(0)).result(30).image is not None
    assert 1 <= before == len(here)
    service.close()


def test_the_service_goes_on_after_a_moment_without_threads(monkeypatch: pytest.MonkeyPatch):
    real = decoding_service.Workers

    def none(*arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(decoding_service, "Workers", none)
    service = DecodingService(JOB, workers=1)
    failing = service.decode(photo(0))
    with pytest.raises(DataError, match="can't start new thread"):
        failing.result(30)
    monkeypatch.setattr(decoding_service, "Workers", real)
    for _ in range(100):
        try:
            assert service.decode(photo(0)).result(30).image is not None
            break
        except DataError:
            time.sleep(0.1)
    else:
        raise AssertionError("it does not recover")
    service.close()
