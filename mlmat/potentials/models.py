"""Models as things one can trust: registered once, with their SHA-256, in one plain folder.

The folder (`$MLMAT_CACHE/models`, or `models` in the user's cache folder) can be copied to a cluster without internet.
Loading a model runs the pickle inside its file: a file is loaded only after somebody has registered it.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat import provenance
from mlmat.errors import ModelError
from mlmat.materials import schemes
from mlmat.potentials import weights

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What mace-torch 0.3.16 can download: training data and licence (source: github.com/ACEsuit/mace-foundations, 2026).
FOUNDATION = {
    **dict.fromkeys(("small", "medium", "large"), ("MPtrj, PBE+U", "MIT")),
    **dict.fromkeys(("small-0b", "medium-0b"), ("MPtrj, PBE+U", "MIT")),
    **dict.fromkeys(("small-0b2", "medium-0b2", "large-0b2", "medium-0b3"), ("MPtrj, PBE+U", "MIT")),
    "medium-mpa-0": ("MPtrj and sAlex, PBE+U", "MIT"),
    **dict.fromkeys(("small-omat-0", "medium-omat-0"), ("OMat24, PBE+U", "ASL")),
    "mace-matpes-pbe-0": ("MatPES-PBE, PBE", "ASL"),
    "mace-matpes-r2scan-0": ("MatPES-r2SCAN, r2SCAN", "ASL"),
    **dict.fromkeys(("mh-0", "mh-1"), ("several data sets, one head each", "ASL")),
}

#: How the source of a fetched model begins.
_FETCHED = "mace-torch: "


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be named: where its file is (None: not here yet), and what is known of it. size in bytes.

    scheme: of its energies (`mlmat.materials.schemes`); expected_errors: mean absolute errors in eV/atom by quantity.
    """

    name: str
    kind: str
    path: Path | None = None
    sha256: str | None = None
    size: int | None = None
    trained_on: str = ""
    licence: str = ""
    source: str = ""
    note: str = ""
    scheme: str | None = None
    expected_errors: dict[str, float] = field(default_factory=dict)

    def energies(self) -> dict[str, Any]:
        """What a method that computes with it says of its energies, as `Prepared` takes it."""
        known = schemes.BY_SHA256.get(self.sha256 or "") or self._learned()
        scheme = self.scheme or (known.scheme.name if known.scheme else None)
        trained_on = known.trained_on or self.trained_on or None
        return {"scheme": scheme, "trained_on": trained_on, "expected_errors": dict(self.expected_errors)}

    def _learned(self) -> schemes.Learned:
        """What is known of a model by its name: of the shipped one and of mace-torch's own."""
        name = self.source.removeprefix(_FETCHED) if self.source.startswith(_FETCHED) else self.name
        return schemes.MODELS.get(name if self.kind in {"shipped", "foundation"} else "", schemes.Learned())


def default() -> str:
    """The model that is used where none is named: the shipped one."""
    return next((model.name for model in _shipped()), weights.UNTRAINED)


def _shipped() -> Iterator[Model]:
    """Models inside the package: NAME.npz with what is known of it in NAME.json."""
    for about in sorted((Path(__file__).parent.parent / "weights").glob("*.json")):
        path = about.with_suffix(".npz")
        yield Model(
            name=about.stem, kind="shipped", path=path, size=path.stat().st_size, **json.loads(about.read_text())
        )


def resolve(text: str) -> Model:
    """The model of a name, or of a file that is registered. Raises ModelError, saying what to do.

    A foundation model that is not here yet is fetched; a registered file whose bytes have changed is refused.
    """
    if text in {weights.UNTRAINED, str(weights.untrained_path())}:
        path = weights.resolve(weights.UNTRAINED)
        return Model(weights.UNTRAINED, "untrained", path, provenance.sha256(path), path.stat().st_size)
    known = {model.name: model for model in listing()}
    if text in known:
        return _verified(known[text]) if known[text].path else add(text)
    return _registered_file(text, known)


def _verified(model: Model) -> Model:
    assert model.path is not None
    if provenance.sha256(model.path) != model.sha256:
        raise ModelError(f"{model.path} is not the file that was registered as {model.name}: add it again")
    return model


def _registered_file(text: str, known: dict[str, Model]) -> Model:
    path = weights.resolve(text) if _looks_like_a_file(text) else None
    if path is None:
        raise ModelError(f"no model {text!r}; `mlmat models` lists them, `mlmat models add FILE` registers a file")
    digest = provenance.sha256(path)
    for model in known.values():
        if model.sha256 == digest:
            return _verified(model)
    raise ModelError(
        f"{path} is not registered; loading a model runs code that is inside the file: if you trust where it comes "
        f"from, register it once with `mlmat models add {path}`"
    )


