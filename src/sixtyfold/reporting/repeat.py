"""How to repeat it: commands, package versions, fingerprints of what was read."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sixtyfold.core.stage import Finished
from sixtyfold.reporting.page import Section, Table
from sixtyfold.reporting.untrusted import visible

VERBS = {
    "facts": "facts build", "parity": "probe", "select-ladder": "select", "tune-ladder": "tune",
    "tune-rates": "tune", "evaluate-ways": "evaluate", "restore-shares": "restore",
}  # fmt: skip
"""Commands that are not called like their stage."""

ON_BY_DEFAULT = frozenset({"test", "checkpoint"})
"""Options that are left out by their --no- form."""

EXPLAINED = (
    "These commands repeat the stages one by one in a new directory; paths to elsewhere are as "
    "they were given. With equal versions and equal fingerprints the same machine gives the same "
    "tables. Folded below: what each stage recorded."
)

Manifests = Mapping[str, dict[str, Any]]


def repeat(manifests: Manifests) -> Section:
    """How to repeat a run: a command per stage, and what the stages recorded."""
    files = [
        (visible(name), json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=True))
        for name, manifest in manifests.items()
    ]
    lines = [visible(each, longest=4000) for each in commands(manifests)]
    tables = [versions(manifests), inputs(manifests)]
    title = "How to repeat it"
    return Section("repeat", title, [EXPLAINED], tables, commands=lines, files=files)


def versions(manifests: Manifests) -> Table:
    """Return the package versions behind the stages; more than one is listed as such."""
    found: dict[str, set[str]] = {}
    for manifest in manifests.values():
        for name, version in manifest.get("packages", {}).items():
            found.setdefault(str(name), set()).add(str(version))
    rows = [[visible(name), visible(", ".join(sorted(each)))] for name, each in found.items()]
    return Table("Package versions", ["package", "version"], sorted(rows))


def inputs(manifests: Manifests) -> Table:
    """Return the fingerprint of everything that was read, with the stages that read it."""
    read: dict[tuple[str, str], list[str]] = {}
    for name, manifest in manifests.items():
        for what, fingerprint in manifest.get("inputs", {}).items():
            read.setdefault((str(what), str(fingerprint)), []).append(name)
    rows = [
        [visible(what), visible(fingerprint), visible(", ".join(names))]
        for (what, fingerprint), names in sorted(read.items())
    ]
    return Table("Fingerprints of what was read", ["input", "fingerprint", "read by"], rows,
                 words=True)  # fmt: skip


def commands(manifests: Manifests) -> list[str]:
    """Return one command line per stage, from the settings it recorded, after those it reads.

    What a stage read of the others is named by its place among them, wherever they lay.

    >>> commands({"d": {"stage": "diff", "spec": {"base": "B", "top": [1, 3], "seed": None}}})
    ['sixtyfold diff --base B --top 1 3 --out d']
    """
    made = {Finished(Path(), dict(manifest)).fingerprint: name
            for name, manifest in manifests.items()}  # fmt: skip
    root = _root(manifests)
    settings: dict[str, dict[str, Any]] = {}
    for path, manifest in manifests.items():
        told = {name: value.removeprefix(root) if isinstance(value, str) else value
                for name, value in manifest["spec"].items()}  # fmt: skip
        # Places that are no settings (both sides of a comparison) are told by what was read there.
        read = {name: made[fingerprint] for name, fingerprint in
                manifest.get("inputs", {}).items() if fingerprint in made}  # fmt: skip
        settings[path] = {**read, **told}
    needs = {path: {value for value in each.values() if isinstance(value, str)} & {*manifests}
             for path, each in settings.items()}  # fmt: skip
    lines = []
    for path in _in_order(needs):
        stage = str(manifests[path]["stage"])
        words = ["sixtyfold", VERBS.get(stage, stage), *_options(settings[path])]
        lines.append(" ".join([*words, "--out", shlex.quote(path)]))
    return lines


def _in_order(needs: Mapping[str, set[str]]) -> list[str]:
    """Return the names so that each comes after those it needs, else as they are.

    >>> _in_order({"a": {"b"}, "b": set(), "c": {"a"}})
    ['b', 'a', 'c']
    """
    left = list(needs)
    found: list[str] = []
    while left:
        ready = next((name for name in left if needs[name] <= {*found, name}), left[0])
        left.remove(ready)
        found.append(ready)
    return found


def _root(manifests: Manifests) -> str:
    """Return the beginning, up to its slash, of places that lead to stages of this run."""
    found = Counter(
        value.removesuffix(name)
        for manifest in manifests.values()
        for value in manifest["spec"].values()
        for name in manifests
        if isinstance(value, str) and value.endswith(f"/{name}")
    )
    return found.most_common(1)[0][0] if found else ""


def _options(settings: dict[str, Any]) -> list[str]:
    words: list[str] = []
    for name, value in settings.items():
        flag = f"--{name.replace('_', '-')}"
        if value is None or isinstance(value, dict):
            continue
        if value is False:
            words += [flag.replace("--", "--no-", 1)] if name in ON_BY_DEFAULT else []
            continue
        if value is True:
            words.append(flag)
        elif isinstance(value, list):
            words += [flag, *(shlex.quote(str(item)) for item in value)] if value else []
        else:
            words += [flag, shlex.quote(str(value))]
    return words
