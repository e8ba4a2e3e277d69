"""Commands of a card: what a shell makes of them."""

from __future__ import annotations

import shlex
import subprocess

from sixtyfold.core.repeatable_command import command


def test_a_command_can_be_given_to_a_shell() -> None:
    recorded = {
        "facts": "/home/me/facts.csv", "probe": None, "levels": "0:.1,4:.9", "seed": 0,
        "system_prompt": "It's\n`now`", "quiet": False, "keep": True, "top": [1.0, 3.0],
    }  # fmt: skip
    text = command("select", recorded, {"facts": "FACTS", "probe": "PROBE", "out": "OUT"})
    assert "/home" not in text
    assert max(len(line) for line in text.splitlines()) <= 92
    words = shlex.split(text.replace("\\\n", "").replace("$'", "'").replace("\\'", "’"))
    assert words == [
        "sixtyfold", "select", "--facts", "FACTS", "--out", "OUT", "--levels", "0:.1,4:.9",
        "--seed", "0", "--system-prompt", "It’s\\U0000000A`now`", "--keep", "--top", "1.0", "3.0",
    ]  # fmt: skip


def test_a_command_with_control_characters_means_the_same_to_bash() -> None:
    given = "It's\ta \\ \x1b[31m é \n$(id) `id`"
    text = command("tune", {"system_prompt": given}, {})
    script = text.replace("\\\n", "").replace("sixtyfold tune", "printf %s")
    script = script.replace("--system-prompt", "")
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert done.stdout.decode() == given
