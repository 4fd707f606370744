"""slacktide beside SimPy and nexosim on this machine: python3 benches/peers/run.py [--quick]

Installs SimPy and numpy into a virtual environment under target/peers, builds nexosim and the example `world_tick` in release mode,
runs everything five times, and prints medians and bests as Markdown tables. Everything runs on one thread.
"""

import os
import platform
import statistics
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "benches" / "peers"
BUILD = ROOT / "target" / "peers"
RUNS = 5


def sh(*command, **options):
    return subprocess.run([str(c) for c in command], check=True, text=True, capture_output=True, **options).stdout.strip()


def measured(commands):
    """Work a second of each command, by run. Round by round, so that a busy minute of the machine meets all of them."""

    def once(command):
        seconds, done = sh(*command).split()
        return float(done) / float(seconds)

    rounds = [[once(command) for command in commands] for _ in range(RUNS)]
    return list(zip(*rounds))


def prepared():
    python = BUILD / "venv" / "bin" / "python"
    if not python.exists():
        venv.create(BUILD / "venv", with_pip=True)
    sh(python, "-m", "pip", "install", "--quiet", "simpy", "numpy")
    sh("cargo", "build", "--release", "--manifest-path", PEERS / "nexosim" / "Cargo.toml", env={**os.environ, "CARGO_TARGET_DIR": str(BUILD)})
    sh("cargo", "build", "--release", "-p", "slacktide-benches", "--example", "world_tick", cwd=ROOT)
    nexosim = BUILD / "release" / "slacktide-peer-nexosim"
    ours = ROOT / "target" / "release" / "examples" / "world_tick"
    return [python, PEERS / "simpy_peer.py"], [nexosim], [ours]


def versions(python):
    code = "import simpy, numpy, platform; print(f'SimPy {simpy.__version__}, numpy {numpy.__version__}, Python {platform.python_version()}')"
    lock = (PEERS / "nexosim" / "Cargo.lock").read_text()
    nexosim = lock.split('name = "nexosim"\nversion = "')[1].split('"')[0]
    return f"{sh(python, '-c', code)}, nexosim {nexosim}, {sh('rustc', '--version')}"


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} × {model}, load {os.getloadavg()[0]:.1f}, {platform.system()} {platform.release()}"


def number(value):
    return f"{value / 1e6:.3g} M"


def table(title, unit, rows):
    figures = measured([command for _, command in rows])
    print(f"\n{title}\n\n| what | {unit} a second and core | of slacktide's | best | of slacktide's best |\n|---|---|---|---|---|")
    middle = [statistics.median(runs) for runs in figures]
    best = [max(runs) for runs in figures]
    for (name, _), m, b in zip(rows, middle, best):
        print(f"| {name} | {number(m)} | {m / middle[0]:.3g} | {number(b)} | {b / best[0]:.3g} |")


def main():
    quick = "--quick" in sys.argv
    simpy, nexosim, ours = prepared()
    devices, ticks = 10_000, (100 if quick else 500)
    events = 200_000 if quick else 1_000_000
    print(f"{machine()}\n{versions(simpy[0])}\n{RUNS} runs: median and best.")
    rows = [
        ("slacktide: the world without its engine", [*ours, "world", devices, ticks]),
        ("slacktide: a whole rollout with its engine", [*ours, "engine", devices]),
        ("nexosim: a model for each device, which reports to its pool's", [*nexosim, "fleet", devices, ticks // 5]),
        ("nexosim: a model for each device without a port, nobody hears it", [*nexosim, "silent", devices, ticks // 5]),
        ("nexosim: one model holds all devices", [*nexosim, "one", devices, ticks]),
        ("SimPy: a process for each device", [*simpy, "fleet", devices, ticks // 20]),
        ("numpy under SimPy's clock (no SimPy model)", [*simpy, "numpy", devices, ticks]),
    ]
    table(f"Fleet tick, {devices:,} devices, 4 metrics, every five minutes", "device-metrics", rows)
    for length in (1000, 100_000):
        rows = [
            ("slacktide", [*ours, "hold", length, events]),
            ("nexosim", [*nexosim, "hold", length, events]),
            ("SimPy", [*simpy, "hold", length, events // 4]),
        ]
        table(f"Event queue, {length:,} events waiting", "events", rows)


main()
