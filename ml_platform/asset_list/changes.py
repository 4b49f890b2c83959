"""Two lists of assets -> what was added, removed and altered, as Markdown for a change's page."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_platform.asset_list.listing import Entry

SHOWN = 160
"""Characters of a value that are shown."""

ABSENT = "–"


@dataclass(frozen=True)
class Alteration:
    """One value that differs, by its path; None: it is not there."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Changes:
    """The assets that differ between two lists."""

    added: Sequence[str]
    removed: Sequence[str]
    altered: Mapping[str, Sequence[Alteration]]


def compare(base: Mapping[str, Entry], head: Mapping[str, Entry]) -> Changes:
    """What `head` changes in `base`."""
    altered = {asset: _alterations(base[asset], head[asset]) for asset in sorted(set(base) & set(head))}
    return Changes(
        added=sorted(set(head) - set(base)),
        removed=sorted(set(base) - set(head)),
        altered={asset: found for asset, found in altered.items() if found},
    )


def as_markdown(changes: Changes, head: Mapping[str, Entry]) -> str:
    """A heading, the counts, the names, and each altered value before and after."""
    lines = ["### Assets", ""]
    if not (changes.added or changes.removed or changes.altered):
        return "\n".join([*lines, f"No change to any of the {len(head)} assets.", ""])
    counts = {"added": changes.added, "removed": changes.removed, "altered": changes.altered}
    lines += [", ".join(f"{len(which)} {what}" for what, which in counts.items()), ""]
    for asset in changes.added:
        lines.append(f"- **added** `{asset}` ({head[asset]['group']}), checks: {_names(head[asset]['checks'])}")
    lines += [f"- **removed** `{asset}`" for asset in changes.removed]
    lines += [f"- **altered** `{asset}`: {len(found)} values" for asset, found in changes.altered.items()]
    if changes.altered:
        lines += ["", "| asset | what | before | after |", "|---|---|---|---|"]
        for asset, found in changes.altered.items():
            lines += [f"| `{asset}` | {a.path} | {_cell(a.before)} | {_cell(a.after)} |" for a in found]
    return "\n".join([*lines, ""])


def _alterations(before: Entry, after: Entry) -> list[Alteration]:
    old, new = dict(_leaves(before)), dict(_leaves(after))
    paths = sorted(set(old) | set(new))
    return [Alteration(p, old.get(p), new.get(p)) for p in paths if old.get(p) != new.get(p)]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _leaves(part, f"{path}.{name}" if path else name)
    elif value != {}:
        yield path, json.dumps(value, ensure_ascii=False, sort_keys=True)


def _names(checks: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(checks)) or "none"


def _cell(value: str | None) -> str:
    if value is None:
        return ABSENT
    text = value if len(value) <= SHOWN else f"{value[:SHOWN]}…"
    return "`" + text.replace("|", "\\|").replace("`", "'") + "`"
