"""How much faster do several processes train than one, on the cores of one machine, and over a network?

    python benchmarks/scaling.py --network nin-2013 --source cifar10
    sudo python benchmarks/scaling.py --machines 2 --mbit 1000

Each round trains for some seconds with one process that has all cores, and with as many processes as there are cores,
a core each; a ratio is the median over the rounds. With --machines the processes run in network namespaces of their
own, as on machines that are joined by a network of so many Mbit/s (needs root, `ip` and `tc`). Prints Markdown.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import tyro
from speed import heading

WORKER = Path(__file__).with_name("scaling_worker.py")
BRIDGE = "nin-bridge"


def main(
    network: str = "nin-2013", source: str = "cifar10", machines: int = 1, mbit: int | None = None, rounds: int = 3,
    steps: int = 12, batch_size: int | None = None,
) -> None:  # fmt: skip
    """Measure, and print a line for one process and one for several."""
    cores = len(os.sched_getaffinity(0))
    job = {"network": network, "source": source, "steps": steps, "batch_size": batch_size}
    with namespaces(machines, mbit) if machines > 1 else contextlib.nullcontext([[]]) as places:
        found = [(train(job, [[]], 1, cores), train(job, places, cores // machines, 1)) for _ in range(rounds)]
    alone, several = (median(one["images_per_second"] for one in side) for side in zip(*found, strict=True))
    ratio = median(two["images_per_second"] / one["images_per_second"] for one, two in found)
    batch, sent = found[0][1]["batch_size"], found[0][1]["bytes_per_step"]
    where = f"{machines} machines, {mbit or 'unlimited'} Mbit/s" if machines > 1 else "one machine"
    print(heading())
    print(f"{network} on {source}, batches of {batch}, {where}; each process sends {sent:,} bytes a step\n")
    updating = [median(one["updating"] for one in side) for side in zip(*found, strict=True)]
    print(
        "| processes | threads of each | images/s | ratio | share of the optimizer in a step |\n|---|---|---|---|---|"
    )
    print(f"| 1 | {cores} | {alone:,.0f} | 1 | {updating[0]:.0%} |")
    print(f"| {machines * (cores // machines)} | 1 | {several:,.0f} | {ratio:.2f} | {updating[1]:.0%} |")


def train(job: dict[str, object], places: list[list[str]], processes: int, threads: int) -> dict[str, float]:
    """Train for some steps, and return the speed; `places` are the prefixes of the commands of each machine."""
    with tempfile.TemporaryDirectory() as folder:
        torchrun = Path(sys.executable).with_name("torchrun")
        address = ["--standalone"] if len(places) == 1 else ["--master-addr", "10.77.0.1", "--master-port", "29501"]
        running = [
            subprocess.Popen(
                [*prefix, torchrun, "--nnodes", str(len(places)), "--node-rank", str(number), *address,
                 "--nproc-per-node", str(processes), WORKER, folder, json.dumps(job | {"threads": threads})],
                env=os.environ | {"OMP_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": "1000"},
            )
            for number, prefix in enumerate(places)
        ]  # fmt: skip
        codes = [process.wait() for process in running]
        if any(codes):
            raise SystemExit("a process failed")
        return json.loads(Path(folder, "speed.json").read_text())


@contextlib.contextmanager
def namespaces(count: int, mbit: int | None) -> Iterator[list[list[str]]]:
    """Make network namespaces that are joined by a bridge, and yield the prefix of commands in each."""
    names = [f"nin-{number}" for number in range(count)]
    try:
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "link", "set", BRIDGE, "up")
        for number, name in enumerate(names):
            run("ip", "netns", "add", name)
            run("ip", "link", "add", f"nin-veth{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            run("ip", "link", "set", f"nin-veth{number}", "master", BRIDGE, "up")
            inside = ("ip", "netns", "exec", name)
            run(*inside, "ip", "address", "add", f"10.77.0.{number + 1}/24", "dev", "eth0")
            run(*inside, "ip", "link", "set", "eth0", "up")
            run(*inside, "ip", "link", "set", "lo", "up")
            if mbit is not None:
                run(*inside, *f"tc qdisc add dev eth0 root tbf rate {mbit}mbit burst 256kb latency 50ms".split())
        yield [["ip", "netns", "exec", name, "env", "GLOO_SOCKET_IFNAME=eth0"] for name in names]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False)
        subprocess.run(["ip", "link", "delete", BRIDGE], check=False)


def run(*command: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True)


if __name__ == "__main__":
    tyro.cli(main)
