"""How many requests a second does `nin serve` answer, and how long does each take: of one client, and of 64?

    python benchmarks/serve.py --seconds 30

starts the service on this machine, whose cores it shares with the clients. Each client keeps a connection and sends one
photo after another. Prints Markdown.
"""

import http.client
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median

import tyro
from speed import heading
from streams import family, memory

PHOTO = Path(__file__).parents[1] / "docs" / "garments" / "dress.jpg"
START = [sys.executable, "-c", "from nin.app.cli import main; main()", "serve", "--port", "0"]


def main(model: str = "fashion-mnist-fast", clients: tuple[int, ...] = (1, 64), seconds: float = 30.0) -> None:
    """Measure, and print the page."""
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n' + PHOTO.read_bytes()
    body += b"\r\n--x--\r\n"
    print(heading())
    print(f"{model}, a photo of {PHOTO.stat().st_size:,} bytes a request, {seconds:.0f} s each\n")
    print("| clients | requests | errors | requests/s | median | 99th percentile | memory at first, at last |")
    print("|---|---|---|---|---|---|---|")
    with subprocess.Popen([*START, model], stdout=subprocess.PIPE, text=True) as service:
        port = int(next(iter(service.stdout or [])).split()[0].rpartition(":")[2])
        load(port, body, 4, 2.0)  # warm-up
        for count in clients:
            before = sum(map(memory, family(service.pid)))
            took, errors = load(port, body, count, seconds)
            after = sum(map(memory, family(service.pid)))
            took.sort()
            print(
                f"| {count} | {len(took):,} | {errors} | {len(took) / seconds:,.0f} | {1000 * median(took):.1f} ms | "
                f"{1000 * took[int(0.99 * len(took))]:.1f} ms | {before:.0f} MB, {after:.0f} MB |",
                flush=True,
            )
        service.terminate()


def load(port: int, body: bytes, clients: int, seconds: float) -> tuple[list[float], int]:
    """Return the seconds of each request, and how many failed."""
    took: list[list[float]] = [[] for _ in range(clients)]
    errors = [0] * clients
    end = time.monotonic() + seconds

    def ask(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while time.monotonic() < end:
            began = time.perf_counter()
            try:
                connection.request("POST", "/api/predict", body, {"Content-Type": "multipart/form-data; boundary=x"})
                response = connection.getresponse()
                response.read()
                status = response.status
            except (OSError, http.client.HTTPException):  # lost: counted, and connected again
                connection.close()
                status = None
            if status == 200:
                took[number].append(time.perf_counter() - began)
            else:
                errors[number] += 1
        connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [one for own in took for one in own], sum(errors)


if __name__ == "__main__":
    tyro.cli(main)
