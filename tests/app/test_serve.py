"""Does the service answer programs, refuse what it must, and end cleanly?"""

import asyncio
import base64
import contextlib
import io
import json
import signal
import socket
import struct
import subprocess
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from tempfile import SpooledTemporaryFile
from typing import Any

import numpy as np
import pytest
from app.program import ENVIRONMENT, GARMENTS, PROGRAM, Nin
from app.served import FAST, Server, multipart, serving
from PIL import Image
from starlette import formparsers

from nin.app.serve import _listen
from nin.app.serving import guard, service
from nin.data.decoded.decoding_service import DecodingService
from nin.data.decoded.decoding_stream import StreamedPhoto
from nin.inference.load import load

DRESS = GARMENTS / "dress.jpg"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving("fashion-mnist", FAST) as started:
        yield started


def test_photos_are_predicted_as_the_classifier_does(server: Server):
    photos = sorted(GARMENTS.iterdir())
    status, answer = server.predict(*((path.name, path.read_bytes()) for path in photos))
    assert status == 200
    assert answer["model"] == "fashion-mnist"
    assert answer["seconds"] > 0
    expected = load("fashion-mnist").predict(photos)
    for path, one, prediction in zip(photos, answer["predictions"], expected, strict=True):
        assert (one["photo"], one["label"], one["inverted"]) == (path.name, prediction.label, prediction.inverted)
        assert one["probabilities"] == pytest.approx(prediction.probabilities, abs=0.01)
        assert one["probability"] == max(one["probabilities"].values())
        assert one["class_maps"] is one["image"] is None


def test_class_maps_and_the_image_come_on_request(server: Server):
    status, answer = server.predict(("a.jpg", DRESS.read_bytes()), query="?maps=true&images=true")
    assert status == 200
    [one] = answer["predictions"]
    maps = np.array(list(one["class_maps"].values()))
    assert np.allclose(maps, load("fashion-mnist").class_maps(DRESS)[0], atol=0.3)
    assert list(one["class_maps"]) == list(load("fashion-mnist").labels)
    kind, _, data = one["image"].partition(",")
    assert kind == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (28, 28)
    status, answer = server.predict(("a.jpg", DRESS.read_bytes()), query=f"?model={FAST}&maps=1")
    assert (answer["model"], np.shape(answer["predictions"][0]["class_maps"]["Dress"])) == (FAST, (1, 1))


