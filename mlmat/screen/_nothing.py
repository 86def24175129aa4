"""Why a screen has nothing to compute: nothing fits what was asked for, or all of it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlmat.store import Store


def why_nothing(store: Store, method_id: str, method: str, wish: Mapping[str, Any]) -> str:
    """The reason in words, with what to do; wish: where, limit, of, retry_failed, include_flagged, as of `screen`."""
    of = store.find_method(wish["of"]) if wish.get("of") else None
    chosen = {"where": wish.get("where"), "of": of, "include_flagged": bool(wish.get("include_flagged"))}
    if wish.get("limit") == 0:
        left = store.pending(method_id, retry_failed=bool(wish.get("retry_failed")), **chosen).num_rows
        return f"--limit 0 asks for no structure; {left:,} {'is' if left == 1 else 'are'} pending for {method}"
    asked = store.asked_for(**chosen)
    if not asked:
        return _nothing_fits(store, wish, chosen)
    failed = 0 if wish.get("retry_failed") else store.pending(method_id, retry_failed=True, **chosen).num_rows
    again = f" ({failed:,} failed: --retry-failed takes them again)" if failed else ""
    out = store.pending(method_id, excluded=True, retry_failed=bool(wish.get("retry_failed")), **chosen).num_rows
    if out:
        again += f"; {out:,} {'is' if out == 1 else 'are'} excluded (mlmat reduce excluded)"
    if out == asked:
        return f"{'the only structure' if asked == 1 else f'all {asked:,} structures'} asked for{again[1:]}"
    if wish.get("where") or of:
        asked -= out
        which = "the only structure" if asked == 1 else f"all {asked:,} structures"
        return f"{which} asked for {'has a result' if asked == 1 else 'have results'} by {method} already{again}"
    return f"no structure is pending for {method}{again}; mlmat ingest PATH reads more"


def _nothing_fits(store: Store, wish: Mapping[str, Any], chosen: Mapping[str, Any]) -> str:
    origin = f" among what {wish['of']} returned" if wish.get("of") else ""
    if not wish.get("where"):
        return f"there is no structure{origin}" + ("" if origin else " in this store; mlmat ingest PATH reads some")
    flagged = 0 if wish.get("of") else store.asked_for(**{**chosen, "include_flagged": True})
    more = f"; of the flagged ones {flagged:,} {'does' if flagged == 1 else 'do'}: --include-flagged" if flagged else ""
    return f'no structure{origin} fits --where "{wish["where"]}"{more}'
