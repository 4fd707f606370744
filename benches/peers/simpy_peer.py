"""The fleet tick and the queue test in SimPy. Prints seconds and how much was done, as two numbers.

fleet N TICKS: a generator process for every device, which waits five minutes after every report.
numpy N TICKS: one process that ticks all devices as arrays; SimPy then only keeps the clock.
hold LENGTH EVENTS: every event puts another one into the queue, an exponential time later.
"""

import math
import random
import sys
import time

import simpy

TICK = 300.0


def curve(at):
    hour = at / 3600.0 % 24.0
    return 25.0 + 15.0 * (1.0 + math.cos((hour - 20.0) / 24.0 * 2.0 * math.pi))


def between(value, low, high):
    return low if value < low else high if value > high else value


def device(env, seed, report):
    draws = random.Random(seed)
    normal = draws.gauss
    level = 4.0 * normal(0.0, 1.0)
    noise = slow = 0.0
    while True:
        yield env.timeout(TICK)
        fresh, other = normal(0.0, 1.0), normal(0.0, 1.0)
        noise = 0.7 * noise + 0.71414 * fresh
        slow = 0.995 * slow + 0.0999 * other
        cpu = between(curve(env.now) + level + 4.0 * noise, 1.0, 100.0)
        report[seed] = (
            cpu,
            between(45.0 + 3.0 * slow + 0.05 * cpu, 0.0, 100.0),
            between(0.6 * cpu + 2.0 * other, 0.0, 100.0),
            between(15.0 + 2.0 * other, 0.0, 100.0),
        )


def fleet_of_arrays(env, count):
    import numpy

    draws = numpy.random.default_rng(1)
    level = 4.0 * draws.standard_normal(count, dtype=numpy.float32)
    noise = numpy.zeros(count, dtype=numpy.float32)
    slow = numpy.zeros(count, dtype=numpy.float32)
    while True:
        yield env.timeout(TICK)
        fresh = draws.standard_normal(count, dtype=numpy.float32)
        other = draws.standard_normal(count, dtype=numpy.float32)
        noise = 0.7 * noise + 0.71414 * fresh
        slow = 0.995 * slow + 0.0999 * other
        cpu = numpy.clip(curve(env.now) + level + 4.0 * noise, 1.0, 100.0)
        numpy.clip(45.0 + 3.0 * slow + 0.05 * cpu, 0.0, 100.0)
        numpy.clip(0.6 * cpu + 2.0 * other, 0.0, 100.0)
        numpy.clip(15.0 + 2.0 * other, 0.0, 100.0)


def hold(length, events):
    env = simpy.Environment()
    wait = random.Random(1).expovariate

    def again(_):
        env.timeout(wait(1.0)).callbacks.append(again)

    for _ in range(length):
        again(None)
    began = time.perf_counter()
    for _ in range(events):
        env.step()
    return time.perf_counter() - began, events


def main():
    what, size, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if what == "hold":
        seconds, done = hold(size, count)
    else:
        env = simpy.Environment()
        report = [None] * size
        if what == "fleet":
            for seed in range(size):
                env.process(device(env, seed, report))
        else:
            env.process(fleet_of_arrays(env, size))
        began = time.perf_counter()
        env.run(until=TICK * count + 1.0)
        seconds, done = time.perf_counter() - began, size * count * 4
    print(seconds, done)


main()
