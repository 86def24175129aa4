"""What the command line prints: progress bars, tables, summaries. Texts from files are cleaned first."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mlmat.cli._run_text import runs_lines
from mlmat.materials import expected_errors
from mlmat.materials.schemes import MP2020, MP_RAW
from mlmat.methods import replay
from mlmat.output import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mlmat.ingest import Report
    from mlmat.potentials.models import Model
    from mlmat.screen import Summary
    from mlmat.verify import Check

_OUTCOMES = ("stored", "duplicate", "disordered", "flagged", "rejected", "unreadable")


def ingest_lines(report: Report, db: Path) -> Iterator[str]:
    """The summary of an ingest."""
    new = sum(report.outcomes.values())
    if not new:
        yield _nothing_new(report, db)
        yield from _not_read(report)
        return
    members = f" with {counted(report.members, 'member')}" if report.members else ""
    rate = f" ({counted(report.files - report.unchanged, 'file')}{members} in {report.seconds:.1f} s)"
    yield f"{counted(new, 'block')} ingested into {db}{rate}"
    for outcome in _OUTCOMES:
        if count := report.outcomes.get(outcome):
            yield f"  {outcome:11} {count:8,}"
    if report.unchanged:
        yield f"  {counted(report.unchanged, 'file')} {_were(report.unchanged)} there already, unchanged"
    if report.unchanged_members:
        yield f"  {counted(report.unchanged_members, 'member')} {_were(report.unchanged_members)} as before"
    if report.other:
        yield f"  {counted(report.other, 'file')} of other formats {_were(report.other)} passed over"
    if report.results:
        yield f"  {counted(report.results, 'result')} came with them (mlmat reduce imported)"
    if report.constrained:
        fixed = f"{counted(report.constrained, 'block')} with fixed atoms (selective dynamics, FixAtoms, move_mask)"
        yield f"  {fixed}: constraints are not kept, relaxations move all atoms"
    yield from _not_read(report)
    if any(report.outcomes.get(o) for o in _OUTCOMES[2:]):
        those = "current AND outcome NOT IN ('stored', 'duplicate')"
        yield f'why: mlmat sql "SELECT path, member, outcome, reason FROM source WHERE {those}"'


def _not_read(report: Report) -> Iterator[str]:
    lines = dict.fromkeys([*report.problems[:5], *report.refused])
    yield from (f"not read: {shown(line)}" for line in lines)


def _nothing_new(report: Report, db: Path) -> str:
    if not report.files:
        tables = " (tables are read with --column NAME)" if report.other else ""
        return f"no files of a known format were found{tables}"
    files = "the file is" if report.files == 1 else f"all {report.files:,} files are"
    return f"nothing new: {files} in {db} already, unchanged"


def counted(number: int, what: str) -> str:
    """A number with its noun: `1 file`, `2,000 files`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _number(value: float) -> str:
    """Two digits of a small number, all before the point of a larger one."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def screen_lines(summary: Summary, method: str, runner: str) -> Iterator[str]:
    """The summary of a screen."""
    if summary.nothing:
        yield f"nothing to do: {shown(summary.nothing)}"
        return
    rate = summary.done / summary.seconds if summary.seconds else 0.0
    yield (
        f"{summary.done:,} structure{'' if summary.done == 1 else 's'} in {summary.seconds:.1f} s ({_number(rate)}/s) "
        f"by {shown(method)}: {summary.ok:,} ok, {summary.failed:,} failed"
    )
    if summary.waiting_bytes:
        yield "  the store was held by another process: the results wait in the journal, the next command takes them in"
    if summary.outcome == "stopped":
        yield f"stopped; {summary.pending:,} are still pending, the same command goes on with them"
    if summary.failed:
        yield "why: mlmat reduce failures"
    if summary.ok:
        yield f"next: mlmat reduce ranking, mlmat reduce {runner}"


def status_lines(status: dict[str, Any]) -> Iterator[str]:
    """What `mlmat status` says."""
    counts = status["structures"][0]
    yield f"structures  {counts['structures']:,} ({counts['screenable']:,} from files, ready to screen)"
    blocks = ", ".join(f"{row['blocks']:,} {row['outcome']}" for row in status["outcomes"])
    yield f"blocks      {blocks or 'none; mlmat ingest PATH reads some'}"
    if any(status["excluded"][0].values()):
        out = status["excluded"][0]
        what = f"{counted(out['structures'], 'structure')} and {counted(out['results'], 'single result')}"
        yield f"excluded    {what} (mlmat reduce excluded; mlmat include takes them back)"
    for row in status["methods"]:
        sha = f", weights {row['model_sha256'][:12]}" if isinstance(row["model_sha256"], str) else ""
        yield f"method      {shown(row['method'])} ({row['method_id']}{sha})"
        yield f"            scheme {shown(row['scheme'] or 'unknown')}{_correct_hint(row)}"
        left = "" if row["pending"] is None else f", {max(0, row['pending']):,} pending"
        yield f"            {row['ok']:,} ok, {row['failed']:,} failed{left}"
    for row in status["failures"]:
        what = f"{row['structures']:,} x {shown(row['error_class'])} by {shown(row['method'])}"
        eg = "for instance " if row["messages"] > 1 else ""
        yield f"failures    {what}: {eg}{shown(row['example'])}"
    for row in status["suspects"]:
        eg = "for instance " if row["reasons"] > 1 else ""
        yield f"suspect     {row['structures']:,} by {shown(row['method'])}: {eg}{shown(row['example'])}"
    if status["suspects"]:
        yield "            they compete in no hull and no ranking: mlmat reduce suspects"
    yield from beside_lines(status)


def _correct_hint(row: dict[str, Any]) -> str:
    if row["scheme"] == MP_RAW.name:
        return f": hulls need corrections (mlmat correct {row['method_id']} --scheme {MP2020.name})"
    return f", corrected from {row['derived_from']}" if row["derived_from"] else ""


def corrected_lines(method_id: str, name: str, counts: list[tuple[str | None, int]]) -> Iterator[str]:
    """What `mlmat correct` says."""
    done = sum(count for reason, count in counts if reason is None)
    yield f"{shown(name)} ({method_id}): {counted(done, 'result')} corrected"
    yield from (
        f"  {counted(count, 'result')} without an energy: {shown(reason)}" for reason, count in counts if reason
    )
    yield "results that come later are corrected when they are read: mlmat reduce hull, mlmat reduce candidates"


def beside_lines(beside: dict[str, Any]) -> Iterator[str]:
    """What `mlmat status` says of what goes on around the store, also while it cannot be opened."""
    from mlmat.screen.orphans import find

    holder = shown(beside["holder"]) if beside["holder"] else None
    told = tuple(record["who"] for record in beside["runs"] if record["alive"])
    yield from (f"at work     {shown(who)}" for who in beside["drivers"] if not who.startswith(told))
    yield from runs_lines(beside["runs"], find)
    if holder:
        yield f"held by     {holder}: nobody can write until it closes the store"
    if beside["journal_bytes"]:
        size = beside["journal_bytes"] / 1e6
        wait = f"wait for {holder}" if holder else "wait; the running screen or the next writing command merges them"
        yield f"journal     {size:.2f} MB of results {wait}"
    for path in beside["kept"]:
        yield f"kept        {shown(path)}: results that were damaged or refused; please report it"
    for path in beside["of_others"]:
        yield f"kept        {shown(path)}: results of another store that lay here; they wait for it to come back"


def show_lines(found: dict[str, Any]) -> Iterator[str]:
    """What `mlmat show` says of one structure, or of one of its results."""
    yield from (line for row in found["structure"] for line in _structure_lines(row, found))
    for result in found["results"]:
        yield from _result_lines(result)
        yield from (f"    {shown(line)}" for line in replay.lines(result, found))


def _structure_lines(row: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    group = (
        f"{row['space_group_symbol']} ({row['space_group_it_number']:.0f})"
        if row["space_group_symbol"] is not None
        else "-"
    )
    yield f"{row['structure_id']}  {row['formula']}  {row['nsites']} atoms  {group}"
    if _known(row["volume"]):
        yield f"  volume {row['volume']:.4f} Å³, density {row['density']:.4f} g/cm³"
    for one in found["excluded"]:
        yield f"  excluded: {shown(one['why'])} ({shown(str(one['user_name']))}, {one['excluded_at']:%Y-%m-%d})"
    for source in found["sources"]:
        yield f"  from {shown(source['place'])}: {source['outcome']} ({shown(source['parser'])})"
        yield f"    file SHA-256 {source['file_sha256'] or '-'}, block SHA-256 {source['block_sha256'] or '-'}"
        if source["key_values"]:
            yield "    " + ", ".join(f"{shown(key)} = {shown(value)}" for key, value in source["key_values"])
        yield from (f"    warning: {shown(warning)}" for warning in source["warnings"])
        if _known(source["reason"]):
            yield f"    {shown(source['reason'])}"
    yield from (f"  {r['role']} from {r['parent_id']} by {shown(r['method'])}" for r in found["made_by"])
    yield from (f"  {r['role']} to {r['structure_id']} by {shown(r['method'])}" for r in found["became"])


def _result_lines(result: dict[str, Any]) -> Iterator[str]:
    mark = "" if result["is_current"] else " (superseded)"
    when = f"{result['finished_at']:%Y-%m-%d %H:%M:%S}"
    where = f" on {result['host']}" if _known(result["host"]) else ""
    place = f" [{shown(result['external_id'])}]" if _known(result["external_id"]) else ""
    took = f", {result['seconds']:.3g} s" if _known(result["seconds"]) else ""
    yield f"  {result['status']}{mark} by {shown(result['method'])}{place}{where} at {when}{took}"
    if _known(result["superseded"]):
        yield f"    counts no more: {shown(result['superseded'])}"
    if result["status"] == "ok" and _known(result["energy"]):
        yield f"    energy {result['energy']:.6f} eV"
    if _known(result["excluded"]):
        yield f"    excluded: {shown(result['excluded'])}"
    if _known(result["relaxed_id"]):
        yield f"    relaxed_id {result['relaxed_id']}"
    if _known(result["error_class"]):
        yield f"    {shown(result['error_class'])}: {shown(result['error_message'])}"
    if _known(result["traceback"]):
        yield from ("    | " + shown(line) for line in result["traceback"].splitlines())
    if _known(result["workdir"]):
        yield f"    scratch directory kept: {shown(result['workdir'])}"


def check_line(check: Check) -> str:
    """A line of `mlmat verify`."""
    many = f"{check.found:,} of {check.looked_at:,} " if check.found else ""
    some = f": {'; '.join(shown(one) for one in check.some)}" if check.some else ""
    more = ", …" if check.found > len(check.some) > 0 else ""
    says = shown(check.says) or f"{check.looked_at:,} looked at"
    return f"{check.level:5}  {shown(check.what)}: {many}{says}{some}{more}"


def _known(value: Any) -> bool:
    return value is not None and value == value


def runner_lines(available: list[tuple[str, str]]) -> Iterator[str]:
    """What `mlmat runners` says: each runner with its settings and their defaults."""
    import inspect

    from mlmat.errors import MlmatError
    from mlmat.methods.load import find, parameters

    for name, meaning in available:
        yield f"{name:22} {meaning}"
        try:
            found = find(name)
            settings = parameters(found)
        except MlmatError as error:
            yield f"  ({error})"
            continue
        yield from (f"  {line}" for line in (inspect.getdoc(found) or "").splitlines() if line)
        with suppress(MlmatError, TypeError):  # without its package, or with settings that have to be given
            known = found.prepare({})
            if scheme := known.scheme or found.scheme:
                yield f"  by default: scheme {shown(scheme)}; {_expected(known.model_sha256, known.expected_errors)}"
        for key, p in settings.items():
            yield f"  --set {key}=" + ("…" if p.default is p.empty else str(p.default))


def model_lines(models: list[Model]) -> Iterator[str]:
    """What `mlmat models` says: what is here with its hash, then what can be fetched."""
    for model in models:
        here = (
            f"{(model.size or 0) / 1e6:8.1f} MB  {(model.sha256 or '')[:12]}"
            if model.path
            else f"  {'made when needed' if model.kind == 'untrained' else 'not here (add fetches it)'}"
        )
        scheme = model.energies()["scheme"] or ("none" if model.kind == "untrained" else "unknown")
        about = ", ".join(part for part in (model.trained_on, model.licence) if part) or shown(model.source)
        sure = f"{_expected(model.sha256, model.expected_errors)}; " if model.path else ""
        yield f"{model.name:22} {model.kind:11} {here:26}  scheme {shown(scheme)}; {sure}{about}"


def _expected(sha256: str | None, given: Mapping[str, float]) -> str:
    """The expected errors of a model for all compounds, as they were measured or given."""
    known = {one.quantity: one.error for one in expected_errors.errors(sha256) if one.kind == "all"} | dict(given)
    if not known:
        return "expected error unknown"
    parts = (f"{1000 * error:.0f} meV/atom ({quantity})" for quantity, error in sorted(known.items()))
    return f"expected error {', '.join(parts)}"
