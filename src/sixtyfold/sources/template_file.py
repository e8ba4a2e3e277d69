"""A user's file of cloze templates: it replaces those of a relation, or adds to them.

capital:                    # replaces
  - "The capital of {subject} is"
P17:                        # adds
  add: ["{subject} is a place in the country of"]
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from sixtyfold.core.errors import BadInput, suggestion
from sixtyfold.core.templates import template_table
from sixtyfold.sources.yaml_text import read_mapping, read_text


def with_template_file(
    templates: pl.DataFrame, path: Path, relations: Iterable[str]
) -> pl.DataFrame:
    """Return the templates with those of a file put in.

    Args:
        templates: a table of `TEMPLATES_SCHEMA`.
        path: YAML, relation to a list of texts (replaces) or to `add:` and a list (adds).
        relations: the relations there are.

    Raises:
        BadInput: the file is not readable YAML of that form, names a relation that is not here, or
            holds a text that is no template.
    """
    known = sorted(relations)
    texts: dict[str, list[str]] = {
        name: templates.filter(pl.col("relation") == name).sort("template_id")["text"].to_list()
        for name in known
    }
    origin, form = f"--templates {path}", "'relation: [texts]' or 'relation: {add: [texts]}'"
    for relation, given in read_mapping(read_text(path, origin, form), origin, form).items():
        if relation not in texts:
            raise BadInput(
                f"{origin}: there is no relation {relation!r} in these facts"
                f"{suggestion(str(relation), known)}; relations here: {', '.join(known)}"
            )
        adds = isinstance(given, dict) and set(given) == {"add"}
        listed = given["add"] if adds else given
        if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
            raise BadInput(
                f"{origin}: relation '{relation}' needs a list of texts, or 'add:' and a list"
            )
        texts[relation] = list(dict.fromkeys([*(texts[relation] if adds else []), *listed]))
    try:
        return template_table(texts)
    except BadInput as error:
        raise BadInput(f"{origin}: {error}") from None
    except UnicodeEncodeError:
        raise BadInput(f"{origin}: a text holds half a character (a lone surrogate)") from None