def test_the_models_are_listed(server: Server):
    status, models = server.get("/api/models")
    assert status == 200
    assert [model["name"] for model in models] == ["fashion-mnist", FAST]
    assert models[0]["labels"] == list(load("fashion-mnist").labels)
    assert (len(models[0]["map_edges"]), models[0]["pool"], models[0]["image_size"]) == (4, "max", 28)
    assert models[1]["map_edges"] == [0, 1]
    assert server.get("/health") == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("files", "query", "status", "detail"),
    [
        ([("notes.txt", b"hello")], "", 422, "notes.txt: not a photo of a format that is read"),
        ([("empty.png", b"")], "", 422, "empty.png: an empty file"),
        ([("a\nb\x1b.png", b"hello")], "", 422, "not a photo"),
        ([], "", 422, "files: Field required"),
        ([("a.jpg", DRESS.read_bytes())] * 17, "", 422, "files: List should have at most 16 items"),
        (
            [("a.jpg", DRESS.read_bytes())],
            "?model=resnet",
            404,
            "there is no model 'resnet': name one of fashion-mnist",
        ),
        ([("a.jpg", DRESS.read_bytes())], "?maps=perhaps", 422, "maps: Input should be a valid boolean"),
        ([("a.jpg", DRESS.read_bytes()), ("cut.jpg", DRESS.read_bytes()[:500])], "", 422, "cut.jpg: it cannot be"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    server: Server, files: list[tuple[str, bytes]], query: str, status: int, detail: str
):
    found, answer = server.predict(*files, query=query)
    assert (found, list(answer)) == (status, ["detail"])
    assert detail in answer["detail"]
    assert "\n" not in answer["detail"]
    assert server.get("/health")[0] == 200


def test_a_photo_of_too_many_pixels_is_refused(server: Server):
    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, "PNG")
    content = bytearray(file.getvalue())
    content[16:24] = struct.pack(">II", 20_000, 20_000)  # of its header
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    status, answer = server.predict(("huge.png", bytes(content)))
    assert status == 422
    assert "20000 x 20000 pixels, where 1 to 50,000,000 are read; shrink it first" in answer["detail"]


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_large_is_refused(server: Server, declared: bool):
    with server.connect() as connection:
        connection.putrequest("POST", "/api/predict")
        connection.putheader("Content-Type", "multipart/form-data; boundary=x")
        if declared:
            connection.putheader("Content-Length", "60000000")
            connection.endheaders()
        else:
            connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders()
            try:
                part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' + bytes(1_000_000)
                for _ in range(52):
                    connection.send(b"%x\r\n%s\r\n" % (len(part), part))
            except OSError:  # it has answered already
                pass
        response = connection.getresponse()
        assert response.status == 413
        assert list(json.loads(response.read())) == ["detail"]
        assert server.get("/health")[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 400),
        ({"Host": "localhost.evil.example:80"}, 400),
        ({"Host": ""}, 400),
        ({"Host": "localhost"}, 200),
        ({"Host": "LOCALHOST:1234"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "192.168.1.7"}, 200),
        ({"Host": "localhost:1", "Origin": "http://localhost:1"}, 200),
        ({"Host": "localhost:1", "Origin": "http://localhost:2"}, 403),
        ({"Host": "localhost:1", "Origin": "http://evil.example"}, 403),
        ({"Host": "localhost:1", "Origin": "null"}, 403),
    ],
)
def test_only_requests_for_this_host_and_of_its_own_page_are_answered(
    server: Server, headers: dict[str, str], status: int
):
    found, answer = server.get("/health", headers)
    assert found == status
    assert status == 200 or list(answer) == ["detail"]


@pytest.mark.slow
def test_behind_a_proxy_its_name_is_given():
    with serving(FAST, options=("--allow-host", "photos.example")) as behind:
        for headers, status in (
            ({"Host": "photos.example", "Origin": "https://photos.example"}, 200),
            ({"Host": "127.0.0.1:8000", "Origin": "https://photos.example"}, 200),  # a proxy that does not pass it on
            ({"Host": "127.0.0.1:8000", "Origin": "https://evil.example"}, 403),
            ({"Host": "evil.example"}, 400),
        ):
            assert behind.get("/health", headers)[0] == status


def test_every_answer_tells_browsers_to_load_nothing_from_elsewhere(server: Server):
    for path in ("/", "/page.js", "/page.css", "/health", "/nothing", "/docs", "/openapi.json"):
        with server.connect() as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            content = response.read().decode()
            assert response.status == (404 if path == "/nothing" else 200)
            assert "default-src 'none'" in response.headers["content-security-policy"]
            assert ("unsafe" in response.headers["content-security-policy"]) == (path == "/docs")
            if path in ("/", "/page.css", "/docs"):
                assert "https://" not in content.replace("https://arxiv.org", "").replace("https://d2l.ai", "")


def test_requests_at_once_are_answered_and_a_bad_one_harms_no_other(server: Server):
    def ask(number: int) -> tuple[int, str]:
        if number % 5 == 0:
            return server.predict(("bad.png", b"hello"))[0], ""
        status, answer = server.predict((f"{number}.jpg", DRESS.read_bytes()), query=f"?maps={number % 2}")
        return status, answer["predictions"][0]["label"]

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(ask, range(100)))
    assert answers == [(422, "") if number % 5 == 0 else (200, "Dress") for number in range(100)]


