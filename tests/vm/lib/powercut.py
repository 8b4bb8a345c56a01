#!/usr/bin/env python3
"""The loop of tests/vm/powercut.sh: freeze a booted guest once, then thaw, work, kill, thaw, check, work, kill ..."""
import argparse
import json
import os
import random
import select
import shutil
import socket
import subprocess
import sys
import time

FACTS_SIZE = 1 << 20
DISK_BYTES = 48 << 20
BOOT_S, CHECK_S = 120, 60
PORT_READY = "ready"
# A disk is made anew after so many cuts: what was promised on it grows, and so does the time to check it.
CUTS_A_DISK = 10


class Broken(Exception):
    """The harness or the guest, not what is under test."""


def qemu_args(opt, sockets, incoming):
    kernel = os.path.join(opt.kernel, "vmlinux")
    if not os.path.exists(kernel):
        kernel = os.path.join(opt.kernel, "vmlinuz")
    share = os.path.join(opt.cache, "qemu/usr/share")
    args = [os.path.join(opt.cache, "qemu/usr/bin/qemu-system-x86_64"), "-L", share + "/qemu", "-L", share + "/seabios",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "pc",
            "-accel", os.environ.get("WAVEOS_VM_ACCEL", "tcg,thread=multi"),
            "-cpu", os.environ.get("WAVEOS_VM_CPU", "max"), "-smp", "1", "-m", "256",
            "-kernel", kernel, "-initrd", opt.work + "/initrd",
            "-append", "console=ttyS0 loglevel=4 panic=-1 mitigations=off",
            "-serial", "file:" + opt.work + "/console",
            "-chardev", "socket,id=port,server=on,wait=off,path=" + sockets + "/port", "-serial", "chardev:port",
            "-qmp", "unix:" + sockets + "/qmp,server=on,wait=off",
            # a write cache that the guest knows of: it flushes
            "-drive", "file=nbd+unix:///?socket=" + sockets + "/disk,format=raw,if=virtio,cache=writeback",
            "-drive", "file=" + opt.work + "/facts,format=raw,if=virtio,cache=writeback"]
    return args + (["-incoming", "defer"] if incoming else [])


class Lines:
    """Lines of a socket, with a deadline."""

    def __init__(self, sock):
        self.sock, self.rest, self.ended = sock, b"", False

    def get(self, deadline):
        """The next line; None at the end or when the time is over."""
        while b"\n" not in self.rest:
            left = deadline - time.monotonic()
            if self.ended or left <= 0 or not select.select([self.sock], [], [], left)[0]:
                return None
            more = self.sock.recv(65536)
            self.ended = not more
            self.rest += more
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode("utf-8", "replace").strip("\r\0")


class Disk:
    """The volatile disk: one server for the life of an image."""

    def __init__(self, opt, seed, plant):
        self.path = opt.work + "/disk.img"
        with open(self.path, "wb") as f:
            f.truncate(DISK_BYTES)
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", self.path], check=True, stdout=subprocess.DEVNULL)
        args = [opt.cutdisk, opt.work + "/disk", self.path, str(seed)] + ([plant] if plant == "ignore-flush" else [])
        self.process = subprocess.Popen(args, stdout=subprocess.PIPE, text=True)
        self.wait_for("ready")

    def wait_for(self, word):
        line = self.process.stdout.readline()
        if not line.startswith(word):
            raise Broken("the disk says " + repr(line))
        return line.strip()

    def end(self):
        self.process.kill()
        self.process.wait()


