"""What only a GPU can show, in at most eight minutes: does the package work there, is it right, and how fast is it?

    python tools/gpu_check.py                        on a machine with an NVIDIA GPU, from a clone
    python tools/gpu_check.py --device cpu --small   tries the check itself, in a minute or two

Each part (`gpu_parts.PARTS`) runs in a process of its own and has its own time limit, so one that fails, hangs or runs
out of memory costs nothing but itself. OUT/report.json is written anew after every part, OUT/report.txt at the end.

Exit code: 0 if every part passed or cannot be done on this card, 1 if not, 2 if the check could not begin.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import sdcda_tutorial  # noqa: F401 (sets how threads wait, before torch is loaded)
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import read_object, require_writable, write_json, write_text

ENOUGH = 10.0  # seconds: no part begins with less time left
GRACE = 5.0  # seconds in which a process that is done has to leave; threads of a part that failed may hold it
PASSED, FAILED, BROKEN, LATE, LEFT_OUT, NOT_HERE = (
    "passed", "failed", "error", "out of time", "skipped", "not on this card"
)  # fmt: skip
GOOD = (PASSED, NOT_HERE)
USELESS = (BROKEN, LATE, LEFT_OUT)  # what a part with this end has made cannot be counted on


def run_part(part: Any, bench: Any, limit: float) -> dict[str, Any]:
    """Do one part in a new process; what it found, how it ended, and how long it took.

    The process leads a session of its own, and all of it is ended when the time is up.
    """
    way = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(way)  # never a fork of this process: CUDA would not survive it
    context.set_forkserver_preload(["sdcda_tutorial.training.counter_training"])  # with torch, and nothing of CUDA
    files = {kind: bench.work / f"{part.name}.{kind}" for kind in ("found", "end", "log")}
    for file in files.values():
        file.unlink(missing_ok=True)
    began = time.monotonic()
    process = context.Process(target=_do, args=(part.work, bench, files))
    process.start()
    try:
        while process.is_alive() and not files["end"].exists() and time.monotonic() < began + limit:
            process.join(0.1)
        done = files["end"].exists() or not process.is_alive()
        process.join(GRACE if done else 0)
    finally:
        _end(process)
    end = read_object(files["end"]) if files["end"].exists() else {}
    if not done:
        end = {"status": LATE, "error": f"ended after {limit:.0f} s"}
    elif not end:
        end = {
            "status": BROKEN,
            "error": f"the process ended with exit code {process.exitcode}; {_last_line(files['log'])}",
        }
    found = read_object(files["found"]) if files["found"].exists() else {"figures": {}, "checks": []}
    if end["status"] == PASSED and not all(check["passed"] for check in found["checks"]):
        end["status"] = FAILED
    if end["status"] not in GOOD:
        end["output"] = _text_of(files["log"]).splitlines()[-30:]
    return {"question": part.question, "seconds": round(time.monotonic() - began, 1), **end, **found}


def _do(work: Callable[..., None], bench: Any, files: Mapping[str, Path]) -> None:
    """In the new process: do the part, and write how it ended."""
    if hasattr(os, "setsid"):
        os.setsid()
    log = os.open(files["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1), os.dup2(log, 2)
    from sdcda_tutorial.guards.endings import end_with_parent

    end_with_parent()
    try:
        import gpu_parts

        end: dict[str, Any] = {"status": PASSED}
        try:
            work(bench, gpu_parts.Found(files["found"]))
        except gpu_parts.NotHere as reason:
            end = {"status": NOT_HERE, "error": str(reason)}
    except BaseException as error:  # whatever it is: it is one part's, and the others go on
        line = " ".join(str(error).split())[:300]
        end = {"status": BROKEN, "error": f"{type(error).__name__}: {line}", "traceback": traceback.format_exc()}
    sys.stdout.flush(), sys.stderr.flush()
    write_json(files["end"], end)


def _end(process: Any) -> None:
    """End the process and those that it started."""
    with suppress(OSError, AttributeError):  # it is gone already; Windows knows no groups
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _text_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""


def _last_line(log: Path) -> str:
    return next((line for line in reversed(_text_of(log).splitlines()) if line.strip()), "it printed nothing")


def check(
    parts: Sequence[Any], bench: Any, out: Path, minutes: float, stored: Mapping[str, Any], needed: Sequence[str]
) -> dict[str, Any]:
    """Do the parts in order, write the report after each, and return it.

    Args:
        minutes: for all; what does not begin in this time is left out and named.
        stored: report of a check that goes on: its good parts are not done again.
        needed: names of parts that the others rest on, which are done in any case, and first.
    """
    began, report = time.monotonic(), _beginning(bench, stored)
    for part in parts:
        kept = report["parts"].get(part.name)
        if kept is not None and kept["status"] in GOOD and part.name not in needed:
            continue
        left = 60 * minutes - (time.monotonic() - began)
        before = needed[: needed.index(part.name)] if part.name in needed else needed
        lacking = [name for name in before if report["parts"].get(name, {}).get("status") in USELESS]
        if left < ENOUGH:
            done = {"status": LEFT_OUT, "error": f"the {minutes:g} minutes were over; --resume goes on"}
        elif lacking:
            done = {"status": LEFT_OUT, "error": f"it needs what {lacking[0]} makes"}
        else:
            print(f"{part.name}: {part.question}", flush=True)
            done = run_part(part, bench, min(part.limit, left))
        done = {"question": part.question, "seconds": 0.0, "figures": {}, "checks": [], **done}
        print(f"    {done['status']}, {done['seconds']:.0f} s  {done.get('error', '')}", flush=True)
        report["parts"][part.name] = done
        if part.name == "machine":
            report["provenance"] = done["figures"]
        report["seconds"] = round(stored.get("seconds", 0.0) + time.monotonic() - began, 1)
        _refuse_another_machine(report, stored)
        write_json(out / "report.json", report)
    return report


def _beginning(bench: Any, stored: Mapping[str, Any]) -> dict[str, Any]:
    options = (
        f" --device {bench.device}{' --small' if bench.small else ''}" if bench.device != "cuda" or bench.small else ""
    )
    return {
        "what": "The GPU check: tests, the paper preset, the method and inference on one GPU. Seconds are medians; a "
        "check passes if its value is at most its limit.",
        "command": f"python tools/gpu_check.py{options}",
        "asked": {"device": bench.device, "small": bench.small},
        "provenance": {},
        "parts": dict(stored.get("parts", {})),
    }


def _refuse_another_machine(report: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """Raise an InputError where a report was begun on another card: its figures would be of two."""
    now, then = (_hardware(one) for one in (report, stored))
    if then and now and now.get("gpu") != then.get("gpu"):
        raise InputError(
            f"the report was begun on {then.get('gpu')}, and this is {now.get('gpu')}; choose another --out"
        )


def _hardware(report: Mapping[str, Any]) -> dict[str, Any]:
    return report.get("provenance", {}).get("hardware", {})


def as_text(report: Mapping[str, Any]) -> str:
    """The report for a reader."""
    hardware, parts = _hardware(report), report["parts"]
    versions = report.get("provenance", {}).get("versions", {})
    good = sum(part["status"] in GOOD for part in parts.values())
    memory = f", {hardware['gpu_memory_gib']} GiB" if "gpu_memory_gib" in hardware else ""
    lines = [
        f"GPU check on {hardware.get('gpu') or hardware.get('processor', 'an unknown machine')}{memory}, "
        f"torch {versions.get('torch', '?')}, driver {hardware.get('driver', 'none')}",
        f"{good} of {len(parts)} parts are good; {report.get('seconds', 0):.0f} s",
    ]
    for name, part in parts.items():
        lines += ["", f"{part['status'].upper():<12} {name}  ({part['seconds']:.0f} s)  {part['question']}"]
        lines += [f"    {part['error']}"] if "error" in part else []
        for one in part["checks"]:
            sign = "ok " if one["passed"] else "BAD"
            lines.append(f"    {sign} {one['what']}: {one['value']} (at most {one['at_most']:.4g})")
        if name != "machine":
            lines += [f"        {figure}: {_shown(value)}" for figure, value in part["figures"].items()]
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items())
    return ", ".join(map(_shown, value)) if isinstance(value, list) else str(value)


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/gpu_check"), help="folder of the report")
    parser.add_argument("--minutes", type=float, default=8.0, help="for all parts together (default 8)")
    parser.add_argument("--resume", action="store_true", help="go on with the report in --out")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu tries the check itself")
    parser.add_argument("--small", action="store_true", help="everything tiny: whether it runs, not how well")
    return parser.parse_args(arguments)


def begin(asked: argparse.Namespace) -> dict[str, Any]:
    """The stored report to go on with, or an empty one; an InputError where the check cannot begin."""
    if asked.device == "cpu" and not asked.small:
        raise InputError("on a CPU the paper's scale takes hours; add --small, which tries the check itself")
    if asked.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise InputError(
                f"torch {torch.__version__} sees no NVIDIA GPU; run this where there is one, with a build of PyTorch "
                "for CUDA, or try the check itself: --device cpu --small"
            )
    require_writable(asked.out)
    path = asked.out / "report.json"
    if not path.exists():
        return {}
    if not asked.resume:
        raise InputError(f"{path} is there already; go on with it by --resume, or choose another --out")
    stored = read_object(path)
    wanted = {"device": asked.device, "small": asked.small}
    if stored.get("asked") != wanted:
        raise InputError(f"{path} was begun with {stored.get('asked')}, not {wanted}; choose another --out")
    return stored


def main(arguments: Sequence[str] | None = None) -> int:
    asked = options(arguments)
    try:
        stored = begin(asked)
        import gpu_parts

        from sdcda_tutorial.guards.endings import in_order

        # Where the check is ended by Ctrl-C or a signal, so are its parts, and the folder goes.
        with in_order(), tempfile.TemporaryDirectory(prefix="gpu_check_", ignore_cleanup_errors=True) as work:
            bench = gpu_parts.Bench(Path(work), asked.device, asked.small)
            report = check(gpu_parts.PARTS, bench, asked.out, asked.minutes, stored, gpu_parts.NEEDED)
    except InputError as error:
        print(f"gpu_check: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gpu_check: interrupted; --resume goes on", file=sys.stderr)
        return 130
    text = as_text(report)
    write_text(asked.out / "report.txt", text)
    print(f"\n{text}\n{asked.out / 'report.json'} and report.txt hold all of it")
    return 0 if all(part["status"] in GOOD for part in report["parts"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
