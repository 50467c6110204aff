"""What a reader does in JupyterLab: run a notebook, look at what came out, move the controls by keyboard."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.sync_api import ConsoleMessage, Error, FilePayload, Locator, Page

RUN_SECONDS = 900  # the most that a notebook may take, on a busy machine too
MOVE_SECONDS = 5  # until a key has moved its control: a list is in a window of its own
STILL_SECONDS = 0.4  # a picture that was drawn is followed by another for as long, when keys came one after the other

OUTPUT = ".jp-OutputArea-output"
DEMO = f"{OUTPUT}:has(> .jupyter-widgets)"
CONTROLS = ".noUi-handle, select, button, input, textarea"
KINDS = ("slider", "select", "checkbox", "upload")
PROBLEM = ".sdcda-problem"  # where `widgets.explore` shows what its picture failed with
STALE = ".sdcda-stale"  # a picture that waits for the kernel, from the move to its end
LABORATORY = ".sdcda-laboratory"  # its controls change nothing until its button is pressed, which trains
UNDRAWN = re.compile(r"model not found|error displaying widget|loading widget", re.I)  # words in a widget's place

# Errors of the console that say nothing about a notebook; this one comes from JupyterLab itself after a restart.
HARMLESS: list[str] = ["Could not restore the debugger state"]

# Read in the page: the name and the kind of a control, where it stands, what the pictures of a demo are.
NAME = """e => (e.tagName == 'BUTTON' ? e.innerText || e.title : e.tagName == 'INPUT' ? e.closest('label')?.innerText
    : e.closest('.jupyter-widgets').querySelector('.widget-label')?.innerText ?? '').trim()"""
KIND = """e => e.matches('.noUi-handle') ? 'slider' : e.matches('.widget-upload') ? 'upload'
    : e.tagName == 'INPUT' ? e.type : e.tagName.toLowerCase()"""
SLIDER = "e.closest('.noUi-target').noUiSlider"  # its own figures: those for screen readers are rounded
PLACE = f"""e => e.matches('.noUi-handle') ? [{SLIDER}.get(true)].flat()[+e.dataset.handle]
    : e.tagName == 'SELECT' ? e.selectedIndex : +(e.checked ?? 0)"""
READING = """e => e.matches('.noUi-handle') ? e.getAttribute('aria-valuetext') : e.tagName == 'SELECT'
    ? e.options[e.selectedIndex].text : e.tagName == 'BUTTON' ? 'pressed' : e.checked ? 'on' : 'off'"""
RANGE = f"""e => e.tagName == 'SELECT' ? [0, e.options.length - 1]
    : [{SLIDER}.options.range.min, {SLIDER}.options.range.max].flat()"""
# Each new picture has a new address, so its digest is worked out once however often one looks.
LOOK = """async demo => (await Promise.all([...demo.querySelectorAll('img')].map(async image => {
    const known = window.sdcdaDigests ??= {};
    if (!known[image.src]) {
        const digest = await crypto.subtle.digest('SHA-256', await (await fetch(image.src)).arrayBuffer());
        known[image.src] = Array.from(new Uint8Array(digest).slice(0, 8)).join('.');
    }
    return known[image.src];
}))).join(' ')"""

# How many pictures the kernel has drawn since the first call: each is stale from the move to its end, changed or not.
DRAWN = f"""demo => {{
    if (demo.sdcdaDrawn === undefined) {{
        demo.sdcdaDrawn = 0;
        new MutationObserver(all => all.forEach(({{oldValue, target}}) => {{
            demo.sdcdaDrawn += oldValue?.includes('{STALE[1:]}') && !target.matches('{STALE}') ? 1 : 0;
        }})).observe(demo, {{subtree: true, attributeFilter: ['class'], attributeOldValue: true}});
    }}
    return demo.sdcdaDrawn;
}}"""


@dataclass
class Opened:
    """A notebook in a page of its own, and what its console complained of."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def hear(self, message: ConsoleMessage) -> None:
        text = f"{message.text} {message.location.get('url', '')}"
        if message.type == "error" and not any(re.search(pattern, text) for pattern in HARMLESS):
            self.complaints.append(text)

    def idle(self) -> bool:
        indicator = self.page.locator(".jp-Notebook-ExecutionIndicator").first
        return indicator.get_attribute("data-status") == "idle"

    def choose(self, menu: str, entry: str) -> None:
        for name in (menu, entry):
            self.page.get_by_role("menuitem", name=name, exact=True).click()

    def run(self) -> list[str]:
        """Clear the stored outputs and run all cells; what went wrong."""
        self.choose("Edit", "Clear Outputs of All Cells")
        self.choose("Run", "Run All Cells")
        cells, end = self.page.locator(".jp-CodeCell"), time.monotonic() + RUN_SECONDS
        while True:
            self.page.wait_for_timeout(200)
            if self.page.locator(".jp-Dialog").count():  # "Select Kernel", on a slow machine only after the menu
                cells.first.hover()  # an action, which lets the fixture's handler answer
            prompts = cells.locator(".jp-InputPrompt").all_inner_texts()
            if "[*]:" not in prompts and set(prompts) != {"[ ]:"} and self.idle():
                break
            if time.monotonic() > end:
                return [f"still running after {RUN_SECONDS} s: {' '.join(prompts)}"]
        left = [
            str(number)
            for number, (cell, prompt) in enumerate(zip(cells.all(), prompts, strict=True), start=1)
            if prompt == "[ ]:" and cell.locator(".cm-content").inner_text().strip()
        ]
        return ([f"code cells not run: {', '.join(left)}"] if left else []) + self.wrong()

    def wrong(self) -> list[str]:
        """What is wrong with the outputs as they are now, and what the console complained of since the last time."""
        end = time.monotonic() + 15  # widgets are drawn a moment after the kernel is done, pictures are decoded
        while (faults := self._wrong_now()) and time.monotonic() < end:
            self.page.wait_for_timeout(250)
        faults += [f"the console says: {text}" for text in self.complaints]
        self.complaints.clear()
        return faults

    def _wrong_now(self) -> list[str]:
        outputs = self.page.locator(OUTPUT).evaluate_all("all => all.map(e => [e.dataset.mimeType ?? '', e.innerText])")
        faults = [
            f"an output shows an error: {text.strip()[-600:]}"
            for kind, text in outputs
            if "error" in kind or ("stderr" in kind and "Traceback" in text)
        ]
        faults += [f"instead of a widget: {text.strip()[:200]}" for _, text in outputs if UNDRAWN.search(text)]
        blank = self.page.locator(f"{OUTPUT} img").evaluate_all(
            "all => all.filter(e => !e.complete || !e.naturalWidth).map(e => e.alt || e.src.slice(0, 80))"
        )
        return faults + [f"a picture is not shown: {name}" for name in blank]

    def demos(self) -> list[Demo]:
        """The widgets that have controls; a progress bar is none, and the laboratory has a test of its own."""
        places = [place for place in self.page.locator(DEMO).all() if place.locator(CONTROLS).count()]
        return [Demo(self, place) for place in places if not place.locator(LABORATORY).count()]


