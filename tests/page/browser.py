"""A headless Chromium, spoken to through a pipe (its DevTools protocol): no driver, no port, no package."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--remote-debugging-pipe", "--hide-scrollbars",
)  # fmt: skip
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def installed() -> str | None:
    """The browser of this machine ($CHROMIUM, else on the path)."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page, and everything that it said or asked a network for."""

    def __init__(
        self, program: str, folder: Path, *, width: int = 1440, height: int = 1000, webgl: bool = True
    ) -> None:
        to_read, to_write = os.pipe(), os.pipe()
        # The browser reads commands from its file 3 and writes to its file 4.
        shell = f'exec "$@" 3<&{to_read[0]} 4>&{to_write[1]}'
        command = [
            "bash",
            "-c",
            shell,
            "browser",
            program,
            *FLAGS,
            *([] if webgl else ["--disable-3d-apis"]),
            f"--user-data-dir={folder}",
            "about:blank",
        ]
        self.process = subprocess.Popen(
            command, pass_fds=(to_read[0], to_write[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_read[0])
        os.close(to_write[1])
        self._commands, self._answers = os.fdopen(to_read[1], "wb"), os.fdopen(to_write[0], "rb", buffering=0)
        self._buffer, self._number, self._session = b"", 0, None
        self.said: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def call(self, name: str, **parameters: Any) -> dict[str, Any]:
        """A command and its answer; events that come before it are noted."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": name, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while (answer := self._receive()).get("id") != self._number:
            self._note(answer)
        if "error" in answer:
            raise RuntimeError(f"{name}: {answer['error']}")
        return answer["result"]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = self._answers.read(1 << 20)
            if not part:
                raise RuntimeError("the browser ended")
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(text)

    def _note(self, event: dict[str, Any]) -> None:
        name, about = event.get("method"), event.get("params", {})
        if name == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.said.append(" ".join(str(one.get("value", one.get("description"))) for one in about["args"]))
        elif name == "Runtime.exceptionThrown":
            self.said.append(str(about["exceptionDetails"].get("exception", about["exceptionDetails"])))
        elif name == "Page.javascriptDialogOpening":
            self.said.append(f"a dialog: {about['message']}")
        elif name == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.said.append(about["entry"]["text"])
        elif name == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])

    def open(self, path: Path, mark: str = "") -> None:
        self.call("Page.navigate", url="about:blank")
        self.requests.clear()
        self.said.clear()
        self.call("Page.navigate", url=path.absolute().as_uri() + mark)
        self.wait("document.documentElement?.dataset.ready === 'yes'")

    def ask(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def wait(self, script: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not self.ask(script):
            if time.monotonic() > deadline:
                raise TimeoutError(f"never true: {script}; the page said {self.said}")
            time.sleep(0.1)

    def place_of(self, id_: str) -> dict[str, float]:
        """Where an element is, as a picture takes it."""
        box = f"document.getElementById({id_!r}).getBoundingClientRect()"
        return self.ask(
            f"(() => {{ const {{x, y, width, height}} = {box}; return {{x, y, width, height, scale: 1}} }})()"
        )

    def picture(self, path: Path | None = None, **options: Any) -> bytes:
        png = base64.b64decode(self.call("Page.captureScreenshot", format="png", **options)["data"])
        if path is not None:
            path.write_bytes(png)
        return png

    def close(self) -> None:
        try:
            self._session = None
            self.call("Browser.close")
        except (RuntimeError, OSError):
            pass
        finally:
            self._commands.close()
            self._answers.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
