"""How to repeat it: commands, package versions, fingerprints of what was read."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

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
    "These commands repeat the stages one by one. With equal versions and equal fingerprints the "
    "same machine gives the same tables. Folded below: what each stage recorded."
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
    """Return one command line per stage, from the settings it recorded.

    >>> commands({"d": {"stage": "diff", "spec": {"base": "B", "top": [1, 3], "seed": None}}})
    ['sixtyfold diff --base B --top 1 3 --out d']
    """
    return [
        " ".join(
            [
                "sixtyfold",
                VERBS.get(stage := str(manifest["stage"]), stage),
                *_options(manifest["spec"]),
                "--out",
                shlex.quote(path),
            ]
        )
        for path, manifest in manifests.items()
    ]


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
