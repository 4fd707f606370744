"""Makes the instances of `instances.json` and solves them to proven optimality.

    python -m venv venv && venv/bin/pip install ortools==9.15.6755
    venv/bin/python engine/tests/planner/exact/solve.py > engine/tests/planner/exact/instances.json

Every instance has 200 devices. The model is the planner's problem on the planner's grid: one start slot a device, and every
rule of `plan/check.rs` for every slot a device is out. All numbers are integers or short decimals, so that both sides judge
equality alike. The objective is the makespan in slots: the end of the last window, all devices placed.

Solver: OR-tools CP-SAT 9.15.6755. Only instances whose optimum is proven (status OPTIMAL) within `SECONDS` are written; the others
are named on stderr and dropped: `in-flight-1`, `tight-busy-3` and `everything-3` of 66. A rollout plans one wave at a time, so waves and soaks are no part of an instance. With `link`, a region carries so many bytes a slot, and a
device's download takes all of that from its start until less is left; with `region_open`, each region has windows of its own.
"""

import json
import math
import random
import sys
from fractions import Fraction

from ortools.sat.python import cp_model

SECONDS = 60
DEVICES = 200
IN_FLIGHT_SLOTS = 3  # for which members already out stay so

# Name → what makes it special; what is not said is at its default (see `make`).
FAMILIES = {
    "pool": {},
    "weights": {"weights": [1, 2, 3]},
    "long": {"outs": [3]},
    "mixed-out": {"outs": [1, 2, 3, 4]},
    "pool-out-max": {"pool_out_max": True, "weights": [1, 2]},
    "region-out-max": {"region_out_max": True},
    "requirement": {"requirement": True},
    "capacity": {"capacity": True},
    "devices-max": {"devices_max": True},
    "blackout": {"blackout": True},
    "night-windows": {"windows": True, "outs": [2]},
    "busy-devices": {"busy": True},
    "busy-weights": {"busy": True, "weights": [1, 2, 3], "outs": [1, 2]},
    "in-flight": {"in_flight": True, "weights": [1, 2]},
    "tight-mixed": {"slack": 1.08, "weights": [1, 2, 3], "outs": [1, 2, 3]},
    "tight-points": {"slack": 1.08, "weights": [1, 2], "outs": [1, 2, 3], "requirement": True},
    "tight-busy": {"slack": 1.08, "outs": [1, 2], "busy": True, "capacity": True},
    "everything": {
        "weights": [1, 2], "outs": [1, 2, 3], "pool_out_max": True, "region_out_max": True, "requirement": True,
        "capacity": True, "blackout": True, "busy": True, "in_flight": True,
    },
    "link": {"link": True},
    "link-large": {"link": True, "large": True, "weights": [1, 2], "outs": [1, 2, 3]},
    "region-windows": {"region_windows": True, "weights": [1, 2]},
    "link-windows": {"link": True, "region_windows": True, "region_out_max": True, "outs": [1, 2]},
}
SEEDS = (1, 2, 3)