def photograph() -> FilePayload:
    """A file to choose where a demo asks for a photograph: a row of people, so that a counter has something to find."""
    picture, file = Image.new("RGB", (320, 240), "lightgrey"), io.BytesIO()
    picture.paste("darkgreen", (0, 90, 320, 240))
    draw = ImageDraw.Draw(picture)
    for x in range(20, 310, 30):
        draw.rectangle((x - 4, 150, x + 4, 180), fill="navy")
        draw.ellipse((x - 4, 141, x + 4, 149), fill="peachpuff")
    picture.save(file, format="JPEG")
    return {"name": "photograph.jpg", "mimeType": "image/jpeg", "buffer": file.getvalue()}


class Control:
    """A handle of a slider, a list, a button, a box to tick, or a button that asks for a file."""

    def __init__(self, element: Locator) -> None:
        self.element = element
        self.name, self.kind = str(element.evaluate(NAME)), str(element.evaluate(KIND))
        self.start = self.place()

    def place(self) -> float:
        return float(self.element.evaluate(PLACE))

    def __str__(self) -> str:
        return f"{self.name} = {self.element.evaluate(READING)}"

    def label(self) -> str | None:
        """What a screen reader calls the handle of a slider."""
        return self.element.get_attribute("aria-label")

    def length(self) -> float:
        """Of a slider's track, in pixels of the page."""
        return float(self.element.evaluate("e => e.closest('.noUi-target').getBoundingClientRect().width"))

    def press(self, key: str, times: int = 1) -> None:
        # JupyterLab takes an arrow on a closed list for itself; in an open one it chooses.
        keys = ["Space", *[key] * times, "Enter"] if self.kind == "select" and "Arrow" in key else [key] * times
        for one in keys:
            self.element.press(one)

    def ways(self) -> tuple[str, str]:
        """The keys that take it one step away from where it is, and back."""
        keys = {"slider": ("ArrowRight", "ArrowLeft"), "select": ("ArrowDown", "ArrowUp")}
        there, back = keys.get(self.kind, ("Space", "Space"))
        last = there != back and self.place() == self.element.evaluate(RANGE)[1]
        return (back, there) if last else (there, back)

    def choose_file(self) -> None:
        with self.element.page.expect_file_chooser() as chooser:
            self.press("Space")
        chooser.value.set_files(photograph())

    def tour(self) -> list[str]:
        """The keys that take it to its last place and to its first, or through all that it offers; each moves it."""
        if self.kind == "upload":
            return []  # a file was chosen in the first step, and there is no way back to none
        if self.kind == "checkbox":
            return ["Space"]
        low, high = self.element.evaluate(RANGE)
        if self.kind == "select":
            return ["Home"] * (self.place() != low) + ["ArrowDown"] * int(high - low)
        return ["End"] * (self.place() != high) + ["Home"] * (low != high)

    def restore(self) -> None:
        """Back from elsewhere to where it was when the demo was new."""
        way = self.start - self.place()
        if self.kind == "checkbox":
            self.press("Space")
        elif self.kind == "select":  # in the open list it is one picture to draw
            self.press("ArrowDown" if way > 0 else "ArrowUp", abs(int(way)))
        else:  # typed into the readout it is one picture to draw, where each key on the handle would be another
            slider = self.element.locator("xpath=ancestor::*[contains(@class, 'widget-slider')]")
            readout = slider.locator(".widget-readout")
            readout.fill(f"{self.start:g}")
            readout.press("Enter")