def _looks_like_a_file(text: str) -> bool:
    return Path(text).expanduser().exists() or "/" in text or text.endswith((".model", ".npz", ".pt", ".pth"))


def add(text: str, sha256: str | None = None, name: str | None = None, **about: Any) -> Model:
    """Register a file (copied into the cache) or fetch a foundation model by name; checked, and removed if it is bad.

    sha256: what its SHA-256 must be; about: scheme, trained_on and expected_errors as in `Model`. Raises ModelError,
    UsageError for a scheme that is none.
    """
    about = {key: value for key, value in about.items() if value}
    if "scheme" in about:
        about["scheme"] = schemes.named(about["scheme"]).name
    if _looks_like_a_file(text):
        source = weights.resolve(text)
        name = name or source.stem
        return _install(name, "registered", str(source), sha256, lambda part: shutil.copyfile(source, part), about)
    if text in FOUNDATION:
        return _install(
            name or text, "foundation", f"{_FETCHED}{text}", sha256, lambda part: weights.fetch(text, part), about
        )
    raise ModelError(f"no file {text}, and no foundation model of that name; there are {', '.join(FOUNDATION)}")


def scheme_known(text: str) -> bool:
    """Whether the scheme of a model or file is known without asking."""
    if _looks_like_a_file(text):
        digest = provenance.sha256(weights.resolve(text))
        return any(model.sha256 == digest and model.energies()["scheme"] for model in listing())
    return any(model.name == text and model.energies()["scheme"] for model in listing())


def _install(
    name: str, kind: str, source: str, wanted: str | None, make: weights.Maker, known: dict[str, Any]
) -> Model:
    """Bring a file into the cache, behind a lock; nothing of it stays when it is not what was wanted."""
    taken = {weights.UNTRAINED, *(model.name for model in _shipped())}
    if not re.fullmatch(r"\w[\w.+-]*", name) or name in taken:
        raise ModelError(f"{name!r} cannot be the name of a model: use letters, digits, . + - and _ with --name")
    suffix = ".npz" if source.endswith(".npz") else ".model"
    target = weights.cache_folder() / f"{name}{suffix}"

    def checked(part: Path) -> None:
        make(part)
        _check(part, wanted, target)

    weights.obtain(target, checked, again=True)
    trained_on, licence = FOUNDATION.get(name, ("", "")) if kind == "foundation" else ("", "")
    size, digest = target.stat().st_size, provenance.sha256(target)
    more = _known_before(target, digest) | {"trained_on": trained_on} | known
    model = Model(name, kind, target, digest, size, licence=licence, source=source, **more)
    about = {k: v for k, v in asdict(model).items() if k not in {"path", "name"}}
    about |= {"suffix": suffix, "added_at": provenance.now().isoformat()}
    target.with_suffix(".json").write_text(json.dumps(about, indent=1))
    return model


def _known_before(target: Path, digest: str) -> dict[str, Any]:
    """What was said of a model that is registered again."""
    old = next((model for model in _cached() if model.name == target.stem and model.sha256 == digest), None)
    return {"scheme": old.scheme, "expected_errors": old.expected_errors} if old else {}


def _check(part: Path, wanted: str | None, target: Path) -> None:
    if flaw := weights.defect(part):
        raise ModelError(f"what came for {target.stem} {flaw}; it was removed")
    found = provenance.sha256(part)
    if wanted and found != wanted.lower():
        raise ModelError(f"SHA-256 of {target.stem} is {found}, not {wanted}; it was removed")
    if any(model.name == target.stem and model.sha256 != found for model in _cached()):
        raise ModelError(f"another file is registered as {target.stem}; give this one a name of its own with --name")


def listing() -> list[Model]:
    """Every model that a name reaches: shipped, in the cache, and the foundation models that are not here."""
    here = {model.name: model for model in (*_cached(), *_shipped())}
    absent = [
        Model(name, "foundation", trained_on=data, licence=licence)
        for name, (data, licence) in FOUNDATION.items()
        if name not in here
    ]
    return [
        *here.values(),
        Model(weights.UNTRAINED, "untrained", trained_on="nothing: its numbers mean nothing"),
        *absent,
    ]


def _cached() -> Iterator[Model]:
    for about in sorted(weights.cache_folder().glob("*.json")):
        fields = {k: v for k, v in json.loads(about.read_text()).items() if k != "added_at"}
        path = about.with_name(about.stem + fields.pop("suffix", ".model"))
        if path.is_file():
            yield Model(name=about.stem, path=path, **fields)