def test_what_a_client_asks_that_has_left_is_not_computed(monkeypatch: pytest.MonkeyPatch):
    ended: list[type[BaseException] | None] = []
    real = service.ServedModel.predict

    async def slowly(self: service.ServedModel, name: str, photo: bytes, *, maps: bool) -> object:
        try:
            await asyncio.sleep(20)
            return await real(self, name, photo, maps=maps)
        except asyncio.CancelledError as error:
            ended.append(type(error))
            raise

    monkeypatch.setattr(service.ServedModel, "predict", slowly)
    with serving(FAST, in_this_process=True) as slow:
        body, kind = multipart([("a.jpg", DRESS.read_bytes())] * 3)
        with slow.connect() as connection:
            connection.request("POST", "/api/predict", body, {"Content-Type": kind})
            time.sleep(0.5)
        for _ in range(100):
            if len(ended) == 3:
                break
            time.sleep(0.05)
        assert len(ended) == 3


def large_photo() -> bytes:
    """Return a photo that is slow to decode, and larger than what the service holds in memory."""
    file = io.BytesIO()
    Image.effect_noise((1500, 1200), 50).save(file, "PNG")
    assert file.tell() > 1024**2
    return file.getvalue()


def test_one_bad_photo_ends_the_others_of_its_request(monkeypatch: pytest.MonkeyPatch):
    decode, asked = DecodingService.decode, list[Future[StreamedPhoto]]()

    def noted(decoding: DecodingService, photo: bytes) -> Future[StreamedPhoto]:
        asked.append(decode(decoding, photo))
        return asked[-1]

    monkeypatch.setattr(DecodingService, "decode", noted)
    with serving(FAST, in_this_process=True) as served:
        assert served.predict(("bad.png", b"hello"), *(15 * [("slow.png", large_photo())]))[0] == 422
        wait(asked, timeout=30)
        assert any(one.cancelled() for one in asked)


@pytest.mark.parametrize(("others", "status"), [([], 200), ([("bad.png", b"hello")], 422)])
def test_the_files_of_photos_are_closed_after_the_answer(
    monkeypatch: pytest.MonkeyPatch, others: list[tuple[str, bytes]], status: int
):
    files: list[SpooledTemporaryFile[bytes]] = []

    def noted(max_size: int) -> SpooledTemporaryFile[bytes]:
        files.append(SpooledTemporaryFile(max_size=max_size))  # noqa: SIM115 - the service closes it
        return files[-1]

    monkeypatch.setattr(formparsers, "SpooledTemporaryFile", noted)
    with serving(FAST, in_this_process=True) as served:
        assert served.predict(*others, *(4 * [("large.png", large_photo())]))[0] == status
    assert len(files) == 4 + len(others)
    assert all(file.closed for file in files)


def test_photos_of_clients_that_have_left_are_not_computed_before_others():
    computed: list[int] = []

    class Counting(service.ServedModel):
        def _compute(self, batch: Sequence[Any]) -> list[Any]:
            computed.append(len(batch))
            return super()._compute(batch)

    async def ask() -> str:
        model = Counting(classifier, decoding, executor)
        left = [asyncio.ensure_future(model.predict("a", DRESS.read_bytes(), maps=False)) for _ in range(5)]
        while model.waiting.qsize() < len(left):
            await asyncio.sleep(0.01)
        for one in left:
            one.cancel()
        answering = asyncio.ensure_future(model.answer())
        found = await model.predict("b", DRESS.read_bytes(), maps=False)
        answering.cancel()
        return found.prediction.label

    classifier = load(FAST)
    decoder = contextlib.closing(DecodingService(service._job(classifier), 1))
    with ThreadPoolExecutor(1) as executor, decoder as decoding:
        assert asyncio.run(ask()) == "Dress"
    assert computed == [1]