class Guest:
    def __init__(self, opt, incoming=False):
        for name in ("port", "qmp"):
            if os.path.exists(opt.work + "/" + name):
                os.unlink(opt.work + "/" + name)
        libs = opt.cache + "/qemu"
        libs = libs + "/usr/lib/x86_64-linux-gnu:" + libs + "/lib/x86_64-linux-gnu"
        env = dict(os.environ, LD_LIBRARY_PATH=libs, QEMU_MODULE_DIR=opt.cache + "/qemu/usr/lib/x86_64-linux-gnu/qemu")
        self.log = open(opt.work + "/qemu.log", "ab")
        self.process = subprocess.Popen(qemu_args(opt, opt.work, incoming), env=env, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        self.qmp = Lines(self.connect(opt.work + "/qmp"))
        self.port = Lines(self.connect(opt.work + "/port"))
        self.ask(None)
        self.ask("qmp_capabilities")
        if incoming:
            self.ask("migrate-incoming", uri="file:" + opt.work + "/frozen")
            self.wait_migrated("completed")

    def connect(self, path):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.connect(path)
                return sock
            except OSError:
                sock.close()
                if self.process.poll() is not None:
                    break
                time.sleep(0.01)
        raise Broken("qemu does not start: see qemu.log")

    def ask(self, command, **arguments):
        """Answer of a QMP command; of none the greeting."""
        if command:
            self.qmp.sock.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            line = self.qmp.get(time.monotonic() + 30)
            if line is None:
                raise Broken("qemu does not answer " + str(command))
            answer = json.loads(line)
            if "error" in answer:
                raise Broken(str(command) + ": " + answer["error"]["desc"])
            if "return" in answer or "QMP" in answer:
                return answer.get("return")

    def wait_migrated(self, want):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            status = self.ask("query-migrate").get("status")
            if status == want:
                return
            if status == "failed":
                break
            time.sleep(0.01)
        raise Broken("the guest cannot be frozen or thawed")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def close(self):
        if self.process.poll() is None:
            self.kill()
        self.qmp.sock.close()
        self.port.sock.close()


def freeze(opt):
    disk = Disk(opt, 0, None)
    with open(opt.work + "/facts", "wb") as f:
        f.truncate(FACTS_SIZE)
    guest = Guest(opt)
    try:
        deadline = time.monotonic() + BOOT_S
        while True:
            line = guest.port.get(deadline)
            if line is None:
                raise Broken("the guest does not come up: see console")
            if line == PORT_READY:
                break
        guest.ask("stop")
        guest.ask("migrate", uri="file:" + opt.work + "/frozen")
        guest.wait_migrated("completed")
    finally:
        guest.close()
        disk.end()


class Run:
    """One disk and what was tried and promised on it."""

    def __init__(self, opt, rng, scenario):
        self.opt, self.rng, self.scenario = opt, rng, scenario
        self.seed = rng.randrange(1 << 32)
        self.disk = Disk(opt, self.seed, opt.plant)
        self.facts, self.cut = [], ""

    def write_facts(self):
        text = "".join(f + "\n" for f in self.facts).encode()
        if len(text) >= FACTS_SIZE:
            raise Broken("too much was promised")
        with open(self.opt.work + "/facts", "r+b") as f:
            f.write(text + bytes(FACTS_SIZE - len(text)))

    def cycle(self):
        """Thaw, check, work, cut. The violation, or None."""
        self.write_facts()
        guest = Guest(self.opt, incoming=True)
        plant = "no-sync" if self.opt.plant == "no-sync" else "-"
        options = "barrier=0" if self.opt.plant == "barrier" else ""
        wrong, checked = None, False
        try:
            guest.ask("cont")
            guest.port.sock.sendall(f"{self.scenario} {self.rng.randrange(1 << 32)} {plant} {options}\n".encode())
            # some cuts come in the check itself, which is recovery and a little work
            deadline = time.monotonic() + (self.rng.uniform(0.05, 1) if self.rng.random() < 0.2 else CHECK_S)
            while True:
                line = guest.port.get(deadline)
                if line is None:
                    break
                if line == "checked":
                    checked = True
                    deadline = time.monotonic() + self.rng.uniform(0.01, 2)
                elif line[:2] in ("A ", "T "):
                    self.facts.append(line)
                elif line.startswith("wrong: "):
                    wrong = line
                    break
                elif line.startswith("broken: "):
                    wrong = line if "mount" in line else None
                    if not wrong:
                        raise Broken(line)
                    break
            if not checked and not wrong and deadline - time.monotonic() < -CHECK_S:
                raise Broken("the guest does not answer")
            guest.kill()
            # what was promised before the cut may still be in the socket
            while (line := guest.port.get(time.monotonic() + 5)) is not None:
                if line[:2] in ("A ", "T "):
                    self.facts.append(line)
        finally:
            guest.close()
        self.cut = self.disk.wait_for("cut")
        return wrong, checked

    def keep(self, where):
        os.makedirs(where, exist_ok=True)
        shutil.copy(self.disk.path, where)
        with open(where + "/facts", "w", encoding="utf-8") as f:
            f.write("".join(line + "\n" for line in self.facts))


def loop(opt, rng):
    cuts, checks, promised, wrong = 0, 0, 0, []
    run, used = None, 0
    while cuts < opt.cuts:
        if run is None:
            run, used = Run(opt, rng, opt.scenarios[(cuts // CUTS_A_DISK) % len(opt.scenarios)]), 0
        violation, checked = run.cycle()
        cuts, used, checks = cuts + 1, used + 1, checks + (checked and used > 1)
        if violation:
            print(f"{run.scenario}: cut {cuts}, {used} on this disk: {violation} ({run.cut})", flush=True)
            wrong.append(violation)
            if opt.keep:
                run.keep(f"{opt.keep}/{run.scenario}-{cuts}")
        if violation or used == CUTS_A_DISK or cuts == opt.cuts:
            promised += sum(f.startswith("A ") for f in run.facts)
            run.disk.end()
            run = None
            if opt.plant and wrong:
                break
    return cuts, checks, promised, wrong


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--cuts", type=int, default=20)
    p.add_argument("--scenarios", default="tlog bundle")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--plant", choices=["ignore-flush", "barrier", "no-sync"])
    for name in ("keep", "cache", "kernel", "work", "cutdisk"):
        p.add_argument("--" + name)
    opt = p.parse_args()
    opt.scenarios = opt.scenarios.split()
    begin = time.monotonic()
    try:
        freeze(opt)
        frozen = time.monotonic()
        cuts, checks, promised, wrong = loop(opt, random.Random(opt.seed))
    except Broken as e:
        print("power cuts: broken:", e, file=sys.stderr)
        for name in ("console", "qemu.log"):
            if os.path.exists(opt.work + "/" + name):
                with open(opt.work + "/" + name, errors="replace") as f:
                    print(f.read()[-2000:], file=sys.stderr)
        return 2
    took = time.monotonic() - frozen
    print(f"{cuts} power cuts, {checks} checked after one, {promised} promises, {len(wrong)} broken; "
          f"{frozen - begin:.1f} s to freeze a guest, {took:.1f} s, {60 * cuts / took:.0f} cuts a minute")
    if opt.plant:
        print("the planted fault was " + ("found" if wrong else "NOT found"))
        return 0 if wrong else 1
    return 1 if wrong else 0


sys.exit(main())
