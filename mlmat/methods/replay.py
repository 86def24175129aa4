"""From what the store says of a method and a run to the call that makes the same numbers again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def given(arguments: str | None, directory: str | None) -> tuple[str, dict[str, str]] | None:
    """Runner and settings of a recorded `mlmat screen`; None where the text is none. A file is seen from directory."""
    try:
        words = shlex.split(arguments or "")
    except ValueError:
        return None
    if "screen" not in words:
        return None
    options = _options(words[words.index("screen") + 1 :])
    runners = [value for name, value in options if name == "--runner"]
    settings = dict(value.split("=", 1) for name, value in options if name == "--set" and "=" in value)
    return (_seen_from(runners[-1], directory), settings) if runners else None


def _options(words: list[str]) -> list[tuple[str, str]]:
    """The options of a command line with their values, written with a blank or with =."""
    found = []
    for word, after in zip(words, [*words[1:], ""], strict=True):
        name, joined, value = word.partition("=")
        if name in {"--runner", "--set"}:
            found.append((name, value if joined else after))
    return found


def _seen_from(reference: str, directory: str | None) -> str:
    is_file = reference.rpartition(":")[0].endswith(".py") or reference.endswith(".py")
    return str(Path(directory or "/") / Path(reference).expanduser()) if is_file else reference


def whole(method: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Runner and settings as the method itself has them: enough for a runner that is found by its name."""
    settings = {name: text for name, text in dict(method["settings"]).items() if text[:1] not in {"[", "{"}}
    if method["model_name"] is not None:
        settings["model"] = method["model_name"]
    return method["runner"], settings


def candidates(method: Mapping[str, Any], run: Mapping[str, Any] | None) -> list[tuple[str, dict[str, str]]]:
    """Calls that may make the method, the likeliest first; run: one that computed it, with arguments and directory.

    Defaults may change with the version, so that a runner of mlmat's own gets all settings that the method names. What
    others take as settings only they know: they are called as it was recorded.
    """
    name, full = whole(method)
    recorded = given(run["arguments"], run["directory"]) if run else None
    if recorded is None:
        return [(name, full)]
    reference, settings = recorded
    found = [recorded, (name, full)]
    if "model" in full:  # the file that was named may be gone, and registered here all the same
        found.insert(1, (reference, settings | {"model": full["model"]}))
    return [(reference, full | settings), *found] if reference == name and name in own_runners() else found


def own_runners() -> set[str]:
    """Names of the runners that are part of mlmat."""
    return {file.stem for file in (Path(__file__).parents[1] / "runner").glob("[a-z]*.py")}


def command(reference: str, settings: Mapping[str, str], *more: str) -> str:
    """A call as a line for a shell."""
    words = ["mlmat", "screen", "--runner", reference]
    for name, text in settings.items():
        words += ["--set", f"{name}={text}"]
    return " ".join(_word(word) for word in [*words, *more])


def _word(text: str) -> str:
    """A word for a shell: SQL with its quotes in double ones, which people can read."""
    return f'"{text}"' if "'" in text and not set(text) & set('"$`\\!') else shlex.quote(text)


def lines(result: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """How a result was made, and the command that makes it again; result and found as `Store.show` gives them."""
    yield f"result {result['result_id']}, attempt {result['attempt']}, run {result['run_id'] or '-'}"
    if result["runner"] == "imported":
        yield f"came with {result['came_with']}" if result["came_with"] else "came with a file"
        return
    call = candidates(result, {"arguments": result["command"], "directory": result["directory"]})[0]
    yield "again: " + command(*call, *_selection(result, found))
    settings = ", ".join(f"{name}={text}" for name, text in dict(result["settings"]).items())
    yield f"method {result['method_id']}: {result['runner']} {result['runner_version']} ({settings or 'no settings'})"
    if result["model_sha256"] is not None:
        yield f"weights {result['model_name']}, SHA-256 {result['model_sha256']}, {result['dtype'] or 'dtype not said'}"
    packages = {"python": result["python_version"], **dict(result["versions"] or {})}
    yield f"with {', '.join(f'{name} {text}' for name, text in packages.items() if text)} on {result['platform']}"


def _selection(result: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Options that choose just the structure of a result, wherever it came from."""
    outcomes = {source["outcome"] for source in found["sources"] if source["current"]}
    more = ["--where", f"structure_id = '{result['structure_id']}'"]
    if result["status"] == "failed":
        more.append("--retry-failed")
    if not outcomes and found["made_by"]:
        return [*more, "--of", found["made_by"][0]["method_id"]]
    return more if outcomes - {"flagged"} else [*more, "--include-flagged"]