def make(name, seed, weights=(1,), outs=(2,), pool_out_max=False, region_out_max=False, requirement=False, capacity=False,
         devices_max=False, blackout=False, windows=False, busy=False, in_flight=False, slack=1.6, link=False, large=False,
         region_windows=False):
    """One instance; `target` is about how many slots its tightest pool needs, `slack` how much more room another may have."""
    rng = random.Random(f"{name}-{seed}")
    target = {1: 16, 2: 24, 3: 34}[seed]
    pools, regions = rng.choice([3, 5, 8]), rng.choice([2, 4])
    slots = 72
    limit, reserve = Fraction(9, 10), Fraction(1, 20)
    device = lambda: {
        "pool": rng.randrange(pools), "region": rng.randrange(regions), "weight": rng.choice(weights), "out": rng.choice(outs),
        "requirement": rng.choice([1, 2, 3, 5]), "priority": rng.randrange(100), "profile": rng.randrange(6),
        "offset": rng.randrange(-6, 7),
    }
    devices = [device() for _ in range(DEVICES)]
    swing = 25 if busy else 10
    middle = 58 if busy else 45
    wave = lambda k, t: middle + swing * math.sin((t / 48 + k / 6) * math.tau) + rng.uniform(-5, 5)
    profiles = [[round(wave(k, t)) for t in range(slots)] for k in range(6)]
    is_open = [True] * slots
    if blackout:
        for begin, length in ((rng.randrange(4, 9), 3), (rng.randrange(14, 20), 2)):
            is_open[begin:begin + length] = [False] * length
    if windows:
        is_open = [t % 12 < 9 for t in range(slots)]
    share_open = 0.75 if region_windows else sum(is_open[:target]) / target
    tables = []
    for p in range(pools):
        own = [d for d in devices if d["pool"] == p]
        volume = sum(d["weight"] * d["out"] for d in own)
        weight = sum(d["weight"] for d in own) + rng.randrange(0, 20)
        mean = volume / (target * share_open) * rng.uniform(1.0, slack)
        phase = rng.random()
        room = lambda t: max(mean * (1 + 0.5 * math.cos((t / 40 + phase) * math.tau)), max(weights) if t % 3 else 0)
        demand = [round(max(0.0, float(limit * weight - reserve * weight) - float(limit) * room(t)), 2) for t in range(slots)]
        out = max(1, len(own) // 20) if in_flight else 0
        cap = max(2, round(len(own) * sum(outs) / len(outs) / target * rng.uniform(1.0, 1.4))) if pool_out_max else None
        tables.append({"weight": weight, "members": len(own) + 1, "demand": demand, "in_flight": out, "out_max": cap})
    caps = []
    for r in range(regions):
        own = sum(d["out"] for d in devices if d["region"] == r)
        caps.append(max(2, round(own / target * rng.uniform(1.0, 1.3))) if region_out_max else None)
    per_slot = lambda total: total / (target * share_open) * rng.uniform(1.05, 1.3)
    more = {}
    if region_windows:
        shifts = [rng.randrange(12) for _ in range(regions)]
        more["region_open"] = ["".join("1" if (t + shift) % 12 < 9 else "0" for t in range(slots)) for shift in shifts]
    if link:
        download = [rng.choice([20, 30, 50]) for _ in devices]
        total = [sum(b for b, d in zip(download, devices) if d["region"] == r) for r in range(regions)]
        more["link"] = [max(50, round(t / (target * share_open) * rng.uniform(1.05, 1.4))) for t in total]
        if large:
            # One in twenty needs the link for several slots.
            for d in range(0, DEVICES, 20):
                download[d] = round(more["link"][devices[d]["region"]] * rng.choice([1.5, 2.25]))
            more["link"] = [round(share * 1.4) for share in more["link"]]
        more["download"] = download
    return {
        **more,
        "name": f"{name}-{seed}", "slots": slots, "load_limit": float(limit), "pool_reserve": float(reserve),
        "requirement_max": round(per_slot(sum(d["requirement"] for d in devices))) if requirement else None,
        "capacity_max": round(per_slot(DEVICES * (100 - middle))) if capacity else None,
        "devices_max": math.ceil(per_slot(DEVICES)) if devices_max else None,
        "load_max": 60 if busy else None,
        "open": "".join("1" if o else "0" for o in is_open),
        "profiles": profiles, "pools": tables, "region_out_max": caps,
        **{key: [d[key] for d in devices] for key in devices[0]},
    }


def score(i, d, t):
    """Load score of a device's window, as the loader of the test makes it."""
    return min(100, max(0, i["profiles"][i["profile"][d]][t] + i["offset"][d]))


def starts(i, d):
    """Slots in which the device may start by itself: open for its whole window, and calm, or within a point of its calmest."""
    out = i["out"][d]
    is_open = i["region_open"][i["region"][d]] if "region_open" in i else i["open"]
    window = [s for s in range(i["slots"] - out + 1) if "0" not in is_open[s:s + out]]
    if i["load_max"] is None:
        return window
    best = min((score(i, d, s) for s in window), default=0)
    allowed = best + 1 if best > i["load_max"] else i["load_max"]
    return [s for s in window if score(i, d, s) <= allowed]


def in_flight(pool, t):
    """Members, of weight 1 each, that are out already."""
    return pool["in_flight"] if t < IN_FLIGHT_SLOTS else 0


def rooms(i):
    """Per pool and slot: weight that may be out."""
    limit, reserve = Fraction(str(i["load_limit"])), Fraction(str(i["pool_reserve"]))
    room = lambda p, t: p["weight"] - in_flight(p, t) - (Fraction(str(p["demand"][t])) + reserve * p["weight"]) / limit
    return [[math.floor(room(p, t)) for t in range(i["slots"])] for p in i["pools"]]


def download(i, d):
    """What a device's download takes of its region's link, slot by slot from its start: the whole share while it needs more."""
    if "link" not in i:
        return []
    share, left, parts = i["link"][i["region"][d]], i["download"][d], []
    while left > 0:
        parts.append(min(left, share))
        left -= parts[-1]
    return parts


def solve(i):
    """The optimal makespan in slots, or None when it is not proven in time."""
    model = cp_model.CpModel()
    slots, room = i["slots"], rooms(i)
    end = model.new_int_var(1, slots, "end")
    out_at = {}
    begin_at = [[] for _ in range(slots)]
    loading = {}
    for d in range(DEVICES):
        mine = []
        parts = download(i, d)
        for s in starts(i, d):
            if s + len(parts) > slots:
                continue
            if any(room[i["pool"][d]][t] < i["weight"][d] for t in range(s, s + i["out"][d])):
                continue
            x = model.new_bool_var("")
            mine.append((s, x))
            begin_at[s].append((d, x))
            for k, part in enumerate(parts):
                loading.setdefault((i["region"][d], s + k), []).append(part * x)
            for t in range(s, s + i["out"][d]):
                out_at.setdefault(t, []).append((d, x))
        if not mine:
            return None
        model.add_exactly_one(x for _, x in mine)
        model.add(end >= sum((s + i["out"][d]) * x for s, x in mine))
    for t, out in out_at.items():
        for p, pool in enumerate(i["pools"]):
            own = [(d, x) for d, x in out if i["pool"][d] == p]
            if own:
                model.add(sum(i["weight"][d] * x for d, x in own) <= room[p][t])
                if pool["out_max"] is not None:
                    model.add(sum(x for _, x in own) <= pool["out_max"] - in_flight(pool, t))
        for r, cap in enumerate(i["region_out_max"]):
            if cap is not None:
                model.add(sum(x for d, x in out if i["region"][d] == r) <= cap)
    for (r, _), parts in loading.items():
        model.add(sum(parts) <= i["link"][r])
    for s, begin in enumerate(begin_at):
        if begin and i["requirement_max"] is not None:
            model.add(sum(i["requirement"][d] * x for d, x in begin) <= i["requirement_max"])
        if begin and i["capacity_max"] is not None:
            model.add(sum((100 - score(i, d, s)) * x for d, x in begin) <= i["capacity_max"])
        if begin and i["devices_max"] is not None:
            model.add(sum(x for _, x in begin) <= i["devices_max"])
    model.minimize(end)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = SECONDS
    solver.parameters.num_workers = 8
    solver.parameters.random_seed = 1
    status = solver.solve(model)
    print(f"{i['name']}: {solver.status_name(status)} {solver.objective_value} ≥ {solver.best_objective_bound} "
          f"in {solver.wall_time:.1f} s", file=sys.stderr, flush=True)
    return round(solver.objective_value) if status == cp_model.OPTIMAL else None


def main():
    lines = []
    for name, special in FAMILIES.items():
        for seed in SEEDS:
            instance = make(name, seed, **special)
            optimum = solve(instance)
            if optimum is not None:
                lines.append(json.dumps({"optimum": optimum, **instance}, separators=(",", ":")))
    print("[\n" + ",\n".join(lines) + "\n]")


if __name__ == "__main__":
    main()