class Demo:
    """Controls with a picture that follows them; collects what does not, and what is worth knowing."""

    def __init__(self, notebook: Opened, place: Locator) -> None:
        self.notebook, self.place = notebook, place
        self.faults: list[str] = []
        self.notes: list[str] = []

    def look(self) -> str:
        """The pictures as they are now, as one text. One that is just being replaced is asked for again."""
        end = time.monotonic() + 5
        while True:
            try:
                return str(self.place.evaluate(LOOK))
            except Error:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def after(self, move: Callable[[], object], control: Control) -> bool:
        """Make a move and wait for its picture, however long the kernel takes; whether it is another one."""
        before, at, drawn = self.look(), control.place(), self.drawn()
        move()
        last, began, moved = before, time.monotonic(), control.kind == "upload"
        still = began
        while time.monotonic() < began + 60:
            self.notebook.page.wait_for_timeout(50)
            moved = moved or control.place() != at
            waits = self.drawn() == drawn if moved else time.monotonic() < began + MOVE_SECONDS
            busy, now = waits or self.place.locator(STALE).count() > 0, self.look()
            if busy or now != last:
                last, still = now, time.monotonic()
            if time.monotonic() - still > STILL_SECONDS:
                break
        return last != before

    def drawn(self) -> int:
        return int(self.place.evaluate(DRAWN))

    def check(self, control: object) -> None:
        """Take down the message that stands in the demo, if there is one."""
        for text in filter(None, (text.strip() for text in self.place.locator(PROBLEM).all_inner_texts())):
            self.faults.append(f"at {control} the demo says: {text}")

    def follows(self, control: Control) -> bool:
        """Move a control by one step and, but for a chosen file, back; whether the picture changed."""
        if control.kind == "upload":
            changed = self.after(control.choose_file, control)
            self.check(control)
            return changed
        at, (there, back) = control.place(), control.ways()
        changed = self.after(partial(control.press, there), control)
        if control.place() == at:
            self.faults.append(f"the keyboard does not move {control}")
        self.check(control)
        self.after(partial(control.press, back), control)
        return changed

    def move_all(self, folder: Path, name: str) -> None:
        """Move every control: one step, then to its ends, with a picture of each in `folder`.

        A control may do nothing in the state in which the demo begins (the width of a fixed kernel while an adaptive
        one is chosen). It is then tried again in each state that one other control leads to, and must change the
        picture in one of them.
        """
        self.place.scroll_into_view_if_needed()
        self.place.screenshot(path=folder / f"{name}.png")
        self.check("the start")
        if not self.look():
            self.faults.append("there are controls, but no picture")
        controls = [Control(element) for element in self.place.locator(CONTROLS).all() if element.is_visible()]
        self.faults += [f"{c}: no way to move a {c.kind} is known here" for c in controls if c.kind not in KINDS]
        controls = [control for control in controls if control.kind in KINDS]
        sliders = [control for control in controls if control.kind == "slider"]
        self.faults += [f"{c.name}: its handle has no name for screen readers" for c in sliders if c.label() != c.name]
        lengths = {round(control.length()) for control in sliders}
        self.faults += [f"sliders of several lengths: {sorted(lengths)} pixels"] if len(lengths) > 1 else []
        idle = [control for control in controls if not self.follows(control)]
        for number, control in enumerate(controls, start=1):
            for key in control.tour():
                self.after(partial(control.press, key), control)
                self.check(control)
                if control.place() != control.start:
                    self.place.screenshot(path=folder / f"{name}-{number}.png")
                for other in [other for other in idle if other is not control]:
                    if self.follows(other):
                        self.notes.append(f"{other.name} changes the picture only after {control}")
                        idle.remove(other)
            if control.place() != control.start:
                self.after(control.restore, control)
        self.faults += [f"{control.name} ({control.kind}) never changes the picture" for control in idle]
        self.notes.append(f"moved: {', '.join(f'{control.name} ({control.kind})' for control in controls)}")