def test_who_does_not_read_is_left(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guard, "SECONDS_TO_SEND", 0.3)
    monkeypatch.setattr(guard, "MOST_REQUESTS", 2)
    monkeypatch.setattr(guard, "COUNTED", "/static-offline-docs/swagger-ui-bundle.js")
    with serving(FAST, in_this_process=True) as served:
        held = []
        for _ in range(3):
            deaf = socket.create_connection((served.host, served.port))
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.sendall(b"GET /static-offline-docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 4)
            held.append(deaf)
        statuses: list[int] = []
        while 200 not in statuses[-1:] and len(statuses) < 100:
            time.sleep(0.1)
            with served.connect() as connection:
                connection.request("GET", "/static-offline-docs/swagger-ui-bundle.js")
                statuses.append(connection.getresponse().status)
        assert statuses[-1] == 200
        for deaf in held:
            deaf.close()


def test_a_client_that_leaves_harms_nobody(server: Server):
    for _ in range(10):
        with server.connect() as connection:
            body, kind = multipart([("a.jpg", DRESS.read_bytes())])
            connection.request("POST", "/api/predict", body, {"Content-Type": kind})
            connection.close()
            half = socket.create_connection((server.host, server.port))
            half.sendall(b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nab")
            half.close()
    assert server.predict(("a.jpg", DRESS.read_bytes()))[0] == 200


def test_too_many_requests_are_told_to_come_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guard, "MOST_REQUESTS", 0)
    with serving(FAST, in_this_process=True) as busy, busy.connect() as connection:
        assert busy.get("/health")[0] == 200
        connection.request("POST", "/api/predict", "")
        response = connection.getresponse()
        assert (response.status, response.headers["retry-after"]) == (503, "1")
        assert "try again" in json.loads(response.read())["detail"]


def test_too_many_bytes_at_once_and_slow_bodies_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guard, "MOST_BYTES", 1000)
    monkeypatch.setattr(guard, "SECONDS_FOR_BODY", 0.3)
    with serving(FAST, in_this_process=True) as busy:
        assert busy.predict(("a.jpg", DRESS.read_bytes()))[0] == 503
        with busy.connect() as connection:
            connection.putrequest("POST", "/api/predict")
            connection.putheader("Content-Type", "multipart/form-data; boundary=x")
            connection.putheader("Content-Length", "100")
            connection.endheaders()
            connection.send(b"--x")
            response = connection.getresponse()
            assert response.status == 408
            assert "not complete after" in json.loads(response.read())["detail"]
            assert busy.get("/health")[0] == 200


# --- The command ---


@pytest.mark.slow
def test_ctrl_c_lets_what_is_under_way_be_answered():
    with subprocess.Popen(
        [*PROGRAM, "serve", FAST, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        text=True,
    ) as process:
        address = process.stdout.readline().split()[0]
        server = Server("127.0.0.1", int(address.rpartition(":")[2]))
        server.wait()
        body, kind = multipart([("a.jpg", DRESS.read_bytes())])
        with server.connect() as connection:
            connection.putrequest("POST", "/api/predict")
            connection.putheader("Content-Type", kind)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders()
            connection.send(body[:1000])
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
            connection.send(body[1000:])
            response = connection.getresponse()
            assert json.loads(response.read())["predictions"][0]["label"] == "Dress"
            assert process.wait(20) == 0
            assert process.stderr.read() == ""


def test_answers_do_not_wait_for_acknowledgements():
    with _listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_what_cannot_be_served_is_said_in_one_line(nin: Nin, monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments, complaint in (
            ((FAST, "--port", port), f"cannot listen on 127.0.0.1, port {port}: Address already in use"),
            ((FAST, "--port", "70000"), "port must be from 0 to 65535"),
            ((FAST, "--host", "no.such.host.invalid"), "cannot listen on no.such.host.invalid"),
            (("resnet",), "there is no model 'resnet'"),
            ((FAST, FAST), "a model is named twice"),
            ((FAST, "--allow-host", "photos.example:80"), "--allow-host takes a name alone"),
        ):
            answer = nin("serve", *arguments)
            assert (answer.returncode, answer.stdout) == (2, "")
            assert complaint in answer.stderr
            assert len(answer.stderr.splitlines()) == 1
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    assert "pip install 'network-in-network[serve]'" in nin("serve", FAST).stderr
